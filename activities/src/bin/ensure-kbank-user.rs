//! `payment3-ensure-kbank-user`: the state `EnsureKBankUser`.

use payment3_activities::activity::ensure_kbank_user::{Parts, ensure};
use payment3_activities::aws::Service;
use payment3_activities::{lambda, log, wiring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let aws = wiring::Aws::load()?;
    let parts = Parts {
        bank: aws.bank()?,
        mapping: aws.mapping()?,
        records: aws.records()?,
        orders: aws.orders()?,
    };
    // The bank's key is needed for the first card of an owner alone.
    aws.connect(&[Service::DynamoDb]).await;
    lambda::serve(async |input| ensure(&parts, &input).await).await
}
