//! What functions and state machines may do. Each call is held against the rights of its role, as the CDK app gives them;
//! what no right allows is denied, as AWS denies it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use payment3_model::Machine;
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::fault::Party;

/// A use of a right: who did what, and to what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The function, or the state machine: `payment machine`.
    pub who: String,
    /// The action: `dynamodb:GetItem`.
    pub action: String,
    /// The ARN of what it is done to.
    pub resource: String,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            who,
            action,
            resource,
        } = self;
        write!(f, "{who}: {action} {resource}")
    }
}

/// The uses of rights in a run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Uses {
    /// How many calls were held against the rights.
    pub calls: usize,
    /// What they used.
    pub used: BTreeSet<Use>,
    /// What was denied.
    pub denied: BTreeSet<Use>,
}

impl Uses {
    /// Adds those of another run.
    pub fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.used.extend(other.used);
        self.denied.extend(other.denied);
    }

    /// What was denied, as findings.
    pub(crate) fn findings(&self) -> impl Iterator<Item = String> {
        let denied = self.denied.iter();
        denied
            .map(|denied| format!("denied: {denied}: see cdk/lib/functions/function-catalogue.ts"))
    }
}

/// The rights of every role: actions, each with a pattern of what it may be done to.
type Roles = BTreeMap<String, Vec<(String, String)>>;

fn roles(deployment: &Deployment) -> Roles {
    let functions = deployment.functions.iter();
    let functions = functions.map(|(name, facts)| (name.clone(), &facts.rights));
    let machines = deployment.machines.iter();
    let machines = machines.map(|(name, facts)| (format!("{name} machine"), &facts.rights));
    let all = functions.chain(machines).map(|(who, rights)| {
        let rights = rights.iter().filter_map(|right| right.split_once(' '));
        let rights = rights.map(|(action, on)| (action.to_owned(), on.to_owned()));
        (who, rights.collect())
    });
    all.collect()
}

fn is_allowed(roles: &Roles, asked: &Use) -> bool {
    let rights = roles.get(&asked.who).into_iter().flatten();
    rights.into_iter().any(|right| allows(right, asked))
}

fn allows((action, on): &(String, String), asked: &Use) -> bool {
    *action == asked.action && matches(on, &asked.resource)
}

/// Whether a text is one of a pattern's, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(start) else {
        return false;
    };
    let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    ends.any(|at| text.get(at..).is_some_and(|text| matches(rest, text)))
}

/// Rights that no run here uses, and why they are there: role, action, the end of what it may be done to, reason.
const UNUSED: [(&str, &str, &str, &str); 1] = [(
    "refund machine",
    "lambda:InvokeFunction",
    "-report-stuck-master",
    "a refund that fails for weeks is reported",
)];

/// The rights of the deployment that these uses did not need, each with the reason why it is there, if one is known. And
/// the reasons for rights that are used, or that nobody has.
///
/// # Errors
/// The deployment's facts cannot be read.
pub fn unused(used: &BTreeSet<Use>) -> Result<Unused> {
    let mut found = Unused::default();
    let mut reasons: BTreeSet<_> = UNUSED.iter().collect();
    for (who, rights) in roles(Deployment::read()?) {
        for right in rights {
            found.rights += 1;
            if used.iter().any(|one| one.who == who && allows(&right, one)) {
                continue;
            }
            let (action, on) = right;
            let reason = UNUSED
                .iter()
                .find(|(role, does, end, _)| *role == who && *does == action && on.ends_with(end));
            reasons.retain(|one| reason != Some(*one));
            let right = Use {
                who: who.clone(),
                action,
                resource: on,
            };
            found.unused.push((right, reason.map(|(.., why)| *why)));
        }
    }
    let stale = reasons.into_iter();
    found.stale = stale
        .map(|(role, action, end, _)| format!("{role}: {action} …{end}"))
        .collect();
    Ok(found)
}

