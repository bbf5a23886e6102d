//! What requests write into tables.

use serde_json::Value;

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
