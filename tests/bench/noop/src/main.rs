//! A function that does nothing with the runtime that all functions have: nothing on it can be cheaper.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let nothing = async |event: LambdaEvent<Value>| Ok::<Value, Error>(event.payload);
    run(service_fn(nothing)).await
}