/// What was not needed.
#[derive(Debug, Default)]
pub struct Unused {
    /// How many rights there are.
    pub rights: usize,
    /// Those that were not used, with the reason why they are there.
    pub unused: Vec<(Use, Option<&'static str>)>,
    /// Reasons for what is used after all.
    pub stale: Vec<String>,
}

/// Holds every call of a run against the rights.
#[derive(Clone)]
pub(crate) struct Rights(Arc<Inner>);

struct Inner {
    roles: Roles,
    /// The ARN of a table, before its name.
    table: String,
    uses: Mutex<Uses>,
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rights")
    }
}

impl Rights {
    /// The rights that a deployment gives.
    pub(crate) fn of(deployment: &Deployment) -> Self {
        let Deployment {
            region, account, ..
        } = deployment;
        Self(Arc::new(Inner {
            roles: roles(deployment),
            table: format!("arn:aws:dynamodb:{region}:{account}:table/"),
            uses: Mutex::default(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, Uses> {
        self.0.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was used and denied so far.
    pub(crate) fn uses(&self) -> Uses {
        self.state().clone()
    }

    /// Whether a state machine may invoke a function.
    pub(crate) fn may_invoke(&self, machine: Machine, function: &str) -> Result<(), Denied> {
        let asked = ("lambda:InvokeFunction".to_owned(), function.to_owned());
        self.judge(&format!("{machine} machine"), vec![asked])
    }

    /// Whether somebody may make a call of a service.
    pub(crate) fn may_call(
        &self,
        who: &str,
        party: Party,
        operation: &str,
        body: &[u8],
    ) -> Result<(), Denied> {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let asked = match party {
            Party::DynamoDb => self.of_tables(operation, &body),
            Party::StepFunctions => {
                let on = match operation {
                    "StartExecution" => text("stateMachineArn"),
                    _ => text("executionArn"),
                };
                vec![(format!("states:{operation}"), on)]
            }
            _ => vec![(format!("secretsmanager:{operation}"), text("SecretId"))],
        };
        self.judge(who, asked)
    }

    /// A transaction needs the rights for each of its actions, and none of its own:
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html>
    fn of_tables(&self, operation: &str, body: &Value) -> Vec<(String, String)> {
        let on = |body: &Value| {
            let table = body["TableName"].as_str().unwrap_or_default();
            let index = body["IndexName"].as_str();
            let index = index.map(|index| format!("/index/{index}"));
            format!("{}{table}{}", self.0.table, index.unwrap_or_default())
        };
        if operation != "TransactWriteItems" {
            return vec![(format!("dynamodb:{operation}"), on(body))];
        }
        let items = body["TransactItems"].as_array().into_iter().flatten();
        let actions = items.filter_map(Value::as_object).flatten();
        actions
            .map(|(kind, action)| match kind.as_str() {
                "ConditionCheck" => ("dynamodb:ConditionCheckItem".to_owned(), on(action)),
                kind => (format!("dynamodb:{kind}Item"), on(action)),
            })
            .collect()
    }

    fn judge(&self, who: &str, asked: Vec<(String, String)>) -> Result<(), Denied> {
        let mut uses = self.state();
        for (action, resource) in asked {
            uses.calls += 1;
            let who = who.to_owned();
            let asked = Use {
                who,
                action,
                resource,
            };
            if is_allowed(&self.0.roles, &asked) {
                uses.used.insert(asked);
            } else {
                uses.denied.insert(asked.clone());
                return Err(Denied(asked));
            }
        }
        Ok(())
    }
}

/// A call that is denied.
#[derive(Debug)]
pub(crate) struct Denied(Use);

impl Denied {
    /// The words of AWS.
    pub(crate) fn message(&self) -> String {
        let Use {
            who,
            action,
            resource,
        } = &self.0;
        format!(
            "User: {who} is not authorized to perform: {action} on resource: {resource} because no identity-based policy allows the {action} action"
        )
    }

    /// The answer of a service: its status and its body.
    pub(crate) fn answer(&self) -> (u16, Vec<u8>) {
        let kind = "com.amazon.coral.service#AccessDeniedException";
        let body = json!({"__type": kind, "Message": self.message()});
        (400, body.to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: &str = "payment3-order-master";
    const RECORDS: &str = "payment3-card-payment-record-master";

    fn ask(
        rights: &Rights,
        who: &str,
        party: Party,
        operation: &str,
        body: &Value,
    ) -> Result<(), String> {
        let asked = rights.may_call(who, party, operation, body.to_string().as_bytes());
        asked.map_err(|denied| denied.message())
    }

    #[test]
    fn a_right_that_is_missing_is_named_with_who_needs_it() {
        let whole = Deployment::read().unwrap();
        let mut broken = whole.clone();
        let rights = &mut broken.functions.get_mut("pay-order").unwrap().rights;
        rights
            .retain(|right| !right.starts_with("dynamodb:UpdateItem") || !right.ends_with(ORDERS));
        let update = |table: &str| json!({"Update": {"TableName": table}});
        let body = json!({"TransactItems": [update(RECORDS), update(ORDERS)]});
        let pays = |rights| {
            ask(
                rights,
                "pay-order",
                Party::DynamoDb,
                "TransactWriteItems",
                &body,
            )
        };
        let (whole, broken) = (Rights::of(whole), Rights::of(&broken));
        assert_eq!(pays(&whole), Ok(()));
        assert_eq!(
            pays(&broken).unwrap_err(),
            "User: pay-order is not authorized to perform: dynamodb:UpdateItem on resource: \
             arn:aws:dynamodb:ap-southeast-1:123456789012:table/payment3-order-master because no \
             identity-based policy allows the dynamodb:UpdateItem action"
        );
        assert_eq!(
            broken.uses().findings().collect::<Vec<_>>(),
            [
                "denied: pay-order: dynamodb:UpdateItem arn:aws:dynamodb:ap-southeast-1:123456789012:table/\
                 payment3-order-master: see cdk/lib/functions/function-catalogue.ts"
            ]
        );
    }

    #[test]
    fn only_what_a_role_names_is_allowed() {
        let rights = Rights::of(Deployment::read().unwrap());
        let query = |index: &str| json!({"TableName": RECORDS, "IndexName": index});
        let checks = json!({"TransactItems": [{"ConditionCheck": {"TableName": RECORDS}}]});
        let execution = |name: &str| json!({"executionArn": format!("arn:aws:states:ap-southeast-1:123456789012:execution:{name}")});
        for (who, party, operation, body, expected) in [
            (
                "reconcile",
                Party::DynamoDb,
                "Query",
                query("open_index"),
                true,
            ),
            (
                "reconcile",
                Party::DynamoDb,
                "Query",
                query("orderId_index"),
                false,
            ),
            (
                "reconcile",
                Party::DynamoDb,
                "Query",
                json!({"TableName": RECORDS}),
                false,
            ),
            (
                "pay-order",
                Party::DynamoDb,
                "TransactWriteItems",
                checks,
                false,
            ),
            (
                "reconcile",
                Party::StepFunctions,
                "DescribeExecution",
                execution("payment3-payment-master:x"),
                true,
            ),
            (
                "reconcile",
                Party::StepFunctions,
                "DescribeExecution",
                execution("payment3-refund-master:x"),
                false,
            ),
            (
                "notify",
                Party::Secrets,
                "GetSecretValue",
                json!({"SecretId": Deployment::read().unwrap().secrets["gateway"]}),
                false,
            ),
            (
                "nobody",
                Party::DynamoDb,
                "Query",
                query("open_index"),
                false,
            ),
        ] {
            let allowed = ask(&rights, who, party, operation, &body).is_ok();
            assert_eq!(allowed, expected, "{who} {operation} {body}");
        }
        let function = |name: &str| &Deployment::read().unwrap().functions[name].arn;
        assert!(
            rights
                .may_invoke(Machine::Payment, function("pay-order"))
                .is_ok()
        );
        assert!(
            rights
                .may_invoke(Machine::Refund, function("pay-order"))
                .is_err()
        );
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, expected) in [
            ("arn:a", "arn:a", true),
            ("arn:a", "arn:ab", false),
            ("arn:*", "arn:", true),
            ("arn:execution:one:*", "arn:execution:one:name", true),
            ("arn:execution:one:*", "arn:execution:one", false),
            ("arn:*:b*", "arn:a:b:c", true),
            ("*", "anything", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
