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
    /// Written in a way that the intake does not read: to be encoded again, as the sink does from now on.
    EncodeAnew,
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

impl Verdict {
    /// Whether a request that held no points would have been taken with points.
    ///
    /// # Errors
    /// Why it would not.
    pub(super) fn into_result(self) -> Result<(), String> {
        match self {
            Verdict::Delivered | Verdict::DeliveredInPart { .. } => Ok(()),
            Verdict::Rejected { reason } | Verdict::Deferred { reason, .. } | Verdict::Held { reason } => Err(reason),
            Verdict::TooLarge => Err("413".into()),
            Verdict::EncodeAnew => Err("the intake does not read what this sink writes".into()),
        }
    }
}

impl From<Verdict> for Sent {
    fn from(verdict: Verdict) -> Sent {
        Sent { verdict, clock_behind: None }
    }
}
