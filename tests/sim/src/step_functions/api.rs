//! The calls of the AWS SDK: the operations of Step Functions in the protocol awsJson1.0.

use jiff::Timestamp;
use payment3_model::Machine;
use serde_json::{Value, json};

use super::{
    Description, Execution, NoSuchExecution, RedriveError, StartError, Status, StepFunctions,
};

/// The account of the simulated world.
pub(crate) const ACCOUNT: &str = "123456789012";
/// Its region.
const REGION: &str = crate::cloud::REGION;
/// What a page of `ListExecutions` has, unless the caller wants another number.
const PAGE: u64 = 100;
const LARGEST_PAGE: u64 = 1000;

/// The ARN of a state machine. The rights of the deployment are for this name: another one would be denied.
pub(crate) fn machine_arn(machine: Machine) -> String {
    format!("arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:payment3-{machine}-master")
}

/// The ARN of an execution.
pub(crate) fn execution_arn(machine: Machine, name: &str) -> String {
    format!("arn:aws:states:{REGION}:{ACCOUNT}:execution:payment3-{machine}-master:{name}")
}

/// An error of the service.
struct Refusal {
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    fn no_execution(arn: &str) -> Self {
        let message = format!("Execution Does Not Exist: '{arn}'");
        Self::new("ExecutionDoesNotExist", message)
    }
}

impl StepFunctions {
    /// Answers a call: the status and the body. The operation is the one that the call's `X-Amz-Target` names, with or
    /// without `AWSStepFunctions.` before it.
    pub(crate) fn answer(&self, operation: &str, body: &Value) -> (u16, Value) {
        let operation = operation.rsplit('.').next().unwrap_or_default();
        let answer = match operation {
            "StartExecution" => self.start_execution(body),
            "DescribeExecution" => self.describe_execution(body),
            "StopExecution" => self.stop_execution(body),
            "RedriveExecution" => self.redrive_execution(body),
            "ListExecutions" => self.list_executions(body),
            _ => Err(Refusal::new("UnknownOperationException", operation)),
        };
        match answer {
            Ok(answer) => (200, answer),
            Err(Refusal { code, message }) => {
                let kind = format!("com.amazonaws.swf.service.v2.model#{code}");
                (400, json!({ "__type": kind, "message": message }))
            }
        }
    }

    fn start_execution(&self, body: &Value) -> Result<Value, Refusal> {
        let machine = machine(body)?;
        // Without a name, AWS makes one. Nobody here calls it so.
        let name = text(body, "name")?;
        let input = match &body["input"] {
            Value::Null => Ok(json!({})),
            Value::String(input) => {
                serde_json::from_str(input).map_err(|_| "Invalid State Machine Execution Input")
            }
            _ => Err("the input is no text"),
        };
        let input = input.map_err(|reason| Refusal::new("InvalidExecutionInput", reason))?;
        let arn = execution_arn(machine, name);
        let started = self.start_at(machine, name, input);
        let started = started.map_err(|error| match error {
            StartError::AlreadyExists => {
                let message = format!("Execution Already Exists: '{arn}'");
                Refusal::new("ExecutionAlreadyExists", message)
            }
            StartError::InvalidName => {
                Refusal::new("InvalidName", format!("Invalid Name: '{name}'"))
            }
            StartError::InvalidInput => {
                Refusal::new("InvalidExecutionInput", "the input is too large")
            }
            StartError::NoSuchMachine => no_machine(machine),
        })?;
        Ok(json!({ "executionArn": arn, "startDate": date(started) }))
    }

    fn describe_execution(&self, body: &Value) -> Result<Value, Refusal> {
        let (machine, name, arn) = execution(body)?;
        let now = self.shared.time.now();
        let machines = self.shared.machines();
        let found = machines.find(machine, name, now);
        let found = found.ok_or_else(|| Refusal::no_execution(arn))?;
        let described = found.describe(machine, name);
        let mut answer = summary(&described);
        answer["input"] = described.input.to_string().into();
        answer["inputDetails"] = json!({ "included": true });
        if let Some(output) = &described.output {
            answer["output"] = output.to_string().into();
            answer["outputDetails"] = json!({ "included": true });
        }
        for (member, value) in [("error", described.error), ("cause", described.cause)] {
            if let Some(value) = value {
                answer[member] = value.into();
            }
        }
        add_redrive_status(&mut answer, found, now);
        Ok(answer)
    }

