//! The proxy between the measured functions and the services they call: a port with TLS for each service. It passes
//! requests on to the local AWS, the sandbox bank and the demo shop, or answers as they once did, and records every
//! call.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hyper::{Method, StatusCode};
use payment3_harness::call::{Service, operation};
use payment3_harness::endpoints::Endpoints;
use payment3_harness::http_forward::{WholeAnswer, WholeRequest};
use payment3_harness::proxy::{Connection, Handler, NoAnswer, Port};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificates::Certificates;
use crate::lambda::{Lambda, lock};
use crate::writes::items_written;

/// The name of a request that only opens a connection, at a function's start.
pub const CONNECT: &str = "connect";

/// One call of a function.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who was called.
    pub service: Service,
    /// What was asked for: `TransactWriteItems`, `POST charge`.
    pub operation: String,
    /// The table or the secret that it was about. Concurrent calls differ in it.
    pub about: String,
    /// The process that called; 0 during a replay, when only one process runs.
    pub pid: i32,
    /// The connection that the call came by.
    pub connection: u64,
    /// When the proxy had read the request.
    pub begun: Instant,
    /// When the proxy had the answer.
    pub ended: Instant,
    /// How many items it wrote into tables.
    pub items_written: usize,
    /// The answer.
    pub answer: WholeAnswer,
}

#[cfg(test)]
impl Call {
    /// Any call.
    pub(crate) fn example(service: Service, begun: Instant, ended: Instant) -> Self {
        Self {
            service,
            operation: "GetItem".to_owned(),
            about: String::new(),
            pid: 1,
            connection: 1,
            begun,
            ended,
            items_written: 0,
            answer: WholeAnswer::of(StatusCode::OK),
        }
    }
}

/// The proxy. It serves until it is dropped.
pub struct RecordingProxy {
    state: Arc<State>,
    addresses: BTreeMap<Service, String>,
    root_file: PathBuf,
    _serving: JoinSet<io::Error>,
}

struct State {
    http: reqwest::Client,
    /// Where the services really are.
    real: OnceLock<Endpoints>,
    /// The service by which functions invoke each other.
    lambda: OnceLock<Lambda>,
    bank_delay: Mutex<Duration>,
    calls: Mutex<Vec<Call>>,
    unanswered: Mutex<Vec<String>>,
    replay: Mutex<Option<Replay>>,
}

/// Answers to be given again: for each operation on each table, in their order.
struct Replay {
    recorded: Answers,
    left: Answers,
}

type Answers = HashMap<(Service, String, String), VecDeque<WholeAnswer>>;

impl RecordingProxy {
    /// Starts the proxy. Its root certificate goes into `directory`.
    ///
    /// # Errors
    /// There is no free port, Node is missing, or `directory` cannot be written.
    pub async fn open(directory: &Path, logs: &Path) -> Result<Self> {
        let certificates = Certificates::make(directory, logs).await?;
        let state = Arc::new(State {
            http: payment3_harness::http::builder()
                .build()
                .context("no HTTP client for the proxy")?,
            real: OnceLock::new(),
            lambda: OnceLock::new(),
            bank_delay: Mutex::default(),
            calls: Mutex::default(),
            unanswered: Mutex::default(),
            replay: Mutex::default(),
        });
        let mut addresses = BTreeMap::new();
        // An error ends all measuring: whoever waits for an answer then says so.
        let mut serving = JoinSet::new();
        for service in Service::ALL {
            let port = Port::free().await?;
            // By name, as on AWS: looking it up is a part of what a first call costs.
            addresses.insert(service, format!("https://localhost:{}", port.number()?));
            serving.spawn(port.serve(Endpoint {
                service,
                tls: TlsAcceptor::from(certificates.for_one_port()),
                state: state.clone(),
            }));
        }
        Ok(Self {
            state,
            addresses,
            root_file: certificates.root_file,
            _serving: serving,
        })
    }

    /// The address at which a function finds a service.
    pub fn address(&self, service: Service) -> &str {
        &self.addresses[&service]
    }

    /// The certificate that a function must trust.
    pub fn root_file(&self) -> &Path {
        &self.root_file
    }

