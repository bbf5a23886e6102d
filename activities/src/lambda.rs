//! Runs a handler as a Lambda function.

use std::future::Future;

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::Failure;

/// The name under which input that the function cannot read fails: a fault of the definition, so retrying is useless.
pub const INVALID_INPUT: &str = "InvalidInput";

/// Serves an activity: typed input and output as JSON, errors under their names.
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
    let handler = &handler;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| async move {
        let input = serde_json::from_value(event.payload).map_err(|error| Diagnostic {
            error_type: INVALID_INPUT.into(),
            error_message: format!("the function's input cannot be read: {error}"),
        })?;
        Box::pin(handler(input))
            .await
            .map_err(|error| diagnostic(&error))
    }))
    .await
}

/// Serves a function that has no errors for the platform to see: it answers HTTP requests itself, or counts what failed.
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
    lambda_runtime::run(service_fn(move |event: LambdaEvent<I>| async move {
        // Boxed: the SDK's futures nest deeper than the compiler likes to lay out in one piece.
        Ok::<O, Diagnostic>(Box::pin(handler(event.payload)).await)
    }))
    .await
}

/// Sets up structured logging: JSON lines where the function's logging configuration says so.
pub fn init_logging() {
    lambda_runtime::tracing::init_default_subscriber();
}

fn diagnostic<E: Failure>(error: &E) -> Diagnostic {
    tracing::warn!(error = error.name(), reason = %error, "the activity failed");
    Diagnostic {
        error_type: error.name().into(),
        error_message: error.to_string(),
    }
}
