//! Missing rights. The local AWS denies the call that needs the right, as AWS does, and the execution shows which one
//! is missing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use payment3_harness::aws::{ACCESS_KEY, REGION};
use payment3_harness::executions::Executions;
use payment3_harness::outputs::Outputs;
use payment3_harness::workspace;
use payment3_stack::process::Tool;
use serde_json::{Value, json};
use tokio::time::sleep;

/// How long a payment may take to the denied call.
const PATIENCE: Duration = Duration::from_secs(60);
const READ_EVERY: Duration = Duration::from_millis(200);

/// Who has a right.
#[derive(Debug, Clone, Copy)]
enum Holder {
    /// The function of this kebab name.
    Function(&'static str),
    /// The state machine of payments.
    Machine,
}

/// A right that the payment of a new user needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Right {
    /// The state whose call needs it.
    pub(crate) state: &'static str,
    holder: Holder,
    /// The action, such as `dynamodb:UpdateItem`.
    action: &'static str,
    /// A part of the ARN that it is a right to.
    on: &'static str,
}

/// Some of each kind: in a transaction, to a secret, to call a function, and the state machine's own to a table.
pub(crate) const RIGHTS: [Right; 4] = [
    Right {
        state: "PayOrder",
        holder: Holder::Function("pay-order"),
        action: "dynamodb:UpdateItem",
        on: ":table/payment3-order-",
    },
    Right {
        state: "NotifySuccess",
        holder: Holder::Function("notify"),
        action: "secretsmanager:GetSecretValue",
        on: ":secret:payment3-",
    },
    Right {
        state: "RecordOutcome",
        holder: Holder::Machine,
        action: "lambda:InvokeFunction",
        on: ":function:payment3-record-outcome-",
    },
    Right {
        state: "CloseRecord",
        holder: Holder::Machine,
        action: "dynamodb:UpdateItem",
        on: ":table/payment3-card-payment-record-",
    },
];

/// A right that was taken away.
pub(crate) struct Taken {
    outputs: Outputs,
    role: String,
    policy: String,
    /// The policy with the right.
    whole: Value,
}

impl Right {
    /// Takes it away.
    ///
    /// # Errors
    /// The role does not have it, or the local AWS refuses.
    pub(crate) async fn take(&self, outputs: &Outputs) -> Result<Taken> {
        let role = self.role(outputs).await?;
        let of_role = ["--role-name", role.as_str()];
        let policies = aws(outputs, "iam list-role-policies", &of_role).await?;
        for name in texts(&policies["PolicyNames"]) {
            let named = [&of_role[..], &["--policy-name", &name]].concat();
            let policy = aws(outputs, "iam get-role-policy", &named).await?;
            let whole = policy["PolicyDocument"].clone();
            let Some(rest) = without(&whole, self.action, self.on) else {
                continue;
            };
            let taken = Taken {
                outputs: outputs.clone(),
                role,
                policy: name,
                whole,
            };
            taken.put(&rest).await?;
            return Ok(taken);
        }
        anyhow::bail!("{role} has no right {} on …{}…", self.action, self.on)
    }

    async fn role(&self, outputs: &Outputs) -> Result<String> {
        let arn = match self.holder {
            Holder::Function(function) => {
                let function = format!("payment3-{function}-{}", outputs.branch);
                let named = ["--function-name", function.as_str()];
                aws(outputs, "lambda get-function-configuration", &named).await?["Role"].take()
            }
            Holder::Machine => {
                let named = ["--state-machine-arn", outputs.state_machine_arn.as_str()];
                aws(outputs, "stepfunctions describe-state-machine", &named).await?["roleArn"]
                    .take()
            }
        };
        let arn = arn.as_str().context("a role has an ARN")?;
        let name = arn.rsplit('/').next();
        Ok(name.unwrap_or(arn).to_owned())
    }

