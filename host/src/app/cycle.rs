//! A cycle from plan to summary.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{own_series, signals};
use crate::capability::{Capabilities, Cluster, Ec2, Ec2World, LastValues, Workloads};
use crate::clock::{self, CycleClock};
use crate::config::{CollectorPlan, Plan, SinkPlan, SpoolPlan};
use crate::delivery::{Courier, Patience, Recorder, Seal, common_tags};
use crate::egress::{Egress, Network, system_lookup};
use crate::limits::ByteSize;
use crate::model::{
    Blame, CycleSummary, Event, Fault, Manifest, Name, Outcome, Point, PointRef, Reason, RunSummary, SeriesSet, Streak,
    WorkloadReports,
};
use crate::runner::{Cycle, Finished};
use crate::runtime::{Cache, Journal, Metering, Options, Runtime};
use crate::sinks::{Descriptions, Sink};
use crate::spool::{Holder, LockError, Spool, SpoolOptions, StateLock};
use crate::store::{Answers, AnswersOptions, CycleRecord, KnownWorkloads, Store, StoreError};

/// How a cycle is run.
#[derive(Clone, Debug, Default)]
pub struct CycleOptions {
    /// The cycle's "now"; the wall clock's where none is given.
    pub now: Option<Timestamp>,
    /// The time of its points; its start floored to the schedule where none is given.
    pub slot: Option<Timestamp>,
    /// Whether points go to the sinks. Otherwise they stand in the summary.
    pub delivers: bool,
    /// Whether the state remembers the cycle.
    pub records: bool,
    /// What stands in for the world, in the demo.
    pub stand_ins: Option<StandIns>,
}

/// What the demo puts in the place of services that it cannot serve over HTTP.
#[derive(Clone, Debug, Default)]
pub struct StandIns {
    pub ec2: Ec2World,
    /// Failures that the state is to hold with their logs, by id.
    pub known_failures: Vec<String>,
}

/// Finished runs that wait for the wiring to take them.
const RESULTS_MAX: usize = 16;

/// After a signal, delivery has this long: Kubernetes kills after 30 s.
const DELIVERY_AFTER_SIGNAL: Duration = Duration::from_secs(20);

