//! `payment3-parse-callback`: the state `ParseCallback`.

use payment3_activities::activity::parse_callback::{Input, parse};
use payment3_activities::{lambda, log};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    lambda::serve(async |input: Input| parse(&input.input)).await
}
