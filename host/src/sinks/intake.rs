//! What sinks over HTTP have in common: the endpoint, one request and its verdict, and what most intakes mean by a status.

use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;

use super::{Sent, Verdict};
use crate::clock;
use crate::config::IntakePlan;
use crate::egress::{Answer, Ask, Bounds, Buffer, Endpoint, Failure, FailureKind, Meter, Network, Pacing, retry_after};
use crate::limits::ByteSize;
use crate::model::Redactor;

/// An intake over HTTP.
pub(super) struct Intake {
    endpoint: Endpoint,
    /// Sent with every request.
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    /// Why it is not asked.
    withheld: Option<String>,
}

/// One request to it.
pub(super) struct Request<'a> {
    pub method: &'a str,
    /// Appended to the intake's URL.
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: Bytes,
}

/// An intake answers with a few words.
const ANSWER_BYTES_MAX: ByteSize = ByteSize::kib(256);

/// How much of them is worth a line of the report.
const WORDS_CHARS_MAX: usize = 200;

impl Intake {
    pub fn new(plan: &IntakePlan, network: &Network, redactor: &Redactor) -> Intake {
        let section = format!("sink.{}", plan.upstream.name);
        Intake {
            endpoint: Endpoint::new(plan.upstream.clone(), network.clone(), redactor.clone()).of_section(&section),
            query: plan.query.clone(),
            headers: plan.headers.clone(),
            withheld: plan.withheld.clone(),
        }
    }

    /// Sends a request once; `verdict` reads the answer, if there is one.
    pub async fn send(
        &self,
        request: Request<'_>,
        deadline: Instant,
        verdict: impl FnOnce(&Answer, Timestamp) -> Verdict,
    ) -> Sent {
        let (answer, now) = (self.ask(request, "delivery", deadline).await, clock::wall());
        let clock_behind = answer.as_ref().ok().and_then(Answer::date).map(|date| date.duration_since(now));
        Sent { verdict: of_result(answer.as_ref(), now, verdict), clock_behind }
    }

    /// Sends a request that holds no points, to see whether it would be taken.
    pub async fn probe(
        &self,
        request: Request<'_>,
        deadline: Instant,
        verdict: impl FnOnce(&Answer, Timestamp) -> Verdict,
    ) -> Verdict {
        let answer = self.ask(request, "check", deadline).await;
        of_result(answer.as_ref(), clock::wall(), verdict)
    }

    async fn ask(&self, request: Request<'_>, agent: &str, deadline: Instant) -> Result<Answer, Failure> {
        if let Some(why) = &self.withheld {
            return Err(Failure { kind: FailureKind::Credential, message: why.clone() });
        }
        let own = request.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let ask = Ask {
            method: request.method.into(),
            path: request.path.into(),
            query: self.query.clone(),
            headers: own.chain(self.headers.iter().cloned()).collect(),
            body: request.body,
            agent: agent.into(),
            ..Ask::default()
        };
        let bounds = Bounds {
            deadline,
            body_bytes_max: ANSWER_BYTES_MAX.0,
            header_bytes_max: ANSWER_BYTES_MAX.0,
            buffer: Buffer::new(ANSWER_BYTES_MAX),
        };
        self.endpoint.send(&ask, &bounds, &Meter::default(), Pacing::NEVER).await
    }
}

/// No answer is no verdict on the points. Without a credential there will be none in this cycle.
fn of_result(
    answer: Result<&Answer, &Failure>,
    now: Timestamp,
    verdict: impl FnOnce(&Answer, Timestamp) -> Verdict,
) -> Verdict {
    match answer {
        Ok(answer) => verdict(answer, now),
        Err(failure) if failure.kind == FailureKind::Credential => Verdict::Held { reason: failure.message.clone() },
        Err(failure) => Verdict::Deferred { reason: failure.message.clone(), wait: None },
    }
}

