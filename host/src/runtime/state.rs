//! What a store holds for its guest.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::imports::http::Web;
use super::ledger::Ledger;
use super::limiter::Limiter;
use super::log::GuestLog;

/// The host's side of one attempt.
pub(super) struct State {
    pub wasi: WasiCtx,
    pub table: ResourceTable,
    pub limiter: Limiter,
    pub ledger: Ledger,
    pub log: GuestLog,
    pub settings: Arc<BTreeMap<String, String>>,
    pub web: Web,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
