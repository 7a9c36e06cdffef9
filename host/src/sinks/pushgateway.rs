//! Prometheus' Pushgateway: `PUT /metrics/job/JOB` with the newest slot, which replaces what the group held before.
//!
//! https://github.com/prometheus/pushgateway, README.md: no times; labels of the group overwrite those of the body, so `job` must not
//! stand there; a value that holds a slash goes in Base64.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jiff::Timestamp;

use super::intake::{Intake, Request, plain_words, usual};
use super::{Descriptions, Payload, Sent, Verdict, exposition};
use crate::config::PushgatewayPlan;
use crate::egress::{Answer, Network};
use crate::model::{Redactor, Sample};
use crate::policy::encode_segment;

/// A Pushgateway.
pub struct Pushgateway {
    intake: Intake,
    path: String,
    descriptions: Descriptions,
}

/// The label of its group.
const GROUP: &str = "job";

impl Pushgateway {
    pub(super) fn new(
        plan: &PushgatewayPlan,
        descriptions: &Descriptions,
        network: &Network,
        redactor: &Redactor,
    ) -> Pushgateway {
        Pushgateway {
            intake: Intake::new(&plan.intake, network, redactor),
            path: path_of(&plan.job),
            descriptions: descriptions.clone(),
        }
    }

    pub(super) fn encode(&self, samples: &[Sample]) -> Payload {
        exposition::encode(samples, &self.descriptions, Some(GROUP))
    }

    pub(super) async fn send(&self, body: Bytes, deadline: Instant) -> Sent {
        let headers = [("content-type", "text/plain; version=0.0.4; charset=utf-8")];
        self.intake.send(Request { method: "PUT", path: &self.path, headers: &headers, body }, deadline, verdict).await
    }

    /// `GET /-/ready`, which pushes nothing.
    pub(super) async fn validate(&self, deadline: Instant) -> Result<(), String> {
        let request = Request { method: "GET", path: "/-/ready", headers: &[], body: Bytes::new() };
        self.intake.probe(request, deadline, verdict).await.into_result()
    }
}

/// 400 is a body that contradicts itself or another group; all else is as usual.
fn verdict(answer: &Answer, now: Timestamp) -> Verdict {
    usual(answer, &plain_words(answer), now)
}

fn path_of(job: &str) -> String {
    // A segment that is a dot or two is none after the URL is made.
    match job.contains('/') || job == "." || job == ".." {
        true => format!("/metrics/job@base64/{}", URL_SAFE_NO_PAD.encode(job)),
        false => format!("/metrics/job/{}", encode_segment(job)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_one_segment_of_the_path() {
        assert_eq!(path_of("collector-host"), "/metrics/job/collector-host");
        assert_eq!(path_of("a b"), "/metrics/job/a%20b");
        // The README's own example.
        assert_eq!(path_of("/var/tmp"), "/metrics/job@base64/L3Zhci90bXA");
        assert_eq!(path_of(".."), "/metrics/job@base64/Li4");
    }

    #[test]
    fn a_body_that_is_refused_is_refused_for_good() {
        let answer = |status, body: &str| Answer { status, headers: Vec::new(), body: body.into() };
        let of = |status, body| verdict(&answer(status, body), "2025-10-24T12:00:00Z".parse().unwrap());
        assert_eq!((of(200, ""), of(202, "")), (Verdict::Delivered, Verdict::Delivered));
        assert_eq!(
            of(400, "text format parsing error\n"),
            Verdict::Rejected { reason: "400 text format parsing error".into() }
        );
        assert_eq!(of(503, ""), Verdict::Deferred { reason: "503".into(), wait: None });
    }
}
