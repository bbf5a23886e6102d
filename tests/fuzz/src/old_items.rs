//! Items of the tables, especially those of the former system. A strange attribute must neither hide nor decide a
//! payment, and unknown attributes are kept.

use arbitrary::{Result, Unstructured};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use payment3_activities::domain::charge::Outcome;
use payment3_activities::domain::ids::{CardToken, ChargeId, OrderId, OwnerId, RecordKey};
use payment3_activities::domain::money::Satang;
use payment3_activities::domain::order::Paid;
use payment3_activities::domain::payment::{Origin, Purpose};
use payment3_activities::tables::TableError;
use payment3_activities::tables::item::{Item, n, s};
use payment3_activities::tables::mapping::Mapped;
use payment3_activities::tables::orders::StoredOrder;
use payment3_activities::tables::records::Record;
use payment3_activities::tables::sources::Foreign;

use crate::generate::{short, word};
use crate::money;
use crate::secrets::{TOKEN, assert_none_debugged, assert_none_in};

const CHARGE: &str = "chrg_1";
const ORDER: &str = "482500007436";
const OWNER: &str = "usr_123";

/// The attributes of this system's records, apart from their keys. An old item may use one of these names for something
/// else.
const WORDS: [&str; 43] = [
    "token",
    "redirectUrl",
    "referenceOrder",
    "outcome",
    "resolution",
    "status",
    "attempt",
    "openShard",
    "lookAgainAt",
    "openSince",
    "unknownSince",
    "closedAt",
    "closedAs",
    "origin",
    "sourceTable",
    "sourceLayout",
    "sourceKey",
    "handledBy",
    "decidedAt",
    "orderPaidAt",
    "cardSavedTo",
    "orderId",
    "ownerId",
    "userId",
    "basketId",
    "mid",
    "amountSatang",
    "currency",
    "saveCard",
    "formFingerprint",
    "createdAt",
    "callback",
    "cameBackAt",
    "paidNotifiedAt",
    "bankKey",
    "returnStarts",
    "returnAskedAt",
    "troubleSince",
    "reversingSince",
    "reversedAt",
    "reversal",
    "refundId",
    "amount",
];
/// Other attributes of the former system's items, and unknown ones.
const OTHER_WORDS: [&str; 6] = [
    "grandTotal",
    "promotion",
    "message",
    "updated_at",
    "Status",
    "is_paid",
];
const TEXTS: [&str; 19] = [
    "true",
    "True",
    "FALSE",
    "1",
    "0",
    "pending",
    "paid",
    "declined",
    "orderPaid",
    "reversed",
    "old",
    "borrowed",
    "",
    "1500.00",
    "1,500.00",
    "150000",
    "-1",
    "a lot",
    "PAID",
];

/// Checks an item of the former system or of master with strange attributes, a record of this system, an order and a
/// mapping.
pub fn check(u: &mut Unstructured<'_>) -> Result<()> {
    old(u)?;
    borrowed(u)?;
    own(u)?;
    order(u)?;
    mapping(u)
}

fn attribute(u: &mut Unstructured<'_>) -> Result<AttributeValue> {
    Ok(match u.int_in_range(0..=9)? {
        0..=2 => s(word(u, &TEXTS)?),
        3 => n(*u.choose(&[
            "0",
            "1",
            "1500",
            "1500.5",
            "150000",
            "482500007436",
            "-1",
            "1E+3",
        ])?),
        4 => n(u.arbitrary::<i64>()?),
        5 => AttributeValue::Bool(u.arbitrary()?),
        6 => AttributeValue::Null(true),
        7 => AttributeValue::L(vec![s(short(u)?)]),
        8 => AttributeValue::M(Item::from([("a".into(), s(short(u)?))])),
        _ => AttributeValue::B(Blob::new(short(u)?)),
    })
}

