//! The local AWS runs this program in place of every function while payments are measured. It passes each event on to
//! the benchmark, which runs the function.

use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
use serde::Deserialize;
use serde_json::Value;

/// The file next to the relay with the address that takes events.
const ADDRESS_FILE: &str = "address";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionError {
    error_type: String,
    error_message: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let file = std::env::current_exe()?.with_file_name(ADDRESS_FILE);
    let address = std::fs::read_to_string(file)?;
    let function = std::env::var("AWS_LAMBDA_FUNCTION_NAME")?;
    let url = format!("{}/{function}", address.trim());
    let http = payment3_harness::http::builder().build()?;
    let relay = async |event: LambdaEvent<Value>| {
        let answer = http.post(&url).json(&event.payload).send().await;
        let answer = answer.map_err(|error| benchmark_failed(&error))?;
        if answer.status().is_success() {
            return answer
                .json::<Value>()
                .await
                .map_err(|error| benchmark_failed(&error));
        }
        let text = answer.text().await.unwrap_or_default();
        Err(match serde_json::from_str::<FunctionError>(&text) {
            Ok(error) => Diagnostic {
                error_type: error.error_type,
                error_message: error.error_message,
            },
            Err(_) => benchmark_failed(&text),
        })
    };
    run(service_fn(relay)).await
}

/// An error of the benchmark, not of the function. No function has an error of this name.
fn benchmark_failed(error: &dyn std::fmt::Display) -> Diagnostic {
    Diagnostic {
        error_type: "BenchmarkFailed".into(),
        error_message: error.to_string(),
    }
}
