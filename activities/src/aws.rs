//! The AWS SDK, set up once for all functions: one TLS stack (rustls with ring), a time-out on every call.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::settings::{SettingError, millis};

/// Loads the function's AWS configuration. `AWS_TIMEOUT_MS` bounds an operation with all its retries, half of it a
/// single attempt, so that one lost packet does not cost the call.
///
/// # Errors
/// [`SettingError`] when `AWS_TIMEOUT_MS` is missing or wrong.
pub async fn load() -> Result<SdkConfig, SettingError> {
    Ok(load_with(millis("AWS_TIMEOUT_MS")?).await)
}

/// [`load`], with the time-out given.
pub async fn load_with(timeout: Duration) -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(timeout / 4)
                .operation_attempt_timeout(timeout / 2)
                .operation_timeout(timeout)
                .build(),
        )
        .load()
        .await
}
