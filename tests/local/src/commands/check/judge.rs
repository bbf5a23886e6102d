//! Whether what AWS says about a resource is what the template says. No calls here.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use payment3_activities::bank::GatewaySecret;
use payment3_activities::lambda::INVALID_INPUT;
use payment3_activities::shop::SigningKey;
use serde_json::Value;

use super::aws::{Answer, Refusal};
use super::routes::Verification;
use super::stack::{Resource, Stack, entries, text};
use super::table::Line;

/// The mend of what somebody changed or deleted behind CloudFormation's back.
pub(super) const PUT_BACK: &str = "docs/deploy.md#put-back-what-was-changed";
const CREDENTIALS: &str =
    "use credentials that may read everything of the stack, such as AWS's policy ReadOnlyAccess";
/// How many minutes an alarm that rings when there is no data may need, beyond its own periods, until it is quiet.
const SETTLES_WITHIN: SignedDuration = SignedDuration::from_mins(10);

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

/// A function's configuration.
pub(super) fn function(resource: &Resource, answer: &Answer) -> Line {
    let what = format!("function {}", resource.name());
    let found = match answer {
        Ok(found) => found,
        Err(refusal) => return refused(what, refusal),
    };
    let fields = [
        (
            "Architectures",
            "Architectures",
            serde_json::json!(["x86_64"]),
        ),
        ("Timeout", "Timeout", 3.into()),
        ("MemorySize", "MemorySize", 128.into()),
        ("Runtime", "Runtime", Value::Null),
        ("Handler", "Handler", Value::Null),
    ];
    let wrong = differences(&resource.properties, found, &fields);
    if !wrong.is_empty() {
        return Line::fails(what, wrong.join("; "), PUT_BACK);
    }
    for (field, good) in [("State", "Active"), ("LastUpdateStatus", "Successful")] {
        let state = text(found, field).unwrap_or_default();
        if state != good {
            let reason = text(found, &format!("{field}Reason")).unwrap_or_default();
            let says = format!("{field} is {state}, not {good}. {reason}");
            return Line::fails(
                what,
                says.trim_end(),
                "wait a minute and check again; then deploy again: docs/deploy.md#each-branch",
            );
        }
    }
    Line::ok(
        what,
        format!(
            "active, {}, {} s",
            found["Architectures"][0].as_str().unwrap_or_default(),
            found["Timeout"]
        ),
    )
}

/// What the call of an activity with an event that it must refuse showed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    /// The error's name.
    pub(super) error: Option<String>,
    /// Milliseconds that its start took, if this call started it.
    pub(super) start: Option<f64>,
    /// Milliseconds that the call took.
    pub(super) took: Option<f64>,
}

impl Call {
    /// Reads what AWS Lambda answers: its own answer with the end of the log, and what the function answered.
    pub(super) fn of(answer: &Value, payload: &Value) -> Self {
        let log = text(answer, "LogResult").and_then(|log| STANDARD.decode(log).ok());
        let log = String::from_utf8_lossy(&log.unwrap_or_default()).into_owned();
        // The last line that AWS Lambda writes for a call, in its JSON format.
        let report = log.lines().rev().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["type"] == "platform.report").then(|| line["record"]["metrics"].clone())
        });
        let number = |field: &str| report.as_ref().and_then(|report| report[field].as_f64());
        Self {
            error: text(payload, "errorType"),
            start: number("initDurationMs"),
            took: number("durationMs"),
        }
    }
}

/// Adds to the line of an activity how it started. `calls` are its calls, one after the other.
pub(super) fn started(line: Line, calls: &[Result<Call, Refusal>]) -> Line {
    if line.failed() {
        return line;
    }
    let says = |more: &str| Line::ok(&line.what, format!("{}; {more}", line.says));
    let mut times = Vec::new();
    for call in calls {
        match call {
            Err(Refusal::Denied) => return says("not started: these credentials may not call it"),
            Err(refusal) => return refused(&line.what, refusal),
            Ok(call) if call.error.as_deref() != Some(INVALID_INPUT) => {
                let error = call.error.as_deref().unwrap_or("no error at all");
                let says = format!("called with an event that it must refuse, it answers {error}");
                return Line::fails(
                    &line.what,
                    says,
                    "its log says why: docs/runbook.md#activity-crashes",
                );
            }
            Ok(Call { start, took, .. }) => {
                times.extend(start.map(|ms| format!("started in {ms:.0} ms")));
                times.extend(match (start, took) {
                    (None, Some(ms)) => Some(format!("warm {ms:.0} ms")),
                    _ => None,
                });
            }
        }
    }
    match times.is_empty() {
        true => says("starts; this AWS does not say how fast"),
        false => says(&times.join(", ")),
    }
}

