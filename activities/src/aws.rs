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
use tokio::task::JoinSet;

use crate::http_client;
use crate::settings::{SettingError, millis, of_lambda, text};

/// AWS, as a function knows it.
pub struct Sdk {
    /// What the SDK's clients are made of.
    pub config: SdkConfig,
    /// The HTTP client that all of them share.
    http: reqwest::Client,
    region: String,
    connect_within: Duration,
}

impl Sdk {
    /// Reads the function's AWS configuration. `AWS_TIMEOUT_MS` bounds an operation with all its retries, half of it a
    /// single attempt, so that one lost packet does not cost the call.
    ///
    /// `AWS_ENDPOINT_URL`, and `AWS_ENDPOINT_URL_DYNAMODB`, `_SFN` and `_SECRETS_MANAGER` before it, send requests elsewhere
    /// than to the region's endpoints.
    ///
    /// # Errors
    /// [`SettingError`] when a variable is missing or wrong.
    pub fn load() -> Result<Self, SettingError> {
        let timeout = millis("AWS_TIMEOUT_MS")?;
        let connect_within = timeout / 4;
        let http = http_client::build(http_client::client()?.connect_timeout(connect_within))?;
        let region = of_lambda("AWS_REGION")?;
        let credentials = Credentials::new(
            of_lambda("AWS_ACCESS_KEY_ID")?,
            of_lambda("AWS_SECRET_ACCESS_KEY")?,
            text("AWS_SESSION_TOKEN").ok(),
            None,
            "environment",
        );
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .service_config(Environment)
            .http_client(for_the_sdk(http.clone()))
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(timeout / 2)
                    .operation_timeout(timeout)
                    .build(),
            )
            .build();
        Ok(Self {
            config,
            http,
            region,
            connect_within,
        })
    }

    /// Opens a connection to each of these, side by side, for the SDK's clients to use: at its start a process has a whole
    /// processor, at its first event the small share of one that its memory buys, and a TLS handshake is most of what a first
    /// event costs.
    ///
    /// A connection cannot be opened without a request, so each gets one that nobody signed and that does nothing: `GET /`.
    /// Whatever it is answered, and whether it is, changes nothing: the first call opens what is not open.
    pub async fn connect(&self, services: impl IntoIterator<Item = Service>) {
        let mut requests = JoinSet::new();
        for service in services {
            let request = self.http.get(service.address(&self.region));
            let request = request.timeout(self.connect_within);
            // To the end of its answer: only then is the connection free for the next request.
            requests.spawn(async { request.send().await?.bytes().await });
        }
        while requests.join_next().await.is_some() {}
    }
}

/// A service of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The tables.
    DynamoDb,
    /// The bank's key, and the shop's.
    SecretsManager,
    /// The saga's executions.
    StepFunctions,
}

impl Service {
    /// Where the SDK's client for it sends its requests.
    fn address(self, region: &str) -> String {
        let variable = match self {
            Self::DynamoDb => "DYNAMODB",
            Self::SecretsManager => "SECRETS_MANAGER",
            Self::StepFunctions => "SFN",
        };
        Environment::value("AWS_ENDPOINT_URL", variable).unwrap_or_else(|| self.regional(region))
    }

    fn regional(self, region: &str) -> String {
        let name = match self {
            Self::DynamoDb => "dynamodb",
            Self::SecretsManager => "secretsmanager",
            Self::StepFunctions => "states",
        };
        format!("https://{name}.{region}.amazonaws.com")
    }
}

/// What the SDK's clients ask for by name: `AWS_ENDPOINT_URL_SECRETS_MANAGER` goes before `AWS_ENDPOINT_URL`.
#[derive(Debug)]
struct Environment;

impl Environment {
    fn value(name: &str, service: &str) -> Option<String> {
        let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        value(&format!("{name}_{service}")).or_else(|| value(name))
    }
}

impl LoadServiceConfig for Environment {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        Self::value(key.env(), &service)
    }
}

/// Our HTTP client as the SDK wants it: the SDK's own would bring TLS settings and trusted roots of its own.
fn for_the_sdk(client: reqwest::Client) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Connector(client));
    http_client_fn(move |_, _| connector.clone())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Where an SDK's client sends its requests, by the SDK's own rules.
    macro_rules! by_the_sdk {
        ($sdk:ident, $region:expr) => {{
            use $sdk::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
            let params = Params::builder().region($region).build().unwrap();
            let rules = DefaultResolver::new();
            rules
                .resolve_endpoint(&params)
                .await
                .unwrap()
                .url()
                .to_owned()
        }};
    }

    #[tokio::test]
    async fn a_connection_is_opened_to_where_the_sdks_requests_go() {
        for region in ["ap-southeast-1", "ap-southeast-7", "us-east-1"] {
            let sdk = [
                by_the_sdk!(aws_sdk_dynamodb, region),
                by_the_sdk!(aws_sdk_secretsmanager, region),
                by_the_sdk!(aws_sdk_sfn, region),
            ];
            let ours = [
                Service::DynamoDb,
                Service::SecretsManager,
                Service::StepFunctions,
            ]
            .map(|service| service.regional(region));
            assert_eq!(ours, sdk);
        }
    }
}
