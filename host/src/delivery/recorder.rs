//! Points into the spool: with the cycle's slot, and everybody's tags.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::FixedState;
use jiff::{SignedDuration, Timestamp};

use crate::model::{Kind, Manifest, Name, PointRef, SeriesSet, TagSet};
use crate::spool::{Batch, BatchPoint, BatchSeries, SlotValues, Spool};

/// Points of a frame at most: what a sink is behind by when the process dies.
const FRAME_POINTS_MAX: usize = 2_000;

/// Datadog counts custom metrics by the hour.
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// What all points of a cycle have in common.
#[derive(Clone, Debug)]
pub struct Seal {
    spool: Spool,
    slot: Timestamp,
    /// The plan's tags, `key:value`.
    tags: Vec<String>,
    /// What an earlier cycle of this slot has written, by series and all tags: a slot's values are written once.
    earlier: Arc<SlotValues>,
    /// Points of all collectors within the hour before this cycle.
    points_of_hour: usize,
}

/// Writes one collector's points.
#[derive(Debug)]
pub struct Recorder {
    spool: Spool,
    slot: Timestamp,
    /// What all of its points carry.
    tags: TagSet,
    series: HashMap<String, (Kind, String), FixedState>,
    earlier: Arc<SlotValues>,
    points_of_hour: usize,
    /// Points that it has written.
    written: AtomicUsize,
}

impl Seal {
    /// For the points of a slot. Reads what earlier cycles of the slot have written.
    pub fn new(spool: &Spool, slot: Timestamp, tags: &[String]) -> Seal {
        let (earlier, points) = (Arc::new(spool.values_of_slot()), spool.points_after(hour_before(slot)));
        let points_of_hour = usize::try_from(points).unwrap_or(usize::MAX);
        Seal { spool: spool.clone(), slot, tags: tags.to_vec(), earlier, points_of_hour }
    }

    /// Where its points go.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// How many values an earlier cycle of the slot has written.
    pub fn repeats(&self) -> usize {
        self.earlier.len()
    }

    /// A recorder for a collector's points; `tags` are the collector's.
    pub fn recorder(&self, collector: &Name, manifest: &Manifest, tags: &[String]) -> Recorder {
        let series = manifest.series.iter().map(|series| (series.name.clone(), (series.kind, series.unit.clone())));
        Recorder {
            spool: self.spool.clone(),
            slot: self.slot,
            tags: common_tags(&self.tags, collector, tags),
            series: series.collect(),
            earlier: self.earlier.clone(),
            points_of_hour: self.points_of_hour,
            written: AtomicUsize::new(0),
        }
    }
}

/// What all points of a collector carry: the plan's tags, its own, and the one by which people have always told collectors apart,
/// `source:health-fom-collector`.
pub fn common_tags(plan: &[String], collector: &Name, own: &[String]) -> TagSet {
    let source = format!("source:{}-collector", collector.as_str().replace('_', "-"));
    TagSet::new(plan.iter().chain(own).chain([&source]).map(String::as_str))
}

fn hour_before(slot: Timestamp) -> Timestamp {
    slot.checked_sub(HOUR).unwrap_or(Timestamp::MIN)
}

impl Recorder {
    /// Writes points; when this returns, the death of the process does not lose them.
    pub fn write<'a>(&self, points: impl Iterator<Item = PointRef<'a>>) {
        let mut batch = self.batch();
        let mut places: HashMap<&str, u32, FixedState> = HashMap::default();
        let mut last: Option<(&str, u32)> = None;
        let mut written = 0;
        for PointRef { series, value, tags } in points {
            let place = match last.filter(|(name, _)| *name == series) {
                Some((_, place)) => place,
                None => *places.entry(series).or_insert_with(|| {
                    let (kind, unit) = self.series.get(series).map_or((Kind::Gauge, ""), |(kind, unit)| (*kind, unit));
                    batch.series.push(BatchSeries { name: series, kind, unit });
                    batch.series.len() as u32 - 1
                }),
            };
            last = Some((series, place));
            let value = self.earlier_value(series, tags).unwrap_or(value);
            batch.points.push(BatchPoint { series: place, value, tags: tags.as_joined() });
            written += 1;
            if batch.points.len() >= FRAME_POINTS_MAX {
                self.spool.append(&batch);
                batch = self.batch();
                places.clear();
                last = None;
            }
        }
        self.spool.append(&batch);
        self.written.fetch_add(written, Ordering::Relaxed);
    }

    /// Points, or more, that the collector has had within the hour that ends with the slot.
    pub fn points_within_hour(&self) -> usize {
        self.points_of_hour.saturating_add(self.written.load(Ordering::Relaxed))
    }

    /// Their series, by the tags that the collector gave them.
    pub fn series_within_hour(&self) -> SeriesSet {
        self.spool.series_after(hour_before(self.slot), &self.tags)
    }

    fn batch<'a>(&'a self) -> Batch<'a> {
        Batch { time: self.slot.as_second(), tags: self.tags.as_joined(), series: Vec::new(), points: Vec::new() }
    }

    fn earlier_value(&self, series: &str, tags: &TagSet) -> Option<f64> {
        if self.earlier.is_empty() {
            return None;
        }
        let all = self.tags.with(tags.as_joined());
        self.earlier.get(series, &all)
    }
}
