//! `payment3-find-refund`: the state `FindRefund`.

use payment3_activities::activity::find_refund::find;
use payment3_activities::aws::Service;
use payment3_activities::{lambda, log, wiring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let aws = wiring::Aws::load()?;
    let records = aws.records()?;
    aws.connect(&[Service::DynamoDb]).await;
    lambda::serve(async |input| find(&records, &input).await).await
}
