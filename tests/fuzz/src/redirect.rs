//! Where browsers are sent: never anywhere but where the deployment allows, and never through a script.

use arbitrary::{Result, Unstructured};
use payment3_activities::activity::cardtoken::{bank_page, redirect_page};
use payment3_activities::domain::callback_base::CallbackBases;
use payment3_activities::domain::claim::ClaimedStatus;
use payment3_activities::domain::ids::OrderId;
use payment3_activities::domain::money::Satang;
use payment3_activities::http_api::see_other;
use url::Url;

use crate::generate::{rest, short, visible};

const DEFAULT: &str = "https://shop.example";
/// What the deployment allows besides the default.
const ALLOWED: [&str; 5] = [
    "https://pages.example/shop-a",
    "yourapp://payments",
    "other://",
    "http://127.0.0.1:4601/",
    "https://xn--12c1fe0br.example:8443",
];
const BANK: [&str; 2] = ["https://bank.example", "http://127.0.0.1:4600"];

/// Checks a base that a form asks for, and the 3-D Secure page that the bank names. The rest of the bytes is either.
pub fn check(u: &mut Unstructured<'_>) -> Result<()> {
    let order = match u.ratio(1, 2)? {
        true => "482500007436".to_owned(),
        false => visible(u, 1, 100)?,
    };
    let order = OrderId::new(order).map_err(|_| arbitrary::Error::IncorrectFormat)?;
    let amount = Satang::new(u.int_in_range(0..=999_999_999_999)?).expect("within the bounds");
    let status = *u.choose(&[ClaimedStatus::Success, ClaimedStatus::Failure])?;
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
    Ok(())
}

fn thank_you(requested: Option<&str>, order: &OrderId, status: ClaimedStatus, amount: Satang) {
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

/// Whether a browser that reads the URL is at the base, or below it.
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
        "{location} is no page of the bank"
    );
    assert!(BANK.iter().any(|bank| {
        let bank = Url::parse(bank).expect("a URL");
        (bank.scheme(), bank.host(), bank.port_or_known_default())
            == (url.scheme(), url.host(), url.port_or_known_default())
    }));
}

/// Nothing of the URL acts in a header or in a page: a browser reads it there as it is.
fn harmless(location: &str) {
    assert!(
        location.bytes().all(|byte| byte.is_ascii_graphic()),
        "{location:?}"
    );
    let page = redirect_page(location);
    let plain = redirect_page("https://shop.example");
    let count = |page: &str, c| page.matches(c).count();
    assert_eq!(
        count(&page, '<'),
        count(&plain, '<'),
        "{location} brings a tag into the page"
    );
    let (_, script) = page
        .split_once("window.location.href=")
        .expect("the script");
    let (script, _) = script.split_once("</script>").expect("the script's end");
    assert_eq!(
        serde_json::from_str::<String>(script).ok().as_deref(),
        Some(location)
    );
    for (before, after) in [("content=\"0;url=", '"'), ("<a href=\"", '"')] {
        let (_, attribute) = page.split_once(before).expect("the attribute");
        let (attribute, _) = attribute.split_once(after).expect("the attribute's end");
        assert_eq!(unescaped(attribute), location);
    }
}

fn unescaped(attribute: &str) -> String {
    attribute
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}
