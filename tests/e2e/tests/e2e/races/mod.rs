//! Races: things that may happen at the same time, made to happen at the same time, many times. The money invariants
//! must hold after every round. `cargo local test races --rounds N` prints how many rounds held, how long they took,
//! and who won.

mod attempts;
mod payments;
mod refunds;
mod reversals;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use payment3_activities::domain::ids::ChargeId;
use payment3_activities::executions::execution_name;
use payment3_harness::executions::ExecutionReport;
use payment3_harness::invariants::{self, Subject};
use payment3_harness::random;
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;

use crate::support::{Authenticated, TestApp};

/// Says how many rounds of every race are run.
const ROUNDS_VARIABLE: &str = "PAYMENT3_RACE_ROUNDS";
/// Says which races are run: those whose name contains it.
const NAME_VARIABLE: &str = "PAYMENT3_RACE";
/// How many rounds are run side by side: each mostly waits.
const SIDE_BY_SIDE: usize = 4;
/// How long a payment may take to come to its end: far more than it should, as the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(180);

/// More attempts than any race makes.
const ATTEMPTS: u32 = 4;

/// Which of the right ends a round had; or what is wrong.
type Ended = Result<&'static str, String>;
type Round = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// Things that may happen at the same time.
struct Race {
    name: &'static str,
    /// Of so many rounds one is run: a round takes long.
    one_of: usize,
    run: fn(Arc<TestApp>, usize) -> Round,
}

const RACES: [Race; 17] = [
    Race {
        name: "50 returns and notifications of one charge",
        one_of: 1,
        run: |app, round| Box::pin(payments::fifty_callbacks(app, round)),
    },
    Race {
        name: "two tabs, two cards, one order",
        one_of: 1,
        run: |app, round| Box::pin(payments::two_tabs(app, round)),
    },
    Race {
        name: "one checkout form five times",
        one_of: 1,
        run: |app, round| Box::pin(payments::double_click(app, round)),
    },
    Race {
        name: "two first payments of one customer",
        one_of: 1,
        run: |app, round| Box::pin(payments::two_first_payments(app, round)),
    },
    Race {
        name: "a return during reconciliation",
        one_of: 1,
        run: |app, round| Box::pin(attempts::during_reconciliation(app, round)),
    },
    Race {
        name: "the bank decides while the payment is given up",
        one_of: 1,
        run: |app, round| Box::pin(attempts::given_up(app, round)),
    },
    Race {
        name: "a return while an attempt gives up waiting",
        one_of: 1,
        run: |app, round| Box::pin(attempts::giving_up_waiting(app, round)),
    },
    Race {
        name: "two starts by hand next to the first",
        one_of: 1,
        run: |app, round| Box::pin(payments::by_hand(app, round)),
    },
    Race {
        name: "two starts by hand during a reversal",
        one_of: 1,
        run: |app, round| Box::pin(reversals::by_hand(app, round)),
    },
    Race {
        name: "the order becomes a draft while it is paid",
        one_of: 1,
        run: |app, round| Box::pin(reversals::drafted(app, round)),
    },
    Race {
        name: "the bank settles while the charge is reversed",
        one_of: 1,
        run: |app, round| Box::pin(reversals::settled(app, round)),
    },
    Race {
        name: "everything at once",
        one_of: 1,
        run: |app, round| Box::pin(payments::everything(app, round)),
    },
    Race {
        name: "50 refunds of one order, over what was paid",
        one_of: 20,
        run: |app, round| Box::pin(refunds::fifty_parts(app, round)),
    },
    Race {
        name: "one refund started 50 times",
        one_of: 20,
        run: |app, round| Box::pin(refunds::one_id(app, round)),
    },
    Race {
        name: "a part is given back by hand beside a refund",
        one_of: 1,
        run: |app, round| Box::pin(refunds::by_hand(app, round)),
    },
    Race {
        name: "a charge is voided by hand beside a refund",
        one_of: 1,
        run: |app, round| Box::pin(refunds::voided_by_hand(app, round)),
    },
    Race {
        name: "a refund while the payment still runs",
        one_of: 1,
        run: |app, round| Box::pin(refunds::beside_the_payment(app, round)),
    },
];

