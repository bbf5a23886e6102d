use super::*;
use crate::deployment::Deployment;

pub(super) const RECORDS: &str = "payment3-card-payment-record-master";
pub(super) const STATUS: &str = "payment3-check-status-master";

pub(super) fn tables(seed: u64) -> DynamoDb {
    let start = "2026-01-02T03:04:05Z".parse().unwrap();
    let facts = Deployment::read().unwrap().table_facts();
    DynamoDb::new(Time::new(start), Random::new(seed), &facts).unwrap()
}

async fn call(tables: &DynamoDb, operation: &str, body: Value) -> (u16, Value) {
    let (status, answer) = tables.call(operation, body.to_string().as_bytes()).await;
    (status, serde_json::from_slice(&answer).unwrap())
}

fn kind(answer: &(u16, Value)) -> &str {
    let kind = answer.1["__type"].as_str().unwrap_or_default();
    kind.rsplit('#').next().unwrap_or_default()
}

fn record(key: &str, more: Value) -> Value {
    let mut item = json!({"tokenId": {"S": key}, "chargeId": {"S": format!("chrg_{key}")}, "orderId": {"S": "o"}});
    for (name, value) in more.as_object().unwrap() {
        item[name] = value.clone();
    }
    item
}

/// An update of a record in a transaction, or alone.
fn set(key: &str, outcome: &str, condition: &str) -> Value {
    json!({
        "TableName": RECORDS,
        "Key": {"tokenId": {"S": key}},
        "UpdateExpression": "SET outcome = :outcome",
        "ConditionExpression": condition,
        "ExpressionAttributeValues": {":outcome": {"S": outcome}},
    })
}

fn transaction(token: &str, updates: &[Value]) -> Value {
    let items: Vec<_> = updates
        .iter()
        .map(|update| json!({"Update": update}))
        .collect();
    json!({"ClientRequestToken": token, "TransactItems": items})
}

fn by_order(order: &str) -> Value {
    json!({
        "TableName": RECORDS,
        "IndexName": "orderId_index",
        "KeyConditionExpression": "orderId = :order",
        "ExpressionAttributeValues": {":order": {"S": order}},
    })
}

