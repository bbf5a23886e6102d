//! Services that are away for a while: from every function, or from one.
//!
//! The proxy turns functions away. What the state machine itself calls does not pass there: it is turned away by the local AWS,
//! which reads what is away from a file.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::header::HeaderMap;

use crate::call::{Service, Target};

/// How it is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Nobody answers: the connection is closed.
    Closed,
    /// It answers that there are too many requests.
    Throttled,
    /// It answers as ever, after so long.
    Slow(Duration),
    /// The connection stays open, and nobody answers.
    Silent,
}

/// What is away now. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Away {
    rules: Arc<Mutex<Vec<Rule>>>,
    /// Where the local AWS reads it.
    file: Option<PathBuf>,
}

#[derive(Debug, Clone)]
struct Rule {
    service: Service,
    how: How,
    /// The one function: which is away, or from which. All where there is none.
    function: Option<String>,
}

impl Away {
    /// Nothing is away. The local AWS reads `file`.
    pub fn in_file(file: PathBuf) -> Self {
        Self {
            rules: Arc::default(),
            file: Some(file),
        }
    }

    /// Takes a service away from every function, and from the state machine.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn take(&self, service: Service, how: How) -> Result<()> {
        self.add(service, how, None)
    }

    /// Takes a service away from one function (`pay-order`); or that function from the state machine, if the service is
    /// [`Service::Lambda`].
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn take_from(&self, function: &str, service: Service, how: How) -> Result<()> {
        self.add(service, how, Some(function.to_owned()))
    }

    /// Brings everything back.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn bring_back(&self) -> Result<()> {
        self.rules().clear();
        self.tell()
    }

    fn add(&self, service: Service, how: How, function: Option<String>) -> Result<()> {
        self.rules().push(Rule {
            service,
            how,
            function,
        });
        self.tell()
    }

    /// Tells the local AWS, in one step.
    fn tell(&self) -> Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let lines: String = self.rules().iter().filter_map(Rule::line).collect();
        let new = file.with_extension("new");
        fs::write(&new, lines)
            .and_then(|()| fs::rename(&new, file))
            .context("the local AWS cannot be told what is away")
    }

    /// The rules for a call, by the function that they are for.
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
        // Whole after every statement under the lock.
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rule {
    /// What the local AWS has to know of it.
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
    fn what_is_away_is_away_until_it_is_brought_back_and_nothing_else_is() {
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
