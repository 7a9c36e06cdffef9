//! A frame: the points of one call, as bytes that say themselves whether they are whole.
//!
//! ```text
//! magic "CHSF" | bytes of the batch: u32 | points: u32 | CRC-32 of both and the batch: u32 | the batch, by postcard
//! ```
//! Numbers are little-endian. A frame that was cut off or changed is seen; the next whole one is found by its magic and sum.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Kind, Sample, TagSet};

const MAGIC: [u8; 4] = *b"CHSF";
pub(super) const HEADER_BYTES: usize = 16;
/// A longer frame is none: a call's points are cut into frames before.
pub(super) const BATCH_BYTES_MAX: usize = 8 << 20;

/// Points of one time that one collector emitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch<'a> {
    /// Seconds since 1970.
    pub time: i64,
    /// What all points carry: a [`TagSet`] as one text.
    pub tags: &'a str,
    #[serde(borrow)]
    pub series: Vec<BatchSeries<'a>>,
    #[serde(borrow)]
    pub points: Vec<BatchPoint<'a>>,
}

/// A series that points of the batch belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchSeries<'a> {
    pub name: &'a str,
    pub kind: Kind,
    pub unit: &'a str,
}

/// A point.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchPoint<'a> {
    /// Its place in the batch's series.
    pub series: u32,
    pub value: f64,
    /// Its own tags, as one text.
    pub tags: &'a str,
}

/// What stands before a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub batch_bytes: usize,
    pub points: u32,
    sum: u32,
}

impl Batch<'_> {
    /// The frame.
    ///
    /// # Errors
    /// Where it would be longer than a frame may be.
    pub(super) fn to_frame(&self) -> Result<Vec<u8>, postcard::Error> {
        let mut frame = vec![0; HEADER_BYTES];
        frame.reserve(64 * self.points.len());
        let mut frame = postcard::to_extend(self, frame)?;
        let (header, batch) = frame.split_at_mut(HEADER_BYTES);
        if batch.len() > BATCH_BYTES_MAX {
            return Err(postcard::Error::SerializeBufferFull);
        }
        let (bytes, points) = (batch.len() as u32, self.points.len() as u32);
        header[..4].copy_from_slice(&MAGIC);
        header[4..8].copy_from_slice(&bytes.to_le_bytes());
        header[8..12].copy_from_slice(&points.to_le_bytes());
        let sum = sum_of(&header[4..12], batch);
        header[12..].copy_from_slice(&sum.to_le_bytes());
        Ok(frame)
    }

    /// Name and own tags of every point's series.
    pub fn series_and_tags(&self) -> impl Iterator<Item = (&str, TagSet)> {
        self.points.iter().filter_map(|point| {
            let series = self.series.get(point.series as usize)?;
            Some((series.name, TagSet::of_joined(point.tags)))
        })
    }

    /// The points with all of their tags and the time.
    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        let series: Vec<(Arc<str>, Kind, Arc<str>)> =
            self.series.iter().map(|series| (series.name.into(), series.kind, series.unit.into())).collect();
        let time = Timestamp::from_second(self.time).unwrap_or_default();
        let common = TagSet::of_joined(self.tags);
        self.points.iter().filter_map(move |point| {
            let (name, kind, unit) = series.get(point.series as usize)?;
            let tags = common.with(point.tags);
            Some(Sample { series: name.clone(), kind: *kind, unit: unit.clone(), value: point.value, tags, time })
        })
    }
}

impl Header {
    /// The header, where these bytes are one.
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let header = Header { batch_bytes: number(4)? as usize, points: number(8)?, sum: number(12)? };
        (bytes.get(..4)? == MAGIC && header.batch_bytes <= BATCH_BYTES_MAX).then_some(header)
    }

    /// Whether these bytes are the batch that was written after this header.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        let lengths = [(self.batch_bytes as u32).to_le_bytes(), self.points.to_le_bytes()].concat();
        bytes.len() == self.batch_bytes && sum_of(&lengths, bytes) == self.sum
    }

    /// The batch that these bytes are; none where this program cannot read it.
    pub fn batch<'a>(&self, bytes: &'a [u8]) -> Option<Batch<'a>> {
        let batch: Batch<'_> = postcard::from_bytes(bytes).ok()?;
        (batch.points.len() == self.points as usize).then_some(batch)
    }
}

/// Where the next header may begin in these bytes, from `from` on.
pub(super) fn next_magic(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(bytes.get(from..)?, &MAGIC).map(|at| from + at)
}

/// Whether these bytes are how a frame begins that is longer than they are.
pub(super) fn is_beginning(bytes: &[u8]) -> bool {
    match Header::read(bytes) {
        Some(header) => bytes.len() < HEADER_BYTES + header.batch_bytes,
        None => bytes.len() < HEADER_BYTES && bytes.iter().zip(MAGIC).all(|(byte, magic)| *byte == magic),
    }
}

fn sum_of(lengths: &[u8], batch: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(lengths);
    sum.update(batch);
    sum.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch(points: &[(u32, f64, String)]) -> Batch<'_> {
        Batch {
            time: 1_761_307_200,
            tags: "env:test\nsource:a",
            series: ["a.x", "a.y"].map(|name| BatchSeries { name, kind: Kind::Gauge, unit: "count" }).to_vec(),
            points: points
                .iter()
                .map(|(series, value, tags)| BatchPoint { series: *series, value: *value, tags })
                .collect(),
        }
    }

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let points = [(0, 1.5, "n:1".to_owned()), (1, -2.0, String::new())];
        let frame = batch(&points).to_frame().unwrap();
        let header = Header::read(&frame).unwrap();
        let read = header.batch(&frame[HEADER_BYTES..]).unwrap();
        assert_eq!((header.points, &read), (2, &batch(&points)));
        let samples: Vec<Sample> = read.samples().collect();
        assert_eq!((&*samples[0].series, samples[0].tags.to_string()), ("a.x", "env:test,n:1,source:a".into()));
        assert_eq!(samples[1].time, "2025-10-24T12:00:00Z".parse().unwrap());
    }

    proptest! {
        #[test]
        fn a_frame_with_any_byte_changed_or_any_tail_cut_off_is_not_whole(
            at in 0usize..4096, bit in 0u8..8, keep in 0usize..4096, count in 1usize..40,
        ) {
            let points: Vec<_> = (0..count).map(|n| (0, n as f64, format!("n:{n}"))).collect();
            let frame = batch(&points).to_frame().unwrap();
            let is_whole = |bytes: &[u8]| {
                let header = Header::read(bytes);
                header.is_some_and(|header| bytes.get(HEADER_BYTES..).is_some_and(|rest| header.is_of(rest)))
            };
            prop_assert!(is_whole(&frame));
            let mut changed = frame.clone();
            changed[at % frame.len()] ^= 1 << bit;
            prop_assert!(!is_whole(&changed));
            prop_assert!(!is_whole(&frame[..keep % frame.len()]));
        }
    }
}
