//! What guests import: one file for each interface.

mod ec2;
pub(super) mod http;
mod kubernetes;
mod last_values;
mod logging;
mod metrics;
pub(super) mod quota;
mod settings;
pub(super) mod wasi;
mod workloads;

use wasmtime::component::{HasSelf, Linker};

use super::bindings::collector::host as wit;
use super::state::State;

/// Links everything that exists. What a component may import was decided before, by name (`policy::check_import`).
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wit::faults::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wit::http::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wit::settings::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wit::logging::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wit::kubernetes::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wit::ec2::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wit::last_values::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wit::workloads::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    metrics::link(linker)
}

impl wit::faults::Host for State {}
