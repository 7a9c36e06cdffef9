//! Samples as they go over the wire together, and how they are cut so that no payload is over its intake's limits.

use std::io::Write;
use std::ops::Range;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::model::Sample;

/// Samples that go together.
#[derive(Clone, Debug)]
pub struct Payload {
    /// Which of the samples that were encoded.
    pub samples: Range<usize>,
    /// As it is sent; none where one sample alone is over a limit.
    pub(super) body: Option<Bytes>,
    /// The version of the protocol in which it is written, where its sink speaks several.
    pub(super) version: u8,
    /// Samples that are not in the body, as another one has their place there.
    pub(super) left_out: u64,
}

impl Payload {
    /// Of a sink that speaks one way only.
    pub(super) fn new(samples: Range<usize>, body: Option<Bytes>) -> Payload {
        Payload { samples, body, version: 0, left_out: 0 }
    }

    /// The same payload, where its samples stand so much further on.
    #[must_use]
    pub fn moved_by(mut self, samples: usize) -> Payload {
        self.samples.start += samples;
        self.samples.end += samples;
        self
    }
}

/// Makes one raw body of as many samples from the front as fit, at least one, and says how many those are.
type Join<'a> = &'a dyn Fn(&[Sample]) -> (Vec<u8>, usize);

/// Makes what is sent of a raw body; nothing where that is over a limit.
type Pack<'a> = &'a dyn Fn(&[u8]) -> Option<Bytes>;

/// Cuts samples into payloads, in order.
pub(super) fn cut(samples: &[Sample], join: Join<'_>, pack: Pack<'_>) -> Vec<Payload> {
    let mut all = Vec::new();
    let mut start = 0;
    while start < samples.len() {
        let (raw, taken) = join(&samples[start..]);
        let range = start..start + taken;
        start = range.end;
        match pack(&raw) {
            // It packs worse than what the intake takes: half as much will do.
            None if taken > 1 => {
                let middle = range.start + taken / 2;
                for half in [range.start..middle, middle..range.end] {
                    let from = half.start;
                    all.extend(cut(&samples[half], join, pack).into_iter().map(|payload| payload.moved_by(from)));
                }
            }
            body => all.push(Payload::new(range, body)),
        }
    }
    all
}

/// The bytes in gzip.
pub(super) fn gzip(raw: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(raw.len() / 8), Compression::fast());
    encoder.write_all(raw).ok()?;
    encoder.finish().ok().map(Bytes::from)
}
