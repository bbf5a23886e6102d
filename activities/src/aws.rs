//! The AWS SDK, set up once for all functions, from what AWS Lambda puts into a function's environment: region and
//! credentials. Nothing else is looked for (no profile files, no instance metadata): there is nothing else on Lambda.

use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use crate::http_client;
use crate::settings::{SettingError, millis, of_lambda, text};

/// Reads the function's AWS configuration. `AWS_TIMEOUT_MS` bounds an operation with all its retries, half of it a
/// single attempt, so that one lost packet does not cost the call.
///
/// `AWS_ENDPOINT_URL`, and `AWS_ENDPOINT_URL_DYNAMODB`, `_SFN` and `_SECRETS_MANAGER` before it, send requests elsewhere
/// than to the region's endpoints.
///
/// # Errors
/// [`SettingError`] when a variable is missing or wrong.
pub fn load() -> Result<SdkConfig, SettingError> {
    load_with(millis("AWS_TIMEOUT_MS")?)
}

/// [`load`], with the time-out given.
///
/// # Errors
/// [`SettingError`] when a variable is missing or wrong.
pub fn load_with(timeout: Duration) -> Result<SdkConfig, SettingError> {
    let credentials = Credentials::new(
        of_lambda("AWS_ACCESS_KEY_ID")?,
        of_lambda("AWS_SECRET_ACCESS_KEY")?,
        text("AWS_SESSION_TOKEN").ok(),
        None,
        "environment",
    );
    Ok(SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(of_lambda("AWS_REGION")?))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .service_config(Environment)
        .http_client(http(timeout / 4)?)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(timeout / 2)
                .operation_timeout(timeout)
                .build(),
        )
        .build())
}

/// What the SDK's clients ask for by name: `AWS_ENDPOINT_URL_SECRETS_MANAGER` goes before `AWS_ENDPOINT_URL`.
#[derive(Debug)]
struct Environment;

impl LoadServiceConfig for Environment {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let value = |name: String| std::env::var(name).ok().filter(|value| !value.is_empty());
        let service = key.service_id().to_uppercase().replace(' ', "_");
        value(format!("{}_{service}", key.env())).or_else(|| value(key.env().to_owned()))
    }
}

/// Our HTTP client as the SDK wants it: the SDK's own would bring TLS settings and trusted roots of its own.
fn http(connect_within: Duration) -> Result<SharedHttpClient, SettingError> {
    let client = http_client::build(http_client::client()?.connect_timeout(connect_within))?;
    let connector = SharedHttpConnector::new(Connector(client));
    Ok(http_client_fn(move |_, _| connector.clone()))
}

#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request
                .try_into_http1x()
                .map_err(|error| ConnectorError::user(error.into()))?
                .map(reqwest::Body::wrap);
            let request = reqwest::Request::try_from(request).map_err(failed)?;
            let response = client.execute(request).await.map_err(failed)?;
            let response = http::Response::from(response).map(SdkBody::from_body_1_x);
            HttpResponse::try_from(response)
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// Tells the SDK why there is no answer; it repeats after time-outs and broken connections.
fn failed(error: reqwest::Error) -> ConnectorError {
    if error.is_builder() {
        ConnectorError::user(error.into())
    } else if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}
