//! What the functions call, and what of it counts.

use std::fmt;

use hyper::Method;
use hyper::header::HeaderMap;
use payment3_harness::call::{Target, operation};
use serde_json::Value;

/// Who is called. Each has a door of its own, as each has an address of its own on AWS: a function needs one connection for
/// each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// The tables.
    DynamoDb,
    /// Step Functions.
    States,
    /// Secrets Manager.
    Secrets,
    /// Lambda's own API, by which the baseline's functions invoke each other.
    Lambda,
    /// The bank's gateway.
    Bank,
    /// The shop's webhook.
    Shop,
}

/// A request that opens a connection at a function's start, and does nothing.
pub const CONNECT: &str = "connect";

impl Service {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::DynamoDb,
        Self::States,
        Self::Secrets,
        Self::Lambda,
        Self::Bank,
        Self::Shop,
    ];

    /// The variable by which every AWS SDK is told the address; bank and shop have their own ways.
    pub fn endpoint_variable(self) -> Option<&'static str> {
        match self {
            Self::DynamoDb => Some("AWS_ENDPOINT_URL_DYNAMODB"),
            Self::States => Some("AWS_ENDPOINT_URL_SFN"),
            Self::Secrets => Some("AWS_ENDPOINT_URL_SECRETS_MANAGER"),
            Self::Lambda => Some("AWS_ENDPOINT_URL_LAMBDA"),
            Self::Bank | Self::Shop => None,
        }
    }

    /// What a request asks for, without the ids in it.
    pub fn operation(self, method: &Method, path: &str, headers: &HeaderMap) -> String {
        let target = match self {
            Self::DynamoDb | Self::States | Self::Secrets => {
                if (method, path) == (&Method::GET, "/") {
                    return CONNECT.to_owned();
                }
                Target::Aws
            }
            Self::Lambda => return "Invoke".to_owned(),
            Self::Bank => Target::Bank,
            Self::Shop => Target::Shop,
        };
        operation(target, method, path, headers)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DynamoDb => "DynamoDB",
            Self::States => "Step Functions",
            Self::Secrets => "Secrets Manager",
            Self::Lambda => "Lambda",
            Self::Bank => "the bank",
            Self::Shop => "the shop",
        })
    }
}

/// What a request writes into tables, in items. An item in a transaction is charged twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Writes {
    /// Items written by themselves.
    pub single: u32,
    /// Items written in transactions.
    pub transacted: u32,
    /// How many of all of them are payment records, which stand in three indexes as well.
    pub records: u32,
}

impl Writes {
    /// What a request to DynamoDB writes.
    pub fn of(operation: &str, body: &[u8]) -> Self {
        let body = || serde_json::from_slice::<Value>(body).unwrap_or_default();
        match operation {
            "PutItem" | "UpdateItem" | "DeleteItem" => Self {
                single: 1,
                records: is_record(&body()),
                ..Self::default()
            },
            "TransactWriteItems" => {
                let body = body();
                let items = body["TransactItems"].as_array();
                let written: Vec<&Value> = items
                    .into_iter()
                    .flatten()
                    .filter_map(|item| {
                        ["Put", "Update", "Delete"]
                            .iter()
                            .find_map(|kind| item.get(kind))
                    })
                    .collect();
                Self {
                    transacted: u32::try_from(written.len()).unwrap_or(u32::MAX),
                    records: written.into_iter().map(is_record).sum(),
                    ..Self::default()
                }
            }
            _ => Self::default(),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            single: self.single + other.single,
            transacted: self.transacted + other.transacted,
            records: self.records + other.records,
        }
    }

    /// Items written.
    pub fn items(self) -> u32 {
        self.single + self.transacted
    }
}

fn is_record(write: &Value) -> u32 {
    let table = write["TableName"].as_str().unwrap_or_default();
    table.contains("card-payment-record").into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_transactions_items_are_counted_but_for_those_that_only_check() {
        let record = "payment3-card-payment-record-x";
        let body = json!({"TransactItems": [
            {"Update": {"TableName": record}},
            {"Put": {"TableName": "payment3-order-x"}},
            {"ConditionCheck": {"TableName": record}},
        ]});
        let writes = Writes::of("TransactWriteItems", body.to_string().as_bytes());
        let wanted = Writes {
            single: 0,
            transacted: 2,
            records: 1,
        };
        assert_eq!(writes, wanted);
        assert_eq!(Writes::of("GetItem", b"{}"), Writes::default());
    }
}
