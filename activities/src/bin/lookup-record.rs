//! `payment3-lookup-record`: the state `LookupRecord`.

use payment3_activities::activity::lookup_record::{Parts, lookup};
use payment3_activities::aws::Service;
use payment3_activities::{lambda, log, wiring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let aws = wiring::Aws::load()?;
    let parts = Parts {
        sources: aws.sources()?,
        orders: aws.orders()?,
    };
    aws.connect(&[Service::DynamoDb]).await;
    lambda::serve(async |input| lookup(&parts, &input).await).await
}
