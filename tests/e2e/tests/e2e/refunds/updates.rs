//! Which entries of the ledger TakeBack and ReleaseRefund may change. The definition's own expressions are tried against
//! the table, for an entry in every state, and twice: an answer of the table can be lost, too.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use payment3_harness::{items, workspace};
use serde_json::{Value, json};

use crate::support::TestApp;

/// The refund's id and amount.
const ID: &str = "rf_1";
const SATANG: i64 = 12_050;
/// The request that the execution has made, and one of another execution.
const MARK: &str = "rf_1 2026-11-29T04:00:00.000Z";
const OTHER_MARK: &str = "rf_1-again 2026-11-29T04:00:01.000Z";

/// The entry in every state, beside another one that is there all the time.
fn entries() -> Vec<(&'static str, Value)> {
    let asked =
        |mark: &str| json!({"state": "asked", "satang": SATANG, "mark": mark, "askedBy": "r"});
    let in_state = |state: &str| json!({"state": state, "satang": SATANG});
    vec![
        ("reserved", in_state("reserved")),
        ("asked by this request", asked(MARK)),
        ("asked by another request", asked(OTHER_MARK)),
        ("sent", in_state("sent")),
        ("failed", in_state("failed")),
        ("uncertain", in_state("uncertain")),
    ]
}

impl TestApp {
    /// Runs the update of a state of the refund machine on a record. False where its condition does not hold.
    async fn run_refund_update(&self, state: &str, key: &str) -> bool {
        let [_, file] = workspace::definition_files();
        let text = std::fs::read_to_string(file).expect("definition");
        let definition: Value = serde_json::from_str(&text).expect("JSON");
        let arguments = &definition["States"][state]["Arguments"];
        // What the expressions of the definition stand for.
        let filled_in = |text: &str| match text {
            "{% $refund.refundId %}" => ID.to_owned(),
            "{% $request %}" => MARK.to_owned(),
            "{% $now() %}" => "2026-11-29T04:00:02.000Z".to_owned(),
            "{% $string(-$refund.amountSatang) %}" => (-SATANG).to_string(),
            fixed => {
                assert!(
                    !fixed.starts_with("{%"),
                    "{state} has a new expression: {fixed}"
                );
                fixed.to_owned()
            }
        };
        let text = |value: &Value| filled_in(value.as_str().expect("text"));
        let object = |name: &str| arguments[name].as_object().expect("an object").clone();
        let values: HashMap<_, _> = object("ExpressionAttributeValues")
            .into_iter()
            .map(|(name, value)| {
                let value = match value.get("N") {
                    Some(number) => AttributeValue::N(text(number)),
                    None => AttributeValue::S(text(&value["S"])),
                };
                (name, value)
            })
            .collect();
        let names = object("ExpressionAttributeNames").into_iter();
        let names = names.map(|(name, attribute)| (name, text(&attribute)));
        let update = self.aws.dynamodb.update_item();
        let update = update
            .table_name(self.table("card-payment-record"))
            .key("tokenId", AttributeValue::S(key.to_owned()))
            .update_expression(text(&arguments["UpdateExpression"]))
            .condition_expression(text(&arguments["ConditionExpression"]))
            .set_expression_attribute_names(Some(names.collect()))
            .set_expression_attribute_values(Some(values));
        match update.send().await {
            Ok(_) => true,
            Err(error) => match error.into_service_error() {
                UpdateItemError::ConditionalCheckFailedException(_) => false,
                other => panic!("{state}: {other:?}"),
            },
        }
    }

    /// Runs the update on each entry, twice. Returns those that it changed, each with its record before and after.
    async fn changed_by(&self, state: &str) -> Vec<(&'static str, Value, Value)> {
        let paid = self.paid().await;
        let mut record = self.record(paid.charge_id()).await;
        let key = record["tokenId"].as_str().expect("a key").to_owned();
        let mut changed = Vec::new();
        for (name, entry) in entries() {
            let other = json!({"state": "reserved", "satang": 10_000});
            record["refunds"] = json!({ID: entry, "rf_2": other});
            record["refundedSatang"] = json!(SATANG + 10_000);
            let asked = name.starts_with("asked").then_some(json!(ID));
            let fields = record.as_object_mut().expect("a record");
            match asked {
                Some(id) => fields.insert("refundAsking".to_owned(), id),
                None => fields.remove("refundAsking"),
            };
            self.put_record(&record).await;
            let before = self.read_record(&key).await;
            let first = self.run_refund_update(state, &key).await;
            let after = self.read_record(&key).await;
            assert_eq!(first, before != after, "{state}, {name}");
            let second = self.run_refund_update(state, &key).await;
            assert!(!second, "{state}, {name}: it is done twice");
            assert_eq!(self.read_record(&key).await, after, "{state}, {name}");
            assert_eq!(after["refunds"]["rf_2"], other, "{state}, {name}");
            if first {
                changed.push((name, before, after));
            }
        }
        changed
    }
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn a_request_is_taken_back_by_who_made_it_and_by_nobody_else() {
    let app = TestApp::connect().await;
    let changed = app.changed_by("TakeBack").await;
    let [(name, mut before, after)] = <[_; 1]>::try_from(changed).expect("one");
    assert_eq!(name, "asked by this request");
    assert_eq!(after["refunds"][ID]["state"], "reserved", "{after}");
    assert!(after["refunds"][ID].get("mark").is_none(), "{after}");
    assert!(after.get("refundAsking").is_none(), "{after}");
    // Nothing else: its amount stays taken.
    before["refunds"] = after["refunds"].clone();
    before
        .as_object_mut()
        .expect("a record")
        .remove("refundAsking");
    assert_eq!(before, after);
}

#[tokio::test]
#[ignore = "needs the local environment: cargo local test e2e"]
async fn only_what_the_bank_was_not_asked_for_is_given_up_and_its_amount_is_free_once() {
    let app = TestApp::connect().await;
    let changed = app.changed_by("ReleaseRefund").await;
    let [(name, _, after)] = <[_; 1]>::try_from(changed).expect("one");
    assert_eq!(name, "reserved");
    assert_eq!(after["refunds"][ID]["state"], "failed", "{after}");
    assert!(after["refunds"][ID]["failedAt"].is_string(), "{after}");
    assert_eq!(after["refundedSatang"], 10_000, "{after}");
    // The entry keeps its amount, for people.
    let kept = items::satang_as_baht(after["refunds"][ID]["satang"].as_u64().expect("satang"));
    assert_eq!(kept, "120.50");
}
