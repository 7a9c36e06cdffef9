//! A point as it is delivered: with the cycle's time and all of its tags.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Kind, TagSet};

/// A value of a series at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub series: Arc<str>,
    pub kind: Kind,
    pub unit: Arc<str>,
    /// Finite.
    pub value: f64,
    /// Its own, its collector's and the plan's.
    pub tags: TagSet,
    /// The cycle's slot.
    pub time: Timestamp,
}
