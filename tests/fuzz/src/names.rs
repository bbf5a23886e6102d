//! Ids, and what is named after them: executions, events, records, and the bank's URL paths.

use arbitrary::{Result, Unstructured};
use payment3_activities::activity::notify::{self, Event, Told, ToldRefund, event_id};
use payment3_activities::bank::path_segment;
use payment3_activities::domain::ids::{
    CardToken, ChargeId, CustomerId, MerchantId, OPEN_SHARDS, OrderId, OwnerId, ReferenceOrder,
};
use payment3_activities::executions::execution_name;
use payment3_activities::random::Random;
use url::Url;

use crate::generate::{short, word};
use crate::payment;
use crate::secrets::assert_none_debugged;

const IDS: [&str; 9] = [
    "chrg_test_1",
    "chrg_test_1-1",
    "chrg_test_1-2",
    "chrg/1",
    "chrg:1",
    "..",
    ".",
    "h-0a97d5f1c2b3e4a5968778695a4b3c2d1e0f0a97d5f1c2b3e4a596877869",
    "chrg_test_5xu6zr6p0k6uvmd3jy0123456789012345678901234567890123456789",
];
/// Which refund an event is about; most are about none.
const REFUNDS: [Option<&str>; 4] = [None, Some("rf_1"), Some("rf-1"), Some("elsewhere")];

const EVENTS: [Event; 8] = [
    Event::PaymentSucceeded,
    Event::PaymentFailed,
    Event::PaymentReversed,
    Event::CardSaved,
    Event::CardFailed,
    Event::RefundSucceeded,
    Event::RefundFailed,
    Event::RefundElsewhere,
];

/// Checks two texts as ids, and everything that is named after them.
pub fn check(u: &mut Unstructured<'_>) -> Result<()> {
    let one = word(u, &IDS)?;
    let two = match u.int_in_range(0..=3)? {
        0 => one.clone(),
        1 => format!("{one}-{}", u.int_in_range(0..=20)?),
        2 => short(u)?,
        _ => word(u, &IDS)?,
    };
    let attempts: (u32, u32) = match u.ratio(3, 4)? {
        true => (u.int_in_range(0..=20)?, u.int_in_range(0..=20)?),
        false => (u.arbitrary()?, u.arbitrary()?),
    };
    for text in [&one, &two] {
        ids(text);
        token(text);
    }
    if let (Ok(one), Ok(two)) = (ChargeId::new(one), ChargeId::new(two)) {
        executions(&one, &two, attempts);
        events(u, &one, &two)?;
        path(&one);
    }
    Ok(())
}

/// Every kind of id accepts exactly 1 to 100 characters of visible ASCII, except `.` and `..`, which would change a
/// URL path. It keeps them unchanged. The same holds for ids from JSON.
fn ids(text: &str) {
    let valid = (1..=100).contains(&text.len())
        && text.bytes().all(|b| (b'!'..=b'~').contains(&b))
        && ![".", ".."].contains(&text);
    macro_rules! holds {
        ($($kind:ident)*) => {$(
            let id = $kind::new(text);
            assert_eq!(id.is_ok(), valid, "{text:?}");
            let json = serde_json::Value::from(text).to_string();
            let read = serde_json::from_str::<$kind>(&json);
            assert_eq!(read.as_ref().ok(), id.as_ref().ok());
            if let Ok(id) = id {
                assert_eq!((id.as_str(), id.to_string()), (text, text.to_owned()));
                assert_eq!(serde_json::to_string(&id).ok(), Some(json));
            }
        )*};
    }
    holds!(ChargeId OrderId OwnerId CustomerId MerchantId);
}

fn token(text: &str) {
    let Ok(token) = CardToken::new(text) else {
        return;
    };
    assert_none_debugged("a token", &token);
    let key = token.record_key();
    assert_eq!(key.as_str().len(), 64);
    assert!(
        key.as_str()
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    );
    assert!(key.open_shard() < OPEN_SHARDS);
    assert!(key.as_str().ends_with(&format!("{:x}", key.open_shard())));
    if let Ok(other) = CardToken::new(format!("{text}x")) {
        assert_ne!(other.record_key(), key);
    }
}

/// Step Functions accepts the name of an execution, and each charge and attempt has a different name. So an existing
/// name always means the same work.
fn executions(one: &ChargeId, two: &ChargeId, (first, second): (u32, u32)) {
    let names = [execution_name(one, first), execution_name(two, second)];
    for name in &names {
        assert!((1..=80).contains(&name.len()), "{name}");
        assert!(
            name.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
            "{name}"
        );
    }
    assert_eq!(
        names[0] == names[1],
        (one, first) == (two, second),
        "{names:?}"
    );
}

/// An event has the same id each time it is sent, and no other event has this id.
fn events(u: &mut Unstructured<'_>, one: &ChargeId, two: &ChargeId) -> Result<()> {
    let mut input = |charge: &ChargeId| -> Result<notify::Input> {
        let payment = payment::any(u)?;
        Ok(notify::Input {
            event: *u.choose(&EVENTS)?,
            payment: Told {
                charge_id: charge.clone(),
                order_id: payment.order_id,
                owner_id: payment.owner_id,
                amount_satang: payment.amount_satang,
                currency: payment.currency,
            },
            refund: u.choose(&REFUNDS)?.map(|id| ToldRefund {
                refund_id: id.to_owned(),
                amount_satang: None,
                left_satang: payment.amount_satang,
            }),
            occurred_at: short(u)?,
            card: notify::Card::default(),
        })
    };
    let (a, b) = (input(one)?, input(two)?);
    let what = |input: &notify::Input| {
        let refund = input.refund.as_ref().map(|refund| refund.refund_id.clone());
        (input.payment.charge_id.clone(), input.event, refund)
    };
    let same = what(&a) == what(&b);
    assert_eq!(event_id(&a) == event_id(&b), same);
    Ok(())
}

/// In the bank's URL paths, an id is always exactly one segment.
fn path(id: &ChargeId) {
    let mut url = Url::parse("https://gateway.example/").expect("a URL");
    url.set_path(&format!(
        "/card/v2/charge/{}/void",
        path_segment(id.as_str())
    ));
    let segments: Vec<_> = url.path_segments().expect("a path").collect();
    assert_eq!(
        (segments.len(), segments[2], segments[4]),
        (5, "charge", "void"),
        "{id}"
    );
    assert_eq!((url.query(), url.fragment()), (None, None));
    let mut read = Url::parse("https://gateway.example/").expect("a URL");
    read.set_query(Some(&format!("id={}", segments[3])));
    assert_eq!(
        read.query_pairs()
            .next()
            .map(|(_, value)| value.into_owned())
            .as_deref(),
        Some(id.as_str())
    );
    if let Ok(reference) = ReferenceOrder::random(&Random::system()) {
        assert_eq!(path_segment(reference.as_str()), reference.as_str());
    }
}
