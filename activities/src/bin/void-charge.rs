//! `payment3-void-charge`: the state `VoidCharge`.

use payment3_activities::activity::refund_request::Parts;
use payment3_activities::activity::void_charge::void;
use payment3_activities::aws::Service;
use payment3_activities::{lambda, log, wiring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let aws = wiring::Aws::load()?;
    let parts = Parts {
        // A request that met a dead connection would be one whose answer is lost.
        bank: aws.bank_on_new_connections()?,
        records: aws.records()?,
    };
    aws.connect(&[Service::DynamoDb, Service::SecretsManager])
        .await;
    lambda::serve(async |input| void(&parts, &input).await).await
}
