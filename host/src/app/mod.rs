//! All wiring, in one place: plan, runtime, egress, runner, delivery, state.

mod cycle;
mod own_series;
mod signals;

pub use cycle::{CycleOptions, StandIns, run_cycle, spool_options};
pub use own_series::manifest as own_manifest;