    /// Waits until the execution shows that its call was denied, and returns how it says so.
    ///
    /// # Errors
    /// The call was not denied, or the execution does not say what is missing.
    pub(crate) async fn is_missed_in(&self, executions: &Executions, name: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let missing = format!(
            "is not authorized to perform: {} on resource: ",
            self.action
        );
        loop {
            let found = executions.find(name).await?;
            let path = found.iter().flat_map(|found| &found.path);
            let visits = path.filter(|visit| visit.state == self.state);
            let errors: Vec<_> = visits.flat_map(|visit| &visit.errors).collect();
            for error in &errors {
                let message = error.message();
                if let Some((_, resource)) = message.split_once(&missing)
                    && resource.contains(self.on)
                {
                    return Ok(format!("{}: {message}", error.error));
                }
            }
            ensure!(
                Instant::now() < deadline,
                "{} was not denied {} on …{}…: {errors:?}",
                self.state,
                self.action,
                self.on
            );
            sleep(READ_EVERY).await;
        }
    }
}

impl Taken {
    /// Gives it back.
    ///
    /// # Errors
    /// The local AWS refuses.
    pub(crate) async fn give_back(self) -> Result<()> {
        self.put(&self.whole).await
    }

    async fn put(&self, document: &Value) -> Result<()> {
        let document = document.to_string();
        let arguments = [
            ["--role-name", self.role.as_str()],
            ["--policy-name", &self.policy],
            ["--policy-document", &document],
        ];
        let put = aws(
            &self.outputs,
            "iam put-role-policy",
            arguments.as_flattened(),
        );
        put.await.map(drop)
    }
}

/// A policy without the right to this action on what is named like this. `None` where it has no such right.
fn without(policy: &Value, action: &str, on: &str) -> Option<Value> {
    let mut statements = Vec::new();
    let mut found = false;
    for statement in policy["Statement"].as_array()? {
        let actions = texts(&statement["Action"]);
        let (named, others): (Vec<_>, Vec<_>) = texts(&statement["Resource"])
            .into_iter()
            .partition(|resource| resource.contains(on));
        if named.is_empty() || !actions.iter().any(|one| one == action) {
            statements.push(statement.clone());
            continue;
        }
        found = true;
        let mut left = actions.clone();
        left.retain(|one| one != action);
        for (actions, resources) in [(actions, others), (left, named)] {
            if !actions.is_empty() && !resources.is_empty() {
                let effect = &statement["Effect"];
                statements
                    .push(json!({"Effect": effect, "Action": actions, "Resource": resources}));
            }
        }
    }
    let version = &policy["Version"];
    found.then(|| json!({"Version": version, "Statement": statements}))
}

/// One text or several, as policies have them.
fn texts(value: &Value) -> Vec<String> {
    let one = value.as_str().into_iter();
    let several = value.as_array().into_iter().flatten();
    let several = several.filter_map(Value::as_str);
    one.chain(several).map(str::to_owned).collect()
}

/// Runs a command of the AWS command line as an administrator, and returns its answer.
async fn aws(outputs: &Outputs, command: &str, arguments: &[&str]) -> Result<Value> {
    let answer = Tool::new(&outputs.aws_cli)
        .args(command.split(' '))
        .args(arguments)
        .args(["--output", "json"])
        .env("AWS_ENDPOINT_URL", &outputs.aws_endpoint)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN")
        .env("NO_PROXY", "127.0.0.1,localhost")
        .captured(&workspace::local_dir().join("logs/rights.log"))
        .await?;
    if answer.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&answer).with_context(|| format!("the answer to `aws {command}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_right_is_taken() {
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Sid": "Orders", "Effect": "Allow", "Action": ["get", "update"], "Resource": "table/order"},
            {"Sid": "Records", "Effect": "Allow", "Action": "update", "Resource": ["table/record", "table/order"]},
            {"Sid": "Logs", "Effect": "Allow", "Action": "put", "Resource": "logs"},
        ]});
        let rest = without(&policy, "update", "/order").expect("there");
        let expected = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["get"], "Resource": ["table/order"]},
            {"Effect": "Allow", "Action": ["update"], "Resource": ["table/record"]},
            {"Sid": "Logs", "Effect": "Allow", "Action": "put", "Resource": "logs"},
        ]});
        assert_eq!(rest, expected);
        assert_eq!(without(&policy, "delete", "/order"), None);
        assert_eq!(without(&policy, "put", "/order"), None);
    }
}
