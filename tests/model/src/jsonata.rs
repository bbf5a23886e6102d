//! Evaluates the definition's expressions with the reference implementation, in a Node process.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::system::NOW;

/// How long after [`Clock::Now`] the clock shows [`Clock::Later`], in days. `evaluate.js` has the same number.
const LATER: i64 = 60;

/// The evaluator. It fills in each template only once for the same variables.
pub struct Jsonata {
    node: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    known: HashMap<String, Result<Value, String>>,
}

/// What `$now()` and `$millis()` say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Clock {
    /// The time of the model.
    Now,
    /// Long after all times that a machine waits for.
    Later,
}

impl Clock {
    /// What it shows, in milliseconds since 1970.
    #[must_use]
    pub fn millis(self) -> i64 {
        match self {
            Self::Now => NOW * 1000,
            Self::Later => (NOW + LATER * 24 * 3600) * 1000,
        }
    }
}

/// A template that was filled in.
#[derive(Debug, Clone)]
pub struct Filled {
    /// What the clock showed.
    pub clock: Clock,
    /// The template.
    pub template: Value,
    /// The variables, `states` among them.
    pub variables: Map<String, Value>,
    /// The value, or why there is none.
    pub value: Result<Value, String>,
}

#[derive(Deserialize)]
struct Asked {
    clock: Clock,
    template: Value,
    variables: Map<String, Value>,
}

#[derive(Serialize)]
struct Question<'a> {
    clock: Clock,
    template: &'a Value,
    variables: &'a Map<String, Value>,
}

fn has_expression(template: &Value) -> bool {
    match template {
        Value::String(text) => text.starts_with("{%"),
        Value::Array(items) => items.iter().any(has_expression),
        Value::Object(members) => members.values().any(has_expression),
        _ => false,
    }
}

impl Jsonata {
    /// Starts Node.
    ///
    /// # Errors
    /// Node or the JSONata package is missing.
    pub fn start() -> Result<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("jsonata");
        ensure!(
            directory.join("node_modules/jsonata").is_dir(),
            "the JSONata package is not installed: run `cargo local test model`, which installs it"
        );
        let mut node = Command::new("node")
            .arg("evaluate.js")
            .arg((NOW * 1000).to_string())
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run `node`: install Node.js 20 or newer")?;
        Ok(Self {
            input: node.stdin.take().context("Node's input")?,
            output: BufReader::new(node.stdout.take().context("Node's output")?),
            node,
            known: HashMap::new(),
        })
    }

    /// Fills in a template: replaces each of its `{% … %}` texts by the value of the expression. The inner error
    /// names an expression that cannot be evaluated or has no value, and the reason.
    ///
    /// # Errors
    /// Node has died.
    pub fn fill(
        &mut self,
        template: &Value,
        variables: &Map<String, Value>,
        clock: Clock,
    ) -> Result<Result<Value, String>> {
        if !has_expression(template) {
            return Ok(Ok(template.clone()));
        }
        // Most templates do not look at the clock, and have one value at all times.
        let looks = template.to_string();
        let looks = looks.contains("$millis(") || looks.contains("$now(");
        let question = Question {
            clock: if looks { clock } else { Clock::Now },
            template,
            variables,
        };
        let question = serde_json::to_string(&question)?;
        if let Some(answer) = self.known.get(&question) {
            return Ok(answer.clone());
        }
        writeln!(self.input, "{question}").context("Node has died")?;
        let mut line = String::new();
        self.output.read_line(&mut line).context("Node has died")?;
        let mut answer: Value = serde_json::from_str(&line).context("Node has died")?;
        let answer = match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["value"].take()),
        };
        self.known.insert(question, answer.clone());
        Ok(answer)
    }

    /// All that was filled in until now, always in the same order.
    ///
    /// # Errors
    /// Never: it reads what it has written.
    pub fn filled(&self) -> Result<Vec<Filled>> {
        let mut known: Vec<_> = self.known.iter().collect();
        known.sort_by_key(|(question, _)| *question);
        let filled = known.into_iter().map(|(question, value)| {
            let Asked {
                clock,
                template,
                variables,
            } = serde_json::from_str(question)?;
            Ok(Filled {
                clock,
                template,
                variables,
                value: value.clone(),
            })
        });
        filled.collect()
    }
}

impl Drop for Jsonata {
    fn drop(&mut self) {
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    #[ignore = "needs the JSONata package: cargo local test model"]
    fn templates_are_filled_in_as_step_functions_does() {
        let mut jsonata = Jsonata::start().unwrap();
        let variables = json!({"states": {"input": {"id": "x", "none": null}}, "n": 4});
        let variables = variables.as_object().unwrap();
        let mut fill = |template: Value| jsonata.fill(&template, variables, Clock::Now).unwrap();
        let template = json!({"a": ["{% $states.input.id %}", "{%$n + 1%}"], "b": "$n", "c": "{% $states.input.none %}"});
        let filled = json!({"a": ["x", 5], "b": "$n", "c": null});
        assert_eq!(fill(template), Ok(filled));
        assert_eq!(fill(json!("{% $millis() %}")), Ok((NOW * 1000).into()));
        let later = json!("{% $millis() %}");
        let later = jsonata.fill(&later, variables, Clock::Later).unwrap();
        let days = (later.unwrap().as_i64().unwrap() / 1000 - NOW) / 86_400;
        assert!(days > 14, "{days}");
        let mut fill = |template: Value| jsonata.fill(&template, variables, Clock::Now).unwrap();
        for (template, problem) in [
            ("{% $states.input.gone %}", "it gives nothing"),
            ("{% $gone %}", "it gives nothing"),
            ("{% $n + 'x' %}", "cannot be evaluated"),
            ("{% $n + %}", "cannot be evaluated"),
            ("{% $eval('1') %}", "$eval is not there in Step Functions"),
            ("{% $string %}", "it gives a function"),
        ] {
            let error = fill(template.into()).unwrap_err();
            assert!(error.contains(problem), "{template}: {error}");
        }
    }
}
