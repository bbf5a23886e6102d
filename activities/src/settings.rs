//! A function's settings: environment variables that the CDK app sets. Read once at start, so that a wrong deployment
//! fails before the first payment.

use std::time::Duration;

/// A setting that is missing or cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// The variable is not set.
    #[error(
        "the environment variable {0} is not set: deploy the function with the CDK app, which sets it"
    )]
    Missing(&'static str),
    /// A variable of AWS Lambda itself is not set.
    #[error(
        "the environment variable {0} is not set: AWS Lambda sets it; set it by hand where the function runs elsewhere"
    )]
    NotOnLambda(&'static str),
    /// No HTTP client can be built.
    #[error("no HTTP client can be built: {0}")]
    NoHttpClient(String),
    /// The variable's value cannot be used.
    #[error("the environment variable {name} {problem}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// A variable's text.
///
/// # Errors
/// [`SettingError::Missing`] when it is unset or empty.
pub fn text(name: &'static str) -> Result<String, SettingError> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .ok_or(SettingError::Missing(name))
}

/// The text of a variable that AWS Lambda sets for every function.
///
/// # Errors
/// [`SettingError::NotOnLambda`] when it is unset or empty.
pub fn of_lambda(name: &'static str) -> Result<String, SettingError> {
    text(name).map_err(|_| SettingError::NotOnLambda(name))
}

/// A variable that holds a comma-separated list, blanks dropped.
///
/// # Errors
/// [`SettingError::Missing`] when it is unset or empty.
pub fn list(name: &'static str) -> Result<Vec<String>, SettingError> {
    Ok(text(name)?
        .split(',')
        .map(|item| item.trim().to_owned())
        .filter(|item| !item.is_empty())
        .collect())
}

/// A variable that holds whole milliseconds.
///
/// # Errors
/// [`SettingError`] when it is unset or not a positive whole number.
pub fn millis(name: &'static str) -> Result<Duration, SettingError> {
    text(name)?
        .parse()
        .ok()
        .filter(|millis| *millis > 0)
        .map(Duration::from_millis)
        .ok_or_else(|| invalid(name, "must be a positive whole number of milliseconds"))
}

/// A setting whose value cannot be used.
pub fn invalid(name: &'static str, problem: impl ToString) -> SettingError {
    SettingError::Invalid {
        name,
        problem: problem.to_string(),
    }
}
