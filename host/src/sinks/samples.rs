//! Samples for the tests of sinks.

use jiff::Timestamp;

use crate::model::{Kind, Sample, TagSet};

/// 2025-10-24T12:00:00Z
const SLOT: Timestamp = Timestamp::constant(1_761_307_200, 0);

/// A gauge of unit `count`, of one slot.
pub(super) fn gauge(series: &str, value: f64, tags: &[&str]) -> Sample {
    Sample {
        series: series.into(),
        kind: Kind::Gauge,
        unit: "count".into(),
        value,
        tags: TagSet::new(tags.iter().copied()),
        time: SLOT,
    }
}
