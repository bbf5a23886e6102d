//! A record that another system made: what it says, and its copy in our layout.

use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::super::TableError;
use super::super::item::{Item, baht, boolean, identifier, integer, n, s, string};
use super::super::records::{FIRST_LOOK_AFTER, Record, unreadable};
use crate::clock;
use crate::domain::ids::{CardToken, ChargeId, OrderId, OwnerId, RecordKey};
use crate::domain::money::Satang;
use crate::domain::payment::Origin;

/// What was done with a record. A copy begins without it.
const DONE_HERE: &[&str] = &[
    "handledBy",
    "decidedAt",
    "orderPaidAt",
    "cardSavedTo",
    "resolution",
    "reversingSince",
    "refundAskedAt",
    "reversedAt",
    "reversal",
    "refundId",
    "closedAt",
    "closedAs",
    "unknownSince",
    "troubleSince",
    "returnStarts",
    "returnAskedAt",
];
/// What the former system's records do not have. Such a name means something else there: read as ours, it could hide
/// the payment.
const OLD_HAVE_NONE: &[&str] = &[
    "redirectUrl",
    "referenceOrder",
    "formFingerprint",
    "cameBackAt",
    "paidNotifiedAt",
    "bankKey",
];

/// A record that this stack's checkout did not make.
pub struct Foreign {
    /// Whose it is.
    pub origin: Origin,
    /// The order that it pays.
    pub order_id: OrderId,
    /// To whom the order belongs, where the record says so.
    pub owner_id: Option<OwnerId>,
    /// What was charged, where the record says so.
    pub amount: Option<Satang>,
    /// The base of the final redirect: not yet checked.
    pub callback: Option<String>,
    pub(super) charge_id: ChargeId,
    pub(super) key: RecordKey,
    /// The original's own key: in the old layout the card token.
    source_key: String,
    pub(super) handled_by: Option<String>,
    /// Absent only where the system that made the record has closed it.
    token: Option<CardToken>,
    old_layout: bool,
    done: bool,
    item: Item,
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreign")
            .field("origin", &self.origin)
            .field("order_id", &self.order_id)
            .finish_non_exhaustive()
    }
}

impl Foreign {
    /// Reads an item of whatever layout.
    ///
    /// # Errors
    /// [`TableError::Unreadable`] naming an attribute that a payment cannot do without.
    pub fn read(item: Item, origin: Origin) -> Result<Self, TableError> {
        let old_layout = !Record::is_current(&item);
        let id = string(&item, "tokenId").ok_or_else(|| unreadable("tokenId"))?;
        let token = if old_layout {
            Some(CardToken::new(id).map_err(|_| unreadable("tokenId"))?)
        } else {
            string(&item, "token").and_then(|token| CardToken::new(token).ok())
        };
        let key = match &token {
            Some(token) => token.record_key(),
            None => RecordKey::stored(id.to_owned()),
        };
        let source_key = id.to_owned();
        let owner = identifier(&item, "ownerId").or_else(|| identifier(&item, "userId"));
        Ok(Self {
            origin,
            source_key,
            order_id: identifier(&item, "orderId")
                .and_then(|id| OrderId::new(id).ok())
                .ok_or_else(|| unreadable("orderId"))?,
            owner_id: owner.and_then(|id| OwnerId::new(id).ok()),
            amount: integer(&item, "amountSatang")
                .and_then(|satang| Satang::new(satang).ok())
                .or_else(|| baht(&item, "amount"))
                .or_else(|| baht(&item, "grandTotal")),
            callback: string(&item, "callback").map(str::to_owned),
            done: if old_layout {
                boolean(&item, "status") == Some(true)
            } else {
                item.contains_key("closedAt") || item.contains_key("resolution")
            },
            charge_id: string(&item, "chargeId")
                .and_then(|id| ChargeId::new(id).ok())
                .ok_or_else(|| unreadable("chargeId"))?,
            handled_by: string(&item, "handledBy").map(str::to_owned),
            key,
            token,
            old_layout,
            item,
        })
    }

    /// Whether the system that made it is done with it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the system that made it has recorded that the bank authorised the charge. It goes on with that, or has
    /// done so.
    #[must_use]
    pub fn knows_authorisation(&self) -> bool {
        if self.old_layout {
            self.done
        } else {
            matches!(string(&self.item, "outcome"), Some("paid" | "returned"))
                || self.item.contains_key("resolution")
        }
    }

    /// Whether the system that made it says that the order is paid by its charge.
    pub(super) fn is_paid(&self) -> bool {
        if self.old_layout {
            self.done
        } else {
            string(&self.item, "resolution") == Some("orderPaid")
        }
    }

