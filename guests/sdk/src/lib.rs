//! What a collector author writes against: the [`Collector`] trait, requests, points and gaps, settings, and fixtures.
//!
//! A collector is a folder with `collector.toml` (what it emits and asks for), `src/api.rs` or `src/api/` (requests and typed rows),
//! `src/measure.rs` (pure: rows in, a [`Sheet`] out) and `src/lib.rs`:
//!
//! ```ignore
//! mod api;
//! mod measure;
//!
//! use collector_sdk::{Collector, Fault, emit, now};
//!
//! pub struct Rockets;
//!
//! impl Collector for Rockets {
//!     async fn collect() -> Result<(), Fault> {
//!         let answers = api::ask().await?;
//!         emit(measure::measure(&answers, now()))
//!     }
//! }
//!
//! collector_sdk::export!(Rockets);
//! ```
//!
//! The same code runs natively: there [`testing`] answers the requests from fixtures.

mod boundary;
mod collector;
pub mod ec2;
mod fault;
pub mod http;
pub mod kubernetes;
pub mod last_values;
pub mod log;
pub mod settings;
mod sheet;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod time;
pub mod workloads;

pub use collector::Collector;
pub use fault::{Blame, Fault, Reason};
pub use futures;
pub use jiff::Timestamp;
pub use sheet::{Gap, Point, Sheet, emit};
pub use time::now;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub use boundary::bindings;
