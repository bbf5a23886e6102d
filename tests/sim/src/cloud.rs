//! What the functions' AWS SDK talks to: the requests of its clients go over the network to the services.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use aws_sdk_dynamodb::config::Credentials;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use futures_util::FutureExt;
use payment3_activities::aws::Sdk;

use crate::fault::Party;
use crate::network::{CALLER, Network, Unanswered};
use crate::rights::Rights;

/// The region of the simulated deployment.
pub(crate) const REGION: &str = "ap-southeast-1";

/// An AWS service: an operation and its body lead to a status and an answer.
pub(crate) trait Service: Send + Sync {
    /// Takes effect and answers.
    fn call(
        &self,
        operation: String,
        body: Vec<u8>,
    ) -> futures_util::future::BoxFuture<'static, (u16, Vec<u8>)>;
}

/// The services that functions call.
#[derive(Clone)]
pub(crate) struct Cloud {
    network: Network,
    rights: Rights,
    dynamodb: Arc<dyn Service>,
    secrets: Arc<dyn Service>,
    step_functions: Arc<dyn Service>,
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cloud")
    }
}

impl Cloud {
    /// These services, over this network, for whom the rights allow it.
    pub(crate) fn new(
        network: Network,
        rights: Rights,
        dynamodb: Arc<dyn Service>,
        secrets: Arc<dyn Service>,
        step_functions: Arc<dyn Service>,
    ) -> Self {
        Self {
            network,
            rights,
            dynamodb,
            secrets,
            step_functions,
        }
    }

    /// The functions' configuration of the SDK, with all its retries and time-outs, whose requests come here.
    ///
    /// # Errors
    /// The SDK's configuration cannot be made.
    pub(crate) fn sdk(&self, timeout: Duration) -> Result<SdkConfig> {
        let connector = SharedHttpConnector::new(self.clone());
        let mut builder = function_config(timeout)?.into_builder();
        // Nobody here checks signatures. Without credentials, clients that may do so make none.
        builder.set_credentials_provider(None);
        Ok(builder
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build())
    }
}

/// The functions' own configuration of the SDK. It is made once for all runs: with it comes a client for real
/// connections, which reads the machine's certificates and is never used here.
fn function_config(timeout: Duration) -> Result<SdkConfig> {
    static MADE: Mutex<BTreeMap<Duration, SdkConfig>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(config) = made.get(&timeout) {
        return Ok(config.clone());
    }
    let credentials = Credentials::new("simulated", "simulated", None, None, "simulated");
    let config = Sdk::of(REGION.to_owned(), credentials, timeout)?.config;
    made.insert(timeout, config.clone());
    Ok(config)
}

impl HttpConnector for Cloud {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let (prefix, operation) = target.split_once('.').unwrap_or_default();
        let (party, service) = if prefix.starts_with("DynamoDB") {
            (Party::DynamoDb, &self.dynamodb)
        } else if prefix.starts_with("AWSStepFunctions") {
            (Party::StepFunctions, &self.step_functions)
        } else {
            (Party::Secrets, &self.secrets)
        };
        let operation = operation.to_owned();
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let planned = self
            .network
            .planned(party, || operation.clone(), "/", &body);
        let (service, network) = (Arc::clone(service), self.network.clone());
        let caller = CALLER.try_with(|caller| caller.function().to_owned());
        let allowed = self
            .rights
            .may_call(&caller.unwrap_or_default(), party, &operation, &body);
        HttpConnectorFuture::new(async move {
            let effect = match allowed {
                Ok(()) => service.call(operation.clone(), body),
                Err(denied) => futures_util::future::ready(denied.answer()).boxed(),
            };
            let (status, body) = match network.carry_call(planned, party, &operation, effect).await
            {
                Ok(answer) => answer,
                Err(Unanswered::Throttled) => (400, throttled(party)),
                Err(Unanswered::Error) => (500, failed(party)),
                Err(Unanswered::NotConnected | Unanswered::Broken) => {
                    return Err(ConnectorError::io("the connection failed".into()));
                }
            };
            response(status, body)
        })
    }
}

fn throttled(party: Party) -> Vec<u8> {
    let name = match party {
        Party::DynamoDb => {
            "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
        }
        _ => "ThrottlingException",
    };
    format!(r#"{{"__type":"{name}","message":"too many requests"}}"#).into_bytes()
}

fn failed(party: Party) -> Vec<u8> {
    let name = match party {
        Party::DynamoDb => "com.amazonaws.dynamodb.v20120810#InternalServerError",
        Party::Secrets => "InternalServiceError",
        _ => "InternalFailure",
    };
    format!(r#"{{"__type":"{name}","message":"it failed"}}"#).into_bytes()
}

fn response(status: u16, body: Vec<u8>) -> Result<HttpResponse, ConnectorError> {
    let status = status
        .try_into()
        .map_err(|_| ConnectorError::other("no HTTP status".into(), None))?;
    let mut response = HttpResponse::new(status, SdkBody::from(body));
    response
        .headers_mut()
        .insert("content-type", "application/x-amz-json-1.0");
    Ok(response)
}
