//! `payment3-check-status`: serves `GET /checkstatus/{orderId}`.

use payment3_activities::activity::check_status::answer;
use payment3_activities::aws::Service;
use payment3_activities::{lambda, log, wiring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let aws = wiring::Aws::load()?;
    let table = aws.check_status()?;
    let shop = wiring::default_callback_base()?;
    aws.connect(&[Service::DynamoDb]).await;
    lambda::serve_infallible(async |request| answer(&table, &shop, &request).await).await
}
