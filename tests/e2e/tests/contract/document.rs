//! docs/openapi.yaml as the list of answers that it names.

use std::fmt;
use std::fs;

use payment3_harness::workspace;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::schema;

/// The keys of a path that are operations.
const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];
/// Bodies of this media type are compared as JSON; all others as text.
const JSON: &str = "application/json";

/// docs/openapi.yaml.
pub(crate) struct Document(Value);

/// An answer as documented.
pub(crate) struct Documented<'a> {
    /// Method and path, as in `GET /checkstatus/{orderId}`.
    pub(crate) operation: String,
    /// The status.
    pub(crate) status: u16,
    /// The error's code; none for a success.
    pub(crate) code: Option<String>,
    /// The body's media type.
    pub(crate) media: String,
    response: &'a Value,
    document: &'a Document,
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Received {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Display for Documented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.operation, self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        write!(f, " as {}", self.media)
    }
}

impl Documented<'_> {
    /// The first way in which the received answer is not as documented.
    pub(crate) fn differs_from(&self, received: &Received) -> Option<String> {
        if received.status != self.status {
            return Some(format!("the status is {}", received.status));
        }
        let media = received
            .header("content-type")
            .and_then(|value| value.split(';').next())
            .unwrap_or_default();
        if media != self.media {
            return Some(format!("the content type is {media:?}"));
        }
        self.headers_differ_from(received)
            .or_else(|| self.body_differs_from(&received.body))
    }

    fn headers_differ_from(&self, received: &Received) -> Option<String> {
        let headers = self.response["headers"].as_object()?;
        headers.iter().find_map(|(name, header)| {
            let header = self.document.resolve(header);
            let Some(value) = received.header(name) else {
                return (header["required"] == true).then(|| format!("no header {name}"));
            };
            schema::difference(
                &self.document.0,
                &header["schema"],
                &Value::from(value),
                name,
            )
        })
    }

    fn body_differs_from(&self, body: &str) -> Option<String> {
        let value = if self.media == JSON {
            match serde_json::from_str(body) {
                Ok(value) => value,
                Err(error) => return Some(format!("the body is no JSON: {error}")),
            }
        } else {
            Value::from(body)
        };
        let schema = &self.response["content"][&self.media]["schema"];
        if let Some(difference) = schema::difference(&self.document.0, schema, &value, "the body") {
            return Some(difference);
        }
        let code = value.get("code").and_then(Value::as_str);
        (self.media == JSON && code != self.code.as_deref())
            .then(|| format!("the code is {code:?}"))
    }
}

impl Document {
    /// Reads it.
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string(workspace::api_document()).expect("the document is there");
        Self(serde_saphyr::from_str(&text).expect("the document is YAML"))
    }

    /// Every answer: each status of each operation, with each of its codes, in each of its media types.
    pub(crate) fn answers(&self) -> Vec<Documented<'_>> {
        let mut answers = Vec::new();
        for (path, item) in entries(&self.0["paths"]) {
            for method in METHODS {
                let Some(operation) = item.get(method) else {
                    continue;
                };
                let name = format!("{} {path}", method.to_uppercase());
                for (status, response) in entries(&operation["responses"]) {
                    answers.extend(self.answers_of(&name, status, self.resolve(response)));
                }
            }
        }
        assert!(!answers.is_empty(), "the document names no answers");
        answers
    }

    fn answers_of<'a>(
        &'a self,
        operation: &str,
        status: &str,
        response: &'a Value,
    ) -> Vec<Documented<'a>> {
        let contents = entries(&response["content"]);
        assert!(
            !contents.is_empty(),
            "{operation} {status}: the document names no content"
        );
        // A page does not show its code; the JSON of the same answer does.
        let codes = self.codes(&response["content"][JSON]["schema"]);
        contents
            .iter()
            .flat_map(|(media, _)| codes.iter().map(move |code| (media, code)))
            .map(|(media, code)| Documented {
                operation: operation.to_owned(),
                status: status.parse().expect("a status is a number"),
                code: code.clone(),
                media: (*media).to_owned(),
                response,
                document: self,
            })
            .collect()
    }

    /// The codes that an error's schema allows; one `None` for a success.
    fn codes(&self, schema: &Value) -> Vec<Option<String>> {
        let schema = self.resolve(schema);
        let parts = schema["allOf"].as_array().into_iter().flatten();
        let codes = std::iter::once(schema)
            .chain(parts)
            .find_map(|part| part.pointer("/properties/code/enum")?.as_array());
        match codes {
            Some(codes) => codes
                .iter()
                .map(|code| code.as_str().map(str::to_owned))
                .collect(),
            None => vec![None],
        }
    }

    /// What an order's status says: the documented words, and the documented fields.
    pub(crate) fn status(&self) -> (Vec<&str>, Vec<&str>) {
        let fields = &self.0["components"]["schemas"]["Status"]["properties"];
        let words = fields["status"]["enum"].as_array().expect("the words");
        let words = words.iter().map(|word| word.as_str().expect("a word"));
        let fields = entries(fields).into_iter().map(|(name, _)| name);
        (words.collect(), fields.collect())
    }

    fn resolve<'a>(&'a self, node: &'a Value) -> &'a Value {
        schema::resolve(&self.0, node)
    }
}

fn entries(node: &Value) -> Vec<(&str, &Value)> {
    let object = node.as_object().expect("the document has an object here");
    object
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect()
}
