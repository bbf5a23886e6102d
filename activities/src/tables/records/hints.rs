//! Charges that somebody has named for a record that has none stored. Hints only: reconciliation asks the bank for
//! them.

use aws_sdk_dynamodb::types::AttributeValue;

use super::super::TableError;
use super::super::item::{Item, n, s, string};
use super::{ORDER_INDEX, Record, Records};
use crate::domain::ids::{ChargeId, OrderId, RecordKey};

/// How many charges a record keeps as hints of each kind. The first ones stay: nobody pushes out what came before.
const HINTS: usize = 3;

/// Who named a charge that may be a record's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// The bank, in a signed notification.
    Notified,
    /// A browser with the record's token, unsigned.
    Returned,
}

impl Hint {
    pub(super) const ALL: [Self; 2] = [Self::Notified, Self::Returned];

    /// The ids that an item holds of this kind.
    pub(super) fn stored(self, item: &Item) -> &[String] {
        let set = item.get(self.attribute());
        set.and_then(|set| set.as_ss().ok())
            .map_or(&[], Vec::as_slice)
    }

    pub(super) fn attribute(self) -> &'static str {
        match self {
            Self::Notified => "notifiedCharges",
            Self::Returned => "returnedCharges",
        }
    }
}

impl Record {
    /// Whether somebody may have named a charge for which there was no room any more.
    #[must_use]
    pub fn hints_may_be_missing(&self) -> bool {
        self.hints_stored.iter().any(|(_, stored)| *stored >= HINTS)
    }
}

impl Records {
    /// Notes a charge that may be the one of a checkout that has none stored, and has reconciliation look for it. Of
    /// each kind the first few are kept. `false` when the record is closed or has a charge.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn note_hint(
        &self,
        key: &RecordKey,
        charge: &ChargeId,
        hint: Hint,
    ) -> Result<bool, TableError> {
        const OPERATION: &str = "note a charge that may be the payment record's";
        const WAITS: &str = "attribute_exists(openShard) AND attribute_not_exists(chargeId)";
        let named = hint.attribute();
        let set = match hint {
            Hint::Notified => "SET lookAgainAt = :now",
            Hint::Returned => "SET lookAgainAt = :now, cameBackAt = :now",
        };
        let now = || (":now", Some(n(self.clock.seconds())));
        let room = format!(
            "{WAITS} AND (attribute_not_exists({named}) OR size({named}) < :most OR contains({named}, :id))"
        );
        let kept = self
            .update_if(
                OPERATION,
                key,
                &format!("{set} ADD {named} :ids"),
                &room,
                [
                    now(),
                    (":most", Some(n(HINTS))),
                    (":id", Some(s(charge.as_str()))),
                    (":ids", Some(AttributeValue::Ss(vec![charge.to_string()]))),
                ],
            )
            .await?;
        if kept {
            return Ok(true);
        }
        self.update_if(OPERATION, key, set, WAITS, [now()]).await
    }

    /// The keys of an order's open records that have no charge stored. The index may lag behind a checkout of the last
    /// moments.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn without_charge(&self, order: &OrderId) -> Result<Vec<RecordKey>, TableError> {
        let output = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(ORDER_INDEX)
            .key_condition_expression("orderId = :order")
            .filter_expression("attribute_exists(openShard) AND attribute_not_exists(chargeId)")
            .projection_expression("tokenId")
            .expression_attribute_values(":order", s(order.as_str()))
            .send()
            .await
            .map_err(TableError::unavailable("find the order's payment records"))?;
        let keys = output.items().iter();
        Ok(keys
            .filter_map(|item| string(item, "tokenId"))
            .map(|key| RecordKey::stored(key.to_owned()))
            .collect())
    }
}
