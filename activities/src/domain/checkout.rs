//! The checkout form that the shop's page posts to `POST /cardpayment`.

use sha2::{Digest, Sha256};

use super::fields::{FieldError, Fields};
use super::ids::{CardToken, MerchantId, OrderId, OwnerId};
use super::money::Satang;

/// What a card verification charges, and gives back.
pub const VERIFICATION_AMOUNT: Satang = match Satang::new(100) {
    Ok(amount) => amount,
    Err(_) => panic!("1 baht is an amount"),
};

/// A checkout form, read and typed. Field names in errors are the wire names.
#[derive(Debug)]
pub struct CheckoutForm {
    /// The order to pay.
    pub order_id: OrderId,
    /// The shop's customer who pays: must be the order's owner.
    pub user_id: OwnerId,
    /// The amount that the shopper saw. Compared with the order's; never what is charged.
    pub grand_total: Satang,
    /// The shop's basket.
    pub basket_id: String,
    /// The merchant account to charge through.
    pub mid: MerchantId,
    /// The card token from the bank's browser library.
    pub token: CardToken,
    /// Where the browser goes in the end, if the allow-list knows it.
    pub callback: Option<String>,
    /// Whether the shopper ticked "save card".
    pub save_card: bool,
    fingerprint: String,
}

impl CheckoutForm {
    /// Reads a form's fields.
    ///
    /// # Errors
    /// [`FieldError`] naming the first field that is absent or wrong.
    pub fn from_fields(fields: &Fields) -> Result<Self, FieldError> {
        let id = |name: &str| -> Result<&str, FieldError> { fields.require(name) };
        let order_id = OrderId::new(id("orderId")?).map_err(in_field("orderId"))?;
        let user_id = OwnerId::new(id("userId")?).map_err(in_field("userId"))?;
        let customer_id = OwnerId::new(id("customerId")?).map_err(in_field("customerId"))?;
        let grand_total = Satang::parse_baht(id("grandTotal")?).map_err(in_field("grandTotal"))?;
        let basket_id = id("basketId")?.to_owned();
        let mid = MerchantId::new(id("mid")?).map_err(in_field("mid"))?;
        let token = CardToken::new(id("token")?).map_err(in_field("token"))?;
        let callback = fields.get("callback").map(str::to_owned);
        let save_card = fields
            .get("saveCard")
            .is_some_and(|word| matches!(word.to_ascii_lowercase().as_str(), "true" | "1" | "on"));
        let fingerprint = fingerprint(&[
            order_id.as_str(),
            user_id.as_str(),
            customer_id.as_str(),
            &grand_total.to_string(),
            &basket_id,
            mid.as_str(),
            token.expose(),
            callback.as_deref().unwrap_or(""),
            if save_card { "save" } else { "" },
        ]);
        Ok(Self {
            order_id,
            user_id,
            grand_total,
            basket_id,
            mid,
            token,
            callback,
            save_card,
            fingerprint,
        })
    }

    /// Tells a repeat of this form (double click, second tab, retry) from another form that carries the same token.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

fn in_field<E: std::fmt::Display>(field: &'static str) -> impl Fn(E) -> FieldError {
    move |error| FieldError::invalid(field, error.to_string())
}

/// Each part goes in with its length, so that no two forms run together into the same bytes.
fn fingerprint(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "token=tokn_test_1&userId=usr_123&orderId=482500007436&basketId=basket_456\
        &customerId=cust_789&grandTotal=1500.00&mid=401012234152001&callback=yourapp://payments";

    fn form(text: &str) -> Result<CheckoutForm, FieldError> {
        CheckoutForm::from_fields(&Fields::parse(text.as_bytes())?)
    }

    #[test]
    fn the_form_of_existing_clients_is_read() {
        let form = form(FORM).unwrap();
        assert_eq!(form.order_id.as_str(), "482500007436");
        assert_eq!(form.grand_total.satang(), 150_000);
        assert_eq!(form.callback.as_deref(), Some("yourapp://payments"));
        assert!(!form.save_card);
    }

    #[test]
    fn each_required_field_is_named_when_it_is_missing() {
        for field in [
            "token",
            "userId",
            "orderId",
            "basketId",
            "customerId",
            "grandTotal",
            "mid",
        ] {
            let without: Vec<_> = FORM
                .split('&')
                .filter(|pair| !pair.starts_with(&format!("{field}=")))
                .collect();
            let error = form(&without.join("&")).unwrap_err();
            assert_eq!((error.field.as_str(), error.missing), (field, true));
        }
    }

    #[test]
    fn amounts_that_are_not_plain_decimals_are_refused_by_name() {
        for total in [
            "1e3",
            "-1",
            "1500.001",
            "%EF%BC%91%EF%BC%95%EF%BC%90%EF%BC%90",
        ] {
            let error = form(&FORM.replace("1500.00", total)).unwrap_err();
            assert_eq!(
                (error.field.as_str(), error.missing),
                ("grandTotal", false),
                "{total}"
            );
        }
    }

    #[test]
    fn the_fingerprint_is_of_the_meaning_not_of_the_spelling() {
        let same = FORM.replace("1500.00", "1500");
        assert_eq!(
            form(FORM).unwrap().fingerprint(),
            form(&same).unwrap().fingerprint()
        );
        let other = FORM.replace("basket_456", "basket_457");
        assert_ne!(
            form(FORM).unwrap().fingerprint(),
            form(&other).unwrap().fingerprint()
        );
    }
}
