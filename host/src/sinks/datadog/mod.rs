//! Datadog: `POST /api/v2/series`, gzip JSON.

mod encode;
mod verdict;

use std::time::Instant;

use bytes::Bytes;
use jiff::SignedDuration;

use super::{Sent, Verdict};
use crate::clock;
use crate::config::DatadogPlan;
use crate::egress::{Answer, Ask, Bounds, Buffer, Endpoint, Failure, Meter, Network, Pacing};
use crate::limits::ByteSize;
use crate::model::{Name, Redactor};
use crate::policy::{Credential, Redirects, Upstream};

pub(super) use encode::encode;

/// Points must not be older: Datadog API v2, "Submit metrics".
pub(super) const AGE_MAX: SignedDuration = SignedDuration::from_hours(1);

/// Datadog's intake, or one that speaks like it.
pub struct Datadog {
    endpoint: Endpoint,
}

/// An intake answers with a few words.
const ANSWER_BYTES_MAX: ByteSize = ByteSize::kib(256);

impl Datadog {
    pub(super) fn new(plan: &DatadogPlan, network: &Network, redactor: &Redactor) -> Datadog {
        let upstream = Upstream {
            name: Name::lossy("datadog"),
            base_url: plan.base_url.clone(),
            credential: Some(Credential::Header { name: "DD-API-KEY".into(), secret: plan.api_key.clone() }),
            allowed: plan.allowed.clone(),
            redirects: Redirects::default(),
            timeouts: plan.timeouts,
        };
        let endpoint = Endpoint::new(upstream, network.clone(), redactor.clone()).of_section("sink.datadog");
        Datadog { endpoint }
    }

    pub(super) async fn send(&self, body: Bytes, deadline: Instant) -> Sent {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let ask = Ask {
            method: "POST".into(),
            path: "/api/v2/series".into(),
            headers: vec![
                header("content-type", "application/json"),
                header("content-encoding", "gzip"),
                header("accept", "application/json"),
            ],
            body,
            agent: "delivery".into(),
            ..Ask::default()
        };
        let (answer, now) = (self.ask(&ask, deadline).await, clock::wall());
        let clock_behind = answer.as_ref().ok().and_then(Answer::date).map(|date| date.duration_since(now));
        Sent { verdict: verdict::of(answer.as_ref(), now), clock_behind }
    }

    /// `GET /api/v1/validate`: whether the key is one.
    pub(super) async fn validate(&self, deadline: Instant) -> Result<(), String> {
        let ask = Ask {
            method: "GET".into(),
            path: "/api/v1/validate".into(),
            headers: vec![("accept".into(), "application/json".into())],
            agent: "check".into(),
            ..Ask::default()
        };
        match verdict::of(self.ask(&ask, deadline).await.as_ref(), clock::wall()) {
            Verdict::Delivered => Ok(()),
            Verdict::Rejected { reason } | Verdict::Deferred { reason, .. } | Verdict::Held { reason } => Err(reason),
            Verdict::TooLarge => Err("413".into()),
        }
    }

    async fn ask(&self, ask: &Ask, deadline: Instant) -> Result<Answer, Failure> {
        let bounds = Bounds {
            deadline,
            body_bytes_max: ANSWER_BYTES_MAX.0,
            header_bytes_max: ANSWER_BYTES_MAX.0,
            buffer: Buffer::new(ANSWER_BYTES_MAX),
        };
        self.endpoint.send(ask, &bounds, &Meter::default(), Pacing::NEVER).await
    }
}