    fn stop_execution(&self, body: &Value) -> Result<Value, Refusal> {
        let (machine, name, arn) = execution(body)?;
        let optional = |member: &str| body[member].as_str().map(str::to_owned);
        let stopped = self.stop_because(machine, name, optional("error"), optional("cause"));
        let stopped = stopped.map_err(|NoSuchExecution| Refusal::no_execution(arn))?;
        Ok(json!({ "stopDate": date(stopped) }))
    }

    fn redrive_execution(&self, body: &Value) -> Result<Value, Refusal> {
        let (machine, name, arn) = execution(body)?;
        let redriven = self.redrive_at(machine, name, body["clientToken"].as_str());
        let redriven = redriven.map_err(|error| match error {
            RedriveError::NoSuchExecution => Refusal::no_execution(arn),
            RedriveError::NotRedrivable(reason) => Refusal::new("ExecutionNotRedrivable", reason),
        })?;
        Ok(json!({ "redriveDate": date(redriven) }))
    }

    fn list_executions(&self, body: &Value) -> Result<Value, Refusal> {
        let machine = machine(body)?;
        if !self.shared.machines().deployed.contains_key(&machine) {
            return Err(no_machine(machine));
        }
        let status = match &body["statusFilter"] {
            Value::Null => None,
            filter => {
                let mut all = Status::ALL.into_iter();
                let status = all.find(|status| *filter == status.word());
                Some(status.ok_or_else(|| invalid(format!("no status: {filter}")))?)
            }
        };
        let wanted = body["maxResults"].as_u64().filter(|wanted| *wanted > 0);
        let page = wanted.unwrap_or(PAGE).min(LARGEST_PAGE) as usize;
        let from = match &body["nextToken"] {
            Value::Null => 0,
            token => {
                let from = token.as_str().and_then(|token| token.parse().ok());
                from.ok_or_else(|| Refusal::new("InvalidToken", "Invalid Token"))?
            }
        };
        let all = self.list(machine, status);
        let executions: Vec<_> = all.iter().skip(from).take(page).map(summary).collect();
        let mut answer = json!({ "executions": executions });
        if all.len() > from + page {
            answer["nextToken"] = (from + page).to_string().into();
        }
        Ok(answer)
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("ValidationException", message)
}

fn no_machine(machine: Machine) -> Refusal {
    let message = format!("State Machine Does Not Exist: '{}'", machine_arn(machine));
    Refusal::new("StateMachineDoesNotExist", message)
}

fn text<'a>(body: &'a Value, member: &str) -> Result<&'a str, Refusal> {
    let text = body[member].as_str();
    text.ok_or_else(|| invalid(format!("{member} is missing")))
}

/// The machine that the call is about.
fn machine(body: &Value) -> Result<Machine, Refusal> {
    let arn = text(body, "stateMachineArn")?;
    let mut all = Machine::ALL.into_iter();
    let machine = all.find(|machine| machine_arn(*machine) == arn);
    machine.ok_or_else(|| {
        let message = format!("State Machine Does Not Exist: '{arn}'");
        Refusal::new("StateMachineDoesNotExist", message)
    })
}

/// The execution that the call is about: its machine, its name and its ARN.
fn execution(body: &Value) -> Result<(Machine, &str, &str), Refusal> {
    let arn = text(body, "executionArn")?;
    let found = Machine::ALL.into_iter().find_map(|machine| {
        let name = arn.strip_prefix(&execution_arn(machine, ""))?;
        Some((machine, name, arn))
    });
    found.ok_or_else(|| Refusal::no_execution(arn))
}

/// A time as the protocol writes it: in seconds.
fn date(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

fn summary(described: &Description) -> Value {
    let mut summary = json!({
        "executionArn": execution_arn(described.machine, &described.name),
        "stateMachineArn": machine_arn(described.machine),
        "name": described.name,
        "status": described.status.word(),
        "startDate": date(described.started_at),
        "redriveCount": described.redrives,
    });
    let times = [
        ("stopDate", described.stopped_at),
        ("redriveDate", described.redriven_at),
    ];
    for (member, at) in times {
        if let Some(at) = at {
            summary[member] = date(at).into();
        }
    }
    summary
}

fn add_redrive_status(answer: &mut Value, execution: &Execution, now: Timestamp) {
    match execution.not_redrivable(now) {
        None => answer["redriveStatus"] = "REDRIVABLE".into(),
        Some(reason) => {
            answer["redriveStatus"] = "NOT_REDRIVABLE".into();
            answer["redriveStatusReason"] = reason.into();
        }
    }
}
