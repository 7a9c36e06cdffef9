//! One attempt: a fresh store, one call, an end, and everything that is to be kept of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use wasmtime::{Store, UpdateDeadline};

use super::bindings::collector::host::faults as wit;
use super::bounded::{Ended, bounded};
use super::engine::{Loaded, Metering, Runtime};
use super::imports::http::Web;
use super::imports::quota::Quota;
use super::imports::wasi;
use super::journal::Journal;
use super::ledger::{Ledger, Rule};
use super::limiter::Limiter;
use super::log::GuestLog;
use super::state::State;
use super::trap::{self, Ending};
use crate::capability::Capabilities;
use crate::clock;
use crate::egress::Egress;
use crate::limits::Limits;
use crate::model::{Blame, Fault, Gap, KubernetesAsked, Name, Point, Reason, Transfer};
use crate::policy::Grant;

/// What an attempt is given.
pub struct Attempt {
    pub collector: Name,
    pub settings: Arc<BTreeMap<String, String>>,
    pub grants: Vec<Grant>,
    pub limits: Limits,
    pub egress: Arc<Egress>,
    /// What the manifest asks of the cluster's API.
    pub kubernetes: KubernetesAsked,
    pub capabilities: Arc<Capabilities>,
    /// Where accepted points stand before `emit` answers; none where nothing is delivered.
    pub journal: Option<Arc<dyn Journal>>,
    /// What the guest's wall clock says.
    pub now: Timestamp,
    /// When it is over.
    pub deadline: Instant,
    /// Whether it is over then because the cycle is, and not by its own limit.
    pub ends_with_cycle: bool,
    /// Ends it at once.
    pub stop: CancellationToken,
}

/// What is kept of an attempt, however it ended.
#[derive(Debug)]
pub struct AttemptResult {
    pub points: Vec<Point>,
    pub gaps: Vec<Gap>,
    pub fault: Option<Fault>,
    pub fuel_used: u64,
    pub memory_peak_bytes: u64,
    pub http: Transfer,
    pub log_dropped_bytes: u64,
    /// What starting the component up took, its start section included.
    pub started_in: Duration,
}

/// Compiled code keeps its count to itself between these steps, so an attempt that is ended while it spins is known to have
/// used so much fuel and at most this much more. It is about a millisecond.
const FUEL_READ_INTERVAL: u64 = 10_000_000;

type Called = wasmtime::Result<Result<(), wit::Fault>>;

impl Runtime {
    /// Runs one attempt to its end, on the guests' threads.
    pub async fn attempt(&self, loaded: &Loaded, attempt: Attempt) -> AttemptResult {
        let store = match self.store(loaded, &attempt) {
            Ok(store) => store,
            Err(e) => return AttemptResult::host_bug(format!("no store: {e:#}")),
        };
        match self.guests().map(|guests| guests.spawn(run(store, loaded.clone(), attempt))) {
            Some(task) => task.await.unwrap_or_else(|e| AttemptResult::host_bug(format!("the attempt's task: {e}"))),
            None => AttemptResult::host_bug("the runtime is gone".into()),
        }
    }

    fn store(&self, loaded: &Loaded, attempt: &Attempt) -> wasmtime::Result<Store<State>> {
        let limits = &attempt.limits;
        let log = GuestLog::new(&attempt.collector, limits.log, attempt.egress.redactor());
        let quota = Quota::new(limits, attempt.deadline, self.control.clone());
        let web = Web {
            collector: attempt.collector.clone(),
            grants: attempt.grants.clone().into(),
            egress: attempt.egress.clone(),
            quota: quota.clone(),
        };
        let state = State {
            wasi: wasi::context(attempt.now, &log),
            table: wasmtime::component::ResourceTable::new(),
            limiter: Limiter::new(limits),
            ledger: Ledger::new(loaded.declared.clone(), limits, attempt.journal.clone()),
            journal: attempt.journal.clone(),
            log,
            settings: attempt.settings.clone(),
            web,
            quota,
            kubernetes: attempt.kubernetes.clone(),
            capabilities: attempt.capabilities.clone(),
            last_at_work: clock::instant(),
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limiter);
        if self.metering == Metering::Full {
            // A store begins without fuel and with its epoch over: both are set before anything of the guest runs.
            store.set_fuel(limits.fuel)?;
            store.fuel_async_yield_interval(Some(FUEL_READ_INTERVAL))?;
            store.set_epoch_deadline(1);
            store.epoch_deadline_callback(|mut store| {
                store.data_mut().last_at_work = clock::instant();
                Ok(UpdateDeadline::Yield(1))
            });
        }
        store.set_hostcall_fuel(limits.hostcall.as_usize());
        store.set_max_component_handles(limits.handles as usize);
        Ok(store)
    }
}

