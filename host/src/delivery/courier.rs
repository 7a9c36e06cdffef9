//! The courier: brings what the spool holds to every sink, the oldest first, until the time for it is over.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep_until;

use crate::clock::{self, CycleClock};
use crate::model::{Event, Sample, SinkSummary};
use crate::sinks::{Payload, Sink, Verdict};
use crate::spool::{Chunk, Next, Reader, Settler, Spool};

/// Points that are read and encoded together. Two such chunks are in memory for each sink: one on its way, one being encoded.
const CHUNK_POINTS: usize = 10_000;

/// The first pause after a push that was deferred; the next ones double, each drawn from all of its length.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Brings samples to all sinks.
pub struct Courier {
    spool: Spool,
    tasks: JoinSet<(usize, Route)>,
}

/// How long points are brought to a sink.
#[derive(Clone, Debug)]
pub struct Patience {
    /// When delivery is over; may come nearer while it goes on.
    pub deadline: watch::Receiver<Instant>,
    /// How long a sink that settles nothing is tried again, once nothing more comes.
    pub without_progress: Duration,
}

/// What one sink's task works with.
struct Route {
    sink: Arc<Sink>,
    settler: Settler,
    clock: CycleClock,
    patience: Patience,
    /// None when nothing more comes.
    written: watch::Receiver<Option<u64>>,
    /// When something was settled, or nothing more came: the later one; none before both.
    progress: Option<Instant>,
    events: mpsc::UnboundedSender<Event>,
    summary: SinkSummary,
    /// How far this machine's clock is behind the sink's, where its answers say so.
    behind: SignedDuration,
    /// Why it gave up, if it did.
    stopped: Option<String>,
}

/// What is read and encoded while the chunk before it is on its way.
struct Ahead {
    reader: Reader,
    next: Next,
    payloads: Vec<Payload>,
}

impl Courier {
    /// Starts a task for each sink. What earlier cycles left goes first.
    pub fn start(
        spool: &Spool,
        sinks: Vec<Sink>,
        clock: CycleClock,
        patience: &Patience,
        events: &mpsc::UnboundedSender<Event>,
    ) -> Courier {
        let mut tasks = JoinSet::new();
        for (n, sink) in sinks.into_iter().enumerate() {
            let reader = match sink.is_snapshot() {
                true => spool.reader_of_newest_slot(sink.name()),
                false => spool.reader(sink.name()),
            };
            let mut route = Route {
                settler: reader.settler(),
                written: reader.written(),
                summary: SinkSummary { sink: sink.name().into(), ..SinkSummary::default() },
                sink: Arc::new(sink),
                clock,
                patience: patience.clone(),
                progress: None,
                events: events.clone(),
                behind: SignedDuration::ZERO,
                stopped: None,
            };
            tasks.spawn(async move {
                route.stopped = route.run(reader).await.err();
                (n, route)
            });
        }
        Courier { spool: spool.clone(), tasks }
    }

    /// Waits until everything has its verdict, or the time is over; says what became of all samples, sink by sink.
    pub async fn finish(self) -> Vec<SinkSummary> {
        self.spool.end();
        let mut all = self.tasks.join_all().await;
        all.sort_by_key(|(n, _)| *n);
        let waiting = self.spool.waiting();
        let summary = |(_, route): (usize, Route)| {
            let mut summary = route.summary;
            let left = waiting.iter().filter_map(|segment| segment.points.get(&summary.sink)).sum::<u64>();
            if left > 0 {
                let reason = route.stopped.unwrap_or_else(|| "not sent".into());
                *summary.deferred.entry(reason).or_default() += left;
            }
            for (reason, points) in self.spool.lost(&summary.sink) {
                *summary.given_up.entry(reason).or_default() += points;
            }
            summary
        };
        all.into_iter().map(summary).collect()
    }
}

impl Route {
    /// Goes on until everything is settled; an error says why it gave up before.
    async fn run(&mut self, reader: Reader) -> Result<(), String> {
        let mut ahead = self.read_ahead(reader);
        loop {
            let Ahead { reader, next, payloads } =
                ahead.await.map_err(|e| format!("the spool's reader broke down: {e}"))?;
            match next {
                Next::End => return Ok(()),
                Next::Nothing => {
                    // The sender lives in what the reader holds.
                    drop(reader.written().changed().await);
                    ahead = self.read_ahead(reader);
                }
                Next::Chunk(chunk) => {
                    ahead = self.read_ahead(reader);
                    self.bring(&chunk, payloads).await?;
                }
            }
        }
    }

    /// Reads the next chunk and encodes it, on a thread that may wait for the disk and compute.
    fn read_ahead(&self, mut reader: Reader) -> JoinHandle<Ahead> {
        let sink = self.sink.clone();
        tokio::task::spawn_blocking(move || {
            let next = reader.next(CHUNK_POINTS);
            let payloads = match &next {
                Next::Chunk(chunk) => sink.encode(&chunk.samples),
                Next::Nothing | Next::End => Vec::new(),
            };
            Ahead { reader, next, payloads }
        })
    }

