//! What a sink said about points.

use std::time::Duration;

use jiff::SignedDuration;

/// What became of some points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Acknowledged.
    Delivered,
    /// Acknowledged, but for so many of them, which were refused for good. Where that is none, the reason is a warning.
    DeliveredInPart { rejected: u64, reason: String },
    /// Refused for good: sending them again changes nothing.
    Rejected { reason: String },
    /// Refused together: half as many may be taken.
    TooLarge,
    /// Not now. `wait` is what the intake asks for.
    Deferred { reason: String, wait: Option<Duration> },
    /// Not before somebody has looked: kept, and not tried again in this cycle.
    Held { reason: String },
}

/// What came of sending a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub verdict: Verdict,
    /// By how much this machine's clock is behind the sink's, where the answer says what time it is there (`Date`, to a second).
    pub clock_behind: Option<SignedDuration>,
}

impl From<Verdict> for Sent {
    fn from(verdict: Verdict) -> Sent {
        Sent { verdict, clock_behind: None }
    }
}