/// What a status means where a protocol does not say otherwise. `words` is what the intake says beside it.
pub(super) fn usual(answer: &Answer, words: &str, now: Timestamp) -> Verdict {
    match answer.status {
        200..=299 => Verdict::Delivered,
        413 => Verdict::TooLarge,
        // A wrong key or a wrong address: not the points' fault, and nothing that time mends.
        401 | 403..=405 => Verdict::Held { reason: reason(answer, words) },
        408 | 429 | 500.. => deferred(answer, words, now),
        // Something stands before the intake.
        ..=399 => Verdict::Deferred { reason: reason(answer, words), wait: None },
        _ => rejected(answer, words),
    }
}

/// Later, after what the intake asks for.
pub(super) fn deferred(answer: &Answer, words: &str, now: Timestamp) -> Verdict {
    Verdict::Deferred { reason: reason(answer, words), wait: retry_after(answer, now) }
}

/// Never.
pub(super) fn rejected(answer: &Answer, words: &str) -> Verdict {
    Verdict::Rejected { reason: reason(answer, words) }
}

/// The status and what the intake says beside it: `400 bad metric`.
fn reason(answer: &Answer, words: &str) -> String {
    match bounded(words) {
        words if words.is_empty() => answer.status.to_string(),
        words => format!("{} {words}", answer.status),
    }
}

/// One line of an intake's text, not too long.
pub(super) fn bounded(words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(WORDS_CHARS_MAX).collect()
}

/// The body as words, where it is plain text.
pub(super) fn plain_words(answer: &Answer) -> String {
    let is_page = || answer.header("content-type").is_some_and(|kind| kind.contains("html"));
    match std::str::from_utf8(&answer.body) {
        Ok(text) if !text.trim_start().starts_with('<') && !is_page() => bounded(text),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn now() -> Timestamp {
        "2025-10-24T12:00:00Z".parse().unwrap()
    }

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        Answer { status, headers, body: body.into() }
    }

    #[test]
    fn every_status_has_its_verdict() {
        let verdict = |status| usual(&answer(status, &[], ""), "x", now());
        assert_eq!((verdict(202), verdict(413)), (Verdict::Delivered, Verdict::TooLarge));
        assert_eq!(verdict(400), Verdict::Rejected { reason: "400 x".into() });
        for status in [401, 403, 404, 405] {
            assert_eq!(verdict(status), Verdict::Held { reason: format!("{status} x") });
        }
        for status in [302, 408, 429, 500, 503] {
            assert_eq!(verdict(status), Verdict::Deferred { reason: format!("{status} x"), wait: None });
        }
    }

    #[test]
    fn an_intake_that_says_how_long_is_believed() {
        let wait = |header| match usual(&answer(429, &[header], ""), "", now()) {
            Verdict::Deferred { wait, .. } => wait,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait(("retry-after", "3")), Some(Duration::from_secs(3)));
        assert_eq!(wait(("x-ratelimit-reset", "4")), Some(Duration::from_secs(4)));
    }

    #[test]
    fn no_answer_is_no_verdict_on_the_points() {
        let verdict = |kind| {
            let failure = Failure { kind, message: "no answer".into() };
            of_result(Err(&failure), now(), |_, _| Verdict::Delivered)
        };
        let deferred = Verdict::Deferred { reason: "no answer".into(), wait: None };
        assert_eq!(verdict(FailureKind::Timeout), deferred);
        assert_eq!(verdict(FailureKind::Credential), Verdict::Held { reason: "no answer".into() });
    }

    #[test]
    fn an_intakes_words_are_a_line_and_a_web_page_is_none() {
        assert_eq!(plain_words(&answer(400, &[], "out of order\n  sample\u{7} ")), "out of order sample");
        assert_eq!(plain_words(&answer(502, &[], "<html>bad</html>")), "");
        assert_eq!(plain_words(&answer(502, &[("content-type", "text/html")], "bad")), "");
        assert_eq!(plain_words(&answer(400, &[], &"x".repeat(500))).len(), WORDS_CHARS_MAX);
        assert_eq!(plain_words(&Answer { status: 400, headers: Vec::new(), body: vec![0xff, 0xfe] }), "");
    }
}
