//! Deliberately broken copies of the functions. The matrix must find every one of them, in the cell that tests for this
//! bug. Otherwise a green matrix would prove nothing.
//!
//! Each mutant is a copy of the sources with a small change of text. Each change is a mistake that a person could make.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use payment3_bank::Dialect;
use payment3_harness::fault_plan::Fault;
use payment3_harness::flow::Flow;
use payment3_harness::workspace;

use crate::definition_change::DefinitionChange;
use crate::matrix::Selection;

/// What the copy needs for a build: the functions, and the other packages of the workspace, which cargo must find.
const COPIED: [&str; 4] = ["Cargo.toml", "Cargo.lock", "activities", "tests"];
/// A directory of installed packages, which is not copied.
const INSTALLED: &str = "node_modules";

/// A way to break the functions.
#[derive(Debug)]
pub struct Mutant {
    /// A description of the bug.
    pub name: &'static str,
    file: &'static str,
    change: Change,
    flows: &'static [Flow],
    faults: &'static [Fault],
    calls: Option<&'static str>,
    /// The prefix of the names of all cells that can find it.
    pub shows_in: &'static str,
}

/// A change of a source text. The text that it searches for must occur exactly once.
#[derive(Debug)]
enum Change {
    Replace {
        this: &'static str,
        by: &'static str,
    },
    /// Moves the text from `from` up to `to` in front of `before`.
    Move {
        from: &'static str,
        to: &'static str,
        before: &'static str,
    },
    /// Of the definition in `file`. The functions stay as they are.
    Definition(DefinitionChange),
}

