//! The host's own series: how every run went.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::{Manifest, ManifestError, Outcome, Point, Reason, RunSummary, Streak, TagSet};

/// Their manifest, as a collector's.
///
/// # Errors
/// Never, unless this program was built with a broken one.
pub fn manifest() -> Result<Manifest, ManifestError> {
    Manifest::parse(include_str!("own_series.toml"))
}

/// The points of a cycle's runs. `last_good` is when each collector ended well before this cycle, which began at `now`; none
/// where the state could not be read. `streaks` are the runs before that came to nothing.
pub(super) fn points(
    runs: &[RunSummary],
    last_good: Option<&BTreeMap<String, Timestamp>>,
    streaks: &BTreeMap<String, Streak>,
    now: Timestamp,
) -> Vec<Point> {
    runs.iter().flat_map(|run| of_run(run, last_good, streaks, now)).collect()
}

fn of_run(
    run: &RunSummary,
    last_good: Option<&BTreeMap<String, Timestamp>>,
    streaks: &BTreeMap<String, Streak>,
    now: Timestamp,
) -> Vec<Point> {
    let tags =
        TagSet::new([format!("collector:{}", run.collector).as_str(), format!("outcome:{}", run.outcome).as_str()]);
    let point = |series: &str, value: f64| Point { series: series.into(), value, tags: tags.clone() };
    let is_well = run.outcome.is_well();
    let mut points = vec![
        point("collector.up", f64::from(u8::from(is_well))),
        point("collector.duration_seconds", run.duration_ms as f64 / 1000.0),
        point("collector.fuel_used", run.fuel_used as f64),
        point("collector.memory_peak_bytes", run.memory_peak_bytes as f64),
        point("collector.points", run.points as f64),
        point("collector.gaps", run.gaps.len() as f64),
        point("collector.requests", run.http.requests as f64),
    ];
    let is_paused = run.fault.as_ref().is_some_and(|fault| fault.reason == Reason::Paused);
    let before = streaks.get(run.collector.as_str()).map_or(0, |streak| streak.faults);
    let faults = if run.outcome == Outcome::Fault { before + u32::from(!is_paused) } else { 0 };
    points.push(point("collector.paused", f64::from(u8::from(is_paused))));
    points.push(point("collector.faults_in_a_row", f64::from(faults)));
    let before = last_good.and_then(|all| all.get(run.collector.as_str()));
    let good = if is_well { Some(&now) } else { before };
    if let Some(good) = good {
        let age = now.duration_since(*good).as_secs_f64().max(0.0);
        points.push(point("collector.last_good_age_seconds", age));
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Name, Outcome, Transfer};

    fn run(outcome: Outcome) -> RunSummary {
        RunSummary {
            outcome,
            attempts: 1,
            points: 3,
            duration_ms: 1500,
            fuel_used: 7,
            memory_peak_bytes: 8,
            http: Transfer { requests: 9, ..Transfer::default() },
            ..RunSummary::new(Name::new("github").unwrap(), None)
        }
    }

    fn value(points: &[Point], series: &str) -> Option<f64> {
        points.iter().find(|p| &*p.series == series).map(|p| p.value)
    }

    #[test]
    fn every_point_is_declared_and_carries_collector_and_outcome() {
        let manifest = manifest().unwrap();
        let now = "2025-10-24T12:00:00Z".parse().unwrap();
        let points = points(&[run(Outcome::Emitted)], None, &BTreeMap::new(), now);
        assert_eq!(points.len(), manifest.series.len());
        assert!(points.iter().all(|p| manifest.series.iter().any(|s| s.name == *p.series)));
        assert!(points.iter().all(|p| p.tags.to_string() == "collector:github,outcome:emitted"));
        assert_eq!(value(&points, "collector.duration_seconds"), Some(1.5));
    }

    #[test]
    fn the_age_grows_while_a_collector_faults_and_is_absent_where_it_never_was_well() {
        let now: Timestamp = "2025-10-24T12:00:00Z".parse().unwrap();
        let before = BTreeMap::from([("github".to_owned(), "2025-10-24T11:00:00Z".parse().unwrap())]);
        let streak = Streak { faults: 2, ..Streak::default() };
        let streaks = BTreeMap::from([("github".to_owned(), streak)]);
        let faulted = points(&[run(Outcome::Fault)], Some(&before), &streaks, now);
        assert_eq!(value(&faulted, "collector.faults_in_a_row"), Some(3.0));
        assert_eq!(value(&faulted, "collector.last_good_age_seconds"), Some(3600.0));
        assert_eq!(value(&faulted, "collector.up"), Some(0.0));
        let never = points(&[run(Outcome::Partial)], Some(&BTreeMap::new()), &streaks, now);
        assert_eq!(value(&never, "collector.last_good_age_seconds"), None);
        assert_eq!(value(&never, "collector.faults_in_a_row"), Some(0.0));
    }
}
