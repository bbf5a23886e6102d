//! What AWS documents of Step Functions, held against this one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use payment3_model::Policy;
use serde_json::json;
use tokio::time::sleep;

use super::*;
use crate::time::DAY;

const START: &str = "2026-11-29T18:00:00Z";
const PAYMENT: Machine = Machine::Payment;

type Answers = dyn Fn(&TaskCall) -> Result<Value, TaskError> + Send + Sync;

/// Answers each call by a function, after a time that the call's `Seconds` names.
struct Scripted {
    answers: Box<Answers>,
    calls: Mutex<Vec<TaskCall>>,
    /// How many calls were waited for to their end.
    finished: AtomicUsize,
}

impl Tasks for Arc<Scripted> {
    fn call(&self, call: TaskCall) -> BoxFuture<'static, Result<Value, TaskError>> {
        let this = Arc::clone(self);
        Box::pin(async move {
            let seconds = call.arguments["Seconds"].as_u64().unwrap_or(0);
            this.calls.lock().unwrap().push(call.clone());
            sleep(Duration::from_secs(seconds)).await;
            this.finished.fetch_add(1, Ordering::Relaxed);
            (this.answers)(&call)
        })
    }
}

struct World {
    service: StepFunctions,
    tasks: Arc<Scripted>,
    events: Arc<Mutex<Vec<Event>>>,
    time: Time,
}

impl World {
    fn new(
        answers: impl Fn(&TaskCall) -> Result<Value, TaskError> + Send + Sync + 'static,
    ) -> Self {
        Self::with_seed(1, answers)
    }

    fn with_seed(
        seed: u64,
        answers: impl Fn(&TaskCall) -> Result<Value, TaskError> + Send + Sync + 'static,
    ) -> Self {
        let time = Time::new(START.parse().unwrap());
        let tasks = Arc::new(Scripted {
            answers: Box::new(answers),
            calls: Mutex::default(),
            finished: AtomicUsize::new(0),
        });
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        let observer = Arc::new(move |event: &Event| seen.lock().unwrap().push(event.clone()));
        let called = Arc::new(Arc::clone(&tasks));
        Self {
            service: StepFunctions::new(time.clone(), Random::new(seed), called, observer),
            tasks,
            events,
            time,
        }
    }

    fn deploy(&self, states: Value) {
        self.deploy_with(1_000_000, states);
    }

    /// The first state is `First`.
    fn deploy_with(&self, timeout: u64, states: Value) {
        let text = json!({
            "Comment": "", "QueryLanguage": "JSONata", "StartAt": "First",
            "TimeoutSeconds": timeout, "States": states
        });
        let definition = Definition::read(&text.to_string(), Policy::default()).unwrap();
        self.service.deploy(PAYMENT, Arc::new(definition));
    }

    fn start(&self, input: Value) {
        self.service.start(PAYMENT, "x", input).unwrap();
    }

    /// Starts an execution with this input, and waits for its end.
    async fn run(&self, input: Value) -> Description {
        self.start(input);
        self.end().await
    }

    async fn end(&self) -> Description {
        while self.service.running() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
        self.now()
    }

    fn now(&self) -> Description {
        self.service.describe(PAYMENT, "x").unwrap()
    }

    fn calls(&self) -> Vec<TaskCall> {
        self.tasks.calls.lock().unwrap().clone()
    }

    fn words(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        events.iter().map(|event| event.what.to_string()).collect()
    }
}

fn task(arguments: Value, more: Value) -> Value {
    let mut task = json!({
        "Comment": "", "Type": "Task", "Resource": "arn:aws:states:::lambda:invoke",
        "TimeoutSeconds": 30, "Arguments": arguments
    });
    let members = more.as_object().unwrap().clone();
    task.as_object_mut().unwrap().extend(members);
    task
}

fn fails(error: &str) -> Result<Value, TaskError> {
    Err(TaskError::new(error, "because"))
}

fn seconds(description: &Description) -> i64 {
    let stopped = description.stopped_at.unwrap();
    stopped.duration_since(description.started_at).as_secs()
}

