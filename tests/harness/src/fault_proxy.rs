//! The proxy between the functions and everything outside.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use crate::away::{Away, How, Service};
use crate::call::{CallName, Target, operation};
use crate::endpoints::Endpoints;
use crate::fault_plan::{Fault, FaultPlans, Watched};
use crate::http_forward::{WholeAnswer, WholeRequest};
use crate::peer_process::{PeerProcess, short_name};

/// How long after its caller gave up a late call waits for the caller's next try, before its effect happens anyway.
const LATE_AT_MOST: Duration = Duration::from_secs(6);
/// How long a late call's caller may take to give up. More than any time-out of the functions.
const CALLER_GIVES_UP: Duration = Duration::from_secs(35);

/// A proxy that listens: one address for each thing outside.
pub struct Proxy {
    doors: [(TcpListener, Door); 3],
    fault_plans: FaultPlans,
    addresses: Endpoints,
}

/// One thing outside.
#[derive(Debug, Clone)]
struct Door {
    target: Target,
    /// The real address.
    url: String,
    fault_plans: FaultPlans,
    http: reqwest::Client,
}

impl Proxy {
    /// Takes three free ports in front of what is outside.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn listen(endpoints: &Endpoints, away: Away) -> Result<Self> {
        let fault_plans = FaultPlans::with(away);
        // The functions' own time-outs are to count, not the proxy's.
        let http = crate::http::builder()
            .build()
            .context("no HTTP client for the fault proxy")?;
        let open = async |target, url: &str| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .context("no free port for the fault proxy")?;
            let address = listener.local_addr().context("a listener has an address")?;
            let door = Door {
                target,
                url: url.to_owned(),
                fault_plans: fault_plans.clone(),
                http: http.clone(),
            };
            anyhow::Ok(((listener, door), format!("http://{address}")))
        };
        let (aws_door, aws) = open(Target::Aws, &endpoints.aws).await?;
        let (bank_door, bank) = open(Target::Bank, &endpoints.bank).await?;
        let (shop_door, shop) = open(Target::Shop, &endpoints.shop).await?;
        Ok(Self {
            doors: [aws_door, bank_door, shop_door],
            addresses: Endpoints { aws, bank, shop },
            fault_plans,
        })
    }

    /// Its own addresses, for the functions.
    pub fn addresses(&self) -> &Endpoints {
        &self.addresses
    }

    /// The payments that it watches.
    pub fn fault_plans(&self) -> &FaultPlans {
        &self.fault_plans
    }

    /// Serves until `stopping` completes.
    ///
    /// # Errors
    /// A connection cannot be accepted.
    pub async fn serve(self, stopping: impl Future<Output = ()>) -> Result<()> {
        let [aws, bank, shop] = self.doors;
        let error = tokio::select! {
            () = stopping => return Ok(()),
            error = accept(aws) => error,
            error = accept(bank) => error,
            error = accept(shop) => error,
        };
        Err(error).context("the fault proxy cannot accept a connection")
    }
}

/// Accepts connections until that fails.
async fn accept((listener, door): (TcpListener, Door)) -> std::io::Error {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(connection(stream, peer, door.clone()));
            }
            Err(error) => return error,
        }
    }
}

