//! Forged returns, notifications, checkouts and inputs, each with the answer that it must get and a proof that it was
//! not believed. `cargo local test hostile` prints the table.
//!
//! A forgery was not believed if nothing changed, or if the bank was asked and had decided nothing, or if only that
//! happened what the bank says. Afterwards the victim's own payment must still come to its end.

mod flood;
mod forgery;
mod notices;
mod other_inputs;
mod returns;
mod victim;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::TestApp;
use forgery::{Attack, Scene};
use victim::{Stage, Victim};

pub(crate) use victim::sign;

/// How many victims are attacked side by side.
const AT_ONCE: usize = 6;

/// What an attack may leave behind, at most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Leaves {
    /// Nothing at all.
    Nothing,
    /// An execution that asked the bank, which has decided nothing; and the payment is due no later than before.
    Inquiry,
    /// What the bank says of the charge, as any other call would have brought it about.
    TheBanksWord,
}

impl Leaves {
    fn in_words(self) -> &'static str {
        match self {
            Self::Nothing => "changed nothing",
            Self::Inquiry => "asked the bank, changed nothing",
            Self::TheBanksWord => "what the bank says happened",
        }
    }
}

/// One row of the table.
struct Item {
    stage: Stage,
    name: String,
    attack: Attack,
    /// The answer in words: status, and error code and field where it has them.
    answer: &'static str,
    leaves: Leaves,
}

impl Item {
    fn new(
        stage: Stage,
        name: impl Into<String>,
        answer: &'static str,
        leaves: Leaves,
        attack: Attack,
    ) -> Self {
        Self {
            stage,
            name: name.into(),
            attack,
            answer,
            leaves,
        }
    }
}

/// Items for one victim at a stage, each with its number in the table.
type Group = (Stage, Vec<(usize, Item)>);