    /// The addresses that an environment is started with. Functions of the local AWS get one address for all of AWS;
    /// measured functions get one for each service.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints {
            aws: self.address(Service::DynamoDb).to_owned(),
            bank: self.address(Service::Bank).to_owned(),
            shop: self.address(Service::Shop).to_owned(),
        }
    }

    /// Sets where requests are passed on to. Only the first call counts.
    pub fn forward_to(&self, real: Endpoints) {
        // A second environment would need a proxy of its own.
        let _ = self.state.real.set(real);
    }

    /// Lets functions invoke each other from now on.
    pub fn set_lambda(&self, lambda: &Lambda) {
        let _ = self.state.lambda.set(lambda.clone());
    }

    /// Sets how long the bank takes for every answer from now on, beyond its own time.
    pub fn set_bank_delay(&self, time: Duration) {
        *lock(&self.state.bank_delay) = time;
    }

    /// Every call since the last call of this.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut lock(&self.state.calls))
    }

    /// Why requests got no answer since the last call of this. It is never a function's fault.
    pub fn take_unanswered(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.state.unanswered))
    }

    /// Answers requests as these calls were answered, from now on, and does nothing else. Only one function may run.
    pub fn replay(&self, calls: &[Call]) {
        let mut recorded = Answers::new();
        for call in calls {
            let key = (call.service, call.operation.clone(), call.about.clone());
            recorded
                .entry(key)
                .or_default()
                .push_back(call.answer.clone());
        }
        let left = recorded.clone();
        self.pause_lambda(true);
        *lock(&self.state.replay) = Some(Replay { recorded, left });
    }

    /// Starts the replay from its beginning.
    pub fn rewind(&self) {
        if let Some(replay) = &mut *lock(&self.state.replay) {
            replay.left.clone_from(&replay.recorded);
        }
    }

    /// Passes requests on again.
    pub fn stop_replay(&self) {
        *lock(&self.state.replay) = None;
        self.pause_lambda(false);
    }

    fn pause_lambda(&self, paused: bool) {
        if let Some(lambda) = self.state.lambda.get() {
            lambda.pause(paused);
        }
    }
}

/// One port of the proxy.
#[derive(Clone)]
struct Endpoint {
    service: Service,
    tls: TlsAcceptor,
    state: Arc<State>,
}

impl Handler for Endpoint {
    type Stream = TlsStream<TcpStream>;

    async fn accept(&self, stream: TcpStream) -> io::Result<Self::Stream> {
        self.tls.accept(stream).await
    }

    async fn answer(
        &self,
        connection: &Connection,
        request: WholeRequest,
    ) -> Result<WholeAnswer, NoAnswer> {
        let answer = self.record(connection, request).await;
        answer.map_err(|error| {
            lock(&self.state.unanswered).push(format!("{error:#}"));
            NoAnswer
        })
    }
}

impl Endpoint {
    async fn record(&self, connection: &Connection, request: WholeRequest) -> Result<WholeAnswer> {
        let begun = Instant::now();
        let operation = self.operation(&request);
        let about = about(self.service, &request.body);
        let (pid, answer) = match self.state.repeated(self.service, &operation, &about) {
            Some(answer) => (
                0,
                answer.with_context(|| {
                    format!(
                        "{operation} was asked of {} more often than in the payment",
                        self.service
                    )
                })?,
            ),
            None => (
                connection.caller().await?.pid(),
                self.state.pass_on(self.service, &request).await?,
            ),
        };
        if self.service == Service::Bank {
            let takes = *lock(&self.state.bank_delay);
            tokio::time::sleep(takes).await;
        }
        lock(&self.state.calls).push(Call {
            service: self.service,
            items_written: items_written(&operation, &request.body),
            operation,
            about,
            pid,
            connection: connection.id,
            begun,
            ended: Instant::now(),
            answer: answer.clone(),
        });
        Ok(answer)
    }

    /// What a request asks for, without the ids in it.
    fn operation(&self, request: &WholeRequest) -> String {
        let connects = request.method == Method::GET && request.path == "/";
        match self.service {
            Service::Lambda => "Invoke".to_owned(),
            Service::DynamoDb | Service::StepFunctions | Service::SecretsManager if connects => {
                CONNECT.to_owned()
            }
            service => operation(service.target(), request),
        }
    }
}

impl State {
    /// The answer to be repeated, if answers are: `Some(None)` where none is left.
    fn repeated(
        &self,
        service: Service,
        operation: &str,
        about: &str,
    ) -> Option<Option<WholeAnswer>> {
        let mut replay = lock(&self.replay);
        let replay = replay.as_mut()?;
        let key = (service, operation.to_owned(), about.to_owned());
        Some(replay.left.get_mut(&key).and_then(VecDeque::pop_front))
    }

    async fn pass_on(&self, service: Service, request: &WholeRequest) -> Result<WholeAnswer> {
        if service == Service::Lambda {
            return self.invoke(request).await;
        }
        let real = self
            .real
            .get()
            .context("the services are not started yet")?;
        let base = match service {
            Service::Bank => &real.bank,
            Service::Shop => &real.shop,
            _ => &real.aws,
        };
        Ok(request.pass_on(&self.http, base).await?)
    }

    /// Lambda's `Invoke`, as far as the baseline uses it: nobody waits for the result.
    async fn invoke(&self, request: &WholeRequest) -> Result<WholeAnswer> {
        let lambda = self.lambda.get().context("there are no functions yet")?;
        let function = request
            .path
            .strip_prefix("/2015-03-31/functions/")
            .and_then(|path| path.strip_suffix("/invocations"))
            .with_context(|| format!("{} is not Lambda's Invoke", request.path))?;
        lambda.send(function, request.body.clone())?;
        Ok(WholeAnswer::of(StatusCode::ACCEPTED))
    }
}

/// The table or the secret that a request to AWS names.
fn about(service: Service, body: &[u8]) -> String {
    let field = match service {
        Service::DynamoDb => "TableName",
        Service::SecretsManager => "SecretId",
        _ => return String::new(),
    };
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body[field].as_str().unwrap_or_default().to_owned()
}
