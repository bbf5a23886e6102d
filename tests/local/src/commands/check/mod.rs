//! `cargo local check`: whether what is deployed is whole. It reads, and calls what must refuse it; nothing is changed.

mod aws;
mod judge;
mod routes;
mod stack;
mod table;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde_json::Value;

use self::aws::{Answer, Aws, Refusal};
use self::judge::{Call, Secret};
use self::routes::Verification;
use self::stack::{Resource, Stack, text};
use self::table::Line;
use crate::cli;

const FUNCTION: &str = "AWS::Lambda::Function";
const STATE_MACHINE: &str = "AWS::StepFunctions::StateMachine";
const TABLE: &str = "AWS::DynamoDB::Table";
const RULE: &str = "AWS::Events::Rule";
const ALARM: &str = "AWS::CloudWatch::Alarm";
const SUBSCRIPTION: &str = "AWS::SNS::Subscription";
const METRIC_FILTER: &str = "AWS::Logs::MetricFilter";
const LOG_GROUP: &str = "AWS::Logs::LogGroup";
/// The types whose services are asked themselves. The API's parts are asked by requests, the topic by its subscriptions.
const ASKED: [&str; 13] = [
    FUNCTION,
    STATE_MACHINE,
    TABLE,
    RULE,
    ALARM,
    SUBSCRIPTION,
    METRIC_FILTER,
    LOG_GROUP,
    "AWS::SecretsManager::Secret",
    "AWS::SNS::Topic",
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Integration",
];

/// An event that no activity can read: each refuses it before it does anything. (`{}` would not do: a report of a refund
/// that is stuck may be empty.)
const UNREADABLE: &str = "true";

/// Checks a deployed stack and prints the table.
///
/// # Errors
/// The stack cannot be seen, or a line fails.
pub async fn run(arguments: cli::Check) -> Result<()> {
    let aws = Aws::find();
    let stack = Stack::read(&aws, &arguments.stack).await?;
    let (routes, verification) = routes::check(&stack).await?;
    let mut lines = judge::stack(&stack, &ASKED);
    lines.extend(routes);
    let (functions, arns) = functions(&aws, &stack).await?;
    lines.extend(functions);
    for (output, secret) in Secret::ALL {
        lines.push(one_secret(&aws, &stack, output, secret, verification).await);
    }
    lines.extend(described(&aws, &stack, &arns).await);
    println!("{}", table::table(&lines));
    match table::failures(&lines) {
        0 => Ok(()),
        failed => bail!("{failed} of the checks of {} failed", stack.name),
    }
}

/// A question in the form that is kept.
fn question<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}

/// The functions' lines, and the ARNs of those that are there by their ids in the template.
async fn functions(aws: &Aws, stack: &Stack) -> Result<(Vec<Line>, BTreeMap<String, String>)> {
    let functions: Vec<_> = stack
        .resources
        .iter()
        .filter(|(_, resource)| resource.kind == FUNCTION)
        .collect();
    let questions: Vec<_> = functions
        .iter()
        .map(|(_, function)| {
            question([
                "lambda",
                "get-function-configuration",
                "--function-name",
                &function.id(),
            ])
        })
        .collect();
    let answers = aws.ask_all(&questions).await;
    let activities = stack.activities();
    // One that is gone cannot be called.
    let called: Vec<_> = functions
        .iter()
        .zip(&answers)
        .filter(|((id, _), answer)| activities.contains(id.as_str()) && answer.is_ok())
        .map(|((_, function), _)| function.id())
        .collect();
    let mut calls = calls(aws, called).await?;
    let (mut lines, mut arns) = (Vec::new(), BTreeMap::new());
    for ((id, function), answer) in functions.iter().zip(&answers) {
        let line = judge::function(function, answer);
        lines.push(match calls.remove(&function.id()) {
            Some(calls) => judge::started(line, &calls),
            None => line,
        });
        if let Ok(found) = answer
            && let Some(arn) = text(found, "FunctionArn")
        {
            arns.insert((*id).clone(), arn);
        }
    }
    Ok((lines, arns))
}

/// Calls each of these functions with an event that it must refuse, and one that this call has started once more.
async fn calls(
    aws: &Aws,
    functions: Vec<String>,
) -> Result<BTreeMap<String, Vec<Result<Call, Refusal>>>> {
    let directory = std::env::temp_dir().join(format!("payment3-check-{}", std::process::id()));
    let written = std::fs::create_dir_all(&directory)
        .and_then(|()| std::fs::write(directory.join("event"), UNREADABLE));
    written.with_context(|| format!("cannot write to {}", directory.display()))?;
    let event = format!("fileb://{}", directory.join("event").display());
    let mut calls: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut called = functions;
    while !called.is_empty() {
        let questions: Vec<_> = called
            .iter()
            .map(|name| {
                let answer = directory.join(name).display().to_string();
                let words = [
                    "lambda",
                    "invoke",
                    "--function-name",
                    name.as_str(),
                    "--payload",
                ];
                question([&words[..], &[event.as_str(), "--log-type", "Tail", &answer]].concat())
            })
            .collect();
        let answers = aws.ask_all(&questions).await;
        let mut started = Vec::new();
        for (name, answer) in called.into_iter().zip(answers) {
            let payload = std::fs::read(directory.join(&name)).unwrap_or_default();
            let payload = serde_json::from_slice(&payload).unwrap_or_default();
            let call = answer.map(|answer| Call::of(&answer, &payload));
            let calls = calls.entry(name.clone()).or_default();
            let first = calls.is_empty();
            if first && call.as_ref().is_ok_and(|call| call.start.is_some()) {
                started.push(name);
            }
            calls.push(call);
        }
        called = started;
    }
    // What is left in the temporary directory harms nobody.
    let _ = std::fs::remove_dir_all(directory);
    Ok(calls)
}

