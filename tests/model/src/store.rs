//! DynamoDB for activities that run in the model: one payment's record, and what else they read, in memory.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use payment3_activities::clock::Clock;
use payment3_activities::tables::Database;
use payment3_activities::tables::check_status::CheckStatus;
use payment3_activities::tables::orders::Orders;
use payment3_activities::tables::records::Records;
use payment3_activities::tables::refunds::RefundTables;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::dynamodb::Update;
use crate::system::{Item, NOW_TEXT, n, s};
use crate::treatment::RECORDS;

const ORDERS: &str = "OrderTable";
const STATUS: &str = "CheckStatusTable";

/// The tables, and what runs the activities.
pub(crate) struct Store {
    tables: RefundTables,
    table: Table,
    runtime: Runtime,
}

/// What an activity did.
pub(crate) struct Ran<T> {
    pub(crate) output: T,
    /// The record in the end.
    pub(crate) record: Item,
    /// The record before each call of a table.
    pub(crate) before: Vec<Item>,
}

impl Store {
    /// The tables with a paid order: its check status, and no order, as if it were deleted.
    pub(crate) fn new() -> Result<Self> {
        let table = Table::default();
        let connector = table.clone();
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("local"))
            .credentials_provider(Credentials::new("model", "model", None, None, "model"))
            .retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled())
            .http_client(http_client_fn(move |_, _| {
                SharedHttpConnector::new(connector.clone())
            }))
            .build();
        let database = Database {
            client: aws_sdk_dynamodb::Client::from_conf(config),
            clock: Clock::system(),
        };
        Ok(Self {
            tables: RefundTables {
                records: Records::new(database.clone(), RECORDS.to_owned()),
                orders: Orders::new(database.clone(), ORDERS.to_owned()),
                check_status: CheckStatus::new(database, STATUS.to_owned()),
            },
            table,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()?,
        })
    }

    /// Runs an activity on a record. Just before the call with a number, somebody else may leave another record. The
    /// error is a call that DynamoDB would refuse.
    pub(crate) fn run<'s, T, F: Future<Output = T>>(
        &'s self,
        record: &Item,
        other: Option<(usize, &Item)>,
        activity: impl FnOnce(&'s RefundTables) -> F,
    ) -> Result<Ran<T>, String> {
        *self.table.lock() = State {
            record: record.clone(),
            other: other.map(|(call, record)| (call, record.clone())),
            ..State::default()
        };
        let output = self.runtime.block_on(activity(&self.tables));
        let state = std::mem::take(&mut *self.table.lock());
        match state.problem {
            Some(problem) => Err(problem),
            None => Ok(Ran {
                output,
                record: state.record,
                before: state.before,
            }),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Table(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    record: Item,
    before: Vec<Item>,
    other: Option<(usize, Item)>,
    problem: Option<String>,
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpConnector for Table {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = operation.rsplit('.').next().unwrap_or_default();
        let body = request.body().bytes().unwrap_or_default();
        let mut state = self.lock();
        let number = state.before.len();
        if let Some((_, record)) = state.other.take_if(|(call, _)| *call == number) {
            state.record = record;
        }
        let before = state.record.clone();
        state.before.push(before);
        let answer = serde_json::from_slice(body)
            .map_err(|error| error.to_string())
            .and_then(|body: Value| state.answer(operation, &body));
        let (status, answer) = answer.unwrap_or_else(|problem| {
            let problem = format!("{operation}: {problem}");
            state.problem = Some(problem);
            (400, json!({"__type": "ValidationException"}))
        });
        let mut response = HttpResponse::new(
            status
                .try_into()
                .unwrap_or_else(|_| unreachable!("{status} is a status")),
            SdkBody::from(answer.to_string()),
        );
        response
            .headers_mut()
            .insert("content-type", "application/x-amz-json-1.0");
        HttpConnectorFuture::ready(Ok(response))
    }
}

impl State {
    fn answer(&mut self, operation: &str, body: &Value) -> Result<(u16, Value), String> {
        let is = |name: &str, value: &Value| self.record.get(name) == Some(value);
        match operation {
            "GetItem" => Ok((200, self.item(body))),
            "Query" => {
                let charge = &body["ExpressionAttributeValues"][":charge"];
                let found = is("chargeId", charge).then_some(&self.record);
                Ok((200, json!({"Items": found.as_slice()})))
            }
            "UpdateItem" if body["TableName"] == RECORDS => {
                match Update::of_request(body)?.apply(&self.record)? {
                    Some(record) => {
                        self.record = record;
                        Ok((200, json!({})))
                    }
                    None => Ok((400, json!({"__type": "ConditionalCheckFailedException"}))),
                }
            }
            "TransactWriteItems" => {
                let items = body["TransactItems"].as_array().ok_or("no items")?;
                let mut after = self.record.clone();
                let mut reasons = Vec::new();
                for item in items {
                    let update = &item["Update"];
                    // What the shop and apps are shown decides nothing about the money.
                    let holds = if update["TableName"] == RECORDS {
                        match Update::of_request(update)?.apply(&after)? {
                            Some(record) => {
                                after = record;
                                true
                            }
                            None => false,
                        }
                    } else if update["TableName"] == STATUS {
                        true
                    } else {
                        return Err(format!("{item} is not known here"));
                    };
                    let code = if holds {
                        "None"
                    } else {
                        "ConditionalCheckFailed"
                    };
                    reasons.push(json!({ "Code": code }));
                }
                if reasons.iter().all(|reason| reason["Code"] == "None") {
                    self.record = after;
                    return Ok((200, json!({})));
                }
                let canceled = json!({
                    "__type": "TransactionCanceledException",
                    "CancellationReasons": reasons,
                });
                Ok((400, canceled))
            }
            other => Err(format!(
                "{other} of {} is not known here",
                body["TableName"]
            )),
        }
    }

    /// The check status shows the record's charge as paid.
    fn item(&self, body: &Value) -> Value {
        let key = &body["Key"];
        let order = &key["orderId"];
        let charge = if self.record.get("orderId") == Some(order) {
            self.record.get("chargeId").cloned()
        } else if *order == s(BEHIND) {
            Some(s("chrg_test_another"))
        } else {
            None
        };
        match (body["TableName"].as_str(), charge) {
            (Some(RECORDS), _) if self.record.get("tokenId") == Some(&key["tokenId"]) => {
                json!({"Item": self.record})
            }
            (Some(STATUS), Some(charge)) => json!({"Item": {
                "orderId": order,
                "chargeId": charge,
                "status": s("paid"),
                "amountSatang": n(1),
                "updatedAt": s(NOW_TEXT),
            }}),
            (Some(ORDERS), _) if *order == s(PAID_OTHERWISE) => json!({"Item": {
                "data": {"M": {
                    "ownerId": s("usr_another"),
                    "grandTotal": s("1500.00"),
                    "payment": {"M": {"isPaid": {"BOOL": true}}},
                }},
            }}),
            _ => json!({}),
        }
    }
}

/// An order that was paid by other means than a charge of this system.
pub(crate) const PAID_OTHERWISE: &str = "482500000001";
/// An order that another charge paid, which the index of the records does not show yet.
pub(crate) const BEHIND: &str = "482500000003";
