//! From the points of a run to the sinks: slot and tags, the spool, a courier for each sink, what each verdict does to a point.
//!
//! - A point is in the spool before its collector is told that it was taken, and stays until every sink has settled it:
//!   delivered, rejected or given up, and counted as exactly one of these.
//! - No sink waits for another one. A sink that says no to its key is not asked again in the cycle.

mod courier;
mod recorder;

pub use courier::{Courier, Patience};
pub use recorder::{Recorder, Seal, common_tags};
