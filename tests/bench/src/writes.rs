//! What requests write into tables.

use serde_json::Value;

/// How many items a request to DynamoDB writes.
pub fn items_written(operation: &str, body: &[u8]) -> usize {
    match operation {
        "PutItem" | "UpdateItem" | "DeleteItem" => 1,
        "TransactWriteItems" => {
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            let items = body["TransactItems"].as_array();
            let writes = |item: &&Value| {
                ["Put", "Update", "Delete"]
                    .iter()
                    .any(|kind| item.get(kind).is_some())
            };
            items.into_iter().flatten().filter(writes).count()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_transactions_items_are_counted_but_for_those_that_only_check() {
        let table = "payment3-order-x";
        let body = json!({"TransactItems": [
            {"Update": {"TableName": table}},
            {"Put": {"TableName": table}},
            {"ConditionCheck": {"TableName": table}},
        ]});
        assert_eq!(
            items_written("TransactWriteItems", body.to_string().as_bytes()),
            2
        );
        assert_eq!(items_written("UpdateItem", b"{}"), 1);
        assert_eq!(items_written("GetItem", b"{}"), 0);
    }
}
