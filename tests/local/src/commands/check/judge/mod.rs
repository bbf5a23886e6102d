//! Whether what AWS says about a resource is what the template says. No calls here.

mod alarms;
mod functions;
mod secrets;

use std::collections::BTreeMap;

use serde_json::Value;

use super::aws::{Answer, Refusal};
use super::stack::{Resource, Stack, entries, text};
use super::table::Line;

pub(super) use alarms::{alarms, log_groups, metric_filters, subscriptions};
pub(super) use functions::{Call, function, started};
pub(super) use secrets::{Secret, secret};

/// The mend of what somebody changed or deleted behind CloudFormation's back.
pub(super) const PUT_BACK: &str = "docs/deploy.md#put-back-what-was-changed";
const CREDENTIALS: &str =
    "use credentials that may read everything of the stack, such as AWS's policy ReadOnlyAccess";

/// The line of what AWS did not tell.
pub(super) fn refused(what: impl Into<String>, refusal: &Refusal) -> Line {
    match refusal {
        Refusal::Gone => Line::fails(
            what,
            "it is gone: the stack has it, and AWS does not",
            PUT_BACK,
        ),
        Refusal::Denied => Line::fails(what, "these credentials may not see it", CREDENTIALS),
        Refusal::Unserved => Line::unseen(what, "this AWS does not serve the question"),
        Refusal::Broken(words) => {
            let says = format!("it could not be asked about: {words}");
            Line::fails(what, says, "run the check again")
        }
    }
}

/// One line where all are well, else a line for each that is not, and one for the rest.
fn together(what: &str, well: &str, count: usize, mut failed: Vec<Line>) -> Vec<Line> {
    match (failed.len(), count) {
        (0, _) => vec![Line::ok(format!("{count} {what}"), well)],
        (bad, count) if bad < count => {
            failed.push(Line::ok(format!("{} other {what}", count - bad), well));
            failed
        }
        _ => failed,
    }
}

/// The stack itself, and whether CloudFormation made all that its template says. `asked` are the types about which the
/// other lines ask the service itself.
pub(super) fn stack(stack: &Stack, asked: &[&str]) -> Vec<Line> {
    let what = format!("stack {}", stack.name);
    let good = ["CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"];
    let mut lines = vec![match good.contains(&stack.status.as_str()) {
        true => Line::ok(what, &stack.status),
        false if stack.status.ends_with("_IN_PROGRESS") => Line::fails(
            what,
            format!("{}: a deployment is running", stack.status),
            "wait for its end, and check again",
        ),
        false => Line::fails(
            what,
            format!("{}: the last deployment failed", stack.status),
            "its events name the resource; docs/pipelines.md#when-it-goes-wrong",
        ),
    }];
    let failed: Vec<_> = stack
        .resources
        .iter()
        .filter(|(_, resource)| {
            let status = resource.status.as_deref().unwrap_or_default();
            resource.physical.is_none() || !good.contains(&status)
        })
        .map(|(id, resource)| {
            let status = resource.status.as_deref().unwrap_or("not in the stack");
            Line::fails(
                format!("resource {id}"),
                format!("{}: {status}", resource.kind),
                "deploy again: docs/deploy.md#each-branch",
            )
        })
        .collect();
    let mut only: BTreeMap<&str, usize> = BTreeMap::new();
    for resource in stack.resources.values() {
        if !asked.contains(&resource.kind.as_str()) {
            *only.entry(resource.kind.as_str()).or_default() += 1;
        }
    }
    let only: Vec<_> = only
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    let mut well = "made, as CloudFormation says".to_owned();
    if !only.is_empty() {
        well.push_str(&format!("; nobody else is asked about {}", only.join(", ")));
    }
    lines.extend(together("resources", &well, stack.resources.len(), failed));
    lines
}

