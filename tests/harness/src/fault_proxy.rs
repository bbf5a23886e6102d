//! The proxy between the functions and the services that they call. It injects the planned fault into a call of a
//! watched payment, and simulates outages of services. It forwards everything else.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::away::{Away, How};
use crate::call::{CallName, Service, Target, operation};
use crate::endpoints::Endpoints;
use crate::fault_plan::{Fault, FaultPlans, Watched};
use crate::http_forward::{WholeAnswer, WholeRequest};
use crate::peer_process::{PeerProcess, short_name};
use crate::proxy::{Connection, Handler, NoAnswer, Port};

/// How long a late call waits for its caller's retry. After that its effect happens anyway.
pub const LATE_AT_MOST: Duration = Duration::from_secs(6);
/// How long a late call's caller may take to give up: longer than any timeout of the functions.
pub const CALLER_GIVES_UP: Duration = Duration::from_secs(35);

/// A proxy with a port in front of AWS, of the bank and of the shop.
pub struct Proxy {
    ports: [(Port, Upstream); 3],
    fault_plans: FaultPlans,
    addresses: Endpoints,
}

impl Proxy {
    /// Takes three free ports in front of these addresses.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn listen(endpoints: &Endpoints, away: Away) -> Result<Self> {
        let fault_plans = FaultPlans::with(away);
        // No timeout: the functions' own timeouts must apply.
        let http = crate::http::builder()
            .build()
            .context("no HTTP client for the fault proxy")?;
        let open = async |target, url: &str| {
            let port = Port::free().await?;
            let address = format!("http://127.0.0.1:{}", port.number()?);
            let upstream = Upstream {
                target,
                url: url.to_owned(),
                fault_plans: fault_plans.clone(),
                http: http.clone(),
            };
            anyhow::Ok(((port, upstream), address))
        };
        let (to_aws, aws) = open(Target::Aws, &endpoints.aws).await?;
        let (to_bank, bank) = open(Target::Bank, &endpoints.bank).await?;
        let (to_shop, shop) = open(Target::Shop, &endpoints.shop).await?;
        Ok(Self {
            ports: [to_aws, to_bank, to_shop],
            addresses: Endpoints { aws, bank, shop },
            fault_plans,
        })
    }

    /// The proxy's addresses, for the functions.
    pub fn addresses(&self) -> &Endpoints {
        &self.addresses
    }

    /// The watched payments.
    pub fn fault_plans(&self) -> &FaultPlans {
        &self.fault_plans
    }

    /// Serves until `stopping` completes.
    ///
    /// # Errors
    /// A connection cannot be accepted.
    pub async fn serve(self, stopping: impl Future<Output = ()>) -> Result<()> {
        let [aws, bank, shop] = self.ports.map(|(port, upstream)| port.serve(upstream));
        let error = tokio::select! {
            () = stopping => return Ok(()),
            error = aws => error,
            error = bank => error,
            error = shop => error,
        };
        Err(error).context("the fault proxy cannot accept a connection")
    }
}

/// What is behind one port of the proxy.
#[derive(Debug, Clone)]
struct Upstream {
    target: Target,
    /// The real address.
    url: String,
    fault_plans: FaultPlans,
    http: reqwest::Client,
}

impl Handler for Upstream {
    type Stream = TcpStream;

    async fn accept(&self, stream: TcpStream) -> io::Result<TcpStream> {
        Ok(stream)
    }

    async fn answer(
        &self,
        connection: &Connection,
        request: WholeRequest,
    ) -> Result<WholeAnswer, NoAnswer> {
        match self.away(connection, &request).await {
            None => {}
            Some(How::Slow(by)) => sleep(by).await,
            Some(How::Closed) => return Err(NoAnswer),
            Some(How::Throttled) => return Ok(self.error(StatusCode::TOO_MANY_REQUESTS, &request)),
            Some(How::Silent) => {
                sleep(CALLER_GIVES_UP).await;
                return Err(NoAnswer);
            }
        }
        let body = String::from_utf8_lossy(&request.body);
        let Some(watched) = self.fault_plans.of(&request.path, &body) else {
            return self.forward(&request).await;
        };
        if self.target == Target::Bank {
            watched.learn(&request.body, "reference_order");
        }
        let call = self.name(connection, &request).await;
        let planned = watched.arrives(&call);
        if watched.has_no_tables(&call.function)
            && Service::of(self.target, &request.headers) == Some(Service::DynamoDb)
        {
            return Ok(self.error(StatusCode::TOO_MANY_REQUESTS, &request));
        }
        let answer = match planned {
            None => self.effect(&watched, &request).await,
            Some(fault) => {
                let injected = Injected {
                    upstream: self,
                    connection,
                    watched: &watched,
                    call: &call,
                    request: &request,
                };
                injected.answer(fault).await
            }
        };
        watched.answered(&call);
        answer
    }
}