#[tokio::test(start_paused = true)]
async fn conditions_decide_and_answers_are_in_order() {
    let tables = tables(1);
    let put = json!({
        "TableName": RECORDS,
        "Item": record("k", json!({"outcome": {"S": "pending"}, "amountSatang": {"N": "0150"}})),
        "ConditionExpression": "attribute_not_exists(tokenId)",
    });
    assert_eq!(
        call(&tables, "PutItem", put.clone()).await,
        (200, json!({}))
    );
    let again = call(&tables, "PutItem", put).await;
    assert_eq!(
        (again.0, kind(&again)),
        (400, "ConditionalCheckFailedException")
    );
    let update = set(
        "k",
        "paid",
        "attribute_exists(tokenId) AND outcome <> :outcome",
    );
    assert_eq!(
        call(&tables, "UpdateItem", update.clone()).await,
        (200, json!({}))
    );
    assert_eq!(
        kind(&call(&tables, "UpdateItem", update).await),
        "ConditionalCheckFailedException"
    );
    let get = json!({"TableName": RECORDS, "Key": {"tokenId": {"S": "k"}}, "ConsistentRead": true});
    let (status, bytes) = tables.call("GetItem", get.to_string().as_bytes()).await;
    let expected = r#"{"Item":{"amountSatang":{"N":"150"},"chargeId":{"S":"chrg_k"},"orderId":{"S":"o"},"outcome":{"S":"paid"},"tokenId":{"S":"k"}}}"#;
    assert_eq!(
        (status, String::from_utf8(bytes).unwrap().as_str()),
        (200, expected)
    );
    let item = tables.item(RECORDS, &["k"]).unwrap();
    assert_eq!(
        item.to_string(),
        serde_json::from_str::<Value>(expected).unwrap()["Item"].to_string()
    );
    assert_eq!(tables.items(RECORDS), [item]);
    let delete = json!({"TableName": RECORDS, "Key": {"tokenId": {"S": "k"}}});
    assert_eq!(call(&tables, "DeleteItem", delete).await.0, 200);
    assert_eq!(tables.items(RECORDS), Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_refused() {
    let tables = tables(1);
    for (operation, body, expected) in [
        ("BatchGetItem", json!({}), "ValidationException"),
        (
            "GetItem",
            json!({"TableName": "nobody", "Key": {"a": {"S": "b"}}}),
            "ResourceNotFoundException",
        ),
        (
            "PutItem",
            json!({"TableName": "nobody", "Item": {"a": {"S": "b"}}}),
            "ResourceNotFoundException",
        ),
        (
            "Query",
            json!({"TableName": "nobody", "IndexName": "i", "KeyConditionExpression": "a = :a", "ExpressionAttributeValues": {":a": {"S": "b"}}}),
            "ResourceNotFoundException",
        ),
        (
            "PutItem",
            json!({"TableName": RECORDS, "Item": {"a": {"S": "b"}}}),
            "ValidationException",
        ),
        (
            "PutItem",
            json!({"TableName": RECORDS}),
            "ValidationException",
        ),
        ("GetItem", json!({"TableName": 5}), "SerializationException"),
        (
            "TransactWriteItems",
            json!({"TransactItems": []}),
            "ValidationException",
        ),
    ] {
        let answer = call(&tables, operation, body).await;
        assert_eq!(
            (answer.0, kind(&answer)),
            (400, expected),
            "{operation} {}",
            answer.1
        );
    }
    let query = json!({"TableName": RECORDS, "IndexName": "none", "KeyConditionExpression": "a = :a", "ExpressionAttributeValues": {":a": {"S": "b"}}});
    assert_eq!(
        kind(&call(&tables, "Query", query).await),
        "ValidationException"
    );
}

#[tokio::test(start_paused = true)]
async fn an_index_lags_behind_and_keeps_the_order_of_an_items_writes() {
    let tables = tables(7);
    let minute = Duration::from_secs(60);
    tables.set_lag(Lag {
        mostly: Duration::from_secs(1),
        sometimes: (0.5, minute),
        rarely: (0.02, 10 * minute),
    });
    for key in ["a", "b"] {
        tables.store(RECORDS, &record(key, json!({}))).unwrap();
    }
    assert_eq!(call(&tables, "Query", by_order("o")).await.1["Count"], 0);
    let mut last = String::new();
    let mut seen = 0;
    for second in 0..1200 {
        if second % 10 == 0 && second < 200 {
            let update = set("a", &format!("{second:03}"), "attribute_exists(tokenId)");
            assert_eq!(call(&tables, "UpdateItem", update).await.0, 200);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (_, answer) = call(&tables, "Query", by_order("o")).await;
        let items = answer["Items"].as_array().unwrap();
        let item = items.iter().find(|item| item["tokenId"]["S"] == "a");
        let outcome = item.and_then(|item| item["outcome"]["S"].as_str());
        let outcome = outcome.unwrap_or_default();
        assert!(last.as_str() <= outcome, "{last} {outcome}");
        seen += usize::from(last != outcome);
        last = outcome.to_owned();
    }
    assert_eq!(last, "190");
    assert!(seen > 3, "{seen}");
    // What loses the index's key is gone from it, some time later.
    let remove = json!({"TableName": RECORDS, "Key": {"tokenId": {"S": "a"}}, "UpdateExpression": "REMOVE orderId"});
    call(&tables, "UpdateItem", remove).await;
    assert_eq!(call(&tables, "Query", by_order("o")).await.1["Count"], 2);
    tokio::time::sleep(10 * minute).await;
    assert_eq!(call(&tables, "Query", by_order("o")).await.1["Count"], 1);
    tables.set_lag(Lag::NONE);
    tables.store(RECORDS, &record("c", json!({}))).unwrap();
    assert_eq!(call(&tables, "Query", by_order("o")).await.1["Count"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_not_consistent_may_see_the_past_of_a_second() {
    let tables = tables(3);
    let mut behind = 0;
    for number in 0..50 {
        let item = json!({"orderId": {"S": "o"}, "number": {"N": number.to_string()}});
        tables.store(STATUS, &item).unwrap();
        let get = json!({"TableName": STATUS, "Key": {"orderId": {"S": "o"}}});
        let (_, answer) = call(&tables, "GetItem", get.clone()).await;
        behind += usize::from(answer["Item"] != item);
        let mut strong = get.clone();
        strong["ConsistentRead"] = true.into();
        assert_eq!(call(&tables, "GetItem", strong).await.1["Item"], item);
        tokio::time::sleep(Duration::from_millis(1001)).await;
        assert_eq!(call(&tables, "GetItem", get).await.1["Item"], item);
    }
    assert!((10..45).contains(&behind), "{behind}");
}

#[tokio::test(start_paused = true)]
async fn transactions_on_the_same_item_conflict_while_they_last() {
    let tables = tables(1);
    for key in ["a", "b"] {
        tables.store(RECORDS, &record(key, json!({}))).unwrap();
    }
    let there = "attribute_exists(tokenId)";
    let this = tables.clone();
    let first = transaction("t1", &[set("a", "first", there), set("b", "first", there)]);
    let first = tokio::spawn(async move { call(&this, "TransactWriteItems", first).await });
    tokio::task::yield_now().await;
    let second = transaction(
        "t2",
        &[
            set("c", "second", "attribute_not_exists(tokenId)"),
            set("b", "second", there),
        ],
    );
    let second = call(&tables, "TransactWriteItems", second).await;
    assert_eq!(
        (second.0, kind(&second)),
        (400, "TransactionCanceledException")
    );
    let reasons = second.1["CancellationReasons"].as_array().unwrap();
    let codes: Vec<_> = reasons
        .iter()
        .map(|reason| reason["Code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["None", "TransactionConflict"]);
    let plain = call(&tables, "UpdateItem", set("a", "plain", there)).await;
    assert_eq!(
        (plain.0, kind(&plain)),
        (400, "TransactionConflictException")
    );
    assert_eq!(tables.item(RECORDS, &["a"]).unwrap().get("outcome"), None);
    assert_eq!(first.await.unwrap(), (200, json!({})));
    assert_eq!(
        tables.item(RECORDS, &["b"]).unwrap()["outcome"]["S"],
        "first"
    );
    // The items are free again, and the token of what was refused may be used again.
    let second = transaction("t2", &[set("b", "second", there)]);
    assert_eq!(call(&tables, "TransactWriteItems", second).await.0, 200);
    let refused = transaction(
        "t3",
        &[
            set("a", "x", "outcome = :outcome"),
            set("b", "second", "outcome = :outcome"),
        ],
    );
    let refused = call(&tables, "TransactWriteItems", refused).await;
    assert_eq!(
        refused.1["CancellationReasons"][0]["Code"],
        "ConditionalCheckFailed"
    );
    assert_eq!(refused.1["CancellationReasons"][1]["Code"], "None");
    assert_eq!(
        call(&tables, "UpdateItem", set("a", "plain", there))
            .await
            .0,
        200
    );
}

#[tokio::test(start_paused = true)]
async fn a_transaction_ends_although_nobody_waits_and_its_token_counts_for_ten_minutes() {
    let tables = tables(1);
    tables.watch_changes();
    let once = || transaction("t", &[set("a", "x", "attribute_not_exists(outcome)")]);
    let gone = tokio::time::timeout(
        Duration::from_millis(1),
        call(&tables, "TransactWriteItems", once()),
    )
    .await;
    assert!(gone.is_err());
    assert_eq!(
        kind(&call(&tables, "TransactWriteItems", once()).await),
        "TransactionInProgressException"
    );
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(tables.item(RECORDS, &["a"]).unwrap()["outcome"]["S"], "x");
    assert_eq!(
        call(&tables, "TransactWriteItems", once()).await,
        (200, json!({}))
    );
    let other = transaction("t", &[set("a", "y", "attribute_exists(outcome)")]);
    assert_eq!(
        kind(&call(&tables, "TransactWriteItems", other).await),
        "IdempotentParameterMismatchException"
    );
    tokio::time::sleep(Duration::from_secs(601)).await;
    assert_eq!(
        kind(&call(&tables, "TransactWriteItems", once()).await),
        "TransactionCanceledException"
    );
    let changes = tables.take_changes();
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (&changes[0].before, changes[0].table.as_str()),
        (&None, RECORDS)
    );
    assert_eq!(tables.take_changes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_key_of_an_index_has_the_indexs_type() {
    let tables = tables(1);
    let wrong = record(
        "a",
        json!({"openShard": {"S": "1"}, "lookAgainAt": {"N": "1"}}),
    );
    let put = json!({"TableName": RECORDS, "Item": wrong});
    assert_eq!(
        kind(&call(&tables, "PutItem", put).await),
        "ValidationException"
    );
    assert_eq!(tables.items(RECORDS), Vec::<Value>::new());
    tables.store(RECORDS, &record("a", json!({}))).unwrap();
    let mut update = set("a", "x", "attribute_exists(tokenId)");
    update["UpdateExpression"] = "SET orderId = :number, outcome = :outcome".into();
    update["ExpressionAttributeValues"][":number"] = json!({"N": "1"});
    assert_eq!(
        kind(&call(&tables, "UpdateItem", update.clone()).await),
        "ValidationException"
    );
    let canceled = transaction(
        "t",
        &[set("b", "x", "attribute_not_exists(tokenId)"), update],
    );
    let canceled = call(&tables, "TransactWriteItems", canceled).await;
    assert_eq!(
        canceled.1["CancellationReasons"][1]["Code"],
        "ValidationError"
    );
    let get = json!({"TableName": RECORDS, "Key": {"tokenId": {"S": "a"}}, "ConsistentRead": true});
    assert_eq!(
        call(&tables, "GetItem", get).await.1["Item"],
        record("a", json!({}))
    );
    let scan = json!({"TableName": RECORDS, "ConsistentRead": true});
    assert_eq!(call(&tables, "Scan", scan).await.1["Count"], 1);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_bytes() {
    async fn run(seed: u64) -> Vec<Vec<u8>> {
        let tables = tables(seed);
        let mut answers = Vec::new();
        for number in 0..40 {
            let key = format!("k{}", number % 7);
            let more = json!({"openShard": {"N": (number % 3).to_string()}, "lookAgainAt": {"N": number.to_string()}, "deep": {"M": {"z": {"SS": ["b", "a"]}, "y": {"L": [{"M": {"q": {"N": "1"}, "p": {"N": "2"}}}]}}}});
            tables.store(RECORDS, &record(&key, more)).unwrap();
            let updates = [
                set(&key, "x", "attribute_exists(tokenId)"),
                set("other", "x", "attribute_exists(tokenId)"),
            ];
            for (operation, body) in [
                (
                    "TransactWriteItems",
                    transaction(&number.to_string(), &updates[..1 + number % 2]),
                ),
                ("Query", by_order("o")),
                ("Scan", json!({"TableName": RECORDS})),
            ] {
                answers.push(tables.call(operation, body.to_string().as_bytes()).await.1);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        answers
    }
    assert_eq!(run(5).await, run(5).await);
    assert_ne!(run(5).await, run(6).await);
}

/// Prints what calls cost: `cargo test -p payment3-sim cost -- --ignored --nocapture`.
#[tokio::test(start_paused = true)]
#[ignore = "a measurement"]
async fn cost() {
    const ITEMS: usize = 4000;
    let tables = tables(1);
    let mut more = json!({"openShard": {"N": "3"}, "lookAgainAt": {"N": "1767323045"}});
    for number in 0..20 {
        more[format!("attribute{number}")] = json!({"S": format!("some value {number}")});
    }
    let there =
        "attribute_exists(tokenId) AND (attribute_not_exists(outcome) OR outcome <> :outcome)";
    let key = |number: usize| format!("key{}", number % ITEMS);
    let by_charge = |number: usize| {
        let mut query = by_order(&format!("chrg_{}", key(number)));
        query["IndexName"] = "chargeId_index".into();
        query["KeyConditionExpression"] = "chargeId = :order".into();
        query
    };
    type Kind<'a> = (&'a str, &'a str, Box<dyn Fn(usize) -> Value + 'a>);
    let kinds: [Kind<'_>; 6] = [
        (
            "put",
            "PutItem",
            Box::new(
                |number| json!({"TableName": RECORDS, "Item": record(&key(number), more.clone()), "ConditionExpression": "attribute_not_exists(tokenId)"}),
            ),
        ),
        (
            "update",
            "UpdateItem",
            Box::new(|number| set(&key(number), "x", there)),
        ),
        (
            "get",
            "GetItem",
            Box::new(
                |number| json!({"TableName": RECORDS, "Key": {"tokenId": {"S": key(number)}}, "ConsistentRead": true}),
            ),
        ),
        (
            "stale get",
            "GetItem",
            Box::new(
                |number| json!({"TableName": RECORDS, "Key": {"tokenId": {"S": key(number)}}}),
            ),
        ),
        ("query of an index", "Query", Box::new(by_charge)),
        (
            "transaction of 3",
            "TransactWriteItems",
            Box::new(|number| {
                let status = json!({"TableName": STATUS, "Key": {"orderId": {"S": key(number)}}, "UpdateExpression": "SET #s = :s", "ExpressionAttributeNames": {"#s": "status"}, "ExpressionAttributeValues": {":s": {"S": "paid"}}});
                let updates = [
                    set(&key(number), "y", there),
                    set(&key(number + 1), &number.to_string(), there),
                    status,
                ];
                transaction(&format!("token{number}"), &updates)
            }),
        ),
    ];
    for (name, operation, body) in kinds {
        let bodies: Vec<_> = (0..ITEMS).map(|number| body(number).to_string()).collect();
        // So that the copies of the tables see what was written.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let start = processor_micros();
        for body in bodies {
            let (status, answer) = tables.call(operation, body.as_bytes()).await;
            assert_eq!(status, 200, "{name} {}", String::from_utf8_lossy(&answer));
        }
        let micros = (processor_micros() - start) / ITEMS as f64;
        println!("{name}: {micros:.1} µs");
    }
    let query = json!({"TableName": RECORDS, "IndexName": "open_index", "KeyConditionExpression": "openShard = :s AND lookAgainAt <= :n", "ExpressionAttributeValues": {":s": {"N": "3"}, ":n": {"N": "1767323045"}}, "Limit": 10});
    let start = processor_micros();
    assert_eq!(call(&tables, "Query", query).await.0, 200);
    let micros = processor_micros() - start;
    println!("first query of the index of open records: {micros:.0} µs");
}

/// How long this thread has had a processor.
fn processor_micros() -> f64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos: f64 = times.split(' ').next().unwrap().parse().unwrap();
    nanos / 1e3
}
