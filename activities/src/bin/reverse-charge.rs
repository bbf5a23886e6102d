//! `payment3-reverse-charge`: the states `ReverseCharge` and `ReverseVerification`.

use payment3_activities::activity::reverse_charge::{Parts, reverse};
use payment3_activities::aws::Service;
use payment3_activities::{lambda, log, wiring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let aws = wiring::Aws::load()?;
    let parts = Parts {
        bank: aws.bank()?,
        records: aws.records()?,
        check_status: aws.check_status()?,
    };
    aws.connect(&[Service::DynamoDb, Service::SecretsManager])
        .await;
    lambda::serve(async |input| reverse(&parts, &input).await).await
}