/// Adds up to three strange attributes to the item, under known or unknown names.
fn strange(u: &mut Unstructured<'_>, item: &mut Item, words: &[&str]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for _ in 0..u.int_in_range(0..=3)? {
        let name = if u.ratio(3, 4)? {
            (*u.choose(words)?).to_owned()
        } else {
            word(u, &OTHER_WORDS)?
        };
        if !["tokenId", "chargeId", ""].contains(&name.as_str()) {
            item.insert(name.clone(), attribute(u)?);
            names.push(name);
        }
    }
    Ok(names)
}

/// The text of an id. The former system wrote some ids as numbers.
fn id_in(item: &Item, name: &str) -> Option<String> {
    match item.get(name)? {
        AttributeValue::S(text) | AttributeValue::N(text) => {
            OrderId::new(text).ok().map(String::from)
        }
        _ => None,
    }
}

fn number_in(item: &Item, name: &str) -> Option<String> {
    match item.get(name)? {
        AttributeValue::S(text) | AttributeValue::N(text) => Some(text.clone()),
        _ => None,
    }
}

/// The amount in satang, from the first attribute that has one.
fn amount_in(item: &Item, baht: &[&str]) -> Option<u128> {
    let max = u128::try_from(Satang::MAX.satang()).expect("positive");
    let satang = number_in(item, "amountSatang")
        .and_then(|text| text.parse::<i64>().ok())
        .and_then(|satang| u128::try_from(satang).ok())
        .filter(|satang| *satang <= max);
    satang.or_else(|| {
        baht.iter()
            .find_map(|name| money::shop_value(&number_in(item, name)?))
    })
}

fn is_true(value: Option<&AttributeValue>) -> bool {
    match value {
        Some(AttributeValue::Bool(flag)) => *flag,
        Some(AttributeValue::S(text) | AttributeValue::N(text)) => {
            text == "1" || text.eq_ignore_ascii_case("true")
        }
        _ => false,
    }
}

fn old(u: &mut Unstructured<'_>) -> Result<()> {
    let mut item = Item::from([
        ("tokenId".into(), s(TOKEN)),
        ("chargeId".into(), s(CHARGE)),
        ("orderId".into(), s(ORDER)),
        ("status".into(), AttributeValue::Bool(false)),
        ("amount".into(), s("1500.00")),
        ("callback".into(), s("yourapp://payments")),
    ]);
    let words: Vec<_> = WORDS
        .into_iter()
        .filter(|word| *word != "outcome")
        .collect();
    strange(u, &mut item, &words)?;
    item.remove("outcome");
    let origin = *u.choose(&[Origin::Old, Origin::Borrowed])?;
    let foreign = match Foreign::read(item.clone(), origin) {
        Ok(foreign) => foreign,
        Err(error) => return hidden(&error, &item),
    };
    assert_eq!(
        foreign.is_done(),
        is_true(item.get("status")),
        "a record counts as done exactly if it says paid"
    );
    taken_over(&item, &foreign, origin);
    Ok(())
}

fn borrowed(u: &mut Unstructured<'_>) -> Result<()> {
    let mut item = current();
    let strange = strange(u, &mut item, &WORDS)?;
    item.entry("outcome".into()).or_insert_with(|| s("pending"));
    let foreign = match Foreign::read(item.clone(), Origin::Borrowed) {
        Ok(foreign) => foreign,
        Err(error) => return hidden(&error, &item),
    };
    let closed = item.contains_key("closedAt") || item.contains_key("resolution");
    assert_eq!(foreign.is_done(), closed);
    if closed {
        return Ok(());
    }
    let copy = taken_over(&item, &foreign, Origin::Borrowed);
    for kept in ["referenceOrder", "paidNotifiedAt", "bankKey"] {
        if !strange.iter().any(|name| name == kept) {
            assert_eq!(copy.get(kept), item.get(kept), "{kept}");
        }
    }
    Ok(())
}

/// Only a record without a readable order id is refused, and the error names the attribute.
fn hidden(error: &TableError, item: &Item) -> Result<()> {
    assert_none_in("an unreadable item", &error.to_string());
    let named = matches!(
        error,
        TableError::Unreadable {
            attribute: "orderId",
            ..
        }
    );
    assert!(
        named && id_in(item, "orderId").is_none(),
        "a strange attribute hides a payment: {error}"
    );
    Ok(())
}

