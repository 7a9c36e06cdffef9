//! One run: a collector's attempts within its deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Cycle;
use crate::clock;
use crate::config::{CollectorPlan, Ready};
use crate::model::{Blame, Event, Fault, Outcome, Point, Reason, RunSummary};
use crate::runtime::{Attempt, AttemptResult, Loaded};

/// The pause after the first attempt; the next ones double, each drawn from its upper half.
const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// Why a run did not begin.
#[derive(Clone, Debug)]
pub(super) enum Over {
    Cancelled,
    CycleDeadline,
    /// After so many faults in a row, of which this is the last one; for so many cycles, this one included.
    Paused {
        faults: u32,
        cycles: u32,
        last: String,
    },
}

/// A run that the cycle's end, or a signal, came before.
pub(super) fn never_begun(collector: &CollectorPlan, over: Over) -> (RunSummary, Vec<Point>) {
    let fault = match over {
        Over::Cancelled => Fault::new(Blame::Host, Reason::Cancelled, "ended by a signal before it began"),
        Over::Paused { faults, cycles, last } => {
            let cycles = if cycles == 1 { "this cycle".into() } else { format!("{cycles} cycles") };
            let what = format!("left alone for {cycles}: its last {faults} runs came to nothing; the last one: {last}");
            Fault::new(Blame::Host, Reason::Paused, what).hint(format!(
                "`host run-all --only {0}` runs it all the same; pause_after = 0 under [cycle] never leaves one alone",
                collector.name
            ))
        }
        Over::CycleDeadline => {
            Fault::new(Blame::Host, Reason::CycleDeadline, "the cycle's time was up before it began")
                .hint("raise deadline under [cycle], or run more collectors at once with jobs")
        }
    };
    let mut run = Run::begin(collector);
    run.summary.fault = Some(fault);
    run.end()
}

/// Runs a collector: one attempt, and another one where nothing came of it and that may help.
pub(super) async fn run(cycle: &Cycle, collector: &CollectorPlan) -> (RunSummary, Vec<Point>) {
    drop(cycle.events.send(Event::RunStarted { collector: collector.name.clone() }));
    let mut run = Run::begin(collector);
    let (ready, loaded) = match load(cycle, collector).await {
        Ok(loaded) => loaded,
        Err(fault) => {
            run.summary.fault = Some(fault);
            return run.end();
        }
    };
    // Compiling is the host's work, done once for every new component; the collector's time begins after it.
    let own_deadline = clock::instant() + collector.limits.deadline.0;
    let ends_with_cycle = cycle.collecting_ends < own_deadline;
    let deadline = own_deadline.min(cycle.collecting_ends);
    loop {
        let attempt = Attempt {
            collector: collector.name.clone(),
            settings: Arc::new(ready.settings.clone()),
            grants: ready.grants.clone(),
            limits: collector.limits.clone(),
            egress: cycle.egress.clone(),
            kubernetes: ready.component.manifest.kubernetes.clone().unwrap_or_default(),
            capabilities: cycle.capabilities.clone(),
            journal: cycle.journals.get(&collector.name).cloned(),
            now: cycle.now,
            deadline,
            ends_with_cycle,
            stop: cycle.stop.clone(),
        };
        run.add(cycle.runtime.attempt(&loaded, attempt).await);
        let Some(pause) = run.pause_before_another(collector.attempts, deadline) else { break };
        if let Some(fault) = run.summary.fault.clone() {
            let (collector, attempt) = (collector.name.clone(), run.summary.attempts);
            drop(cycle.events.send(Event::AttemptFailed { collector, attempt, fault, pause }));
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = cycle.stop.cancelled() => break,
        }
    }
    run.end()
}

/// The component, compiled and linked. The cycle does not wait for ever.
async fn load<'a>(cycle: &Cycle, collector: &'a CollectorPlan) -> Result<(&'a Ready, Loaded), Fault> {
    let ready = collector.ready.as_ref().map_err(Clone::clone)?;
    let host = |reason, what: &str| Err(Fault::new(Blame::Host, reason, what));
    tokio::select! {
        loaded = cycle.runtime.load(&ready.component, &ready.settings) => Ok((ready, loaded?)),
        () = tokio::time::sleep_until(cycle.collecting_ends.into()) => {
            host(Reason::CycleDeadline, "the cycle's time was up before the component was compiled")
        }
        () = cycle.stop.cancelled() => host(Reason::Cancelled, "ended by a signal"),
    }
}

/// A run as it goes on.
struct Run {
    started: Instant,
    summary: RunSummary,
    points: Vec<Point>,
}

impl Run {
    fn begin(collector: &CollectorPlan) -> Run {
        let digest = collector.digest.map(|digest| digest.to_string());
        Run { started: clock::instant(), summary: RunSummary::new(collector.name.clone(), digest), points: Vec::new() }
    }

    /// Takes an attempt's result. An attempt follows another one only where that had no points, so nothing is lost here.
    fn add(&mut self, result: AttemptResult) {
        let summary = &mut self.summary;
        summary.attempts += 1;
        summary.fuel_used += result.fuel_used;
        summary.memory_peak_bytes = summary.memory_peak_bytes.max(result.memory_peak_bytes);
        summary.http += result.http;
        summary.log_dropped_bytes += result.log_dropped_bytes;
        summary.fault = result.fault;
        summary.gaps = result.gaps;
        self.points = result.points;
    }

    /// The pause before another attempt, if there is to be one.
    fn pause_before_another(&self, attempts_max: u32, deadline: Instant) -> Option<Duration> {
        let summary = &self.summary;
        let may_help = summary.fault.as_ref().is_some_and(|fault| fault.reason.is_retryable());
        if !may_help || !self.points.is_empty() || summary.attempts >= attempts_max {
            return None;
        }
        let doubled = PAUSE_FIRST.saturating_mul(1 << (summary.attempts - 1).min(10));
        let pause = doubled.mul_f64(0.5 + fastrand::f64() / 2.0);
        // An attempt that begins at its deadline is none.
        (clock::instant() + pause * 2 < deadline).then_some(pause)
    }

    fn end(mut self) -> (RunSummary, Vec<Point>) {
        self.summary.points = self.points.len();
        self.summary.outcome = Outcome::of(self.points.len(), self.summary.fault.is_some());
        self.summary.duration_ms = clock::ms_since(self.started);
        (self.summary, self.points)
    }
}
