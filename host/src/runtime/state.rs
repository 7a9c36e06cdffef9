//! What a store holds for its guest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::imports::http::Web;
use super::imports::quota::Quota;
use super::journal::Journal;
use super::ledger::Ledger;
use super::limiter::Limiter;
use super::log::GuestLog;
use crate::capability::Capabilities;
use crate::clock;
use crate::model::KubernetesAsked;

/// The host's side of one attempt.
pub(super) struct State {
    pub wasi: WasiCtx,
    pub table: ResourceTable,
    pub limiter: Limiter,
    pub ledger: Ledger,
    /// Where accepted points stand before `emit` answers; none where nothing is delivered.
    pub journal: Option<Arc<dyn Journal>>,
    pub log: GuestLog,
    pub settings: Arc<BTreeMap<String, String>>,
    pub web: Web,
    pub quota: Quota,
    /// What the manifest asks of the cluster's API.
    pub kubernetes: KubernetesAsked,
    pub capabilities: Arc<Capabilities>,
    /// When the guest was last seen at work.
    pub last_at_work: Instant,
}

/// A guest that was at work so shortly before its end did not wait: it gets a turn every few milliseconds.
const AT_WORK: Duration = Duration::from_millis(50);

impl State {
    /// Whether the guest does nothing but wait for an upstream.
    pub fn is_waiting(&self) -> bool {
        let idle = clock::instant().saturating_duration_since(self.last_at_work);
        self.quota.is_waiting() && idle > AT_WORK
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