/// The copy is an open, pending record of the same payment, and keeps every attribute that has no meaning here.
fn taken_over(item: &Item, foreign: &Foreign, origin: Origin) -> Item {
    assert_none_debugged("a record to be taken over", foreign);
    assert_eq!(Some(foreign.order_id.to_string()), id_in(item, "orderId"));
    let amount = foreign
        .amount
        .map(|amount| u128::try_from(amount.satang()).expect("positive"));
    assert_eq!(
        amount,
        amount_in(item, &["amount", "grandTotal"]),
        "the amount must be the record's, or none"
    );
    let owner = OwnerId::new(OWNER).expect("an id");
    let total = foreign
        .amount
        .unwrap_or(Satang::new(150_000).expect("within the bounds"));
    let copy = foreign.copy(&owner, total, "the-table", jiff::Timestamp::UNIX_EPOCH);
    let record = Record::read(&copy).expect("a strange attribute hides a payment");
    assert_none_debugged("a record", &record);
    assert_eq!(record.charge_id, ChargeId::new(CHARGE).ok());
    assert_eq!((record.amount, &record.owner_id), (total, &owner));
    assert_eq!(record.order_id, foreign.order_id);
    assert_eq!(record.origin, origin);
    assert_eq!(
        (record.outcome, record.resolution),
        (None, None),
        "only the bank decides"
    );
    assert!(!record.is_closed(), "a strange attribute hides a payment");
    assert_eq!(record.currency, "THB");
    if !Record::is_current(item) {
        assert_eq!(
            record.reference_order, None,
            "records of the former system have no reference"
        );
    }
    let payment = record.payment().expect("it has a charge");
    assert_eq!(payment.purpose, Purpose::of(&foreign.order_id));
    assert_eq!(payment.attempt, 0);
    // The index of open records accepts only numbers, and so do its readers.
    for name in ["openShard", "lookAgainAt"] {
        assert!(matches!(&copy[name], AttributeValue::N(_)), "{name}");
    }
    assert!(matches!(&copy["orderId"], AttributeValue::S(_)));
    for (name, value) in item {
        if !WORDS.contains(&name.as_str()) && name != "tokenId" {
            assert_eq!(copy.get(name), Some(value), "{name} must be kept");
        }
    }
    copy
}

/// An open, pending record of this system.
fn current() -> Item {
    let key = CardToken::new(TOKEN).expect("a token").record_key();
    Item::from([
        ("tokenId".into(), s(key.as_str())),
        ("token".into(), s(TOKEN)),
        ("chargeId".into(), s(CHARGE)),
        ("orderId".into(), s(ORDER)),
        ("ownerId".into(), s(OWNER)),
        ("amountSatang".into(), n(150_000)),
        ("currency".into(), s("THB")),
        ("referenceOrder".into(), s("ref1")),
        ("paidNotifiedAt".into(), n(1_700_000_000)),
        ("bankKey".into(), s("0123456789abcdef")),
        ("outcome".into(), s("pending")),
        ("status".into(), AttributeValue::Bool(false)),
        ("attempt".into(), n(0)),
        ("openShard".into(), n(key.open_shard())),
        ("lookAgainAt".into(), n(1_700_000_000)),
        ("openSince".into(), s("2026-01-01T00:00:00.000Z")),
    ])
}