#[tokio::test]
#[ignore = "needs the local environment: cargo local test races"]
async fn the_invariants_hold_after_every_round_of_every_race() {
    let rounds = std::env::var(ROUNDS_VARIABLE)
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(3);
    let name = std::env::var(NAME_VARIABLE).unwrap_or_default();
    let races: Vec<_> = RACES
        .iter()
        .filter(|race| race.name.contains(&name))
        .collect();
    assert!(!races.is_empty(), "no race's name contains {name:?}");
    let app = Arc::new(TestApp::connect().await);
    println!();
    let mut violated = Vec::new();
    let begun = Instant::now();
    for race in &races {
        let result = race.run_rounds(&app, rounds).await;
        println!("{}", result.line);
        for violation in &result.violations {
            println!("      {violation}");
        }
        violated.extend(result.violations);
    }
    println!(
        "{} races of {rounds} rounds, {} rounds failed, {:.0} s",
        races.len(),
        violated.len(),
        begun.elapsed().as_secs_f64()
    );
    assert!(violated.is_empty(), "{}", violated.join("\n"));
}

/// What became of all rounds of a race.
struct RaceResult {
    line: String,
    violations: Vec<String>,
}

impl Race {
    async fn run_rounds(&self, app: &Arc<TestApp>, rounds: usize) -> RaceResult {
        let begun = Instant::now();
        let rounds = rounds.div_ceil(self.one_of);
        let turns = Arc::new(Semaphore::new(SIDE_BY_SIDE));
        let mut running = JoinSet::new();
        let mut numbers = BTreeMap::new();
        for round in 1..=rounds {
            let (turns, run) = (turns.clone(), (self.run)(app.clone(), round));
            let task = running.spawn(async move {
                let _turn = turns.acquire_owned().await.expect("never closed");
                run.await
            });
            numbers.insert(task.id(), round);
        }
        let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
        let mut violations = Vec::new();
        while let Some(done) = running.join_next_with_id().await {
            let (id, end) = match done {
                Ok((id, end)) => (id, end),
                Err(broken) => (broken.id(), Err(broken.to_string())),
            };
            match end {
                Ok(how) => *ends.entry(how).or_default() += 1,
                Err(why) => {
                    let round = numbers[&id];
                    violations.push(format!("{}, round {round}: {why}", self.name));
                }
            }
        }
        let ended: Vec<_> = ends
            .iter()
            .map(|(how, times)| format!("{how} {times}"))
            .collect();
        let line = format!(
            "{:<48} {rounds:>4} rounds {:>4} held {:>7.1} s   {}",
            self.name,
            ends.values().sum::<usize>(),
            begun.elapsed().as_secs_f64(),
            ended.join(", ")
        );
        RaceResult { line, violations }
    }
}

/// Something that is to happen together with others.
type Act<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Lets all of them begin at once; what came of each, in their order.
async fn at_once<T: Send + 'static>(acts: Vec<Act<T>>) -> Vec<T> {
    let barrier = Arc::new(Barrier::new(acts.len()));
    let begun: Vec<_> = acts
        .into_iter()
        .map(|act| {
            let barrier = barrier.clone();
            tokio::spawn(async move {
                barrier.wait().await;
                act.await
            })
        })
        .collect();
    let mut done = Vec::new();
    for act in begun {
        done.push(act.await.expect("an act that comes to its end"));
    }
    done
}

/// The browser returns. `Some` is what is wrong with the answer.
fn returns(app: &Arc<TestApp>, paid: &Authenticated) -> Act<Option<String>> {
    let (app, form) = (app.clone(), paid.form.clone());
    Box::pin(async move {
        let answer = app.return_with(&form).await;
        (answer.status != 303)
            .then(|| format!("a return was answered {}: {}", answer.status, answer.body))
    })
}