    /// The record in our layout: whatever else it holds is kept. `source_table` is where the original stays.
    #[must_use]
    pub fn copy(
        &self,
        owner: &OwnerId,
        amount: Satang,
        source_table: &str,
        now: Timestamp,
    ) -> Item {
        let key = &self.key;
        let look_again_at = now.as_second() + FIRST_LOOK_AFTER;
        let now = clock::rfc3339(now);
        let mut item = self.item.clone();
        let of_our_layout = if self.old_layout { OLD_HAVE_NONE } else { &[] };
        for gone in DONE_HERE.iter().chain(of_our_layout) {
            item.remove(*gone);
        }
        item.extend([
            ("tokenId".into(), s(key.as_str())),
            ("orderId".into(), s(self.order_id.as_str())),
            ("ownerId".into(), s(owner.as_str())),
            ("amountSatang".into(), n(amount.satang())),
            ("currency".into(), s("THB")),
            ("outcome".into(), s("pending")),
            ("status".into(), AttributeValue::Bool(false)),
            ("attempt".into(), n(0)),
            ("openShard".into(), n(key.open_shard())),
            ("lookAgainAt".into(), n(look_again_at)),
            ("openSince".into(), s(&now)),
            (
                "origin".into(),
                s(match self.origin {
                    Origin::Borrowed => "borrowed",
                    Origin::Own | Origin::Old => "old",
                }),
            ),
            ("sourceTable".into(), s(source_table)),
            (
                "sourceLayout".into(),
                s(if self.old_layout { "old" } else { "current" }),
            ),
            // Closing removes `token`, and a copy that is opened again has to find its original. An old one has the
            // token for its key, in clear, in a table that the same functions read: no new secret stays here.
            ("sourceKey".into(), s(&self.source_key)),
        ]);
        if let Some(token) = &self.token {
            item.insert("token".into(), s(token.expose()));
        }
        item.entry("createdAt".into()).or_insert_with(|| s(&now));
        item
    }
}

