//! The alarms, what they count, and who hears them.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::super::aws::{Answer, Refusal};
use super::super::stack::{Resource, entries, text};
use super::super::table::Line;
use super::{PUT_BACK, differences, each, refused, together};

/// How many minutes an alarm that rings when there is no data may need, beyond its own periods, until it is quiet.
const SETTLES_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// All alarms: as in the template, switched on, and quiet.
pub(crate) fn alarms(alarms: &[&Resource], answer: &Answer, now: Timestamp) -> Vec<Line> {
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
pub(crate) fn subscriptions(wanted: &[&Resource], topic: &str, answer: &Answer) -> Vec<Line> {
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
pub(crate) fn metric_filters(wanted: &[&Resource], answer: &Answer) -> Vec<Line> {
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
pub(crate) fn log_groups(wanted: &[&Resource], answer: &Answer) -> Vec<Line> {
    each(
        ("log group", "logGroupName"),
        wanted,
        answer,
        "logGroups",
        &[("RetentionInDays", "retentionInDays", Value::Null)],
        "there, kept as long as the template says",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::table::Verdict;
    use super::super::tests::{changed, fails_with, resource};
    use super::*;

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
}
