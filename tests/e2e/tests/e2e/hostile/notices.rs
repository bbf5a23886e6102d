//! Forged notifications: `POST /notify`.

use payment3_bank::{PUBLIC_KEY, SECRET_KEY};
use payment3_harness::http::FORM;
use reqwest::Method;
use serde_json::{Value, json};

use super::forgery::{Attack, Forgery, JSON, Scene};
use super::victim::{Stage, sign};
use super::{Item, Leaves};

const PATH: &str = "/notify";
const UNSIGNED: &str = "401 INVALID_CHECKSUM checksum";
const NO_CHECKSUM: &str = "400 MISSING_FIELD checksum";
const UNREADABLE: &str = "400 INVALID_INPUT body";
const UNKNOWN: &str = "404 NOT_FOUND id";
const TAKEN: &str = "200";

pub(super) fn items() -> Vec<Item> {
    [
        checksums(),
        keys(),
        changed(),
        moved_borders(),
        replays(),
        unreadable(),
        carriers(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A notification that the bank has signed, changed afterwards.
fn tampered(
    stage: Stage,
    state: &'static str,
    name: impl Into<String>,
    answer: &'static str,
    leaves: Leaves,
    change: impl Fn(&mut Value, &Scene<'_>) + Send + Sync + 'static,
) -> Item {
    let attack = Attack::once(move |scene| {
        let mut notice = scene.victim.notice(state);
        change(&mut notice, scene);
        Forgery::json(PATH, &notice)
    });
    let name = format!("/notify: {}", name.into());
    Item::new(stage, name, answer, leaves, attack)
}

/// A changed notification of an authorised charge, before the genuine one. It must change nothing.
fn of_authorised(
    name: impl Into<String>,
    answer: &'static str,
    change: impl Fn(&mut Value, &Scene<'_>) + Send + Sync + 'static,
) -> Item {
    tampered(
        Stage::Authorized,
        "Authorized",
        name,
        answer,
        Leaves::Nothing,
        change,
    )
}

/// A notification of an authorised charge in any words.
fn raw(
    name: impl Into<String>,
    answer: &'static str,
    words: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
) -> Item {
    let attack = Attack::once(move |scene| {
        let notice = scene.victim.notice("Authorized").to_string();
        Forgery::post(PATH, JSON, words(&notice))
    });
    let name = format!("/notify: {}", name.into());
    Item::new(Stage::Authorized, name, answer, Leaves::Nothing, attack)
}

fn checksum_of(notice: &Value) -> String {
    notice["checksum"].as_str().expect("signed").to_owned()
}

fn checksums() -> Vec<Item> {
    let set = |name: &str, answer, checksum: Value| {
        of_authorised(name, answer, move |notice, _| {
            notice["checksum"] = checksum.clone();
        })
    };
    let alter = |name: &str, alter: fn(String) -> String| {
        of_authorised(name, UNSIGNED, move |notice, _| {
            notice["checksum"] = json!(alter(checksum_of(notice)));
        })
    };
    vec![
        of_authorised("no checksum", NO_CHECKSUM, |notice, _| {
            notice.as_object_mut().expect("object").remove("checksum");
        }),
        set("an empty checksum", NO_CHECKSUM, json!("")),
        set("a checksum that is null", NO_CHECKSUM, Value::Null),
        set("a checksum that is true", UNREADABLE, json!(true)),
        set("a checksum that is 0", UNREADABLE, json!(0)),
        set("a checksum that is a list", UNREADABLE, json!(["0"])),
        set(
            "a checksum that is an object",
            UNREADABLE,
            json!({"$ne": ""}),
        ),
        set("a wrong checksum", UNSIGNED, json!("0".repeat(64))),
        set("a checksum that is a wildcard", UNSIGNED, json!("*")),
        set("a checksum of NUL bytes", UNSIGNED, json!("\0".repeat(64))),
        alter("the first 8 of the checksum's 64 digits", |sum| {
            sum[..8].to_owned()
        }),
        alter("all but the last of the checksum's digits", |sum| {
            sum[..63].to_owned()
        }),
        alter("the checksum and one digit more", |sum| sum + "0"),
        alter("the checksum in capitals", |sum| sum.to_uppercase()),
        alter("the checksum with a blank behind it", |sum| sum + " "),
        alter("the checksum backwards", |sum| sum.chars().rev().collect()),
        of_authorised(
            "the checksum of another charge",
            UNSIGNED,
            |notice, scene| {
                notice["checksum"] = json!(checksum_of(&scene.other.notice("Authorized")));
            },
        ),
        of_authorised(
            "another charge in every field but the id",
            UNSIGNED,
            |notice, scene| {
                let id = notice["id"].clone();
                *notice = scene.other.notice("Authorized");
                notice["id"] = id;
            },
        ),
    ]
}

fn keys() -> Vec<Item> {
    let signed_with = |stage, name: &str, key: String| {
        tampered(
            stage,
            "Authorized",
            format!("signed with {name}"),
            UNSIGNED,
            Leaves::Nothing,
            move |notice, _| sign(notice, &key),
        )
    };
    vec![
        signed_with(Stage::Authorized, "the public key", PUBLIC_KEY.into()),
        signed_with(Stage::Authorized, "an empty key", String::new()),
        signed_with(Stage::Authorized, "the word null", "null".into()),
        signed_with(Stage::Authorized, "the word undefined", "undefined".into()),
        signed_with(
            Stage::Authorized,
            "somebody else's key",
            "skey_test_of_somebody_else".into(),
        ),
        signed_with(
            Stage::Authorized,
            "the key in capitals",
            SECRET_KEY.to_uppercase(),
        ),
        signed_with(
            Stage::Authorized,
            "the key and a line break",
            format!("{SECRET_KEY}\n"),
        ),
        signed_with(Stage::AtTheBank, "the public key, early", PUBLIC_KEY.into()),
        signed_with(
            Stage::Declined,
            "the public key, after the decline",
            PUBLIC_KEY.into(),
        ),
        signed_with(
            Stage::Declined,
            "an empty key, after the decline",
            String::new(),
        ),
    ]
}

/// A real checksum with other fields.
fn changed() -> Vec<Item> {
    let set = |name: &str, answer, field: &'static str, value: Value| {
        of_authorised(
            format!("a real checksum, {name}"),
            answer,
            move |notice, _| notice[field] = value.clone(),
        )
    };
    let bank_word = |name: &str, change: fn(&mut Value, &Scene<'_>)| {
        tampered(
            Stage::Authorized,
            "Authorized",
            format!("a real checksum, {name}"),
            TAKEN,
            Leaves::TheBanksWord,
            change,
        )
    };
    let unsigned = |stage, state, name: &str, change: fn(&mut Value)| {
        tampered(
            stage,
            state,
            name,
            UNSIGNED,
            Leaves::Nothing,
            move |notice, _| change(notice),
        )
    };
    vec![
        set("a lower amount", UNSIGNED, "amount", json!(1)),
        set("a higher amount", UNSIGNED, "amount", json!(999_999)),
        set("an amount of nothing", UNSIGNED, "amount", json!(0)),
        set(
            "an amount below nothing",
            "400 INVALID_INPUT amount",
            "amount",
            json!(-1500),
        ),
        set(
            "an amount in words",
            "400 INVALID_INPUT amount",
            "amount",
            json!("all of it"),
        ),
        set(
            "an amount that is a list",
            "400 INVALID_INPUT amount",
            "amount",
            json!([1500]),
        ),
        set(
            "no amount",
            "400 MISSING_FIELD amount",
            "amount",
            Value::Null,
        ),
        set("another currency", UNSIGNED, "currency", json!("USD")),
        set(
            "no currency",
            "400 MISSING_FIELD currency",
            "currency",
            json!(""),
        ),
        set("status flipped to fail", UNSIGNED, "status", json!("fail")),
        set("a status of true", UNSIGNED, "status", json!("true")),
        set("Settled", UNSIGNED, "transaction_state", json!("Settled")),
        set("Voided", UNSIGNED, "transaction_state", json!("Voided")),
        set("Declined", UNSIGNED, "transaction_state", json!("Declined")),
        set(
            "an unknown state",
            UNSIGNED,
            "transaction_state",
            json!("Free Of Charge"),
        ),
        set(
            "no state",
            "400 MISSING_FIELD transaction_state",
            "transaction_state",
            json!(""),
        ),
        set(
            "object error",
            "400 INVALID_INPUT object",
            "object",
            json!("error"),
        ),
        set(
            "object customer",
            "400 INVALID_INPUT object",
            "object",
            json!("customer"),
        ),
        of_authorised(
            "a real checksum, another charge's id",
            UNSIGNED,
            |notice, scene| notice["id"] = json!(scene.other.charge),
        ),
        of_authorised(
            "a real checksum, an unknown charge's id",
            UNSIGNED,
            |notice, _| notice["id"] = json!("chrg_test_0000000000000000"),
        ),
        // Fields that the checksum does not cover are not read: only the charge's own order is paid.
        bank_word(
            "another order's reference_order and ref_1",
            |notice, scene| {
                let theirs = scene.other.notice("Authorized");
                for field in ["reference_order", "ref_1"] {
                    notice[field] = theirs[field].clone();
                }
            },
        ),
        bank_word("a failure code and message of a decline", |notice, _| {
            notice["failure_code"] = json!("05");
            notice["failure_message"] = json!("Do not honor");
        }),
        bank_word("objects 100 deep in its source", |notice, _| {
            for _ in 0..100 {
                notice["source"] = json!({"source": notice["source"].take()});
            }
        }),
        bank_word(
            "our own words: outcome, resolution, recordKey",
            |notice, scene| {
                notice["outcome"] = json!("declined");
                notice["resolution"] = json!("reversed");
                notice["recordKey"] = json!(scene.other.key);
                notice["chargeId"] = json!(scene.other.charge);
                notice["source"] = json!("operator");
            },
        ),
        unsigned(
            Stage::AtTheBank,
            "Pre-Authorized",
            "Pre-Authorized made into Authorized under its real checksum",
            |notice| notice["transaction_state"] = json!("Authorized"),
        ),
        unsigned(
            Stage::Refused,
            "Declined",
            "a decline's real checksum under success",
            |notice| notice["status"] = json!("success"),
        ),
        unsigned(
            Stage::Refused,
            "Declined",
            "a decline's real checksum under success and Authorized",
            |notice| {
                notice["status"] = json!("success");
                notice["transaction_state"] = json!("Authorized");
            },
        ),
        unsigned(
            Stage::Declined,
            "Declined",
            "the same, after the decline was recorded",
            |notice| {
                notice["status"] = json!("success");
                notice["transaction_state"] = json!("Authorized");
            },
        ),
        unsigned(
            Stage::Paid,
            "Authorized",
            "a paid charge's real checksum under Voided",
            |notice| notice["transaction_state"] = json!("Voided"),
        ),
        unsigned(
            Stage::Paid,
            "Authorized",
            "a paid charge's real checksum under fail and Declined",
            |notice| {
                notice["status"] = json!("fail");
                notice["transaction_state"] = json!("Declined");
            },
        ),
    ]
}

/// The signed text has no separators, so the same text can be split into other fields.
fn moved_borders() -> Vec<Item> {
    let cut = |stage, state, name: &str, answer, leaves, change: fn(&mut Value)| {
        tampered(
            stage,
            state,
            format!("a real checksum, {name}"),
            answer,
            leaves,
            move |notice, _| change(notice),
        )
    };
    vec![
        cut(
            Stage::Authorized,
            "Authorized",
            "the amount's first digit moved into the id",
            UNKNOWN,
            Leaves::Nothing,
            |notice| {
                notice["id"] = json!(format!("{}1", notice["id"].as_str().expect("id")));
                notice["amount"] = json!(500);
            },
        ),
        cut(
            Stage::AtTheBank,
            "Pre-Authorized",
            "Authorized cut off Pre- into failure_code",
            TAKEN,
            Leaves::Inquiry,
            |notice| {
                notice["transaction_state"] = json!("Pre-");
                notice["failure_code"] = json!("Authorized");
            },
        ),
        cut(
            Stage::Declined,
            "Declined",
            "a decline's state cut into failure_code",
            TAKEN,
            Leaves::Nothing,
            |notice| {
                notice["transaction_state"] = json!("D");
                notice["failure_code"] = json!("eclined");
            },
        ),
        cut(
            Stage::Paid,
            "Authorized",
            "a paid charge's state cut into failure_code",
            TAKEN,
            Leaves::Nothing,
            |notice| {
                notice["transaction_state"] = json!("Auth");
                notice["failure_code"] = json!("orized");
            },
        ),
    ]
}

/// Genuine notifications, sent again.
fn replays() -> Vec<Item> {
    let replay = |stage, state: &'static str, when: &str| {
        tampered(
            stage,
            state,
            format!("the bank's own {state}, again after {when}"),
            TAKEN,
            Leaves::Nothing,
            |_, _| {},
        )
    };
    let mut items = vec![
        replay(Stage::Paid, "Pre-Authorized", "the order was paid"),
        replay(Stage::Paid, "Authorized", "the order was paid"),
        replay(Stage::Declined, "Pre-Authorized", "the decline"),
        replay(Stage::Declined, "Declined", "the decline"),
        replay(Stage::Voided, "Authorized", "the void"),
        replay(Stage::Refunded, "Authorized", "the refund"),
        replay(Stage::Refunded, "Settled", "the refund"),
        replay(Stage::Verified, "Authorized", "the verification"),
    ];
    items.push(Item::new(
        Stage::Voided,
        "/notify: the bank's own Authorized, 20 at once after the void",
        TAKEN,
        Leaves::Nothing,
        Attack::Flood {
            waves: 1,
            at_once: 20,
            forge: Box::new(|scene| Forgery::json(PATH, &scene.victim.notice("Authorized"))),
        },
    ));
    items.push(tampered(
        Stage::AtTheBank,
        "Authorized",
        "genuine, of a charge that no checkout here has made",
        UNKNOWN,
        Leaves::Nothing,
        |notice, _| {
            notice["id"] = json!("chrg_test_of_another_system");
            sign(notice, SECRET_KEY);
        },
    ));
    items
}

fn unreadable() -> Vec<Item> {
    let fixed = |name: &str, body: Vec<u8>| raw(name, UNREADABLE, move |_| body.clone());
    let id = |name: &str, id: String| {
        of_authorised(
            format!("a charge id {name}"),
            "400 INVALID_INPUT id",
            move |notice, _| {
                notice["id"] = json!(id);
                sign(notice, SECRET_KEY);
            },
        )
    };
    let in_front = |text: &'static str| {
        move |notice: &str| notice.replacen('{', &format!("{{{text},"), 1).into_bytes()
    };
    vec![
        fixed("no body", Vec::new()),
        fixed("blanks", b"   \r\n".to_vec()),
        fixed("null", b"null".to_vec()),
        fixed("true", b"true".to_vec()),
        fixed("a number", b"1500".to_vec()),
        fixed("a text", b"\"Authorized\"".to_vec()),
        fixed("NUL bytes", vec![0; 64]),
        fixed("bytes that are no UTF-8", vec![0xff, 0xfe, 0xfd]),
        fixed(
            "lists in lists, 4000 deep",
            [vec![b'['; 4000], vec![b']'; 4000]].concat(),
        ),
        raw("the genuine one in a list", UNREADABLE, |notice| {
            format!("[{notice}]").into_bytes()
        }),
        raw("the genuine one cut off", UNREADABLE, |notice| {
            notice.as_bytes()[..notice.len() / 2].to_vec()
        }),
        raw("the genuine one twice", UNREADABLE, |notice| {
            format!("{notice}{notice}").into_bytes()
        }),
        raw(
            "the genuine one with a byte-order mark",
            UNREADABLE,
            |notice| format!("\u{feff}{notice}").into_bytes(),
        ),
        raw("the genuine one in UTF-16", UNREADABLE, |notice| {
            notice.encode_utf16().flat_map(u16::to_le_bytes).collect()
        }),
        raw(
            "the genuine one with a byte that is no UTF-8",
            UNREADABLE,
            |notice| [notice.replacen("VISA", "", 1).into_bytes(), vec![0xff]].concat(),
        ),
        raw(
            "the genuine one with a second id in front",
            UNREADABLE,
            in_front(r#""id":"chrg_test_x""#),
        ),
        raw(
            "the genuine one with a second status in front",
            UNREADABLE,
            in_front(r#""status":"fail""#),
        ),
        raw(
            "the genuine one with a second checksum in front",
            UNREADABLE,
            in_front(r#""checksum":"0""#),
        ),
        raw(
            "the genuine one with a second state, spelt by escapes",
            UNREADABLE,
            in_front(r#""transaction_\u0073tate":"Declined""#),
        ),
        raw("over 8 KB", UNREADABLE, |notice| padded(notice, 9 * 1024)),
        raw("over 6 MB", UNREADABLE, |notice| padded(notice, 7 << 20)),
        id("with a NUL", "chrg_test_\0".into()),
        id(
            "with a line break and a header",
            "chrg_test\r\nX-Evil: 1".into(),
        ),
        id("in other letters that look the same", "сhrg_test_1".into()),
        id("of 101 characters", "c".repeat(101)),
        id("of 5000 characters", "c".repeat(5000)),
        id("with blanks", "' OR 1=1 --".into()),
    ]
}

/// A JSON text with blanks in front, up to a size.
fn padded(text: &str, size: usize) -> Vec<u8> {
    [vec![b' '; size - text.len()], text.as_bytes().to_vec()].concat()
}

/// Genuine notifications, sent in a wrong way.
fn carriers() -> Vec<Item> {
    let method = |method: Method| {
        let name = format!("/notify: the genuine one by {method}");
        let attack = Attack::once(move |scene| {
            Forgery::new(method.clone(), PATH)
                .header("content-type", JSON)
                .header("x-http-method-override", "POST")
                .body(scene.victim.notice("Authorized").to_string())
        });
        Item::new(
            Stage::Authorized,
            name,
            "404 NOT_FOUND",
            Leaves::Nothing,
            attack,
        )
    };
    let mut items: Vec<_> = [Method::GET, Method::PUT, Method::PATCH, Method::DELETE]
        .map(method)
        .into();
    items.push(Item::new(
        Stage::Authorized,
        "/notify: a browser's return",
        UNREADABLE,
        Leaves::Nothing,
        Attack::once(|scene| Forgery::form(PATH, &scene.victim.return_fields())),
    ));
    items.push(Item::new(
        Stage::Authorized,
        "/notify: a browser's return as JSON",
        "400 MISSING_FIELD id",
        Leaves::Nothing,
        Attack::once(|scene| Forgery::json(PATH, &json!(scene.victim.return_fields()))),
    ));
    items.push(Item::new(
        Stage::Authorized,
        "/notify: a form that spells the genuine one out",
        UNREADABLE,
        Leaves::Nothing,
        Attack::once(|scene| {
            let notice = scene.victim.notice("Authorized");
            let body = format!("payload={notice}");
            Forgery::post(PATH, FORM, body)
        }),
    ));
    items
}
