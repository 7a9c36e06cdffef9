//! The world that a collector sees when it runs natively: a clock, settings, and something that answers.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

use super::Outcome;
use super::case::{Case, Player};
use crate::http::{Error, Request, Response};
use crate::log::Level;
use crate::workloads::{Failure, JobRun};
use crate::{Collector, Gap, Point};

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

type Answering = Box<dyn FnMut(&Request) -> Result<Response, Error>>;

/// What a collector meets when it runs natively. It holds points to the same rules about series and values as the host.
pub struct World {
    now: Timestamp,
    settings: BTreeMap<String, String>,
    /// Name, and the setting without which the series does not exist.
    series: BTreeMap<String, Option<String>>,
    upstreams: Answering,
    player: Option<Player>,
    /// Failures that the host has already.
    known: BTreeSet<String>,
    /// What the host remembers of earlier cycles.
    earlier_runs: Vec<JobRun>,
    earlier_failures: Vec<Failure>,
    outcome: Outcome,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("now", &self.now).field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

impl World {
    /// A world for the collector of this `collector.toml` (its text), in which nothing answers yet.
    ///
    /// # Panics
    /// Where the text is not a manifest: this is for tests.
    pub fn new(manifest: &str, now: Timestamp) -> World {
        let manifest: toml::Table = manifest.parse().unwrap_or_else(|e| panic!("collector.toml is not TOML: {e}"));
        let mut settings = BTreeMap::new();
        for (key, setting) in manifest.get("settings").and_then(toml::Value::as_table).into_iter().flatten() {
            match setting.get("default") {
                Some(toml::Value::String(text)) => drop(settings.insert(key.clone(), text.clone())),
                Some(other) => drop(settings.insert(key.clone(), other.to_string())),
                None => {}
            }
        }
        let nobody = |_: &Request| panic!("nothing answers in this world");
        let series = read_series(&manifest);
        World {
            now,
            settings,
            series,
            upstreams: Box::new(nobody),
            player: None,
            known: BTreeSet::new(),
            earlier_runs: Vec::new(),
            earlier_failures: Vec::new(),
            outcome: Outcome::default(),
        }
    }

    /// The world of a fixture.
    ///
    /// # Panics
    /// Where the text is not a manifest.
    pub fn of_case(manifest: &str, case: &Case) -> World {
        let mut world = World::new(manifest, case.now);
        world.settings.extend(case.settings.clone());
        world.player = Some(Player::new(case));
        world.known.extend(case.known_failures.clone());
        world.remembering(case.earlier_runs.clone(), case.earlier_failures.clone())
    }

    /// Sets a setting.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> World {
        self.settings.insert(key.into(), value.into());
        self
    }

    /// Lets the host have these failures already.
    #[must_use]
    pub fn knowing(mut self, ids: impl IntoIterator<Item = String>) -> World {
        self.known.extend(ids);
        self
    }

    /// Lets the host remember these runs and failures of earlier cycles.
    #[must_use]
    pub fn remembering(mut self, runs: Vec<JobRun>, failures: Vec<Failure>) -> World {
        self.earlier_runs.extend(runs);
        self.earlier_failures.extend(failures);
        self
    }

    /// Lets the upstreams answer.
    #[must_use]
    pub fn answering(mut self, upstreams: impl FnMut(&Request) -> Result<Response, Error> + 'static) -> World {
        self.upstreams = Box::new(upstreams);
        self
    }

    pub(crate) fn answer(&mut self, request: Request) -> Result<Response, Error> {
        let answer = match &mut self.player {
            Some(player) => player.answer(&request),
            None => (self.upstreams)(&request),
        };
        self.outcome.requests.push(request);
        answer
    }

    pub(crate) fn emit(&mut self, points: Vec<Point>) -> Result<(), String> {
        let mut refused = Ok(());
        for point in points {
            let taken = self.outcome.points.iter().any(|p| p.series == point.series && p.tags == point.tags);
            let why = match &point {
                p if !self.declares(&p.series) => "the manifest does not declare it",
                p if !p.value.is_finite() => "its value is not finite",
                _ if taken => "it was emitted before with the same tags",
                _ => {
                    self.outcome.points.push(point);
                    continue;
                }
            };
            refused = refused.and(Err(format!("series {} was refused: {why}", point.series)));
        }
        refused
    }

    pub(crate) fn gap(&mut self, gap: Gap) -> Result<(), String> {
        if !self.declares(&gap.series) {
            return Err(format!("gap {} was refused: the manifest does not declare the series", gap.series));
        }
        self.outcome.gaps.push(gap);
        Ok(())
    }

    pub(crate) fn known_failures(&self, ids: &[String]) -> Vec<bool> {
        ids.iter().map(|id| self.known.contains(id)).collect()
    }

    pub(crate) fn runs_since(&self, ended: Timestamp) -> Vec<JobRun> {
        self.earlier_runs.iter().filter(|run| run.ended >= ended).cloned().collect()
    }

    pub(crate) fn failures_since(&self, at: Timestamp) -> Vec<Failure> {
        self.earlier_failures.iter().filter(|failure| failure.at >= at).cloned().collect()
    }

    pub(crate) fn report_runs(&mut self, runs: Vec<JobRun>) {
        self.outcome.runs.extend(runs);
    }

    pub(crate) fn report_failures(&mut self, failures: Vec<Failure>) {
        self.outcome.failures.extend(failures);
    }

    pub(crate) fn setting(&self, key: &str) -> Option<String> {
        self.settings.get(key).cloned()
    }

    pub(crate) fn log(&mut self, level: Level, message: &str) {
        self.outcome.log.push((level, message.into()));
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    fn declares(&self, series: &str) -> bool {
        let is_set = |key: &String| self.settings.get(key).is_some_and(|value| !value.is_empty());
        self.series.get(series).is_some_and(|only_with| only_with.as_ref().is_none_or(is_set))
    }

    fn declared(&self) -> BTreeSet<String> {
        self.series.keys().filter(|name| self.declares(name)).cloned().collect()
    }
}

fn read_series(manifest: &toml::Table) -> BTreeMap<String, Option<String>> {
    let series = manifest.get("series").and_then(toml::Value::as_array).into_iter().flatten();
    let text = |series: &toml::Value, key: &str| series.get(key)?.as_str().map(str::to_owned);
    series.filter_map(|s| Some((text(s, "name")?, text(s, "only_with")))).collect()
}

pub(crate) fn with_world<T>(f: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(|world| match world {
        Some(world) => f(world),
        None => panic!("outside a component a collector runs inside collector_sdk::testing::run"),
    })
}

/// Runs a collector once in a world, to its end.
///
/// # Panics
/// Where the collector waits for anything but its requests, as it then would for ever.
pub fn run<C: Collector>(world: World) -> Outcome {
    WORLD.set(Some(world));
    let fault = futures::executor::block_on(C::collect()).err();
    let Some(world) = WORLD.take() else { panic!("the world is gone") };
    let declared = world.declared();
    let left = world.player.map(|p| p.left()).unwrap_or_default();
    Outcome { fault, left, declared, ..world.outcome }
}
