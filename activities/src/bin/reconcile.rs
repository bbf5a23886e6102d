//! `payment3-reconcile`: runs on a schedule.

use payment3_activities::activity::reconcile::{Parts, reconcile};
use payment3_activities::aws::Service;
use payment3_activities::{lambda, log, wiring};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let aws = wiring::Aws::load()?;
    let parts = Parts {
        records: aws.records()?,
        check_status: aws.check_status()?,
        bank: aws.bank()?,
        executions: aws.executions()?,
    };
    aws.connect(&[Service::DynamoDb]).await;
    lambda::serve_infallible(async |_schedule: Value| reconcile(&parts).await).await
}
