//! Outages of services: for every function, or for one.
//!
//! The proxy refuses the calls of functions. The state machine's own calls do not pass through the proxy, so the local
//! AWS refuses those. It reads the current outages from a file.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::header::HeaderMap;

use crate::call::{Service, Target};

/// What a call sees during an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// The connection is closed without an answer.
    Closed,
    /// The answer is "too many requests".
    Throttled,
    /// The normal answer comes after this delay.
    Slow(Duration),
    /// The connection stays open without an answer.
    Silent,
}

/// The current outages. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Away {
    rules: Arc<Mutex<Vec<Rule>>>,
    /// The file that the local AWS reads.
    file: Option<PathBuf>,
}

#[derive(Debug, Clone)]
struct Rule {
    service: Service,
    how: How,
    /// The function that is affected, or that is itself away from the state machine. All functions if there is none.
    function: Option<String>,
}

impl Away {
    /// No outages yet. The local AWS reads them from `file`.
    pub fn in_file(file: PathBuf) -> Self {
        Self {
            rules: Arc::default(),
            file: Some(file),
        }
    }

    /// Starts an outage of a service for every function and for the state machine.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn take(&self, service: Service, how: How) -> Result<()> {
        self.add(service, how, None)
    }

    /// Starts an outage of a service for one function (`pay-order`). For [`Service::Lambda`], the state machine cannot
    /// call that function.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn take_from(&self, function: &str, service: Service, how: How) -> Result<()> {
        self.add(service, how, Some(function.to_owned()))
    }

    /// Ends all outages.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn bring_back(&self) -> Result<()> {
        self.rules().clear();
        self.write_file()
    }

    fn add(&self, service: Service, how: How, function: Option<String>) -> Result<()> {
        self.rules().push(Rule {
            service,
            how,
            function,
        });
        self.write_file()
    }

    /// Writes the file for the local AWS. The rename makes the change atomic.
    fn write_file(&self) -> Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let lines: String = self.rules().iter().filter_map(Rule::line).collect();
        let new = file.with_extension("new");
        fs::write(&new, lines)
            .and_then(|()| fs::rename(&new, file))
            .context("cannot write the outages for the local AWS")
    }

    /// The rules for a call, each with its function.
    pub(super) fn rules_for(
        &self,
        target: Target,
        headers: &HeaderMap,
    ) -> Vec<(Option<String>, How)> {
        let rules = self.rules();
        if rules.is_empty() {
            return Vec::new();
        }
        let service = Service::of(target, headers);
        let rules = rules.iter().filter(|rule| Some(rule.service) == service);
        rules
            .map(|rule| (rule.function.clone(), rule.how))
            .collect()
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        // Each statement under the lock leaves the rules consistent.
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rule {
    /// Its line in the file. None if the local AWS does not need it.
    fn line(&self) -> Option<String> {
        match (self.service, &self.function) {
            (Service::Lambda, None) => Some("lambda\n".to_owned()),
            (Service::Lambda, Some(function)) => Some(format!("lambda {function}\n")),
            (Service::DynamoDb, None) => Some("dynamodb\n".to_owned()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_aws(operation: &str) -> HeaderMap {
        let value = operation.parse().expect("a header");
        [(
            hyper::header::HeaderName::from_static("x-amz-target"),
            value,
        )]
        .into_iter()
        .collect()
    }

    #[test]
    fn an_outage_lasts_until_it_is_ended_and_affects_nothing_else() {
        let file = std::env::temp_dir().join(format!("away-{}", crate::random::digits(12)));
        let away = Away::in_file(file.clone());
        let (tables, secrets) = (
            to_aws("DynamoDB_20120810.GetItem"),
            to_aws("secretsmanager.GetSecretValue"),
        );
        assert!(away.rules_for(Target::Aws, &tables).is_empty());
        away.take(Service::DynamoDb, How::Throttled)
            .expect("a file");
        away.take_from("notify", Service::Shop, How::Closed)
            .expect("a file");
        assert_eq!(fs::read_to_string(&file).expect("told"), "dynamodb\n");
        assert_eq!(
            away.rules_for(Target::Aws, &tables),
            [(None, How::Throttled)]
        );
        assert!(away.rules_for(Target::Aws, &secrets).is_empty());
        let shop = away.rules_for(Target::Shop, &HeaderMap::new());
        assert_eq!(shop, [(Some("notify".to_owned()), How::Closed)]);
        assert!(away.rules_for(Target::Bank, &HeaderMap::new()).is_empty());
        away.bring_back().expect("a file");
        assert!(away.rules_for(Target::Aws, &tables).is_empty());
        assert_eq!(fs::read_to_string(&file).expect("told"), "");
        fs::remove_file(file).expect("gone");
    }
}
