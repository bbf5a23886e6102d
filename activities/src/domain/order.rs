//! The shop's order, as far as paying for it needs to know.

use super::ids::{ChargeId, OrderId, OwnerId};
use super::money::Satang;

/// The least that the bank charges a card for an order.
pub const LEAST_CHARGE: Satang = match Satang::new(100) {
    Ok(amount) => amount,
    Err(_) => panic!("1 baht is an amount"),
};

/// An order of the shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The order's id.
    pub id: OrderId,
    /// To whom it belongs.
    pub owner_id: OwnerId,
    /// A draft cannot be sent to payment.
    pub is_drafting: bool,
    /// The shop has cancelled it, or its payment.
    pub is_cancelled: bool,
    /// What it costs.
    pub grand_total: Satang,
    /// Whether it is paid, and by which charge.
    pub paid: Paid,
}

/// Whether an order is paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paid {
    /// Not yet.
    No,
    /// Yes, by the charge that `paymentId` names (none in orders paid by other means).
    By(Option<String>),
}

/// Why an order cannot be paid by a charge. The names are the state machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unpayable {
    /// The order is a draft, or it lacks what a payment needs.
    #[error("the order is a draft")]
    Draft,
    /// The shop has cancelled the order.
    #[error("the order is cancelled")]
    Cancelled,
    /// Another charge, or another means of payment, paid the order.
    #[error("the order is paid already, not by this charge")]
    AlreadyPaid,
    /// The charge is not over the order's amount.
    #[error("the charged amount is not the order's")]
    OtherAmount,
}

impl Order {
    /// Whether this charge has paid the order already.
    #[must_use]
    pub fn is_paid_by(&self, charge: &ChargeId) -> bool {
        matches!(&self.paid, Paid::By(Some(id)) if id == charge.as_str())
    }

    /// Whether a charge over `amount` may pay the order now. An order that this very charge paid stays payable by it,
    /// so that paying twice is paying once.
    ///
    /// # Errors
    /// [`Unpayable`] with the reason.
    pub fn check_payable_by(&self, charge: &ChargeId, amount: Satang) -> Result<(), Unpayable> {
        if self.is_paid_by(charge) {
            return Ok(());
        }
        self.check_payable(amount)
    }

    /// Whether a new charge over `amount` may be made for the order.
    ///
    /// # Errors
    /// [`Unpayable`] with the reason.
    pub fn check_payable(&self, amount: Satang) -> Result<(), Unpayable> {
        if self.paid != Paid::No {
            return Err(Unpayable::AlreadyPaid);
        }
        if self.is_cancelled {
            return Err(Unpayable::Cancelled);
        }
        if self.is_drafting {
            return Err(Unpayable::Draft);
        }
        if self.grand_total != amount {
            return Err(Unpayable::OtherAmount);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        Order {
            id: OrderId::new("482500007436").unwrap(),
            owner_id: OwnerId::new("usr_123").unwrap(),
            is_drafting: false,
            is_cancelled: false,
            grand_total: Satang::new(150_000).unwrap(),
            paid: Paid::No,
        }
    }

    #[test]
    fn an_order_is_paid_once_and_stays_paid_by_that_charge() {
        let charge = ChargeId::new("chrg_1").unwrap();
        let other = ChargeId::new("chrg_2").unwrap();
        let total = Satang::new(150_000).unwrap();
        let mut order = order();
        assert_eq!(order.check_payable_by(&charge, total), Ok(()));
        order.paid = Paid::By(Some("chrg_1".into()));
        assert_eq!(order.check_payable_by(&charge, total), Ok(()));
        assert_eq!(
            order.check_payable_by(&other, total),
            Err(Unpayable::AlreadyPaid)
        );
        order.paid = Paid::By(None);
        assert_eq!(
            order.check_payable_by(&charge, total),
            Err(Unpayable::AlreadyPaid)
        );
    }

    #[test]
    fn an_order_that_is_cancelled_after_it_was_paid_stays_paid_by_that_charge() {
        let charge = ChargeId::new("chrg_1").unwrap();
        let order = Order {
            is_cancelled: true,
            paid: Paid::By(Some("chrg_1".into())),
            ..order()
        };
        let total = Satang::new(150_000).unwrap();
        assert_eq!(order.check_payable_by(&charge, total), Ok(()));
    }

    #[test]
    fn drafts_cancelled_orders_and_other_amounts_are_refused() {
        let total = Satang::new(150_000).unwrap();
        let draft = Order {
            is_drafting: true,
            ..order()
        };
        assert_eq!(draft.check_payable(total), Err(Unpayable::Draft));
        let cancelled = Order {
            is_cancelled: true,
            ..order()
        };
        assert_eq!(cancelled.check_payable(total), Err(Unpayable::Cancelled));
        let less = Satang::new(149_999).unwrap();
        assert_eq!(order().check_payable(less), Err(Unpayable::OtherAmount));
    }
}
