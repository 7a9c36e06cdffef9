//! Samples as they go over the wire together.

use std::ops::Range;

use bytes::Bytes;

/// Samples that go together.
#[derive(Clone, Debug)]
pub struct Payload {
    /// Which of the samples that were encoded.
    pub samples: Range<usize>,
    /// As it is sent; none where one sample alone is over a limit.
    pub(super) body: Option<Bytes>,
}

impl Payload {
    /// The same payload, where its samples stand so much further on.
    #[must_use]
    pub fn moved_by(mut self, samples: usize) -> Payload {
        self.samples.start += samples;
        self.samples.end += samples;
        self
    }
}
