//! What a receiver's answer means for the points that were sent.
//!
//! https://opentelemetry.io/docs/specs/otlp/#otlphttp-response: a success may hold a partial one, which is never sent again; 429, 502,
//! 503 and 504 are sent again, "all other 4xx or 5xx response status codes MUST NOT be retried".

use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use prost::Message;
use serde_json::Value;

use crate::egress::Answer;
use crate::sinks::Verdict;
use crate::sinks::intake::{bounded, deferred, plain_words, rejected, usual};

/// `google.rpc.Status`, as far as it is read: googleapis, google/rpc/status.proto.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
}

/// From an answer.
pub(super) fn of(answer: &Answer, now: Timestamp) -> Verdict {
    match answer.status {
        200..=299 => match partial_success(answer) {
            Some(partial) => Verdict::DeliveredInPart {
                rejected: u64::try_from(partial.rejected_data_points).unwrap_or_default(),
                reason: format!("partial success: {}", bounded(&partial.error_message)),
            },
            None => Verdict::Delivered,
        },
        429 | 502..=504 => deferred(answer, &words(answer), now),
        // No verdict on the data: who has a wrong key or a wrong address keeps them, a body that is too large is cut.
        401 | 403..=405 | 413 | ..=399 => usual(answer, &words(answer), now),
        _ => rejected(answer, &words(answer)),
    }
}

/// What was not taken, or a warning; none where all is well. A receiver answers in the encoding in which it was asked, and some in JSON
/// all the same.
fn partial_success(answer: &Answer) -> Option<ExportMetricsPartialSuccess> {
    let partial = match json(answer) {
        Some(body) => {
            let partial = &body["partialSuccess"];
            let number = &partial["rejectedDataPoints"];
            // 64-bit numbers are strings in protobuf's JSON, and numbers are taken too.
            let rejected = number.as_i64().or_else(|| number.as_str()?.parse().ok());
            ExportMetricsPartialSuccess {
                rejected_data_points: rejected.unwrap_or_default(),
                error_message: partial["errorMessage"].as_str().unwrap_or_default().into(),
            }
        }
        None => ExportMetricsServiceResponse::decode(answer.body.as_slice()).ok()?.partial_success?,
    };
    // Both at once empty is the same as none (metrics_service.proto).
    (partial.rejected_data_points != 0 || !partial.error_message.is_empty()).then_some(partial)
}

/// What the receiver says went wrong.
fn words(answer: &Answer) -> String {
    if let Some(body) = json(answer) {
        return body["message"].as_str().map(bounded).unwrap_or_default();
    }
    let is_protobuf = answer.header("content-type").is_some_and(|kind| kind.contains("protobuf"));
    match Status::decode(answer.body.as_slice()) {
        Ok(status) if is_protobuf => bounded(&status.message),
        _ => plain_words(answer),
    }
}

fn json(answer: &Answer) -> Option<Value> {
    let is_json = answer.header("content-type").is_some_and(|kind| kind.contains("json"));
    is_json.then(|| serde_json::from_slice(&answer.body).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let headers = headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        Answer { status, headers, body: body.into() }
    }

    fn verdict(answer: &Answer) -> Verdict {
        of(answer, "2025-10-24T12:00:00Z".parse().unwrap())
    }

    fn partial(rejected: i64, message: &str) -> Vec<u8> {
        let partial_success =
            Some(ExportMetricsPartialSuccess { rejected_data_points: rejected, error_message: message.into() });
        ExportMetricsServiceResponse { partial_success }.encode_to_vec()
    }

    #[test]
    fn every_status_has_its_verdict() {
        let verdict = |status| verdict(&answer(status, &[], b"why"));
        assert_eq!((verdict(200), verdict(413)), (Verdict::Delivered, Verdict::TooLarge));
        for status in [429, 502, 503, 504] {
            assert_eq!(verdict(status), Verdict::Deferred { reason: format!("{status} why"), wait: None });
        }
        for status in [400, 408, 415, 422, 500, 501, 505] {
            assert_eq!(verdict(status), Verdict::Rejected { reason: format!("{status} why") });
        }
        for status in [401, 403, 404, 405] {
            assert_eq!(verdict(status), Verdict::Held { reason: format!("{status} why") });
        }
        // Something else stands at that address.
        assert_eq!(verdict(302), Verdict::Deferred { reason: "302 why".into(), wait: None });
    }

    #[test]
    fn retry_after_is_honoured() {
        let busy = answer(503, &[("retry-after", "7")], b"");
        assert_eq!(verdict(&busy), Verdict::Deferred { reason: "503".into(), wait: Some(Duration::from_secs(7)) });
    }

    #[test]
    fn a_partial_success_says_how_many_were_refused_and_why() {
        let in_part = |rejected, reason: &str| Verdict::DeliveredInPart {
            rejected,
            reason: format!("partial success: {reason}"),
        };
        assert_eq!(verdict(&answer(200, &[], &partial(3, "too\nold"))), in_part(3, "too old"));
        assert_eq!(verdict(&answer(200, &[], &partial(0, "deprecated"))), in_part(0, "deprecated"));
        assert_eq!(verdict(&answer(200, &[], &partial(0, ""))), Verdict::Delivered);
        assert_eq!(verdict(&answer(200, &[], b"")), Verdict::Delivered);
        assert_eq!(verdict(&answer(200, &[], b"{}")), Verdict::Delivered);
        let json = [("content-type", "application/json")];
        for number in ["4", "\"4\""] {
            let body =
                format!("{{\"partialSuccess\": {{\"rejectedDataPoints\": {number}, \"errorMessage\": \"no\"}}}}");
            assert_eq!(verdict(&answer(200, &json, body.as_bytes())), in_part(4, "no"));
        }
        assert_eq!(verdict(&answer(200, &json, b"{\"partialSuccess\":{}}")), Verdict::Delivered);
    }

    #[test]
    fn the_words_of_an_error_are_read_in_every_encoding() {
        let status = Status { message: "bad name".into() }.encode_to_vec();
        for (kind, body) in [
            ("application/x-protobuf", status.as_slice()),
            ("application/json", b"{\"code\": 3, \"message\": \"bad name\"}"),
            ("text/plain", b"bad name\n"),
        ] {
            let refused = verdict(&answer(400, &[("content-type", kind)], body));
            assert_eq!(refused, Verdict::Rejected { reason: "400 bad name".into() }, "{kind}");
        }
    }
}
