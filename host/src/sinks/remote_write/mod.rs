//! Prometheus remote write, 2.0 and 1.0: `POST`, protobuf in Snappy's block format.
//!
//! The protocol: https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/ and …/remote_write_spec/.

mod encode;
mod proto;
mod verdict;

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use bytes::Bytes;

use super::intake::{Intake, Request};
use super::{Descriptions, Payload, Sent, Verdict};
use crate::config::RemoteWritePlan;
use crate::egress::{Answer, Network};
use crate::model::{Redactor, Sample};

/// A receiver of remote write: Prometheus itself, Mimir, Thanos, VictoriaMetrics, …
pub struct RemoteWrite {
    intake: Intake,
    path: String,
    descriptions: Descriptions,
    /// The version that is spoken: 2, or 1 from when the receiver turned out to know no other.
    version: AtomicU8,
}

const OLD_HEADERS: [(&str, &str); 3] = [
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];

const NEW_HEADERS: [(&str, &str); 3] = [
    ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "2.0.0"),
];

impl RemoteWrite {
    pub(super) fn new(
        plan: &RemoteWritePlan,
        descriptions: &Descriptions,
        network: &Network,
        redactor: &Redactor,
    ) -> RemoteWrite {
        RemoteWrite {
            intake: Intake::new(&plan.intake, network, redactor),
            path: plan.path.clone(),
            descriptions: descriptions.clone(),
            version: AtomicU8::new(plan.version),
        }
    }

    pub(super) fn encode(&self, samples: &[Sample]) -> Vec<Payload> {
        match self.version() {
            1 => encode::old(samples),
            _ => encode::new(samples, &self.descriptions),
        }
    }

    pub(super) async fn send(&self, payload: &Payload, body: Bytes, deadline: Instant) -> Sent {
        if payload.version != self.version() {
            // It was written before the receiver turned out not to read it.
            return Verdict::EncodeAnew.into();
        }
        let samples = payload.samples.len() as u64;
        let is_old = payload.version == 1;
        let verdict = |answer: &Answer, now| match is_old {
            true => verdict::old(answer, samples, now),
            false => verdict::new(answer, samples, now),
        };
        let request = self.request(if is_old { &OLD_HEADERS } else { &NEW_HEADERS }, body);
        let sent = self.intake.send(request, deadline, verdict).await;
        if sent.verdict == Verdict::EncodeAnew {
            self.fall_back();
        }
        sent
    }

    /// A request without series, in the version that would be spoken.
    pub(super) async fn validate(&self, deadline: Instant) -> Result<(), String> {
        let new = match self.version() {
            1 => Verdict::EncodeAnew,
            _ => {
                let request = self.request(&NEW_HEADERS, encode::nothing_new());
                self.intake.probe(request, deadline, |answer, now| verdict::new(answer, 0, now)).await
            }
        };
        let verdict = match new {
            Verdict::EncodeAnew => {
                let request = self.request(&OLD_HEADERS, encode::nothing_old());
                self.intake.probe(request, deadline, |answer, now| verdict::old(answer, 0, now)).await
            }
            verdict => verdict,
        };
        verdict.into_result()
    }

    fn version(&self) -> u8 {
        self.version.load(Ordering::Relaxed)
    }

    fn fall_back(&self) {
        self.version.store(1, Ordering::Relaxed);
        tracing::info!(
            "sink remote_write: the receiver does not know 2.0, and is spoken to in 1.0; version = 1 under [sink.remote_write] \
             spares the first try"
        );
    }

    fn request<'a>(&'a self, headers: &'a [(&'a str, &'a str)], body: Bytes) -> Request<'a> {
        Request { method: "POST", path: &self.path, headers, body }
    }
}
