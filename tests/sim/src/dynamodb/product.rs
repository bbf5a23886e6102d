//! The product's own writes, here and as the model check reads them.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use payment3_activities::clock::Clock;
use payment3_activities::domain::charge::{Outcome, TransactionState};
use payment3_activities::domain::decision::Asked;
use payment3_activities::domain::ids::{ChargeId, CustomerId, OwnerId, RecordKey};
use payment3_activities::tables::check_status::CheckStatus;
use payment3_activities::tables::checkouts::Checkouts;
use payment3_activities::tables::mapping::Mapping;
use payment3_activities::tables::outcomes::Outcomes;
use payment3_activities::tables::records::{Hint, Noted, Records};
use payment3_activities::tables::{Database, NotWritten, transact, transact_shown};
use serde_json::{Value, json};

use super::DynamoDb;
use super::tests::{RECORDS, STATUS, tables};
use crate::items;
use crate::random::Random;

/// What somebody else does before the so-manyth call.
type Meanwhile = Mutex<Option<(usize, BoxFuture<'static, ()>)>>;

#[derive(Clone)]
struct Connector {
    tables: DynamoDb,
    meanwhile: Arc<Meanwhile>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl Connector {
    /// What happens now, if it is time for it.
    fn turn(&self) -> Option<BoxFuture<'static, ()>> {
        let mut meanwhile = self.meanwhile.lock().unwrap();
        match meanwhile.take()? {
            (0, happens) => Some(happens),
            (calls, happens) => {
                *meanwhile = Some((calls - 1, happens));
                None
            }
        }
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (tables, turn) = (self.tables.clone(), self.turn());
        HttpConnectorFuture::new(async move {
            if let Some(happens) = turn {
                happens.await;
            }
            let target = request.headers().get("x-amz-target").unwrap_or_default();
            let operation = target.rsplit('.').next().unwrap_or_default();
            let body = request.body().bytes().unwrap_or_default();
            let (status, answer) = tables.call(operation, body).await;
            let status = status
                .try_into()
                .map_err(|_| ConnectorError::user("a status".into()))?;
            Ok(HttpResponse::new(status, SdkBody::from(answer)))
        })
    }
}

fn client(tables: &DynamoDb) -> aws_sdk_dynamodb::Client {
    client_with(tables, Mutex::default())
}

fn client_with(tables: &DynamoDb, meanwhile: Meanwhile) -> aws_sdk_dynamodb::Client {
    let connector = SharedHttpConnector::new(Connector {
        tables: tables.clone(),
        meanwhile: Arc::new(meanwhile),
    });
    let credentials = Credentials::new("obviously-fake", "obviously-fake", None, None, "test");
    let config = aws_types::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("ap-southeast-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .retry_config(RetryConfig::disabled())
        .build();
    aws_sdk_dynamodb::Client::new(&config)
}

/// A record in some state, whole or not.
fn some_record(random: &Random, key: &str) -> Value {
    let mut item = json!({
        "tokenId": {"S": key},
        "orderId": {"S": "482500007436"},
        "ownerId": {"S": "usr_1"},
        "amountSatang": {"N": "150000"},
    });
    let text = |text: &str| json!({ "S": text });
    let one = |of: &[&'static str]| text(random.pick::<&str>(of));
    let number = |number: u64| json!({"N": number.to_string()});
    item["outcome"] = one(&["pending", "paid", "declined", "returned"]);
    for (name, value) in [
        ("chargeId", text("chrg_1")),
        ("resolution", one(&["orderPaid", "reversing", "reversed"])),
        ("attempt", number(random.below(3))),
        ("openShard", number(random.below(16))),
        ("lookAgainAt", number(random.below(100))),
        ("closedAs", one(&["abandoned", "declined"])),
        ("closedAt", text("2026-01-02T03:04:05.678Z")),
        ("token", text("tok_1")),
        ("troubleSince", number(7)),
        ("paidNotifiedAt", number(8)),
        ("refunds", json!({"M": {}})),
    ] {
        if random.chance(0.6) {
            item[name] = value;
        }
    }
    item
}

/// Whether a write was made does not matter here: only that both say the same.
async fn tried(write: impl Future) {
    let _ = write.await;
}

#[tokio::test(start_paused = true)]
async fn the_models_reader_agrees_on_the_products_writes() {
    let random = Random::new(11);
    let tables = tables(11);
    tables.compare();
    let client = client(&tables);
    let database = Database {
        client: client.clone(),
        clock: Clock::system(),
    };
    let records = Records::new(database.clone(), RECORDS.to_owned());
    let mapping = Mapping::new(
        database.clone(),
        "payment3-kbank-user-mapping-master".to_owned(),
    );
    let outcomes = Outcomes::new(database, "payment3-credit-card-notify-master".to_owned());
    let charges = ["chrg_1", "chrg_2"].map(|id| ChargeId::new(id).unwrap());
    let owners = ["usr_1", "usr_2", "usr_3"].map(|id| OwnerId::new(id).unwrap());
    let customer = CustomerId::new("cust_1").unwrap();
    let executions = ["one", "two"];
    for number in 0..300 {
        let key = RecordKey::stored(format!("key{number}"));
        tables
            .store(RECORDS, &some_record(&random, key.as_str()))
            .unwrap();
        for _ in 0..4 {
            let charge = random.pick(&charges);
            let owner = random.pick(&owners);
            let execution = random.pick(&executions);
            let Ok(Some(record)) = records.get(&key).await else {
                panic!("{key:?} cannot be read");
            };
            let payment = record.payment_by(charge);
            let at = i64::try_from(random.below(100)).unwrap();
            match random.below(16) {
                0 => tried(records.open_ledger(&key, charge)).await,
                1 => tried(records.begin_reversal(&payment)).await,
                2 => tried(records.note_refund(&payment, "mark")).await,
                3 => tried(records.note_card_saved(&key, &customer)).await,
                4 => tried(records.close_handled_elsewhere(&key)).await,
                5 => tried(records.note_authorised(&key)).await,
                6 => tried(records.reopen_declined(&record)).await,
                7 => tried(records.reopen_abandoned(&record)).await,
                8 => tried(records.open_for_payment(&payment)).await,
                9 => tried(records.put_off(&record, at, 50, Noted::Trouble)).await,
                10 => tried(records.count_attempt(&record, 3, at)).await,
                11 => tried(records.look_soon(&record, at)).await,
                12 => tried(records.note_hint(&key, charge, Hint::Returned)).await,
                13 => tried(mapping.lease(owner, execution)).await,
                14 => tried(mapping.save(owner, execution, charge, &customer)).await,
                _ => {
                    let row = outcomes.row(&payment, Outcome::Paid, "Success");
                    let update = if at < 50 {
                        records.abandoned_update(&payment)
                    } else {
                        records.order_paid_update(&payment)
                    };
                    let items = vec![update, row];
                    tried(transact(&client, "give up", items)).await;
                }
            }
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    }
    let compared = tables.compared();
    assert_eq!(compared.differences, Vec::<String>::new());
    assert!(compared.agreed > 1000, "{compared:?}");
    assert!(compared.unknown < 100, "{compared:?}");
}

/// Every row that an order can have: a charge's id and a status.
const ROWS: [(Option<&str>, Option<&str>); 11] = [
    (None, None),
    (Some("chrg_own"), None),
    (Some("chrg_own"), Some("pending")),
    (Some("chrg_own"), Some("declined")),
    (Some("chrg_own"), Some("reversed")),
    (Some("chrg_own"), Some("paid")),
    (Some("chrg_other"), None),
    (Some("chrg_other"), Some("pending")),
    (Some("chrg_other"), Some("declined")),
    (Some("chrg_other"), Some("reversed")),
    (Some("chrg_other"), Some("paid")),
];

const ORDER: &str = "482500007436";

/// The tables with an undecided payment of the charge `chrg_own`, and with this row.
fn with_row((charge, status): (Option<&str>, Option<&str>)) -> DynamoDb {
    let tables = tables(3);
    let record = json!({
        "tokenId": {"S": "key"}, "chargeId": {"S": "chrg_own"}, "orderId": {"S": ORDER}, "ownerId": {"S": "usr_1"},
        "amountSatang": {"N": "150000"}, "outcome": {"S": "pending"}, "attempt": {"N": "0"},
        "openShard": {"N": "1"}, "lookAgainAt": {"N": "1"},
    });
    tables.store(RECORDS, &record).unwrap();
    let mut row = json!({"orderId": {"S": ORDER}, "askedFor": {"S": "another"}});
    if let Some(charge) = charge {
        row["chargeId"] = json!({"S": charge});
    }
    if let Some(status) = status {
        row["status"] = json!({"S": status});
        row["amountSatang"] = json!({"N": "150000"});
        row["updatedAt"] = json!({"S": "2026-01-01T00:00:00.000Z"});
    }
    tables.store(STATUS, &row).unwrap();
    tables
}

fn checkouts(client: aws_sdk_dynamodb::Client) -> Checkouts {
    let database = Database {
        client,
        clock: Clock::system(),
    };
    Checkouts {
        records: Records::new(database.clone(), RECORDS.to_owned()),
        check_status: CheckStatus::new(database, STATUS.to_owned()),
    }
}

#[tokio::test(start_paused = true)]
async fn how_a_payment_failed_is_either_shown_or_the_row_is_anothers() {
    let key = RecordKey::stored("key".to_owned());
    let own = ChargeId::new("chrg_own").unwrap();
    for row in ROWS {
        for declines in [true, false] {
            let mut held = Vec::new();
            for shows in [true, false] {
                let client = client(&with_row(row));
                let checkouts = checkouts(client.clone());
                let stored = checkouts.records.get(&key).await.unwrap().unwrap();
                let payment = stored.payment_by(&own);
                let shown = match declines {
                    true => checkouts.check_status.declined(&payment),
                    false => checkouts.check_status.reversed(&payment),
                };
                let item = if shows { shown.set } else { shown.anothers };
                match transact(&client, "show", vec![item]).await {
                    Ok(()) => held.push(shows),
                    Err(refused) => assert_eq!(refused, NotWritten::Refused(vec![0]), "{row:?}"),
                }
            }
            assert_eq!(held.len(), 1, "{row:?}: {held:?} of both");
        }
    }
}

/// A checkout stores a declined card's charge, or a repeat of its form does it again, at any moment while the decision is
/// written.
#[tokio::test(start_paused = true)]
async fn no_charge_that_has_failed_is_shown_as_pending_whoever_writes_in_between() {
    let key = RecordKey::stored("key".to_owned());
    let own = ChargeId::new("chrg_own").unwrap();
    let between = Arc::new(AtomicUsize::new(0));
    for (row, before) in ROWS
        .into_iter()
        .flat_map(|row| (0..4).map(move |before| (row, before)))
    {
        let tables = with_row(row);
        let checkout = checkouts(client(&tables));
        let stored = checkout.records.get(&key).await.unwrap().unwrap();
        let payment = stored.payment_by(&own);
        let (charge, happened) = (own.clone(), Arc::clone(&between));
        let stores = async move {
            let first = checkout.store_charge(&stored, &charge, None).await;
            happened.fetch_add(
                usize::from(first == Ok(true) && before > 0),
                Ordering::Relaxed,
            );
        };
        let decides = client_with(&tables, Mutex::new(Some((before, stores.boxed()))));
        let decision = checkouts(decides.clone());
        let failed = TransactionState::parse("Failed");
        let declined = Outcome::Declined;
        let records = &decision.records;
        let update = records.outcome_update(&payment, declined, &failed, Asked::default());
        let shown = decision.check_status.declined(&payment);
        let decided = transact_shown(&decides, "decide", vec![update], Some(shown)).await;
        assert_eq!(
            decided,
            Ok(()),
            "{row:?} before, and stored before call {before}"
        );
        let of_order = tables.item(STATUS, &[ORDER]).map(|row| items::plain(&row));
        let shown = of_order.map(|row| (row["chargeId"].clone(), row["status"].clone()));
        assert_ne!(
            shown,
            Some((json!(own.as_str()), json!("pending"))),
            "{row:?} before, and stored before call {before}"
        );
    }
    assert!(
        between.load(Ordering::Relaxed) > 0,
        "nobody wrote in between"
    );
}
