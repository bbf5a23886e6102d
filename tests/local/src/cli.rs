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

/// Runs the payment system on this machine, makes payments, and tests it.
#[derive(Debug, Parser)]
#[command(name = "cargo local", bin_name = "cargo local", version)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Builds and installs everything, starts and deploys the system, and runs it until Ctrl-C
    Up(Up),
    /// Runs everything that CI checks, or one part of it
    Test(Test),
    /// Pays an order like a shopper with a browser, and shows the result
    Pay(Pay),
    /// Gives back all or a part of a paid order, as the shop's back office does, and shows the result
    Refund(Refund),
    /// Lists the executions of payments and refunds, or shows the states of one
    Executions(Executions),
    /// Checks a deployed stack, on AWS or on the local AWS, and prints what is wrong and how to mend it
    Check(Check),
    /// Fuzzes the code that reads outside input: searches for inputs that break a property
    Fuzz(Fuzz),
    /// Measures what the functions cost, alone and in complete payments, next to the same work in Python
    Bench(Bench),
    /// Updates all generated files: the README's diagram and table of states, the table of errors, grants and costs
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
    /// Starts empty: deletes all payments, orders and deployments of earlier runs
    #[arg(long)]
    pub fresh: bool,
}

/// Arguments of `cargo local test`.
#[derive(Debug, Args)]
pub struct Test {
    /// The parts to run, one after the other; without any, all parts that run by default
    pub parts: Vec<Part>,
    /// races: how many rounds of each; by default 100
    #[arg(long)]
    pub rounds: Option<u32>,
    /// races: only those whose name contains this text, such as "two tabs"
    #[arg(long)]
    pub race: Option<String>,
    /// dialects: only these dialects of the bank
    #[arg(long, value_delimiter = ',', value_parser = dialect())]
    pub dialect: Vec<Dialect>,
    /// faults: only these flows
    #[arg(long, value_delimiter = ',')]
    pub flow: Vec<Flow>,
    /// faults: only these faults
    #[arg(long, value_delimiter = ',')]
    pub fault: Vec<Fault>,
    /// faults: only calls whose name contains this text, such as "pay-order"
    #[arg(long)]
    pub call: Option<String>,
    /// browser: takes the screenshots in docs/screenshots again
    #[arg(long)]
    pub screenshots: bool,
    /// Those of the simulator
    #[command(flatten)]
    pub sim: Sim,
    /// The file for the result of each part, for the command that started this one
    #[arg(long, hide = true)]
    pub verdicts: Option<PathBuf>,
}

/// What the part `sim` does other than to search for a minute.
#[derive(Debug, Clone, Args)]
pub struct Sim {
    /// sim: runs only this seed, and prints what happened, step by step
    #[arg(long)]
    pub seed: Option<u64>,
    /// sim: with --seed, only these shoppers, such as 3,7
    #[arg(long, requires = "seed", value_name = "NUMBERS")]
    pub shoppers: Option<String>,
    /// sim: with --seed, only the faults at these calls, separated by ';'
    #[arg(long, requires = "seed", value_name = "CALLS")]
    pub faults: Option<String>,
    /// sim: searches for so long, such as 10m or 1h; with --mutants, for so much processor time each
    #[arg(long = "for", value_name = "TIME", conflicts_with = "seed")]
    pub time: Option<String>,
    /// sim: the first of the seeds, which follow one another
    #[arg(long, value_name = "SEED", conflicts_with = "seed")]
    pub from: Option<u64>,
    /// sim: breaks the system on purpose instead, in one way after the other, and searches until it is found; with a
    /// text, only the ways whose name contains it
    #[arg(
        long,
        value_name = "NAME",
        num_args = 0..=1,
        default_missing_value = "",
        conflicts_with = "seed"
    )]
    pub mutants: Option<String>,
}