/// Where AWS's answer differs from the template: `(property of the template, field of the answer, default)`.
fn differences(properties: &Value, answer: &Value, fields: &[(&str, &str, Value)]) -> Vec<String> {
    let same = |a: &Value, b: &Value| match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-9,
        _ => a == b,
    };
    fields
        .iter()
        .filter_map(|(property, field, default)| {
            let wanted = match &properties[*property] {
                Value::Null => default,
                // A reference: only AWS knows its value.
                Value::Object(_) => return None,
                wanted => wanted,
            };
            let found = &answer[*field];
            (!wanted.is_null() && !same(wanted, found))
                .then(|| format!("{property} is {found}, the template says {wanted}"))
        })
        .collect()
}

/// A state machine.
pub(super) fn state_machine(resource: &Resource, answer: &Answer) -> Line {
    let what = format!("state machine {}", resource.name());
    let found = match answer {
        Ok(found) => found,
        Err(refusal) => return refused(what, refusal),
    };
    let fields = [("StateMachineType", "type", "STANDARD".into())];
    let mut wrong = differences(&resource.properties, found, &fields);
    let (wanted, logs) = (
        &resource.properties["LoggingConfiguration"],
        &found["loggingConfiguration"],
    );
    // AWS always says how a state machine logs; of one that does not, it says OFF.
    let told = !logs["level"].is_null();
    if told && wanted["Level"] != logs["level"] {
        wrong.push(format!(
            "it logs {}, the template says {}",
            logs["level"], wanted["Level"]
        ));
    }
    if told && entries(&logs["destinations"]).count() < entries(&wanted["Destinations"]).count() {
        wrong.push("its log has no destination".to_owned());
    }
    match text(found, "status").as_deref() {
        _ if !wrong.is_empty() => Line::fails(what, wrong.join("; "), PUT_BACK),
        Some("ACTIVE") if told => {
            let level = logs["level"].as_str().unwrap_or("nothing");
            Line::ok(what, format!("active, logs {level}"))
        }
        Some("ACTIVE") => Line::unseen(what, "active; this AWS does not say how it logs"),
        status => {
            let status = status.unwrap_or("without a status");
            Line::fails(what, format!("it is {status}, not ACTIVE"), PUT_BACK)
        }
    }
}

/// A table.
pub(super) fn table(resource: &Resource, answer: &Answer) -> Line {
    let what = format!("table {}", resource.name());
    let found = match answer {
        Ok(found) => &found["Table"],
        Err(refusal) => return refused(what, refusal),
    };
    let fields = [(
        "DeletionProtectionEnabled",
        "DeletionProtectionEnabled",
        false.into(),
    )];
    let mut wrong = differences(&resource.properties, found, &fields);
    for index in entries(&resource.properties["GlobalSecondaryIndexes"]) {
        let real = entries(&found["GlobalSecondaryIndexes"])
            .find(|real| real["IndexName"] == index["IndexName"]);
        // The local AWS says no status of an index.
        let status = real.map(|real| real["IndexStatus"].as_str().unwrap_or("ACTIVE"));
        if status != Some("ACTIVE") {
            let status = status.unwrap_or("gone");
            wrong.push(format!("its index {} is {status}", index["IndexName"]));
        }
    }
    if found["TableStatus"] != "ACTIVE" {
        wrong.push(format!("it is {}, not ACTIVE", found["TableStatus"]));
    }
    match wrong.is_empty() {
        true => Line::ok(what, "active, with its indexes"),
        false => Line::fails(what, wrong.join("; "), PUT_BACK),
    }
}

