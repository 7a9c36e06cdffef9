//! What Datadog's answer means for the points that were sent.

use jiff::Timestamp;

use crate::egress::Answer;
use crate::sinks::Verdict;
use crate::sinks::intake::{deferred, usual};

/// From an answer.
pub(super) fn of(answer: &Answer, now: Timestamp) -> Verdict {
    match answer.status {
        // The Agent sends these again too: what balances the intake's load says so now and then.
        404 | 405 => deferred(answer, &errors(answer), now),
        _ => usual(answer, &errors(answer), now),
    }
}

/// What the intake says of itself: `{"errors": ["…"]}`.
fn errors(answer: &Answer) -> String {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let errors = body["errors"].as_array().into_iter().flatten().filter_map(|e| e.as_str());
    errors.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, body: &str) -> Verdict {
        let answer = Answer { status, headers: Vec::new(), body: body.into() };
        of(&answer, "2025-10-24T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn every_status_has_its_verdict_with_what_datadog_says() {
        assert_eq!(verdict(202, "{\"errors\":[]}"), Verdict::Delivered);
        assert_eq!(verdict(413, ""), Verdict::TooLarge);
        let rejected = |reason: &str| Verdict::Rejected { reason: reason.into() };
        assert_eq!(verdict(400, "{\"errors\":[\"bad\",\"worse\"]}"), rejected("400 bad; worse"));
        let held = Verdict::Held { reason: "403 Forbidden".into() };
        assert_eq!(verdict(403, "{\"errors\":[\"Forbidden\"]}"), held);
        for status in [302, 404, 408, 429, 500, 503] {
            let deferred = Verdict::Deferred { reason: status.to_string(), wait: None };
            assert_eq!(verdict(status, "<html>"), deferred);
        }
    }
}