#[tokio::test(start_paused = true)]
async fn values_are_assigned_at_once_and_seen_by_the_next_state() {
    let world =
        World::new(|_| Ok(json!({ "Payload": { "n": 5, "big": 9_007_199_254_740_991_u64 } })));
    world.deploy(json!({
        "First": task(json!({ "Payload": "{% $states.input %}" }), json!({
            "Assign": { "n": "{% $states.result.Payload.n + 1 %}", "before": "{% $exists($n) %}", "big": "{% $states.result.Payload.big %}" },
            "Output": "{% [$states.input.id, $exists($n)] %}", "Next": "Second"
        })),
        "Second": task(json!({ "n": "{% $n %}", "input": "{% $states.input %}" }), json!({
            "Assign": { "n": "{% $n * 2 %}" },
            "Output": { "n": "{% $n %}", "before": "{% $before %}", "big": "{% $big %}", "float": 1.5 },
            "End": true
        }))
    }));
    let end = world.run(json!({ "id": "a" })).await;
    let second = json!({ "n": 6, "input": ["a", false] });
    assert_eq!(world.calls()[1].arguments, second);
    let output = json!({ "n": 6, "before": false, "big": 9_007_199_254_740_991_u64, "float": 1.5 });
    assert_eq!(end.output, Some(output));
    assert_eq!(
        (end.status, end.state.as_str()),
        (Status::Succeeded, "Second")
    );
}

