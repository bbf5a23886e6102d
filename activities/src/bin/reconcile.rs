//! `payment3-reconcile`: runs on a schedule.

use payment3_activities::activity::reconcile::{Input, Parts, reconcile};
use payment3_activities::aws::Service;
use payment3_activities::{lambda, log, wiring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let aws = wiring::Aws::load()?;
    let parts = Parts {
        checkouts: aws.checkouts()?,
        bank: aws.bank()?,
        finds_by_reference: wiring::bank_finds_by_reference(),
        executions: aws.executions()?,
    };
    aws.connect(&[Service::DynamoDb]).await;
    lambda::serve_infallible(async |input: Input| reconcile(&parts, &input).await).await
}
