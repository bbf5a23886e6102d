//! Faults on demand.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::GatewayError;

/// An operation that a fault can be planned for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    /// `POST /card/v2/charge`
    CreateCharge,
    /// `GET /card/v2/charge/{id}`
    Inquire,
    /// `POST /card/v2/charge/{id}/void`
    Void,
    /// `POST /card/v2/charge/{id}/refund`
    Refund,
    /// `POST /card/v2/customer`
    CreateCustomer,
    /// `POST /card/v2/customer/{id}/card`
    AddCard,
    /// The bank's own notification of a decision.
    Notification,
}

/// What can go wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FaultKind {
    /// A request is answered with 500, without effect.
    Error,
    /// A request is turned away with 429, without effect.
    Busy,
    /// A request has no effect and no answer: the connection closes after the delay.
    Timeout,
    /// A request has its effect, but no answer: the connection closes after the delay.
    LostAnswer,
    /// A notification is sent after the delay. A request has its effect and its answer after the delay, even if the
    /// caller is gone by then.
    Late,
    /// A notification is sent twice.
    Repeated,
    /// A notification is not sent.
    Never,
}

/// A planned fault.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Fault {
    operation: Operation,
    kind: FaultKind,
    /// The card token of the charge that it is for. Without one it is for any charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// How many times it will still occur.
    #[serde(default = "once")]
    times: u32,
    /// Milliseconds until the connection closes, the late request has its effect, or the late notification is sent.
    #[serde(default = "a_minute")]
    delay_ms: u64,
}

fn once() -> u32 {
    1
}

fn a_minute() -> u64 {
    60_000
}

impl Fault {
    fn check(&self) -> Result<(), GatewayError> {
        let of_notification = match self.kind {
            FaultKind::Error | FaultKind::Busy | FaultKind::Timeout | FaultKind::LostAnswer => {
                Some(false)
            }
            FaultKind::Late => None,
            FaultKind::Repeated | FaultKind::Never => Some(true),
        };
        let is_notification = self.operation == Operation::Notification;
        if of_notification.is_some_and(|of| of != is_notification) {
            return Err(GatewayError::invalid(
                "`error`, `busy`, `timeout` and `lost_answer` are for requests; `repeated` and `never` are for \
                 `notification`; `late` is for both",
            ));
        }
        if self.times == 0 {
            return Err(GatewayError::invalid("`times` must be 1 or more"));
        }
        Ok(())
    }
}

/// A fault that occurs now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ActiveFault {
    /// What happens.
    pub(crate) kind: FaultKind,
    /// How long it lasts.
    pub(crate) delay: Duration,
}

/// The planned faults. Those of one operation occur in the order in which they were planned.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    /// Plans a fault.
    pub(crate) fn plan(&mut self, fault: Fault) -> Result<(), GatewayError> {
        fault.check()?;
        self.0.push(fault);
        Ok(())
    }

    /// Forgets all planned faults.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes the fault that is planned for this operation, if there is one. `token` is the card token of the
    /// operation's charge.
    pub(crate) fn take(
        &mut self,
        operation: Operation,
        token: Option<&str>,
    ) -> Option<ActiveFault> {
        let at = self.0.iter().position(|fault| {
            let is_meant = fault.token.is_none() || fault.token.as_deref() == token;
            fault.operation == operation && is_meant
        })?;
        let fault = &mut self.0[at];
        let active = ActiveFault {
            kind: fault.kind,
            delay: Duration::from_millis(fault.delay_ms),
        };
        fault.times -= 1;
        if fault.times == 0 {
            self.0.remove(at);
        }
        Some(active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(json: &str) -> Fault {
        serde_json::from_str(json).expect("the test gives a fault")
    }

    #[test]
    fn faults_occur_in_order_as_often_as_planned_and_only_in_their_operation() {
        let mut faults = Faults::default();
        faults
            .plan(fault(r#"{"operation":"inquire","kind":"error","times":2}"#))
            .unwrap();
        faults
            .plan(fault(
                r#"{"operation":"inquire","kind":"timeout","delayMs":5}"#,
            ))
            .unwrap();
        assert_eq!(faults.take(Operation::Void, None), None);
        let kinds: Vec<_> = (0..4)
            .filter_map(|_| faults.take(Operation::Inquire, None))
            .collect();
        let error = ActiveFault {
            kind: FaultKind::Error,
            delay: Duration::from_secs(60),
        };
        let timeout = ActiveFault {
            kind: FaultKind::Timeout,
            delay: Duration::from_millis(5),
        };
        assert_eq!(kinds, [error, error, timeout]);
    }

    #[test]
    fn a_fault_that_names_a_token_occurs_for_no_other_charge() {
        let mut faults = Faults::default();
        let busy = r#"{"operation":"create_charge","kind":"busy","token":"tokn_test_a"}"#;
        faults.plan(fault(busy)).unwrap();
        for other in [None, Some("tokn_test_b")] {
            assert_eq!(faults.take(Operation::CreateCharge, other), None);
        }
        let active = faults.take(Operation::CreateCharge, Some("tokn_test_a"));
        assert_eq!(active.map(|active| active.kind), Some(FaultKind::Busy));
    }

    #[test]
    fn a_fault_that_cannot_occur_is_refused() {
        for json in [
            r#"{"operation":"inquire","kind":"repeated"}"#,
            r#"{"operation":"notification","kind":"error"}"#,
            r#"{"operation":"inquire","kind":"error","times":0}"#,
        ] {
            assert!(Faults::default().plan(fault(json)).is_err(), "{json}");
        }
    }
}