/// The parts of the tests, fast ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Part {
    /// Checks the formatting of the Rust sources
    Format,
    /// Validates the state machine's definition
    Asl,
    /// Lints the Rust sources
    Clippy,
    /// Runs the Rust tests that need no environment
    Unit,
    /// Explores the state machine with every answer and error of every task
    Model,
    /// Simulates weeks of payments with many faults at once, all random from a seed: for a minute, or as its options say
    Sim,
    /// Holds every call of the functions and the state machines against the rights of their roles
    Iam,
    /// Checks the licences and sources of all crates, and that forbidden crates are absent
    Deps,
    /// Checks the CDK app: types, tests, and its templates with cdk-nag and cfn-lint
    Cdk,
    /// Pays end to end, in a separate environment
    E2e,
    /// Sends forged returns, notifications and inputs; none may be accepted
    Hostile,
    /// Injects two faults into every call of flow 1 and of a refund: a lost answer and a killed process. Then takes rights
    /// away, and looks for the denied calls
    FaultsShort,
    /// Checks the API against docs/openapi.yaml
    Api,
    /// Plays every flow with the merchant's published SDK, and verifies webhooks with the reference verifier
    Clients,
    /// Runs docs/runbook.md as written, in a separate environment, and deploys two more branches next to it
    Runbook,
    /// Tests the pages of the shop, the bank and the executions in a real browser, in a separate environment
    Browser,
    /// Checks what a payment takes against its limits: consecutive calls, states entered, connections opened
    Counts,
    /// As `counts`, but with the released functions, and checks their memory and archives too; does not run by default
    Sizes,
    /// Runs only the table of flows, which is a part of `e2e`
    Flows,
    /// Plays every flow in every dialect of the bank; does not run by default
    Dialects,
    /// Lets payments run at the same moment, and checks the money invariants after every round; does not run by default
    Races,
    /// Makes each service unavailable in the middle of twenty payments, and then restarts the local AWS; does not run by
    /// default
    Outage,
    /// Injects every fault into every call of every flow; does not run by default
    Faults,
    /// Breaks the functions on purpose; `faults` and `dialects` must find each bug; does not run by default
    Mutants,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.pad(value.as_ref().map_or("", PossibleValue::get_name))
    }
}

/// The names of some parts, separated by commas.
pub fn names(parts: &[Part]) -> String {
    let names: Vec<_> = parts.iter().map(Part::to_string).collect();
    names.join(", ")
}

/// Arguments of `cargo local pay`.
#[derive(Debug, Args)]
pub struct Pay {
    /// The card: its behaviour (approved, declined, approved-at-once, declined-at-once, slow, callback-lost), or the
    /// number of one of the bank's sandbox cards
    #[arg(long, default_value = CARD_APPROVED, value_parser = card_number)]
    pub card: String,
    /// The order to pay; by default a new one
    #[arg(long)]
    pub order: Option<String>,
    /// The customer of the new order; by default a new one
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
    /// The bank's dialect for this payment
    #[arg(long, default_value = Dialect::Usual.name(), value_parser = dialect())]
    pub dialect: Dialect,
    /// What the shopper does on the bank's page
    #[arg(long, value_enum, default_value_t = ThreeDs::Approve)]
    pub three_ds: ThreeDs,
    /// The status that the browser's return claims, instead of the one from the bank's page
    #[arg(long)]
    pub status: Option<bool>,
    /// How often the browser returns to the shop, all at the same time; 0 means that the callback is lost
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=10))]
    pub callbacks: u32,
    /// How many seconds after 3-D Secure the browser returns
    #[arg(long, default_value_t = 0)]
    pub late: u64,
    /// Makes the checkout form invalid; the API must refuse it
    #[arg(long, value_enum)]
    pub spoil: Option<Spoil>,
    /// Prints one JSON document instead of text
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `cargo local refund`.
#[derive(Debug, Args)]
pub struct Refund {
    /// The paid order
    pub order: String,
    /// How much goes back, in baht, such as 120.50; by default all that is left
    #[arg(long)]
    pub amount: Option<String>,
    /// The refund's id; by default a new one. Under one id, money goes back once
    #[arg(long)]
    pub id: Option<String>,
    /// Why, for the bank's portal and the ledger
    #[arg(long)]
    pub reason: Option<String>,
    /// Starts the refund of this id again, as a person does when its execution failed, or to spare a wait of hours: it
    /// goes on from where its entry in the ledger stands
    #[arg(long, requires = "id", conflicts_with_all = ["amount", "reason"])]
    pub again: bool,
    /// Prints one JSON document instead of text
    #[arg(long)]
    pub json: bool,
}

