//! What series were: from this cycle, else the state, else Datadog in one query for all that are left.
//!
//! Formats: Datadog's `POST /api/v2/query/scalar`, https://docs.datadoghq.com/api/latest/metrics/#query-scalar-data-across-multiple-products

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::DatadogPlan;
use crate::egress::{Ask, Bounds, Buffer, Endpoint, Meter, Network, Pacing};
use crate::limits::ByteSize;
use crate::model::{Point, Redactor, Secret};

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Cycle,
    Store,
    Datadog,
}

/// What is known of the series that were asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// In the order of the series.
    pub values: Vec<Option<(f64, Source)>>,
    /// Why a source could not be asked.
    pub problem: Option<String>,
}

/// The last values of a cycle.
#[derive(Debug)]
pub struct LastValues {
    now: Timestamp,
    /// Emitted in this cycle.
    cycle: Mutex<Vec<Point>>,
    /// What the state holds of series without tags.
    held: HashMap<String, (f64, Timestamp)>,
    datadog: Option<Query>,
}

/// Datadog's query interface.
struct Query {
    endpoint: Endpoint,
    app_key: Secret,
    /// The tags that every point of this host carries and that tell environments apart: `env:production`; or `*`.
    scope: String,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Query").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// A few hundred bytes for a dozen series.
const ANSWER_BYTES_MAX: ByteSize = ByteSize::kib(256);

impl LastValues {
    /// With what the state holds.
    pub fn new(now: Timestamp, held: HashMap<String, (f64, Timestamp)>) -> LastValues {
        LastValues { now, cycle: Mutex::default(), held, datadog: None }
    }

    /// And with Datadog, where the plan has an application key for it. `tags` are those on every point.
    #[must_use]
    pub fn with_datadog(
        mut self,
        plan: &DatadogPlan,
        tags: &[String],
        network: &Network,
        redactor: &Redactor,
    ) -> LastValues {
        self.datadog = Query::new(plan, tags, network, redactor);
        self
    }

    /// Takes the points of a run that is over, those without tags: a series with tags has no one value.
    pub fn remember(&self, points: &[Point]) {
        let plain = points.iter().filter(|point| point.tags.is_empty()).cloned();
        self.cycle.lock().unwrap_or_else(PoisonError::into_inner).extend(plain);
    }

    /// The points without tags of all runs that are over.
    pub fn of_cycle(&self) -> Vec<Point> {
        self.cycle.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last value of each series that is not older than `max_age`.
    pub async fn get(&self, series: &[String], max_age: Duration, deadline: Instant, meter: &Meter) -> Asked {
        let mut values: Vec<Option<(f64, Source)>> = series.iter().map(|name| self.near(name, max_age)).collect();
        let left: Vec<&str> =
            series.iter().zip(&values).filter(|(_, v)| v.is_none()).map(|(s, _)| s.as_str()).collect();
        let Some(query) = self.datadog.as_ref().filter(|_| !left.is_empty()) else {
            return Asked { values, problem: None };
        };
        let answered = match query.ask(&left, self.now, max_age, deadline, meter).await {
            Ok(answered) => answered,
            Err(problem) => return Asked { values, problem: Some(format!("datadog: {problem}")) },
        };
        let places = values.iter_mut().filter(|value| value.is_none());
        for (place, value) in places.zip(answered) {
            *place = value.map(|value| (value, Source::Datadog));
        }
        Asked { values, problem: None }
    }

    /// From this cycle, else from the state.
    fn near(&self, series: &str, max_age: Duration) -> Option<(f64, Source)> {
        let cycle = self.cycle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(point) = cycle.iter().find(|point| &*point.series == series) {
            return Some((point.value, Source::Cycle));
        }
        let (value, time) = *self.held.get(series)?;
        let oldest = self.now.checked_sub(max_age).unwrap_or(Timestamp::MIN);
        (time >= oldest).then_some((value, Source::Store))
    }
}

impl Query {
    fn new(plan: &DatadogPlan, tags: &[String], network: &Network, redactor: &Redactor) -> Option<Query> {
        let app_key = plan.app_key.clone()?;
        let upstream = plan.intake.upstream.clone();
        let endpoint = Endpoint::new(upstream, network.clone(), redactor.clone()).of_section("sink.datadog");
        let env = tags.iter().find(|tag| tag.starts_with("env:"));
        Some(Query { endpoint, app_key, scope: env.cloned().unwrap_or_else(|| "*".into()) })
    }

