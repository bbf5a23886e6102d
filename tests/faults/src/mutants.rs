//! Deliberately broken copies of the functions: the matrix must find every one of them, in the cell that is made for it, or
//! it proves nothing.
//!
//! The copies are made from the sources by a change of text, outside of them. Each change is one that a person could make.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use payment3_bank::Dialect;
use payment3_harness::fault_plan::Fault;
use payment3_harness::flow::Flow;
use payment3_harness::workspace;

use crate::matrix::Selection;

/// What the copy needs of the repository to be built: the functions, and the other packages for cargo to resolve.
const COPIED: [&str; 4] = ["Cargo.toml", "Cargo.lock", "activities", "tests"];
/// What is installed among the sources.
const INSTALLED: &str = "node_modules";

/// A way to break the functions.
#[derive(Debug)]
pub struct Mutant {
    /// What is broken.
    pub name: &'static str,
    file: &'static str,
    change: Change,
    flows: &'static [Flow],
    faults: &'static [Fault],
    calls: Option<&'static str>,
    /// How the name of every cell begins that can show it.
    pub shows_in: &'static str,
}

/// A change of a source text. What it looks for must be there exactly once.
#[derive(Debug)]
enum Change {
    Replace {
        this: &'static str,
        by: &'static str,
    },
    /// The text from `from` up to `to` moves in front of `before`.
    Move {
        from: &'static str,
        to: &'static str,
        before: &'static str,
    },
}

/// The broken copies.
pub const MUTANTS: [Mutant; 5] = [
    Mutant {
        name: "an order is paid whoever has paid it meanwhile",
        file: "activities/src/tables/orders/mod.rs",
        change: Change::Replace {
            this: r##".condition_expression(conditions.join(" AND "))"##,
            by: r##".condition_expression(conditions.join(" AND ") + " OR attribute_exists(orderId)")"##,
        },
        flows: &[Flow::TwoCards],
        faults: &Fault::ALL,
        calls: Some("pay-order: TransactWriteItems"),
        // Two cards may meet so without a fault.
        shows_in: "[two cards | ",
    },
    Mutant {
        name: "a reversal is recorded, and the bank is not told",
        file: "activities/src/activity/reverse_charge.rs",
        change: Change::Replace {
            this: "let voided = bank.void(&charge.id).await;",
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
        name: "an order that cannot be read is taken for one that is gone",
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
        name: "an attempt that failed is not counted, and its name is burnt",
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
];

/// A way to break the functions that shows in the table of the bank's dialects.
#[derive(Debug)]
pub struct DialectMutant {
    /// What is broken.
    pub mutant: Mutant,
    /// The dialects to play.
    pub dialects: &'static [Dialect],
}

/// The broken copies that only a dialect shows.
pub const DIALECT_MUTANTS: [DialectMutant; 1] = [DialectMutant {
    mutant: Mutant {
        name: "a refund is believed without proof",
        file: "activities/src/bank/mod.rs",
        change: Change::Replace {
            this: "let proven = wire::reversal(&answer, id, &TransactionState::RefundSent)?;",
            by: "let proven = true;",
        },
        flows: &[],
        faults: &[],
        calls: None,
        shows_in: "refused: the order is gone, and the bank has settled | reversals-empty",
    },
    dialects: &[Dialect::ReversalsEmpty],
}];

impl Mutant {
    /// The part of the matrix in which it must show.
    pub fn selection(&self) -> Selection {
        Selection {
            flows: self.flows.to_vec(),
            faults: self.faults.to_vec(),
            calls: self.calls.map(str::to_owned),
            cold: false,
        }
    }

    /// Copies the sources to [`directory`] and breaks the copy. Returns the copy's top directory.
    ///
    /// # Errors
    /// A file cannot be copied, or the sources have changed so that this breakage does not fit them any more.
    pub fn make(&self) -> Result<PathBuf> {
        // Always the same place: cargo compiles the dependencies only once.
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
                "{}: `{part}` is not there exactly once: write the breakage anew",
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
                ensure!(from < to && to < before, "{}: other order", self.file);
                [
                    &text[..from],
                    &text[to..before],
                    &text[from..to],
                    &text[before..],
                ]
                .concat()
            }
        })
    }
}

/// Where the copies are made and built.
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
    fn every_breakage_fits_the_sources() {
        let of_dialects = DIALECT_MUTANTS.iter().map(|of_dialect| &of_dialect.mutant);
        for mutant in MUTANTS.iter().chain(of_dialects) {
            let text = read(&workspace::root().join(mutant.file)).expect("the source");
            let broken = mutant.apply(&text).expect("it fits");
            assert_ne!(broken, text, "{}", mutant.name);
        }
    }
}
