//! The calls of functions, with names that are the same in every payment.

use std::fmt;

use hyper::header::HeaderMap;

use crate::http_forward::WholeRequest;

/// Where a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// DynamoDB, Step Functions, Secrets Manager.
    Aws,
    /// The bank's gateway.
    Bank,
    /// The shop's webhook.
    Shop,
}

/// A service that functions call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// The tables.
    DynamoDb,
    /// Step Functions.
    StepFunctions,
    /// Secrets Manager.
    SecretsManager,
    /// Lambda. The state machine calls functions through it. In the benchmark's baseline, functions call each other
    /// through it.
    Lambda,
    /// The bank's gateway.
    Bank,
    /// The shop's webhook.
    Shop,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 6] = [
        Self::DynamoDb,
        Self::StepFunctions,
        Self::SecretsManager,
        Self::Lambda,
        Self::Bank,
        Self::Shop,
    ];

    /// The service that a request is for. None for a request to AWS that names no service.
    pub fn of(target: Target, headers: &HeaderMap) -> Option<Self> {
        let operation = || headers.get("x-amz-target")?.to_str().ok();
        match target {
            Target::Bank => Some(Self::Bank),
            Target::Shop => Some(Self::Shop),
            Target::Aws => match operation()?.split(['_', '.']).next()? {
                "DynamoDB" => Some(Self::DynamoDb),
                "AWSStepFunctions" => Some(Self::StepFunctions),
                "secretsmanager" => Some(Self::SecretsManager),
                _ => None,
            },
        }
    }

    /// Where a call of this service goes.
    pub fn target(self) -> Target {
        match self {
            Self::Bank => Target::Bank,
            Self::Shop => Target::Shop,
            _ => Target::Aws,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DynamoDb => "DynamoDB",
            Self::StepFunctions => "Step Functions",
            Self::SecretsManager => "Secrets Manager",
            Self::Lambda => "Lambda",
            Self::Bank => "the bank",
            Self::Shop => "the shop",
        })
    }
}

/// A call: the caller and the operation. Ids are left out, so that the name is the same in every payment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallName {
    /// The calling function, without prefix and branch: `pay-order`.
    pub function: String,
    /// The operation: `TransactWriteItems`, `POST charge`.
    pub operation: String,
}

impl fmt::Display for CallName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.function, self.operation)
    }
}

/// The operation of a request.
pub fn operation(target: Target, request: &WholeRequest) -> String {
    let WholeRequest { method, path, .. } = request;
    match target {
        Target::Aws => request
            .headers
            .get("x-amz-target")
            .and_then(|value| value.to_str().ok())
            .and_then(|target| target.rsplit('.').next())
            .map_or_else(|| format!("{method} {path}"), str::to_owned),
        Target::Bank => of_bank(method.as_str(), path),
        Target::Shop => format!("{method} event"),
    }
}

/// The operation of a request to the bank.
pub fn of_bank(method: &str, path: &str) -> String {
    let path = path.strip_prefix("/card/v2/").unwrap_or(path);
    let words: Vec<&str> = path
        .split('/')
        .enumerate()
        // The second part is always an id.
        .map(|(place, part)| if place == 1 { "*" } else { part })
        .collect();
    format!("{method} {}", words.join("/"))
}

#[cfg(test)]
mod tests {
    use hyper::Method;
    use hyper::body::Bytes;

    use super::*;

    fn request(method: Method, path: &str) -> WholeRequest {
        WholeRequest {
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    fn to_aws(target: &'static str) -> WholeRequest {
        let mut request = request(Method::POST, "/");
        let target = hyper::header::HeaderValue::from_static(target);
        request.headers.insert("x-amz-target", target);
        request
    }

    #[test]
    fn ids_are_left_out_of_a_call_to_the_bank() {
        for (method, path, name) in [
            (Method::POST, "/card/v2/charge", "POST charge"),
            (Method::GET, "/card/v2/charge/chrg_1", "GET charge/*"),
            (
                Method::POST,
                "/card/v2/charge/chrg_1/void",
                "POST charge/*/void",
            ),
        ] {
            assert_eq!(operation(Target::Bank, &request(method, path)), name);
        }
    }

    #[test]
    fn a_call_to_aws_names_its_service_and_its_operation_in_a_header() {
        for (target, service, name) in [
            ("DynamoDB_20120810.GetItem", Service::DynamoDb, "GetItem"),
            (
                "AWSStepFunctions.StartExecution",
                Service::StepFunctions,
                "StartExecution",
            ),
            (
                "secretsmanager.GetSecretValue",
                Service::SecretsManager,
                "GetSecretValue",
            ),
        ] {
            let request = to_aws(target);
            assert_eq!(operation(Target::Aws, &request), name);
            assert_eq!(Service::of(Target::Aws, &request.headers), Some(service));
            assert_eq!(service.target(), Target::Aws);
        }
        assert_eq!(
            Service::of(Target::Aws, &to_aws("Logs_20140328.Get").headers),
            None
        );
    }
}
