//! From the points of a run to the sinks: slot and tags, a queue for each sink, what each verdict does to a point.
//!
//! - A point that was handed over is delivered, rejected or deferred, and counted as exactly one of these.
//! - No sink waits for another one. A sink that says no to its key is not asked again in the cycle.

mod courier;
mod seal;

pub use courier::Courier;
pub use seal::Seal;
