//! `RefundCharge`: all of a charge or a part of it is given back, once the bank has settled it.

use super::refund_request::{Accepted, Input, Parts, RequestError, send};
use crate::domain::refund::Way;

/// Asks the bank for a refund, once.
///
/// # Errors
/// [`RequestError`].
pub async fn refund(parts: &Parts, input: &Input) -> Result<Accepted, RequestError> {
    send(parts, input, Way::Refunded).await
}
