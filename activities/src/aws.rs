//! The AWS SDK, set up once for all functions, from what AWS Lambda puts into a function's environment: region and
//! credentials. Nothing else is looked for (no profile files, no instance metadata): there is nothing else on Lambda.

use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
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

/// The part of `AWS_TIMEOUT_MS` that connecting may take before the first event: hundreds of milliseconds for what
/// takes ten. The CDK app's time limits reckon with it.
const CONNECTING: u32 = 8;

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
    /// `AWS_ENDPOINT_URL`, and `AWS_ENDPOINT_URL_DYNAMODB`, `_SFN` and `_SECRETS_MANAGER` before it, send requests
    /// elsewhere than to the region's endpoints.
    ///
    /// # Errors
    /// [`SettingError`] when a variable is missing or wrong.
    pub fn load() -> Result<Self, SettingError> {
        let credentials = Credentials::new(
            of_lambda("AWS_ACCESS_KEY_ID")?,
            of_lambda("AWS_SECRET_ACCESS_KEY")?,
            text("AWS_SESSION_TOKEN").ok(),
            None,
            "environment",
        );
        Self::of(
            of_lambda("AWS_REGION")?,
            credentials,
            millis("AWS_TIMEOUT_MS")?,
        )
    }

    /// AWS in this region. `timeout` bounds an operation as `AWS_TIMEOUT_MS` does.
    ///
    /// # Errors
    /// [`SettingError`] when the trusted roots cannot be read.
    pub fn of(
        region: String,
        credentials: Credentials,
        timeout: Duration,
    ) -> Result<Self, SettingError> {
        let http = http_client::build(http_client::client()?.connect_timeout(timeout / 4))?;
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .service_config(Environment)
            .http_client(for_the_sdk(http.clone()))
            // After an attempt that took half of the time, and the longest pause, there is time for another.
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(3)
                    .with_initial_backoff(timeout / 8),
            )
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
            connect_within: timeout / CONNECTING,
        })
    }

    /// Opens a connection to each of these in parallel, for the SDK's clients to use. While it starts, a process has a
    /// whole processor. At its first event it has only the share that its memory buys, and a TLS handshake is most of
    /// what a first event costs.
    ///
    /// A connection cannot be opened without a request, so each gets one that nobody signed and that does nothing: `GET
    /// /`. Neither the answer nor its absence matters: the first call opens what is not open. All of it together takes
    /// an eighth of `AWS_TIMEOUT_MS` at most.
    pub async fn connect(&self, services: &[Service]) {
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
    /// Where the SDK's client for it sends its requests, in all regions but China's.
    fn address(self, region: &str) -> String {
        let (variable, name) = match self {
            Self::DynamoDb => ("DYNAMODB", "dynamodb"),
            Self::SecretsManager => ("SECRETS_MANAGER", "secretsmanager"),
            Self::StepFunctions => ("SFN", "states"),
        };
        Environment::value("AWS_ENDPOINT_URL", variable)
            .unwrap_or_else(|| format!("https://{name}.{region}.amazonaws.com"))
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

/// Why a call of AWS failed: the error's code, or `no answer`. A denied call also says which right is missing, and who
/// lacks it. No other message of AWS is told: those of DynamoDB may quote keys.
pub(crate) fn reason<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    match (error.code(), error.message()) {
        (Some(code @ "AccessDeniedException"), Some(message)) => format!("{code}: {message}"),
        (code, _) => code.unwrap_or("no answer").to_owned(),
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
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Notes where requests go, and fails.
    #[derive(Debug, Clone, Default)]
    struct Addresses(Arc<Mutex<Vec<String>>>);

    impl HttpConnector for Addresses {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let url = request.uri().trim_end_matches('/').to_owned();
            self.0.lock().unwrap().push(url);
            HttpConnectorFuture::ready(Err(ConnectorError::user("only noted".into())))
        }
    }

    #[tokio::test]
    async fn a_connection_is_opened_to_where_the_sdks_requests_go() {
        for region in ["ap-southeast-1", "ap-southeast-7", "us-east-1"] {
            let credentials = Credentials::new("obviously-fake", "obviously-fake", None, None, "");
            let sdk = Sdk::of(region.to_owned(), credentials, Duration::from_secs(4)).unwrap();
            let asked = Addresses::default();
            let connector = SharedHttpConnector::new(asked.clone());
            let config = sdk
                .config
                .into_builder()
                .http_client(http_client_fn(move |_, _| connector.clone()))
                .build();
            let tables = aws_sdk_dynamodb::Client::new(&config);
            let _ = tables.list_tables().send().await.unwrap_err();
            let secrets = aws_sdk_secretsmanager::Client::new(&config);
            let _ = secrets.list_secrets().send().await.unwrap_err();
            let executions = aws_sdk_sfn::Client::new(&config);
            let _ = executions.list_state_machines().send().await.unwrap_err();
            let ours = [
                Service::DynamoDb,
                Service::SecretsManager,
                Service::StepFunctions,
            ]
            .map(|service| service.address(region));
            assert_eq!(*asked.0.lock().unwrap(), ours);
        }
    }

    /// Refuses every request with this error.
    #[derive(Debug, Clone)]
    struct Refuses(&'static str);

    impl HttpConnector for Refuses {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            let status = http::StatusCode::BAD_REQUEST.into();
            let answer = HttpResponse::new(status, SdkBody::from(self.0));
            HttpConnectorFuture::ready(Ok(answer))
        }
    }

    #[tokio::test]
    async fn only_a_denied_calls_message_is_told() {
        let denied = "User: arn:aws:sts::123456789012:assumed-role/pay-order/pay-order is not authorized to perform: \
            dynamodb:GetItem on resource: arn:aws:dynamodb:ap-southeast-1:123456789012:table/payment3-order-master because \
            no identity-based policy allows the dynamodb:GetItem action";
        for (answer, told) in [
            (
                r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"DENIED"}"#,
                format!("AccessDeniedException: {denied}"),
            ),
            (
                r#"{"__type":"com.amazon.coral.validate#ValidationException","message":"the key 4711"}"#,
                "ValidationException".to_owned(),
            ),
            ("", "no answer".to_owned()),
        ] {
            let answer: &'static str = answer.replace("DENIED", denied).leak();
            let connector = SharedHttpConnector::new(Refuses(answer));
            let config = aws_sdk_dynamodb::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("ap-southeast-1"))
                .credentials_provider(Credentials::new("fake", "fake", None, None, ""))
                .http_client(http_client_fn(move |_, _| connector.clone()))
                .build();
            let tables = aws_sdk_dynamodb::Client::from_conf(config);
            let error = tables.get_item().table_name("t").send().await.unwrap_err();
            assert_eq!(reason(&error), told);
        }
    }
}
