//! What a receiver's answer means for the samples that were sent.
//!
//! Both specifications: 5xx must be sent again and 429 may be, any other 4xx never: out-of-order samples and duplicates among them. 2.0,
//! "Required `Written` Response Headers": a success without any of them is one of a receiver that does not know 2.0 and has read
//! nothing; after a 4xx they say what was written all the same.

use jiff::Timestamp;

use crate::egress::Answer;
use crate::sinks::Verdict;
use crate::sinks::intake::{deferred, plain_words, rejected, usual};

/// From an answer to a request of 2.0 with so many samples.
pub(super) fn new(answer: &Answer, samples: u64, now: Timestamp) -> Verdict {
    let written = written(answer);
    match (answer.status, written) {
        (200..=299, None) | (415, _) => Verdict::EncodeAnew,
        // "Senders SHOULD expect 400 for the above reasons from 1.x Receivers."
        (400, None) if names_the_version(answer) => Verdict::EncodeAnew,
        (200..=299, Some(written)) if written >= samples => Verdict::Delivered,
        (status @ 200..=299, Some(written)) => Verdict::DeliveredInPart {
            rejected: samples - written,
            reason: format!("{status}, and not all samples were written"),
        },
        _ => failed(answer, samples, written.unwrap_or_default(), now),
    }
}

/// From an answer to a request of 1.0.
pub(super) fn old(answer: &Answer, samples: u64, now: Timestamp) -> Verdict {
    match answer.status {
        200..=299 => Verdict::Delivered,
        _ => failed(answer, samples, written(answer).unwrap_or_default(), now),
    }
}

fn failed(answer: &Answer, samples: u64, written: u64, now: Timestamp) -> Verdict {
    let words = plain_words(answer);
    let verdict = match answer.status {
        429 | 500.. => deferred(answer, &words, now),
        // No verdict on the samples: who has a wrong key or a wrong address keeps them, a body that is too large is cut.
        401 | 403..=405 | 413 | ..=399 => usual(answer, &words, now),
        _ => rejected(answer, &words),
    };
    match verdict {
        Verdict::Rejected { reason } if written > 0 => {
            Verdict::DeliveredInPart { rejected: samples.saturating_sub(written), reason }
        }
        verdict => verdict,
    }
}

/// How many samples were written; none where the receiver does not speak of it, as one of 1.0 does not. Where it speaks of others
/// only, "any missing header means no element from this category".
fn written(answer: &Answer) -> Option<u64> {
    let header = |what| answer.header(&format!("x-prometheus-remote-write-{what}-written"));
    let others = || header("histograms").or_else(|| header("exemplars")).map(|_| 0);
    header("samples").and_then(|count| count.trim().parse().ok()).or_else(others)
}

/// Whether a 400 is about the format and not about the samples.
fn names_the_version(answer: &Answer) -> bool {
    let words = plain_words(answer).to_lowercase();
    ["version", "content type", "content-type", "media type", "proto", "write.v2"]
        .iter()
        .any(|word| words.contains(word))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SAMPLES: u64 = 10;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        Answer { status, headers, body: body.into() }
    }

    fn both(answer: &Answer) -> [Verdict; 2] {
        let now = "2025-10-24T12:00:00Z".parse().unwrap();
        [new(answer, SAMPLES, now), old(answer, SAMPLES, now)]
    }

    fn all_written(count: &str) -> [(&str, &str); 1] {
        [("x-prometheus-remote-write-samples-written", count)]
    }

    #[test]
    fn every_failure_has_its_verdict_in_both_versions() {
        let verdicts = |status| both(&answer(status, &[], "why"));
        let twice = |verdict: Verdict| [verdict.clone(), verdict];
        for status in [429, 500, 502, 503, 504, 507] {
            assert_eq!(verdicts(status), twice(Verdict::Deferred { reason: format!("{status} why"), wait: None }));
        }
        for status in [400, 408, 409, 422] {
            assert_eq!(verdicts(status), twice(Verdict::Rejected { reason: format!("{status} why") }));
        }
        for status in [401, 403, 404, 405] {
            assert_eq!(verdicts(status), twice(Verdict::Held { reason: format!("{status} why") }));
        }
        assert_eq!(verdicts(413), twice(Verdict::TooLarge));
        assert_eq!(verdicts(302), twice(Verdict::Deferred { reason: "302 why".into(), wait: None }));
        let busy = answer(429, &[("retry-after", "5")], "");
        assert_eq!(both(&busy)[1], Verdict::Deferred { reason: "429".into(), wait: Some(Duration::from_secs(5)) });
    }

    #[test]
    fn a_receiver_that_does_not_know_the_new_version_is_known_by_its_answer() {
        let rejected = |reason: &str| Verdict::Rejected { reason: reason.into() };
        assert_eq!(both(&answer(415, &[], "")), [Verdict::EncodeAnew, rejected("415")]);
        let said = "unsupported remote write version 2.0.0";
        assert_eq!(both(&answer(400, &[], said)), [Verdict::EncodeAnew, rejected(&format!("400 {said}"))]);
        // It took the request for an empty one of 1.0.
        assert_eq!(both(&answer(204, &[], "")), [Verdict::EncodeAnew, Verdict::Delivered]);
        // Who says what was written has read it.
        let refused = answer(400, &all_written("0"), "bad proto");
        assert_eq!(both(&refused), [rejected("400 bad proto"), rejected("400 bad proto")]);
    }

    #[test]
    fn what_was_written_is_delivered_whatever_the_status() {
        assert_eq!(both(&answer(204, &all_written("10"), "")), [Verdict::Delivered, Verdict::Delivered]);
        let in_part = |rejected, reason: &str| Verdict::DeliveredInPart { rejected, reason: reason.into() };
        let not_all = "200, and not all samples were written";
        assert_eq!(both(&answer(200, &all_written("7"), ""))[0], in_part(3, not_all));
        let histograms = [("x-prometheus-remote-write-histograms-written", "0")];
        assert_eq!(both(&answer(200, &histograms, ""))[0], in_part(10, not_all));
        let out_of_order = answer(400, &all_written("8"), "out of order sample");
        assert_eq!(both(&out_of_order)[0], in_part(2, "400 out of order sample"));
    }
}
