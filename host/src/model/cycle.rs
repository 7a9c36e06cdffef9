//! What is said of a cycle when it is over: of every run and every sink. The report is made of these and nothing else.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Fault, Gap, Name, Outcome, Point};

/// How a cycle went.
#[derive(Clone, Debug)]
pub struct CycleSummary {
    /// Told apart from every other cycle: start and process.
    pub id: String,
    /// The time of its points.
    pub slot: Timestamp,
    pub start: Timestamp,
    pub duration_ms: u64,
    pub outcome: CycleOutcome,
    /// In the order of the plan.
    pub runs: Vec<RunSummary>,
    pub sinks: Vec<SinkSummary>,
    /// The slot that [`RunSummary::is_new`] compares with.
    pub compared_with: Option<Timestamp>,
    /// What went wrong in the host itself: the state file, a sink without a verdict.
    pub host_faults: Vec<String>,
}

/// How a cycle went, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CycleOutcome {
    /// Every run ended well and every point was delivered.
    Well,
    /// Some runs faulted, or some points were not delivered.
    Partial,
    /// No run ended well.
    Fault,
}

/// How one run went.
#[derive(Clone, Debug)]
pub struct RunSummary {
    pub collector: Name,
    pub outcome: Outcome,
    /// The fault that ended the last attempt.
    pub fault: Option<Fault>,
    pub attempts: u32,
    /// How many points were kept.
    pub points: usize,
    pub gaps: Vec<Gap>,
    /// All attempts and the pauses between them.
    pub duration_ms: u64,
    /// Of all attempts.
    pub fuel_used: u64,
    /// Of the largest attempt.
    pub memory_peak_bytes: u64,
    pub http: Transfer,
    /// Log bytes beyond the limit, dropped.
    pub log_dropped_bytes: u64,
    /// `sha256:…` of the component; none where the file could not be read.
    pub component_digest: Option<String>,
    /// The points themselves, where they were asked for.
    pub values: Option<Vec<Point>>,
    /// With them: whether each is of a series and tags that the last cycle did not have; none where no cycle is known.
    pub is_new: Option<Vec<bool>>,
}

/// How a collector's last runs went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    /// Runs in a row that came to nothing, those left out not counted.
    pub faults: u32,
    /// Cycles since the last of them in which it was left alone.
    pub paused: u32,
    /// The component of the last of them.
    pub component_digest: Option<String>,
    /// What was wrong the last time: `unreachable: …`.
    pub last: String,
}

/// What went over the wire for a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Requests sent, repetitions included.
    pub requests: u64,
    /// Bytes of answers' bodies as received, still compressed.
    pub bytes: u64,
    /// Answers that asked to slow down.
    pub throttled: u64,
    /// Answers that said that nothing has changed (304).
    pub not_modified: u64,
}

/// What became of the points at one sink.
#[derive(Clone, Debug, Default)]
pub struct SinkSummary {
    pub sink: String,
    pub delivered: u64,
    /// Refused for good, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Not delivered in this cycle, by reason; they wait in the spool.
    pub deferred: BTreeMap<String, u64>,
    /// Never to be delivered, by reason: too old for the sink, or the spool was full.
    pub given_up: BTreeMap<String, u64>,
    /// By how much this machine's clock is behind the sink's, where its answers say so.
    pub clock_behind_seconds: Option<i64>,
}

impl std::ops::AddAssign for Transfer {
    fn add_assign(&mut self, other: Transfer) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.throttled += other.throttled;
        self.not_modified += other.not_modified;
    }
}

impl RunSummary {
    /// A run of which nothing is known yet.
    pub fn new(collector: Name, component_digest: Option<String>) -> RunSummary {
        RunSummary {
            collector,
            outcome: Outcome::Empty,
            fault: None,
            attempts: 0,
            points: 0,
            gaps: Vec::new(),
            duration_ms: 0,
            fuel_used: 0,
            memory_peak_bytes: 0,
            http: Transfer::default(),
            log_dropped_bytes: 0,
            component_digest,
            values: None,
            is_new: None,
        }
    }
}

impl SinkSummary {
    /// Points that did not arrive.
    pub fn undelivered(&self) -> u64 {
        [&self.rejected, &self.deferred, &self.given_up].into_iter().flat_map(BTreeMap::values).sum()
    }
}

impl CycleSummary {
    /// The outcome that follows from runs and sinks.
    pub fn outcome_of(runs: &[RunSummary], sinks: &[SinkSummary]) -> CycleOutcome {
        let well = runs.iter().filter(|run| run.outcome.is_well()).count();
        let undelivered = sinks.iter().any(|sink| sink.undelivered() > 0);
        match well {
            0 if !runs.is_empty() => CycleOutcome::Fault,
            n if n == runs.len() && !undelivered => CycleOutcome::Well,
            _ => CycleOutcome::Partial,
        }
    }
}

impl CycleOutcome {
    /// The word as it stands in reports.
    pub fn word(self) -> &'static str {
        match self {
            CycleOutcome::Well => "well",
            CycleOutcome::Partial => "partial",
            CycleOutcome::Fault => "fault",
        }
    }
}