/// The line of a secret. Its value stays in this function and the parser.
async fn one_secret(
    aws: &Aws,
    stack: &Stack,
    output: &str,
    secret: Secret,
    verification: Verification,
) -> Line {
    let id = stack.outputs.get(output).map_or("", String::as_str);
    let ask = async |operation| {
        aws.ask(&["secretsmanager", operation, "--secret-id", id])
            .await
    };
    let value = ask("get-secret-value").await;
    let described = match value {
        Err(Refusal::Denied | Refusal::Gone) => Some(ask("describe-secret").await),
        _ => None,
    };
    judge::secret(secret, &value, described.as_ref(), verification)
}

/// The lines of everything else that AWS is asked about.
async fn described(aws: &Aws, stack: &Stack, arns: &BTreeMap<String, String>) -> Vec<Line> {
    let all = |kind| stack.all(kind).collect::<Vec<_>>();
    let (machines, tables, rules) = (all(STATE_MACHINE), all(TABLE), all(RULE));
    let (alarms, subscriptions) = (all(ALARM), all(SUBSCRIPTION));
    let (filters, log_groups) = (all(METRIC_FILTER), all(LOG_GROUP));
    let topic = stack
        .outputs
        .get("AlarmTopicArn")
        .map_or("", String::as_str);

    let mut questions = Vec::new();
    let mut each = |resources: &[&Resource], words: &[&str]| {
        for resource in resources {
            let mut question = question(words.iter().copied());
            question.push(resource.id());
            questions.push(question);
        }
    };
    // Without its definition: to read that of a state machine with a key of one's own takes a right to the key (AWS Step
    // Functions API reference, DescribeStateMachine, includedData).
    let machine = [
        "stepfunctions",
        "describe-state-machine",
        "--included-data",
        "METADATA_ONLY",
    ];
    each(
        &machines,
        &[&machine[..], &["--state-machine-arn"]].concat(),
    );
    each(&tables, &["dynamodb", "describe-table", "--table-name"]);
    each(&rules, &["events", "describe-rule", "--name"]);
    each(&rules, &["events", "list-targets-by-rule", "--rule"]);
    // All names of a stack begin with this.
    questions.push(question([
        "cloudwatch",
        "describe-alarms",
        "--alarm-name-prefix",
        "payment3-",
    ]));
    questions.push(question([
        "sns",
        "list-subscriptions-by-topic",
        "--topic-arn",
        topic,
    ]));
    questions.push(question(["logs", "describe-metric-filters"]));
    questions.push(question(["logs", "describe-log-groups"]));
    questions.push(question(["lambda", "get-account-settings"]));

    let mut answers = aws.ask_all(&questions).await.into_iter();
    let mut next = || answers.next().unwrap_or(Ok(Value::Null));
    let mut lines = Vec::new();
    lines.extend(
        machines
            .iter()
            .map(|machine| judge::state_machine(machine, &next())),
    );
    lines.extend(tables.iter().map(|table| judge::table(table, &next())));
    let of_rules: Vec<Answer> = rules.iter().map(|_| next()).collect();
    for (rule, answer) in rules.iter().zip(&of_rules) {
        lines.push(judge::rule(rule, answer, &next(), arns));
    }
    lines.extend(judge::alarms(&alarms, &next(), Timestamp::now()));
    lines.extend(judge::subscriptions(&subscriptions, topic, &next()));
    lines.extend(judge::metric_filters(&filters, &next()));
    lines.extend(judge::log_groups(&log_groups, &next()));
    lines.push(judge::limits(stack, &next()));
    lines
}

#[cfg(test)]
mod tests {
    use payment3_harness::workspace;

    /// A heading's anchor, as GitHub makes it.
    fn anchor(heading: &str) -> String {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = kept
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    }

    #[test]
    fn every_place_that_a_mend_names_is_there() {
        let sources = [
            include_str!("judge/mod.rs"),
            include_str!("judge/alarms.rs"),
            include_str!("judge/functions.rs"),
            include_str!("judge/secrets.rs"),
            include_str!("routes.rs"),
        ];
        let mut places = 0;
        for part in sources
            .iter()
            .flat_map(|source| source.split("docs/").skip(1))
        {
            let ends = |c: char| !(c.is_ascii_alphanumeric() || ".#-_".contains(c));
            let place = part.split(ends).next().unwrap_or_default();
            let Some((file, section)) = place.split_once('#') else {
                continue;
            };
            if section == "wrong" {
                // Of a test's own alarm.
                continue;
            }
            let path = workspace::root().join("docs").join(file);
            let text = std::fs::read_to_string(path).expect(file);
            let mut headings = text.lines().filter(|line| line.starts_with('#'));
            assert!(headings.any(|line| anchor(line) == section), "docs/{place}");
            places += 1;
        }
        assert!(places > 8, "{places}");
    }
}
