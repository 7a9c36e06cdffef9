//! Datadog: `POST /api/v2/series`, gzip JSON.

mod encode;
mod verdict;

use std::time::Instant;

use bytes::Bytes;
use jiff::SignedDuration;

use super::Sent;
use super::intake::{Intake, Request};
use crate::config::DatadogPlan;
use crate::egress::Network;
use crate::model::Redactor;

pub(super) use encode::encode;

/// Points must not be older: Datadog API v2, "Submit metrics".
pub(super) const AGE_MAX: SignedDuration = SignedDuration::from_hours(1);

/// Datadog's intake, or one that speaks like it.
pub struct Datadog(Intake);

impl Datadog {
    pub(super) fn new(plan: &DatadogPlan, network: &Network, redactor: &Redactor) -> Datadog {
        Datadog(Intake::new(&plan.intake, network, redactor))
    }

    pub(super) async fn send(&self, body: Bytes, deadline: Instant) -> Sent {
        let headers =
            [("content-type", "application/json"), ("content-encoding", "gzip"), ("accept", "application/json")];
        let request = Request { method: "POST", path: "/api/v2/series", headers: &headers, body };
        self.0.send(request, deadline, verdict::of).await
    }

    /// `GET /api/v1/validate`: whether the key is one.
    pub(super) async fn validate(&self, deadline: Instant) -> Result<(), String> {
        let headers = [("accept", "application/json")];
        let request = Request { method: "GET", path: "/api/v1/validate", headers: &headers, body: Bytes::new() };
        self.0.probe(request, deadline, verdict::of).await.into_result()
    }
}
