//! What goes over the wire for an attempt, counted where it survives the attempt's end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::ByteSize;
use crate::model::Transfer;

use super::Failure;

/// Counters of one attempt. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    bytes: AtomicU64,
    throttled: AtomicU64,
    not_modified: AtomicU64,
}

impl Meter {
    /// Counts a request that goes out.
    pub fn count_request(&self) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts bytes that came.
    pub fn count_bytes(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts an answer that asked for patience.
    pub fn count_throttled(&self) {
        self.0.throttled.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an answer that says that nothing has changed.
    pub fn count_not_modified(&self) {
        self.0.not_modified.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn read(&self) -> Transfer {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Transfer {
            requests: read(&self.0.requests),
            bytes: read(&self.0.bytes),
            throttled: read(&self.0.throttled),
            not_modified: read(&self.0.not_modified),
        }
    }
}

/// The memory that bodies being read may hold together. Clones share it.
#[derive(Clone, Debug)]
pub struct Buffer {
    used: Arc<AtomicU64>,
    max: ByteSize,
}

/// Bytes of a [`Buffer`] in use; given back when dropped.
#[derive(Debug)]
pub struct Held {
    buffer: Buffer,
    bytes: u64,
}

impl Buffer {
    pub fn new(max: ByteSize) -> Buffer {
        Buffer { used: Arc::default(), max }
    }

    /// The beginning of a body that is read.
    pub fn hold_nothing(&self) -> Held {
        Held { buffer: self.clone(), bytes: 0 }
    }
}

impl Held {
    /// Holds so many bytes more.
    ///
    /// # Errors
    /// Where that is more than the buffer has room for.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Failure> {
        let bytes = bytes as u64;
        let before = self.buffer.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before + bytes > self.buffer.max.0 {
            return Err(Failure::limit("response_buffer, all answers being read together", self.buffer.max));
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.buffer.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_together_and_given_back() {
        let buffer = Buffer::new(ByteSize(10));
        let (mut a, mut b) = (buffer.hold_nothing(), buffer.hold_nothing());
        assert!(a.grow(6).is_ok() && b.grow(4).is_ok() && b.grow(1).is_err());
        drop(b);
        assert!(a.grow(4).is_ok() && a.grow(1).is_err());
    }
}