/// The bank sends its notification. `Some` is what is wrong with the answer. No answer within ten seconds is right: the
/// machine may be busy, and the bank sends it again.
fn notifies(app: &Arc<TestApp>, charge: &str) -> Act<Option<String>> {
    let (app, charge) = (app.clone(), charge.to_owned());
    Box::pin(async move {
        let sent = app.notify(&charge).await;
        let answer = &sent["answer"];
        let taken = answer.is_null() || *answer == 200;
        (!taken).then(|| format!("a notification was answered {answer}"))
    })
}

/// Reconciliation runs.
fn reconciles(app: &Arc<TestApp>) -> Act<Option<String>> {
    let app = app.clone();
    Box::pin(async move {
        app.reconcile().await;
        None
    })
}

/// A person starts the charge's saga under another name.
fn starts_by_hand(app: &Arc<TestApp>, charge: &str, name: &str) -> Act<Option<String>> {
    let (app, name) = (app.clone(), name.to_owned());
    let input = serde_json::json!({"chargeId": charge});
    Box::pin(async move {
        app.start_by_hand_as(&name, &input).await;
        None
    })
}

/// A random part of a time.
fn random_part_of(longest: Duration) -> Duration {
    let thousandths: u32 = random::digits(3).parse().expect("digits");
    longest * thousandths / 1000
}

/// The first error of several acts.
fn all_well(outcomes: Vec<Option<String>>) -> Result<(), String> {
    outcomes.into_iter().flatten().next().map_or(Ok(()), Err)
}

impl TestApp {
    /// Waits until a payment's record is closed.
    async fn closed(&self, key: &str) -> Result<(), String> {
        if self.until_closed(key, PATIENCE).await {
            return Ok(());
        }
        let record = self.read_record(key).await;
        Err(format!(
            "the record stays open: outcome {}, resolution {}, attempt {}",
            record["outcome"], record["resolution"], record["attempt"]
        ))
    }

    /// As [`TestApp::closed`], of a payment.
    async fn comes_to_its_end(&self, paid: &Authenticated) -> Result<(), String> {
        let key = self.inspector.key_of_token(paid.token()).expect("a token");
        self.closed(&key).await
    }

    /// The executions of a charge's attempts, each at its end.
    async fn attempts(&self, charge: &str) -> Vec<ExecutionReport> {
        let id = ChargeId::new(charge).expect("a charge");
        let mut found = Vec::new();
        for attempt in 0..ATTEMPTS {
            let name = execution_name(&id, attempt);
            if self.find_execution(&name).await.is_some() {
                found.push(self.execution(&name).await);
            }
        }
        found
    }

    /// The only execution of a charge, which must have succeeded.
    async fn one_execution(&self, charge: &str) -> Result<ExecutionReport, String> {
        let mut attempts = self.attempts(charge).await;
        match (attempts.pop(), attempts.len()) {
            (Some(one), 0) => succeeded(one),
            (_, more) => Err(format!("{} executions of one charge", more + 1)),
        }
    }

    /// Checks the money invariants for one customer's payments.
    async fn check_invariants(&self, subject: &Subject) -> Result<(), String> {
        let findings = invariants::examine(&self.inspector, subject)
            .await
            .map_err(|error| format!("the invariants cannot be checked: {error:#}"))?;
        if findings.is_empty() {
            Ok(())
        } else {
            Err(findings.to_string())
        }
    }
}

/// The execution if it succeeded; otherwise where it failed.
fn succeeded(execution: ExecutionReport) -> Result<ExecutionReport, String> {
    if execution.has_succeeded() {
        return Ok(execution);
    }
    let error = execution.failure.as_ref();
    Err(format!(
        "execution {} {} in {} with {}",
        execution.name,
        execution.status,
        execution.states().last().unwrap_or(&"no state"),
        error.map_or("no error", |failure| failure.error.as_str())
    ))
}
