//! The cycle: every collector of the plan once, all at once, none in another's way.
//!
//! - A run that waits for others waits for their end, not for their success.
//! - A run is tried again only where nothing came of it and its fault may be gone a moment later.
//! - The runner says everything as events, and hands results over; what becomes of them is not its business.

mod run;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::capability::Capabilities;
use crate::clock;
use crate::config::{CollectorPlan, Plan};
use crate::egress::Egress;
use crate::model::{Event, Name, Point, RunSummary, Streak};
use crate::policy;
use crate::runtime::{Journal, Runtime};

/// What a cycle works with.
#[derive(Clone)]
pub struct Cycle {
    pub plan: Arc<Plan>,
    pub runtime: Arc<Runtime>,
    pub egress: Arc<Egress>,
    pub capabilities: Arc<Capabilities>,
    /// How the last runs of each collector went that came to nothing.
    pub streaks: Arc<BTreeMap<String, Streak>>,
    /// Where each collector's points stand before `emit` answers; nowhere where nothing is delivered.
    pub journals: Arc<BTreeMap<Name, Arc<dyn Journal>>>,
    /// The one "now" of all collectors.
    pub now: Timestamp,
    /// When attempts are over; what is left of the cycle is for delivery.
    pub collecting_ends: Instant,
    /// Ends all attempts at once.
    pub stop: CancellationToken,
    pub events: mpsc::UnboundedSender<Event>,
}

/// A run that is over.
#[derive(Debug)]
pub struct Finished {
    /// Its place in the plan.
    pub place: usize,
    pub summary: RunSummary,
    pub points: Vec<Point>,
}

impl Cycle {
    /// Runs every collector of the plan and hands each result over as soon as it is there. Ends when all runs have.
    pub async fn run_all(&self, results: &mpsc::Sender<Finished>) {
        let permits = Arc::new(Semaphore::new(self.plan.cycle.jobs));
        let ended: BTreeMap<Name, CancellationToken> =
            self.plan.collectors.iter().map(|c| (c.name.clone(), CancellationToken::new())).collect();
        let mut runs = JoinSet::new();
        for (place, collector) in self.plan.collectors.iter().enumerate() {
            let before: Vec<_> = collector.after.iter().filter_map(|name| ended.get(name).cloned()).collect();
            let mine = ended.get(&collector.name).cloned().unwrap_or_default();
            let (cycle, collector, permits) = (self.clone(), collector.clone(), permits.clone());
            let results = results.clone();
            runs.spawn(async move {
                // Cancelled when it goes out of scope, so that nobody waits for a run that broke down.
                let _ended = mine.drop_guard();
                let (summary, points) = cycle.run_in_turn(&collector, before, &permits).await;
                // Before those that wait for this run begin.
                cycle.capabilities.last_values.remember(&points);
                drop(cycle.events.send(Event::RunEnded(Box::new(summary.clone()))));
                drop(results.send(Finished { place, summary, points }).await);
            });
        }
        while let Some(ended) = runs.join_next().await {
            if let Err(e) = ended {
                tracing::error!("a run broke down: {e}");
            }
        }
    }

    /// Why a collector is left alone in this cycle, if it is.
    fn pause(&self, collector: &CollectorPlan) -> Option<run::Over> {
        let streak = self.streaks.get(collector.name.as_str())?;
        let digest = collector.digest.map(|digest| digest.to_string());
        let cycles = policy::pause(streak, self.plan.cycle.pause_after, digest.as_deref())?;
        Some(run::Over::Paused { faults: streak.faults, cycles, last: streak.last.clone() })
    }

    async fn run_in_turn(
        &self,
        collector: &CollectorPlan,
        before: Vec<CancellationToken>,
        permits: &Semaphore,
    ) -> (RunSummary, Vec<Point>) {
        if let Some(paused) = self.pause(collector) {
            return run::never_begun(collector, paused);
        }
        let turn = async {
            for run in before {
                run.cancelled().await;
            }
            permits.acquire().await
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => run::never_begun(collector, run::Over::Cancelled),
            () = tokio::time::sleep_until(self.collecting_ends.into()) => {
                run::never_begun(collector, run::Over::CycleDeadline)
            }
            permit = turn => {
                // A timer is late by up to a millisecond, and a run that ended with the cycle is not.
                if clock::instant() >= self.collecting_ends {
                    return run::never_begun(collector, run::Over::CycleDeadline);
                }
                let result = run::run(self, collector).await;
                drop(permit);
                result
            }
        }
    }
}