/// The mutants that the matrix must find.
pub const MUTANTS: [Mutant; 11] = [
    Mutant {
        name: "an order is paid even if another payment has paid it already",
        file: "activities/src/tables/orders/mod.rs",
        change: Change::Replace {
            this: r##".condition_expression(conditions.join(" AND "))"##,
            by: r##".condition_expression(conditions.join(" AND ") + " OR attribute_exists(orderId)")"##,
        },
        flows: &[Flow::TwoCards],
        faults: &Fault::ALL,
        calls: Some("pay-order: TransactWriteItems"),
        // Two cards can collide like this even without a fault.
        shows_in: "[two cards | ",
    },
    Mutant {
        name: "a reversal is recorded, but not requested from the bank",
        file: "activities/src/activity/reverse_charge.rs",
        change: Change::Replace {
            this: "let voided = bank.void(&charge.id, REASON).await;",
            by: "let voided = Ok::<bool, BankError>(true);",
        },
        flows: &[Flow::OrderGone],
        faults: &Fault::ALL,
        calls: None,
        shows_in: "[order gone | no fault]",
    },
    Mutant {
        name: "the record is stored after the charge",
        file: "activities/src/activity/cardtoken/mod.rs",
        change: Change::Move {
            from: "    let checkouts = &parts.checkouts;\n    let mut begun = ",
            to: "    let new_charge = NewCharge {",
            before: "    let record = records.get(&key).await.map_err(cannot_look)?;\n    proceed(",
        },
        flows: &[Flow::WithoutThreeDs],
        faults: &Fault::ALL,
        calls: Some("cardtoken"),
        shows_in: "[without 3-D Secure | cardtoken: ",
    },
    Mutant {
        name: "an order that cannot be read is treated as deleted",
        file: "activities/src/tables/orders/mod.rs",
        change: Change::Replace {
            this: "let item = self.item(id).await?;",
            by: "let item = self.item(id).await.unwrap_or(None);",
        },
        flows: &[Flow::NewUser],
        faults: &[Fault::Away],
        calls: Some("pay-order: GetItem"),
        shows_in: "[1 new user | pay-order: GetItem | away]",
    },
    Mutant {
        name: "a failed attempt is not counted, so the name of its execution cannot be used again",
        file: "activities/src/activity/reconcile/attempts.rs",
        change: Change::Replace {
            this: "self.next_attempt(record, charge_id, &name, &error).await",
            by: "self.put_off(record, super::MINUTE, Noted::Nothing).await?; Ok(Done::Running)",
        },
        flows: &[Flow::NewUser],
        faults: &[Fault::Away],
        calls: Some("pay-order: TransactWriteItems"),
        shows_in: "[1 new user | pay-order: TransactWriteItems | away]",
    },
    Mutant {
        name: "more is reserved than was paid",
        file: "activities/src/tables/records/refunds.rs",
        change: Change::Replace {
            this: r##"None => "(attribute_not_exists(refundedSatang) OR refundedSatang <= :most)".to_owned(),"##,
            by: r##"None => "(attribute_not_exists(refundedSatang) OR refundedSatang <> :most)".to_owned(),"##,
        },
        flows: &[Flow::RefundTwice],
        faults: &Fault::ALL,
        calls: Some("check-refund"),
        // The two can meet like this even without a fault.
        shows_in: "[refund: two at once | ",
    },
    Mutant {
        name: "the ledger does not say that the bank is being asked",
        file: "activities/src/activity/refund_request.rs",
        change: Change::Replace {
            this: "        parts\n            .records\n            .ask_refund(payment, &refund.refund_id, mark, &run),",
            by: "        async { Ok::<bool, TableError>(true) },",
        },
        flows: &[Flow::RefundPart],
        faults: &[Fault::KilledAfter],
        calls: Some("refund-charge: POST"),
        shows_in: "[refund: part | refund-charge: POST charge/*/refund | killed-after]",
    },
    Mutant {
        name: "a request whose answer is lost counts as not sent, and is sent again",
        file: "activities/src/activity/refund_request.rs",
        change: Change::Replace {
            this: "BankError::Unavailable(_) => Self::AnswerLost(error.to_string()),",
            by: "BankError::Unavailable(_) => Self::RefundNotSent(error.to_string()),",
        },
        flows: &[Flow::RefundPart],
        faults: &[Fault::Lost],
        calls: Some("refund-charge: POST"),
        shows_in: "[refund: part | refund-charge: POST charge/*/refund | lost]",
    },
    Mutant {
        name: "a part of which nobody can tell is taken for not done",
        file: "activities/src/activity/find_refund.rs",
        change: Change::Replace {
            this: "        _ => Found::Unclear,",
            by: "        _ => Found::TookNone,",
        },
        flows: &[Flow::RefundPart],
        faults: &[Fault::KilledAfter],
        calls: Some("refund-charge: POST"),
        shows_in: "[refund: part | refund-charge: POST charge/*/refund | killed-after]",
    },
    Mutant {
        name: "an execution takes back what another one asks for",
        file: "statemachine/refund.asl.json",
        change: Change::Definition(DefinitionChange {
            pointer: "/States/TakeBack/Arguments/ConditionExpression",
            this: "refunds.#id.#state = :asked AND refunds.#id.mark = :mark",
            by: "refunds.#id.#state = :asked AND (refunds.#id.mark = :mark OR refunds.#id.mark <> :mark)",
        }),
        flows: &[Flow::RefundStartedTwice],
        faults: &[Fault::Away],
        calls: Some("refund-charge: UpdateItem #2"),
        shows_in: "[refund: started twice | refund-charge: UpdateItem #2 | away]",
    },
    Mutant {
        name: "the amount of a refund that is given up stays taken",
        file: "statemachine/refund.asl.json",
        change: Change::Definition(DefinitionChange {
            pointer: "/States/ReleaseRefund/Arguments/UpdateExpression",
            this: "ADD refundedSatang :released",
            by: "ADD releasedSatang :released",
        }),
        flows: &[Flow::RefundVoidedByHand],
        faults: &[],
        calls: None,
        shows_in: "[refund: part, voided by hand | no fault]",
    },
];

/// A way to break the functions that only the tests of the bank's dialects can find.
#[derive(Debug)]
pub struct DialectMutant {
    /// The mutant.
    pub mutant: Mutant,
    /// The dialects to play.
    pub dialects: &'static [Dialect],
}

