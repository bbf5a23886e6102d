//! `payment3-report-stuck`: the state `ReportStuck`.

use payment3_activities::activity::report_stuck::report;
use payment3_activities::{lambda, log};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    log::init();
    lambda::serve(async |input| report(&input)).await
}
