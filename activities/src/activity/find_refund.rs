//! `FindRefund`: what became of a refund whose answer was lost, by the bank's word.

use serde::{Deserialize, Serialize};

use crate::domain::charge::TransactionState;
use crate::domain::payment::Payment;
use crate::domain::refund::{Entry, EntryState, Ledger, Refund, Way};
use crate::failure::failure;
use crate::tables::TableError;
use crate::tables::records::{Found, Records, unreadable};

/// Which refund, and what the bank says of its charge now.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The payment of which money goes back.
    pub payment: Payment,
    /// The refund.
    pub refund: Refund,
    /// The bank's word.
    pub transaction_state: String,
    /// When it was asked for that, in seconds since 1970.
    pub inquired_at: i64,
    /// For how long a request may be on its way, in seconds. What the bank says within that time after a request does
    /// not tell that it had no effect.
    pub answers_within: i64,
}

/// Where the refund stands.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Its entry's state; `asked` where it is too early to tell.
    pub state: EntryState,
    /// What can still be given back, in satang.
    pub left_satang: i64,
}

/// Why it was not found out.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The ledger changed while it was looked at: the next try may succeed.
    #[error("the refund's entry was being changed by another execution")]
    TransactionConflict,
    /// A table could not be used.
    #[error(transparent)]
    Table(#[from] TableError),
}

failure!(FindError {
    TransactionConflict: Transient,
} or Table(TableError));

/// Finds out what became of the request, and writes it into the ledger. Repeated, it finds what it wrote.
///
/// # Errors
/// [`FindError`].
pub async fn find(records: &Records, input: &Input) -> Result<Standing, FindError> {
    let Input {
        payment, refund, ..
    } = input;
    let ledger = records.ledger(&payment.record_key).await?;
    let entry = ledger.entries.get(&refund.refund_id);
    let entry = entry.ok_or_else(|| unreadable("refunds"))?;
    let left_satang = ledger.left_of(payment.amount_satang).satang();
    let standing = |state| Standing { state, left_satang };
    if entry.state != EntryState::Asked {
        if entry.state == EntryState::Uncertain {
            log_uncertain(refund);
        }
        return Ok(standing(entry.state));
    }
    let mark = entry.mark.as_ref();
    let mark = mark.ok_or_else(|| unreadable("refunds"))?;
    let state = TransactionState::parse(&input.transaction_state);
    let found = became(&ledger, refund, &state);
    let may_be_on_its_way = input.inquired_at < entry.asked_at + input.answers_within;
    if may_be_on_its_way && !matches!(found, Found::TookEffect(_)) {
        return Ok(standing(EntryState::Asked));
    }
    let id = &refund.refund_id;
    if !records
        .answer_refund(payment, id, mark, found, None)
        .await?
    {
        return Err(FindError::TransactionConflict);
    }
    tracing::info!(found = ?found, state = state.as_str(), "what became of the refund is found out");
    Ok(standing(match found {
        Found::TookEffect(_) => EntryState::Sent,
        Found::TookNone => EntryState::Reserved,
        Found::Unclear => {
            log_uncertain(refund);
            EntryState::Uncertain
        }
    }))
}

fn log_uncertain(refund: &Refund) {
    tracing::error!(
        error = "RefundUncertain",
        refundId = refund.refund_id.as_str(),
        "the answer to a request for a refund is lost, and the bank does not tell whether it took effect"
    );
}

/// What the bank's word says of the request. A whole refund shows in the charge's state, unless a part was given back by
/// hand. Of a part, only a charge of which no refund was ever accepted says something: that this one was not. Otherwise
/// this part, another one, or one given back by hand may have made the state what it is. A charge that is voided was
/// never refunded.
fn became(ledger: &Ledger, refund: &Refund, state: &TransactionState) -> Found {
    let accepted = |entry: &Entry| matches!(entry.state, EntryState::Sent | EntryState::Uncertain);
    let none_accepted = || !ledger.entries.values().any(accepted);
    match (state, Way::shown_by(state)) {
        (TransactionState::Voided, Some(way)) if refund.whole => Found::TookEffect(way),
        (_, Some(way)) if refund.whole && none_accepted() => Found::TookEffect(way),
        (TransactionState::Voided, _) => Found::TookNone,
        (TransactionState::Authorized | TransactionState::Settled, _) if none_accepted() => {
            Found::TookNone
        }
        _ => Found::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Satang;
    use crate::domain::refund::RefundId;

    fn entry(state: EntryState) -> Entry {
        Entry {
            state,
            amount: Satang::new(12_050).unwrap(),
            reason: None,
            reserved_at: 0,
            mark: Some("m".into()),
            asked_by: None,
            asked_at: 0,
            way: None,
            bank_refund_id: None,
            recorded_at: None,
            amount_unknown: false,
        }
    }

    fn found(whole: bool, other: Option<EntryState>, word: &str) -> Found {
        let refund = Refund {
            refund_id: RefundId::new("rf_1").unwrap(),
            amount_satang: Satang::new(12_050).unwrap(),
            whole,
            elsewhere: false,
            reason: None,
            reserved_at: 0,
        };
        let mut ledger = Ledger::default();
        let asked = (refund.refund_id.clone(), entry(EntryState::Asked));
        let other = other.map(|state| (RefundId::new("rf_2").unwrap(), entry(state)));
        ledger
            .entries
            .extend([Some(asked), other].into_iter().flatten());
        became(&ledger, &refund, &TransactionState::parse(word))
    }

    #[test]
    fn a_whole_refund_shows_in_the_state_of_its_charge() {
        use Found::*;
        for (word, expected) in [
            ("Voided", TookEffect(Way::Voided)),
            ("Refund Sent", TookEffect(Way::Refunded)),
            ("Authorized", TookNone),
            ("Settled", TookNone),
            ("Declined", Unclear),
            ("Reversed", Unclear),
            ("On Hold", Unclear),
        ] {
            assert_eq!(found(true, None, word), expected, "{word}");
        }
        // What was given back by hand explains `Refund Sent` as well.
        let by_hand = Some(EntryState::Sent);
        assert_eq!(found(true, by_hand, "Refund Sent"), Unclear);
        assert_eq!(found(true, by_hand, "Voided"), TookEffect(Way::Voided));
    }

    #[test]
    fn a_part_is_never_taken_for_done_and_for_not_done_only_where_nothing_ever_was() {
        use EntryState::*;
        for other in [None, Some(Reserved), Some(Failed)] {
            assert_eq!(found(false, other, "Settled"), Found::TookNone, "{other:?}");
        }
        for other in [Some(Sent), Some(Uncertain)] {
            assert_eq!(found(false, other, "Settled"), Found::Unclear, "{other:?}");
        }
        assert_eq!(found(false, None, "Refund Sent"), Found::Unclear);
        assert_eq!(found(false, None, "Voided"), Found::TookNone);
        assert_eq!(found(false, None, "Reversed"), Found::Unclear);
    }
}
