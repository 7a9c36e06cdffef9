//! The engine, and how a component becomes something that can be run: compiled once, linked once, kept on disk.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{OnceCell, Semaphore};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::Cache;
use super::bindings::CollectorPre;
use super::imports;
use super::ledger::Declared;
use super::limiter::MEMORIES_MAX;
use super::state::State;
use super::ticker::Ticker;
use super::trap::{self, FRAMES_OF_A_RECURSION};
use crate::catalog::{ComponentFile, Digest};
use crate::clock;
use crate::limits::ByteSize;
use crate::model::{Blame, Fault, Reason};

/// What the engine is made for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where compiled components are kept; none keeps none.
    pub cache: Option<Cache>,
    /// How many attempts run at once.
    pub slots: usize,
    /// The largest linear memory of any of them.
    pub memory_max: ByteSize,
    /// The largest table of any of them, in elements.
    pub table_elements_max: u32,
    /// The most core instances, or tables, of any of them.
    pub instances_max: u32,
    /// Threads that guests run on.
    pub threads: usize,
    pub metering: Metering,
}

/// Whether guests are held to their limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metering {
    #[default]
    Full,
    /// Neither fuel nor epochs: a guest that spins never ends. No plan asks for this; benchmarks do, to see what limits cost.
    None,
}

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("no WebAssembly engine: {0:#}")]
    Engine(wasmtime::Error),
    #[error("no threads for collectors: {0}")]
    Threads(std::io::Error),
}

/// A component that is linked, or the place that its linking will put it.
type Linked = Arc<OnceCell<Result<CollectorPre<State>, Fault>>>;

/// Runs attempts. Everything of wasmtime that outlives an attempt is in here.
pub struct Runtime {
    pub(super) engine: Engine,
    linker: Linker<State>,
    cache: Option<Cache>,
    /// Compiled components are read so many at once, each into one of these: they are megabytes, and more than there are processors are
    /// ready no sooner.
    reading: Semaphore,
    buffers: Mutex<Vec<Vec<u8>>>,
    pub(super) metering: Metering,
    /// What the engine compiles for, as part of a file's name.
    target: String,
    ready: Mutex<HashMap<Digest, Linked>>,
    /// None only while it is dropped.
    guests: Option<tokio::runtime::Runtime>,
    /// Connections and timers: the runtime that this one was started on.
    pub(super) control: Handle,
    _ticker: Ticker,
}

/// A collector that can be run: its component, linked, and the series that it may emit.
#[derive(Clone)]
pub struct Loaded {
    pub(super) pre: CollectorPre<State>,
    pub(super) declared: Arc<Declared>,
}

