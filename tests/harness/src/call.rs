//! What a function calls, by a name that is the same in every payment.

use std::fmt;

use hyper::Method;
use hyper::header::HeaderMap;

/// Who is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// DynamoDB, Step Functions, Secrets Manager.
    Aws,
    /// The bank's gateway.
    Bank,
    /// The shop's webhook.
    Shop,
}

/// A call: who makes it, and what it asks for. The ids in it are left out, so that it has the same name in every payment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallName {
    /// The function, without prefix and branch: `pay-order`.
    pub function: String,
    /// What it asks for: `TransactWriteItems`, `POST charge`.
    pub operation: String,
}

impl fmt::Display for CallName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.function, self.operation)
    }
}

/// What a request asks for.
pub fn operation(target: Target, method: &Method, path: &str, headers: &HeaderMap) -> String {
    match target {
        Target::Aws => headers
            .get("x-amz-target")
            .and_then(|value| value.to_str().ok())
            .and_then(|target| target.rsplit('.').next())
            .map_or_else(|| format!("{method} {path}"), str::to_owned),
        Target::Bank => {
            let path = path.strip_prefix("/card/v2/").unwrap_or(path);
            let words: Vec<&str> = path
                .split('/')
                .enumerate()
                // The second part is always an id.
                .map(|(place, part)| if place == 1 { "*" } else { part })
                .collect();
            format!("{method} {}", words.join("/"))
        }
        Target::Shop => format!("{method} event"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_left_out_of_a_call_to_the_bank() {
        let named = |method, path| operation(Target::Bank, &method, path, &HeaderMap::new());
        assert_eq!(named(Method::POST, "/card/v2/charge"), "POST charge");
        assert_eq!(named(Method::GET, "/card/v2/charge/chrg_1"), "GET charge/*");
        assert_eq!(
            named(Method::POST, "/card/v2/charge/chrg_1/void"),
            "POST charge/*/void"
        );
    }

    #[test]
    fn a_call_to_aws_is_named_by_its_target_header() {
        let mut headers = HeaderMap::new();
        headers.insert(
            "x-amz-target",
            "DynamoDB_20120810.GetItem".parse().expect("a header"),
        );
        assert_eq!(
            operation(Target::Aws, &Method::POST, "/", &headers),
            "GetItem"
        );
    }
}
