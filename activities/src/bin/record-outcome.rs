//! `payment3-record-outcome`: the state `RecordOutcome`.

use payment3_activities::activity::record_outcome::{Tables, record};
use payment3_activities::aws::Service;
use payment3_activities::{lambda, log, wiring};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    let aws = wiring::Aws::load()?;
    let tables = Tables {
        sources: aws.sources()?,
        outcomes: aws.outcomes()?,
        check_status: aws.check_status()?,
    };
    aws.connect(&[Service::DynamoDb]).await;
    lambda::serve(async |input| record(&tables, &input).await).await
}
