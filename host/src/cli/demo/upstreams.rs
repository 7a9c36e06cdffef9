//! The demo's upstreams: each collector's fixture of an ordinary day, answered over HTTP.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use collector_sdk::testing::{Case, Exchange};
use jiff::Timestamp;

use super::server::{Answer, Request};

/// Collectors and their fixtures. All stand at the same instant.
const FIXTURES: [(&str, &str); 3] = [
    ("github", include_str!("../../../../guests/github/fixtures/ordinary.json")),
    ("skypilot", include_str!("../../../../guests/skypilot/fixtures/ordinary.json")),
    ("wandb", include_str!("../../../../guests/wandb/fixtures/ordinary.json")),
];

/// What is asked and what is answered.
pub(super) struct Upstreams {
    cases: BTreeMap<&'static str, Case>,
    now: Timestamp,
    /// The exchanges that are still to come, and how many were answered.
    state: Mutex<(Vec<Exchange>, u64)>,
}

impl Upstreams {
    pub fn read() -> anyhow::Result<Upstreams> {
        let mut cases = BTreeMap::new();
        for (name, text) in FIXTURES {
            let case: Case = serde_json::from_str(text).with_context(|| format!("the fixture of {name}"))?;
            cases.insert(name, case);
        }
        let exchanges = cases.values().flat_map(|case| case.exchanges.clone()).collect();
        let now = cases.values().map(|case| case.now).next().unwrap_or_default();
        Ok(Upstreams { cases, now, state: Mutex::new((exchanges, 0)) })
    }

    pub fn collectors(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.cases.keys().copied()
    }

    /// A collector's settings as lines of TOML values.
    pub fn settings(&self, collector: &str) -> BTreeMap<String, String> {
        // In a fixture every value is a text; in a configuration a number is one.
        let value = |text: &String| match text.parse::<i64>() {
            Ok(_) => text.clone(),
            Err(_) => format!("{text:?}"),
        };
        let settings = self.cases.get(collector).map(|case| &case.settings);
        settings.into_iter().flatten().map(|(key, text)| (key.clone(), value(text))).collect()
    }

    /// When the fixtures were recorded.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How many requests were answered.
    pub fn answered(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Answers `/<upstream>/<path>` as the fixture does.
    pub fn answer(&self, request: Request) -> Answer {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (exchanges, answered) = &mut *state;
        let path = request.path.trim_start_matches('/');
        let (upstream, rest) = path.split_once('/').unwrap_or((path, ""));
        let path = format!("/{rest}");
        let fits = |exchange: &&mut Exchange| {
            exchange.times > 0 && exchange.fits(upstream, &request.method, &path, &request.query, Some(&request.body))
        };
        match exchanges.iter_mut().find(fits) {
            Some(exchange) => {
                exchange.times -= 1;
                *answered += 1;
                let (headers, body) = exchange.answer_parts();
                Answer { status: exchange.status, headers, body }
            }
            None => Answer {
                status: 404,
                headers: Vec::new(),
                body: format!("the fixture has no answer for {} {path}", request.method).into(),
            },
        }
    }
}
