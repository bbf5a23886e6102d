//! Who the shop's back office is for the local AWS.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_sfn::config::Credentials;
use serde_json::json;

use crate::aws::{ACCOUNT, step_functions};
use crate::json_api;

/// How long its credentials last.
const HOUR: Duration = Duration::from_secs(3600);

/// Step Functions of the local AWS at `endpoint`, as the back office of a branch's shop may use it.
pub(crate) fn step_functions_of(endpoint: &str, branch: &str) -> aws_sdk_sfn::Client {
    let credentials = OfBackOffice {
        endpoint: endpoint.to_owned(),
        policy: format!("arn:aws:iam::{ACCOUNT}:policy/payment3-back-office-{branch}"),
    };
    step_functions(endpoint, credentials)
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
