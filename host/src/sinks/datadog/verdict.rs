//! What Datadog's answer means for the points that were sent.

use jiff::Timestamp;

use super::Verdict;
use crate::egress::{Answer, Failure, retry_after};

/// From an answer, or from the lack of one.
pub(super) fn of(answer: Result<&Answer, &Failure>, now: Timestamp) -> Verdict {
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => return Verdict::Deferred { reason: failure.message.clone(), wait: None },
    };
    let reason = || format!("{}{}", answer.status, errors(answer));
    match answer.status {
        200..=299 => Verdict::Delivered,
        413 => Verdict::TooLarge,
        401 | 403 => Verdict::Held { reason: reason() },
        408 | 429 | 500.. => Verdict::Deferred { reason: reason(), wait: retry_after(answer, now) },
        // The address is wrong or something stands before the intake: not the points' fault.
        300..=399 | 404 | 405 => Verdict::Deferred { reason: reason(), wait: None },
        _ => Verdict::Rejected { reason: reason() },
    }
}

/// What the intake says of itself: `{"errors": ["…"]}`.
fn errors(answer: &Answer) -> String {
    const CHARS_MAX: usize = 200;
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let errors = body["errors"].as_array().into_iter().flatten().filter_map(|e| e.as_str());
    let text: Vec<&str> = errors.collect();
    match text.join("; ") {
        text if text.is_empty() => String::new(),
        text => format!(" {}", text.chars().take(CHARS_MAX).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::egress::FailureKind;

    fn verdict(status: u16, headers: &[(&str, &str)], body: &str) -> Verdict {
        let headers = headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        let answer = Answer { status, headers, body: body.into() };
        of(Ok(&answer), "2025-10-24T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn every_status_has_its_verdict() {
        assert_eq!(verdict(202, &[], "{\"errors\":[]}"), Verdict::Delivered);
        assert_eq!(verdict(413, &[], ""), Verdict::TooLarge);
        let rejected = |reason: &str| Verdict::Rejected { reason: reason.into() };
        assert_eq!(verdict(400, &[], "{\"errors\":[\"bad\",\"worse\"]}"), rejected("400 bad; worse"));
        for status in [401, 403] {
            assert_eq!(verdict(status, &[], ""), Verdict::Held { reason: status.to_string() });
        }
        for status in [302, 404, 408, 429, 500, 503] {
            let deferred = Verdict::Deferred { reason: status.to_string(), wait: None };
            assert_eq!(verdict(status, &[], "<html>"), deferred);
        }
    }

    #[test]
    fn an_intake_that_says_how_long_is_believed() {
        let wait = |headers| match verdict(429, headers, "") {
            Verdict::Deferred { wait, .. } => wait,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait(&[("retry-after", "3")]), Some(Duration::from_secs(3)));
        assert_eq!(wait(&[("x-ratelimit-reset", "4")]), Some(Duration::from_secs(4)));
    }

    #[test]
    fn no_answer_is_no_verdict_on_the_points() {
        let failure = Failure { kind: FailureKind::Timeout, message: "no answer".into() };
        let deferred = Verdict::Deferred { reason: "no answer".into(), wait: None };
        assert_eq!(of(Err(&failure), "2025-10-24T12:00:00Z".parse().unwrap()), deferred);
    }
}
