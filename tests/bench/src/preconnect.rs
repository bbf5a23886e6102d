//! Compares the connections that functions open before their first event with the calls of that event.

use std::collections::BTreeSet;

use payment3_harness::call::Service;

use crate::recording_proxy::{CONNECT, Call};
use crate::runs::FunctionRun;

/// Services that a function calls for few of its events, so that the event opens the connection. Only the first card of
/// an owner needs the bank's key. The callback needs it for a notification, and not for a browser's return. Reconciliation
/// needs it for a due payment, and Step Functions if it starts an execution.
const LEFT_TO_EVENTS: [(&str, Service); 4] = [
    ("callback", Service::SecretsManager),
    ("ensure-kbank-user", Service::SecretsManager),
    ("reconcile", Service::SecretsManager),
    ("reconcile", Service::StepFunctions),
];

/// The connections that do not fit, as `function: service`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preconnections {
    /// Connections that were opened before an event, and carried no call.
    pub unused: BTreeSet<String>,
    /// Services of AWS that an event called, and had no connection to.
    pub missed: BTreeSet<String>,
}

impl Preconnections {
    /// The connections of these runs whose process was started for them.
    pub fn of<'a>(runs: impl IntoIterator<Item = &'a FunctionRun>) -> Self {
        let mut preconnections = Self::default();
        for run in runs {
            if run.invocation.init.is_some() {
                preconnections.examine(run);
            }
        }
        preconnections
    }

    fn examine(&mut self, run: &FunctionRun) {
        let (opened, called): (Vec<&Call>, Vec<&Call>) =
            run.calls.iter().partition(|call| call.operation == CONNECT);
        let named = |call: &Call| format!("{}: {}", run.function, call.service);
        for opening in &opened {
            if !called
                .iter()
                .any(|call| call.connection == opening.connection)
            {
                self.unused.insert(named(opening));
            }
        }
        for call in called {
            let of_aws = !matches!(call.service, Service::Bank | Service::Shop);
            let left = LEFT_TO_EVENTS.contains(&(run.function.as_str(), call.service));
            let open = opened.iter().any(|opening| opening.service == call.service);
            if of_aws && !left && !open {
                self.missed.insert(named(call));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// A call by a connection.
    fn call(service: Service, connection: u64, operation: &str) -> Call {
        let now = Instant::now();
        Call {
            operation: operation.to_owned(),
            connection,
            ..Call::example(service, now, now)
        }
    }

    #[test]
    fn an_unused_and_a_missed_connection_are_found_in_new_processes_only() {
        let calls = vec![
            call(Service::DynamoDb, 1, CONNECT),
            call(Service::DynamoDb, 1, "GetItem"),
            // Opened, and closed before it was used.
            call(Service::StepFunctions, 2, CONNECT),
            call(Service::StepFunctions, 3, "StartExecution"),
            call(Service::SecretsManager, 4, "GetSecretValue"),
            call(Service::Bank, 5, "POST charge"),
        ];
        let new = FunctionRun::example("cardtoken", Some(1), calls.clone());
        let found = Preconnections::of([&new]);
        assert_eq!(
            found.unused,
            ["cardtoken: Step Functions".to_owned()].into()
        );
        assert_eq!(
            found.missed,
            ["cardtoken: Secrets Manager".to_owned()].into()
        );
        let warm = FunctionRun::example("cardtoken", None, calls.clone());
        assert_eq!(Preconnections::of([&warm]), Preconnections::default());
        let left = FunctionRun::example("ensure-kbank-user", Some(1), calls);
        assert!(Preconnections::of([&left]).missed.is_empty());
    }
}
