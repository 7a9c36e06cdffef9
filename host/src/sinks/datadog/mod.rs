//! Datadog: `POST /api/v2/series`, gzip JSON.

mod encode;
mod verdict;

use std::time::Instant;

use super::{Pushed, Verdict};
use crate::clock;
use crate::config::DatadogPlan;
use crate::egress::{Answer, Ask, Bounds, Buffer, Endpoint, Failure, Meter, Network, Pacing};
use crate::limits::ByteSize;
use crate::model::{Name, Redactor, Sample};
use crate::policy::{Credential, Redirects, Upstream};

use encode::Payload;

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

    pub(super) async fn push(&self, samples: &[Sample], deadline: Instant) -> Vec<Pushed> {
        let mut pushed = Vec::new();
        // What is still to be sent, the next at the end.
        let mut ahead: Vec<Payload<'_>> = encode::payloads(samples);
        ahead.reverse();
        while let Some(payload) = ahead.pop() {
            let verdict = self.post(&payload, deadline).await;
            if verdict == verdict::too_large() && payload.samples.len() > 1 {
                ahead.extend(payload.halves().into_iter().rev());
                continue;
            }
            let is_over = matches!(verdict, Verdict::Deferred { .. } | Verdict::Held { .. });
            pushed.push(Pushed { samples: payload.samples.len(), verdict: verdict.clone() });
            if is_over {
                // An intake that does not take one payload is not asked about the others right away.
                let rest = ahead.iter().map(|payload| payload.samples.len()).sum();
                pushed.extend((rest > 0).then_some(Pushed { samples: rest, verdict }));
                break;
            }
        }
        pushed
    }

    async fn post(&self, payload: &Payload<'_>, deadline: Instant) -> Verdict {
        let Some(body) = payload.body.clone() else { return verdict::too_large() };
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
        verdict::of(self.ask(&ask, deadline).await.as_ref(), clock::wall())
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
