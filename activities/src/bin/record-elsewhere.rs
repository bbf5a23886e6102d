//! `payment3-record-elsewhere`: the state `RecordElsewhere`.

use payment3_activities::activity::record_elsewhere::record;
use payment3_activities::aws::Service;
use payment3_activities::{lambda, log, wiring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let aws = wiring::Aws::load()?;
    let tables = aws.refund_tables()?;
    aws.connect(&[Service::DynamoDb]).await;
    lambda::serve(async |input| record(&tables, &input).await).await
}
