//! The demo's upstreams: each collector's fixture of an ordinary day, answered over HTTP.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use collector_sdk::testing::{Case, Exchange};
use jiff::Timestamp;

use super::ec2;
use super::server::{Answer, Request};
use crate::app::StandIns;
use crate::model::{Manifest, Name, SettingKind};

/// A collector's manifest and its fixture of an ordinary day.
macro_rules! fixture {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../../../../guests/", $name, "/collector.toml")),
            include_str!(concat!("../../../../guests/", $name, "/fixtures/ordinary.json")),
        )
    };
}

/// Every collector. All fixtures stand at the same instant.
const FIXTURES: [(&str, &str, &str); 8] = [
    fixture!("asana"),
    fixture!("batch"),
    fixture!("ec2"),
    fixture!("github"),
    fixture!("health_fom"),
    fixture!("kubernetes"),
    fixture!("skypilot"),
    fixture!("wandb"),
];

/// What is asked and what is answered.
pub(super) struct Upstreams {
    cases: BTreeMap<&'static str, (Manifest, Case)>,
    now: Timestamp,
    state: Mutex<State>,
}

/// What is still to come, and how many requests were answered.
struct State {
    /// By collector: two may ask the same upstream, each in its own fixture.
    exchanges: BTreeMap<&'static str, Vec<Exchange>>,
    answered: u64,
}

impl Upstreams {
    pub fn read() -> anyhow::Result<Upstreams> {
        let mut cases = BTreeMap::new();
        for (name, manifest, text) in FIXTURES {
            let case: Case = serde_json::from_str(text).with_context(|| format!("the fixture of {name}"))?;
            let manifest = Manifest::parse(manifest).with_context(|| format!("the manifest of {name}"))?;
            cases.insert(name, (manifest, case));
        }
        let exchanges = cases.iter().map(|(name, (_, case))| (*name, case.exchanges.clone())).collect();
        let now = cases.values().map(|(_, case)| case.now).next().unwrap_or_default();
        Ok(Upstreams { cases, now, state: Mutex::new(State { exchanges, answered: 0 }) })
    }

    /// What the fixtures say that is not asked over HTTP.
    pub fn stand_ins(&self) -> anyhow::Result<StandIns> {
        let (_, case) = self.cases.get("ec2").context("there is no fixture of ec2")?;
        let known = self.cases.values().flat_map(|(_, case)| case.known_failures.clone());
        Ok(StandIns { ec2: ec2::world(case)?, known_failures: known.collect() })
    }

    pub fn collectors(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.cases.keys().copied()
    }

    /// The upstreams that a collector asks over HTTP.
    pub fn upstreams_of(&self, collector: &str) -> impl Iterator<Item = &Name> {
        let manifest = self.cases.get(collector).map(|(manifest, _)| manifest);
        manifest.into_iter().flat_map(|manifest| &manifest.upstreams).map(|asked| &asked.name)
    }

    /// A collector's settings as lines of TOML values.
    pub fn settings(&self, collector: &str) -> BTreeMap<String, String> {
        let Some((manifest, case)) = self.cases.get(collector) else { return BTreeMap::new() };
        // In a fixture every value is a text; in a configuration it is of the setting's kind.
        let is_text = |key: &str| manifest.settings.get(key).is_some_and(|setting| setting.kind == SettingKind::Text);
        let value = |key: &str, text: &str| if is_text(key) { format!("{text:?}") } else { text.to_owned() };
        case.settings.iter().map(|(key, text)| (key.clone(), value(key, text))).collect()
    }

    /// When the fixtures were recorded.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How many requests were answered.
    pub fn answered(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).answered
    }

    /// Answers `/<upstream>/<path>` as the fixture of the collector that asks does.
    pub fn answer(&self, request: Request) -> Answer {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let path = request.path.trim_start_matches('/');
        let (upstream, rest) = path.split_once('/').unwrap_or((path, ""));
        let path = format!("/{rest}");
        let fits = |exchange: &&mut Exchange| {
            exchange.times > 0 && exchange.fits(upstream, &request.method, &path, &request.query, Some(&request.body))
        };
        let exchanges = collector_of(&request).and_then(|name| state.exchanges.get_mut(name));
        match exchanges.and_then(|exchanges| exchanges.iter_mut().find(fits)) {
            Some(exchange) => {
                exchange.times -= 1;
                let (headers, body) = exchange.answer_parts();
                let answer = Answer { status: exchange.status, headers, body };
                state.answered += 1;
                answer
            }
            None => Answer {
                status: 404,
                headers: Vec::new(),
                body: format!("the fixture has no answer for {} {path}", request.method).into(),
            },
        }
    }
}

/// Who asks: `collector-host/0.1.0 (github)`.
fn collector_of(request: &Request) -> Option<&str> {
    let agent = request.headers.get(http::header::USER_AGENT)?.to_str().ok()?;
    agent.split_once('(')?.1.strip_suffix(')')
}
