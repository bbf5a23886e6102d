//! Clients of the local AWS.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_smithy_http_client::Builder as HttpClientBuilder;
use serde_json::json;

use crate::http::client;
use crate::json_api;

/// How long credentials last.
const HOUR: Duration = Duration::from_secs(3600);
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
            sfn: aws_sdk_sfn::Client::from_conf(configuration!(aws_sdk_sfn, endpoint, key())),
            secrets: aws_sdk_secretsmanager::Client::from_conf(configuration!(
                aws_sdk_secretsmanager,
                endpoint,
                key()
            )),
        }
    }
}

/// Step Functions of the local AWS at `endpoint`, as the back office of a branch's shop may use it.
pub(crate) fn back_office(endpoint: &str, branch: &str) -> aws_sdk_sfn::Client {
    let credentials = OfBackOffice {
        endpoint: endpoint.to_owned(),
        policy: format!("arn:aws:iam::{ACCOUNT}:policy/payment3-back-office-{branch}"),
    };
    aws_sdk_sfn::Client::from_conf(configuration!(aws_sdk_sfn, endpoint, credentials))
}

/// Credentials that allow what this policy allows, and nothing else. They last for an hour; then there are new ones.
#[derive(Debug)]
struct OfBackOffice {
    endpoint: String,
    policy: String,
}

impl OfBackOffice {
    async fn ask(&self) -> anyhow::Result<Credentials> {
        let target = "AWSSecurityTokenServiceV20110615.GetFederationToken";
        let wish = json!({
            "Name": "back-office",
            "DurationSeconds": HOUR.as_secs(),
            "PolicyArns": [{"arn": self.policy}],
        });
        let answer = json_api::call(&self.endpoint, target, &wish).await?;
        let text = |field: &str| answer["Credentials"][field].as_str().context("credentials");
        Ok(Credentials::new(
            text("AccessKeyId")?,
            text("SecretAccessKey")?,
            Some(text("SessionToken")?.to_owned()),
            Some(SystemTime::now() + HOUR),
            "the back office",
        ))
    }
}

impl ProvideCredentials for OfBackOffice {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let credentials = self.ask().await;
            credentials.map_err(|error| CredentialsError::provider_error(format!("{error:#}")))
        })
    }
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