/// Runs every collector of the plan and delivers what they emit.
///
/// # Errors
/// Where the host itself cannot work. What goes wrong with a collector or a sink is in the summary.
pub async fn run_cycle(
    plan: Plan,
    options: CycleOptions,
    events: mpsc::UnboundedSender<Event>,
) -> anyhow::Result<CycleSummary> {
    let (began, start) = (clock::instant(), options.now.unwrap_or_else(clock::wall));
    let deadline = began + plan.cycle.deadline;
    let collectors = plan.collectors.iter().map(|c| c.name.clone()).collect();
    drop(events.send(Event::CycleStarted { collectors, deadline: plan.cycle.deadline }));
    let mut host_faults = Vec::new();
    let _lock = lock(&plan, &options, start, &mut host_faults)?;
    let mut state = State::open(&plan, &options, &mut host_faults).await;
    let last_good = state.last_good(&mut host_faults).await;
    let known = state.known(start, &mut host_faults).await;
    let streaks = state.streaks(&mut host_faults).await;

    let answers = Answers::open(answers_options(&plan, &options, start)).await;
    let network = Network::new(system_lookup(plan.network.hosts.clone()), plan.network.ca_file.as_deref())?;
    let plan = Arc::new(plan);
    let stop = CancellationToken::new();
    let slot = options.slot.unwrap_or_else(|| clock::slot(start, plan.cycle.schedule));
    let id = cycle_id(start);
    let seal = options
        .delivers
        .then(|| Seal::new(&Spool::open(spool_options(&plan.spool, slot, &id, start)), slot, &plan.tags));
    if let Some(values) = seal.as_ref().map(Seal::repeats).filter(|values| *values > 0) {
        drop(events.send(Event::SlotRepeats { slot, values }));
    }
    let _listening = signals::Listening::start(stop.clone(), events.clone());
    let cycle = Cycle {
        runtime: Arc::new(Runtime::start(&runtime_options(&plan)).context("the collectors' runtime")?),
        egress: Arc::new(Egress::remembering(answers.as_ref(), &plan.upstreams, &network, &plan.redactor)),
        capabilities: Arc::new(capabilities(&plan, start, known, options.stand_ins.clone(), &network)),
        journals: Arc::new(seal.as_ref().map(|seal| journals(&plan, seal)).unwrap_or_default()),
        streaks: Arc::new(streaks.clone()),
        plan: plan.clone(),
        now: start,
        collecting_ends: deadline - plan.cycle.delivery_reserve,
        stop: stop.clone(),
        events: events.clone(),
    };

    let manifest = own_series::manifest().context("the host's own series")?;
    let courier = seal.as_ref().map(|seal| {
        let sinks = sinks(&plan, &manifest, &network);
        let deadline = delivery_deadline(deadline, stop);
        let patience = Patience { deadline, without_progress: plan.cycle.delivery_reserve };
        Courier::start(seal.spool(), sinks, CycleClock::new(start, began), &patience, &events)
    });
    let mut runs = collect(&cycle, options.delivers).await;
    // Written while the last points are delivered.
    let remembering = tokio::spawn(async move {
        if let Some(answers) = answers {
            answers.finish().await;
        }
    });

    let own = own_series::points(&runs, last_good.as_ref(), &streaks, start);
    let compared_with = if options.delivers { None } else { mark_new_series(&plan, start, &mut runs) };
    let mut sinks = Vec::new();
    if let (Some(seal), Some(courier)) = (&seal, courier) {
        let points = runs.iter().map(|run| run.points).sum::<usize>() + own.len();
        drop(events.send(Event::Delivering { points }));
        seal.recorder(&manifest.name, &manifest, &[]).write(own.iter().map(PointRef::from));
        sinks = courier.finish().await;
        seal.spool().close();
        host_faults.extend(seal.spool().problems());
    }
    let mut summary = CycleSummary {
        id,
        slot,
        start,
        duration_ms: clock::ms_since(began),
        outcome: CycleSummary::outcome_of(&runs, &sinks),
        runs,
        sinks,
        compared_with,
        host_faults,
    };
    let Capabilities { last_values, workloads, .. } = &*cycle.capabilities;
    state.record(&mut summary, &last_values.of_cycle(), &workloads.reports()).await;
    // Whatever became of it, it has said so.
    drop(remembering.await);
    // The process ends with its cycle: the kernel takes a thousand guests' memories back at once, not one by one.
    mem::forget(cycle.runtime);
    Ok(summary)
}

/// Runs all collectors; gives a summary for each collector of the plan, in its order, with its points where they are not
/// delivered.
async fn collect(cycle: &Cycle, delivers: bool) -> Vec<RunSummary> {
    let (results, mut finished) = mpsc::channel::<Finished>(RESULTS_MAX);
    let running = {
        let cycle = cycle.clone();
        tokio::spawn(async move { cycle.run_all(&results).await })
    };
    let mut runs = BTreeMap::new();
    while let Some(Finished { place, mut summary, points }) = finished.recv().await {
        summary.values = (!delivers).then_some(points);
        runs.insert(place, summary);
    }
    if let Err(e) = running.await {
        tracing::error!("the runner broke down: {e}");
    }
    let all = cycle.plan.collectors.iter().enumerate();
    all.map(|(place, collector)| runs.remove(&place).unwrap_or_else(|| lost(collector))).collect()
}

/// The state folder for this cycle alone, where it leaves something there. A folder that cannot be written is a fault, and the
/// cycle goes on; one that another cycle is at work in ends it.
fn lock(
    plan: &Plan,
    options: &CycleOptions,
    start: Timestamp,
    faults: &mut Vec<String>,
) -> Result<Option<StateLock>, LockError> {
    if !options.delivers && !options.records {
        return Ok(None);
    }
    let host = std::env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
    let host = host.map(|name| name.trim().to_owned()).unwrap_or_else(|| "this machine".into());
    match StateLock::take(&plan.state_dir, &Holder { pid: std::process::id(), host, since: start }) {
        Ok(lock) => Ok(Some(lock)),
        Err(held @ LockError::Held { .. }) => Err(held),
        Err(e @ LockError::Io { .. }) => {
            faults.push(e.to_string());
            Ok(None)
        }
    }
}

