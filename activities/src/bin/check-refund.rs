//! `payment3-check-refund`: the state `CheckRefund`.

use payment3_activities::activity::check_refund::check;
use payment3_activities::aws::Service;
use payment3_activities::{lambda, log, wiring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let aws = wiring::Aws::load()?;
    let tables = aws.refund_tables()?;
    aws.connect(&[Service::DynamoDb]).await;
    lambda::serve(async |input| check(&tables, &input).await).await
}
