//! `outputs.json`: what a running environment tells the other commands and the tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::aws::is_healthy;
use crate::executions::execution_arn;
use crate::workspace;

/// Names another `outputs.json` than that of `cargo local up`: the end-to-end tests run against an environment of their
/// own.
pub const FILE_VARIABLE: &str = "PAYMENT3_OUTPUTS";

/// Addresses and names of a running environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// The HTTP API's base URL, without a slash at its end.
    pub api_url: String,
    /// The local AWS.
    pub aws_endpoint: String,
    /// The region everything is deployed to.
    pub region: String,
    /// The sandbox bank.
    pub bank_url: String,
    /// The demo shop.
    pub shop_url: String,
    /// The branch that names the functions, tables and so on.
    pub branch: String,
    /// The state machine of payments.
    pub state_machine_arn: String,
    /// The state machine of refunds.
    pub refund_state_machine_arn: String,
    /// The secret with the bank's address and keys.
    pub gateway_secret_arn: String,
    /// The secret whose key signs the events to the shop.
    pub shop_webhook_secret_arn: String,
    /// The tables' names by their kebab name, such as `card-payment-record`.
    pub tables: BTreeMap<String, String>,
    /// The AWS command line installed beside the local AWS.
    pub aws_cli: PathBuf,
}

impl Outputs {
    /// Where the outputs to use are: those of `cargo local up`, or those that [`FILE_VARIABLE`] names.
    pub fn file() -> PathBuf {
        match std::env::var_os(FILE_VARIABLE) {
            Some(file) if !file.is_empty() => file.into(),
            _ => workspace::local_dir().join("outputs.json"),
        }
    }

    /// Writes them in one go: a reader sees all or nothing.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let new = file.with_extension("json.new");
        let text = serde_json::to_string_pretty(self).context("outputs are plain JSON")?;
        fs::write(&new, text + "\n")
            .and_then(|()| fs::rename(&new, file))
            .with_context(|| format!("cannot write {}", workspace::shown(file)))
    }

    /// Reads them and makes sure that the environment still runs.
    ///
    /// # Errors
    /// There are none, or nothing answers: with what to do.
    pub async fn of_running(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).map_err(|_| {
            anyhow!(
                "nothing runs here ({} is absent): run `cargo local up` first, and leave it running in another terminal",
                workspace::shown(file)
            )
        })?;
        let outputs: Self = serde_json::from_str(&text).with_context(|| {
            format!(
                "{} is not what this version writes: run `cargo local up` again",
                workspace::shown(file)
            )
        })?;
        if !is_healthy(&outputs.aws_endpoint).await {
            bail!(
                "the local AWS does not answer at {}: run `cargo local up` first, and leave it running in another terminal",
                outputs.aws_endpoint
            );
        }
        Ok(outputs)
    }

    /// The ARN of a payment's execution by its name.
    pub fn execution_arn(&self, name: &str) -> String {
        execution_arn(&self.state_machine_arn, name)
    }

    /// The name of a table by its kebab name.
    ///
    /// # Errors
    /// There is no such table.
    pub fn table(&self, kebab: &str) -> Result<&str> {
        self.tables
            .get(kebab)
            .map(String::as_str)
            .with_context(|| format!("the deployment has no table {kebab}"))
    }
}
