//! `payment3-inquire-charge`: the state `InquireCharge`.

use payment3_activities::activity::inquire_charge::inquire;
use payment3_activities::aws::Service;
use payment3_activities::{lambda, log, wiring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let aws = wiring::Aws::load()?;
    let bank = aws.bank()?;
    aws.connect(&[Service::SecretsManager]).await;
    lambda::serve(async |input| inquire(&bank, &input).await).await
}
