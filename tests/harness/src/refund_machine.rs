//! A refund machine as tests use it: any execution with any input, under any name.

use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_sfn::error::SdkError;
use serde_json::Value;

use crate::aws::Aws;
use crate::executions::{ExecutionReport, Executions};

/// Starts and stops executions of one refund machine, and waits for them.
#[derive(Debug, Clone)]
pub struct RefundMachine {
    aws: Aws,
    machine: String,
    executions: Executions,
}

/// What became of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// The execution runs, or one of the same name and input ran already.
    Now,
    /// There is one of this name with another input.
    NameTaken,
}

impl RefundMachine {
    /// The machine of this ARN: the deployed one, or one with the same definition and other times.
    pub fn at(aws: &Aws, machine: &str) -> Self {
        Self {
            aws: aws.clone(),
            machine: machine.to_owned(),
            executions: Executions::of(aws, machine),
        }
    }

    /// Starts an execution of any name with any input.
    ///
    /// # Errors
    /// Step Functions refuses for another reason than the name.
    pub async fn start(&self, name: &str, input: &Value) -> Result<Started> {
        let start = self.aws.sfn.start_execution();
        let start = start
            .state_machine_arn(&self.machine)
            .name(name)
            .input(input.to_string());
        match start.send().await {
            Ok(_) => Ok(Started::Now),
            Err(SdkError::ServiceError(error)) if error.err().is_execution_already_exists() => {
                Ok(Started::NameTaken)
            }
            Err(error) => {
                Err(anyhow::Error::new(error).context(format!("cannot start the refund {name}")))
            }
        }
    }

    /// Stops an execution, as a person does.
    ///
    /// # Errors
    /// There is none of this name.
    pub async fn stop(&self, name: &str) -> Result<()> {
        let arn = crate::executions::execution_arn(&self.machine, name);
        let stop = self.aws.sfn.stop_execution().execution_arn(arn);
        stop.send()
            .await
            .map(drop)
            .with_context(|| format!("cannot stop the refund {name}"))
    }

    /// One execution by its name, as far as it came.
    ///
    /// # Errors
    /// Step Functions does not answer.
    pub async fn find(&self, name: &str) -> Result<Option<ExecutionReport>> {
        self.executions.find(name).await
    }

    /// Waits until the execution of this name is over.
    ///
    /// # Errors
    /// There is none, or it takes longer than `patience`.
    pub async fn end_of(&self, name: &str, patience: Duration) -> Result<ExecutionReport> {
        self.executions.wait_for(name, patience).await
    }
}