#[tokio::test(start_paused = true)]
async fn the_context_says_what_awss_says() {
    let world = World::new(|_| Ok(Value::Null));
    let all = task(json!("{% $states.context %}"), json!({ "Next": "Second" }));
    let now = json!({ "now": "{% $now() %}", "millis": "{% $millis() %}" });
    world.deploy(json!({
        "First": all,
        "Second": task(now, json!({ "End": true }))
    }));
    let end = world.run(json!({ "id": 1 })).await;
    let calls = world.calls();
    let context = json!({
        "Execution": {
            "Id": "arn:aws:states:ap-southeast-1:123456789012:execution:payment3-payment-master:x",
            "Input": { "id": 1 },
            "Name": "x",
            "RedriveCount": 0,
            "RoleArn": "arn:aws:iam::123456789012:role/payment",
            "StartTime": "2026-11-29T18:00:00.000Z"
        },
        "State": { "EnteredTime": "2026-11-29T18:00:00.000Z", "Name": "First", "RetryCount": 0 },
        "StateMachine": {
            "Id": "arn:aws:states:ap-southeast-1:123456789012:stateMachine:payment3-payment-master",
            "Name": "payment"
        }
    });
    assert_eq!(calls[0].arguments, context);
    let millis = calls[1].arguments["millis"].as_i64().unwrap();
    let start = end.started_at.as_millisecond();
    assert!((start + 10..start + 1000).contains(&millis), "{millis}");
    let now = format!("{:.3}", Timestamp::from_millisecond(millis).unwrap());
    assert_eq!(calls[1].arguments["now"], now);
    assert!(end.output == Some(Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_try_is_repeated_with_arguments_filled_in_anew() {
    let world = World::new(|call| match call.try_number {
        0 | 1 => fails("Down"),
        _ => Ok(json!("up")),
    });
    let arguments =
        json!({ "at": "{% $millis() %}", "count": "{% $states.context.State.RetryCount %}" });
    world.deploy(json!({
        "First": task(arguments, json!({
            "Retry": [{ "ErrorEquals": ["Down"], "IntervalSeconds": 10, "BackoffRate": 3 }], "End": true
        }))
    }));
    let end = world.run(json!({})).await;
    assert_eq!(end.output, Some(json!("up")));
    assert_eq!(seconds(&end), 40);
    let calls = world.calls();
    let at = |call: &TaskCall| call.arguments["at"].as_i64().unwrap();
    assert_eq!(at(&calls[2]) - at(&calls[1]), 30_000);
    let counts: Vec<_> = calls.iter().map(|call| &call.arguments["count"]).collect();
    assert_eq!(counts, [&json!(0), &json!(1), &json!(2)]);
    let expected = [
        "started with {}",
        "enters First",
        "First failed with Down; tried again in 10s",
        "First failed with Down; tried again in 30s",
        "succeeded with \"up\"",
    ];
    assert_eq!(world.words(), expected);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_caught_when_no_retries_are_left() {
    let world = World::new(|_| fails("Down"));
    world.deploy(json!({
        "First": task(json!({}), json!({
            "Retry": [{ "ErrorEquals": ["States.ALL"], "MaxAttempts": 1 }],
            "Catch": [
                { "ErrorEquals": ["Other"], "Next": "Bad" },
                { "ErrorEquals": ["States.ALL"], "Assign": { "problem": "{% $states.errorOutput.Error %}" }, "Next": "Second" }
            ],
            "Next": "Bad"
        })),
        "Second": { "Comment": "", "Type": "Choice", "Choices": [
            { "Comment": "", "Condition": "{% $problem = 'Down' %}", "Next": "Good" }
        ], "Default": "Bad" },
        "Good": { "Comment": "", "Type": "Succeed" },
        "Bad": { "Comment": "", "Type": "Fail", "Error": "Bad", "Cause": "" }
    }));
    let end = world.run(json!({})).await;
    assert_eq!(world.calls().len(), 2);
    assert_eq!(
        end.output,
        Some(json!({ "Error": "Down", "Cause": "because" }))
    );
    assert_eq!(end.state, "Good");
}

#[tokio::test(start_paused = true)]
async fn runtime_errors_are_not_caught() {
    let world = World::new(|call| match call.try_number {
        0 => fails("States.Runtime"),
        _ => Ok(json!({})),
    });
    world.deploy(json!({
        "First": task(json!({}), json!({
            "Retry": [{ "ErrorEquals": ["States.ALL"] }],
            "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "Good" }], "End": true
        })),
        "Good": { "Comment": "", "Type": "Succeed" }
    }));
    let end = world.run(json!({})).await;
    assert_eq!(end.error.as_deref(), Some("States.Runtime"));
    assert_eq!(end.cause.as_deref(), Some("because"));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_takes_too_long_is_dropped() {
    let world = World::new(|_| Ok(json!({})));
    world.deploy(json!({
        "First": task(json!({ "Seconds": "{% $states.context.State.RetryCount = 0 ? 31 : 29 %}" }), json!({
            "Retry": [{ "ErrorEquals": ["States.TaskFailed"], "MaxAttempts": 0 }, { "ErrorEquals": ["States.Timeout"] }],
            "Output": "{% $states.result %}", "End": true
        }))
    }));
    let end = world.run(json!({})).await;
    assert_eq!(
        (end.status, seconds(&end)),
        (Status::Succeeded, 30 + 1 + 29)
    );
    assert_eq!(world.tasks.finished.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn an_expression_without_a_value_fails_a_task_as_its_call_does() {
    let world = World::new(|_| Ok(json!({})));
    let catch = json!([{ "ErrorEquals": ["States.QueryEvaluationError"], "Output": "{% $states.errorOutput.Cause %}", "Next": "Good" }]);
    let states = |first| json!({ "First": first, "Good": { "Comment": "", "Type": "Succeed" } });
    let arguments = json!({ "a": "{% $gone %}" });
    world.deploy(states(task(
        arguments,
        json!({ "Catch": catch, "End": true }),
    )));
    let end = world.run(json!({})).await;
    let cause = "`$gone` cannot be evaluated: it gives nothing";
    assert_eq!(end.output, Some(json!(cause)));
    assert!(world.calls().is_empty());

    let retry = json!([{ "ErrorEquals": ["States.ALL"], "MaxAttempts": 1 }]);
    world.deploy(states(task(
        json!({}),
        json!({
            "Assign": { "a": "{% $states.result.gone %}" }, "Retry": retry, "End": true
        }),
    )));
    sleep(100 * DAY).await;
    let end = world.run(json!({})).await;
    assert_eq!(end.error.as_deref(), Some("States.QueryEvaluationError"));
    assert_eq!(world.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_condition_must_be_true_or_false() {
    let world = World::new(|_| Ok(json!({})));
    world.deploy(json!({
        "First": { "Comment": "", "Type": "Choice", "Choices": [
            { "Comment": "no", "Condition": "{% $states.input.a = 2 %}", "Next": "Good" },
            { "Comment": "a number", "Condition": "{% $states.input.a %}", "Next": "Good" }
        ], "Default": "Good" },
        "Good": { "Comment": "", "Type": "Succeed" }
    }));
    let end = world.run(json!({ "a": 1 })).await;
    assert_eq!(end.error.as_deref(), Some("States.QueryEvaluationError"));
    assert_eq!(end.state, "First");
}

#[tokio::test(start_paused = true)]
async fn a_wait_takes_as_long_as_its_expression_says() {
    let wait = json!({ "Comment": "", "Type": "Wait", "Seconds": "{% $states.input.pause * 2 %}", "Output": { "done": true }, "Next": "Good" });
    for (pause, seconds_waited) in [
        (json!(1800), Some(3600)),
        (json!(0.25), None),
        (json!(-1), None),
        (json!("x"), None),
    ] {
        let world = World::new(|_| Ok(json!({})));
        world.deploy(json!({ "First": wait, "Good": { "Comment": "", "Type": "Succeed" } }));
        let end = world.run(json!({ "pause": pause })).await;
        match seconds_waited {
            Some(waited) => {
                assert_eq!(
                    (end.output.clone(), seconds(&end)),
                    (Some(json!({ "done": true })), waited)
                );
            }
            None => assert_eq!(end.error.as_deref(), Some("States.QueryEvaluationError")),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_machine_times_out_while_it_waits_too() {
    let world = World::new(|_| Ok(json!({})));
    world.deploy_with(
        100,
        json!({
            "First": { "Comment": "", "Type": "Wait", "Seconds": 101, "Next": "Good" },
            "Good": { "Comment": "", "Type": "Succeed" }
        }),
    );
    let end = world.run(json!({})).await;
    assert_eq!((end.status, seconds(&end)), (Status::TimedOut, 100));
    assert_eq!(world.words().last().unwrap(), "timed out");
    // A redrive begins the time-out, and the wait, from the beginning.
    world.service.redrive(PAYMENT, "x").unwrap();
    sleep(Duration::from_secs(99)).await;
    assert_eq!(world.now().status, Status::Running);
    assert_eq!(world.end().await.status, Status::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_fail_state_fails_again_when_it_is_redriven() {
    let world = World::new(|_| Ok(json!({})));
    world.deploy(json!({
        "First": { "Comment": "", "Type": "Fail", "Error": "Bad", "Cause": "see the runbook" }
    }));
    let end = world.run(json!({})).await;
    let expected = (Status::Failed, Some("Bad"), Some("see the runbook"));
    assert_eq!(
        (end.status, end.error.as_deref(), end.cause.as_deref()),
        expected
    );
    world.service.redrive(PAYMENT, "x").unwrap();
    let again = world.end().await;
    assert_eq!((again.status, again.redrives), (Status::Failed, 1));
}

#[tokio::test(start_paused = true)]
async fn a_name_is_used_once_in_90_days_after_the_end() {
    let world = World::new(|_| Ok(json!({})));
    let one = json!({ "a": 1, "b": [] });
    let start = |input: &Value| world.service.start(PAYMENT, "x", input.clone());
    assert_eq!(start(&one), Err(StartError::NoSuchMachine));
    world.deploy(json!({ "First": task(json!({ "Seconds": 20 }), json!({ "End": true })) }));
    assert_eq!(start(&one), Ok(()));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(start(&one), Ok(()));
    assert_eq!(start(&json!({ "a": 2 })), Err(StartError::AlreadyExists));
    assert_eq!((world.service.running(), world.calls().len()), (1, 1));
    world.end().await;
    assert_eq!(start(&one), Err(StartError::AlreadyExists));
    sleep(90 * DAY - Duration::from_secs(60)).await;
    assert_eq!(start(&one), Err(StartError::AlreadyExists));
    assert!(world.service.describe(PAYMENT, "x").is_some());
    sleep(Duration::from_secs(60)).await;
    assert!(world.service.describe(PAYMENT, "x").is_none());
    assert_eq!(start(&one), Ok(()));
    for name in ["", "a b", "a/b", "a:b", &"a".repeat(81)] {
        let started = world.service.start(PAYMENT, name, one.clone());
        assert_eq!(started, Err(StartError::InvalidName), "{name}");
    }
    let large = world
        .service
        .start(PAYMENT, "y", json!("a".repeat(MOST_BYTES)));
    assert_eq!(large, Err(StartError::InvalidInput));
}

#[tokio::test(start_paused = true)]
async fn a_redrive_goes_on_where_it_failed() {
    let world = World::new(|call| match (call.state.as_str(), call.redrives) {
        ("First", _) => Ok(json!("result")),
        (_, 1) if call.try_number == 2 => Ok(json!("mended")),
        _ => fails("Down"),
    });
    let second = |output: &str| {
        let count = "{% $states.context.Execution.RedriveCount %}";
        let entered = "{% $states.context.State.EnteredTime %}";
        let arguments = json!({ "kept": "{% $kept %}", "count": count, "entered": entered });
        json!({
            "First": task(json!({}), json!({ "Assign": { "kept": "{% $states.result %}" }, "Next": "Second" })),
            "Second": task(arguments, json!({
                "Retry": [{ "ErrorEquals": ["States.ALL"], "MaxAttempts": 2 }], "Output": output, "End": true
            }))
        })
    };
    world.deploy(second("old"));
    let failed = world.run(json!({})).await;
    assert_eq!(
        (failed.status, failed.state.as_str()),
        (Status::Failed, "Second")
    );
    // A definition that is deployed meanwhile is not for this execution.
    world.deploy(second("new"));
    sleep(13 * DAY).await;
    world.service.redrive(PAYMENT, "x").unwrap();
    let running = world.service.redrive(PAYMENT, "x");
    assert!(matches!(running, Err(RedriveError::NotRedrivable(_))));
    // While it runs again, its name is that of a running execution.
    assert_eq!(world.service.start(PAYMENT, "x", json!({})), Ok(()));
    let mended = world.end().await;
    assert_eq!(
        (mended.status, mended.output),
        (Status::Succeeded, Some(json!("old")))
    );
    let calls = world.calls();
    let states: Vec<_> = calls.iter().map(|call| call.state.as_str()).collect();
    assert_eq!(states[0], "First");
    assert_eq!(states[1..], ["Second"; 6]);
    let counts: Vec<_> = calls[1..]
        .iter()
        .map(|call| call.arguments["count"].as_u64())
        .collect();
    assert_eq!(counts, [0, 0, 0, 1, 1, 1].map(Some));
    assert!(
        calls[1..]
            .iter()
            .all(|call| call.arguments["kept"] == "result")
    );
    assert_eq!(calls[1].arguments["entered"], calls[6].arguments["entered"]);
    let succeeded = world.service.redrive(PAYMENT, "x");
    assert!(matches!(succeeded, Err(RedriveError::NotRedrivable(_))));
    assert_eq!(
        world.service.redrive(PAYMENT, "y"),
        Err(RedriveError::NoSuchExecution)
    );
}

#[tokio::test(start_paused = true)]
async fn a_redrive_is_possible_for_14_days_and_a_thousand_times() {
    let world = World::new(|_| fails("Down"));
    world.deploy(json!({ "First": task(json!({}), json!({ "End": true })) }));
    world.run(json!({})).await;
    for _ in 0..1000 {
        world.service.redrive(PAYMENT, "x").unwrap();
        world.end().await;
    }
    let often = world.service.redrive(PAYMENT, "x");
    assert!(matches!(often, Err(RedriveError::NotRedrivable(_))));
    world.service.start(PAYMENT, "y", json!({})).unwrap();
    world.end().await;
    sleep(14 * DAY).await;
    let late = world.service.redrive(PAYMENT, "y");
    assert!(matches!(late, Err(RedriveError::NotRedrivable(_))));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_execution_does_nothing_more_until_it_is_redriven() {
    let world = World::new(|_| Ok(json!({})));
    world.deploy(json!({
        "First": task(json!({ "Seconds": 20 }), json!({ "Next": "Second" })),
        "Second": task(json!({}), json!({ "End": true }))
    }));
    world.start(json!({}));
    sleep(Duration::from_secs(10)).await;
    world.service.stop(PAYMENT, "x").unwrap();
    assert_eq!(
        (world.now().status, world.service.running()),
        (Status::Aborted, 0)
    );
    sleep(DAY).await;
    assert_eq!(world.calls().len(), 1);
    world.service.stop(PAYMENT, "x").unwrap();
    world.service.redrive(PAYMENT, "x").unwrap();
    assert_eq!(world.end().await.status, Status::Succeeded);
    let states: Vec<_> = world.calls().into_iter().map(|call| call.state).collect();
    assert_eq!(states, ["First", "First", "Second"]);
    assert_eq!(world.service.stop(PAYMENT, "y"), Err(NoSuchExecution));
}

#[tokio::test(start_paused = true)]
async fn a_running_execution_keeps_the_definition_it_was_started_with() {
    let world = World::new(|_| Ok(json!({})));
    let states = |output: &str| {
        json!({
            "First": task(json!({ "Seconds": 20 }), json!({ "Next": "Second" })),
            "Second": task(json!({}), json!({ "Output": output, "End": true }))
        })
    };
    world.deploy(states("old"));
    world.start(json!({}));
    sleep(Duration::from_secs(10)).await;
    world.deploy(states("new"));
    world.service.start(PAYMENT, "y", json!({})).unwrap();
    assert_eq!(world.end().await.output, Some(json!("old")));
    let other = world.service.describe(PAYMENT, "y").unwrap();
    assert_eq!(other.output, Some(json!("new")));
    let names = |status| {
        let all = world.service.list(PAYMENT, status).into_iter();
        all.map(|found| found.name).collect::<Vec<_>>()
    };
    assert_eq!(names(None), ["y", "x"]);
    assert_eq!(names(Some(Status::Failed)), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_history_of_25000_events_is_the_end() {
    let world = World::new(|_| fails("Down"));
    world.deploy_with(99_999_999, json!({
        "First": task(json!({}), json!({
            "Retry": [{ "ErrorEquals": ["States.ALL"], "MaxAttempts": 99_999, "BackoffRate": 1 }],
            "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "Good" }], "End": true
        })),
        "Good": { "Comment": "", "Type": "Succeed" }
    }));
    world.start(json!({}));
    sleep(DAY).await;
    let end = world.end().await;
    assert_eq!(end.error.as_deref(), Some("States.Runtime"));
    assert!(end.cause.unwrap().contains("25000"));
    assert_eq!(world.calls().len(), 8332);
    assert!(end.events <= MOST_EVENTS);
    let redriven = world.service.redrive(PAYMENT, "x");
    assert!(matches!(redriven, Err(RedriveError::NotRedrivable(_))));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_too_large_cannot_be_caught() {
    let world = World::new(|_| Ok(json!("a".repeat(MOST_BYTES))));
    world.deploy(json!({
        "First": task(json!({}), json!({
            "Catch": [{ "ErrorEquals": ["States.ALL"], "Next": "Good" }], "Output": {}, "End": true
        })),
        "Good": { "Comment": "", "Type": "Succeed" }
    }));
    let end = world.run(json!({})).await;
    assert_eq!(end.error.as_deref(), Some("States.DataLimitExceeded"));
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_events() {
    let mut seen = Vec::new();
    for seed in [1, 1, 2] {
        let world = World::with_seed(seed, |call| match call.try_number {
            0 | 1 => fails("Down"),
            _ => Ok(json!({})),
        });
        let retry = json!([{ "ErrorEquals": ["States.ALL"], "IntervalSeconds": 60, "JitterStrategy": "FULL" }]);
        world.deploy(json!({ "First": task(json!({}), json!({ "Retry": retry, "End": true })) }));
        for name in ["x", "y", "z"] {
            world.service.start(PAYMENT, name, json!({})).unwrap();
        }
        world.end().await;
        let events: Vec<_> = world.events.lock().unwrap().clone();
        seen.push(events);
    }
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0], seen[2]);
    assert_eq!(seen[0].len(), 3 * 5);
}

#[tokio::test(start_paused = true)]
async fn the_sdk_gets_awss_answers() {
    let world = World::new(|_| fails("Down"));
    world.deploy(json!({ "First": task(json!({ "Seconds": 20 }), json!({ "End": true })) }));
    let ask = |operation: &str, body: Value| world.service.answer(operation, &body);
    let refused = |operation: &str, body: Value| {
        let (status, answer) = ask(operation, body);
        assert_eq!(status, 400, "{answer}");
        let kind = answer["__type"].as_str().unwrap();
        kind.split_once('#').unwrap().1.to_owned()
    };
    let machine = "arn:aws:states:ap-southeast-1:123456789012:stateMachine:payment3-payment-master";
    let arn = "arn:aws:states:ap-southeast-1:123456789012:execution:payment3-payment-master:x";
    let start = |input: &str| json!({ "stateMachineArn": machine, "name": "x", "input": input });
    let execution = json!({ "executionArn": arn });

    assert_eq!(
        refused("DescribeExecution", execution.clone()),
        "ExecutionDoesNotExist"
    );
    assert_eq!(
        refused("StopExecution", execution.clone()),
        "ExecutionDoesNotExist"
    );
    assert_eq!(
        refused("RedriveExecution", execution.clone()),
        "ExecutionDoesNotExist"
    );
    assert_eq!(
        refused("StartExecution", start("{")),
        "InvalidExecutionInput"
    );
    assert_eq!(refused("ListExecutions", json!({})), "ValidationException");
    assert_eq!(refused("Nothing", json!({})), "UnknownOperationException");
    let gone = json!({ "stateMachineArn": "arn:aws:states:x:1:stateMachine:gone", "name": "x" });
    assert_eq!(refused("StartExecution", gone), "StateMachineDoesNotExist");
    let named = json!({ "stateMachineArn": machine, "name": "a b" });
    assert_eq!(refused("StartExecution", named), "InvalidName");

    let started = json!({ "executionArn": arn, "startDate": 1_795_975_200.0 });
    let first = ask("AWSStepFunctions.StartExecution", start(r#"{"a": 1}"#));
    assert_eq!(first, (200, started.clone()));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(ask("StartExecution", start(r#"{"a":1}"#)), (200, started));
    assert_eq!(
        refused("StartExecution", start("{}")),
        "ExecutionAlreadyExists"
    );
    let (_, described) = ask("DescribeExecution", execution.clone());
    assert_eq!(described["status"], "RUNNING");
    assert_eq!(described["input"], r#"{"a":1}"#);
    assert_eq!(
        refused("RedriveExecution", execution.clone()),
        "ExecutionNotRedrivable"
    );

    world.end().await;
    assert_eq!(
        refused("StartExecution", start(r#"{"a":1}"#)),
        "ExecutionAlreadyExists"
    );
    let (_, described) = ask("DescribeExecution", execution.clone());
    for (member, value) in [
        ("status", "FAILED"),
        ("error", "Down"),
        ("cause", "because"),
        ("redriveStatus", "REDRIVABLE"),
        ("stateMachineArn", machine),
    ] {
        assert_eq!(described[member], value, "{member}");
    }
    let lasted = described["stopDate"].as_f64().unwrap() - 1_795_975_200.0;
    assert!((20.0..21.0).contains(&lasted), "{lasted}");

    let again = json!({ "executionArn": arn, "clientToken": "t" });
    let (status, redriven) = ask("RedriveExecution", again.clone());
    assert_eq!(status, 200);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(ask("RedriveExecution", again), (200, redriven));
    let (status, _) = ask(
        "StopExecution",
        json!({ "executionArn": arn, "error": "Enough" }),
    );
    assert_eq!(status, 200);
    let (_, described) = ask("DescribeExecution", execution);
    assert_eq!(described["status"], "ABORTED");
    assert_eq!(described["error"], "Enough");
    assert_eq!(described["redriveCount"], 1);

    world.service.start(PAYMENT, "y", json!({})).unwrap();
    let list = |body: Value| {
        let mut body = body;
        body["stateMachineArn"] = machine.into();
        let (status, answer) = ask("ListExecutions", body);
        assert_eq!(status, 200, "{answer}");
        let all = answer["executions"].as_array().unwrap().clone();
        let names: Vec<_> = all
            .iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect();
        (names, answer["nextToken"].clone())
    };
    assert_eq!(list(json!({})), (vec!["y".into(), "x".into()], Value::Null));
    assert_eq!(
        list(json!({ "statusFilter": "ABORTED" })),
        (vec!["x".into()], Value::Null)
    );
    assert_eq!(
        list(json!({ "maxResults": 1 })),
        (vec!["y".into()], json!("1"))
    );
    assert_eq!(
        list(json!({ "maxResults": 1, "nextToken": "1" })),
        (vec!["x".into()], Value::Null)
    );
    assert!(world.time.now() > world.now().started_at);
}

/// Answers as the functions of a payment whose order is paid, and whose owner is new to the bank.
fn paid(call: &TaskCall) -> Result<Value, TaskError> {
    let payment = json!({
        "recordKey": "k", "chargeId": "chrg_1", "orderId": "1", "purpose": "order", "attempt": 0, "saveCard": true
    });
    let payload = match call.arguments["FunctionName"].as_str() {
        Some("ParseCallbackFunction") => json!({ "chargeId": "chrg_1", "recordKey": "k" }),
        Some("LookupRecordFunction") => payment,
        Some("InquireChargeFunction") => {
            json!({ "outcome": "paid", "transactionState": "Authorized", "askedAt": 1_795_975_200 })
        }
        Some("RecordOutcomeFunction") => json!({ "outcome": "paid" }),
        Some("PayOrderFunction" | "NotifyFunction") => Value::Null,
        Some("EnsureKbankUserFunction") => json!({ "existed": false, "kbankCustomerId": "cust_1" }),
        Some(other) => return fails(other),
        None => return Ok(json!({})),
    };
    Ok(json!({ "Payload": payload, "StatusCode": 200 }))
}

#[tokio::test(start_paused = true)]
async fn the_definition_of_payments_comes_to_its_end() {
    let world = World::new(paid);
    let definition = Definition::of_the_repository(PAYMENT).unwrap();
    world.service.deploy(PAYMENT, Arc::new(definition));
    let end = world.run(json!({ "body": "chargeId=chrg_1" })).await;
    let output = json!({ "result": "paid", "orderId": "1", "notified": true, "card": "saved" });
    assert_eq!(end.output, Some(output), "{:?}", end.cause);
    let entered: Vec<_> = world
        .events
        .lock()
        .unwrap()
        .iter()
        .filter_map(|event| match &event.what {
            What::Entered(state) => Some(state.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(
        entered,
        payment3_model::path(PAYMENT, payment3_model::NEW_USER)
    );
    let close = world.calls().pop().unwrap();
    assert_eq!(
        (close.try_number, close.redrives, close.execution.as_str()),
        (0, 0, "x")
    );
    assert_eq!(close.resource, "arn:aws:states:::dynamodb:updateItem");
    let values = &close.arguments["ExpressionAttributeValues"];
    assert_eq!(values[":attempt"], json!({ "N": "0" }));
    for (name, value) in [
        (":closedAs", "paid"),
        (":stored", "paid"),
        (":later", "returned"),
    ] {
        assert_eq!(values[name], json!({ "S": value }), "{name}");
    }
    let now = values[":now"]["S"].as_str().unwrap();
    assert!(
        now.starts_with("2026-11-29T18:00:0") && now.ends_with('Z') && now.len() == 24,
        "{now}"
    );
}
