//! OTLP over HTTP: `POST /v1/metrics`, gzip protobuf.
//!
//! The protocol: https://opentelemetry.io/docs/specs/otlp/#otlphttp

mod encode;
mod unit;
mod verdict;

use std::time::Instant;

use bytes::Bytes;

use super::intake::{Intake, Request};
use super::{Descriptions, Payload, Sent, payload};
use crate::config::IntakePlan;
use crate::egress::Network;
use crate::model::{Redactor, Sample};

/// A receiver of OTLP: a collector of OpenTelemetry, or a store that speaks like one.
pub struct Otlp {
    intake: Intake,
    descriptions: Descriptions,
}

const HEADERS: [(&str, &str); 3] =
    [("content-type", "application/x-protobuf"), ("content-encoding", "gzip"), ("accept", "application/x-protobuf")];

impl Otlp {
    pub(super) fn new(plan: &IntakePlan, descriptions: &Descriptions, network: &Network, redactor: &Redactor) -> Otlp {
        Otlp { intake: Intake::new(plan, network, redactor), descriptions: descriptions.clone() }
    }

    pub(super) fn encode(&self, samples: &[Sample]) -> Vec<Payload> {
        encode::encode(samples, &self.descriptions)
    }

    pub(super) async fn send(&self, body: Bytes, deadline: Instant) -> Sent {
        self.intake.send(request(body), deadline, verdict::of).await
    }

    /// A request without data, which a receiver should answer with success ("OTLP/HTTP Response").
    pub(super) async fn validate(&self, deadline: Instant) -> Result<(), String> {
        let nothing = payload::gzip(&[]).unwrap_or_default();
        self.intake.probe(request(nothing), deadline, verdict::of).await.into_result()
    }
}

fn request(body: Bytes) -> Request<'static> {
    Request { method: "POST", path: "/v1/metrics", headers: &HEADERS, body }
}
