//! The command line.

use std::fmt;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use payment3_bank::{CARDS, Dialect, Manner, SandboxCard};
use payment3_harness::fault_plan::Fault;
use payment3_harness::flow::Flow;
use payment3_harness::shopper::CARD_APPROVED;
use serde::{Deserialize, Serialize};

/// Runs the whole payment system on this machine, pays with it, and tests it.
#[derive(Debug, Parser)]
#[command(name = "cargo local", bin_name = "cargo local", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Builds, installs, starts and deploys everything, and runs until Ctrl-C
    Up(Up),
    /// Runs everything that CI checks, or one part of it
    Test(Test),
    /// Pays an order as a shopper with a browser would, and shows what came of it
    Pay(Pay),
    /// Lists the executions, or shows one state by state
    Executions(Executions),
    /// Searches for inputs that break a property of what reads the outside world
    Fuzz(Fuzz),
    /// Measures what the functions cost, by themselves and in whole payments, beside the same work in Python
    Bench(Bench),
    /// Writes anew what is computed: the README's picture and table of the states, how errors are treated, grants and costs
    Renew,
}

/// Arguments of `cargo local up`.
#[derive(Debug, Args)]
pub struct Up {
    /// The port of the local AWS
    #[arg(long, default_value_t = 4566)]
    pub aws_port: u16,
    /// The port of the sandbox bank
    #[arg(long, default_value_t = 4600)]
    pub bank_port: u16,
    /// The port of the demo shop
    #[arg(long, default_value_t = 4601)]
    pub shop_port: u16,
    /// Forgets every payment, order and deployment of earlier runs
    #[arg(long)]
    pub fresh: bool,
}

/// Arguments of `cargo local test`.
#[derive(Debug, Args)]
pub struct Test {
    /// The parts to run, one after the other; all of them when absent
    pub parts: Vec<Part>,
    /// Of the races, how many rounds of each: 100, or 3 where all parts run
    #[arg(long)]
    pub rounds: Option<u32>,
    /// Of the races, those alone whose name contains this, such as "two tabs"
    #[arg(long)]
    pub race: Option<String>,
    /// Of the bank's dialects, these alone
    #[arg(long, value_delimiter = ',', value_parser = dialect())]
    pub dialect: Vec<Dialect>,
    /// Of the fault matrix, these flows alone
    #[arg(long, value_delimiter = ',')]
    pub flow: Vec<Flow>,
    /// Of the fault matrix, these faults alone
    #[arg(long, value_delimiter = ',')]
    pub fault: Vec<Fault>,
    /// Of the fault matrix, the calls alone whose name contains this, such as "pay-order"
    #[arg(long)]
    pub call: Option<String>,
    /// Has the browser tests take the pictures in docs/screenshots anew
    #[arg(long)]
    pub screenshots: bool,
    /// Where to write what came of each part, for the command that runs several of these
    #[arg(long, hide = true)]
    pub verdicts: Option<PathBuf>,
}

/// The parts of the tests, quick ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Part {
    /// The Rust sources are formatted
    Format,
    /// The state machine's definition is valid
    Asl,
    /// The Rust sources have no lints
    Clippy,
    /// The Rust tests that need nothing else running
    Unit,
    /// The state machine, walked over everything that can happen to a payment
    Model,
    /// The licences and sources of all crates, and those that must not be among them
    Deps,
    /// The CDK app's types and tests, and its synthesis with the real functions, held against cdk-nag and cfn-lint
    Cdk,
    /// The payments, end to end, in an environment of their own
    E2e,
    /// The table of flows in the bank's dialects: every dialect with some flows, every flow with some dialects
    DialectsShort,
    /// Forged returns, notifications and inputs, each tried and none believed
    Hostile,
    /// What may happen at once, made to happen at once: the world must be whole after every round
    Races,
    /// A fault at every call of the flows 1, 2 and 4: the answer lost, the process killed
    FaultsShort,
    /// The local AWS is stopped in the middle of twenty payments, and started again
    Outage,
    /// The API against docs/openapi.yaml, in the same environment
    Api,
    /// The merchant's published SDK and the reference verifier of webhooks, in the same environment
    Clients,
    /// What docs/runbook.md says, done as written, in an environment of its own; and two more branches beside it
    Runbook,
    /// The pages of the shop, the bank and the executions in a real browser, in an environment of their own
    Browser,
    /// What a payment takes against its limits: calls one after the other, states entered, connections opened
    Counts,
    /// The same with the functions as they are released, and their memory and archives; not among the parts that run by default
    Sizes,
    /// Of the end-to-end tests, the table of flows alone
    Flows,
    /// Every flow in every dialect of the bank; not among the parts that run by default
    Dialects,
    /// Every fault at every call of every flow; not among the parts that run by default
    Faults,
    /// The same matrix, and the table of dialects, against deliberately broken functions: they must find each; not by default
    Mutants,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.pad(value.as_ref().map_or("", PossibleValue::get_name))
    }
}

