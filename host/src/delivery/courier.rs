//! The courier: takes samples as runs end, and brings them to every sink until the time for it is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::clock;
use crate::model::{Event, Sample, SinkSummary};
use crate::sinks::{Sink, Verdict};

/// Batches that wait between the runner and a sink. A slow sink makes runs wait with handing over, not with collecting.
const BATCHES_MAX: usize = 64;

/// The first pause after a push that was deferred; the next ones double, each drawn from all of its length.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

type Batch = Arc<[Sample]>;

/// Brings samples to all sinks.
pub struct Courier {
    queues: Vec<mpsc::Sender<Batch>>,
    tasks: JoinSet<(usize, SinkSummary)>,
}

/// What one sink's task works with.
struct Route {
    sink: Sink,
    batches: mpsc::Receiver<Batch>,
    /// When delivery is over; may come nearer while it goes on.
    deadline: watch::Receiver<Instant>,
    events: mpsc::UnboundedSender<Event>,
    summary: SinkSummary,
}

/// How a round of pushing ended.
enum Round {
    Empty,
    /// Something is left; why, and when to try again.
    Left {
        reason: String,
        pause: Duration,
    },
    /// The sink does not take this key.
    Held {
        reason: String,
    },
}

impl Courier {
    /// Starts a task for each sink.
    pub fn start(
        sinks: Vec<Sink>,
        deadline: &watch::Receiver<Instant>,
        events: &mpsc::UnboundedSender<Event>,
    ) -> Courier {
        let mut tasks = JoinSet::new();
        let mut queues = Vec::new();
        for (n, sink) in sinks.into_iter().enumerate() {
            let (queue, batches) = mpsc::channel(BATCHES_MAX);
            let summary = SinkSummary { sink: sink.name().into(), ..SinkSummary::default() };
            let route = Route { sink, batches, deadline: deadline.clone(), events: events.clone(), summary };
            queues.push(queue);
            tasks.spawn(async move { (n, route.run().await) });
        }
        Courier { queues, tasks }
    }

    /// Hands samples over; waits while a sink's queue is full.
    pub async fn hand_over(&self, samples: Vec<Sample>) {
        let batch: Batch = samples.into();
        for queue in &self.queues {
            // A queue closes only with its task, whose end is seen in `finish`.
            drop(queue.send(batch.clone()).await);
        }
    }

    /// Waits until everything has its verdict, or the time is over; says what became of all samples, sink by sink.
    pub async fn finish(self) -> Vec<SinkSummary> {
        drop(self.queues);
        let mut all = self.tasks.join_all().await;
        all.sort_by_key(|(n, _)| *n);
        all.into_iter().map(|(_, summary)| summary).collect()
    }
}

impl Route {
    async fn run(mut self) -> SinkSummary {
        let mut waiting: Vec<Sample> = Vec::new();
        let mut pauses = 0;
        while let Some(batch) = self.batches.recv().await {
            waiting.extend(batch.iter().cloned());
            self.take_more(&mut waiting);
            loop {
                let round = self.push(&mut waiting).await;
                let (reason, pause) = match round {
                    Round::Empty => {
                        pauses = 0;
                        break;
                    }
                    Round::Held { reason } => return self.hold(waiting, &reason).await,
                    Round::Left { reason, pause } => (reason, pause),
                };
                let pause = pause.max(backoff(pauses));
                pauses += 1;
                let sink = self.summary.sink.clone();
                drop(self.events.send(Event::PushDeferred { sink, reason: reason.clone(), pause }));
                if !self.wait(pause).await {
                    return self.defer(waiting, &reason).await;
                }
                self.take_more(&mut waiting);
            }
        }
        self.summary
    }

    /// Adds what has come in meanwhile, so that it goes together.
    fn take_more(&mut self, waiting: &mut Vec<Sample>) {
        while let Ok(batch) = self.batches.try_recv() {
            waiting.extend(batch.iter().cloned());
        }
    }

    /// Pushes once, and keeps in `waiting` what is to be tried again.
    async fn push(&mut self, waiting: &mut Vec<Sample>) -> Round {
        let deadline = *self.deadline.borrow();
        let parts = self.sink.push(waiting, deadline).await;
        let mut round = Round::Empty;
        let mut kept = Vec::new();
        let mut rest = std::mem::take(waiting).into_iter();
        for part in parts {
            let samples = rest.by_ref().take(part.samples);
            match part.verdict {
                Verdict::Delivered => self.summary.delivered += samples.count() as u64,
                Verdict::Rejected { reason } => {
                    *self.summary.rejected.entry(reason).or_default() += samples.count() as u64;
                }
                Verdict::Deferred { reason, wait } => {
                    kept.extend(samples);
                    round = Round::Left { reason, pause: wait.unwrap_or_default() };
                }
                Verdict::Held { reason } => {
                    kept.extend(samples);
                    round = Round::Held { reason };
                }
            }
        }
        // A sink that passed samples over in silence has not delivered them.
        kept.extend(rest);
        *waiting = kept;
        round
    }

    /// Waits; false where the time for delivery is over before.
    async fn wait(&mut self, pause: Duration) -> bool {
        let until = clock::instant() + pause;
        loop {
            if *self.deadline.borrow_and_update() <= until {
                return false;
            }
            tokio::select! {
                () = sleep_until(until.into()) => return true,
                changed = self.deadline.changed() => if changed.is_err() {
                    // Nobody can change it any more.
                    sleep_until(until.into()).await;
                    return true;
                },
            }
        }
    }

    /// Counts what is left, and all that still comes, as deferred.
    async fn defer(mut self, waiting: Vec<Sample>, reason: &str) -> SinkSummary {
        let mut left = waiting.len();
        while let Some(batch) = self.batches.recv().await {
            left += batch.len();
        }
        *self.summary.deferred.entry(reason.to_owned()).or_default() += left as u64;
        self.summary
    }

    async fn hold(self, waiting: Vec<Sample>, reason: &str) -> SinkSummary {
        tracing::error!("sink {} refuses the key: {reason}; nothing more is sent to it", self.summary.sink);
        self.defer(waiting, &format!("held: {reason}")).await
    }
}

/// Full jitter over a doubling pause.
fn backoff(pauses: u32) -> Duration {
    let longest = PAUSE_FIRST.saturating_mul(1 << pauses.min(10)).min(PAUSE_MAX);
    longest.mul_f64(fastrand::f64()).max(PAUSE_FIRST / 10)
}