/// A record of this system is read exactly, or the error names the attribute that is wrong. Nothing is guessed.
fn own(u: &mut Unstructured<'_>) -> Result<()> {
    let mut item = current();
    let strange = strange(u, &mut item, &WORDS)?;
    let text = |name: &str| match item.get(name) {
        Some(AttributeValue::S(text)) if !text.is_empty() => Some(text.as_str()),
        _ => None,
    };
    match Record::read(&item) {
        Ok(record) => {
            assert_none_debugged("a record", &record);
            assert_eq!(
                record.key,
                RecordKey::stored(text("tokenId").expect("the key").to_owned())
            );
            assert_eq!(
                record.outcome == Some(Outcome::Paid),
                text("outcome") == Some("paid")
            );
            assert_eq!(record.outcome.is_none(), text("outcome") == Some("pending"));
            assert_eq!(record.resolution.is_some(), text("resolution").is_some());
            let amount = u128::try_from(record.amount.satang()).ok();
            assert_eq!(amount, amount_in(&item, &["amount"]));
            assert_eq!(Some(record.order_id.as_str()), text("orderId"));
            assert_eq!(Some(record.owner_id.as_str()), text("ownerId"));
        }
        Err(error) => {
            assert_none_in("an unreadable record", &error.to_string());
            let TableError::Unreadable { attribute, .. } = error else {
                panic!("no table was asked: {error}")
            };
            assert!(
                strange.iter().any(|name| name == attribute),
                "{attribute} was refused but is valid"
            );
        }
    }
    Ok(())
}

/// An order counts as unpaid only if it says so, and paying it keeps its other attributes.
fn order(u: &mut Unstructured<'_>) -> Result<()> {
    const PAYMENT: [&str; 9] = [
        "isPaid",
        "paymentId",
        "grandTotal",
        "paymentLog",
        "remark",
        "status",
        "totalPaid",
        "timestamp",
        "gbpReferenceNo",
    ];
    let mut payment = Item::from([("grandTotal".into(), s("1500.00"))]);
    strange(u, &mut payment, &PAYMENT)?;
    let mut data = Item::from([("ownerId".into(), s(OWNER)), ("grandTotal".into(), n(1500))]);
    strange(
        u,
        &mut data,
        &[
            "isDrafting",
            "isCancelled",
            "status",
            "billingInfo",
            "shipping",
            "grandTotal",
            "payment",
            "tracking",
        ],
    )?;
    if u.ratio(7, 8)? {
        data.insert("payment".into(), AttributeValue::M(payment));
    }
    let id = OrderId::new(ORDER).expect("an id");
    let charge = ChargeId::new(CHARGE).expect("an id");
    let readable = matches!(
        data.get("payment"),
        None | Some(AttributeValue::Null(_) | AttributeValue::M(_))
    ) || data.get("payment") == Some(&s(""));
    let item = |data: &Item| Item::from([("data".into(), AttributeValue::M(data.clone()))]);
    let payment = match data.get("payment") {
        Some(AttributeValue::M(payment)) => payment.clone(),
        _ => Item::new(),
    };
    let stored = match StoredOrder::read(&id, &item(&data)) {
        Ok(stored) => stored,
        Err(error) => {
            assert_none_in("an unreadable order", &error.to_string());
            let TableError::Unreadable { attribute, .. } = error else {
                panic!("no table was asked: {error}")
            };
            let total =
                |map| number_in(map, "grandTotal").and_then(|text| money::shop_value(&text));
            let none = matches!(
                payment.get("grandTotal"),
                None | Some(AttributeValue::Null(_))
            ) || payment.get("grandTotal") == Some(&s(""));
            match attribute {
                "data.payment.grandTotal" => assert!(!none && total(&payment).is_none()),
                // The order's own total counts only if the payment has none.
                "data.grandTotal" => assert!(none && total(&data).is_none()),
                "data.payment.isPaid" => {
                    assert!(!is_true(payment.get("isPaid")) && !says_unpaid(&payment))
                }
                "data.payment" => assert!(!readable),
                other => panic!("{other} was refused but is valid"),
            }
            return Ok(());
        }
    };
    assert!(readable, "the order could be paid twice");
    match &stored.order.paid {
        Paid::No => assert!(says_unpaid(&payment), "the order could be paid twice"),
        Paid::By(_) => assert!(is_true(payment.get("isPaid"))),
    }
    let amount = stored.order.grand_total;
    let cancelled = is_true(data.get("isCancelled"))
        || [&data, &payment].iter().any(|map| {
            matches!(map.get("status"), Some(AttributeValue::S(status))
                if ["cancelled", "canceled"].contains(&status.trim().to_lowercase().as_str()))
        });
    assert_eq!(stored.order.is_cancelled, cancelled);
    assert_eq!(stored.order.is_drafting, is_true(data.get("isDrafting")));
    let at = |seconds| jiff::Timestamp::from_second(seconds).expect("a time");
    let paid = stored.payment_by(&charge, amount, at(1_767_225_600));
    if stored.order.is_paid_by(&charge) {
        assert_eq!(
            paid, payment,
            "paying twice must be the same as paying once"
        );
        return Ok(());
    }
    kept(&payment, &paid, amount);
    data.insert("payment".into(), AttributeValue::M(paid.clone()));
    let again = StoredOrder::read(&id, &item(&data)).expect("a written order is readable");
    assert!(again.order.is_paid_by(&charge));
    assert_eq!(
        again.payment_by(&charge, amount, at(1_800_000_000)),
        paid,
        "paying twice must be the same as paying once"
    );
    Ok(())
}