/// The names of some parts, one after the other.
pub fn names(parts: &[Part]) -> String {
    let names: Vec<_> = parts.iter().map(Part::to_string).collect();
    names.join(", ")
}

/// Arguments of `cargo local pay`.
#[derive(Debug, Args)]
pub struct Pay {
    /// The card: what it does (approved, declined, approved-at-once, declined-at-once, slow, callback-lost), or the number of
    /// one of the bank's sandbox cards
    #[arg(long, default_value = CARD_APPROVED, value_parser = card_number)]
    pub card: String,
    /// An order to pay; a new one when absent
    #[arg(long)]
    pub order: Option<String>,
    /// The customer of the new order; a new one when absent
    #[arg(long, conflicts_with = "order")]
    pub user: Option<String>,
    /// The total of the new order, in baht
    #[arg(long, default_value = "1500.00", conflicts_with = "order")]
    pub amount: String,
    /// Verifies and saves a card (ADDCARD) instead of paying an order
    #[arg(long, conflicts_with_all = ["order", "amount", "spoil"])]
    pub add_card: bool,
    /// Does not tick "save card"
    #[arg(long)]
    pub no_save_card: bool,
    /// How the bank speaks of this payment
    #[arg(long, default_value = Dialect::Usual.name(), value_parser = dialect())]
    pub dialect: Dialect,
    /// What the shopper does on the bank's page
    #[arg(long, value_enum, default_value_t = ThreeDs::Approve)]
    pub three_ds: ThreeDs,
    /// What the browser's return claims, instead of what the bank's page says
    #[arg(long)]
    pub status: Option<bool>,
    /// How often the browser returns to the shop, all at once; 0 loses the callback
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=10))]
    pub callbacks: u32,
    /// How many seconds after 3-D Secure the browser returns
    #[arg(long, default_value_t = 0)]
    pub late: u64,
    /// Spoils the checkout form, which the API must then refuse
    #[arg(long, value_enum)]
    pub spoil: Option<Spoil>,
    /// Prints one JSON document instead of lines
    #[arg(long)]
    pub json: bool,
}

/// What the shopper does on the bank's 3-D Secure page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ThreeDs {
    /// Types the right password
    Approve,
    /// Fails the authentication
    Fail,
    /// Leaves without an answer
    Leave,
}

impl ThreeDs {
    /// The bank's word for it.
    pub fn action(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Fail => "fail",
            Self::Leave => "leave",
        }
    }
}

/// What is wrong with a checkout form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Spoil {
    /// Another total than the order's
    Total,
    /// Somebody else's order
    User,
    /// A merchant account that is not the shop's
    Merchant,
}

/// A card by what it does, or by its number.
fn card_number(text: &str) -> Result<String, String> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    let wanted = |card: &&SandboxCard| manner_name(card.manner) == text;
    match CARDS.iter().find(wanted) {
        Some(card) => Ok(card.number.to_owned()),
        None => Err(format!(
            "no card does this: give a number, or one of {}",
            MANNERS.map(manner_name).join(", ")
        )),
    }
}

/// A dialect by its name; the help lists them all.
fn dialect() -> impl TypedValueParser<Value = Dialect> {
    let listed = Dialect::ALL
        .iter()
        .map(|dialect| PossibleValue::new(dialect.name()).help(dialect.meaning()));
    PossibleValuesParser::new(listed).try_map(|name| name.parse::<Dialect>())
}

const MANNERS: [Manner; 6] = [
    Manner::Approved,
    Manner::Declined,
    Manner::ApprovedAtOnce,
    Manner::DeclinedAtOnce,
    Manner::Slow,
    Manner::CallbackLost,
];

fn manner_name(manner: Manner) -> &'static str {
    match manner {
        Manner::Approved => "approved",
        Manner::Declined => "declined",
        Manner::ApprovedAtOnce => "approved-at-once",
        Manner::DeclinedAtOnce => "declined-at-once",
        Manner::Slow => "slow",
        Manner::CallbackLost => "callback-lost",
    }
}

