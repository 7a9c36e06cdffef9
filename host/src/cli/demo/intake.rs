//! The demo's Datadog intake: checks what arrives as Datadog would, and counts it.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use flate2::read::GzDecoder;
use jiff::Timestamp;
use serde_json::Value;

use super::server::{Answer, Request};

/// Datadog's limits for `POST /api/v2/series`.
const SENT_BYTES_MAX: usize = 512_000;
const RAW_BYTES_MAX: usize = 5_242_880;

/// Points may be so old at most.
const AGE_SECONDS_MAX: i64 = 3600;

pub(super) struct Intake {
    now: Timestamp,
    token: &'static str,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Series, tags and time of every point.
    points: BTreeSet<String>,
    /// The first thing that was not as it should be.
    wrong: Option<String>,
}

impl Intake {
    pub fn new(now: Timestamp, token: &'static str) -> Intake {
        Intake { now, token, seen: Mutex::default() }
    }

    /// How many distinct points arrived.
    pub fn points(&self) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).points.len() as u64
    }

    /// What was not as it should be.
    pub fn wrong(&self) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).wrong.clone()
    }

    pub fn answer(&self, request: Request) -> Answer {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (status, body) = match self.check(&request) {
            Ok(points) => {
                for point in points {
                    if !seen.points.insert(point.clone()) {
                        seen.wrong.get_or_insert(format!("{point} came twice"));
                    }
                }
                (202, serde_json::json!({ "errors": [] }))
            }
            Err((status, what)) => {
                seen.wrong.get_or_insert(what.clone());
                (status, serde_json::json!({ "errors": [what] }))
            }
        };
        Answer {
            status,
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.to_string().into(),
        }
    }

    /// The points of a payload, each as a text of its own; else the status and what is wrong.
    fn check(&self, request: &Request) -> Result<Vec<String>, (u16, String)> {
        let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if (request.method.as_str(), request.path.as_str()) != ("POST", "/api/v2/series") {
            return Err((404, format!("{} {} is not the intake", request.method, request.path)));
        }
        if header("dd-api-key") != self.token {
            return Err((403, "the key is not the demo's".into()));
        }
        if header("content-encoding") != "gzip" || request.body.len() > SENT_BYTES_MAX {
            return Err((413, format!("{} bytes, encoded as {:?}", request.body.len(), header("content-encoding"))));
        }
        let mut raw = Vec::new();
        let unpacked = GzDecoder::new(&request.body[..]).take(RAW_BYTES_MAX as u64 + 1).read_to_end(&mut raw);
        if unpacked.is_err() || raw.len() > RAW_BYTES_MAX {
            return Err((413, "it cannot be unpacked, or is too large then".into()));
        }
        let payload: Value = serde_json::from_slice(&raw).map_err(|e| (400, format!("no JSON: {e}")))?;
        let series = payload["series"].as_array().ok_or((400, "there is no series".to_owned()))?;
        series.iter().map(|series| self.check_series(series).map_err(|what| (400, what))).collect()
    }

    fn check_series(&self, series: &Value) -> Result<String, String> {
        let metric = series["metric"].as_str().filter(|name| !name.is_empty() && name.len() < 200);
        let metric = metric.ok_or_else(|| format!("no metric in {series}"))?;
        let point = &series["points"][0];
        let time = point["timestamp"].as_i64().ok_or_else(|| format!("{metric} has no time"))?;
        point["value"].as_f64().ok_or_else(|| format!("{metric} has no value"))?;
        if self.now.as_second() - time > AGE_SECONDS_MAX {
            return Err(format!("{metric} is older than an hour"));
        }
        let tags = series["tags"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !tags.iter().all(|tag| tag.as_str().is_some_and(|tag| tag.contains(':') && tag.len() <= 200)) {
            return Err(format!("{metric} has a tag that is none"));
        }
        Ok(format!("{metric} {} at {time}", series["tags"]))
    }
}
