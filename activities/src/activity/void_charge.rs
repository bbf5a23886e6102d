//! `VoidCharge`: the whole charge is cancelled, before the bank has settled it.

use super::refund_request::{Accepted, Input, Parts, RequestError, send};
use crate::domain::refund::Way;

/// Asks the bank for a void, once.
///
/// # Errors
/// [`RequestError`].
pub async fn void(parts: &Parts, input: &Input) -> Result<Accepted, RequestError> {
    send(parts, input, Way::Voided).await
}