/// Arguments of `cargo local executions`.
#[derive(Debug, Args)]
pub struct Executions {
    /// The execution to show: the charge id, with -2 and so on from the second attempt on
    pub name: Option<String>,
    /// Lists only executions of this order or charge; a part of its id will do
    #[arg(long, value_name = "ID", conflicts_with_all = ["name", "watch"])]
    pub find: Option<String>,
    /// Lists only executions that ended so: running, failed, or what the definition puts out, such as paid or awaitingBank
    #[arg(long, conflicts_with_all = ["name", "watch"])]
    pub outcome: Option<String>,
    /// How many to list, newest first
    #[arg(long, default_value_t = 20, conflicts_with = "name")]
    pub limit: usize,
    /// Goes on and prints a line for every change: of the one execution until it is over, of all until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Prints JSON instead of a table; with --watch, one object per line
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `cargo local fuzz`.
#[derive(Debug, Args)]
pub struct Fuzz {
    /// The target, a directory of tests/fuzz/corpus; each in turn when absent
    pub target: Option<String>,
    /// For how long to search each target
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub minutes: u32,
    /// Adds inputs that reach new code to those in tests/fuzz/corpus
    #[arg(long)]
    pub keep: bool,
}

/// Arguments of `cargo local bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure; everything but the load when absent
    pub part: Option<BenchPart>,
}

/// The parts of the measurement that can be run alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchPart {
    /// Counts alone, of functions that are built for tests, as `cargo local test counts` does
    Counts,
    /// Counts and sizes alone, of the functions as they are released, as `cargo local test sizes` does
    Sizes,
    /// Two thousand payments on the local AWS, and one callback two hundred thousand times through one process
    Load,
    /// Two thousand due payments, with a bank that is slow and with one that hangs
    Due,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_nightly_workflow_is_one() {
        let file = payment3_harness::workspace::root().join(".github/workflows/nightly.yml");
        let text = std::fs::read_to_string(file).expect("the workflow");
        let (_, list) = text.split_once("command:\n").expect("a list of commands");
        let lines = list
            .lines()
            .map_while(|line| line.trim().strip_prefix("- "));
        let commands: Vec<&str> = lines.collect();
        assert!(commands.len() > 3, "{commands:?}");
        for command in commands {
            let words = std::iter::once("cargo local").chain(command.split(' '));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("nightly.yml runs `cargo local {command}`: {error}");
            }
        }
    }

    #[test]
    fn the_readme_says_what_each_part_of_the_tests_does() {
        let readme = payment3_harness::workspace::root().join("README.md");
        let readme = std::fs::read_to_string(readme).expect("README.md");
        let rows = readme.lines().filter_map(|line| {
            let (name, _) = line.strip_prefix("| `")?.split_once("` | ")?;
            Some(name.to_owned())
        });
        // The map of the folders is another table.
        let told: BTreeSet<_> = rows.filter(|name| !name.contains('/')).collect();
        let parts = Part::value_variants().iter();
        let parts: BTreeSet<_> = parts
            .filter_map(|part| Some(part.to_possible_value()?.get_name().to_owned()))
            .collect();
        assert_eq!(told, parts);
    }

    #[test]
    fn a_dialect_is_named_and_an_unknown_one_is_answered_with_all_names() {
        let pay = |name: &str| Cli::try_parse_from(["cargo local", "pay", "--dialect", name]);
        for wanted in Dialect::ALL {
            match pay(wanted.name()).expect("it is listed").command {
                Command::Pay(pay) => assert_eq!(pay.dialect, *wanted),
                other => panic!("{other:?}"),
            }
        }
        let error = pay("klingon").expect_err("there is none").to_string();
        for dialect in Dialect::ALL {
            assert!(error.contains(dialect.name()), "{error}");
        }
    }

    #[test]
    fn a_card_is_named_by_what_it_does() {
        assert_eq!(card_number("approved").as_deref(), Ok(CARD_APPROVED));
        assert_eq!(
            card_number("4877300371267473").as_deref(),
            Ok("4877300371267473")
        );
        for card in &CARDS {
            assert!(card_number(manner_name(card.manner)).is_ok());
        }
        let error = card_number("gold").expect_err("there is none");
        assert!(error.contains("callback-lost"), "{error}");
    }
}
