//! Redirects of browsers: only to URLs that the deployment allows, and never to a script.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use arbitrary::{Result, Unstructured};
use payment3_activities::activity::cardtoken::{bank_page, redirect_page};
use payment3_activities::domain::browser_return::ReportedStatus;
use payment3_activities::domain::callback_base::CallbackBases;
use payment3_activities::domain::ids::OrderId;
use payment3_activities::domain::money::Satang;
use payment3_activities::http_api::see_other;
use regex_lite::{Captures, Regex};
use url::Url;

use crate::generate::{rest, short, visible};

const DEFAULT: &str = "https://shop.example";
/// The URLs that the deployment allows in addition to the default.
const ALLOWED: [&str; 5] = [
    "https://pages.example/shop-a",
    "yourapp://payments",
    "other://",
    "http://127.0.0.1:4601/",
    "https://xn--12c1fe0br.example:8443",
];
const BANK: [&str; 2] = ["https://bank.example", "http://127.0.0.1:4600"];

/// Checks a base URL from a form, and the 3-D Secure page that the bank names. Then checks the rest of the bytes as
/// both.
pub fn check(u: &mut Unstructured<'_>) -> Result<()> {
    let order = match u.ratio(1, 2)? {
        true => "482500007436".to_owned(),
        false => visible(u, 1, 100)?,
    };
    let order = OrderId::new(order).map_err(|_| arbitrary::Error::IncorrectFormat)?;
    let amount = Satang::new(u.int_in_range(0..=999_999_999_999)?).expect("within the bounds");
    let status = *u.choose(&[ReportedStatus::Success, ReportedStatus::Failure])?;
    let requested = match u.int_in_range(0..=3)? {
        0 => None,
        1 => Some(String::new()),
        2 => Some(DEFAULT.to_owned()),
        _ => Some((*u.choose(&ALLOWED)?).to_owned()),
    };
    let origin = *u.choose(&BANK)?;
    let prefix = *u.choose(&["", "blob:", "view-source:", " ", "\n"])?;
    let inserted = if u.ratio(1, 4)? {
        short(u)?
    } else {
        String::new()
    };
    let tail = String::from_utf8_lossy(rest(u)?).into_owned();
    thank_you(
        requested.map(|base| base + &inserted + &tail).as_deref(),
        &order,
        status,
        amount,
    );
    three_d_secure(&format!("{prefix}{origin}{tail}"));
    three_d_secure(&tail);
    for url in [
        tail.clone(),
        format!("{origin}{tail}"),
        format!("{origin}/3ds?{tail}"),
    ] {
        any_url(&url);
    }
    Ok(())
}

fn thank_you(requested: Option<&str>, order: &OrderId, status: ReportedStatus, amount: Satang) {
    let bases = CallbackBases::new(&ALLOWED.map(String::from), DEFAULT).expect("usable bases");
    let location = bases.thank_you(requested, order, status, amount);
    harmless(&location);
    let url = Url::parse(&location).expect("a URL");
    assert!(
        std::iter::once(DEFAULT)
            .chain(ALLOWED)
            .any(|base| lies_under(&url, base)),
        "{location} is not allowed"
    );
    assert!(url.path().ends_with("/thankyou"), "{location}");
    assert_eq!(url.fragment(), None);
    let query: Vec<_> = url.query_pairs().into_owned().collect();
    let expected = [
        ("orderId", order.to_string()),
        ("status", status.as_str().to_owned()),
        ("amount", amount.to_string()),
    ];
    assert_eq!(
        query,
        expected.map(|(name, value)| (name.to_owned(), value))
    );
    let answer = see_other(&location);
    assert_eq!(answer.status_code, 303);
    assert_eq!(
        answer
            .headers
            .get("location")
            .and_then(|value| value.to_str().ok()),
        Some(location.as_str())
    );
}

/// Whether a browser reads the URL as the base or as a URL below it.
fn lies_under(url: &Url, base: &str) -> bool {
    if let Some(scheme) = base.strip_suffix("://") {
        return url.scheme() == scheme;
    }
    let base = Url::parse(base.trim_end_matches('/')).expect("a URL");
    let segments = |url: &Url| -> Vec<String> {
        let segments = url.path_segments().into_iter().flatten();
        segments.map(str::to_owned).collect()
    };
    let mut below = segments(&base);
    if below.last().is_some_and(String::is_empty) {
        below.pop();
    }
    url.scheme() == base.scheme()
        && url.host() == base.host()
        && url.port_or_known_default() == base.port_or_known_default()
        && url.username().is_empty()
        && url.password().is_none()
        && segments(url).starts_with(&below)
}

fn three_d_secure(url: &str) {
    let origins = BANK.map(|origin| Url::parse(origin).expect("a URL").origin());
    let Some(location) = bank_page(&origins, url) else {
        return;
    };
    harmless(&location);
    let url = Url::parse(&location).expect("a URL");
    assert!(
        matches!(url.scheme(), "https" | "http"),
        "{location} is not a page of the bank"
    );
    assert!(BANK.iter().any(|bank| {
        let bank = Url::parse(bank).expect("a URL");
        (bank.scheme(), bank.host(), bank.port_or_known_default())
            == (url.scheme(), url.host(), url.port_or_known_default())
    }));
}

/// All clients read the same URL from a page that redirects to it. (Strange hosts are skipped, because the deployment
/// allows only known hosts.)
fn any_url(text: &str) {
    let Some(url) = Url::parse(text)
        .ok()
        .filter(|url| url.path().starts_with('/'))
    else {
        return;
    };
    let host = url.host_str().unwrap_or_default();
    if host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"[]:.-".contains(&byte))
    {
        sends_every_client_to(url.as_str());
    }
}

