//! The sagas' executions: one of the payment machine per charge and attempt, and those of the refund machine that a
//! notification starts.

use aws_sdk_sfn::operation::describe_execution::DescribeExecutionError;
use aws_sdk_sfn::operation::start_execution::StartExecutionError;
use aws_sdk_sfn::types::ExecutionStatus;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::aws::reason;
use crate::domain::browser_return::ReportedStatus;
use crate::domain::ids::{ChargeId, RecordKey};
use crate::domain::refund::ELSEWHERE;
use crate::tables::TableError;

/// Who started an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The shopper's browser came back from 3-D Secure.
    Callback,
    /// The bank's signed notification.
    Notify,
    /// Nobody called back, or the bank had not decided when somebody did.
    Reconcile,
    /// The bank decided at once, so that checkout starts the saga.
    Checkout,
    /// A person, from the console or the command line.
    Operator,
}

/// The input of an execution. A person who starts one by hand needs `chargeId` only.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionInput<'a> {
    /// Who starts it.
    pub source: Source,
    /// The charge to process.
    pub charge_id: &'a ChargeId,
    /// What the caller says of it; not believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ReportedStatus>,
    /// Where the caller found the record, to read it without waiting for an index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_key: Option<&'a RecordKey>,
    /// Which request this is. On AWS a start with the same name and input succeeds while the first execution runs, as
    /// if it had started one. The id makes each input different, so that the second start is told that it is the
    /// second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<&'a str>,
}

/// The name of a charge's execution: the charge id itself, so that every caller names the same one, plus the number of
/// executions that ended at `AwaitBank` before. No two charges and attempts have the same name: an id that reads like
/// another one's name is hashed, as one is that cannot be a name.
#[must_use]
pub fn execution_name(charge_id: &ChargeId, attempt: u32) -> String {
    let id = charge_id.as_str();
    let usable = id.len() <= 64
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let like_an_attempt = id
        .rsplit_once('-')
        .is_some_and(|(_, end)| !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit()));
    let like_a_hash = id.starts_with("h-");
    let base = if usable && !like_an_attempt && !like_a_hash {
        id.to_owned()
    } else {
        format!("h-{}", &hex::encode(Sha256::digest(id))[..60])
    };
    match attempt {
        0 => base,
        attempt => format!("{base}-{attempt}"),
    }
}

/// What starting an execution did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// This call started it.
    Now,
    /// Another call did, earlier or just now.
    Already,
}

/// An execution, as Step Functions shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// When it was started, in seconds since 1970.
    pub started_at: i64,
    /// When it ended, in seconds since 1970; `None` while it runs.
    pub ended_at: Option<i64>,
    /// How it stands.
    pub standing: Standing,
}

/// How an execution stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It goes on.
    Running,
    /// It came to an end of the definition.
    Succeeded,
    /// It failed in place, with this error's name.
    Failed(String),
    /// It ran longer than the definition allows.
    TimedOut,
    /// A person stopped it.
    Aborted,
}

/// Step Functions did not show an execution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the execution could not be looked at: {reason}")]
pub struct NotShown {
    reason: String,
}

/// The execution could not be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the execution could not be started: {reason}")]
pub struct NotStarted {
    reason: String,
}

impl From<TableError> for NotStarted {
    fn from(error: TableError) -> Self {
        Self {
            reason: error.to_string(),
        }
    }
}

impl NotStarted {
    /// The record is not what was read: to be read again.
    #[must_use]
    pub fn record_changed() -> Self {
        Self {
            reason: "the record changed meanwhile".into(),
        }
    }
}

/// A state machine: that of payments, or that of refunds.
#[derive(Clone)]
pub struct Executions {
    client: aws_sdk_sfn::Client,
    state_machine_arn: String,
}

impl Executions {
    /// The state machine with this ARN.
    #[must_use]
    pub fn new(client: aws_sdk_sfn::Client, state_machine_arn: String) -> Self {
        Self {
            client,
            state_machine_arn,
        }
    }

    /// Starts the execution of a charge's attempt, unless it was started before.
    ///
    /// # Errors
    /// [`NotStarted`] when Step Functions did not answer or refused.
    pub async fn start(
        &self,
        input: &ExecutionInput<'_>,
        attempt: u32,
    ) -> Result<Started, NotStarted> {
        let json = serde_json::to_string(input).map_err(|error| NotStarted {
            reason: error.to_string(),
        })?;
        self.start_as(execution_name(input.charge_id, attempt), json)
            .await
    }

