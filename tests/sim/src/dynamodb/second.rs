//! A second opinion on conditional writes: the model check has a reader of update expressions of its own. What both say
//! of the product's own requests must agree.

use dynoxide::{DynoxideError, Item};
use payment3_model::updated;
use serde_json::{Map, Value};

use super::canonical;

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Compared {
    /// So many writes were compared and agreed.
    pub(crate) agreed: u64,
    /// So many use what the model does not know.
    pub(crate) unknown: u64,
    /// Where the two differ, in words.
    pub(crate) differences: Vec<String>,
}

/// What the embedded database made of a write.
pub(super) enum Outcome<'a> {
    /// The item after it; `None` where only a condition was checked.
    Written(Option<&'a Item>),
    /// The condition did not hold.
    Refused,
}

impl Compared {
    /// Compares a write, of which `body` has the expressions, on the item before it.
    pub(super) fn compare(&mut self, body: &Value, before: Option<&Item>, outcome: &Outcome<'_>) {
        let item = |item: Option<&Item>| match item.map(canonical::item) {
            Some(Value::Object(attributes)) => attributes,
            _ => Map::new(),
        };
        let before = item(before);
        let Ok(mut model) = updated(body, &before) else {
            self.unknown += 1;
            return;
        };
        // A new item has its key.
        if let Some(model) = &mut model {
            model.extend(body["Key"].as_object().cloned().into_iter().flatten());
        }
        let agrees = match (&model, outcome) {
            (None, Outcome::Refused) | (Some(_), Outcome::Written(None)) => true,
            (Some(model), Outcome::Written(after)) => *model == item(*after),
            _ => false,
        };
        if agrees {
            self.agreed += 1;
            return;
        }
        let here = match outcome {
            Outcome::Refused => "refused".to_owned(),
            Outcome::Written(after) => Value::Object(item(*after)).to_string(),
        };
        let model = model.map_or("refused".to_owned(), |item| Value::Object(item).to_string());
        let before = Value::Object(before);
        self.differences.push(format!(
            "{body}\n  on {before}\n  gives {here}\n  and for the model {model}"
        ));
    }
}

/// What happened to a transaction's action, by its position; `None` where its condition was not decided upon.
pub(super) fn of_action<'a>(
    answer: &Result<impl Sized, DynoxideError>,
    position: usize,
    after: Option<&'a Item>,
) -> Option<Outcome<'a>> {
    match answer {
        Ok(_) => Some(Outcome::Written(after)),
        Err(DynoxideError::TransactionCanceledException(_, reasons)) => {
            match reasons.get(position)?.code.as_str() {
                "ConditionalCheckFailed" => Some(Outcome::Refused),
                "None" => Some(Outcome::Written(None)),
                _ => None,
            }
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_is_told() {
        let item = |json: Value| -> Item { serde_json::from_value(json).unwrap() };
        let before = item(json!({"k": {"S": "k"}, "a": {"N": "1"}}));
        let set = item(json!({"k": {"S": "k"}, "a": {"N": "2"}}));
        let body = json!({
            "Key": {"k": {"S": "k"}},
            "UpdateExpression": "SET a = :two",
            "ConditionExpression": "a < :two",
            "ExpressionAttributeValues": {":two": {"N": "2"}},
        });
        let mut compared = Compared::default();
        let mut compare = |before: Option<&Item>, outcome: Outcome<'_>| {
            compared.compare(&body, before, &outcome);
            (compared.agreed, compared.differences.len())
        };
        assert_eq!(compare(Some(&before), Outcome::Written(Some(&set))), (1, 0));
        assert_eq!(compare(Some(&before), Outcome::Written(None)), (2, 0));
        assert_eq!(compare(None, Outcome::Refused), (3, 0));
        assert_eq!(compare(Some(&before), Outcome::Refused), (3, 1));
        assert_eq!(compare(None, Outcome::Written(None)), (3, 2));
        assert_eq!(
            compare(Some(&before), Outcome::Written(Some(&before))),
            (3, 3)
        );
    }
}
