//! A database that the functions behind the API cannot reach.

use std::process::Command;

use payment3_harness::aws::{ACCESS_KEY, REGION};
use payment3_harness::outputs::Outputs;
use serde_json::{Value, json};

/// The functions that serve the API.
const FUNCTIONS: [&str; 3] = ["cardtoken", "callback", "check-status"];
/// The variable that tells the AWS SDK where DynamoDB is.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_DYNAMODB";
/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

/// An outage of the database. It lasts until this is dropped.
pub(crate) struct Outage {
    functions: Vec<Function>,
}

struct Function {
    name: String,
    /// Its environment as deployed.
    environment: Value,
    outputs: Outputs,
}

impl Outage {
    pub(crate) fn begin(outputs: &Outputs) -> Self {
        let functions: Vec<_> = FUNCTIONS
            .iter()
            .map(|kebab| Function::deployed(kebab, outputs))
            .collect();
        // From here on, a drop restores every function, also after a panic.
        let outage = Self { functions };
        for function in &outage.functions {
            let mut environment = function.environment.clone();
            environment["Variables"][ENDPOINT] = json!(NOWHERE);
            function.configure(&environment);
        }
        outage
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        for function in &self.functions {
            function.configure(&function.environment);
        }
    }
}

impl Function {
    fn deployed(kebab: &str, outputs: &Outputs) -> Self {
        let name = format!("payment3-{kebab}-{}", outputs.branch);
        let arguments = ["get-function-configuration", "--function-name", &name];
        let configuration = aws_lambda(outputs, &arguments);
        Self {
            environment: configuration["Environment"].clone(),
            name,
            outputs: outputs.clone(),
        }
    }

    fn configure(&self, environment: &Value) {
        let environment = environment.to_string();
        let arguments = [
            "update-function-configuration",
            "--function-name",
            &self.name,
            "--environment",
            &environment,
        ];
        aws_lambda(&self.outputs, &arguments);
    }
}

/// Runs `aws lambda` against the local AWS.
fn aws_lambda(outputs: &Outputs, arguments: &[&str]) -> Value {
    let output = Command::new(&outputs.aws_cli)
        .args(["--output", "json", "lambda"])
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ENDPOINT_URL", &outputs.aws_endpoint)
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .output()
        .expect("the AWS command line runs");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}
