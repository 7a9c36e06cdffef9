//! What all host calls of an attempt share: how many, how many at once, how much they bring, until when.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::egress::{Bounds, Buffer, Meter};
use crate::limits::{ByteSize, Limits};

/// The bounds of an attempt's calls. Clones are the same attempt's.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct Quota(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    deadline: Instant,
    /// The runtime of connections and timers: a guest that spins must not hold up an answer to another one.
    control: Handle,
    meter: Meter,
    buffer: Buffer,
    asked: AtomicU32,
    in_flight: AtomicU32,
    body_bytes: AtomicU64,
    reports: AtomicU32,
    report_bytes: AtomicU64,
}

/// What a report takes beside its texts: measured, a failure is 430 bytes.
const REPORT_BYTES: u64 = 512;

/// A ceiling that was reached: one line that names it.
#[derive(Debug)]
pub(super) struct Exceeded(pub String);

/// A call in flight.
pub(super) struct Slot(Arc<Shared>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Quota {
    pub fn new(limits: &Limits, deadline: Instant, control: Handle) -> Quota {
        Quota(Arc::new(Shared {
            limits: limits.clone(),
            deadline,
            control,
            meter: Meter::default(),
            buffer: Buffer::new(limits.response_buffer),
            asked: AtomicU32::new(0),
            in_flight: AtomicU32::new(0),
            body_bytes: AtomicU64::new(0),
            reports: AtomicU32::new(0),
            report_bytes: AtomicU64::new(0),
        }))
    }

    /// What went over the wire so far.
    pub fn meter(&self) -> &Meter {
        &self.0.meter
    }

    /// Whether the guest waits for an answer.
    pub fn is_waiting(&self) -> bool {
        self.0.in_flight.load(Ordering::Relaxed) > 0
    }

    /// When the attempt is over.
    pub(super) fn deadline(&self) -> Instant {
        self.0.deadline
    }

    /// What one answer may be.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            deadline: self.0.deadline,
            body_bytes_max: self.0.limits.response_body.0,
            header_bytes_max: self.0.limits.response_headers.0,
            buffer: self.0.buffer.clone(),
        }
    }

    /// Counts a call of one request of so many bytes, and holds it against the bounds of the attempt.
    pub(super) fn admit(&self, request_bytes: usize) -> Result<Slot, Exceeded> {
        self.count_request()?;
        self.enter(request_bytes)
    }

    /// Counts a call that makes its requests later, and holds it against the bounds of the attempt.
    pub(super) fn enter(&self, request_bytes: usize) -> Result<Slot, Exceeded> {
        let Shared { limits, in_flight, .. } = &*self.0;
        let at_once = in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        let slot = Slot(self.0.clone());
        if at_once > limits.requests_at_once {
            return exceeded("more requests in flight", "requests_at_once", &limits.requests_at_once);
        }
        if request_bytes as u64 > limits.request_bytes.0 {
            return exceeded("a larger request", "request_bytes", &limits.request_bytes);
        }
        Ok(slot)
    }

    /// Counts a request.
    pub(super) fn count_request(&self) -> Result<(), Exceeded> {
        let max = self.0.limits.requests;
        match self.0.asked.fetch_add(1, Ordering::Relaxed) < max {
            true => Ok(()),
            false => exceeded("more requests in the attempt", "requests", &max),
        }
    }

    /// Holds the size of one answer against its bound.
    pub(super) fn check_body(&self, bytes: u64) -> Result<(), Exceeded> {
        let max = self.0.limits.response_body;
        match bytes <= max.0 {
            true => Ok(()),
            false => exceeded("a larger answer", "response_body", &max),
        }
    }

    /// Counts an answer of so many bytes.
    pub(super) fn count_body(&self, bytes: usize) -> Result<(), Exceeded> {
        let bytes = bytes as u64;
        let total = self.0.body_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let max = self.0.limits.response_total;
        if total > max.0 {
            return Err(Exceeded(format!("{} of answers, more than response_total ({max})", ByteSize(total))));
        }
        Ok(())
    }

    /// Counts reports of workloads: how many, and the bytes of their texts.
    pub(super) fn count_reports(&self, reports: usize, text_bytes: usize) -> Result<(), Exceeded> {
        let Shared { limits, .. } = &*self.0;
        let reports = u32::try_from(reports).unwrap_or(u32::MAX);
        let before = self.0.reports.fetch_add(reports, Ordering::Relaxed);
        if before.saturating_add(reports) > limits.reports {
            return exceeded("more reports of workloads", "reports", &limits.reports);
        }
        let bytes = text_bytes as u64 + u64::from(reports) * REPORT_BYTES;
        let total = self.0.report_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if total > limits.report_bytes.0 {
            return exceeded("larger reports of workloads", "report_bytes", &limits.report_bytes);
        }
        Ok(())
    }

    /// Does something on the control runtime; none where the host gave it up. When the attempt ends, so does the task.
    pub(super) async fn on_control<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        OnDrop(self.0.control.spawn(work)).join().await
    }
}

fn exceeded<T>(what: &str, key: &str, bound: &dyn Display) -> Result<T, Exceeded> {
    Err(Exceeded(format!("{what} than {key} ({bound})")))
}

/// A task that ends when nobody waits for it any more.
struct OnDrop<T>(JoinHandle<T>);

impl<T> OnDrop<T> {
    async fn join(mut self) -> Option<T> {
        (&mut self.0).await.ok()
    }
}

impl<T> Drop for OnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
