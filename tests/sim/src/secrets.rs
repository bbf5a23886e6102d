//! Secrets Manager: each secret's current version and the one before it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::time::Time;

/// Secrets Manager.
#[derive(Debug, Clone)]
pub(crate) struct Secrets {
    time: Time,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    secrets: BTreeMap<String, Secret>,
    versions: u64,
}

#[derive(Debug)]
struct Secret {
    current: Version,
    previous: Option<Version>,
}

#[derive(Debug)]
struct Version {
    id: String,
    text: String,
    put_at: Timestamp,
}

impl Secrets {
    /// Without any secret.
    pub(crate) fn new(time: Time) -> Self {
        Self {
            time,
            state: Arc::default(),
        }
    }

    /// Puts a secret's text. What was current is the previous version from now on, and what was previous is gone.
    pub(crate) fn put(&self, id: &str, text: &str) {
        let mut state = self.state();
        state.versions += 1;
        let current = Version {
            id: format!("00000000-0000-4000-8000-{:012x}", state.versions),
            text: text.to_owned(),
            put_at: self.time.now(),
        };
        let previous = state.secrets.remove(id).map(|before| before.current);
        let secret = Secret { current, previous };
        state.secrets.insert(id.to_owned(), secret);
    }

    /// Answers a request: status and body.
    pub(crate) fn call(&self, operation: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let answer = match operation {
            "GetSecretValue" => self.value(body),
            _ => Err((
                "InvalidRequestException",
                format!("{operation} is not simulated"),
            )),
        };
        match answer {
            Ok(answer) => (200, answer.to_string().into_bytes()),
            Err((kind, message)) => {
                let error = json!({ "__type": kind, "Message": message });
                (400, error.to_string().into_bytes())
            }
        }
    }

    fn value(&self, body: &[u8]) -> Result<Value, (&'static str, String)> {
        let request: Value = serde_json::from_slice(body)
            .map_err(|error| ("SerializationException", error.to_string()))?;
        let id = request["SecretId"].as_str().ok_or_else(|| {
            (
                "InvalidParameterException",
                "SecretId is missing".to_owned(),
            )
        })?;
        let state = self.state();
        let not_found = |what: String| {
            let message = format!("Secrets Manager can't find the specified secret{what}.");
            ("ResourceNotFoundException", message)
        };
        let secret = state
            .secrets
            .get(id)
            .ok_or_else(|| not_found(String::new()))?;
        let mut versions = [
            ("AWSCURRENT", Some(&secret.current)),
            ("AWSPREVIOUS", secret.previous.as_ref()),
        ]
        .into_iter();
        let stage = request["VersionStage"].as_str();
        let version_id = request["VersionId"].as_str();
        let wanted = versions.find_map(|(label, version)| {
            let version = version?;
            let fits = match (stage, version_id) {
                (None, None) => label == "AWSCURRENT",
                _ => {
                    stage.is_none_or(|stage| stage == label)
                        && version_id.is_none_or(|id| id == version.id)
                }
            };
            fits.then_some((label, version))
        });
        let (label, version) = wanted.ok_or_else(|| {
            not_found(match (stage, version_id) {
                (Some(stage), _) => format!(" value for staging label: {stage}"),
                (None, id) => format!(" value for VersionId: {}", id.unwrap_or_default()),
            })
        })?;
        let name = id.rsplit(':').next().unwrap_or(id);
        Ok(json!({
            "ARN": id,
            "CreatedDate": version.put_at.as_millisecond() as f64 / 1000.0,
            "Name": name,
            "SecretString": version.text,
            "VersionId": version.id,
            "VersionStages": [label],
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn get(secrets: &Secrets, stage: &str) -> (u16, Value) {
        let body =
            json!({"SecretId": "arn:aws:secretsmanager:r:1:secret:key", "VersionStage": stage});
        let (status, answer) = secrets.call("GetSecretValue", body.to_string().as_bytes());
        (status, serde_json::from_slice(&answer).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_rotation_keeps_the_version_before() {
        let start: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let secrets = Secrets::new(Time::new(start));
        let id = "arn:aws:secretsmanager:r:1:secret:key";
        assert_eq!(
            get(&secrets, "AWSCURRENT").1["__type"],
            "ResourceNotFoundException"
        );
        secrets.put(id, "one");
        let (status, current) = get(&secrets, "AWSCURRENT");
        assert_eq!(
            (status, current["SecretString"].as_str()),
            (200, Some("one"))
        );
        assert_eq!(current["CreatedDate"], 1_767_323_045.678);
        assert_eq!(get(&secrets, "AWSPREVIOUS").0, 400);
        tokio::time::sleep(Duration::from_secs(60)).await;
        secrets.put(id, "two");
        assert_eq!(get(&secrets, "AWSCURRENT").1["SecretString"], "two");
        let (_, previous) = get(&secrets, "AWSPREVIOUS");
        assert_eq!(previous["SecretString"], "one");
        assert_eq!(previous["CreatedDate"], current["CreatedDate"]);
        assert_eq!(previous["VersionStages"], json!(["AWSPREVIOUS"]));
        assert_ne!(
            previous["VersionId"],
            get(&secrets, "AWSCURRENT").1["VersionId"]
        );
    }
}
