//! Deliberately broken copies of the functions. The matrix must find every one of them, in the cell that tests for this
//! bug. Otherwise a green matrix would prove nothing.

use std::path::PathBuf;

use anyhow::Result;
use payment3_bank::Dialect;
use payment3_harness::broken_copy::Break;
use payment3_harness::definition_change::DefinitionChange;
use payment3_harness::fault_plan::Fault;
use payment3_harness::flow::Flow;
use payment3_harness::{breaks, workspace};

use crate::matrix::Selection;

/// A way to break the functions.
#[derive(Debug)]
pub struct Mutant {
    broken: &'static Break,
    flows: &'static [Flow],
    faults: &'static [Fault],
    calls: Option<&'static str>,
    /// The prefix of the names of all cells that can find it.
    pub shows_in: &'static str,
}

/// The mutants that the matrix must find.
pub const MUTANTS: [Mutant; 10] = [
    Mutant {
        broken: &breaks::PAID_TWICE,
        flows: &[Flow::TwoCards],
        faults: &Fault::ALL,
        calls: Some("pay-order: TransactWriteItems"),
        // Two cards can collide like this even without a fault.
        shows_in: "[two cards | ",
    },
    Mutant {
        broken: &breaks::REVERSED_WITHOUT_REQUEST,
        flows: &[Flow::OrderGone],
        faults: &Fault::ALL,
        calls: None,
        shows_in: "[order gone | no fault]",
    },
    Mutant {
        broken: &breaks::STORED_AFTER_THE_CHARGE,
        flows: &[Flow::WithoutThreeDs],
        faults: &Fault::ALL,
        calls: Some("cardtoken"),
        shows_in: "[without 3-D Secure | cardtoken: ",
    },
    Mutant {
        broken: &breaks::ATTEMPT_NOT_COUNTED,
        flows: &[Flow::NewUser],
        faults: &[Fault::Away],
        calls: Some("pay-order: TransactWriteItems"),
        shows_in: "[1 new user | pay-order: TransactWriteItems | away]",
    },
    Mutant {
        broken: &breaks::MORE_RESERVED_THAN_PAID,
        flows: &[Flow::RefundTwice],
        faults: &Fault::ALL,
        calls: Some("check-refund"),
        // The two can meet like this even without a fault.
        shows_in: "[refund: two at once | ",
    },
    Mutant {
        broken: &breaks::NOT_SAID_THAT_ASKED,
        flows: &[Flow::RefundPart],
        faults: &[Fault::KilledAfter],
        calls: Some("refund-charge: POST"),
        shows_in: "[refund: part | refund-charge: POST charge/*/refund | killed-after]",
    },
    Mutant {
        broken: &breaks::LOST_IS_NOT_SENT,
        flows: &[Flow::RefundPart],
        faults: &[Fault::Lost],
        calls: Some("refund-charge: POST"),
        shows_in: "[refund: part | refund-charge: POST charge/*/refund | lost]",
    },
    Mutant {
        broken: &breaks::UNCLEAR_IS_NOT_DONE,
        flows: &[Flow::RefundPart],
        faults: &[Fault::KilledAfter],
        calls: Some("refund-charge: POST"),
        shows_in: "[refund: part | refund-charge: POST charge/*/refund | killed-after]",
    },
    Mutant {
        broken: &breaks::TAKES_BACK_ANOTHERS,
        flows: &[Flow::RefundStartedTwice],
        faults: &[Fault::Away],
        calls: Some("refund-charge: UpdateItem #2"),
        shows_in: "[refund: started twice | refund-charge: UpdateItem #2 | away]",
    },
    Mutant {
        broken: &breaks::STAYS_TAKEN,
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
        broken: &breaks::BELIEVED_WITHOUT_PROOF,
        flows: &[],
        faults: &[],
        calls: None,
        shows_in: "refused: the order is gone, and the bank has settled | reversals-empty",
    },
    dialects: &[Dialect::ReversalsEmpty],
}];

impl Mutant {
    /// A description of the bug.
    pub fn name(&self) -> &'static str {
        self.broken.name
    }

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
        self.broken.definition()
    }

    /// Makes a broken copy of the sources in [`directory`]. Returns the copy's top directory.
    ///
    /// # Errors
    /// A file cannot be copied, or the sources have changed and this mutant no longer fits them.
    pub fn make(&self) -> Result<PathBuf> {
        let copy = directory().join("source");
        self.broken.make(&copy)?;
        Ok(copy)
    }
}

/// The directory where the mutants are copied and built.
pub fn directory() -> PathBuf {
    workspace::local_dir().join("mutants")
}
