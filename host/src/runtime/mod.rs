//! Runs collectors: the only place that names wasmtime.
//!
//! - A fresh store for every attempt; an interrupted one is never used again and is dropped at once, as only that drops the
//!   host calls that it still waits for.
//! - Guests run on threads of their own, apart from HTTP and timers: a guest that spins delays neither.
//! - Wall time ends an attempt from outside, wherever it is; fuel ends it from inside, at the same instruction every time.

mod bindings;
mod bounded;
mod budget;
mod cache;
mod engine;
mod imports;
mod invoke;
mod journal;
mod ledger;
mod limiter;
mod log;
mod state;
mod ticker;
mod trap;

pub use cache::Cache;
pub use engine::{Loaded, Metering, Options, Runtime, RuntimeError};
pub use invoke::{Attempt, AttemptResult};
pub use journal::Journal;