/// Where the original of a copy is: its table, its key there, and whether it has the old layout. `None` for a record
/// that is no copy.
pub(super) fn original<'a>(
    copy: &'a Item,
    key: &'a RecordKey,
) -> Result<Option<(&'a str, &'a str, bool)>, TableError> {
    let Some(table) = string(copy, "sourceTable") else {
        return Ok(None);
    };
    let old_layout = string(copy, "sourceLayout") == Some("old");
    // Copies made before there was a `sourceKey` have their token until they are closed.
    let source_key = match string(copy, "sourceKey") {
        Some(source_key) => Some(source_key),
        None if old_layout => string(copy, "token"),
        None => Some(key.as_str()),
    };
    let source_key = source_key.ok_or_else(|| unreadable("sourceKey"))?;
    Ok(Some((table, source_key, old_layout)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(extra: &[(&str, AttributeValue)]) -> Item {
        let mut item = Item::from([
            ("tokenId".into(), s("tokn_test_obviously_fake")),
            ("chargeId".into(), s("chrg_1")),
            ("orderId".into(), s("482500007436")),
        ]);
        item.extend(
            extra
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        item
    }

    fn read(extra: &[(&str, AttributeValue)]) -> Foreign {
        Foreign::read(old(extra), Origin::Old).unwrap()
    }

    #[test]
    fn the_status_of_old_records_is_read_in_every_type_that_it_was_written_in() {
        for (status, done) in [
            (AttributeValue::Bool(true), true),
            (AttributeValue::Bool(false), false),
            (s("true"), true),
            (s("True"), true),
            (s("false"), false),
            (n(1), true),
            (n(0), false),
            (s("1"), true),
            // One strange attribute must not hide a payment: the bank is asked.
            (s("who knows"), false),
            (AttributeValue::Null(true), false),
        ] {
            assert_eq!(
                read(&[("status", status.clone())]).is_done(),
                done,
                "{status:?}"
            );
        }
    }

    #[test]
    fn the_amount_of_old_records_is_read_in_every_type_that_it_was_written_in() {
        for amount in [
            n("1500"),
            n("1500.00"),
            s("1500"),
            s("1500.00"),
            s("1,500.00"),
        ] {
            let record = read(&[("amount", amount.clone())]);
            assert_eq!(
                record.amount.map(Satang::satang),
                Some(150_000),
                "{amount:?}"
            );
        }
        assert_eq!(read(&[("amount", s("a lot"))]).amount, None);
    }

    #[test]
    fn ids_of_old_records_may_be_numbers() {
        let record = read(&[("orderId", n(482_500_007_436_i64)), ("userId", n(7))]);
        assert_eq!(record.order_id.as_str(), "482500007436");
        assert_eq!(record.owner_id, OwnerId::new("7").ok());
    }

    #[test]
    fn no_word_of_ours_in_an_old_record_hides_the_payment() {
        for (name, value) in [
            ("resolution", s("who knows")),
            ("closedAs", s("done")),
            ("referenceOrder", s("R-1")),
            ("origin", s("web")),
            ("currency", s("USD")),
            ("orderId", n(482_500_007_436_i64)),
        ] {
            let record = read(&[(name, value)]);
            let owner = OwnerId::new("usr_1").unwrap();
            let copy = record.copy(
                &owner,
                Satang::new(150_000).unwrap(),
                "the-table",
                Timestamp::now(),
            );
            let read = Record::read(&copy).unwrap();
            assert!(!read.is_closed() && read.resolution.is_none(), "{name}");
            assert_eq!(
                (read.reference_order, read.currency.as_str()),
                (None, "THB"),
                "{name}"
            );
        }
    }

    #[test]
    fn a_copy_starts_anew_and_keeps_which_key_made_the_charge() {
        let bounds = [
            ("unknownSince", n(1)),
            ("troubleSince", n(1)),
            ("returnStarts", AttributeValue::L(vec![n(1)])),
            ("returnAskedAt", n(1)),
        ];
        let key = [("bankKey", s("0123456789abcdef"))];
        let current = [("outcome", s("pending")), ("token", s("tokn_test_x"))];
        for (of_this_layout, bank_key) in [(true, Some("0123456789abcdef")), (false, None)] {
            let mut item = old(&[&bounds[..], &key].concat());
            if of_this_layout {
                item.extend(
                    current
                        .clone()
                        .map(|(name, value)| (name.to_owned(), value)),
                );
            }
            let borrowed = Foreign::read(item, Origin::Borrowed).unwrap();
            let owner = OwnerId::new("usr_1").unwrap();
            let copy = borrowed.copy(
                &owner,
                Satang::new(150_000).unwrap(),
                "the-table",
                Timestamp::now(),
            );
            for (name, _) in &bounds {
                assert!(!copy.contains_key(*name), "{name}");
            }
            let read = Record::read(&copy).unwrap();
            assert_eq!(read.bank_key.as_deref(), bank_key, "{of_this_layout}");
        }
    }

    #[test]
    fn a_copy_finds_its_original_without_its_token_too() {
        let owner = OwnerId::new("usr_1").unwrap();
        let total = Satang::new(150_000).unwrap();
        let mut of_master = old(&[("outcome", s("pending")), ("sourceKey", s("masters-own"))]);
        of_master.insert("tokenId".into(), s("masters-key"));
        for (item, source_key, is_old) in [
            (old(&[]), "tokn_test_obviously_fake", true),
            (of_master, "masters-key", false),
        ] {
            let foreign = Foreign::read(item, Origin::Borrowed).unwrap();
            let mut copy = foreign.copy(&owner, total, "the-table", Timestamp::now());
            copy.remove("token");
            let found = original(&copy, &foreign.key).unwrap();
            assert_eq!(found, Some(("the-table", source_key, is_old)));

            // Made before there was a key of the original.
            copy.remove("sourceKey");
            let found = original(&copy, &foreign.key);
            if is_old {
                let error = found.unwrap_err();
                assert!(error.to_string().contains("`sourceKey`"), "{error}");
                copy.insert("token".into(), s(source_key));
            }
            let found = original(&copy, &foreign.key).unwrap();
            assert_eq!(found, Some(("the-table", source_key, is_old)));
        }
        let own = old(&[("outcome", s("pending"))]);
        assert_eq!(original(&own, &RecordKey::stored("k".into())), Ok(None));
    }

    #[test]
    fn an_authorisation_is_known_where_the_other_system_has_written_it_down() {
        for (set, knows) in [
            (vec![("status", AttributeValue::Bool(true))], true),
            (vec![("status", AttributeValue::Bool(false))], false),
            (vec![("handledBy", s("x"))], false),
            (
                vec![("outcome", s("pending")), ("handledBy", s("x"))],
                false,
            ),
            (
                vec![("outcome", s("declined")), ("closedAt", s("x"))],
                false,
            ),
            (vec![("outcome", s("paid"))], true),
            (
                vec![("outcome", s("paid")), ("resolution", s("orderPaid"))],
                true,
            ),
            (
                vec![("outcome", s("returned")), ("resolution", s("reversed"))],
                true,
            ),
        ] {
            assert_eq!(read(&set).knows_authorisation(), knows, "{set:?}");
        }
    }

    #[test]
    fn a_copy_keeps_what_it_does_not_know_and_hides_the_token_from_its_key() {
        let record = read(&[("promotion", s("songkran")), ("handledBy", s("x"))]);
        let copy = record.copy(
            &OwnerId::new("usr_1").unwrap(),
            Satang::new(150_000).unwrap(),
            "the-table",
            Timestamp::now(),
        );
        assert_eq!(copy["promotion"], s("songkran"));
        assert_eq!(copy["tokenId"], s(record.key.as_str()));
        assert!(!copy.contains_key("handledBy"));
        let read_back = Record::read(&copy).unwrap();
        assert_eq!(read_back.origin, Origin::Old);
        assert_eq!(read_back.outcome, None);
        assert!(!format!("{record:?}").contains("tokn_"));
    }
}