/// What a secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secret {
    /// The bank's address and keys.
    Gateway,
    /// The key that signs events to the shop.
    ShopWebhook,
}

impl Secret {
    /// The secrets, by the output of the stack that names each.
    pub(super) const ALL: [(&'static str, Self); 2] = [
        ("GatewaySecretArn", Self::Gateway),
        ("ShopWebhookSecretArn", Self::ShopWebhook),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Gateway => "secret with the bank's keys",
            Self::ShopWebhook => "secret with the key of the shop's events",
        }
    }

    fn mend(self) -> &'static str {
        match self {
            Self::Gateway => "put it: docs/runbook.md#the-banks-keys",
            Self::ShopWebhook => {
                "put one, and give it to the shop: docs/runbook.md#the-key-of-the-shops-events"
            }
        }
    }

    /// Reads it as the functions do. The reason holds nothing of the value.
    fn parse(self, value: &str) -> Result<(), String> {
        match self {
            Self::Gateway => GatewaySecret::parse(value)
                .map(drop)
                .map_err(|e| e.to_string()),
            Self::ShopWebhook => SigningKey::parse(value)
                .map(drop)
                .map_err(|e| e.to_string()),
        }
    }
}

/// A secret: its value where there is one that these credentials may read, else what AWS says about it (`described`) and,
/// for the bank's keys, whether the callback's function can use them.
pub(super) fn secret(
    secret: Secret,
    value: &Answer,
    described: Option<&Answer>,
    verification: Verification,
) -> Line {
    let what = secret.name();
    let unusable = || {
        let says =
            "the function of the callback cannot read it, so it refuses the bank's notifications";
        Line::fails(what, says, "its log says why: docs/runbook.md#api-errors")
    };
    let cannot = secret == Secret::Gateway && verification == Verification::Cannot;
    match (value, described) {
        (Ok(value), _) => match secret.parse(value["SecretString"].as_str().unwrap_or_default()) {
            Ok(()) if cannot => unusable(),
            Ok(()) => Line::ok(what, "it has a value of the right form"),
            Err(reason) => Line::fails(what, reason, secret.mend()),
        },
        (Err(Refusal::Gone), Some(Err(Refusal::Gone))) => {
            let says = "it is gone: the stack has it, and AWS does not";
            Line::fails(what, says, format!("{PUT_BACK}; then {}", secret.mend()))
        }
        (Err(Refusal::Gone), _) => Line::fails(what, "it has no value", secret.mend()),
        (Err(Refusal::Denied), Some(Ok(described))) => {
            let versions = described["VersionIdsToStages"].as_object();
            let stages = versions
                .into_iter()
                .flatten()
                .flat_map(|(_, stages)| entries(stages));
            let unread = "these credentials may not read it";
            if !stages.into_iter().any(|stage| stage == "AWSCURRENT") {
                Line::fails(what, "it has no value", secret.mend())
            } else if cannot {
                unusable()
            } else if secret == Secret::Gateway && verification == Verification::Works {
                let says =
                    format!("{unread}; the function of the callback can, and its form is right");
                Line::ok(what, says)
            } else {
                Line::unseen(
                    what,
                    format!("it has a value; {unread}, so its form is not seen"),
                )
            }
        }
        (Err(refusal), _) => refused(what, refusal),
    }
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

/// All alarms: as in the template, switched on, and quiet.
pub(super) fn alarms(alarms: &[&Resource], answer: &Answer, now: Timestamp) -> Vec<Line> {
    if alarms.is_empty() {
        return vec![Line::ok(
            "0 alarms",
            "this branch was deployed without `alarmEmail`",
        )];
    }
    let found = match answer {
        Ok(found) => &found["MetricAlarms"],
        Err(refusal) => return vec![refused(format!("{} alarms", alarms.len()), refusal)],
    };
    let failed = alarms.iter().filter_map(|alarm| {
        let real = entries(found).find(|real| real["AlarmName"] == alarm.name());
        one_alarm(alarm, real, now)
    });
    together(
        "alarms",
        "as in the template, on, and none rings",
        alarms.len(),
        failed.collect(),
    )
}

/// The line of an alarm with which something is wrong, or that cannot be judged yet.
fn one_alarm(alarm: &Resource, real: Option<&Value>, now: Timestamp) -> Option<Line> {
    let what = format!("alarm {}", alarm.name());
    let Some(real) = real else {
        return Some(refused(what, &Refusal::Gone));
    };
    let wanted = &alarm.properties;
    let fields = [
        ("Namespace", "Namespace", Value::Null),
        ("MetricName", "MetricName", Value::Null),
        ("Statistic", "Statistic", Value::Null),
        ("Period", "Period", Value::Null),
        ("EvaluationPeriods", "EvaluationPeriods", Value::Null),
        ("Threshold", "Threshold", Value::Null),
        ("ComparisonOperator", "ComparisonOperator", Value::Null),
        ("TreatMissingData", "TreatMissingData", Value::Null),
    ];
    let mut wrong = differences(wanted, real, &fields);
    for actions in ["AlarmActions", "OKActions"] {
        if entries(&real[actions]).count() < entries(&wanted[actions]).count() {
            wrong.push(format!("it has no {actions}: nobody is told"));
        }
    }
    if !wrong.is_empty() {
        return Some(Line::fails(what, wrong.join("; "), PUT_BACK));
    }
    if real["ActionsEnabled"] == false && wanted["ActionsEnabled"] != false {
        let mend = format!(
            "`aws cloudwatch enable-alarm-actions --alarm-names {}`",
            alarm.name()
        );
        return Some(Line::fails(
            what,
            "its actions are switched off: nobody is told",
            mend,
        ));
    }
    if real["StateValue"] != "ALARM" {
        return None;
    }
    let number = |field: &str| wanted[field].as_i64().unwrap_or_default();
    let periods = SignedDuration::from_secs(number("Period") * (number("EvaluationPeriods") + 1));
    // The versions of the command line write times in two ways.
    let since = match &real["AlarmConfigurationUpdatedTimestamp"] {
        Value::String(text) => text.parse::<Timestamp>().ok(),
        number => number
            .as_f64()
            .and_then(|seconds| SignedDuration::try_from_secs_f64(seconds).ok())
            .and_then(|since| Timestamp::UNIX_EPOCH.checked_add(since).ok()),
    };
    // One that rings when there is no data rings until the first data of a new stack has come.
    if wanted["TreatMissingData"] == "breaching"
        && since.is_some_and(|since| now.duration_since(since) < periods + SETTLES_WITHIN)
    {
        return Some(Line::unseen(
            what,
            "it rings, as it does while a stack is new: check again in half an hour",
        ));
    }
    let section = text(wanted, "AlarmDescription").unwrap_or_default();
    let section = section
        .split(' ')
        .next_back()
        .unwrap_or_default()
        .to_owned();
    Some(Line::fails(what, "it rings", section))
}

/// Who hears the alarms.
pub(super) fn subscriptions(wanted: &[&Resource], topic: &str, answer: &Answer) -> Vec<Line> {
    let judge = |wanted: &&Resource| {
        let protocol = text(&wanted.properties, "Protocol").unwrap_or_default();
        let what = format!("subscription by {protocol}");
        let found = match answer {
            Ok(found) => &found["Subscriptions"],
            Err(refusal) => return refused(what, refusal),
        };
        let real = entries(found).find(|real| {
            real["Protocol"] == protocol && real["Endpoint"] == wanted.properties["Endpoint"]
        });
        let again = format!(
            "`aws sns subscribe --topic-arn {topic} --protocol {protocol} --notification-endpoint <alarmEmail>` sends the question again"
        );
        match real
            .and_then(|real| text(real, "SubscriptionArn"))
            .as_deref()
        {
            Some(arn) if arn.starts_with("arn:") => Line::ok(what, "confirmed"),
            Some("PendingConfirmation") => Line::fails(
                what,
                "nobody has confirmed it: nobody gets the alarms",
                format!("confirm it in the mail from AWS; {again}"),
            ),
            _ => Line::fails(what, "it is gone: nobody gets the alarms", again),
        }
    };
    wanted.iter().map(judge).collect()
}

/// The filters that count log lines. Without one, its alarm never rings.
pub(super) fn metric_filters(wanted: &[&Resource], answer: &Answer) -> Vec<Line> {
    each(
        ("metric filter", "filterName"),
        wanted,
        answer,
        "metricFilters",
        &[("FilterPattern", "filterPattern", Value::Null)],
        "as in the template",
    )
}

/// The log groups.
pub(super) fn log_groups(wanted: &[&Resource], answer: &Answer) -> Vec<Line> {
    each(
        ("log group", "logGroupName"),
        wanted,
        answer,
        "logGroups",
        &[("RetentionInDays", "retentionInDays", Value::Null)],
        "there, kept as long as the template says",
    )
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

    fn resource(kind: &str, physical: &str, properties: Value) -> Resource {
        Resource {
            kind: kind.to_owned(),
            properties,
            physical: Some(physical.to_owned()),
            status: Some("CREATE_COMPLETE".to_owned()),
        }
    }

    /// The answer with one field, given by its pointer, changed.
    fn changed(answer: &Value, pointer: &str, to: Value) -> Answer {
        let mut answer = answer.clone();
        *answer.pointer_mut(pointer).expect(pointer) = to;
        Ok(answer)
    }

    #[track_caller]
    fn fails_with(line: &Line, words: &str) {
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
    fn a_function_is_what_the_template_says() {
        let pay = &small_stack().resources["Pay"];
        let good = json!({"Architectures": ["arm64"], "Timeout": 12, "MemorySize": 256, "Runtime": "provided.al2023",
            "State": "Active", "LastUpdateStatus": "Successful"});
        assert_eq!(
            function(pay, &Ok(good.clone())),
            Line::ok("function payment3-pay-x", "active, arm64, 12 s")
        );
        for (field, to, words) in [
            (
                "/Architectures",
                json!(["x86_64"]),
                r#"Architectures is ["x86_64"], the template says ["arm64"]"#,
            ),
            ("/Timeout", json!(3), "Timeout is 3, the template says 12"),
            ("/State", json!("Failed"), "State is Failed"),
            (
                "/LastUpdateStatus",
                json!("InProgress"),
                "LastUpdateStatus is InProgress",
            ),
        ] {
            fails_with(&function(pay, &changed(&good, field, to)), words);
        }
        // What the template does not say is AWS's default.
        let plain = resource("AWS::Lambda::Function", "f", json!({}));
        fails_with(
            &function(&plain, &Ok(good)),
            r#"the template says ["x86_64"]"#,
        );
    }

    /// What AWS Lambda answers, with this line at the end of the log.
    fn called(report: &str, error: &str) -> Call {
        let log = STANDARD.encode(format!("{{\"level\":\"ERROR\"}}\n{report}\n"));
        Call::of(&json!({"LogResult": log}), &json!({"errorType": error}))
    }

    #[test]
    fn the_times_of_a_start_are_those_of_the_report() {
        let cold = called(
            r#"{"type":"platform.report","record":{"metrics":{"durationMs":2.4,"initDurationMs":31.6}}}"#,
            "InvalidInput",
        );
        let warm = called(
            r#"{"type":"platform.report","record":{"metrics":{"durationMs":1.2}}}"#,
            "InvalidInput",
        );
        let line = || Line::ok("function f", "active");
        let both = started(line(), &[Ok(cold), Ok(warm.clone())]);
        assert_eq!(both.says, "active; started in 32 ms, warm 1 ms");
        let silent = called("no report", "InvalidInput");
        let unknown = started(line(), &[Ok(silent)]);
        assert!(
            unknown.says.ends_with("does not say how fast"),
            "{unknown:?}"
        );
        let denied = started(line(), &[Err(Refusal::Denied)]);
        assert_eq!(denied.verdict, Verdict::Ok);
        assert!(denied.says.contains("may not call it"), "{denied:?}");
        // It does not start, or it did something.
        for error in ["Runtime.ExitError", ""] {
            assert!(
                started(line(), &[Ok(called("", error))]).failed(),
                "{error}"
            );
        }
        let throttled = Refusal::Broken("TooManyRequestsException".into());
        assert!(started(line(), &[Ok(warm), Err(throttled)]).failed());
        // What was wrong before is told first.
        let wrong = Line::fails("function f", "another architecture", PUT_BACK);
        assert_eq!(started(wrong.clone(), &[Err(Refusal::Denied)]), wrong);
    }

    const VALUE: &str = r#"{"url": "https://bank.example", "b2c": "pkey_test_x:skey_test_hidden"}"#;

    #[test]
    fn no_part_of_a_secret_is_in_its_line() {
        let gateway = |value: &str| {
            let value = Ok(json!({"SecretString": value}));
            secret(Secret::Gateway, &value, None, Verification::Works)
        };
        assert_eq!(gateway(VALUE).verdict, Verdict::Ok);
        for broken in [
            "skey_test_hidden",
            r#"{"url": "https://bank.example", "b2c": "skey_test_hidden"}"#,
            r#"{"url": "http://bank.example", "b2c": "p:skey_test_hidden"}"#,
            "",
        ] {
            let line = gateway(broken);
            assert!(line.failed(), "{broken}");
            let shown = format!("{line:?}");
            assert!(
                !shown.contains("hidden") && !shown.contains("bank.example"),
                "{shown}"
            );
        }
        let webhook = |value: &str| {
            let value = Ok(json!({"SecretString": value}));
            secret(Secret::ShopWebhook, &value, None, Verification::Unknown)
        };
        assert_eq!(
            webhook(r#"{"signingKey": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}"#).verdict,
            Verdict::Ok
        );
        let short = webhook(r#"{"signingKey": "c2hvcnQ="}"#);
        assert!(
            short.failed() && !format!("{short:?}").contains("c2hvcnQ"),
            "{short:?}"
        );
    }

    #[test]
    fn a_secret_that_nobody_put_or_that_the_function_cannot_read_fails() {
        let value = Ok(json!({"SecretString": VALUE}));
        fails_with(
            &secret(
                Secret::Gateway,
                &Err(Refusal::Gone),
                None,
                Verification::Cannot,
            ),
            "no value",
        );
        fails_with(
            &secret(Secret::Gateway, &value, None, Verification::Cannot),
            "the callback cannot read it",
        );
        let gone = |described: Answer| {
            let described = Some(&described);
            let line = secret(
                Secret::Gateway,
                &Err(Refusal::Gone),
                described,
                Verification::Cannot,
            );
            format!("{line:?}")
        };
        let never_put = gone(Ok(json!({"Name": "payment3-gateway-x"})));
        assert!(
            never_put.contains("no value") && !never_put.contains(PUT_BACK),
            "{never_put}"
        );
        let deleted = gone(Err(Refusal::Gone));
        assert!(
            deleted.contains("it is gone") && deleted.contains(PUT_BACK),
            "{deleted}"
        );
    }

    #[test]
    fn a_secret_that_may_not_be_read_is_seen_through_the_function() {
        let of = |which, stages: Value, verification| {
            let described = Ok(json!({"VersionIdsToStages": {"1": stages}}));
            secret(which, &Err(Refusal::Denied), Some(&described), verification)
        };
        let current = || json!(["AWSCURRENT"]);
        let (gateway, webhook) = (Secret::Gateway, Secret::ShopWebhook);
        assert_eq!(
            of(gateway, current(), Verification::Works).verdict,
            Verdict::Ok
        );
        assert_eq!(
            of(gateway, current(), Verification::Unknown).verdict,
            Verdict::Unseen
        );
        assert_eq!(
            of(webhook, current(), Verification::Works).verdict,
            Verdict::Unseen
        );
        assert!(of(gateway, current(), Verification::Cannot).failed());
        fails_with(
            &of(webhook, json!(["AWSPREVIOUS"]), Verification::Works),
            "no value",
        );
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

    fn alarm(name: &str, missing: &str) -> Resource {
        let properties = json!({"AlarmDescription": "Something is wrong. docs/runbook.md#wrong", "Threshold": 1,
            "Period": 300, "EvaluationPeriods": 3, "TreatMissingData": missing, "AlarmActions": [{}], "OKActions": [{}]});
        resource("AWS::CloudWatch::Alarm", name, properties)
    }

    fn real(name: &str, missing: &str) -> Value {
        json!({"AlarmName": name, "Threshold": 1.0, "Period": 300, "EvaluationPeriods": 3, "TreatMissingData": missing,
            "AlarmActions": ["arn"], "OKActions": ["arn"], "ActionsEnabled": true, "StateValue": "OK",
            "AlarmConfigurationUpdatedTimestamp": "2026-11-29T10:00:00.000Z"})
    }

    #[test]
    fn every_alarm_is_there_switched_on_and_quiet() {
        let (one, two) = (alarm("one", "notBreaching"), alarm("two", "notBreaching"));
        let now: Timestamp = "2026-11-29T10:05:00Z".parse().expect("a time");
        let of = |listed: Value| alarms(&[&one, &two], &Ok(json!({"MetricAlarms": listed})), now);
        let good = real("one", "notBreaching");
        assert_eq!(
            of(json!([good, real("two", "notBreaching")])),
            [Line::ok(
                "2 alarms",
                "as in the template, on, and none rings"
            )]
        );
        let gone = of(json!([good]));
        assert_eq!(gone.len(), 2, "{gone:?}");
        assert_eq!(gone[0], refused("alarm two", &Refusal::Gone));
        assert_eq!(gone[1].what, "1 other alarms");
        for (field, to, words) in [
            (
                "/Threshold",
                json!(5.0),
                "Threshold is 5.0, the template says 1",
            ),
            ("/AlarmActions", json!([]), "nobody is told"),
            ("/ActionsEnabled", json!(false), "switched off"),
            ("/StateValue", json!("ALARM"), "it rings"),
        ] {
            let changed = changed(&good, field, to).expect("changed");
            let lines = of(json!([changed, real("two", "notBreaching")]));
            fails_with(&lines[0], words);
        }
        let rings = changed(&good, "/StateValue", json!("ALARM")).expect("changed");
        let lines = of(json!([rings, real("two", "notBreaching")]));
        assert_eq!(
            lines[0].verdict,
            Verdict::Fails("docs/runbook.md#wrong".to_owned())
        );
        assert_eq!(alarms(&[], &Err(Refusal::Denied), now).len(), 1);
    }

    #[test]
    fn an_alarm_that_rings_without_data_has_time_while_the_stack_is_new() {
        let silence = alarm("silence", "breaching");
        let rings =
            changed(&real("silence", "breaching"), "/StateValue", json!("ALARM")).expect("changed");
        let at = |time: &str| {
            let answer = Ok(json!({"MetricAlarms": [rings]}));
            alarms(&[&silence], &answer, time.parse().expect("a time")).remove(0)
        };
        assert_eq!(at("2026-11-29T10:20:00Z").verdict, Verdict::Unseen);
        assert!(at("2026-11-29T10:31:00Z").failed());
        let configured: Timestamp = "2026-11-29T10:00:00Z".parse().expect("a time");
        let in_seconds = changed(
            &rings,
            "/AlarmConfigurationUpdatedTimestamp",
            json!(configured.as_second() as f64 + 0.5),
        );
        let listed = Ok(json!({"MetricAlarms": [in_seconds.expect("changed")]}));
        let soon = configured + SignedDuration::from_mins(20);
        assert_eq!(
            alarms(&[&silence], &listed, soon)[0].verdict,
            Verdict::Unseen
        );
    }

    #[test]
    fn somebody_has_confirmed_that_they_get_the_alarms() {
        let wanted = resource(
            "AWS::SNS::Subscription",
            "arn:s",
            json!({"Protocol": "email", "Endpoint": "a@b.example"}),
        );
        let of = |arn: &str| {
            let listed = json!({"Subscriptions": [{"Protocol": "email", "Endpoint": "a@b.example", "SubscriptionArn": arn}]});
            subscriptions(&[&wanted], "arn:topic", &Ok(listed)).remove(0)
        };
        assert_eq!(of("arn:aws:sns:r:1:topic:1").verdict, Verdict::Ok);
        fails_with(&of("PendingConfirmation"), "nobody has confirmed it");
        fails_with(&of("Deleted"), "gone");
        let none = subscriptions(&[&wanted], "arn:topic", &Ok(json!({"Subscriptions": []})));
        fails_with(&none[0], "gone");
    }

    #[test]
    fn log_groups_and_filters_are_compared_one_by_one() {
        let group = resource(
            "AWS::Logs::LogGroup",
            "/aws/lambda/x",
            json!({"RetentionInDays": 14}),
        );
        let of = |listed: Value| log_groups(&[&group], &Ok(json!({"logGroups": listed}))).remove(0);
        assert_eq!(
            of(json!([{"logGroupName": "/aws/lambda/x", "retentionInDays": 14}])).verdict,
            Verdict::Ok
        );
        // Kept for ever.
        fails_with(
            &of(json!([{"logGroupName": "/aws/lambda/x"}])),
            "RetentionInDays is null",
        );
        fails_with(&of(json!([])), "gone");
        let filter = resource(
            "AWS::Logs::MetricFilter",
            "filter-1",
            json!({"FilterPattern": "{ $.a = 1 }"}),
        );
        let of = |listed: Value| {
            metric_filters(&[&filter], &Ok(json!({"metricFilters": listed}))).remove(0)
        };
        assert_eq!(
            of(json!([{"filterName": "filter-1", "filterPattern": "{ $.a = 1 }"}])).verdict,
            Verdict::Ok
        );
        fails_with(
            &of(json!([{"filterName": "filter-1", "filterPattern": "x"}])),
            "FilterPattern",
        );
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
