//! `http`: what a guest asks for, held against its grants and bounds, and sent by the egress.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use wasmtime::component::{Accessor, HasSelf};

use super::State;
use super::wit::http::{ErrorKind, Host, HostWithStore, HttpError, Request, Response};
use crate::egress::{Answer, Ask, Bounds, Buffer, Egress, Failure, FailureKind, Meter, Pacing};
use crate::limits::{ByteSize, Limits};
use crate::model::Name;
use crate::policy::Grant;

/// An attempt's side of HTTP. Clones are the same attempt's.
#[derive(Clone)]
pub(in crate::runtime) struct Web(Arc<Shared>);

struct Shared {
    collector: Name,
    grants: Vec<Grant>,
    egress: Arc<Egress>,
    limits: Limits,
    deadline: Instant,
    /// The runtime of connections and timers: a guest that spins must not hold up an answer to another one.
    control: Handle,
    meter: Meter,
    buffer: Buffer,
    asked: AtomicU32,
    in_flight: AtomicU32,
    body_bytes: AtomicU64,
}

impl Web {
    pub fn new(
        collector: Name,
        grants: Vec<Grant>,
        egress: Arc<Egress>,
        limits: &Limits,
        deadline: Instant,
        control: Handle,
    ) -> Web {
        Web(Arc::new(Shared {
            collector,
            grants,
            egress,
            limits: limits.clone(),
            deadline,
            control,
            meter: Meter::default(),
            buffer: Buffer::new(limits.response_buffer),
            asked: AtomicU32::new(0),
            in_flight: AtomicU32::new(0),
            body_bytes: AtomicU64::new(0),
        }))
    }

    /// What went over the wire so far.
    pub fn meter(&self) -> &Meter {
        &self.0.meter
    }

    /// Whether the guest waits for an upstream.
    pub fn is_waiting(&self) -> bool {
        self.0.in_flight.load(Ordering::Relaxed) > 0
    }

    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let shared = &self.0;
        let _slot = shared.admit(&request)?;
        let headers = request.headers.iter().map(|(name, _)| name.as_str());
        let grant = Grant::find(&shared.grants, &request.upstream, &request.method, &request.path, headers)
            .map_err(|denied| error(ErrorKind::Denied, denied))?;
        let missing = || error(ErrorKind::Denied, format!("upstream {} is not in the plan", grant.upstream));
        let endpoint = shared.egress.endpoint(&grant.upstream).ok_or_else(missing)?;
        let ask = Ask {
            method: request.method,
            path: request.path,
            query: request.query,
            headers: request.headers,
            body: Bytes::from(request.body.unwrap_or_default()),
            repeatable: request.repeatable,
            timeout: request.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
            agent: shared.collector.to_string(),
            paths: grant.paths.clone(),
        };
        let bounds = Bounds {
            deadline: shared.deadline,
            body_bytes_max: shared.limits.response_body.0,
            header_bytes_max: shared.limits.response_headers.0,
            buffer: shared.buffer.clone(),
        };
        let meter = shared.meter.clone();
        let exchange = async move { endpoint.send(&ask, &bounds, &meter, Pacing::PATIENT).await };
        // Dropped with the store when the attempt ends, and then the exchange ends too.
        let answer = match OnDrop(shared.control.spawn(exchange)).join().await {
            Some(answer) => answer.map_err(failure_to_wit)?,
            None => return Err(error(ErrorKind::Broken, "the host gave the exchange up")),
        };
        shared.count_body(&answer)?;
        Ok(Response { status: answer.status, headers: answer.headers, body: answer.body })
    }
}

impl Shared {
    /// Counts the request and holds it against the bounds of the attempt.
    fn admit(&self, request: &Request) -> Result<Slot<'_>, HttpError> {
        let limit = |key: &str, bound: &dyn std::fmt::Display, what: &str| {
            Err(error(ErrorKind::Limit, format!("{what} than {key} ({bound})")))
        };
        let slot = Slot(&self.in_flight);
        let at_once = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        if self.asked.fetch_add(1, Ordering::Relaxed) >= self.limits.requests {
            return limit("requests", &self.limits.requests, "more requests in the attempt");
        }
        if at_once > self.limits.requests_at_once {
            return limit("requests_at_once", &self.limits.requests_at_once, "more requests in flight");
        }
        let pair = |(name, value): &(String, String)| name.len() + value.len();
        let bytes = request.body.as_ref().map_or(0, Vec::len)
            + request.path.len()
            + request.headers.iter().chain(&request.query).map(pair).sum::<usize>();
        if bytes as u64 > self.limits.request_bytes.0 {
            return limit("request_bytes", &self.limits.request_bytes, "a larger request");
        }
        Ok(slot)
    }

    fn count_body(&self, answer: &Answer) -> Result<(), HttpError> {
        let bytes = answer.body.len() as u64;
        let total = self.body_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let max = self.limits.response_total;
        if total > max.0 {
            let what = format!("{} of answers, more than response_total ({max})", ByteSize(total));
            return Err(error(ErrorKind::Limit, what));
        }
        Ok(())
    }
}

/// A request in flight.
struct Slot<'a>(&'a AtomicU32);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A task that ends when nobody waits for it any more.
struct OnDrop<T>(JoinHandle<T>);

impl<T> OnDrop<T> {
    /// The task's result; none where it was cancelled or panicked.
    async fn join(mut self) -> Option<T> {
        (&mut self.0).await.ok()
    }
}

impl<T> Drop for OnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Host for State {}

impl<T: Send + 'static> HostWithStore<T> for HasSelf<State> {
    async fn send(accessor: &Accessor<T, Self>, request: Request) -> wasmtime::Result<Result<Response, HttpError>> {
        let web = accessor.with(|mut access| access.get().web.clone());
        Ok(web.send(request).await)
    }
}

fn error(kind: ErrorKind, message: impl ToString) -> HttpError {
    HttpError { kind, message: message.to_string() }
}

fn failure_to_wit(failure: Failure) -> HttpError {
    let kind = match failure.kind {
        FailureKind::Denied => ErrorKind::Denied,
        FailureKind::Redirected => ErrorKind::Redirected,
        FailureKind::Limit => ErrorKind::Limit,
        FailureKind::Unreachable => ErrorKind::Unreachable,
        FailureKind::Timeout => ErrorKind::Timeout,
        FailureKind::Broken => ErrorKind::Broken,
    };
    error(kind, failure.message)
}
