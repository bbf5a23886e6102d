//! What the state machines call: the functions, and the tables by Step Functions' own integration.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::cloud::Service;
use crate::fault::Party;
use crate::functions::Functions;
use crate::network::{CALLER, Network, Unanswered};
use crate::release::Noted;
use crate::rights::Rights;
use crate::step_functions::{TaskCall, TaskError, Tasks};

/// Calls what the states' tasks name.
pub(crate) struct Callees {
    /// The functions.
    pub(crate) functions: Functions,
    /// The tables.
    pub(crate) tables: Arc<dyn Service>,
    /// The network to the tables.
    pub(crate) network: Network,
    /// What the machines may do.
    pub(crate) rights: Rights,
    /// The functions' names by their ARNs.
    pub(crate) names: BTreeMap<String, String>,
    /// What the states give to the functions.
    pub(crate) given: Noted,
}

impl Tasks for Callees {
    fn call(&self, call: TaskCall) -> BoxFuture<'static, Result<Value, TaskError>> {
        match call.resource.as_str() {
            "arn:aws:states:::lambda:invoke" => self.invoke(call),
            "arn:aws:states:::dynamodb:updateItem" => self.update_item(call),
            other => {
                let cause = format!("the simulation knows no resource {other}");
                futures_util::future::ready(Err(TaskError::new("States.Runtime", cause))).boxed()
            }
        }
    }
}

impl Callees {
    fn invoke(&self, mut call: TaskCall) -> BoxFuture<'static, Result<Value, TaskError>> {
        let functions = self.functions.clone();
        let arn = call.arguments["FunctionName"].as_str().unwrap_or_default();
        if let Err(denied) = self.rights.may_invoke(call.machine, arn) {
            let error = TaskError::new("Lambda.AWSLambdaException", denied.message());
            return futures_util::future::ready(Err(error)).boxed();
        }
        let name = self.names.get(arn).cloned().unwrap_or_default();
        let payload = call.arguments["Payload"].take();
        self.given.note(call.machine, &call.state, &name, &payload);
        async move {
            let subject = subject(&call);
            match functions.call(&name, &subject, payload).await {
                Ok(output) => Ok(json!({"StatusCode": 200, "Payload": output})),
                Err(failed) => Err(TaskError::new(failed.error, failed.cause)),
            }
        }
        .boxed()
    }

    fn update_item(&self, call: TaskCall) -> BoxFuture<'static, Result<Value, TaskError>> {
        let body = call.arguments.to_string().into_bytes();
        let who = format!("{} machine", call.machine);
        let allowed = (self.rights).may_call(&who, Party::DynamoDb, "UpdateItem", &body);
        let effect = match allowed {
            Ok(()) => self.tables.call("UpdateItem".to_owned(), body),
            Err(denied) => futures_util::future::ready(denied.answer()).boxed(),
        };
        let network = self.network.clone();
        let caller = network.caller(&subject(&call));
        CALLER
            .scope(caller, async move {
                match network.carry(Party::DynamoDb, "UpdateItem", effect).await {
                    Ok((200, _)) => Ok(json!({})),
                    Ok((_, body)) => {
                        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
                        let name = answer["__type"].as_str().unwrap_or_default();
                        let name = name.rsplit('#').next().unwrap_or_default();
                        Err(TaskError::new(format!("DynamoDB.{name}"), ""))
                    }
                    Err(Unanswered::Throttled) => {
                        Err(TaskError::new("DynamoDB.ThrottlingException", ""))
                    }
                    Err(Unanswered::Error) => {
                        Err(TaskError::new("DynamoDB.InternalServerErrorException", ""))
                    }
                    Err(Unanswered::NotConnected | Unanswered::Broken) => {
                        Err(TaskError::new("DynamoDB.SdkClientException", ""))
                    }
                }
            })
            .boxed()
    }
}

/// Whom a call is about, and which try of it it is.
fn subject(call: &TaskCall) -> String {
    let TaskCall {
        execution,
        state,
        redrives,
        try_number,
        ..
    } = call;
    match redrives {
        0 => format!("{execution} {state} try {try_number}"),
        _ => format!("{execution} {state} redrive {redrives} try {try_number}"),
    }
}
