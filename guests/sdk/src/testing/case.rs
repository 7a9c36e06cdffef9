//! A fixture: what the settings are, what is asked, and what the upstreams answer.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::http::{Error, ErrorKind, Request, Response};
use crate::workloads::{Failure, JobRun};

/// One recorded situation, as it stands in `fixtures/<case>.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What the case shows, in a sentence.
    pub about: String,
    /// The cycle's start.
    pub now: Timestamp,
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Failures that the host has already, by id.
    #[serde(default)]
    pub known_failures: Vec<String>,
    /// Job runs and failures that the host remembers of earlier cycles.
    #[serde(default)]
    pub earlier_runs: Vec<JobRun>,
    #[serde(default)]
    pub earlier_failures: Vec<Failure>,
    /// In any order; an exchange answers the first request that fits it and was not answered by an earlier one.
    pub exchanges: Vec<Exchange>,
}

/// A request that is expected, and its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    pub upstream: String,
    #[serde(default = "get")]
    pub method: String,
    pub path: String,
    /// Parameters that must be there with these values; others may be there too (the golden text shows them all).
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Parts that the JSON body must contain: every key of an object with a value that contains this one's.
    #[serde(default)]
    pub body: Option<Value>,
    /// Texts that the body must contain.
    #[serde(default)]
    pub body_contains: Vec<String>,
    /// How many requests it answers.
    #[serde(default = "once")]
    pub times: usize,
    /// The answer's status.
    #[serde(default = "ok")]
    pub status: u16,
    /// The answer's headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The answer's body as JSON. `{"$text": …}` in it stands for a text that holds this JSON: some upstreams answer so.
    #[serde(default, deserialize_with = "there")]
    pub json: Option<Value>,
    /// The answer's body as text, where it is not JSON.
    #[serde(default)]
    pub text: Option<String>,
    /// Instead of an answer: `timeout`, `unreachable` or `broken`.
    #[serde(default)]
    pub error: Option<String>,
}

/// Null is a body too.
fn there<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// JSON with every `{"$text": …}` as the text that it stands for.
fn with_texts(json: Value) -> Value {
    match json {
        Value::Object(mut object) if object.len() == 1 && object.contains_key("$text") => {
            Value::String(with_texts(object.remove("$text").unwrap_or_default()).to_string())
        }
        Value::Object(object) => object.into_iter().map(|(key, value)| (key, with_texts(value))).collect(),
        Value::Array(array) => array.into_iter().map(with_texts).collect(),
        plain => plain,
    }
}

fn get() -> String {
    "GET".into()
}

fn once() -> usize {
    1
}

fn ok() -> u16 {
    200
}

impl Exchange {
    /// The answer's headers, names in lower case, and its body.
    pub fn answer_parts(&self) -> (Vec<(String, String)>, Vec<u8>) {
        let mut headers = if self.json.is_some() { json_type() } else { Vec::new() };
        headers.extend(self.headers.iter().map(|(n, v)| (n.to_ascii_lowercase(), v.clone())));
        let json = self.json.clone().map(|json| with_texts(json).to_string());
        (headers, json.or_else(|| self.text.clone()).unwrap_or_default().into_bytes())
    }

    fn answer(&self) -> Result<Response, Error> {
        let kind = match self.error.as_deref() {
            None => {
                let (headers, body) = self.answer_parts();
                return Ok(Response { label: String::new(), status: self.status, headers, body });
            }
            Some("timeout") => ErrorKind::Timeout,
            Some("unreachable") => ErrorKind::Unreachable,
            Some(_) => ErrorKind::Broken,
        };
        Err(Error { kind, message: "as the fixture says".into() })
    }

    /// Whether this exchange is about such a request.
    pub fn fits(
        &self,
        upstream: &str,
        method: &str,
        path: &str,
        query: &[(String, String)],
        body: Option<&[u8]>,
    ) -> bool {
        self.upstream == upstream
            && self.method == method
            && self.path == path
            && self.query.iter().all(|(name, value)| query.iter().any(|(n, v)| n == name && v == value))
            && self.fits_body(body.unwrap_or_default())
    }

    fn fits_body(&self, body: &[u8]) -> bool {
        let json = self.body.as_ref().is_none_or(|expected| {
            serde_json::from_slice::<Value>(body).is_ok_and(|actual| contains(&actual, expected))
        });
        let text = String::from_utf8_lossy(body);
        json && self.body_contains.iter().all(|part| text.contains(part))
    }
}

fn json_type() -> Vec<(String, String)> {
    vec![("content-type".into(), "application/json".into())]
}

/// Whether `actual` holds at least what `expected` holds.
fn contains(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            expected.iter().all(|(key, value)| contains(actual.get(key).unwrap_or(&Value::Null), value))
        }
        _ => actual == expected,
    }
}

/// A case being played: which exchanges are still to come.
#[derive(Debug)]
pub(crate) struct Player {
    exchanges: Vec<Exchange>,
}

impl Player {
    pub(crate) fn new(case: &Case) -> Player {
        Player { exchanges: case.exchanges.clone() }
    }

    pub(crate) fn answer(&mut self, request: &Request) -> Result<Response, Error> {
        let fits = |e: &&mut Exchange| {
            e.times > 0
                && e.fits(&request.upstream, request.method, &request.path, &request.query, request.body.as_deref())
        };
        match self.exchanges.iter_mut().find(fits) {
            Some(exchange) => {
                exchange.times -= 1;
                exchange.answer()
            }
            None => Err(Error {
                kind: ErrorKind::Denied,
                message: "the fixture has no (further) answer for this request".into(),
            }),
        }
    }

    /// The exchanges that nobody asked for.
    pub(crate) fn left(&self) -> Vec<String> {
        let left = self.exchanges.iter().filter(|e| e.times > 0);
        left.map(|e| format!("{} {} {} {:?}", e.upstream, e.method, e.path, e.query)).collect()
    }
}
