//! The HTML pages of 3-D Secure. They load no script, style, font or picture.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::OTP;
use crate::browser_return::Return;
use crate::charge::Charge;
use crate::error::GatewayError;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --ground: #eef1f4; --line: #6b7480;
  --brand: #00734a; --on-brand: #ffffff; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --paper: #1f2328; --ground: #14171a; --line: #8b949e;
    --brand: #4cc38a; --on-brand: #0b1210; --bad: #ff9a91; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 1rem; background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 26rem; margin: 1rem auto; padding: 1.25rem; background: var(--paper); border-radius: .75rem;
  overflow-wrap: anywhere; }
h1 { margin: 0 0 .75rem; font-size: 1.25rem; }
dl { display: grid; grid-template-columns: fit-content(50%) minmax(0, 1fr); gap: .25rem 1rem; margin: 0 0 1rem; }
dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; }
label { display: block; font-weight: 600; }
input { width: 100%; padding: .6rem; font: inherit; letter-spacing: .2em; border: 1px solid var(--line);
  border-radius: .5rem; background: transparent; color: inherit; }
button { width: 100%; min-height: 2.75rem; margin-top: .75rem; padding: .5rem 1rem; font: inherit;
  border: 1px solid var(--line); border-radius: .5rem; background: transparent; color: inherit; cursor: pointer; }
button.main { border-color: var(--brand); background: var(--brand); color: var(--on-brand); font-weight: 600; }
:focus-visible { outline: 3px solid var(--brand); outline-offset: 2px; }
a { color: var(--brand); }
.hint { margin: .25rem 0 0; font-size: .875rem; }
.alert { color: var(--bad); font-weight: 600; }
";

/// Sends the browser back to the shop.
const SUBMIT: &str = "document.forms[0]?.submit();";

/// The form that asks for the one-time password, with an alert if the last try was wrong.
pub(crate) fn challenge(charge: &Charge, alert: Option<&str>) -> Response {
    let alert = alert.map_or_else(String::new, |text| {
        format!(
            "<p class=\"alert\" id=\"alert\" role=\"alert\">{}</p>",
            escape(text)
        )
    });
    let described = if alert.is_empty() {
        "aria-describedby=\"hint\""
    } else {
        "aria-invalid=\"true\" aria-describedby=\"alert hint\""
    };
    // Filled in for the first try, so that a payment needs clicks only.
    let value = if alert.is_empty() {
        format!("value=\"{OTP}\" ")
    } else {
        String::new()
    };
    let content = format!(
        "<h1>Confirm your payment</h1>
<dl>
<dt>Amount</dt><dd>{amount} {currency}</dd>
<dt>Card</dt><dd>{card}</dd>
<dt>Reference</dt><dd>{reference}</dd>
</dl>
<form method=\"post\">
{alert}
<label for=\"otp\">One-time password</label>
<input id=\"otp\" name=\"otp\" inputmode=\"numeric\" autocomplete=\"one-time-code\" maxlength=\"6\" {value}{described}>
<p class=\"hint\" id=\"hint\">This is the bank's sandbox: the password is {OTP}.</p>
<button class=\"main\" name=\"action\" value=\"approve\">Confirm the payment</button>
<button name=\"action\" value=\"fail\">Fail the authentication</button>
<button name=\"action\" value=\"leave\">Leave without an answer</button>
</form>",
        amount = charge.order.amount.two_decimals(),
        currency = Charge::CURRENCY,
        card = escape(&charge.card_masking()),
        reference = escape(&charge.order.reference_order),
    );
    page("Confirm your payment", &content, "")
}

/// The page that sends the browser back to the shop: by itself, or with a button if scripts are off.
pub(crate) fn returning(back: &Return) -> Response {
    let content = format!("<h1>Back to the shop</h1>{}", return_form(back));
    page("Back to the shop", &content, SUBMIT)
}

/// The page of a charge that is decided. The shopper may go back to the shop.
pub(crate) fn decided(back: &Return) -> Response {
    let content = format!(
        "<h1>This payment has been decided</h1><p>{}</p>{}",
        escape(&back.fields.message),
        return_form(back)
    );
    page("This payment has been decided", &content, "")
}

/// The page of a shopper who left. The charge waits.
pub(crate) fn left() -> Response {
    // The empty link leads to the page's own address, which is the payment's.
    let content = "<h1>You have left the payment</h1>
<p>Nothing was decided, and the shop has not been told. The payment still waits for you.</p>
<p><a href=\"\">Back to the payment</a></p>";
    page("You have left the payment", content, "")
}

/// The page of a shopper who does not get back to the shop, as with a broken connection.
pub(crate) fn lost(charge: &Charge, shop: Option<&str>) -> Response {
    let shop = shop.map_or_else(String::new, |shop| {
        format!(
            "<p><a href=\"{}/orders\">Look at the order in the shop</a></p>",
            escape(shop)
        )
    });
    let content = format!(
        "<h1>The way back is lost</h1>
<p>The bank has decided: the charge is <strong>{}</strong>. As with a broken connection, neither your browser nor the bank's \
notification tells the shop. It finds out when it asks the bank itself.</p>{shop}",
        charge.state().as_str()
    );
    page("The way back is lost", &content, "")
}

/// The page of a request that cannot be served.
pub(crate) fn refused(error: &GatewayError) -> Response {
    let content = format!(
        "<h1>This payment cannot be shown</h1><p>The bank says: {}.</p>",
        escape(&error.message)
    );
    (
        error.status,
        page("This payment cannot be shown", &content, ""),
    )
        .into_response()
}

fn return_form(back: &Return) -> String {
    let Some(action) = &back.action else {
        return "<p>The merchant account has no callbackUrl to go back to; set one with PUT /sandbox/merchant.</p>"
            .to_owned();
    };
    let mut form = format!("<form method=\"post\" action=\"{}\">\n", escape(action));
    for (name, value) in back.fields.pairs() {
        form += &format!(
            "<input type=\"hidden\" name=\"{}\" value=\"{}\">\n",
            escape(name),
            escape(value)
        );
    }
    form + "<button class=\"main\">Return to the shop</button>\n</form>"
}

fn page(title: &str, content: &str, script: &str) -> Response {
    let script = if script.is_empty() {
        String::new()
    } else {
        format!("<script>{script}</script>\n")
    };
    let html = format!(
        "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta name=\"color-scheme\" content=\"light dark\">
<link rel=\"icon\" href=\"data:,\">
<title>{title} - sandbox bank</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{content}
</main>
{script}</body>
</html>
",
        title = escape(title),
    );
    // Without form-action: browsers apply it to redirects, too, and the shop may redirect anywhere.
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        format!(
            "default-src 'none'; style-src {}; script-src {}; img-src data:; base-uri 'none'; frame-ancestors 'none'",
            source(STYLE),
            source(SUBMIT)
        )
    });
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY.as_str()),
    ];
    (headers, html).into_response()
}

/// What allows this script or style in a policy, and no other.
fn source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

/// Escapes text for HTML, also for a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_names_a_script_by_its_hash() {
        // The example of the CSP specification.
        assert_eq!(
            source("alert('Hello, world.');"),
            "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
        );
    }

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(
            escape("<a href=\"x\">'&'"),
            "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;"
        );
    }
}
