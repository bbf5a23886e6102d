//! The data that is passed from state to state: it arrives unchanged, and contains no secret.

use arbitrary::{Result, Unstructured};
use jiff::Timestamp;
use payment3_activities::activity::inquire_charge::Decision;
use payment3_activities::activity::{lookup_record, record_outcome};
use payment3_activities::clock::{rfc3339, seconds_of};
use payment3_activities::domain::charge::{Outcome, TransactionState};
use payment3_activities::domain::ids::{CardToken, ChargeId, OrderId, OwnerId, ReferenceOrder};
use payment3_activities::domain::money::Satang;
use payment3_activities::domain::payment::{Origin, Payment, Purpose};
use serde_json::{Value, json};

use crate::generate::visible;
use crate::secrets::{TOKEN, assert_none_debugged, assert_none_in};

/// The largest integer that every JSON reader keeps exact, including JSONata.
const EXACT: i64 = 1 << 53;

/// Checks a payment, a decision of the bank, and two times.
pub fn check(u: &mut Unstructured<'_>) -> Result<()> {
    travels(&any(u)?);
    decision(u)?;
    moments(u.arbitrary()?, u.arbitrary()?);
    Ok(())
}

/// Any payment with the recognisable token.
pub(crate) fn any(u: &mut Unstructured<'_>) -> Result<Payment> {
    let malformed = |_| arbitrary::Error::IncorrectFormat;
    let order_id = if u.ratio(1, 4)? {
        "ADDCARD".to_owned()
    } else {
        visible(u, 1, 100)?
    };
    let order_id = OrderId::new(order_id).map_err(malformed)?;
    let purpose = Purpose::of(&order_id);
    assert_eq!(
        purpose == Purpose::Verification,
        order_id.as_str() == "ADDCARD"
    );
    Ok(Payment {
        record_key: CardToken::new(TOKEN).map_err(malformed)?.record_key(),
        charge_id: ChargeId::new(visible(u, 1, 100)?).map_err(malformed)?,
        order_id,
        owner_id: OwnerId::new(visible(u, 1, 100)?).map_err(malformed)?,
        amount_satang: Satang::new(u.int_in_range(0..=999_999_999_999)?)
            .expect("within the bounds"),
        currency: "THB".to_owned(),
        reference_order: match u.ratio(1, 4)? {
            true => None,
            false => Some(ReferenceOrder::stored(visible(u, 1, 20)?)),
        },
        purpose,
        origin: *u.choose(&[Origin::Own, Origin::Old, Origin::Borrowed])?,
        save_card: u.arbitrary()?,
        attempt: u.arbitrary()?,
        look_again_at: u.int_in_range(0..=EXACT)?,
        open_since: u.int_in_range(0..=EXACT)?,
        unknown_since: match u.arbitrary()? {
            true => Some(u.int_in_range(1..=EXACT)?),
            false => None,
        },
    })
}

fn travels(payment: &Payment) {
    let json = serde_json::to_value(payment).expect("a payment is JSON");
    assert_none_in("a payment", &json.to_string());
    assert_none_debugged("a payment", payment);
    assert_eq!(
        serde_json::from_value::<Payment>(json.clone())
            .ok()
            .as_ref(),
        Some(payment)
    );
    // Once more as text, as the state machine passes it on.
    assert_eq!(
        serde_json::from_str::<Payment>(&json.to_string())
            .ok()
            .as_ref(),
        Some(payment)
    );
    let amount = json["amountSatang"].as_i64().expect("a whole number");
    assert!((0..EXACT).contains(&amount));
    for broken in [
        json!(-1),
        json!(1_000_000_000_000_i64),
        json!(1.5),
        json!("150000"),
        Value::Null,
    ] {
        let mut json = json.clone();
        json["amountSatang"] = broken.clone();
        assert!(serde_json::from_value::<Payment>(json).is_err(), "{broken}");
    }
    for livemode in [true, false] {
        let expected = payment.expected(livemode);
        assert_eq!(
            (expected.id, expected.amount),
            (&payment.charge_id, payment.amount_satang)
        );
        assert_eq!(
            (expected.reference_order, expected.livemode),
            (payment.reference_order.as_ref(), livemode)
        );
    }
    let input = json!({"chargeId": payment.charge_id, "recordKey": payment.record_key});
    let input: lookup_record::Input =
        serde_json::from_value(input).expect("what LookupRecord reads");
    assert_eq!(
        (input.charge_id, input.record_key),
        (payment.charge_id.clone(), Some(payment.record_key.clone()))
    );
}

/// RecordOutcome reads what InquireCharge answers.
fn decision(u: &mut Unstructured<'_>) -> Result<()> {
    let payment = any(u)?;
    let outcome = *u.choose(&[Outcome::Paid, Outcome::Declined, Outcome::Returned])?;
    let word = *u.choose(&[
        "Authorized",
        "Settled",
        "Declined",
        "Reversed",
        "Voided",
        "Refund Sent",
    ])?;
    let decision = Decision {
        outcome,
        transaction_state: TransactionState::parse(word).as_str().to_owned(),
        failure_code: Some(visible(u, 0, 3)?),
        asked_at: u.int_in_range(0..=EXACT)?,
    };
    let mut json = serde_json::to_value(&decision).expect("a decision is JSON");
    assert_eq!(json["outcome"], outcome.as_str());
    json["payment"] = serde_json::to_value(&payment).expect("a payment is JSON");
    let input: record_outcome::Input =
        serde_json::from_value(json).expect("what RecordOutcome reads");
    assert_eq!((input.payment, input.outcome), (payment, outcome));
    assert_eq!(input.transaction_state, word);
    assert_eq!(input.asked.asked_at, Some(decision.asked_at));
    Ok(())
}

/// A time is written with milliseconds and reads back unchanged. Its text sorts like the time.
fn moments(one: i64, two: i64) {
    // Between the years 1970 and 9999.
    let [one, two] = [one, two].map(|millis| {
        Timestamp::from_millisecond(millis.rem_euclid(253_402_207_200_000))
            .expect("within the bounds")
    });
    let texts = [one, two].map(rfc3339);
    for (moment, text) in [one, two].iter().zip(&texts) {
        assert_eq!((text.len(), &text[23..]), (24, "Z"), "{text}");
        assert_eq!(text.parse::<Timestamp>().ok().as_ref(), Some(moment));
        assert_eq!(seconds_of(text), Some(moment.as_millisecond() / 1000));
    }
    assert_eq!(one.cmp(&two), texts[0].cmp(&texts[1]));
}