async fn run(mut store: Store<State>, loaded: Loaded, attempt: Attempt) -> AttemptResult {
    let started = clock::instant();
    let mut started_in = Duration::ZERO;
    let call = async {
        let collector = loaded.pre.instantiate_async(&mut store).await?;
        started_in = clock::instant().saturating_duration_since(started);
        store.run_concurrent(async |accessor| collector.call_collect(accessor).await).await?
    };
    let ended = bounded(call, attempt.deadline, &attempt.stop).await;
    let limits = &attempt.limits;
    let fuel_used = limits.fuel.saturating_sub(store.get_fuel().unwrap_or_default());
    let was_waiting = store.data().is_waiting();
    // The store goes at once: only that drops the host calls that the guest still waits for.
    let state = store.into_data();
    let fault = match ended {
        Ended::Done(called) => fault_of(called, &state, &attempt),
        Ended::Deadline => Some(deadline_fault(was_waiting, &attempt)),
        Ended::Cancelled => Some(Fault::new(Blame::Host, Reason::Cancelled, "ended by a signal")),
    };
    let redactor = attempt.egress.redactor();
    let fault = fault.map(|fault| Fault { message: redactor.scrub_text(fault.message), ..fault });
    let silence = fault.as_ref().map_or("the collector did not say why", |fault| &fault.message);
    let (points, gaps) = state.ledger.close(silence);
    let clean = |gap: Gap| Gap { reason: redactor.scrub_text(gap.reason), ..gap };
    AttemptResult {
        points,
        gaps: gaps.into_iter().map(clean).collect(),
        fault,
        fuel_used,
        memory_peak_bytes: state.limiter.memory_peak(),
        http: state.quota.meter().read(),
        log_dropped_bytes: state.log.dropped_bytes(),
        started_in,
    }
}

fn fault_of(called: Called, state: &State, attempt: &Attempt) -> Option<Fault> {
    match called {
        Err(error) => {
            let last_words = state.log.last_words();
            let (collector, limits) = (&attempt.collector, &attempt.limits);
            let ending = Ending { collector, limits, limiter: &state.limiter, last_words: &last_words };
            Some(trap::fault(&error, &ending))
        }
        Ok(Err(fault)) => {
            let fault = trap::fault_of_guest(fault);
            // A guest that passes on a refusal calls it its contract; the host knows better which limit it was.
            let is_limit = state.ledger.first_refusal().is_some_and(|refusal| refusal.rule == Rule::Limit);
            let reason = if fault.reason == Reason::Contract && is_limit { Reason::Limit } else { fault.reason };
            Some(Fault { reason, ..fault })
        }
        // Whatever a collector says of itself: a refused point means that it broke its manifest.
        Ok(Ok(())) => state.ledger.first_refusal().map(|refusal| {
            let reason = if refusal.rule == Rule::Limit { Reason::Limit } else { Reason::Contract };
            Fault::new(Blame::Guest, reason, refusal.message.clone())
        }),
    }
}

fn deadline_fault(was_waiting: bool, attempt: &Attempt) -> Fault {
    let (blame, doing) = match was_waiting {
        true => (Blame::Upstream, "while it waited for an upstream"),
        false => (Blame::Guest, "while it was at work"),
    };
    if attempt.ends_with_cycle {
        return Fault::new(blame, Reason::CycleDeadline, format!("the cycle's time was up, {doing}"))
            .hint("raise deadline under [cycle], or run more collectors at once with jobs");
    }
    let what = format!("its time was up, deadline ({}), {doing}", attempt.limits.deadline);
    Fault::new(blame, Reason::Deadline, what)
        .hint(format!("raise deadline under [collector.{}.limits] if it needs longer", attempt.collector))
}

impl AttemptResult {
    /// An attempt that the host itself lost.
    fn host_bug(what: String) -> AttemptResult {
        AttemptResult {
            points: Vec::new(),
            gaps: Vec::new(),
            fault: Some(Fault::new(Blame::Host, Reason::HostBug, what)),
            fuel_used: 0,
            memory_peak_bytes: 0,
            http: Transfer::default(),
            log_dropped_bytes: 0,
            started_in: Duration::ZERO,
        }
    }
}
