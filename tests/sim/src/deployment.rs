//! What a deployment gives to tables, functions and state machines: nothing of it is made up here. A test of the CDK app
//! holds the file against what the app synthesises, and `cargo local renew` renews it.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

const FILE: &str = include_str!("../deployment.json");

/// One branch's stack.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Deployment {
    /// The branch's name.
    pub(crate) branch: String,
    /// AWS's region.
    pub(crate) region: String,
    /// The number of the account.
    pub(crate) account: String,
    /// The tables, by the middle part of their names: `card-payment-record`.
    pub(crate) tables: BTreeMap<String, TableFacts>,
    /// The secrets' ARNs: of `gateway` and `shop-webhook`.
    pub(crate) secrets: BTreeMap<String, String>,
    /// The functions, by the middle part of their names: `record-outcome`.
    pub(crate) functions: BTreeMap<String, FunctionFacts>,
    /// The state machines: `payment` and `refund`.
    pub(crate) machines: BTreeMap<String, MachineFacts>,
    /// The public routes, in the order of their keys.
    pub(crate) routes: Vec<RouteFacts>,
    /// What runs by itself.
    pub(crate) schedule: Vec<ScheduleFacts>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TableFacts {
    /// Its name, with the branch.
    pub(crate) name: String,
    /// The attributes of its key: the partition's and, if there is one, the one that sorts.
    pub(crate) key: Vec<KeyFacts>,
    /// Its global secondary indexes.
    pub(crate) indexes: Vec<IndexFacts>,
}

/// An attribute of a key.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KeyFacts {
    /// The attribute.
    pub(crate) name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) kind: KeyKind,
}

/// The type of an attribute in a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum KeyKind {
    /// Text.
    S,
    /// A number.
    N,
    /// Bytes.
    B,
}

impl KeyKind {
    /// As DynamoDB writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::N => "N",
            Self::B => "B",
        }
    }
}

/// A global secondary index.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct IndexFacts {
    /// Its name.
    pub(crate) name: String,
    /// The attributes of its key.
    pub(crate) key: Vec<KeyFacts>,
    /// What it holds: `ALL` or `KEYS_ONLY`.
    pub(crate) projection: Projection,
}

/// What an index holds of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Projection {
    /// All attributes.
    #[serde(rename = "ALL")]
    All,
    /// The keys of table and index.
    #[serde(rename = "KEYS_ONLY")]
    KeysOnly,
}

/// The names of the deployment's tables.
#[derive(Debug, Clone)]
pub(crate) struct TableNames {
    pub(crate) orders: String,
    pub(crate) records: String,
    pub(crate) check_status: String,
    pub(crate) outcomes: String,
    pub(crate) mapping: String,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct FunctionFacts {
    /// Its ARN.
    pub(crate) arn: String,
    /// The time limit of a run.
    #[serde(rename = "timeoutSeconds", deserialize_with = "seconds")]
    pub(crate) timeout: Duration,
    /// Its memory in megabytes.
    pub(crate) memory_megabytes: u32,
    /// The environment variables that the deployment sets.
    pub(crate) environment: BTreeMap<String, String>,
    /// What it may do: an action and its resource, as `dynamodb:GetItem arn:…`.
    pub(crate) rights: Vec<String>,
}

impl FunctionFacts {
    /// A time in milliseconds from the environment: `BANK_TIMEOUT_MS`, `AWS_TIMEOUT_MS` or `SHOP_TIMEOUT_MS`; `None` where
    /// the function makes no such calls.
    pub(crate) fn millis(&self, variable: &str) -> Option<Duration> {
        let text = self.environment.get(variable)?;
        text.parse().ok().map(Duration::from_millis)
    }
}

/// A state machine.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MachineFacts {
    /// Its ARN.
    pub(crate) arn: String,
    /// The file with its definition, from the top directory.
    pub(crate) definition: String,
    /// What stands for the definition's placeholders.
    pub(crate) substitutions: BTreeMap<String, String>,
    /// What it may do.
    pub(crate) rights: Vec<String>,
}

