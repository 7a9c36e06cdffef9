//! The JSON report, schema 1. Fields are added, never renamed or taken away; README.md documents them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::model::{CycleSummary, Gap, Point, RunSummary, SinkSummary, Transfer};

/// The version of this schema.
const SCHEMA: u32 = 1;

/// A cycle.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    schema: u32,
    cycle: &'a str,
    /// The time of all points.
    slot: Timestamp,
    start: Timestamp,
    duration_ms: u64,
    /// `well`, `partial` or `fault`.
    outcome: &'static str,
    runs: Vec<RunReport<'a>>,
    sinks: Vec<SinkReport<'a>>,
    /// What went wrong in the host itself.
    host_faults: &'a [String],
}

/// A run.
#[derive(Debug, Serialize)]
pub struct RunReport<'a> {
    collector: &'a str,
    /// `emitted`, `partial`, `empty` or `fault`.
    outcome: &'static str,
    /// A stable word; null where nothing went wrong.
    reason: Option<&'static str>,
    /// `guest`, `host`, `upstream` or `settings`.
    blame: Option<String>,
    message: Option<&'a str>,
    hint: Option<&'a str>,
    attempts: u32,
    /// How many points were kept.
    points: usize,
    gaps: &'a [Gap],
    duration_ms: u64,
    fuel_used: u64,
    memory_peak_bytes: u64,
    http: HttpReport,
    log_dropped_bytes: u64,
    /// `sha256:…`
    component_digest: Option<&'a str>,
    /// The points themselves; only where they are not delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<ValueReport<'a>>>,
}

/// A point that is not delivered.
#[derive(Debug, Serialize)]
struct ValueReport<'a> {
    #[serde(flatten)]
    point: &'a Point,
    /// Whether the last cycle did not have this series with these tags; absent where no cycle is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<bool>,
}

#[derive(Debug, Serialize)]
struct HttpReport {
    requests: u64,
    bytes: u64,
    throttled: u64,
    not_modified: u64,
}

impl HttpReport {
    fn of(transfer: Transfer) -> HttpReport {
        let Transfer { requests, bytes, throttled, not_modified } = transfer;
        HttpReport { requests, bytes, throttled, not_modified }
    }
}

/// What became of the points at a sink.
#[derive(Debug, Serialize)]
struct SinkReport<'a> {
    sink: &'a str,
    delivered: u64,
    rejected: u64,
    /// Not delivered in this cycle; they wait in the spool.
    deferred: u64,
    /// Never to be delivered: too old, or the spool was full.
    given_up: u64,
    reasons: Reasons<'a>,
    /// By how much this machine's clock is behind the sink's; null where its answers do not say.
    clock_behind_seconds: Option<i64>,
}

/// Counts by reason; they add up to `rejected`, `deferred` and `given_up`.
#[derive(Debug, Serialize)]
struct Reasons<'a> {
    rejected: &'a BTreeMap<String, u64>,
    deferred: &'a BTreeMap<String, u64>,
    given_up: &'a BTreeMap<String, u64>,
}

impl<'a> Report<'a> {
    /// The report of a cycle.
    pub fn of(cycle: &'a CycleSummary) -> Report<'a> {
        Report {
            schema: SCHEMA,
            cycle: &cycle.id,
            slot: cycle.slot,
            start: cycle.start,
            duration_ms: cycle.duration_ms,
            outcome: cycle.outcome.word(),
            runs: cycle.runs.iter().map(RunReport::of).collect(),
            sinks: cycle.sinks.iter().map(SinkReport::of).collect(),
            host_faults: &cycle.host_faults,
        }
    }
}

impl<'a> RunReport<'a> {
    /// The report of a run.
    pub fn of(run: &'a RunSummary) -> RunReport<'a> {
        let fault = run.fault.as_ref();
        RunReport {
            collector: run.collector.as_str(),
            outcome: run.outcome.word(),
            reason: fault.map(|fault| fault.reason.word()),
            blame: fault.map(|fault| fault.blame.to_string()),
            message: fault.map(|fault| fault.message.as_str()),
            hint: fault.and_then(|fault| fault.hint.as_deref()),
            attempts: run.attempts,
            points: run.points,
            gaps: &run.gaps,
            duration_ms: run.duration_ms,
            fuel_used: run.fuel_used,
            memory_peak_bytes: run.memory_peak_bytes,
            http: HttpReport::of(run.http),
            log_dropped_bytes: run.log_dropped_bytes,
            component_digest: run.component_digest.as_deref(),
            values: run.values.as_deref().map(|points| values(points, run.is_new.as_deref())),
        }
    }
}

fn values<'a>(points: &'a [Point], is_new: Option<&[bool]>) -> Vec<ValueReport<'a>> {
    let new = |n: usize| is_new.and_then(|all| all.get(n)).copied();
    points.iter().enumerate().map(|(n, point)| ValueReport { point, new: new(n) }).collect()
}

impl<'a> SinkReport<'a> {
    fn of(sink: &'a SinkSummary) -> SinkReport<'a> {
        SinkReport {
            sink: &sink.sink,
            delivered: sink.delivered,
            rejected: sink.rejected.values().sum(),
            deferred: sink.deferred.values().sum(),
            given_up: sink.given_up.values().sum(),
            reasons: Reasons { rejected: &sink.rejected, deferred: &sink.deferred, given_up: &sink.given_up },
            clock_behind_seconds: sink.clock_behind_seconds,
        }
    }
}