/// Serves one connection of a function.
async fn connection(stream: TcpStream, peer: SocketAddr, door: Door) {
    let Ok(ours) = stream.local_addr() else {
        return;
    };
    let connection = Arc::new(Connection {
        door,
        ends: (peer, ours),
        caller: OnceCell::new(),
    });
    let service = service_fn(move |request| {
        let connection = connection.clone();
        async move {
            let answer = connection.answer(request).await;
            answer.map(Response::<Full<Bytes>>::from)
        }
    });
    // An error is a caller that went away, or an answer that was not given on purpose.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

struct Connection {
    door: Door,
    /// The function's address, and ours.
    ends: (SocketAddr, SocketAddr),
    /// Looked up once: while a request waits, its socket is certainly there.
    caller: OnceCell<PeerProcess>,
}

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer, on purpose")]
struct NoAnswer;

impl Connection {
    async fn answer(&self, request: Request<Incoming>) -> Result<WholeAnswer, NoAnswer> {
        let request = WholeRequest::read(request).await.map_err(|_| NoAnswer)?;
        match self.away(&request).await {
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
        let Some(watched) = self.door.fault_plans.of(&request.path, &body) else {
            return self.forward(&request).await;
        };
        if self.door.target == Target::Bank {
            learn(&watched, &request.body, "reference_order");
        }
        let call = self.name(&request).await;
        let planned = watched.arrives(&call);
        if watched.has_no_tables(&call.function)
            && Service::of(self.door.target, &request.headers) == Some(Service::DynamoDb)
        {
            return Ok(self.error(StatusCode::TOO_MANY_REQUESTS, &request));
        }
        let answer = match planned {
            None => self.effect(&watched, &request).await,
            Some(fault) => self.spoil(fault, &watched, &call, &request).await,
        };
        watched.answered(&call);
        answer
    }

    /// How what is called is away from its caller, if it is.
    async fn away(&self, request: &WholeRequest) -> Option<How> {
        let away = self.door.fault_plans.away();
        for (function, how) in away.rules_for(self.door.target, &request.headers) {
            let Some(function) = function else {
                return Some(how);
            };
            let caller = self.caller().await.ok();
            if caller.is_some_and(|caller| short_name(&caller.function) == function) {
                return Some(how);
            }
        }
        None
    }

    async fn spoil(
        &self,
        fault: Fault,
        watched: &Watched,
        call: &CallName,
        request: &WholeRequest,
    ) -> Result<WholeAnswer, NoAnswer> {
        match fault {
            Fault::Refused | Fault::Away => Err(NoAnswer),
            Fault::Error => Ok(self.error(StatusCode::INTERNAL_SERVER_ERROR, request)),
            Fault::Throttled => Ok(self.error(StatusCode::TOO_MANY_REQUESTS, request)),
            Fault::Late => self.late(watched, call, request).await,
            Fault::Lost => {
                self.effect(watched, request).await?;
                Err(NoAnswer)
            }
            Fault::KilledBefore => {
                self.kill().await;
                Err(NoAnswer)
            }
            Fault::KilledAfter => {
                self.effect(watched, request).await?;
                self.kill().await;
                Err(NoAnswer)
            }
        }
    }

    /// Lets the caller wait in vain. Once it has tried again, the effect happens all the same.
    async fn late(
        &self,
        watched: &Watched,
        call: &CallName,
        request: &WholeRequest,
    ) -> Result<WholeAnswer, NoAnswer> {
        let (waiting, gave_up) = tokio::sync::oneshot::channel::<Infallible>();
        let late = Self {
            door: self.door.clone(),
            ends: self.ends,
            caller: self.caller.clone(),
        };
        let (watched, call, request) = (watched.clone(), call.clone(), request.clone());
        tokio::spawn(async move {
            let next = watched.next_answer(&call);
            tokio::pin!(next);
            // The caller hangs up: this connection's future is dropped, and the sender with it.
            let _ = gave_up.await;
            let _ = timeout(LATE_AT_MOST, next).await;
            // Nobody waits for the answer.
            let _ = late.effect(&watched, &request).await;
        });
        sleep(CALLER_GIVES_UP).await;
        drop(waiting);
        Err(NoAnswer)
    }

    /// Passes a watched call on, and learns the ids in the bank's answer.
    async fn effect(
        &self,
        watched: &Watched,
        request: &WholeRequest,
    ) -> Result<WholeAnswer, NoAnswer> {
        let answer = self.forward(request).await?;
        if self.door.target == Target::Bank {
            learn(watched, &answer.body, "id");
        }
        Ok(answer)
    }

    async fn forward(&self, request: &WholeRequest) -> Result<WholeAnswer, NoAnswer> {
        let answer = request.pass_on(&self.door.http, &self.door.url).await;
        answer.map_err(|_| NoAnswer)
    }

    async fn kill(&self) {
        let killed = self.caller().await.and_then(PeerProcess::kill);
        killed.expect("a function can be killed");
    }

    async fn caller(&self) -> Result<&PeerProcess> {
        let (peer, ours) = self.ends;
        self.caller
            .get_or_try_init(async || {
                tokio::task::spawn_blocking(move || PeerProcess::behind(peer, ours))
                    .await
                    .context("the look-up of a caller broke")?
            })
            .await
    }

    /// The errors that the real services answer with.
    fn error(&self, status: StatusCode, request: &WholeRequest) -> WholeAnswer {
        let throttled = status == StatusCode::TOO_MANY_REQUESTS;
        let (status, kind, body) = match self.door.target {
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
            // What a load balancer in front of them says.
            Target::Bank | Target::Shop => (status, "text/html", "<h1>not now</h1>".to_owned()),
        };
        let kind = hyper::header::HeaderValue::from_static(kind);
        WholeAnswer {
            status,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, kind)]),
            body: body.into(),
        }
    }

    async fn name(&self, request: &WholeRequest) -> CallName {
        let function = match self.caller().await {
            Ok(caller) => short_name(&caller.function).to_owned(),
            // Such a call is in no cell's plan, so that it shows as one that was not made.
            Err(error) => format!("? ({error:#})"),
        };
        CallName {
            function,
            operation: operation(
                self.door.target,
                &request.method,
                &request.path,
                &request.headers,
            ),
        }
    }
}

fn learn(watched: &Watched, body: &[u8], field: &str) {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let id = json.as_ref().and_then(|json| json[field].as_str());
    // Short values are no ids: they would be found in everybody's calls.
    if let Some(id) = id.filter(|id| id.len() >= 12) {
        watched.learn(id);
    }
}