/// A rule of the schedule with its targets. `functions` are the ARNs of the functions that are there, by their ids in the
/// template; of those that are gone, their own lines tell.
pub(super) fn rule(
    resource: &Resource,
    answer: &Answer,
    targets: &Answer,
    functions: &BTreeMap<String, String>,
) -> Line {
    let what = format!("rule {}", resource.name());
    let (found, targets) = match (answer, targets) {
        (Ok(found), Ok(targets)) => (found, &targets["Targets"]),
        (Err(refusal), _) | (_, Err(refusal)) => return refused(what, refusal),
    };
    let enable = format!("`aws events enable-rule --name {}`", resource.name());
    if found["State"] != "ENABLED" && resource.properties["State"] == "ENABLED" {
        let says = format!("it is {}: reconciliation does not run", found["State"]);
        return Line::fails(what, says, enable);
    }
    let fields = [("ScheduleExpression", "ScheduleExpression", Value::Null)];
    let mut wrong = differences(&resource.properties, found, &fields);
    let mut count = 0;
    for target in entries(&resource.properties["Targets"]) {
        count += 1;
        let real = entries(targets).find(|real| real["Id"] == target["Id"]);
        let function = target["Arn"]["Fn::GetAtt"][0].as_str().unwrap_or_default();
        match (real, functions.get(function)) {
            (None, _) => wrong.push(format!("its target {} is gone", target["Id"])),
            (Some(real), Some(arn)) if real["Arn"] != arn.as_str() => {
                wrong.push(format!(
                    "its target {} is another than the function",
                    target["Id"]
                ));
            }
            (Some(real), _) if real["Input"] != target["Input"] => {
                wrong.push(format!("its target {} gets another event", target["Id"]));
            }
            _ => {}
        }
    }
    match wrong.is_empty() {
        true => Line::ok(what, format!("enabled, {count} targets")),
        false => Line::fails(what, wrong.join("; "), PUT_BACK),
    }
}

/// Resources of which one answer lists all.
fn each(
    (what, name): (&str, &str),
    wanted: &[&Resource],
    answer: &Answer,
    list: &str,
    fields: &[(&str, &str, Value)],
    well: &str,
) -> Vec<Line> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let plural = format!("{what}s");
    let found = match answer {
        Ok(found) => &found[list],
        Err(refusal) => return vec![refused(format!("{} {plural}", wanted.len()), refusal)],
    };
    let failed = wanted.iter().filter_map(|resource| {
        let what = format!("{what} {}", resource.name());
        let Some(real) = entries(found).find(|real| real[name] == resource.id()) else {
            return Some(refused(what, &Refusal::Gone));
        };
        let wrong = differences(&resource.properties, real, fields);
        (!wrong.is_empty()).then(|| Line::fails(what, wrong.join("; "), PUT_BACK))
    });
    together(&plural, well, wanted.len(), failed.collect())
}

