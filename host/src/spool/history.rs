//! What was written, settled or not: a repeated slot's first values, and the series of the last while.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use jiff::Timestamp;

use crate::model::{Sample, SeriesSet, TagSet};

use super::frame::Batch;
use super::segment::{Found, Segment};
use super::{Shared, Spool, lock, slot_of, slot_text};

/// Values of one slot: by series, then by all tags.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlotValues(HashMap<Arc<str>, HashMap<TagSet, f64>>);

impl SlotValues {
    /// The value that was written first.
    pub fn get(&self, series: &str, tags: &TagSet) -> Option<f64> {
        self.0.get(series)?.get(tags).copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.values().map(HashMap::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Spool {
    /// The values of this slot that earlier cycles have written.
    pub fn values_of_slot(&self) -> SlotValues {
        self.0.values_of(self.0.options.slot)
    }

    /// The newest slot that a cycle has written, and its values.
    pub fn newest_slot(&self) -> Option<(Timestamp, SlotValues)> {
        let newest = lock(&self.0.segments).keys().filter_map(|name| slot_of(name)).max()?;
        Some((newest, self.0.values_of(newest)))
    }

    /// How many points there are of slots after this one.
    pub fn points_after(&self, slot: Timestamp) -> u64 {
        self.0.segments_after(slot).values().map(|segment| segment.points_from(0).unwrap_or_default()).sum()
    }

    /// The series of slots after this one whose points all carry these tags, by the tags that they have besides.
    pub fn series_after(&self, slot: Timestamp, common: &TagSet) -> SeriesSet {
        let mut series = SeriesSet::default();
        for (name, segment) in self.0.segments_after(slot) {
            let mut keep = |batch: &Batch<'_>| {
                if batch.tags == common.as_joined() {
                    batch.series_and_tags().for_each(|(name, tags)| series.insert(name, &tags));
                }
            };
            // Who delivers says what cannot be read.
            drop(self.0.for_each_batch(&name, &segment, segment.len(), &mut keep));
        }
        series
    }
}

impl Shared {
    fn values_of(&self, slot: Timestamp) -> SlotValues {
        let slot = slot_text(slot);
        let segments = lock(&self.segments).clone();
        let mut values = SlotValues::default();
        for (name, segment) in segments.iter().filter(|(name, _)| name.starts_with(&slot)) {
            let mut keep = |sample: Sample| {
                values.0.entry(sample.series).or_default().entry(sample.tags).or_insert(sample.value);
            };
            // Who delivers says what cannot be read.
            drop(self.for_each_sample(name, segment, segment.len(), &mut keep));
        }
        values
    }

    fn segments_after(&self, slot: Timestamp) -> BTreeMap<String, Arc<Segment>> {
        let segments = lock(&self.segments).clone();
        segments.into_iter().filter(|(name, _)| slot_of(name).is_some_and(|of| of > slot)).collect()
    }

    /// All samples of a segment up to `end`, as far as they can be read.
    pub(super) fn for_each_sample(
        &self,
        name: &str,
        segment: &Segment,
        end: u64,
        take: &mut dyn FnMut(Sample),
    ) -> io::Result<()> {
        self.for_each_batch(name, segment, end, &mut |batch| batch.samples().for_each(&mut *take))
    }

    /// All batches of a segment up to `end`, as far as they can be read.
    fn for_each_batch(
        &self,
        name: &str,
        segment: &Segment,
        end: u64,
        take: &mut dyn FnMut(&Batch<'_>),
    ) -> io::Result<()> {
        let mut offset = 0;
        loop {
            match segment.read(offset, end)? {
                Found::Frame { header, batch, next } => {
                    if let Some(batch) = header.batch(&batch) {
                        take(&batch);
                    }
                    offset = next;
                }
                Found::Gap { next, is_damage } => {
                    if is_damage {
                        self.damaged(name, segment, offset, next);
                    }
                    offset = next;
                }
                Found::End => return Ok(()),
            }
        }
    }
}
