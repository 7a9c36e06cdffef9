//! What the runner says while a cycle goes on. Reporters read it; nothing else comes out of the runner.

use std::time::Duration;

use jiff::Timestamp;

use super::{Fault, Name, RunSummary};

/// Something that happened in a cycle.
#[derive(Clone, Debug)]
pub enum Event {
    /// The cycle begins with these collectors.
    CycleStarted { collectors: Vec<Name>, deadline: Duration },
    /// An earlier cycle has written points of this slot: those values stand.
    SlotRepeats { slot: Timestamp, values: usize },
    /// A run's first attempt begins.
    RunStarted { collector: Name },
    /// An attempt went wrong and another one follows.
    AttemptFailed { collector: Name, attempt: u32, fault: Fault, pause: Duration },
    /// A run is over.
    RunEnded(Box<RunSummary>),
    /// SIGTERM or SIGINT came: attempts are ended.
    Interrupted { signal: &'static str },
    /// All runs are over; what is left of the time is for delivery.
    Delivering { points: usize },
    /// A push was not taken and is tried again.
    PushDeferred { sink: String, reason: String, pause: Duration },
}