fn says_unpaid(payment: &Item) -> bool {
    match payment.get("isPaid") {
        None | Some(AttributeValue::Null(_) | AttributeValue::Bool(false)) => true,
        Some(AttributeValue::S(text) | AttributeValue::N(text)) => {
            text.is_empty() || text == "0" || text.eq_ignore_ascii_case("false")
        }
        _ => false,
    }
}

/// Paying keeps every attribute that it does not set, and adds one entry to the log.
fn kept(before: &Item, after: &Item, amount: Satang) {
    let set = [
        "isPaid",
        "status",
        "paymentId",
        "paymentMethod",
        "paymentDate",
        "timestamp",
        "totalPaid",
        "paymentLog",
    ];
    for (name, value) in before {
        if !set.contains(&name.as_str()) {
            assert_eq!(after.get(name), Some(value), "{name} must be kept");
        }
    }
    assert_eq!(after["isPaid"], AttributeValue::Bool(true));
    assert_eq!(after["paymentId"], s(CHARGE));
    assert_eq!(after["totalPaid"], n(amount));
    for time in ["paymentDate", "timestamp"] {
        assert_eq!(after[time], n(1_767_225_600));
    }
    let log = after["paymentLog"].as_l().expect("a list");
    let earlier = match before.get("paymentLog") {
        None | Some(AttributeValue::Null(_)) => Vec::new(),
        Some(AttributeValue::L(entries)) => entries.clone(),
        Some(other) => vec![other.clone()],
    };
    assert_eq!(log.len(), earlier.len() + 1, "the log grows by one entry");
    for (kept, entry) in log.iter().zip(&earlier) {
        let text = kept.as_s().expect("a text");
        match entry {
            AttributeValue::S(as_it_was) => assert_eq!(text, as_it_was, "the log is kept"),
            _ => assert!(
                serde_json::from_str::<serde_json::Value>(text).is_ok(),
                "{text} is no JSON"
            ),
        }
    }
    assert!(log[earlier.len()].as_s().is_ok(), "the log has texts only");
}

fn mapping(u: &mut Unstructured<'_>) -> Result<()> {
    let mut item = Item::from([
        ("ownerId".into(), s(OWNER)),
        ("kbank_id".into(), s("cust_test_1")),
    ]);
    strange(
        u,
        &mut item,
        &[
            "kbank_id",
            "createdByCharge",
            "claimedBy",
            "claimedAt",
            "createdAt",
        ],
    )?;
    match (Mapped::read(&item), item.get("kbank_id")) {
        (Some(mapped), Some(AttributeValue::S(id))) => assert_eq!(mapped.customer.as_str(), id),
        (Some(_), other) => panic!("a customer was made of {other:?}"),
        (None, Some(AttributeValue::S(id))) => assert!(OrderId::new(id).is_err(), "{id} is hidden"),
        (None, _) => {}
    }
    Ok(())
}
