//! `payment3-add-card`: the state `AddCard`.

use payment3_activities::activity::add_card::add;
use payment3_activities::aws::Service;
use payment3_activities::{lambda, log, wiring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let aws = wiring::Aws::load()?;
    let (bank, records) = (aws.bank()?, aws.records()?);
    aws.connect(&[Service::DynamoDb, Service::SecretsManager])
        .await;
    lambda::serve(async |input| add(&bank, &records, &input).await).await
}
