//! One process of a function, as AWS Lambda runs it. It asks the Runtime API for an event, answers it, and asks for the
//! next. Between two events it waits.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use payment3_stack::process::create_log;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, SetOnce, mpsc};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::cpu::CpuClock;
use crate::memory::Memory;

/// The memory that the CDK app gives the functions, in MB. The deployment is checked against it.
pub const DEPLOYED_MB: u32 = 256;
/// How long a function may take for anything. On AWS none has so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// The environment variables of this machine that a process gets.
const INHERITED: [&str; 3] = ["PATH", "HOME", "LANG"];

/// A function's program and its settings.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its name, with prefix and branch.
    pub name: String,
    /// The program.
    pub executable: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The directory that it runs in.
    pub directory: PathBuf,
    /// Its environment variables.
    pub settings: BTreeMap<String, String>,
}

impl Program {
    /// Gives its calls of AWS all the time that they take. One that times out and is repeated would be other work, and a
    /// connection that is given up at the start is opened by the event.
    pub fn wait_for_aws(&mut self) {
        const PATIENT_MS: &str = "400000";
        if let Some(timeout) = self.settings.get_mut("AWS_TIMEOUT_MS") {
            PATIENT_MS.clone_into(timeout);
        }
    }
}

/// The time that something took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    /// Time on the clock.
    pub wall: Duration,
    /// Time on a processor.
    pub cpu: Duration,
}

/// What a function answers to an event.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Its output.
    Output(Bytes),
    /// Its error, in the form of the Runtime API: `{errorType, errorMessage}`.
    Error(Bytes),
}

impl Outcome {
    /// The output as JSON.
    ///
    /// # Errors
    /// The function failed, or its output is not JSON.
    pub fn output(&self) -> Result<Value> {
        match self {
            Self::Output(output) => {
                serde_json::from_slice(output).context("a function's output is not JSON")
            }
            Self::Error(error) => bail!(
                "the function failed: {}",
                serde_json::from_slice::<Value>(error).unwrap_or_default()["errorType"]
            ),
        }
    }
}

/// A running process.
pub struct Sandbox {
    /// Its process id.
    pub pid: i32,
    /// What its start cost: the time until it asked for its first event.
    pub init: Cost,
    child: Child,
    /// Its processor time when it last asked for an event.
    used: Duration,
    events: mpsc::Sender<Bytes>,
    asked: mpsc::Receiver<Asked>,
    answers: mpsc::Receiver<(Instant, Outcome)>,
    api: AbortHandle,
}

/// When a process asked for an event, and its processor time then. Or why it will never ask.
type Asked = Result<(Instant, Duration)>;

/// The state of the Runtime API.
struct Api {
    /// Set as soon as the process is started. It may ask for its first event before that.
    clock: SetOnce<CpuClock>,
    events: Mutex<mpsc::Receiver<Bytes>>,
    asked: mpsc::Sender<Asked>,
    answers: mpsc::Sender<(Instant, Outcome)>,
}

impl Sandbox {
    /// Starts a process and waits until it asks for its first event. Its output goes to a log in `logs`.
    ///
    /// # Errors
    /// The process cannot be started, ends, or takes too long.
    pub async fn start(program: &Program, logs: &Path) -> Result<Self> {
        Self::start_as(program, &[], logs).await
    }

    /// As [`Sandbox::start`], but `wrapper` runs the program: a command and its arguments, such as valgrind's.
    ///
    /// # Errors
    /// As [`Sandbox::start`].
    pub async fn start_as(program: &Program, wrapper: &[&str], logs: &Path) -> Result<Self> {
        let (events, receive_events) = mpsc::channel(1);
        let (tell_asked, mut asked) = mpsc::channel(1);
        let (tell_answer, answers) = mpsc::channel(1);
        let api = Arc::new(Api {
            clock: SetOnce::new(),
            events: Mutex::new(receive_events),
            asked: tell_asked,
            answers: tell_answer,
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("no free port for a Runtime API")?;
        let address = listener.local_addr().context("a listener has an address")?;
        // As servers do: an answer is sent when it is written, not when the one before it was acknowledged.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let server = tokio::spawn(axum::serve(listener, routes(api.clone())).into_future());
        let log = create_log(&logs.join(format!("{}.log", program.name)))?;
        let errors = log.try_clone().context("duplicating the log's handle")?;
        let mut words = wrapper.iter().map(PathBuf::from).collect::<Vec<_>>();
        words.push(program.executable.clone());
        let begun = Instant::now();
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .args(&program.arguments)
            .current_dir(&program.directory)
            .env_clear()
            .envs(
                INHERITED
                    .iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .envs(&program.settings)
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", &program.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", DEPLOYED_MB.to_string())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.name))?;
        let pid = child
            .id()
            .and_then(|id| id.try_into().ok())
            .context("a process that was just started has an id")?;
        let clock = CpuClock::of(pid)?;
        let _ = api.clock.set(clock);
        let first = wait(&mut child, &program.name, asked.recv()).await?;
        let (at, used) = first.with_context(|| format!("{} does not start", program.name))?;
        Ok(Self {
            pid,
            init: Cost {
                wall: at - begun,
                cpu: used,
            },
            child,
            used,
            events,
            asked,
            answers,
            api: server.abort_handle(),
        })
    }

