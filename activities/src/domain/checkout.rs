//! The checkout form that the shop's page posts to `POST /cardpayment`.

use sha2::{Digest, Sha256};

use super::callback_base::CallbackBases;
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
    /// The shop's basket, where the form names one.
    pub basket_id: Option<String>,
    /// The merchant account to charge through.
    pub mid: MerchantId,
    /// The card token from the bank's browser library.
    pub token: CardToken,
    /// Where the browser goes in the end: a base that the allow-list knows.
    pub callback: Option<String>,
    /// Whether the shopper ticked "save card", and nothing in the form says otherwise.
    pub save_card: bool,
    fingerprint: String,
}

impl CheckoutForm {
    /// Reads a form's fields. Strict where money is bound: the order, the payer, the total, the merchant account and
    /// the token. Of several tokens the last counts, since the bank's script leaves an earlier try's in the form. What
    /// nobody reads refuses nothing; what the shopper chose and the bank would not be told does.
    ///
    /// # Errors
    /// [`FieldError`] naming the first field that is absent, wrong, or contradicts itself.
    pub fn from_fields(fields: &Fields, bases: &CallbackBases) -> Result<Self, FieldError> {
        let token = fields.last("token", CardToken::new)?;
        let mid = fields.agreed("mid", MerchantId::new)?;
        let order_id = fields.agreed("orderId", OrderId::new)?;
        let user_id = fields.agreed("userId", OwnerId::new)?;
        let grand_total = fields.agreed("grandTotal", Satang::parse_shop)?;
        refuse_what_the_bank_would_not_be_told(fields)?;
        let callback = fields
            .readable("callback")
            .rev()
            .find(|base| bases.allows(base))
            .map(str::to_owned);
        let save_card =
            fields.is_given("saveCard") && fields.agreed("saveCard", consent).unwrap_or(false);
        let fingerprint = fingerprint(&[
            order_id.as_str(),
            user_id.as_str(),
            &grand_total.to_string(),
            mid.as_str(),
            token.expose(),
            callback.as_deref().unwrap_or(""),
            if save_card { "save" } else { "" },
        ]);
        Ok(Self {
            order_id,
            user_id,
            grand_total,
            basket_id: fields.readable("basketId").next_back().map(str::to_owned),
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

/// Instalments and other currencies: the shopper agreed to them, and the charge would be another.
fn refuse_what_the_bank_would_not_be_told(fields: &Fields) -> Result<(), FieldError> {
    for name in ["smartpayId", "term"] {
        if fields.is_given(name) {
            return Err(FieldError::invalid(
                name,
                "asks for instalments, which this shop does not offer: choose to pay in full",
            ));
        }
    }
    for name in ["currency", "dcc_currency"] {
        if fields.is_given(name) {
            fields.agreed(name, baht)?;
        }
    }
    Ok(())
}

fn baht(currency: &str) -> Result<(), &'static str> {
    if currency.eq_ignore_ascii_case("THB") {
        Ok(())
    } else {
        Err("must be THB: choose to pay in Thai baht")
    }
}

/// Whether a word ticks a box. Every word is read: any that is not a yes is a no.
fn consent(word: &str) -> Result<bool, std::convert::Infallible> {
    Ok(matches!(
        word.to_ascii_lowercase().as_str(),
        "true" | "1" | "on"
    ))
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
        let bases = CallbackBases::new(&["yourapp://payments".into()], "https://shop.example");
        CheckoutForm::from_fields(&Fields::parse(text.as_bytes())?, &bases.unwrap())
    }

    fn refused(text: &str) -> (String, bool) {
        let error = form(text).expect_err(text);
        (error.field, error.missing)
    }

    fn but(name: &str, value: &str) -> String {
        FORM.split('&')
            .map(|pair| match pair.split_once('=') {
                Some((other, _)) if other == name => format!("{name}={value}"),
                _ => pair.to_owned(),
            })
            .collect::<Vec<_>>()
            .join("&")
    }

    #[test]
    fn the_form_of_existing_clients_is_read() {
        let form = form(FORM).unwrap();
        assert_eq!(form.order_id.as_str(), "482500007436");
        assert_eq!(form.grand_total.satang(), 150_000);
        assert_eq!(form.basket_id.as_deref(), Some("basket_456"));
        assert_eq!(form.callback.as_deref(), Some("yourapp://payments"));
        assert!(!form.save_card);
    }

    #[test]
    fn each_field_that_binds_money_is_named_when_it_is_missing() {
        for field in ["token", "userId", "orderId", "grandTotal", "mid"] {
            let blank = but(field, "");
            let gone = blank.replace(&format!("{field}="), "x=");
            for text in [blank, gone] {
                assert_eq!(refused(&text), (field.to_owned(), true), "{text}");
            }
        }
    }

    #[test]
    fn the_basket_and_the_customer_are_hints() {
        for text in [
            but("basketId", ""),
            but("basketId", "%ff"),
            but("customerId", "a%20b"),
            format!("{FORM}&basketId=basket_457&customerId=other"),
        ] {
            let hinted = form(&text).expect(&text);
            assert_eq!(hinted.fingerprint(), form(FORM).unwrap().fingerprint());
        }
    }

    #[test]
    fn what_binds_money_may_stand_twice_and_must_not_contradict_itself() {
        let again = "&mid=401012234152001&grandTotal=1500&orderId=482500007436&userId=usr_123&mid=";
        let twice = form(&format!("{FORM}{again}")).unwrap();
        assert_eq!(twice.fingerprint(), form(FORM).unwrap().fingerprint());
        for (field, other) in [
            ("mid", "401012234152002"),
            ("grandTotal", "1500.01"),
            ("orderId", "ADDCARD"),
            ("userId", "usr_124"),
            ("userId", "%ff"),
        ] {
            let text = format!("{FORM}&{field}={other}");
            assert_eq!(refused(&text), (field.to_owned(), false), "{text}");
        }
    }

    #[test]
    fn of_several_tokens_the_last_counts() {
        let after = |tokens: &str| form(&format!("{FORM}{tokens}"));
        let last =
            after("&mid=401012234152001&paymentMethods=card&paymentMethods=card&token=tokn_new");
        assert_eq!(last.unwrap().token.expose(), "tokn_new");
        assert_eq!(after("&token=").unwrap().token.expose(), "tokn_test_1");
        assert_eq!(after("&token=a%20b").unwrap_err().field, "token");
    }

    #[test]
    fn instalments_and_other_currencies_are_refused_and_their_blanks_are_not() {
        for (extra, field) in [
            ("&smartpayId=0001&term=10", "smartpayId"),
            ("&smartpayId=&term=10", "term"),
            ("&currency=USD", "currency"),
            ("&dcc_currency=THB&dcc_currency=JPY", "dcc_currency"),
            ("&currency=%ff", "currency"),
        ] {
            assert_eq!(refused(&format!("{FORM}{extra}")).0, field, "{extra}");
        }
        let blank = "&smartpayId=&term=+&currency=thb&dcc_currency=";
        assert!(form(&format!("{FORM}{blank}")).is_ok());
    }

    #[test]
    fn of_several_callbacks_the_last_allowed_one_counts() {
        for (extra, callback) in [
            ("&callback=https://evil.example", "yourapp://payments"),
            (
                "&callback=https://shop.example/th",
                "https://shop.example/th",
            ),
            ("&callback=%ff&callback=", "yourapp://payments"),
        ] {
            let form = form(&format!("{FORM}{extra}")).unwrap();
            assert_eq!(form.callback.as_deref(), Some(callback), "{extra}");
        }
        let none = form(&but("callback", "https://evil.example")).unwrap();
        assert_eq!(none.callback, None);
    }

    #[test]
    fn consent_that_contradicts_itself_is_none() {
        for (extra, agreed) in [
            ("&saveCard=true", true),
            ("&saveCard=on&saveCard=&saveCard=1", true),
            ("&saveCard=true&saveCard=false", false),
            ("&saveCard=true&saveCard=%ff", false),
            ("&saveCard=yes", false),
            ("", false),
        ] {
            let form = form(&format!("{FORM}{extra}")).unwrap();
            assert_eq!(form.save_card, agreed, "{extra}");
        }
    }

    #[test]
    fn what_nobody_reads_refuses_nothing() {
        for extra in [
            "&bypass_order=1&bypass_order=2",
            "&x=%ff&%ff=x&x[]=1",
            "&paymentMethods=card&paymentMethods=card",
        ] {
            let form = form(&format!("{FORM}{extra}")).expect(extra);
            assert_eq!(form.order_id.as_str(), "482500007436");
        }
    }

    #[test]
    fn amounts_that_cannot_be_read_are_refused_by_name() {
        for total in ["-1", "1500.001", "%EF%BC%91%EF%BC%95%EF%BC%90%EF%BC%90"] {
            let wrong = but("grandTotal", total);
            assert_eq!(refused(&wrong), ("grandTotal".into(), false), "{total}");
        }
    }

    #[test]
    fn the_fingerprint_is_of_the_meaning_not_of_the_spelling() {
        for total in ["1500", "1.5e3", "1,500.00", "1500.0000000000002"] {
            assert_eq!(
                form(FORM).unwrap().fingerprint(),
                form(&but("grandTotal", total)).unwrap().fingerprint(),
                "{total}"
            );
        }
        let other = but("orderId", "482500007437");
        assert_ne!(
            form(FORM).unwrap().fingerprint(),
            form(&other).unwrap().fingerprint()
        );
    }
}
