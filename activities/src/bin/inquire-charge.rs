//! `payment3-inquire-charge`: the state `InquireCharge`.

use payment3_activities::activity::inquire_charge::inquire;
use payment3_activities::{lambda, log, wiring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let bank = wiring::Aws::load()?.bank()?;
    lambda::serve(async |input| inquire(&bank, &input).await).await
}
