//! Runs a handler as a Lambda function.

use std::future::Future;

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::Instrument;

use crate::clock::Clock;
use crate::failure::Failure;
use crate::log::{self, Trace};

/// The error's name when a function cannot read its input. It is a fault of the definition, so a retry is useless.
pub const INVALID_INPUT: &str = "InvalidInput";

/// Serves an activity: typed input and output as JSON, errors by their names. The state machine adds `trace` to the
/// input. It goes to the log, and the activity gets the start of its execution from it, as `startedAt` in seconds since
/// 1970.
///
/// # Errors
/// Fails when the Lambda runtime API cannot be reached.
pub async fn serve<I, O, E, H, F>(handler: H) -> Result<(), lambda_runtime::Error>
where
    I: DeserializeOwned,
    O: Serialize,
    E: Failure,
    H: Fn(I) -> F,
    F: Future<Output = Result<O, E>>,
{
    let (handler, clock) = (&handler, &Clock::system());
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let (input, context) = event.into_parts();
        answer(handler, input, &context.request_id, clock).await
    }))
    .await
}

/// What [`serve`] does with one event: the function's output, or the error as the platform shows it to the state
/// machine.
///
/// # Errors
/// The handler's error by its name, or [`INVALID_INPUT`].
pub async fn answer<I, O, E, H, F>(
    handler: &H,
    mut input: Value,
    request_id: &str,
    clock: &Clock,
) -> Result<Value, Diagnostic>
where
    I: DeserializeOwned,
    O: Serialize,
    E: Failure,
    H: Fn(I) -> F,
    F: Future<Output = Result<O, E>>,
{
    let trace = Trace::take_from(&mut input);
    let span = log::span(request_id, trace.as_ref());
    // Boxed: the SDK's futures nest deeper than the compiler likes to lay out in one piece.
    Box::pin(run(handler, input, trace, clock))
        .instrument(span)
        .await
}

async fn run<I, O, E, H, F>(
    handler: &H,
    input: Value,
    trace: Option<Trace>,
    clock: &Clock,
) -> Result<Value, Diagnostic>
where
    I: DeserializeOwned,
    O: Serialize,
    E: Failure,
    H: Fn(I) -> F,
    F: Future<Output = Result<O, E>>,
{
    log::payment_in(&input);
    let input = serde_json::from_value(input)
        .map_err(|error| invalid(&format!("the function's input cannot be read: {error}")))?;
    let output = handler(input).await.map_err(|error| diagnostic(&error))?;
    let output = serde_json::to_value(output)
        .map_err(|error| invalid(&format!("the function's output cannot be written: {error}")))?;
    log::payment_in(&output);
    let since_start = trace.and_then(|trace| trace.since_start(clock.now()));
    tracing::info!(event = "done", sinceStartMs = since_start, "done");
    Ok(output)
}

/// Serves a function that shows the platform no errors: it answers HTTP requests itself, or counts what failed.
///
/// # Errors
/// Fails when the Lambda runtime API cannot be reached.
pub async fn serve_infallible<I, O, H, F>(handler: H) -> Result<(), lambda_runtime::Error>
where
    I: DeserializeOwned,
    O: Serialize,
    H: Fn(I) -> F,
    F: Future<Output = O>,
{
    let handler = &handler;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<I>| {
        let (input, context) = event.into_parts();
        let answer = Box::pin(handler(input));
        async move { Ok::<O, Diagnostic>(answer.await) }
            .instrument(log::span(&context.request_id, None))
    }))
    .await
}

/// The message stays out of the log: a parser's words may quote what it could not read.
fn invalid(message: &str) -> Diagnostic {
    tracing::error!(
        error = INVALID_INPUT,
        "the function's input or output does not fit"
    );
    Diagnostic {
        error_type: INVALID_INPUT.into(),
        error_message: message.into(),
    }
}

fn diagnostic<E: Failure>(error: &E) -> Diagnostic {
    tracing::warn!(error = error.name(), reason = %error, "the activity failed");
    Diagnostic {
        error_type: error.name().into(),
        error_message: error.to_string(),
    }
}