/// The spool of a plan, for the points of a slot.
pub fn spool_options(plan: &SpoolPlan, slot: Timestamp, cycle: &str, now: Timestamp) -> SpoolOptions {
    let SpoolPlan { folder, sinks, bytes_max, age_max } = plan.clone();
    SpoolOptions { folder, sinks, bytes_max, age_max, slot, cycle: cycle.into(), now }
}

/// Answers of upstreams: read in every cycle, written in one that remembers.
fn answers_options(plan: &Plan, options: &CycleOptions, now: Timestamp) -> AnswersOptions {
    AnswersOptions {
        folder: plan.state_dir.clone(),
        bytes_max: plan.cache.bytes_max,
        age_max: plan.cache.age_max,
        now,
        records: options.records,
    }
}

/// The sinks of a plan; `own` is the manifest of the host's own series.
fn sinks(plan: &Plan, own: &Manifest, network: &Network) -> Vec<Sink> {
    let manifests = plan.collectors.iter().filter_map(|collector| collector.manifest.as_deref());
    let descriptions = Descriptions::of(manifests.chain([own]));
    plan.sinks.iter().map(|sink| Sink::new(sink, &descriptions, network, &plan.redactor)).collect()
}

/// Each collector's way into the spool.
fn journals(plan: &Plan, seal: &Seal) -> BTreeMap<Name, Arc<dyn Journal>> {
    let journal = |collector: &CollectorPlan| {
        let ready = collector.ready.as_ref().ok()?;
        let recorder = seal.recorder(&collector.name, &ready.component.manifest, &ready.tags);
        Some((collector.name.clone(), Arc::new(IntoSpool(recorder)) as Arc<dyn Journal>))
    };
    plan.collectors.iter().filter_map(journal).collect()
}

/// The spool as the runtime sees it.
struct IntoSpool(Recorder);

impl Journal for IntoSpool {
    fn keep(&self, points: &mut dyn Iterator<Item = PointRef<'_>>) {
        self.0.write(points);
    }

    fn points_within_hour(&self) -> usize {
        self.0.points_within_hour()
    }

    fn series_within_hour(&self) -> SeriesSet {
        self.0.series_within_hour()
    }
}

/// Marks the points whose series and tags the last cycle did not have; gives that cycle's slot.
fn mark_new_series(plan: &Plan, now: Timestamp, runs: &mut [RunSummary]) -> Option<Timestamp> {
    let (slot, known) = Spool::look(spool_options(&plan.spool, now, "", now)).newest_slot()?;
    for (run, collector) in runs.iter_mut().zip(&plan.collectors) {
        let (Some(points), Ok(ready)) = (&run.values, &collector.ready) else { continue };
        let common = common_tags(&plan.tags, &collector.name, &ready.tags);
        let is_new = |point: &Point| known.get(&point.series, &common.with(point.tags.as_joined())).is_none();
        run.is_new = Some(points.iter().map(is_new).collect());
    }
    Some(slot)
}

/// A run whose task broke down in the host.
fn lost(collector: &CollectorPlan) -> RunSummary {
    RunSummary {
        outcome: Outcome::Fault,
        fault: Some(Fault::new(Blame::Host, Reason::HostBug, "its run broke down in the host")),
        ..RunSummary::new(collector.name.clone(), collector.digest.map(|digest| digest.to_string()))
    }
}

/// What the collectors may be given.
fn capabilities(
    plan: &Plan,
    now: Timestamp,
    mut known: Known,
    stand_ins: Option<StandIns>,
    network: &Network,
) -> Capabilities {
    let ec2 = stand_ins.map(|stand_ins| {
        known.workloads.with_logs.extend(stand_ins.known_failures);
        stand_ins.ec2
    });
    let datadog = plan.sinks.iter().find_map(|sink| match sink {
        SinkPlan::Datadog(datadog) => Some(datadog),
        _ => None,
    });
    let last_values = LastValues::new(now, known.values);
    Capabilities {
        kubernetes: Cluster::new(&plan.kubernetes),
        ec2: ec2.map_or_else(|| Ec2::new(&plan.ec2), Ec2::of_world),
        last_values: match datadog {
            Some(datadog) => last_values.with_datadog(datadog, &plan.tags, network, &plan.redactor),
            None => last_values,
        },
        workloads: Workloads::new(known.workloads),
    }
}