/// A public route.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RouteFacts {
    /// Its key: `POST /notify`, or `$default`.
    pub(crate) key: String,
    /// The function that serves it.
    pub(crate) function: String,
    /// How many requests a second it accepts.
    pub(crate) rate_per_second: u32,
    /// How many requests it accepts at once.
    pub(crate) burst: u32,
}

/// A run that the schedule starts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ScheduleFacts {
    /// How often.
    #[serde(rename = "everySeconds", deserialize_with = "seconds")]
    pub(crate) every: Duration,
    /// The function.
    pub(crate) function: String,
    /// What it gets.
    pub(crate) input: Value,
    /// How often the schedule repeats what the function's queue did not take.
    pub(crate) retries: u32,
    /// How often a failed run is repeated.
    pub(crate) function_retries: u32,
    /// How long a run may wait for room.
    #[serde(rename = "eventAgeSeconds", deserialize_with = "seconds")]
    pub(crate) event_age: Duration,
}

impl Deployment {
    /// Production: master, which lends its records to other branches.
    ///
    /// # Errors
    /// The file is not as this version reads it.
    pub(crate) fn read() -> Result<&'static Self> {
        static MASTER: OnceLock<Deployment> = OnceLock::new();
        if let Some(read) = MASTER.get() {
            return Ok(read);
        }
        let read = Self::of_branch("master")?;
        Ok(MASTER.get_or_init(|| read))
    }

    /// The deployment of `master`, or of `feature-a`, which borrows master's records.
    ///
    /// # Errors
    /// The file is not as this version reads it, or has no such branch.
    pub(crate) fn of_branch(branch: &str) -> Result<Self> {
        let all: Vec<Self> = serde_json::from_str(FILE).context("tests/sim/deployment.json")?;
        all.into_iter()
            .find(|one| one.branch == branch)
            .with_context(|| format!("tests/sim/deployment.json has no branch {branch}"))
    }

    /// The tables' facts, for [`crate::dynamodb::DynamoDb`].
    pub(crate) fn table_facts(&self) -> Vec<TableFacts> {
        self.tables.values().cloned().collect()
    }

    /// The names of the tables.
    pub(crate) fn table_names(&self) -> TableNames {
        let name = |table: &str| self.tables[table].name.clone();
        TableNames {
            orders: name("order"),
            records: name("card-payment-record"),
            check_status: name("check-status"),
            outcomes: name("credit-card-notify"),
            mapping: name("kbank-user-mapping"),
        }
    }

    /// The middle part of the name of the function with this ARN.
    #[cfg(test)]
    pub(crate) fn function_of(&self, arn: &str) -> Option<&str> {
        let found = self.functions.iter().find(|(_, facts)| facts.arn == arn);
        found.map(|(name, _)| name.as_str())
    }
}

fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_deployments_can_be_read() {
        let master = Deployment::read().unwrap();
        assert_eq!(master.functions["callback"].environment["BRANCH"], "master");
        let records = &master.tables["card-payment-record"];
        assert_eq!(records.indexes.len(), 3);
        assert_eq!(
            master.functions["notify"].millis("SHOP_TIMEOUT_MS"),
            Some(Duration::from_secs(8))
        );
        assert_eq!(master.functions["notify"].millis("BANK_TIMEOUT_MS"), None);
        assert_eq!(master.schedule.len(), 16);
        assert_eq!(
            master.function_of(&master.machines["payment"].substitutions["NotifyFunction"]),
            Some("notify")
        );
        let feature = Deployment::of_branch("feature-a").unwrap();
        assert_eq!(
            feature.functions["record-outcome"].environment["MASTER_CARD_PAYMENT_RECORD_TABLE"],
            records.name
        );
        assert!(Deployment::of_branch("nobody").is_err());
    }
}