/// What the shopper does on the bank's 3-D Secure page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ThreeDs {
    /// Enters the right password
    Approve,
    /// Fails the authentication
    Fail,
    /// Leaves without an answer
    Leave,
}

impl ThreeDs {
    /// The bank's name for it.
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
    /// A wrong total
    Total,
    /// Another user's order
    User,
    /// Another merchant account
    Merchant,
}

/// The number of a card, given by its behaviour or by its number.
fn card_number(text: &str) -> Result<String, String> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    let wanted = |card: &&SandboxCard| manner_name(card.manner) == text;
    match CARDS.iter().find(wanted) {
        Some(card) => Ok(card.number.to_owned()),
        None => Err(format!(
            "there is no such card: give a number, or one of {}",
            MANNERS.map(manner_name).join(", ")
        )),
    }
}

/// Parses a dialect by its name. The help lists all names.
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
    /// The execution to show: a payment's has the charge id as its name, with -2 and so on from the second attempt on;
    /// a refund's has the refund's id
    pub name: Option<String>,
    /// Lists only executions of this order, charge or refund; a part of its id is enough
    #[arg(long, value_name = "ID", conflicts_with_all = ["name", "watch"])]
    pub find: Option<String>,
    /// Lists only executions with this status: running, failed, or a result of a definition, such as paid or refunded
    #[arg(long, conflicts_with_all = ["name", "watch"])]
    pub outcome: Option<String>,
    /// How many to list, newest first
    #[arg(long, default_value_t = 20, conflicts_with = "name")]
    pub limit: usize,
    /// Keeps running and prints a line for every change: of one execution until it ends, or of all until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Prints JSON instead of a table; with --watch, one object per line
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `cargo local check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The stack, such as payment3-master. Account, region and address are those of the AWS command line: its profile,
    /// or its environment variables
    #[arg(long)]
    pub stack: String,
}

/// Arguments of `cargo local fuzz`.
#[derive(Debug, Args)]
pub struct Fuzz {
    /// The target, a directory of tests/fuzz/corpus; by default all targets in turn
    pub target: Option<String>,
    /// How many minutes to fuzz each target
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub minutes: u32,
    /// Adds inputs that reach new code to tests/fuzz/corpus
    #[arg(long)]
    pub keep: bool,
}

/// Arguments of `cargo local bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure; by default everything except the load
    pub part: Option<BenchPart>,
}

/// The parts of the benchmark that can run alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchPart {
    /// Only counts, with functions built for tests, like `cargo local test counts`
    Counts,
    /// Only counts and sizes, with the released functions, like `cargo local test sizes`
    Sizes,
    /// Two thousand payments on the local AWS, and two hundred thousand callbacks through one process
    Load,
    /// Two thousand due payments, with a slow bank and with a bank that hangs
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
    fn the_readme_lists_every_part_of_the_tests() {
        let readme = payment3_harness::workspace::root().join("README.md");
        let readme = std::fs::read_to_string(readme).expect("README.md");
        let rows = readme.lines().filter_map(|line| {
            let (name, _) = line.strip_prefix("| `")?.split_once("` | ")?;
            Some(name.to_owned())
        });
        // Names with a slash are from the table of the folders.
        let listed: BTreeSet<_> = rows.filter(|name| !name.contains('/')).collect();
        let parts = Part::value_variants().iter();
        let parts: BTreeSet<_> = parts
            .filter_map(|part| Some(part.to_possible_value()?.get_name().to_owned()))
            .collect();
        assert_eq!(listed, parts);
    }

    #[test]
    fn the_error_for_an_unknown_dialect_lists_all_dialects() {
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
    fn a_card_is_given_by_its_behaviour_or_its_number() {
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
