//! Why a checkout is refused, in the words of the API.

use serde_json::json;

use crate::domain::charge::Outcome;
use crate::domain::checkout::CheckoutForm;
use crate::domain::ids::OrderId;
use crate::http_api::ApiError;
use crate::tables::TableError;
use crate::tables::records::Record;

/// The code of a payment of which nobody knows yet.
const BEING_CHECKED: &str = "PAYMENT_BEING_CHECKED";
/// The detail that says in how many seconds it is worth another try.
pub(super) const AGAIN_IN: &str = "retryAfterSeconds";

pub(super) fn not_payable(order_id: &OrderId, why: &str) -> ApiError {
    ApiError::new(409, "ORDER_NOT_PAYABLE", format!("order {order_id} {why}"))
}

/// An order that no shopper can pay until the shop corrects it. An alarm counts the line.
pub(super) fn order_unreadable(order_id: &OrderId, reason: &str, why: &str) -> ApiError {
    tracing::error!(
        error = "OrderUnreadable",
        reason,
        "an order cannot be paid by anybody"
    );
    not_payable(
        order_id,
        &format!("{why}. Nothing was charged, and the shop has been told"),
    )
}

/// The token belongs to another form. Where that one may have charged the card for the same order, nobody is told to
/// enter a card again.
pub(super) fn token_used(form: &CheckoutForm, record: &Record) -> ApiError {
    let used = |message: &str| ApiError::new(409, "TOKEN_USED", message).about("token");
    let may_be_charged = match record.outcome {
        Some(outcome) => outcome == Outcome::Paid,
        None => !record.is_closed(),
    };
    if may_be_charged && record.order_id == form.order_id {
        return used(
            "a payment of this order was begun with this card before: see whether the order is paid before you pay again",
        )
        .being_checked();
    }
    used("this card token was used for another payment: enter the card again")
}

pub(super) fn refused() -> ApiError {
    ApiError::new(
        402,
        "DECLINED",
        "the bank refused the card: use another card, or enter this one again",
    )
}

/// The bank was surely not charged.
pub(super) fn not_charged() -> ApiError {
    ApiError::new(
        503,
        "BANK_UNAVAILABLE",
        "the bank cannot be reached now, and nothing was charged: try again, with this card or another",
    )
}

/// Nobody knows whether the bank charged, or it did and that cannot be shown now.
pub(super) fn being_checked() -> ApiError {
    ApiError::new(
        503,
        BEING_CHECKED,
        "the bank has not said yet whether the card was charged: this is being checked, so do not pay again",
    )
    .being_checked()
}

/// Nobody knows whether another card was charged for this order.
pub(super) fn another_being_checked(again_in: i64) -> ApiError {
    let wait = match again_in {
        ..=60 => format!("{again_in} seconds"),
        _ => format!("{} minutes", (again_in + 59) / 60),
    };
    ApiError {
        details: json!({AGAIN_IN: again_in}),
        ..ApiError::new(
            409,
            BEING_CHECKED,
            format!(
                "another payment for this order is being checked, and this card was not charged: if the order is \
                 not paid in {wait}, try again then"
            ),
        )
        .being_checked()
    }
}

/// The bank may have a charge by now. The record stays open, and reconciliation goes on.
pub(super) fn cannot_look(error: TableError) -> ApiError {
    tracing::error!(reason = %error, "checkout could not use a table after the bank was called");
    being_checked()
}

/// What the bank answered cannot be used, and will not be tomorrow. It may have charged.
pub(super) fn bank_contradicts() -> ApiError {
    ApiError::new(
        503,
        BEING_CHECKED,
        "the bank's answer to this payment cannot be used: ask the shop whether the order is paid before you pay again",
    )
    .being_checked()
}

pub(super) fn unavailable(error: TableError) -> ApiError {
    if !error.log_is_definite() {
        return ApiError::new(
            503,
            "UNAVAILABLE",
            "the payment cannot be started now: try again in a moment",
        );
    }
    // What is stored under this token. It may have been charged.
    ApiError::new(
        409,
        "TOKEN_USED",
        "this payment was begun and cannot be looked up, and the shop has been told: ask the shop whether the order \
         is paid before you enter a card again",
    )
    .about("token")
    .being_checked()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_api::Body;

    /// The page that a person gets for an error.
    fn page(error: &ApiError) -> String {
        match error.to_page("https://shop.example").body {
            Some(Body::Text(page)) => page,
            other => panic!("no page: {other:?}"),
        }
    }

    #[test]
    fn only_a_page_of_what_may_be_charged_says_that_it_is_being_checked() {
        let unreadable = TableError::Unreadable {
            table: "card-payment-record",
            attribute: "outcome",
        };
        for error in [
            being_checked(),
            another_being_checked(60),
            bank_contradicts(),
            unavailable(unreadable),
        ] {
            let page = page(&error);
            assert!(page.contains("You do not need to pay again"), "{page}");
            assert!(!page.contains("has not charged your card"), "{page}");
        }
        for error in [not_charged(), refused()] {
            let page = page(&error);
            assert!(page.contains("has not charged your card"), "{page}");
            assert!(!page.contains("being checked"), "{page}");
        }
    }
}
