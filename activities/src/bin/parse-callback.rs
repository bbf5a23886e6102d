//! `payment3-parse-callback`: the state `ParseCallback`.

use payment3_activities::activity::parse_callback::parse;
use payment3_activities::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::init_logging();
    lambda::serve(async |input| parse(&input)).await
}