/// The mutants that the tests of the bank's dialects must find.
pub const DIALECT_MUTANTS: [DialectMutant; 1] = [DialectMutant {
    mutant: Mutant {
        name: "a refund counts as done without proof from the bank",
        file: "activities/src/bank/mod.rs",
        change: Change::Replace {
            this: "let said = wire::reversal(&answer, id, &TransactionState::RefundSent)?;",
            by: "let said = Said::Done;",
        },
        flows: &[],
        faults: &[],
        calls: None,
        shows_in: "refused: the order is gone, and the bank has settled | reversals-empty",
    },
    dialects: &[Dialect::ReversalsEmpty],
}];

impl Mutant {
    /// The part of the matrix that must find it.
    pub fn selection(&self) -> Selection {
        Selection {
            flows: self.flows.to_vec(),
            faults: self.faults.to_vec(),
            calls: self.calls.map(str::to_owned),
            cold: false,
        }
    }

    /// The change of the definition of refunds, if it is that.
    pub fn definition(&self) -> Option<DefinitionChange> {
        match self.change {
            Change::Definition(change) => Some(change),
            _ => None,
        }
    }

    /// Copies the sources to [`directory`] and breaks the copy. Returns the copy's top directory.
    ///
    /// # Errors
    /// A file cannot be copied, or the sources have changed and this mutant no longer fits them.
    pub fn make(&self) -> Result<PathBuf> {
        // Always the same directory, so that cargo compiles the dependencies only once.
        let copy = directory().join("source");
        if copy.exists() {
            fs::remove_dir_all(&copy).with_context(|| cannot("remove", &copy))?;
        }
        fs::create_dir_all(&copy).with_context(|| cannot("create", &copy))?;
        for name in COPIED {
            copy_all(&workspace::root().join(name), &copy.join(name))?;
        }
        let file = copy.join(self.file);
        let text = self.apply(&read(&file)?)?;
        fs::write(&file, text).with_context(|| cannot("write", &file))?;
        Ok(copy)
    }

    fn apply(&self, text: &str) -> Result<String> {
        let once = |part: &str| {
            ensure!(
                text.matches(part).count() == 1,
                "{}: `{part}` must occur exactly once: adapt the mutant to the changed sources",
                self.file
            );
            Ok(text.find(part).unwrap_or_default())
        };
        Ok(match self.change {
            Change::Replace { this, by } => {
                once(this)?;
                text.replacen(this, by, 1)
            }
            Change::Move { from, to, before } => {
                let (from, to, before) = (once(from)?, once(to)?, once(before)?);
                ensure!(
                    from < to && to < before,
                    "{}: the texts of the mutant are in another order",
                    self.file
                );
                [
                    &text[..from],
                    &text[to..before],
                    &text[from..to],
                    &text[before..],
                ]
                .concat()
            }
            Change::Definition(change) => {
                let mut definition = serde_json::from_str(text)
                    .with_context(|| format!("{} is no JSON", self.file))?;
                change.apply(&mut definition)?;
                definition.to_string()
            }
        })
    }
}

/// The directory where the mutants are copied and built.
pub fn directory() -> PathBuf {
    workspace::local_dir().join("mutants")
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to)
            .map(drop)
            .with_context(|| cannot("copy", from));
    }
    fs::create_dir_all(to).with_context(|| cannot("create", to))?;
    for entry in fs::read_dir(from).with_context(|| cannot("read", from))? {
        let name = entry.with_context(|| cannot("read", from))?.file_name();
        if name != INSTALLED {
            copy_all(&from.join(&name), &to.join(&name))?;
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| cannot("read", file))
}

fn cannot(what: &str, path: &Path) -> String {
    format!("cannot {what} {}", workspace::shown(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_fits_the_sources() {
        let of_dialects = DIALECT_MUTANTS.iter().map(|of_dialect| &of_dialect.mutant);
        for mutant in MUTANTS.iter().chain(of_dialects) {
            let text = read(&workspace::root().join(mutant.file)).expect("the source");
            let broken = mutant.apply(&text).expect("it fits");
            assert_ne!(broken, text, "{}", mutant.name);
        }
    }
}
