//! The page that sends the browser on, and where it may send it.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use url::Url;

/// The 3-D Secure page that the bank names, if it is at one of its known origins.
#[must_use]
pub fn bank_page(origins: &[url::Origin], url: &str) -> Option<String> {
    Url::parse(url)
        .ok()
        // A `blob:` URL has the origin of what it wraps, and is no page.
        .filter(|url| matches!(url.scheme(), "https" | "http"))
        .filter(|url| origins.contains(&url.origin()))
        .map(String::from)
}

/// What could end an attribute, a string or a tag, and what is no character of an address.
const ENDS_SOMETHING: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'\'')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'`');

/// The page that sends the browser on. Existing clients search it with expressions, and take the characters that they
/// find as they stand. The script holds the address for them, each character as it is. The refresh holds it so that an
/// expression finds all of it and a browser reads the same: `content` comes first, as an expression that wants it
/// behind `http-equiv` takes what follows the last `url=`; each expression's match ends with its line.
#[must_use]
pub fn redirect_page(location: &str) -> String {
    let address = utf8_percent_encode(location, ENDS_SOMETHING).to_string();
    let attribute = attribute(&address);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Payment</title>\n\
         <meta content=\"0;url={attribute}\"\n http-equiv=\"refresh\">\n\
         <script>window.location.href=\"{address}\"</script>\n</head>\n\
         <body><p>Continue to your bank:\n<a href=\"{attribute}\">go on</a></p></body></html>\n"
    )
}

/// An address in an attribute. A client that does not know HTML must read it as a browser does, so that nothing is
/// escaped as HTML would have it. What either of them would take for something else is percent-encoded: a server reads
/// the same.
fn attribute(address: &str) -> String {
    // Some expressions take what follows the last `url=`, which may be the end of `returnUrl=`.
    let one_url = encoded_where(address, |_, rest| {
        rest.get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("url="))
    });
    // Browsers take `&copy;`, and at some places `&copy`, for another character, but never before a `=`.
    encoded_where(&one_url, |before, rest| {
        let name_ends = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        name_ends.len() < rest.len()
            && (before.ends_with("&#") || (before.ends_with('&') && !name_ends.starts_with('=')))
    })
}

/// Percent-encodes the characters for which `wrong` says so, told what stands before each and from it on. Only letters
/// and digits mean the same to everybody afterwards.
fn encoded_where(address: &str, wrong: impl Fn(&str, &str) -> bool) -> String {
    let mut out = String::with_capacity(address.len());
    for (at, character) in address.char_indices() {
        let (before, rest) = address.split_at(at);
        if wrong(before, rest) {
            out.push_str(&format!("%{:02X}", u32::from(character)));
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_are_those_that_the_real_clients_and_a_browser_are_tried_with() {
        for (address, page) in [
            (
                r#"https://bank.example/3ds?a=1&b=2&returnUrl=https://x.example/?c=3&d='4""#,
                include_str!("../../../../tests/e2e/clients/redirect/return-url.html"),
            ),
            (
                "https://bank.example/it's/url=1?a&copy;&not_paid=1&copy=2#&#65;",
                include_str!("../../../../tests/e2e/clients/redirect/references.html"),
            ),
        ] {
            let bank = [Url::parse(address).unwrap().origin()];
            assert_eq!(redirect_page(&bank_page(&bank, address).unwrap()), page);
        }
    }

    #[test]
    fn the_script_holds_the_address_as_it_stands() {
        let address = "https://bank.example/3ds?a=1&b=2&returnUrl=https://x.example/?c=3&d=%274%22";
        let script = format!("<script>window.location.href=\"{address}\"</script>\n");
        assert!(redirect_page(address).contains(&script));
    }

    #[test]
    fn the_refresh_holds_one_url_and_no_character_reference() {
        for (address, held) in [
            ("https://b.example/?a=1&b=2", "https://b.example/?a=1&b=2"),
            (
                "https://b.example/?copy=1&copy=2",
                "https://b.example/?copy=1&copy=2",
            ),
            (
                "https://b.example/?returnUrl=/&url=1",
                "https://b.example/?return%55rl=/&%75rl=1",
            ),
            // Without the letter's code a browser reads ©, ¬ and A.
            (
                "https://b.example/?a&copy;&not_paid=1&copy",
                "https://b.example/?a&%63opy;&%6Eot_paid=1&%63opy",
            ),
            (
                "https://b.example/?a&copyUrl=1",
                "https://b.example/?a&%63opy%55rl=1",
            ),
            ("https://b.example/?a&#65;", "https://b.example/?a&#%365;"),
            ("https://b.example/?a&#x41", "https://b.example/?a&#%7841"),
        ] {
            assert_eq!(attribute(address), held);
            let refresh = format!("<meta content=\"0;url={held}\"\n http-equiv=\"refresh\">\n");
            assert!(redirect_page(address).contains(&refresh), "{address}");
        }
    }

    #[test]
    fn only_pages_of_the_bank_are_gone_to() {
        let origins = [Url::parse("https://bank.example").unwrap().origin()];
        let page = "https://bank.example/3ds?a=1";
        assert_eq!(bank_page(&origins, page).as_deref(), Some(page));
        for url in [
            "https://bank.example.evil.example/",
            "http://bank.example/",
            "https://bank.example:8443/",
            "blob:https://bank.example/1",
            "javascript:alert(1)",
            "/3ds",
        ] {
            assert_eq!(bank_page(&origins, url), None, "{url}");
        }
    }

    #[test]
    fn a_url_cannot_break_out_of_the_page() {
        let tags = |location| redirect_page(location).matches('<').count();
        for location in [
            r#"https://bank.example/"></script><script>alert(1)</script>"#,
            r#"https://bank.example/'"onload="alert(1)" \" <!-- "#,
            "yourapp://a'b\u{a0}\n</title>",
        ] {
            let page = redirect_page(location);
            assert_eq!(tags(location), tags("https://bank.example/"), "{page}");
            assert!(!page.contains("alert(1)\""), "{page}");
        }
    }
}
