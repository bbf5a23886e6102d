//! The results of a measurement.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use crate::billing;
use crate::critical_path::CriticalPath;
use crate::figures::{Case, Figures, Size};
use crate::payment::{Flow, Played};
use crate::preconnect::Preconnections;
use crate::programs::Programs;
use crate::refund::PlayedRefund;
use crate::stats::median;

/// The conditions that a payment was played under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conditions {
    /// Flow 1 or 2.
    pub flow: Flow,
    /// Whether every process was started for it.
    pub cold: bool,
    /// How long the bank took for an answer.
    pub bank: Duration,
}

/// Payments by their conditions.
pub type Payments = BTreeMap<Conditions, Vec<Played>>;

/// Everything that was measured of one system.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Its functions, each measured by itself.
    pub functions: Vec<Figures>,
    /// Its payments.
    pub payments: Payments,
    /// What they were measured with.
    pub cases: Vec<Case>,
}

/// What our functions are compared with.
#[derive(Debug, Clone)]
pub struct Others {
    /// The functions in Python.
    pub baseline: Measured,
    /// The function that does nothing.
    pub noop: Figures,
}

/// The sizes of our functions. They mean something for released programs only.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Each function's program and archive.
    pub programs: BTreeMap<String, Size>,
    /// The most memory that each function had, in KiB.
    pub peaks_kib: Peaks,
}

/// The most memory that each function had, in KiB.
pub type Peaks = BTreeMap<String, u64>;

/// The counts of our functions. They are the same for released programs and for those that are built for tests.
#[derive(Debug, Clone)]
pub struct Counts {
    /// One payment of each flow, with warm functions.
    pub warm: [Played; 2],
    /// One refund of each way, with warm functions.
    pub refunds: [PlayedRefund; 2],
    /// The connections that did not fit the events, in payments whose processes were all new.
    pub preconnections: Preconnections,
}

impl Measured {
    /// The milliseconds that AWS Lambda charges for all functions of a payment, with this much memory: the median.
    ///
    /// # Errors
    /// No payment was played under these conditions.
    pub fn billed(&self, conditions: Conditions, memory_mb: u32) -> Result<u64> {
        let played = self.payments.get(&conditions);
        let billed = |played| billing::billed_payment(played, conditions.bank, memory_mb);
        median(played.into_iter().flatten().map(billed))
    }
}

impl Sizes {
    /// The sizes of these programs.
    ///
    /// # Errors
    /// A program cannot be read.
    pub fn of(programs: &Programs, peaks_kib: Peaks) -> Result<Self> {
        let mut sizes = BTreeMap::new();
        for (name, bootstrap) in &programs.bootstraps {
            sizes.insert(name.clone(), Size::of(bootstrap)?);
        }
        Ok(Self {
            programs: sizes,
            peaks_kib,
        })
    }
}

impl Counts {
    /// The calls of a warm payment of Flow 1 that followed each other.
    ///
    /// # Errors
    /// A function of the path did not run.
    pub fn critical_path(&self, path: CriticalPath) -> Result<Vec<String>> {
        path.of(&self.warm[0])
    }
}
