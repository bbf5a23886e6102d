//! Faults at chosen calls: the same plans as those of the fault proxy on the local AWS, with the same effects. A call
//! belongs to a watched payment whose ids it holds, and the plan says which call of a function gets which fault.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use http::Response;
use payment3_harness::call::CallName;
use payment3_harness::fault_plan::{Fault, Watched};
use payment3_harness::fault_proxy::{CALLER_GIVES_UP, LATE_AT_MOST};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::fault::Party;
use crate::network::{CALLER, Caller, Network, Unanswered};

/// A call of a function for a watched payment.
pub(crate) struct Planned {
    name: CallName,
    party: Party,
    payment: Watched,
    /// What shall happen to it.
    fault: Option<Fault>,
    caller: Arc<Caller>,
}

/// An answer in which the ids of a payment may be.
pub(crate) trait Answer: Send + 'static {
    /// Its body.
    fn body(&self) -> &[u8];
}

impl Answer for Response<Vec<u8>> {
    fn body(&self) -> &[u8] {
        Response::body(self).as_slice()
    }
}

/// None where the other side closes the connection.
impl<T: Answer> Answer for Option<T> {
    fn body(&self) -> &[u8] {
        self.as_ref().map_or(&[], T::body)
    }
}

impl Answer for (u16, Vec<u8>) {
    fn body(&self) -> &[u8] {
        &self.1
    }
}

impl Network {
    /// A call that a function is about to send, if somebody watches its payment. `operation` names it without ids.
    pub(crate) fn planned(
        &self,
        party: Party,
        operation: impl FnOnce() -> String,
        path: &str,
        body: &[u8],
    ) -> Option<Planned> {
        let plans = self.plans()?;
        let payment = plans.of(path, &String::from_utf8_lossy(body))?;
        let caller = CALLER.try_with(Arc::clone).ok()?;
        if party == Party::Bank {
            payment.learn(body, "reference_order");
        }
        let function = caller.name().split(' ').next().unwrap_or_default();
        let name = CallName {
            function: function.to_owned(),
            operation: operation(),
        };
        Some(Planned {
            fault: payment.arrives(&name),
            name,
            party,
            payment,
            caller,
        })
    }

    /// As [`Network::carry`], with the fault that is planned for the call, if it is of a watched payment.
    pub(crate) async fn carry_call<T: Answer>(
        &self,
        planned: Option<Planned>,
        party: Party,
        what: &str,
        effect: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Unanswered> {
        let Some(planned) = planned else {
            return self.carry(party, what, effect).await;
        };
        let (payment, is_bank) = (planned.payment.clone(), planned.party == Party::Bank);
        let effect = effect.map(move |answer| {
            if is_bank {
                payment.learn(answer.body(), "id");
            }
            answer
        });
        if let Some(fault) = planned.fault {
            self.tell(format_args!("  {}: {fault}", planned.name));
        }
        let answer = match planned.fault {
            None => self.carry(party, what, effect).await,
            Some(Fault::Refused | Fault::Away) => Err(Unanswered::Broken),
            Some(Fault::Error) => Err(Unanswered::Error),
            Some(Fault::Throttled) => Err(Unanswered::Throttled),
            Some(Fault::Lost) => {
                self.carry(party, what, effect).await?;
                Err(Unanswered::Broken)
            }
            Some(Fault::Late) => {
                planned.late(effect).await;
                Err(Unanswered::Broken)
            }
            Some(Fault::KilledBefore) => planned.die().await,
            Some(Fault::KilledAfter) => {
                self.carry(party, what, effect).await?;
                planned.die().await
            }
        };
        planned.payment.answered(&planned.name);
        answer
    }
}

impl Planned {
    /// Gives no answer in time. The effect happens after the caller has retried.
    async fn late<T: Answer>(&self, effect: impl Future<Output = T> + Send + 'static) {
        let (waiting, gave_up) = oneshot::channel::<Infallible>();
        let (payment, name) = (self.payment.clone(), self.name.clone());
        tokio::spawn(async move {
            // When the caller gives up, this call's future is dropped, and the sender with it.
            let _ = gave_up.await;
            let _ = timeout(LATE_AT_MOST, payment.next_answer(&name)).await;
            // Nobody reads the answer.
            drop(effect.await);
        });
        sleep(CALLER_GIVES_UP).await;
        drop(waiting);
    }

    /// The caller's process dies.
    async fn die<T>(&self) -> T {
        self.payment.answered(&self.name);
        self.caller.kill();
        std::future::pending().await
    }
}