/// The URL is harmless: nothing in it is active in a header, and in a page it is only an address.
fn harmless(location: &str) {
    assert!(
        location.bytes().all(|byte| byte.is_ascii_graphic()),
        "{location:?}"
    );
    sends_every_client_to(location);
}

/// The expressions with which clients search the page. The merchant's SDK requires a refresh with `content` after
/// `http-equiv`, and takes the text after the last `url=`. Without a refresh, it takes the script. Others are less
/// strict.
const EXPRESSIONS: [&str; 8] = [
    r#"(?i)window\.location(?:\.href)?\s*=\s*["']([^"']+)["']"#,
    r#"location\.href="(.*)""#,
    r#"(?i)<meta[^>]+content=["'][^"']*url=([^"']+)["']"#,
    r#"(?i)content=["']?\d+;\s*url=(.*)["']"#,
    r#"(?i)url=["']?([^"'>\s]+)"#,
    r#"(?i).*url=(.+?)["']"#,
    r#"href="([^"]+)""#,
    r#"<a [^>]*href=["'](.+)["']"#,
];
const SDK_REFRESH: &str = r#"(?i)<meta[^>]+http-equiv=["']refresh["'][^>]+content="#;
/// What HTML reads as a character reference: `&` and a name, or `&#` and a number. A name before `=` is not a
/// reference.
const REFERENCE: &str = "&(#[0-9A-Za-z]|[0-9A-Za-z]+(?:[^0-9A-Za-z=]|$))";
/// A percent-encoded letter or digit.
const LETTER: &str = "%(3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa])";

/// A compiled expression. Each is compiled only once.
fn expression(text: &'static str) -> Regex {
    static MADE: Mutex<BTreeMap<&str, Regex>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let new = || Regex::new(text).expect("an expression");
    made.entry(text).or_insert_with(new).clone()
}

/// Asserts that every client and a browser read this address from the page, and that nothing else in it is active.
fn sends_every_client_to(location: &str) {
    let page = redirect_page(location);
    let plain = redirect_page("https://shop.example");
    let count = |page: &str, c| page.matches(c).count();
    for c in ['<', '>', '"', '\'', '\n'] {
        assert_eq!(
            count(&page, c),
            count(&plain, c),
            "{location} brings {c:?} into the page"
        );
    }
    assert!(
        !expression(SDK_REFRESH).is_match(&page),
        "the SDK reads the refresh: {page}"
    );
    for text in EXPRESSIONS {
        let found = expression(text).captures(&page);
        let found = found.unwrap_or_else(|| panic!("{text} finds nothing in {page}"));
        assert_eq!(
            normalised(&found[1]),
            normalised(location),
            "{text}: {page}"
        );
    }
    let between = |before, after| {
        let (_, rest) = page.split_once(before).expect("the address");
        rest.split_once(after).expect("its end").0
    };
    // Without an escape, a JavaScript string is read unchanged.
    let script = between("location.href=\"", "\"</script>");
    assert!(!script.contains('\\'), "{script}");
    assert_eq!(normalised(script), normalised(location), "{page}");
    for before in ["content=\"0;url=", "<a href=\""] {
        let address = between(before, "\"");
        assert!(holds_no_reference(address), "{address}");
        assert_eq!(normalised(address), normalised(location), "{page}");
    }
}

/// Whether a browser reads an attribute's value unchanged.
fn holds_no_reference(value: &str) -> bool {
    !expression(REFERENCE).is_match(value)
}

/// Normalises an address: letters and digits plain, and special characters percent-encoded. A server treats two
/// addresses with the same normal form alike.
fn normalised(address: &str) -> String {
    let plain = expression(LETTER).replace_all(address, |code: &Captures<'_>| {
        let code = u8::from_str_radix(&code[1], 16).expect("a code");
        char::from(code).to_string()
    });
    plain
        .chars()
        .map(|c| match c {
            '"' | '\'' | '<' | '>' | '\\' | '`' | ' ' => format!("%{:02X}", u32::from(c)),
            c => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_a_server_reads_alike_have_the_same_normal_form() {
        assert_eq!(
            normalised("?%72eturn%55rl=%31'"),
            normalised("?returnUrl=1%27")
        );
        for other in ["?a%26b", "?a&c", "?A&b", "?a%2Fb"] {
            assert_ne!(normalised("?a&b"), normalised(other));
        }
    }

    #[test]
    fn the_character_after_a_name_decides_whether_it_is_a_reference() {
        for value in ["?a&copy=1", "?a&&%63opy;", "?a&_copy&#%3665"] {
            assert!(holds_no_reference(value), "{value}");
        }
        for value in [
            "?a&copy",
            "?a&copy;=",
            "?a&not_paid=1",
            "?a&#65=",
            "?a&#x41",
        ] {
            assert!(!holds_no_reference(value), "{value}");
        }
    }

    #[test]
    fn all_clients_read_difficult_addresses() {
        for location in [
            "https://bank.example/3ds?a=1&b=2&returnUrl=https://x.example/?c=3&d=%274%22",
            "https://bank.example/?url=1&URL=2&Url==;url=",
            "https://bank.example/'url='?&copy;&not_paid&lt#&#65;",
            "https://bank.example/?a&copyUrl=1&&amp;&#x41;",
            "https://bank.example/?\\\"#\\'`<!--",
            "yourapp://payments/it's?a&b",
        ] {
            let location = Url::parse(location).expect("a URL").to_string();
            sends_every_client_to(&location);
        }
    }
}