/// Whether the account lets as many functions run at the same time as the stack needs: each shard of reconciliation once
/// a minute, and every other function beside them.
pub(super) fn limits(stack: &Stack, answer: &Answer) -> Line {
    let what = "limit of functions that run at once";
    let limit = match answer {
        Ok(found) => &found["AccountLimit"]["UnreservedConcurrentExecutions"],
        Err(refusal) => return refused(what, refusal),
    };
    let mut starts: BTreeMap<&str, u64> = BTreeMap::new();
    for target in stack
        .all("AWS::Events::Rule")
        .flat_map(|rule| entries(&rule.properties["Targets"]))
    {
        if let Some(function) = target["Arn"]["Fn::GetAtt"][0].as_str() {
            *starts.entry(function).or_default() += 1;
        }
    }
    let needed: u64 = stack
        .resources
        .iter()
        .filter(|(_, resource)| resource.kind == "AWS::Lambda::Function")
        // Those with a reserved share have it already.
        .filter(|(_, resource)| resource.properties["ReservedConcurrentExecutions"].is_null())
        .map(|(id, _)| starts.get(id.as_str()).copied().unwrap_or(1))
        .sum();
    match limit.as_u64() {
        None => Line::unseen(what, "this AWS does not say it"),
        Some(limit) if limit >= needed => {
            Line::ok(what, format!("{limit}, and the stack needs {needed}"))
        }
        Some(limit) => Line::fails(
            what,
            format!(
                "{limit}, and the stack needs {needed}: one for each shard of reconciliation, one for every other function"
            ),
            "ask for 1,000 under Service Quotas, AWS Lambda, \"Concurrent executions\": docs/deploy.md#once-for-an-account-and-region",
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::stack::tests::stack as small_stack;
    use super::super::table::Verdict;
    use super::*;

    pub(super) fn resource(kind: &str, physical: &str, properties: Value) -> Resource {
        Resource {
            kind: kind.to_owned(),
            properties,
            physical: Some(physical.to_owned()),
            status: Some("CREATE_COMPLETE".to_owned()),
        }
    }

    /// The answer with one field, given by its pointer, changed.
    pub(super) fn changed(answer: &Value, pointer: &str, to: Value) -> Answer {
        let mut answer = answer.clone();
        *answer.pointer_mut(pointer).expect(pointer) = to;
        Ok(answer)
    }

    #[track_caller]
    pub(super) fn fails_with(line: &Line, words: &str) {
        assert!(line.failed() && line.says.contains(words), "{line:?}");
    }

    #[test]
    fn what_aws_does_not_tell_is_not_ok() {
        fails_with(&refused("x", &Refusal::Gone), "gone");
        fails_with(&refused("x", &Refusal::Denied), "may not see");
        fails_with(
            &refused("x", &Refusal::Broken("too fast".into())),
            "too fast",
        );
        assert_eq!(refused("x", &Refusal::Unserved).verdict, Verdict::Unseen);
    }

    #[test]
    fn a_resource_that_was_never_made_is_told() {
        let lines = stack(
            &small_stack(),
            &["AWS::Lambda::Function", "AWS::StepFunctions::StateMachine"],
        );
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(lines[0], Line::ok("stack payment3-x", "UPDATE_COMPLETE"));
        assert_eq!(lines[1].what, "resource Queue");
        fails_with(&lines[1], "AWS::SQS::Queue: not in the stack");
        assert_eq!(lines[2].what, "2 other resources");
        assert!(
            lines[2]
                .says
                .ends_with("nobody else is asked about 1 AWS::SQS::Queue"),
            "{lines:?}"
        );
        for (status, words) in [
            ("UPDATE_IN_PROGRESS", "is running"),
            ("UPDATE_ROLLBACK_COMPLETE", "failed"),
        ] {
            let mut other = small_stack();
            other.status = status.to_owned();
            fails_with(&stack(&other, &[])[0], words);
        }
    }

    #[test]
    fn a_state_machine_is_active_and_logs() {
        let machine = resource(
            "AWS::StepFunctions::StateMachine",
            "arn:aws:states:r:1:stateMachine:payment3-payment-x",
            json!({"StateMachineType": "STANDARD", "LoggingConfiguration": {"Level": "ALL", "Destinations": [{}]}}),
        );
        let good = json!({"status": "ACTIVE", "type": "STANDARD",
            "loggingConfiguration": {"level": "ALL", "destinations": [{}]}});
        let ok = state_machine(&machine, &Ok(good.clone()));
        assert_eq!(
            ok,
            Line::ok("state machine payment3-payment-x", "active, logs ALL")
        );
        for (field, to, words) in [
            ("/status", json!("DELETING"), "DELETING"),
            (
                "/loggingConfiguration/level",
                json!("OFF"),
                r#"it logs "OFF""#,
            ),
            (
                "/loggingConfiguration/destinations",
                json!([]),
                "no destination",
            ),
        ] {
            fails_with(&state_machine(&machine, &changed(&good, field, to)), words);
        }
        let silent = state_machine(
            &machine,
            &changed(&good, "/loggingConfiguration", json!({})),
        );
        assert_eq!(silent.verdict, Verdict::Unseen);
    }

    #[test]
    fn a_table_is_active_with_its_indexes() {
        let wanted = resource(
            "AWS::DynamoDB::Table",
            "payment3-order-x",
            json!({"DeletionProtectionEnabled": true, "GlobalSecondaryIndexes": [{"IndexName": "open_index"}]}),
        );
        let good = json!({"Table": {"TableStatus": "ACTIVE", "DeletionProtectionEnabled": true,
            "GlobalSecondaryIndexes": [{"IndexName": "open_index", "IndexStatus": "ACTIVE"}]}});
        assert_eq!(table(&wanted, &Ok(good.clone())).verdict, Verdict::Ok);
        for (field, to, words) in [
            ("/Table/TableStatus", json!("UPDATING"), "UPDATING"),
            (
                "/Table/DeletionProtectionEnabled",
                json!(false),
                "DeletionProtectionEnabled is false",
            ),
            (
                "/Table/GlobalSecondaryIndexes",
                json!([]),
                r#"index "open_index" is gone"#,
            ),
        ] {
            fails_with(&table(&wanted, &changed(&good, field, to)), words);
        }
    }

    #[test]
    fn a_rule_runs_and_each_target_gets_its_event() {
        let wanted = resource(
            "AWS::Events::Rule",
            "payment3-reconcile-x-0",
            json!({"State": "ENABLED", "ScheduleExpression": "rate(1 minute)", "Targets": [
                {"Id": "Target0", "Arn": {"Fn::GetAtt": ["Reconcile", "Arn"]}, "Input": "{\"shard\":0}"}]}),
        );
        let arns = BTreeMap::from([("Reconcile".to_owned(), "arn:reconcile".to_owned())]);
        let good = json!({"State": "ENABLED", "ScheduleExpression": "rate(1 minute)"});
        let targets = json!({"Targets": [{"Id": "Target0", "Arn": "arn:reconcile", "Input": "{\"shard\":0}"}]});
        let of = |rule: Answer, targets: Answer| self::rule(&wanted, &rule, &targets, &arns);
        let ok = of(Ok(good.clone()), Ok(targets.clone()));
        assert_eq!(
            ok,
            Line::ok("rule payment3-reconcile-x-0", "enabled, 1 targets")
        );
        let off = of(
            changed(&good, "/State", json!("DISABLED")),
            Ok(targets.clone()),
        );
        fails_with(&off, "reconciliation does not run");
        assert!(
            matches!(&off.verdict, Verdict::Fails(mend) if mend.contains("enable-rule --name payment3-reconcile-x-0"))
        );
        for (field, to, words) in [
            ("/Targets", json!([]), "is gone"),
            (
                "/Targets/0/Arn",
                json!("arn:other"),
                "another than the function",
            ),
            ("/Targets/0/Input", json!("{}"), "another event"),
        ] {
            fails_with(&of(Ok(good.clone()), changed(&targets, field, to)), words);
        }
        fails_with(&of(Ok(good), Err(Refusal::Gone)), "gone");
    }

    #[test]
    fn the_account_must_run_every_shard_and_every_function_at_once() {
        let mut stack = small_stack();
        let targets: Vec<_> = (0..16)
            .map(|n| json!({"Id": n, "Arn": {"Fn::GetAtt": ["Reconcile", "Arn"]}}))
            .collect();
        let rule = resource("AWS::Events::Rule", "rule", json!({"Targets": targets}));
        stack.resources.insert("Rule".into(), rule);
        stack.resources.insert(
            "Reconcile".into(),
            resource("AWS::Lambda::Function", "reconcile", json!({})),
        );
        let of = |stack: &Stack, limit: Value| {
            limits(
                stack,
                &Ok(json!({"AccountLimit": {"UnreservedConcurrentExecutions": limit}})),
            )
        };
        fails_with(&of(&stack, json!(10)), "10, and the stack needs 17");
        assert_eq!(of(&stack, json!(17)).verdict, Verdict::Ok);
        assert_eq!(of(&stack, Value::Null).verdict, Verdict::Unseen);
        // A reserved share is there already.
        let reserved = json!({"ReservedConcurrentExecutions": 32});
        stack.resources.insert(
            "Reconcile".into(),
            resource("AWS::Lambda::Function", "reconcile", reserved),
        );
        assert_eq!(of(&stack, json!(1)).verdict, Verdict::Ok);
    }
}