    /// Sends a chunk until all of it is settled.
    async fn bring(&mut self, chunk: &Chunk, mut payloads: Vec<Payload>) -> Result<(), String> {
        if let Some(reason) = self.expired(chunk) {
            *self.summary.given_up.entry(reason).or_default() += chunk.points(&(0..chunk.samples.len()));
            self.settler.settle(chunk, chunk.samples.len());
            return Ok(());
        }
        // The next at the end.
        payloads.reverse();
        let mut tries = 0;
        while let Some(payload) = payloads.pop() {
            let deadline = *self.patience.deadline.borrow();
            let sent = self.sink.send(&payload, deadline).await;
            if let Some(behind) = sent.clock_behind {
                self.behind = behind;
                self.summary.clock_behind_seconds = Some(behind.as_secs());
            }
            let points = chunk.points(&payload.samples);
            match sent.verdict {
                Verdict::Delivered => self.summary.delivered += points,
                Verdict::DeliveredInPart { rejected, reason } => self.count_in_part(points, rejected, reason),
                Verdict::Rejected { reason } => *self.summary.rejected.entry(reason).or_default() += points,
                Verdict::TooLarge if payload.samples.len() > 1 && !self.sink.is_snapshot() => {
                    payloads.extend(again(&self.sink, &chunk.samples, &payload, 2).into_iter().rev());
                    continue;
                }
                Verdict::EncodeAnew => {
                    payloads.extend(again(&self.sink, &chunk.samples, &payload, 1).into_iter().rev());
                    continue;
                }
                Verdict::TooLarge => *self.summary.rejected.entry("too large".into()).or_default() += points,
                Verdict::Deferred { reason, wait } => {
                    self.pause(tries, &reason, wait).await?;
                    tries += 1;
                    payloads.push(payload);
                    continue;
                }
                Verdict::Held { reason } => {
                    let sink = &self.summary.sink;
                    tracing::error!(
                        "sink {sink}: {reason}; nothing more is sent to it: look at [sink.{sink}] and its key"
                    );
                    return Err(format!("held: {reason}"));
                }
            }
            tries = 0;
            self.progress = self.progress.map(|_| clock::instant());
            self.settler.settle(chunk, payload.samples.end);
        }
        Ok(())
    }

    /// Counts points of which the sink took all but some; where it took all, the reason is only to be told.
    fn count_in_part(&mut self, points: u64, rejected: u64, reason: String) {
        let rejected = rejected.min(points);
        self.summary.delivered += points - rejected;
        match rejected {
            0 => tracing::warn!("sink {} has taken everything and says: {reason}", self.summary.sink),
            _ => *self.summary.rejected.entry(reason).or_default() += rejected,
        }
    }

    /// Why a chunk is too old for the sink, if it is.
    fn expired(&self, chunk: &Chunk) -> Option<String> {
        let age_max = self.sink.age_max()?;
        let age = self.clock.now().duration_since(chunk.time()?) + self.behind;
        (age > age_max).then(|| format!("expired: older than {age_max:#}, which {} refuses", self.summary.sink))
    }

    /// Waits before the same payload is sent again; an error where the time for delivery is over before, or patience is.
    async fn pause(&mut self, tries: u32, reason: &str, wait: Option<Duration>) -> Result<(), String> {
        let pause = wait.unwrap_or_default().max(backoff(tries));
        let sink = self.summary.sink.clone();
        drop(self.events.send(Event::PushDeferred { sink, reason: reason.into(), pause }));
        let until = clock::instant() + pause;
        loop {
            if self.gives_up_at() <= until {
                return Err(reason.into());
            }
            let more_comes = self.progress.is_none();
            tokio::select! {
                () = sleep_until(until.into()) => return Ok(()),
                changed = self.patience.deadline.changed() => if changed.is_err() {
                    // Nobody can change it any more.
                    sleep_until(until.into()).await;
                    return Ok(());
                },
                () = ended(&mut self.written), if more_comes => {}
            }
        }
    }

    /// When the sink is left alone, if it settles nothing before.
    fn gives_up_at(&mut self) -> Instant {
        let deadline = *self.patience.deadline.borrow_and_update();
        if self.progress.is_none() && self.written.borrow().is_none() {
            self.progress = Some(clock::instant());
        }
        let patience = self.progress.map(|progress| progress + self.patience.without_progress);
        patience.map_or(deadline, |patience| patience.min(deadline))
    }
}

/// Waits until nothing more comes.
async fn ended(written: &mut watch::Receiver<Option<u64>>) {
    // The sender lives in what the reader holds.
    drop(written.wait_for(Option::is_none).await);
}

/// The samples of a payload encoded again, in so many parts or more.
fn again(sink: &Sink, samples: &[Sample], payload: &Payload, parts: usize) -> Vec<Payload> {
    let Range { start, end } = payload.samples;
    let place = |part: usize| start + (end - start) * part / parts;
    let encoded = (0..parts).flat_map(|part| {
        let (from, to) = (place(part), place(part + 1));
        let payloads = samples.get(from..to).map(|samples| sink.encode(samples)).unwrap_or_default();
        payloads.into_iter().map(move |payload| payload.moved_by(from))
    });
    encoded.collect()
}

/// Full jitter over a doubling pause.
fn backoff(pauses: u32) -> Duration {
    let longest = PAUSE_FIRST.saturating_mul(1 << pauses.min(10)).min(PAUSE_MAX);
    longest.mul_f64(fastrand::f64()).max(PAUSE_FIRST / 10)
}