impl Runtime {
    /// Starts an engine, its clock and the guests' threads. Call it on the runtime that does the I/O.
    ///
    /// # Errors
    /// Where the machine has no room for an engine or its threads.
    pub fn start(options: &Options) -> Result<Runtime, RuntimeError> {
        let engine = pooling(options).or_else(|pool| {
            // A machine may have too little address space for a pool; then every instance asks for its own.
            tracing::debug!("no pool of {} instances, so each is allocated by itself: {pool:#}", options.slots);
            Engine::new(&config(options)).map_err(RuntimeError::Engine)
        })?;
        let mut linker = Linker::new(&engine);
        imports::link(&mut linker).map_err(RuntimeError::Engine)?;
        let guests = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .thread_name("guest")
            // Measured: with tokio's default of 61 polls, guests that yield every millisecond delay a timer by 60 ms.
            .event_interval(1)
            .enable_time()
            .build()
            .map_err(RuntimeError::Threads)?;
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Runtime {
            _ticker: Ticker::start(&engine).map_err(RuntimeError::Threads)?,
            target: format!("{}-{:016x}", std::env::consts::ARCH, hasher.finish()),
            cache: options.cache.clone(),
            reading: Semaphore::new(std::thread::available_parallelism().map_or(1, NonZeroUsize::get)),
            buffers: Mutex::default(),
            metering: options.metering,
            ready: Mutex::default(),
            guests: Some(guests),
            control: Handle::current(),
            engine,
            linker,
        })
    }

    /// Compiles a component, or reads it from the cache, and links it, on a thread of its own. Every component is compiled
    /// once, however many collectors run it.
    ///
    /// # Errors
    /// Where the bytes are not a component, or its imports and exports are not those of the contract.
    pub async fn load(
        self: &Arc<Self>,
        file: &ComponentFile,
        settings: &BTreeMap<String, String>,
    ) -> Result<Loaded, Fault> {
        let cell = {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            ready.entry(file.digest).or_default().clone()
        };
        let link = || async {
            let (runtime, file) = (self.clone(), file.clone());
            let linking = tokio::task::spawn_blocking(move || runtime.link(&file));
            let broken = |e| Fault::new(Blame::Host, Reason::HostBug, format!("compiling broke down: {e}"));
            linking.await.map_err(broken)?
        };
        let pre = cell.get_or_init(link).await.clone()?;
        let declared = Arc::new(Declared::new(file.manifest.series_with(settings)));
        Ok(Loaded { pre, declared })
    }

    fn link(&self, file: &ComponentFile) -> Result<CollectorPre<State>, Fault> {
        let fault = |reason, what: &str, error: wasmtime::Error| {
            Fault::new(Blame::Settings, reason, format!("{} {what}: {error:#}", file.path.display()))
        };
        let component = self.component(file).map_err(|e| {
            let too_much = trap::of_pool(&e);
            too_much.unwrap_or_else(|| fault(Reason::BadComponent, "cannot be compiled", e))
        })?;
        let linked = self.linker.instantiate_pre(&component).and_then(CollectorPre::new);
        linked.map_err(|e| fault(Reason::NotACollector, "is of another world", e))
    }

    fn component(&self, file: &ComponentFile) -> wasmtime::Result<Component> {
        if let Some(component) = self.kept(file) {
            return Ok(component);
        }
        let started = clock::instant();
        let component = Component::new(&self.engine, &file.bytes)?;
        tracing::debug!("{} compiled in {} ms", file.path.display(), clock::ms_since(started));
        if let Some(cache) = &self.cache {
            cache.write(&file.digest, &self.target, &component.serialize()?);
        }
        Ok(component)
    }

    /// The component as the cache has it, if it has. Blocks.
    fn kept(&self, file: &ComponentFile) -> Option<Component> {
        let cache = self.cache.as_ref()?;
        let _turn = self.control.block_on(self.reading.acquire()).ok()?;
        let buffers = || self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = buffers().pop().unwrap_or_default();
        let compiled = cache.read(&file.digest, &self.target, &mut buffer);
        let opened = compiled.map(|compiled| open_precompiled(&self.engine, compiled));
        buffers().push(buffer);
        let told = |e: &wasmtime::Error| tracing::warn!("{}: compiled anew: {e:#}", file.path.display());
        opened?.inspect_err(told).ok()
    }

    /// The runtime that guests run on.
    pub(super) fn guests(&self) -> Option<&Handle> {
        self.guests.as_ref().map(tokio::runtime::Runtime::handle)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Without waiting: whatever still runs there is a guest that nobody waits for.
        if let Some(guests) = self.guests.take() {
            guests.shutdown_background();
        }
    }
}

/// Opens what this process, or one before it, compiled.
#[expect(unsafe_code, reason = "compiled code is trusted by its nature; what makes it so is said below")]
fn open_precompiled(engine: &Engine, compiled: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes were made by `Component::serialize` for this very component (the entry's name holds its digest) and
    // this engine (its name holds the compatibility hash, and wasmtime checks it again). `Cache::read` has checked that they
    // are whole and that nobody but this user could have written them; they are in memory, so nobody can change them now.
    unsafe { Component::deserialize(engine, compiled) }
}

fn config(options: &Options) -> Config {
    let is_metered = options.metering == Metering::Full;
    let mut config = Config::new();
    config.epoch_interruption(is_metered).consume_fuel(is_metered);
    // Deep enough to tell a recursion without end from a stray access.
    config.wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES_OF_A_RECURSION));
    config
}

/// Slots whose memory is given back together.
const DECOMMIT_BATCH: usize = 16;

fn pooling(options: &Options) -> wasmtime::Result<Engine> {
    let slots = u32::try_from(options.slots.max(1)).unwrap_or(u32::MAX);
    let each = |number: u32| slots.saturating_mul(number);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(each(options.instances_max))
        .total_memories(each(MEMORIES_MAX))
        .total_tables(each(options.instances_max))
        .total_stacks(each(2))
        .max_memory_size(options.memory_max.as_usize())
        .table_elements(options.table_elements_max as usize)
        .max_core_instances_per_component(options.instances_max)
        .max_tables_per_component(options.instances_max)
        .max_memories_per_component(MEMORIES_MAX)
        // Giving memory back interrupts every core; slots are given back a few at a time.
        .decommit_batch_size(DECOMMIT_BATCH);
    let mut config = config(options);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}
