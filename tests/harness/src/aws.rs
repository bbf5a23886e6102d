//! Clients of the local AWS.

use std::time::Duration;

use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_smithy_http_client::Builder as HttpClientBuilder;

use crate::http::client;

/// How long a health check may take.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// The region everything is deployed to.
pub const REGION: &str = "ap-southeast-1";
/// The account of the local AWS.
pub const ACCOUNT: &str = "000000000000";
/// Key id and secret in one, of an administrator: the local AWS lets it do everything.
pub const ACCESS_KEY: &str = "test";

/// Clients of the services that the tool itself uses.
#[derive(Debug, Clone)]
pub struct Aws {
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Step Functions.
    pub sfn: aws_sdk_sfn::Client,
    /// Secrets Manager.
    pub secrets: aws_sdk_secretsmanager::Client,
}

// The SDKs' configurations are distinct types with the same builder methods.
macro_rules! configuration {
    ($service:ident, $endpoint:expr, $credentials:expr) => {
        $service::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(REGION))
            .endpoint_url($endpoint)
            .credentials_provider(SharedCredentialsProvider::new($credentials))
            .http_client(HttpClientBuilder::new().build_http())
            .build()
    };
}

impl Aws {
    /// Clients of the local AWS at `endpoint`, which may do everything.
    pub fn at(endpoint: &str) -> Self {
        let key = || Credentials::new(ACCESS_KEY, ACCESS_KEY, None, None, "local");
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(configuration!(
                aws_sdk_dynamodb,
                endpoint,
                key()
            )),
            sfn: step_functions(endpoint, key()),
            secrets: aws_sdk_secretsmanager::Client::from_conf(configuration!(
                aws_sdk_secretsmanager,
                endpoint,
                key()
            )),
        }
    }
}

/// Step Functions of the local AWS at `endpoint`, with these credentials.
pub(crate) fn step_functions(
    endpoint: &str,
    credentials: impl ProvideCredentials + 'static,
) -> aws_sdk_sfn::Client {
    aws_sdk_sfn::Client::from_conf(configuration!(aws_sdk_sfn, endpoint, credentials))
}

/// Whether a local AWS answers at `endpoint`.
pub async fn is_healthy(endpoint: &str) -> bool {
    let request = client()
        .get(format!("{endpoint}/_ministack/health"))
        .timeout(HEALTH_TIMEOUT);
    request
        .send()
        .await
        .is_ok_and(|response| response.status().is_success())
}