    async fn start_as(&self, name: String, input: String) -> Result<Started, NotStarted> {
        let result = self
            .client
            .start_execution()
            .state_machine_arn(&self.state_machine_arn)
            .name(name)
            .input(input)
            .send()
            .await;
        match result {
            Ok(_) => Ok(Started::Now),
            Err(error) => match error.as_service_error() {
                Some(StartExecutionError::ExecutionAlreadyExists(_)) => Ok(Started::Already),
                _ => Err(NotStarted {
                    reason: reason(&error),
                }),
            },
        }
    }

    /// Starts the execution of the refund machine that finds out whether money of this charge was given back by hand,
    /// unless it was started before. The record's key goes along: an index that lags behind must not end it.
    ///
    /// # Errors
    /// [`NotStarted`] when Step Functions did not answer or refused.
    pub async fn start_elsewhere(
        &self,
        charge_id: &ChargeId,
        record_key: &RecordKey,
    ) -> Result<Started, NotStarted> {
        let name = format!("{ELSEWHERE}-{}", execution_name(charge_id, 0));
        let input = serde_json::json!({ "chargeId": charge_id, "recordKey": record_key });
        let input = input.to_string();
        self.start_as(name, input).await
    }

    /// The execution of a charge's attempt; `None` where there is none, or AWS keeps it no longer.
    ///
    /// # Errors
    /// [`NotShown`].
    pub async fn find(
        &self,
        charge_id: &ChargeId,
        attempt: u32,
    ) -> Result<Option<Execution>, NotShown> {
        let name = execution_name(charge_id, attempt);
        let machine = self
            .state_machine_arn
            .replace(":stateMachine:", ":execution:");
        let result = self
            .client
            .describe_execution()
            .execution_arn(format!("{machine}:{name}"))
            .send()
            .await;
        let execution = match result {
            Ok(execution) => execution,
            Err(error) => {
                return match error.as_service_error() {
                    Some(DescribeExecutionError::ExecutionDoesNotExist(_)) => Ok(None),
                    _ => Err(NotShown {
                        reason: reason(&error),
                    }),
                };
            }
        };
        let standing = match execution.status() {
            ExecutionStatus::Succeeded => Standing::Succeeded,
            ExecutionStatus::Failed => {
                Standing::Failed(execution.error().unwrap_or("unnamed").to_owned())
            }
            ExecutionStatus::TimedOut => Standing::TimedOut,
            ExecutionStatus::Aborted => Standing::Aborted,
            // Redrives that wait for their turn, and what AWS may add.
            _ => Standing::Running,
        };
        Ok(Some(Execution {
            started_at: execution.start_date().secs(),
            ended_at: execution.stop_date().map(|at| at.secs()),
            standing,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_charge_id_and_counts_attempts() {
        let id = ChargeId::new("chrg_test_1").unwrap();
        assert_eq!(execution_name(&id, 0), "chrg_test_1");
        assert_eq!(execution_name(&id, 2), "chrg_test_1-2");
    }

    #[test]
    fn ids_that_cannot_be_names_are_hashed_within_the_limit() {
        for id in ["chrg/1", &"c".repeat(65), "chrg:1"] {
            let name = execution_name(&ChargeId::new(id).unwrap(), 999_999);
            assert!(name.starts_with("h-"), "{name}");
            assert!(name.len() <= 80);
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        }
    }

    #[test]
    fn no_charge_has_the_name_of_anothers_attempt() {
        let name = |id: &str, attempt| execution_name(&ChargeId::new(id).unwrap(), attempt);
        assert_ne!(name("chrg_test_1-2", 0), name("chrg_test_1", 2));
        let hashed = name("chrg/1", 0);
        assert_ne!(name(&hashed, 0), hashed);
        assert_eq!(name("chrg-test_1", 0), "chrg-test_1");
    }

    #[test]
    fn the_input_holds_no_token() {
        let token = crate::domain::ids::CardToken::new("tokn_test_obviously_fake").unwrap();
        let input = ExecutionInput {
            source: Source::Callback,
            charge_id: &ChargeId::new("chrg_test_1").unwrap(),
            status: Some(ReportedStatus::Success),
            record_key: Some(&token.record_key()),
            request_id: Some("r-1"),
        };
        assert!(!serde_json::to_string(&input).unwrap().contains("tokn_"));
    }
}
