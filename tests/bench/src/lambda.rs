//! A Lambda service, as far as payments need it: it starts processes, gives them events, and records what each run
//! cost.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::memory::Memory;
use crate::sandbox::{Cost, Outcome, Program, Sandbox};

/// Which process gets an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// A new one for each event. It ends afterwards.
    Cold,
    /// One that is idle, if there is one.
    Warm,
}

/// A function handled an event.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The function's name, with prefix and branch.
    pub function: String,
    /// The process.
    pub pid: i32,
    /// The event.
    pub event: Bytes,
    /// What the start of the process cost, if it was started for this event.
    pub init: Option<Cost>,
    /// What the invocation itself cost.
    pub cost: Cost,
    /// When the process was started, or got the event.
    pub begun: Instant,
    /// When it got the event.
    pub given: Instant,
    /// When the process asked for the next event.
    pub ended: Instant,
    /// The process's memory afterwards.
    pub memory: Memory,
}

/// The service. Copies share everything.
#[derive(Clone)]
pub struct Lambda(Arc<Service>);

struct Service {
    logs: PathBuf,
    programs: Mutex<BTreeMap<String, Program>>,
    start: Mutex<Start>,
    idle: Mutex<HashMap<String, Vec<Sandbox>>>,
    invocations: Mutex<Vec<Invocation>>,
    failures: Mutex<Vec<anyhow::Error>>,
    running: watch::Sender<usize>,
    paused: AtomicBool,
}

impl Lambda {
    /// A service without functions. Functions log into `logs`.
    #[must_use]
    pub fn new(logs: PathBuf) -> Self {
        Self(Arc::new(Service {
            logs,
            programs: Mutex::default(),
            start: Mutex::new(Start::Warm),
            idle: Mutex::default(),
            invocations: Mutex::default(),
            failures: Mutex::default(),
            running: watch::Sender::new(0),
            paused: AtomicBool::new(false),
        }))
    }

    /// Adds a function.
    pub fn add(&self, program: Program) {
        lock(&self.0.programs).insert(program.name.clone(), program);
    }

    /// Lets every function wait for AWS as long as it takes, so that a busy machine changes no count.
    pub fn wait_for_aws(&self) {
        let mut programs = lock(&self.0.programs);
        programs.values_mut().for_each(Program::wait_for_aws);
    }

    /// The program of a function.
    ///
    /// # Errors
    /// There is no function of this name.
    pub fn program(&self, name: &str) -> Result<Program> {
        let programs = lock(&self.0.programs);
        let program = programs.get(name).cloned();
        program.with_context(|| format!("there is no function {name}"))
    }

    /// Sets how processes are started from now on. Idle processes end.
    pub fn set_start(&self, start: Start) {
        *lock(&self.0.start) = start;
        lock(&self.0.idle).clear();
    }

    /// Gives a function an event, and waits for the answer.
    ///
    /// # Errors
    /// The function cannot be run.
    pub async fn invoke(&self, name: &str, event: Bytes) -> Result<Outcome> {
        let _running = self.running();
        let program = self.program(name)?;
        let start = *lock(&self.0.start);
        let begun = Instant::now();
        let idle = lock(&self.0.idle).get_mut(name).and_then(Vec::pop);
        let (mut sandbox, init) = match idle {
            Some(sandbox) => (sandbox, None),
            None => {
                let sandbox = Sandbox::start(&program, &self.0.logs).await?;
                let init = sandbox.init;
                (sandbox, Some(init))
            }
        };
        let given = Instant::now();
        let (outcome, cost) = sandbox.invoke(event.clone()).await?;
        lock(&self.0.invocations).push(Invocation {
            function: program.name,
            pid: sandbox.pid,
            event,
            init,
            cost,
            begun,
            given,
            ended: Instant::now(),
            memory: sandbox.memory()?,
        });
        match start {
            Start::Cold => sandbox.stop().await?,
            Start::Warm => lock(&self.0.idle)
                .entry(name.to_owned())
                .or_default()
                .push(sandbox),
        }
        Ok(outcome)
    }

    /// Gives a function an event, and does not wait for the answer.
    ///
    /// # Errors
    /// There is no such function.
    pub fn send(&self, name: &str, event: Bytes) -> Result<()> {
        self.program(name)?;
        // Counted from now on, so that `wait_until_idle` waits for it.
        let running = self.running();
        let (lambda, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            let result = lambda.invoke(&name, event).await;
            // Nobody gets this output, so a failure is kept for `wait_until_idle`.
            if let Err(error) = result.and_then(|outcome| outcome.output()) {
                lock(&lambda.0.failures).push(error.context(name));
            }
            drop(running);
        });
        Ok(())
    }

    /// Waits until no function runs.
    ///
    /// # Errors
    /// A function has failed whose answer nobody waited for.
    pub async fn wait_until_idle(&self) -> Result<()> {
        let mut running = self.0.running.subscribe();
        running
            .wait_for(|running| *running == 0)
            .await
            .context("the service has ended")?;
        match lock(&self.0.failures).pop() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Every invocation since the last call of this, in the order of their ends.
    pub fn take_invocations(&self) -> Vec<Invocation> {
        std::mem::take(&mut lock(&self.0.invocations))
    }

    /// Refuses invocations from the local AWS, or takes them again. Nothing else may run while one function is
    /// measured.
    pub fn pause(&self, paused: bool) {
        self.0.paused.store(paused, Ordering::Relaxed);
    }

    /// Serves the relays, which the local AWS runs as its functions. Returns the address that they need.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn serve_relays(&self) -> Result<String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("no free port for the relays")?;
        let address = listener.local_addr().context("a listener has an address")?;
        let routes = Router::new()
            .route("/functions/{name}", post(relayed))
            .with_state(self.clone());
        tokio::spawn(axum::serve(listener, routes).into_future());
        Ok(format!("http://{address}/functions"))
    }

    fn running(&self) -> Running {
        self.0.running.send_modify(|running| *running += 1);
        Running(self.clone())
    }
}

/// Counts as a running function until it is dropped.
struct Running(Lambda);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.running.send_modify(|running| *running -= 1);
    }
}

async fn relayed(State(lambda): State<Lambda>, Path(name): Path<String>, event: Bytes) -> Response {
    if lambda.0.paused.load(Ordering::Relaxed) {
        let busy = (
            StatusCode::SERVICE_UNAVAILABLE,
            "another function is being measured",
        );
        return busy.into_response();
    }
    match lambda.invoke(&name, event).await {
        Ok(Outcome::Output(output)) => output.into_response(),
        Ok(Outcome::Error(error)) => (StatusCode::UNPROCESSABLE_ENTITY, error).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
    }
}

/// Locks a mutex, even after a panic under its lock. Each value here is valid after every statement.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
