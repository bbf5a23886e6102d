//! Where the shopper's browser may be sent in the end. The base comes from a public form, so it is believed only when
//! the deployment's allow-list knows it: anything else is an open redirect.

use url::Url;
use url::form_urlencoded::byte_serialize;

use super::browser_return::ReportedStatus;
use super::ids::OrderId;
use super::money::Satang;

/// The bases that this deployment redirects to.
#[derive(Debug, Clone)]
pub struct CallbackBases {
    allowed: Vec<String>,
    default: String,
}

/// A base in the configuration that could not be used safely.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no callback base: write https://host[/path], scheme://rest, or scheme:// for a whole custom scheme \
     (http only on loopback)"
)]
pub struct InvalidBase(pub String);

impl CallbackBases {
    /// Checks the configured bases. An entry is a base (`https://shop.example`, `yourapp://payments`), or a whole
    /// custom scheme (`yourapp://`). The default is always allowed.
    ///
    /// # Errors
    /// [`InvalidBase`] names the entry that is wrong.
    pub fn new(allowed: &[String], default: &str) -> Result<Self, InvalidBase> {
        let default = trimmed(default).to_owned();
        let mut bases = vec![default.clone()];
        bases.extend(allowed.iter().map(|base| {
            let scheme_only = base.ends_with("://");
            if scheme_only {
                base.as_str()
            } else {
                trimmed(base)
            }
            .to_owned()
        }));
        if let Some(wrong) = bases.iter().find(|base| !is_usable(base)) {
            return Err(InvalidBase(wrong.clone()));
        }
        Ok(Self {
            allowed: bases,
            default,
        })
    }

    /// The base for a payment: the requested one when it is allowed, else the default.
    #[must_use]
    pub fn choose<'a>(&'a self, requested: Option<&'a str>) -> &'a str {
        requested
            .map(trimmed)
            .filter(|base| self.allows(base))
            .unwrap_or(&self.default)
    }

    /// The base where nobody asked for another: the shop's own.
    #[must_use]
    pub fn default_base(&self) -> &str {
        &self.default
    }

    /// Whether the allow-list knows a base. Slashes at its end do not count.
    #[must_use]
    pub fn allows(&self, base: &str) -> bool {
        let base = trimmed(base);
        // A query or fragment would swallow the path that is appended; the rest is what browsers read in more than
        // one way.
        let plain = base
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"?#\\@%".contains(&byte));
        // Browsers resolve `..`, out of the base that was allowed; and what they cannot read leads nowhere.
        let resolved = base.split('/').any(|part| part == "." || part == "..");
        plain
            && !resolved
            && Url::parse(base).is_ok()
            && self.allowed.iter().any(|allowed| {
                if allowed.ends_with("://") {
                    base.starts_with(allowed.as_str())
                } else {
                    base.strip_prefix(allowed.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                }
            })
    }

    /// The final redirect's URL, `{base}/thankyou?orderId=…&status=…&amount=…`, with its values percent-encoded.
    #[must_use]
    pub fn thank_you(
        &self,
        requested: Option<&str>,
        order_id: &OrderId,
        status: ReportedStatus,
        amount: Satang,
    ) -> String {
        let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        format!(
            "{}/thankyou?orderId={}&status={}&amount={}",
            self.choose(requested),
            encode(order_id.as_str()),
            status.as_str(),
            encode(&amount.to_string()),
        )
    }
}

fn trimmed(base: &str) -> &str {
    base.trim_end_matches('/')
}

fn is_usable(base: &str) -> bool {
    let Some((scheme, rest)) = base.split_once("://") else {
        return false;
    };
    match scheme {
        "https" | "http" => Url::parse(base).is_ok_and(|url| is_https_or_loopback(&url)),
        "javascript" | "data" | "file" | "vbscript" | "blob" | "about" => false,
        _ => {
            let valid_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c));
            valid_scheme && rest.bytes().all(|byte| byte.is_ascii_graphic())
        }
    }
}

/// Whether a URL is encrypted on its way, or does not leave this machine.
#[must_use]
pub fn is_https_or_loopback(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    };
    url.username().is_empty()
        && url.password().is_none()
        && url.host().is_some()
        && (url.scheme() == "https" || (url.scheme() == "http" && loopback))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases() -> CallbackBases {
        CallbackBases::new(
            &[
                "https://shop.example".into(),
                "yourapp://payments".into(),
                "other://".into(),
                "http://127.0.0.1:4601/".into(),
            ],
            "https://shop.villamarket.com/",
        )
        .unwrap()
    }

    #[test]
    fn known_bases_are_used_with_their_trailing_slashes_stripped() {
        for (requested, base) in [
            ("https://shop.example", "https://shop.example"),
            ("https://shop.example///", "https://shop.example"),
            ("https://shop.example/th", "https://shop.example/th"),
            ("yourapp://payments", "yourapp://payments"),
            ("other://anything/here", "other://anything/here"),
            ("http://127.0.0.1:4601", "http://127.0.0.1:4601"),
        ] {
            assert_eq!(bases().choose(Some(requested)), base);
        }
    }

    #[test]
    fn an_open_redirect_ends_at_the_default_base() {
        for requested in [
            "https://evil.example",
            "//evil.example",
            "javascript:alert(1)",
            "https://shop.example@evil.example",
            "https://shop.example.evil.example",
            "https://shop.example:80@evil.example/",
            "https://shop.example\\evil",
            "https://shop.example/\nSet-Cookie: a=b",
            "https://shop.example?x=",
            "https://shop.example#",
            "yourapp://payments2",
            "http://127.0.0.1:46011",
            "",
            "   ",
        ] {
            assert_eq!(
                bases().choose(Some(requested)),
                "https://shop.villamarket.com",
                "{requested:?}"
            );
        }
        assert_eq!(bases().choose(None), "https://shop.villamarket.com");
    }

    #[test]
    fn nobody_leaves_the_path_of_an_allowed_base() {
        let bases = CallbackBases::new(
            &["https://pages.example/shop-a".into(), "other://".into()],
            "https://shop.villamarket.com",
        )
        .unwrap();
        for requested in [
            "https://pages.example/shop-a/../shop-b",
            "https://pages.example/shop-a/./..",
            "https://pages.example/shop-a/%2e%2e/shop-b",
            "https://pages.example/shop-b",
            "other://a<b",
        ] {
            let base = bases.choose(Some(requested));
            assert_eq!(base, "https://shop.villamarket.com", "{requested}");
        }
        let below = "https://pages.example/shop-a/..th";
        assert_eq!(bases.choose(Some(below)), below);
    }

    #[test]
    fn values_in_the_final_redirect_are_percent_encoded() {
        let url = bases().thank_you(
            Some("yourapp://payments/"),
            &OrderId::new("4825&status=success").unwrap(),
            ReportedStatus::Failure,
            Satang::new(150_000).unwrap(),
        );
        assert_eq!(
            url,
            "yourapp://payments/thankyou?orderId=4825%26status%3Dsuccess&status=failure&amount=1500.00"
        );
    }

    #[test]
    fn a_configured_base_that_is_unsafe_is_refused_at_start() {
        for base in [
            "shop.example",
            "http://shop.example",
            "javascript://x",
            "https://user@shop.example",
            "://x",
            "Caps://x",
        ] {
            assert!(
                CallbackBases::new(&[base.into()], "https://shop.villamarket.com").is_err(),
                "{base}"
            );
        }
    }
}
