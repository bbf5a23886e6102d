//! Secrets of Secrets Manager: the version that counts now and, for a day after a rotation, the one before it.
//!
//! Two sides that share a key never change it at the same moment. What one of them signed with the former key, before
//! it knew the new one, must still be good for a while.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use crate::aws::reason;

/// How long after a rotation the former version still counts, in seconds.
pub const FORMER_COUNTS_FOR: i64 = 24 * 60 * 60;

/// Which version of a secret, in the words of Secrets Manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// `AWSCURRENT`: what was put last.
    Current,
    /// `AWSPREVIOUS`: what was current before that.
    Previous,
}

impl Stage {
    /// Its label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "AWSCURRENT",
            Self::Previous => "AWSPREVIOUS",
        }
    }
}

/// One version of a secret.
#[derive(Clone)]
pub struct Version {
    /// Its text.
    pub text: SecretString,
    /// What tells it from every other version; `None` where there is only one.
    pub id: Option<String>,
    /// When it was put, in seconds since 1970; `None` where nobody knows. Then no former version counts beside it.
    pub put_at: Option<i64>,
}

impl Version {
    /// The text, for whoever reads it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

/// The version before the current one, and until when it counts.
#[derive(Clone)]
pub struct Former {
    /// Its text.
    pub text: SecretString,
    /// Until when it counts, in seconds since 1970.
    pub until: i64,
}

type Fetch = Pin<Box<dyn Future<Output = Result<Option<Version>, String>> + Send>>;

/// Where a secret comes from.
#[derive(Clone)]
pub struct SecretSource(Arc<dyn Fn(Stage) -> Fetch + Send + Sync>);

impl SecretSource {
    /// A secret that was never rotated: `fetch` is called each time its text is needed afresh.
    pub fn new<F, T>(fetch: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<SecretString, String>> + Send + 'static,
    {
        Self::versions(move |stage| {
            let text = (stage == Stage::Current).then(&fetch);
            async move {
                Ok(match text {
                    Some(text) => Some(Version {
                        text: text.await?,
                        id: None,
                        put_at: None,
                    }),
                    None => None,
                })
            }
        })
    }

    /// A secret whose versions `fetch` gets; `None` where it has no such version.
    pub fn versions<F, T>(fetch: F) -> Self
    where
        F: Fn(Stage) -> T + Send + Sync + 'static,
        T: Future<Output = Result<Option<Version>, String>> + Send + 'static,
    {
        Self(Arc::new(move |stage| Box::pin(fetch(stage))))
    }

    /// A secret in Secrets Manager, by name or ARN.
    #[must_use]
    pub fn secrets_manager(client: aws_sdk_secretsmanager::Client, id: String) -> Self {
        use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
        Self::versions(move |stage| {
            let request = client
                .get_secret_value()
                .secret_id(&id)
                .version_stage(stage.as_str());
            async move {
                let output = match request.send().await {
                    Ok(output) => output,
                    Err(error)
                        if error
                            .as_service_error()
                            .is_some_and(GetSecretValueError::is_resource_not_found_exception)
                            && stage == Stage::Previous =>
                    {
                        return Ok(None);
                    }
                    Err(error) => return Err(reason(&error)),
                };
                let put_at = output.created_date().map(|date| date.secs());
                let id = output.version_id;
                Ok(output.secret_string.map(|text| Version {
                    text: text.into(),
                    id,
                    put_at,
                }))
            }
        })
    }

    /// Fetches the version that counts now.
    ///
    /// # Errors
    /// A reason without any of the secret.
    pub async fn current(&self) -> Result<Version, String> {
        (self.0)(Stage::Current)
            .await?
            .ok_or_else(|| "it has no string value".to_owned())
    }

    /// Fetches the version before this one, if it still counts at `now` (seconds since 1970). It is asked for only within
    /// a day of the rotation.
    ///
    /// # Errors
    /// As [`SecretSource::current`].
    pub async fn former(&self, current: &Version, now: i64) -> Result<Option<Former>, String> {
        let until = current.put_at.map(|put_at| put_at + FORMER_COUNTS_FOR);
        let Some(until) = until.filter(|until| now < *until) else {
            return Ok(None);
        };
        let version = (self.0)(Stage::Previous).await?;
        Ok(version.map(|Version { text, .. }| Former { text, until }))
    }
}
