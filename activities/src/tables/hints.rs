//! A charge that no record has stored may belong to a checkout whose answer was lost or is still on its way. Its id is
//! only a hint: reconciliation asks the bank about it.

use super::TableError;
use super::checkouts::Checkouts;
use super::records::{Hint, Record};
use crate::domain::ids::{ChargeId, OrderId};
use crate::domain::payment::Purpose;

/// How long the order's row alone proves that a charge's record is being written, in seconds. After that there is none.
const RECORD_FOLLOWS_WITHIN: i64 = 5 * 60;

/// What is known here of a charge that a notification names and the index does not know.
#[derive(Debug)]
pub enum Hinted {
    /// It is this record's: only the index was behind.
    Stored(Box<Record>),
    /// It may be a record's that has none stored, where it is kept by now; or its record is being written.
    Kept,
    /// Nothing.
    Unknown,
}

/// Keeps the charge of a signed notification at the open record of its order that has no charge stored. `order` is the
/// bank's `ref_1`, which nobody has signed: it says where to look, and nothing more.
///
/// # Errors
/// [`TableError`].
pub async fn of_notification(
    checkouts: &Checkouts,
    charge: &ChargeId,
    order: Option<&OrderId>,
) -> Result<Hinted, TableError> {
    // Verifications have no row, and their records cannot be told apart.
    let Some(order) = order.filter(|order| Purpose::of(order) == Purpose::Order) else {
        return Ok(Hinted::Unknown);
    };
    let row = checkouts.check_status.row(order).await?;
    let mut kept = row.names_since(
        charge,
        RECORD_FOLLOWS_WITHIN,
        checkouts.records.clock().seconds(),
    );
    let asked = row.asked.map(|asked| asked.key);
    // The row knows the last checkout, without a delay; the index those before it.
    let others = checkouts.records.without_charge(order).await?;
    for key in asked
        .iter()
        .chain(others.iter().filter(|key| Some(*key) != asked.as_ref()))
    {
        let noted = checkouts.records.note_hint(key, charge, Hint::Notified);
        if noted.await? {
            kept = true;
        } else if let Some(record) = checkouts.records.get(key).await?
            && record.charge_id.as_ref() == Some(charge)
        {
            return Ok(Hinted::Stored(Box::new(record)));
        }
    }
    Ok(if kept { Hinted::Kept } else { Hinted::Unknown })
}
