//! What a sink said about points.

use std::time::Duration;

/// What became of some points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Acknowledged.
    Delivered,
    /// Refused for good: sending them again changes nothing.
    Rejected { reason: String },
    /// Not now. `wait` is what the intake asks for.
    Deferred { reason: String, wait: Option<Duration> },
    /// Not with this key: kept, and not tried again until somebody has looked.
    Held { reason: String },
}

/// A verdict on the next `samples` of what was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    pub samples: usize,
    pub verdict: Verdict,
}
