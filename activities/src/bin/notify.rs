//! `payment3-notify`: the states `NotifySuccess`, `NotifyFailure`, `NotifyReversal` and `NotifyCard`, and of the refund
//! machine `NotifyRefund`, `NotifyRefundFailed` and `NotifyElsewhere`.

use payment3_activities::activity::notify::{Shop, notify};
use payment3_activities::aws::Service;
use payment3_activities::{lambda, log, wiring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let aws = wiring::Aws::load()?;
    let shop = Shop {
        endpoint: aws.webhook_endpoint()?,
        signing_key: aws.secret("SHOP_WEBHOOK_SECRET_ARN")?,
    };
    aws.connect(&[Service::SecretsManager]).await;
    lambda::serve(async |input| notify(&shop, &input).await).await
}