    /// Gives it an event. Waits for its answer, and until it asks for the next event.
    ///
    /// # Errors
    /// The process ends, or takes too long.
    pub async fn invoke(&mut self, event: Bytes) -> Result<(Outcome, Cost)> {
        let begun = Instant::now();
        self.events
            .send(event)
            .await
            .map_err(|_| anyhow!("the Runtime API has ended"))?;
        let (ended, outcome) = wait(&mut self.child, "a function", self.answers.recv()).await?;
        let (_, used) = wait(&mut self.child, "a function", self.asked.recv()).await??;
        let cpu = used - self.used;
        self.used = used;
        let cost = Cost {
            wall: ended - begun,
            cpu,
        };
        Ok((outcome, cost))
    }

    /// Its memory.
    ///
    /// # Errors
    /// The process has ended.
    pub fn memory(&self) -> Result<Memory> {
        Memory::of(self.pid)
    }

    /// Kills it, and waits until it has ended.
    ///
    /// # Errors
    /// It cannot be killed.
    pub async fn stop(mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill a function")
    }

    /// Asks it to end, and waits until it has. A program that watches it, such as valgrind, writes its findings then.
    ///
    /// # Errors
    /// It does not end.
    pub async fn terminate(mut self) -> Result<()> {
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(self.pid),
            nix::sys::signal::Signal::SIGTERM,
        )
        .context("cannot signal a function")?;
        timeout(PATIENCE, self.child.wait())
            .await
            .context("a function does not end")??;
        Ok(())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.api.abort();
    }
}

/// What comes. An error if the process ends before, or if it takes too long.
async fn wait<T>(
    child: &mut Child,
    name: &str,
    coming: impl Future<Output = Option<T>>,
) -> Result<T> {
    tokio::select! {
        come = timeout(PATIENCE, coming) => come
            .with_context(|| format!("{name} takes longer than {} s", PATIENCE.as_secs()))?
            .context("the Runtime API has ended"),
        status = child.wait() => bail!("{name} ended with {}", status?),
    }
}

fn routes(api: Arc<Api>) -> Router {
    const BASE: &str = "/2018-06-01/runtime";
    Router::new()
        .route(&format!("{BASE}/invocation/next"), get(next))
        .route(&format!("{BASE}/invocation/{{id}}/response"), post(respond))
        .route(&format!("{BASE}/invocation/{{id}}/error"), post(fail))
        .route(&format!("{BASE}/init/error"), post(no_start))
        .with_state(api)
}

async fn next(State(api): State<Arc<Api>>) -> Response {
    let at = Instant::now();
    // The process waits for this answer, so it uses no processor time now.
    let used = api.clock.wait().await.now();
    let _ = api.asked.send(used.map(|used| (at, used))).await;
    let Some(event) = api.events.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    (headers(), event).into_response()
}

async fn respond(State(api): State<Arc<Api>>, output: Bytes) -> StatusCode {
    tell(&api, Outcome::Output(output)).await
}

async fn fail(State(api): State<Arc<Api>>, error: Bytes) -> StatusCode {
    tell(&api, Outcome::Error(error)).await
}

async fn tell(api: &Api, outcome: Outcome) -> StatusCode {
    let _ = api.answers.send((Instant::now(), outcome)).await;
    StatusCode::ACCEPTED
}

async fn no_start(State(api): State<Arc<Api>>, error: Bytes) -> StatusCode {
    let error: Value = serde_json::from_slice(&error).unwrap_or_default();
    let _ = api
        .asked
        .send(Err(anyhow!("it says {}", error["errorMessage"])))
        .await;
    StatusCode::ACCEPTED
}

/// What Lambda tells a process about an event.
fn headers() -> HeaderMap {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let deadline = now.unwrap_or_default() + PATIENCE;
    [
        (
            "lambda-runtime-aws-request-id",
            payment3_harness::random::digits(20),
        ),
        (
            "lambda-runtime-deadline-ms",
            deadline.as_millis().to_string(),
        ),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:ap-southeast-1:000000000000:function:measured".to_owned(),
        ),
        ("content-type", "application/json".to_owned()),
    ]
    .into_iter()
    .filter_map(|(name, value)| {
        let value = HeaderValue::from_str(&value).ok()?;
        Some((HeaderName::from_static(name), value))
    })
    .collect()
}
