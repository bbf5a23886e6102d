//! The calls of a payment that wait for each other: how many there are, and how many there must be.

use anyhow::{Result, ensure};
use payment3_model::{Machine, NEW_USER, functions_on};

use crate::payment::Played;
use crate::recording_proxy::Call;
use crate::runs::{FunctionRun, latency_calls};

/// From the arrival of the callback to something that somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CriticalPath {
    /// Until the browser is answered.
    ToAnswer,
    /// Until the order is paid.
    ToPaid,
}

impl CriticalPath {
    /// The functions on this path, one after the other. The last is the one that pays the order.
    fn functions(self) -> Vec<String> {
        let mut functions = vec!["callback".to_owned()];
        if self == Self::ToPaid {
            let called = functions_on(Machine::Payment, NEW_USER);
            let pays = called.iter().position(|function| function == "pay-order");
            functions.extend(called.into_iter().take(pays.map_or(0, |at| at + 1)));
        }
        functions
    }

    /// How many calls may follow each other: one for each function, and one more for the callback, which finds the
    /// record and starts the execution.
    pub fn at_most(self) -> usize {
        self.functions().len() + 1
    }

    /// The calls that must wait for each other, whoever makes them, and why each cannot be made together with the one
    /// before.
    pub fn lower_bound(self) -> &'static [(&'static str, &'static str)] {
        const FIND: (&str, &str) = (
            "find the record by its charge",
            "a stranger's callback must not start anything",
        );
        const START: (&str, &str) = (
            "start the execution",
            "it is named after the charge and its attempt, which the record has",
        );
        const INQUIRE: (&str, &str) = (
            "ask the bank",
            "only a charge that we know is asked for, by an execution that can be seen",
        );
        const PAY: (&str, &str) = (
            "pay the order, in one transaction with the record",
            "only what the bank has authorised pays an order",
        );
        match self {
            Self::ToAnswer => &[FIND, START],
            Self::ToPaid => &[FIND, START, INQUIRE, PAY],
        }
    }

    /// The calls of a payment that waited for each other, as `function: operation`.
    ///
    /// # Errors
    /// A function of the path did not run.
    pub fn of(self, played: &Played) -> Result<Vec<String>> {
        let mut runs: Vec<&FunctionRun> = Vec::new();
        let functions = self.functions();
        for function in &functions {
            let ran = runs.len();
            runs.extend(played.of(function));
            ensure!(runs.len() > ran, "{function} did not run in a payment");
        }
        let mut calls: Vec<(&FunctionRun, &Call)> = runs
            .into_iter()
            .flat_map(|run| latency_calls(&run.calls).map(move |call| (run, call)))
            .collect();
        // The most calls of which no two overlap: always take the one that ends first.
        calls.sort_by_key(|(_, call)| call.ended);
        let mut chain = Vec::new();
        let mut over = None;
        for (run, call) in calls {
            if over.is_none_or(|over| call.begun >= over) {
                chain.push(format!("{}: {}", run.function, call.operation));
                over = Some(call.ended);
            }
        }
        Ok(chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_ends_where_the_order_is_paid() {
        let functions = CriticalPath::ToPaid.functions();
        assert_eq!(functions.first().map(String::as_str), Some("callback"));
        assert_eq!(functions.last().map(String::as_str), Some("pay-order"));
        assert!(CriticalPath::ToPaid.lower_bound().len() < CriticalPath::ToPaid.at_most());
        assert_eq!(
            CriticalPath::ToAnswer.at_most(),
            CriticalPath::ToAnswer.lower_bound().len()
        );
    }
}