/// What became of one row.
struct Verdict {
    number: usize,
    line: String,
    /// Why it counts as believed; empty when it was not.
    believed: Vec<String>,
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test hostile"]
async fn nothing_forged_is_believed() {
    let app = Arc::new(TestApp::connect().await);
    let groups = groups();
    let victims = groups.len();
    let items: usize = groups.iter().map(|(_, group)| group.len()).sum();
    let (verdicts, broken) = attack_all(&app, groups).await;
    let believed = verdicts
        .iter()
        .filter(|verdict| !verdict.believed.is_empty())
        .count();
    print(&verdicts, &broken);
    println!("{} items, {believed} believed", verdicts.len());
    println!(
        "{victims} payments were attacked; {} of them did not come to their own end",
        broken.len()
    );
    assert_eq!(verdicts.len(), items, "every item was tried");
    assert_eq!(
        (believed, broken.len()),
        (0, 0),
        "the list above says which"
    );
}

/// Attacks the victim of each group, several at once. Returns the verdicts in the table's order, and the victims whose
/// payments did not come to their end.
async fn attack_all(app: &Arc<TestApp>, groups: Vec<Group>) -> (Vec<Verdict>, Vec<String>) {
    let other = Arc::new(Victim::brought_to(app, Stage::Paid).await);
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut attacks = JoinSet::new();
    for (stage, group) in groups {
        let (app, other, turns) = (app.clone(), other.clone(), turns.clone());
        attacks.spawn(async move {
            let _turn = turns.acquire_owned().await.expect("never closed");
            attack(&app, &other, stage, group).await
        });
    }
    let (mut verdicts, mut broken) = (Vec::new(), Vec::new());
    while let Some(done) = attacks.join_next().await {
        match done {
            Ok((judged, aftermath)) => {
                verdicts.extend(judged);
                broken.extend(aftermath);
            }
            Err(error) => broken.push(format!("an attack could not be carried out: {error}")),
        }
    }
    verdicts.sort_by_key(|verdict| verdict.number);
    (verdicts, broken)
}

fn print(verdicts: &[Verdict], broken: &[String]) {
    println!();
    for verdict in verdicts {
        println!("{}", verdict.line);
        for why in &verdict.believed {
            println!("      BELIEVED: {why}");
        }
    }
    for line in broken {
        println!("      BROKEN: {line}");
    }
}

/// The bank signs an authorisation and then denies it. It is asked again, since it may only have answered too early; what
/// it still denies a minute later no decline closes, and it waits for a person.
#[tokio::test]
#[ignore = "needs the local environment: cargo local test hostile"]
async fn a_signed_authorisation_that_the_bank_denies_is_left_to_a_person() {
    let app = TestApp::connect().await;
    for (stage, attempt, next) in [(Stage::Refused, "", "-1"), (Stage::Declined, "-1", "-2")] {
        let victim = Victim::brought_to(&app, stage).await;
        let undisturbed = app.undisturbed().await;
        let notice = victim.notice("Authorized").to_string();
        let status = app.post_notification(notice).await;
        assert_eq!(status, 200, "{}", stage.in_words());

        let execution = app.execution(&format!("{}{attempt}", victim.charge)).await;
        let output = execution.output.as_ref().expect("an output");
        let waiting_for = &output["waitingFor"];
        assert_eq!(waiting_for, "StaleDecision", "{}", stage.in_words());
        // As if a minute had passed.
        app.change_record(
            &victim.key,
            "SET paidNotifiedAt = :at",
            &[(":at", json!(1))],
        )
        .await;
        undisturbed.reconcile().await;
        drop(undisturbed);

        let execution = app.execution(&format!("{}{next}", victim.charge)).await;
        let failure = execution.failure.as_ref().expect("a failure");
        assert!(
            failure.error.ends_with("ConditionalCheckFailedException"),
            "{}: {failure:?}",
            stage.in_words()
        );
        assert_eq!(execution.states().last(), Some(&"CloseRecord"));
        let record = app.read_record(&victim.key).await;
        assert!(record["paidNotifiedAt"].is_number());
        assert!(record["openShard"].is_number(), "it stays where it is seen");
        assert_eq!(app.payment_of(&victim.order).await["isPaid"], false);

        // The person has asked the bank, which holds no money. Now it is closed like any decline.
        app.change_record(&victim.key, "REMOVE paidNotifiedAt", &[])
            .await;
        let execution = app.start_by_hand(&victim.charge).await;
        assert!(execution.has_succeeded(), "{execution:?}");
        let broken = victim.violations(&app).await;
        assert!(broken.is_empty(), "{}: {broken:?}", stage.in_words());
    }
}

/// The table, grouped by victim. Attacks that must change nothing share one victim per stage. Each other attack has its
/// own.
fn groups() -> Vec<Group> {
    let table = [notices::items(), returns::items(), other_inputs::items()];
    let mut shared: BTreeMap<Stage, Vec<(usize, Item)>> = BTreeMap::new();
    let mut alone = Vec::new();
    for (number, item) in table.into_iter().flatten().enumerate() {
        if item.leaves == Leaves::Nothing {
            shared
                .entry(item.stage)
                .or_default()
                .push((number + 1, item));
        } else {
            alone.push((item.stage, vec![(number + 1, item)]));
        }
    }
    // The longest first.
    alone.sort_by_key(|(_, group)| group[0].1.leaves != Leaves::Inquiry);
    shared.into_iter().chain(alone).collect()
}

/// Attacks a new victim with one item after the other, and then finishes the victim's payment.
async fn attack(
    app: &TestApp,
    other: &Victim,
    stage: Stage,
    group: Vec<(usize, Item)>,
) -> (Vec<Verdict>, Option<String>) {
    let mut victim = Victim::brought_to(app, stage).await;
    let mut verdicts = Vec::new();
    for (number, item) in group {
        let before = victim.snapshot(app).await;
        let other_before = other.snapshot(app).await;
        let scene = Scene {
            app,
            victim: &victim,
            other,
        };
        let outcome = item.attack.carry_out(&scene).await;
        let mut believed = outcome.betrayed;
        if outcome.answer != item.answer {
            believed.push(format!("it must answer {}", item.answer));
        }
        victim.find_charge(app).await;
        victim.settled(app, &outcome.executions).await;
        believed.extend(match item.leaves {
            Leaves::Nothing => in_one_line("", &before.changes(&victim.snapshot(app).await)),
            Leaves::Inquiry => victim.more_than_asked(app, &before).await,
            Leaves::TheBanksWord => victim.violations(app).await,
        });
        let touched = other_before.changes(&other.snapshot(app).await);
        believed.extend(
            touched
                .into_iter()
                .map(|what| format!("the other's {what}")),
        );
        verdicts.push(Verdict {
            number,
            line: format!(
                "{number:>4}  {:<10} {:<76} {:<36} {}",
                stage.in_words(),
                item.name,
                outcome.answer,
                item.leaves.in_words(),
            ),
            believed,
        });
    }
    let aftermath = victim.comes_to_its_end(app).await;
    let broken = (!aftermath.is_empty()).then(|| {
        format!(
            "{}, after item {}: {}",
            stage.in_words(),
            verdicts.last().map_or(0, |verdict| verdict.number),
            aftermath.join("; ")
        )
    });
    (verdicts, broken)
}

/// What changed, in one line for the list; empty where nothing changed.
fn in_one_line(whose: &str, changes: &[String]) -> Vec<String> {
    match changes {
        [] => Vec::new(),
        changes => vec![format!("{whose}{} changed", changes.join(", "))],
    }
}