    /// The last value of each series that is not null, from `max_age` ago until now; none where there is none.
    async fn ask(
        &self,
        series: &[&str],
        now: Timestamp,
        max_age: Duration,
        deadline: Instant,
        meter: &Meter,
    ) -> Result<Vec<Option<f64>>, String> {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let ask = Ask {
            method: "POST".into(),
            path: "/api/v2/query/scalar".into(),
            headers: vec![
                header("content-type", "application/json"),
                header("accept", "application/json"),
                header("DD-APPLICATION-KEY", self.app_key.reveal()),
            ],
            body: Bytes::from(self.body(series, now, max_age).to_string()),
            repeatable: true,
            agent: "last-values".into(),
            ..Ask::default()
        };
        let bounds = Bounds {
            deadline,
            body_bytes_max: ANSWER_BYTES_MAX.0,
            header_bytes_max: ANSWER_BYTES_MAX.0,
            buffer: Buffer::new(ANSWER_BYTES_MAX),
        };
        let answer = self.endpoint.send(&ask, &bounds, meter, Pacing::PATIENT).await.map_err(|e| e.to_string())?;
        match answer.status {
            200 => read(&answer.body, series.len()),
            401 | 403 => Err(format!(
                "the query was answered {}: it needs an application key with timeseries_query (app_key under [sink.datadog])",
                answer.status
            )),
            status => Err(format!("the query was answered {status}")),
        }
    }

    fn body(&self, series: &[&str], now: Timestamp, max_age: Duration) -> Value {
        let to = now.as_millisecond().saturating_add(1);
        let from = to.saturating_sub(i64::try_from(max_age.as_millis()).unwrap_or(i64::MAX));
        let query = |(n, name): (usize, &&str)| {
            let query = format!("avg:{name}{{{}}}", self.scope);
            json!({"data_source": "metrics", "name": format!("q{n}"), "query": query, "aggregator": "last"})
        };
        let queries: Vec<Value> = series.iter().enumerate().map(query).collect();
        let formulas: Vec<Value> = (0..series.len()).map(|n| json!({"formula": format!("q{n}")})).collect();
        let attributes = json!({"from": from, "to": to, "queries": queries, "formulas": formulas});
        json!({"data": {"type": "scalar_request", "attributes": attributes}})
    }
}

#[derive(Deserialize)]
struct Answered {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    attributes: Attributes,
}

#[derive(Deserialize)]
struct Attributes {
    #[serde(default)]
    columns: Vec<Column>,
}

#[derive(Deserialize)]
struct Column {
    #[serde(default)]
    name: String,
    #[serde(default)]
    values: Vec<Value>,
}

/// The values by the queries' names. A series that Datadog does not have comes as null, as an empty list or as no column.
fn read(body: &[u8], series: usize) -> Result<Vec<Option<f64>>, String> {
    let answered: Answered =
        serde_json::from_slice(body).map_err(|e| format!("the answer is of another shape: {e}"))?;
    let columns = answered.data.attributes.columns;
    let value = |n: usize| {
        let column = columns.iter().find(|column| column.name == format!("q{n}"))?;
        column.values.last()?.as_f64().filter(|value| value.is_finite())
    };
    Ok((0..series).map(value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_series_is_none_however_datadog_says_so() {
        let body = json!({"data": {"type": "scalar_response", "attributes": {"columns": [
            {"type": "number", "name": "q0", "values": [1.5]},
            {"type": "number", "name": "q1", "values": [null]},
            {"type": "number", "name": "q2", "values": []},
            {"type": "number", "name": "q4", "values": [0]},
        ]}}});
        let values = read(body.to_string().as_bytes(), 5).unwrap();
        assert_eq!(values, [Some(1.5), None, None, None, Some(0.0)]);
        assert!(read(b"[]", 1).is_err());
    }
}
