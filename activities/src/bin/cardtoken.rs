//! `payment3-cardtoken`: serves `POST /cardpayment`, and `POST /cardtoken` as older pages call it.

use payment3_activities::activity::cardtoken::{Parts, answer};
use payment3_activities::aws::Service;
use payment3_activities::random::Random;
use payment3_activities::{lambda, log, wiring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let aws = wiring::Aws::load()?;
    let parts = Parts {
        orders: aws.orders()?,
        checkouts: aws.checkouts()?,
        bank: aws.bank_on_new_connections()?,
        executions: aws.executions()?,
        merchants: wiring::merchants()?,
        bases: wiring::callback_bases()?,
        bank_origins: wiring::bank_origins()?,
        random: Random::system(),
    };
    aws.connect(&[Service::DynamoDb, Service::SecretsManager])
        .await;
    lambda::serve_infallible(async |request| answer(&parts, &request).await).await
}
