//! `RecordElsewhere`: money of a paid order that the bank says went back, and that no refund of ours explains, was given
//! back by hand. It enters the ledger, so that nothing is given back twice.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::charge::TransactionState;
use crate::domain::money::Satang;
use crate::domain::payment::Payment;
use crate::domain::refund::{ELSEWHERE, Ledger, Refund, Way};
use crate::failure::failure;
use crate::tables::TableError;
use crate::tables::refunds::{NotTold, RefundTables, Told};

/// What the bank says of the charge.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The payment of which money went back.
    pub payment: Payment,
    /// What the execution is about: what was given back by hand, or a refund that was given up.
    pub refund: Refund,
    /// The bank's word.
    pub transaction_state: String,
}

/// What was found.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Elsewhere {
    /// Whether money was given back by hand.
    pub found: bool,
    /// The id under which the shop is told of it: another one for each amount, so that a corrected one is heard.
    pub refund_id: String,
    /// How much, in satang; `None` where nobody knows.
    pub amount_satang: Option<Satang>,
    /// What can still be given back, in satang.
    pub left_satang: i64,
    /// When it was recorded, in RFC 3339; `None` where nothing was.
    pub recorded_at: Option<String>,
}

/// Why it was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum ElsewhereError {
    /// A person states more than the ledger leaves.
    #[error(
        "`amount` is more than was paid, less what the ledger says went back otherwise: {0} THB at most"
    )]
    RefundTooLarge(Satang),
    /// A person states an amount, and the bank says that no money went back.
    #[error("the bank says that no money of this charge went back: it is `{0}`")]
    RefundConflict(String),
    /// Others kept changing the same items: the next try may succeed.
    #[error("the ledger or the order was being changed by another transaction")]
    TransactionConflict,
    /// A table could not be used.
    #[error(transparent)]
    Table(#[from] TableError),
}

failure!(ElsewhereError {
    RefundTooLarge: Definite,
    RefundConflict: Definite,
    TransactionConflict: Transient,
} or Table(TableError));

/// How often the ledger is read again that others keep changing.
const TRIES: usize = 4;

/// Records what was given back by hand, if anything was. Repeated, it finds what it recorded.
///
/// # Errors
/// [`ElsewhereError`].
pub async fn record(tables: &RefundTables, input: &Input) -> Result<Elsewhere, ElsewhereError> {
    let Input {
        payment, refund, ..
    } = input;
    let (records, paid) = (&tables.records, payment.amount_satang);
    let state = TransactionState::parse(&input.transaction_state);
    let stated =
        (refund.elsewhere && refund.amount_satang > Satang::ZERO).then_some(refund.amount_satang);
    for _ in 0..TRIES {
        let ledger = records.ledger(&payment.record_key).await?;
        let (amount, way) = match (next(&ledger, stated, &state, paid), Way::shown_by(&state)) {
            (Next::Known, _) => return Ok(known(&ledger, paid)),
            (Next::TooMuch { most }, _) => return Err(ElsewhereError::RefundTooLarge(most)),
            (Next::Record(amount), Some(way)) => (amount, way),
            (Next::Record(_), None) => {
                return Err(ElsewhereError::RefundConflict(state.as_str().to_owned()));
            }
        };
        if !ledger.is_open {
            let charge = &payment.charge_id;
            records.open_ledger(&payment.record_key, charge).await?;
        }
        let now = records.clock().text();
        let update = records.elsewhere_recorded(payment, &ledger, amount, way, &now);
        let (_, sent) = ledger.sums_with_elsewhere(amount, paid);
        let told = Told {
            entry: &log_entry(payment, amount, &now),
            sent: Satang::new(sent).unwrap_or(paid),
            elsewhere: amount.is_none(),
        };
        // Before it is written: a process that dies afterwards would tell nobody.
        if ledger.elsewhere().is_none() && stated.is_none() {
            log_elsewhere(way, amount.is_some());
        }
        match tables
            .tell("record what was given back by hand", update, payment, &told)
            .await
        {
            // Read once more, it is known; or the ledger changed meanwhile.
            Ok(()) | Err(NotTold::LedgerChanged) => {}
            Err(NotTold::Conflict) => return Err(ElsewhereError::TransactionConflict),
            Err(NotTold::Table(error)) => return Err(error.into()),
        }
    }
    Err(ElsewhereError::TransactionConflict)
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Nothing: it is recorded already, or explained.
    Known,
    /// So much was given back by hand; `None` where nobody knows.
    Record(Option<Satang>),
    /// More than can have been given back by hand.
    TooMuch {
        /// The most.
        most: Satang,
    },
}

/// What a person states counts, and can be corrected. Otherwise all of a voided charge went back, and of a refunded one
/// nobody knows how much.
fn next(ledger: &Ledger, stated: Option<Satang>, state: &TransactionState, paid: Satang) -> Next {
    let before = ledger.elsewhere();
    if let Some(amount) = stated {
        if before.is_some_and(|entry| !entry.amount_unknown && entry.amount == amount) {
            return Next::Known;
        }
        let most = ledger.most_elsewhere(paid);
        if amount > most {
            return Next::TooMuch { most };
        }
        return Next::Record(Some(amount));
    }
    if before.is_some() || ledger.explains(state, paid) {
        return Next::Known;
    }
    Next::Record((*state == TransactionState::Voided).then_some(paid))
}