fn runtime_options(plan: &Plan) -> Options {
    let dir = plan.state_dir.join("cache");
    let cache = Cache::open(&dir)
        .map_err(|e| tracing::warn!("{}: {e}; components are compiled anew every time", dir.display()))
        .ok();
    let largest = |of: fn(&CollectorPlan) -> u64| plan.collectors.iter().map(of).max().unwrap_or_default();
    Options {
        cache,
        slots: plan.cycle.jobs,
        memory_max: ByteSize(largest(|c| c.limits.memory.0)),
        table_elements_max: u32::try_from(largest(|c| c.limits.table_elements.into())).unwrap_or(u32::MAX),
        instances_max: u32::try_from(largest(|c| c.limits.instances.into())).unwrap_or(u32::MAX),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        metering: Metering::Full,
    }
}

/// The instant at which delivery is over: the cycle's end, or soon after a signal.
fn delivery_deadline(deadline: Instant, stop: CancellationToken) -> watch::Receiver<Instant> {
    let (sender, receiver) = watch::channel(deadline);
    tokio::spawn(async move {
        stop.cancelled().await;
        let soon = clock::instant() + DELIVERY_AFTER_SIGNAL;
        sender.send_replace(soon.min(deadline));
    });
    receiver
}

/// Start, and something that no other cycle of the same second has.
fn cycle_id(start: Timestamp) -> String {
    format!("{}-{:06x}", start.strftime("%Y%m%dT%H%M%SZ"), fastrand::u32(..) >> 8)
}

/// What the state says of earlier cycles.
#[derive(Default)]
struct Known {
    values: HashMap<String, (f64, Timestamp)>,
    workloads: KnownWorkloads,
}

/// How far back collectors may look: the longest window of a series, and a day for what ends late.
const KNOWN_FOR: SignedDuration = SignedDuration::from_hours(24 * 8);

/// The state of a cycle; without a state file the cycle goes on, and says so.
struct State {
    store: Option<Store>,
    records: bool,
}

impl State {
    async fn open(plan: &Plan, options: &CycleOptions, faults: &mut Vec<String>) -> State {
        let dir = Path::new(&plan.state_dir);
        // A cycle that remembers nothing makes no file; what is there it may read.
        let store = match options.records || Store::is_there(dir) {
            true => Store::open(dir).await.map_err(|e| faults.push(e.to_string())).ok(),
            false => None,
        };
        State { store, records: options.records }
    }

    async fn last_good(&mut self, faults: &mut Vec<String>) -> Option<BTreeMap<String, Timestamp>> {
        let store = self.store.as_mut()?;
        store.last_good().await.map_err(|e| faults.push(e.to_string())).ok()
    }

    async fn streaks(&mut self, faults: &mut Vec<String>) -> BTreeMap<String, Streak> {
        let Some(store) = self.store.as_mut() else { return BTreeMap::new() };
        store.streaks().await.map_err(|e| faults.push(e.to_string())).unwrap_or_default()
    }

    async fn known(&mut self, now: Timestamp, faults: &mut Vec<String>) -> Known {
        let Some(store) = self.store.as_mut() else { return Known::default() };
        let since = now.checked_sub(KNOWN_FOR).unwrap_or(Timestamp::MIN);
        let mut or_nothing = |e: StoreError| faults.push(e.to_string());
        Known {
            values: store.last_values(since).await.map_err(&mut or_nothing).unwrap_or_default(),
            workloads: store.workloads_since(since).await.map_err(&mut or_nothing).unwrap_or_default(),
        }
    }

    async fn record(self, summary: &mut CycleSummary, values: &[Point], reports: &WorkloadReports) {
        let Some(mut store) = self.store else { return };
        if self.records {
            let recorded = store.record(&CycleRecord { summary, values, reports }).await;
            if let Err(e) = recorded {
                summary.host_faults.push(e.to_string());
            }
        }
        store.close().await;
    }
}
