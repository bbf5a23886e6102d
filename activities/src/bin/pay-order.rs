//! `payment3-pay-order`: the state `PayOrder`.

use payment3_activities::activity::pay_order::{Tables, pay};
use payment3_activities::aws::Service;
use payment3_activities::{lambda, log, wiring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let aws = wiring::Aws::load()?;
    let tables = Tables {
        orders: aws.orders()?,
        records: aws.records()?,
        check_status: aws.check_status()?,
    };
    aws.connect(&[Service::DynamoDb]).await;
    lambda::serve(async |input| pay(&tables, &input).await).await
}