/// A call that a fault is injected into.
struct Injected<'a> {
    upstream: &'a Upstream,
    connection: &'a Connection,
    watched: &'a Watched,
    call: &'a CallName,
    request: &'a WholeRequest,
}

impl Injected<'_> {
    async fn answer(&self, fault: Fault) -> Result<WholeAnswer, NoAnswer> {
        let error = |status| Ok(self.upstream.error(status, self.request));
        match fault {
            Fault::Refused | Fault::Away => Err(NoAnswer),
            Fault::Error => error(StatusCode::INTERNAL_SERVER_ERROR),
            Fault::Throttled => error(StatusCode::TOO_MANY_REQUESTS),
            Fault::Late => self.late().await,
            Fault::Lost => {
                self.effect().await?;
                Err(NoAnswer)
            }
            Fault::KilledBefore => {
                self.kill().await;
                Err(NoAnswer)
            }
            Fault::KilledAfter => {
                self.effect().await?;
                self.kill().await;
                Err(NoAnswer)
            }
        }
    }

    async fn effect(&self) -> Result<WholeAnswer, NoAnswer> {
        self.upstream.effect(self.watched, self.request).await
    }

    /// Gives no answer in time. The effect happens after the caller has retried.
    async fn late(&self) -> Result<WholeAnswer, NoAnswer> {
        let (waiting, gave_up) = tokio::sync::oneshot::channel::<Infallible>();
        let upstream = self.upstream.clone();
        let (watched, call) = (self.watched.clone(), self.call.clone());
        let request = self.request.clone();
        tokio::spawn(async move {
            let next = watched.next_answer(&call);
            tokio::pin!(next);
            // When the caller closes the connection, this call's future is dropped, and the sender with it.
            let _ = gave_up.await;
            let _ = timeout(LATE_AT_MOST, next).await;
            // Nobody reads the answer.
            let _ = upstream.effect(&watched, &request).await;
        });
        sleep(CALLER_GIVES_UP).await;
        drop(waiting);
        Err(NoAnswer)
    }

    async fn kill(&self) {
        let caller = self.connection.caller().await;
        let killed = caller.and_then(PeerProcess::kill);
        killed.expect("a function can be killed");
    }
}

impl Upstream {
    /// The outage of the called service, if there is one for this caller.
    async fn away(&self, connection: &Connection, request: &WholeRequest) -> Option<How> {
        let away = self.fault_plans.away();
        for (function, how) in away.rules_for(self.target, &request.headers) {
            let Some(function) = function else {
                return Some(how);
            };
            let caller = connection.caller().await.ok();
            if caller.is_some_and(|caller| short_name(&caller.function) == function) {
                return Some(how);
            }
        }
        None
    }

    /// Forwards a watched call, and adds the ids in the bank's answer to the payment.
    async fn effect(
        &self,
        watched: &Watched,
        request: &WholeRequest,
    ) -> Result<WholeAnswer, NoAnswer> {
        let answer = self.forward(request).await?;
        if self.target == Target::Bank {
            watched.learn(&answer.body, "id");
        }
        Ok(answer)
    }

    async fn forward(&self, request: &WholeRequest) -> Result<WholeAnswer, NoAnswer> {
        let answer = request.pass_on(&self.http, &self.url).await;
        answer.map_err(|_| NoAnswer)
    }

    /// The service's own form of an error.
    fn error(&self, status: StatusCode, request: &WholeRequest) -> WholeAnswer {
        let throttled = status == StatusCode::TOO_MANY_REQUESTS;
        let (status, kind, body) = match self.target {
            Target::Aws => {
                let dynamodb = request
                    .headers
                    .get("x-amz-target")
                    .is_some_and(|target| target.as_bytes().starts_with(b"DynamoDB"));
                let (status, name) = match (throttled, dynamodb) {
                    (true, true) => (
                        StatusCode::BAD_REQUEST,
                        "com.amazonaws.dynamodb.v20120810#ThrottlingException",
                    ),
                    (true, false) => (StatusCode::BAD_REQUEST, "ThrottlingException"),
                    (false, true) => (
                        status,
                        "com.amazonaws.dynamodb.v20120810#InternalServerError",
                    ),
                    (false, false) => (status, "InternalServiceError"),
                };
                let body = json!({"__type": name, "message": "not now"}).to_string();
                (status, "application/x-amz-json-1.0", body)
            }
            // As a load balancer in front of them answers.
            Target::Bank | Target::Shop => (status, "text/html", "<h1>not now</h1>".to_owned()),
        };
        let kind = hyper::header::HeaderValue::from_static(kind);
        WholeAnswer {
            status,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, kind)]),
            body: body.into(),
        }
    }

    async fn name(&self, connection: &Connection, request: &WholeRequest) -> CallName {
        let function = match connection.caller().await {
            Ok(caller) => short_name(&caller.function).to_owned(),
            // No fault is planned for this name, so the test reports that the planned call was never made.
            Err(error) => format!("? ({error:#})"),
        };
        CallName {
            function,
            operation: operation(self.target, request),
        }
    }
}
