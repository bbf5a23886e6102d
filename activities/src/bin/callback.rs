//! `payment3-callback`: serves `/callback` and `POST /notify`, also with a slash at the end, and what no other route
//! takes.

use payment3_activities::activity::callback::{Parts, answer};
use payment3_activities::aws::Service;
use payment3_activities::{lambda, log, wiring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let aws = wiring::Aws::load()?;
    let parts = Parts {
        sources: aws.sources()?,
        checkouts: aws.checkouts()?,
        orders: aws.orders()?,
        bank: aws.bank()?,
        executions: aws.executions()?,
        refunds: aws.refund_executions()?,
        bases: wiring::callback_bases()?,
    };
    aws.connect(&[Service::DynamoDb, Service::StepFunctions])
        .await;
    lambda::serve_infallible(async |request| answer(&parts, &request).await).await
}