fn known(ledger: &Ledger, paid: Satang) -> Elsewhere {
    let entry = ledger.elsewhere();
    let known = entry.filter(|entry| !entry.amount_unknown);
    Elsewhere {
        found: entry.is_some(),
        refund_id: known.map_or_else(
            || ELSEWHERE.to_owned(),
            |entry| format!("{ELSEWHERE}-{}", entry.amount),
        ),
        amount_satang: known.map(|entry| entry.amount),
        left_satang: ledger.left_of(paid).satang(),
        recorded_at: entry.and_then(|entry| entry.recorded_at.clone()),
    }
}

fn log_entry(payment: &Payment, amount: Option<Satang>, now: &str) -> serde_json::Value {
    let mut entry = json!({
        "event": "refunded elsewhere",
        "chargeId": payment.charge_id,
        "at": now,
    });
    if let Some(amount) = amount {
        entry["amount"] = amount.to_string().into();
    }
    entry
}

fn log_elsewhere(way: Way, known: bool) {
    tracing::error!(
        error = "RefundElsewhere",
        way = way.as_str(),
        known,
        "money of a paid order was given back by hand at the bank"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::refund::{Entry, EntryState, RefundId};

    const PAID: i64 = 150_000;

    fn satang(amount: i64) -> Satang {
        Satang::new(amount).unwrap()
    }

    /// A ledger with these entries; the amount of one given back by hand may be unknown.
    fn ledger(entries: &[(&str, i64, bool)]) -> Ledger {
        let mut ledger = Ledger {
            is_open: true,
            ..Ledger::default()
        };
        for (id, amount, unknown) in entries {
            let entry = Entry {
                state: EntryState::Sent,
                amount: satang(*amount),
                reason: None,
                reserved_at: 0,
                mark: None,
                asked_by: None,
                asked_at: 0,
                way: None,
                bank_refund_id: None,
                recorded_at: Some("2026-01-01T00:00:00.000Z".into()),
                amount_unknown: *unknown,
            };
            ledger.reserved += amount;
            ledger.sent += if *unknown { 0 } else { *amount };
            let id = RefundId::try_from((*id).to_owned()).unwrap();
            ledger.entries.insert(id, entry);
        }
        ledger
    }

    fn of(entries: &[(&str, i64, bool)], stated: Option<i64>, state: &str) -> Next {
        let state = TransactionState::parse(state);
        next(&ledger(entries), stated.map(satang), &state, satang(PAID))
    }

    #[test]
    fn what_nothing_explains_is_all_of_a_voided_charge_and_an_unknown_part_of_a_refunded_one() {
        assert_eq!(of(&[], None, "Voided"), Next::Record(Some(satang(PAID))));
        assert_eq!(of(&[], None, "Refund Sent"), Next::Record(None));
        assert_eq!(
            of(&[("rf_1", 100, false)], None, "Refund Sent"),
            Next::Known
        );
        for state in ["Authorized", "Settled"] {
            assert_eq!(of(&[], None, state), Next::Known, "{state}");
        }
        let known = [("elsewhere", PAID, true)];
        assert_eq!(of(&known, None, "Refund Sent"), Next::Known);
    }

    #[test]
    fn what_a_person_states_counts_up_to_what_other_refunds_leave() {
        let unknown = [("elsewhere", PAID, true), ("rf_1", 100_000, false)];
        let state = "Refund Sent";
        assert_eq!(
            of(&unknown, Some(50_000), state),
            Next::Record(Some(satang(50_000)))
        );
        let most = satang(50_000);
        assert_eq!(of(&unknown, Some(50_001), state), Next::TooMuch { most });
        let stated = [("elsewhere", 50_000, false)];
        assert_eq!(of(&stated, Some(50_000), state), Next::Known);
        assert_eq!(
            of(&stated, Some(60_000), state),
            Next::Record(Some(satang(60_000)))
        );
        assert_eq!(of(&[], Some(100), state), Next::Record(Some(satang(100))));
    }

    #[test]
    fn the_sums_follow_what_is_known() {
        let paid = satang(PAID);
        let sums = |entries: &[_], amount: Option<i64>| {
            ledger(entries).sums_with_elsewhere(amount.map(satang), paid)
        };
        assert_eq!(sums(&[], None), (PAID, 0));
        assert_eq!(sums(&[], Some(PAID)), (PAID, PAID));
        assert_eq!(sums(&[("rf_1", 100, false)], None), (PAID + 100, 100));
        assert_eq!(sums(&[("elsewhere", PAID, true)], Some(700)), (700, 700));
        assert_eq!(sums(&[("elsewhere", 700, false)], Some(600)), (600, 600));
    }
}
