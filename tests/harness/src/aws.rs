//! Clients of the local AWS.

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use std::time::Duration;

use crate::http::client;
use aws_smithy_http_client::Builder as HttpClientBuilder;

/// How long a health check may take.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// The region everything is deployed to.
pub const REGION: &str = "ap-southeast-1";
/// The account of the local AWS.
pub const ACCOUNT: &str = "000000000000";
/// Key id and secret in one: the local AWS takes any.
pub const ACCESS_KEY: &str = "test";
/// The same, of the shop's back office. It may start refunds and look at them, and nothing else.
const BACK_OFFICE_KEY: &str = "back-office";

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
    ($service:ident, $endpoint:expr, $key:expr) => {
        $service::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(REGION))
            .endpoint_url($endpoint)
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                $key, $key, None, None, "local",
            )))
            .http_client(HttpClientBuilder::new().build_http())
            .build()
    };
}

impl Aws {
    /// Clients of the local AWS at `endpoint`.
    pub fn at(endpoint: &str) -> Self {
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(configuration!(
                aws_sdk_dynamodb,
                endpoint,
                ACCESS_KEY
            )),
            sfn: aws_sdk_sfn::Client::from_conf(configuration!(aws_sdk_sfn, endpoint, ACCESS_KEY)),
            secrets: aws_sdk_secretsmanager::Client::from_conf(configuration!(
                aws_sdk_secretsmanager,
                endpoint,
                ACCESS_KEY
            )),
        }
    }
}

/// Step Functions of the local AWS at `endpoint`, with the credentials of the shop's back office.
pub(crate) fn back_office(endpoint: &str) -> aws_sdk_sfn::Client {
    aws_sdk_sfn::Client::from_conf(configuration!(aws_sdk_sfn, endpoint, BACK_OFFICE_KEY))
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
