//! When a request is sent again, and after which pause. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::{Answer, Failure, FailureKind};

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub struct Pacing {
    /// After an answer or a failure that a second try may mend.
    pub repeats_max: u32,
    /// After an answer that asks to slow down.
    pub throttles_max: u32,
    /// The first pause; the next ones double, each drawn from its upper half.
    pub pause_first: Duration,
}

impl Pacing {
    /// For collectors.
    pub const PATIENT: Pacing = Pacing { repeats_max: 2, throttles_max: 3, pause_first: Duration::from_millis(400) };
    /// For whoever decides about repetition itself.
    pub const NEVER: Pacing = Pacing { repeats_max: 0, throttles_max: 0, pause_first: Duration::ZERO };
}

/// What an answer or failure means for the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It stands.
    Done,
    /// Again after a pause.
    Again { pause: Duration },
    /// Again after a pause, as the upstream asked to slow down.
    Throttled { pause: Duration },
}

/// Decides after the `tries`-th try (from 1). `jitter` is drawn from 0..1; `now` is the wall clock, for headers that give a
/// time.
pub(super) fn next(
    pacing: Pacing,
    tries: u32,
    is_repeatable: bool,
    result: Result<&Answer, &Failure>,
    now: Timestamp,
    jitter: f64,
) -> Next {
    let backoff = || {
        let doubled = pacing.pause_first.saturating_mul(1 << (tries - 1).min(10));
        doubled.mul_f64(0.5 + jitter / 2.0)
    };
    match result {
        // Refused before it was worked on, so it may be sent again whatever it is.
        Ok(answer) if is_throttled(answer) && tries <= pacing.throttles_max => {
            Next::Throttled { pause: retry_after(answer, now).unwrap_or_else(backoff) }
        }
        Ok(answer) if matches!(answer.status, 502..=504) && is_repeatable && tries <= pacing.repeats_max => {
            Next::Again { pause: retry_after(answer, now).unwrap_or_else(backoff) }
        }
        Err(failure) if tries <= pacing.repeats_max => match failure.kind {
            FailureKind::Unreachable | FailureKind::Broken if is_repeatable => Next::Again { pause: backoff() },
            _ => Next::Done,
        },
        _ => Next::Done,
    }
}

/// 429, or the 403 by which GitHub says the same.
pub(super) fn is_throttled(answer: &Answer) -> bool {
    let exhausted = || answer.header("x-ratelimit-remaining") == Some("0");
    answer.status == 429 || answer.status == 403 && (answer.header("retry-after").is_some() || exhausted())
}

/// How long the upstream asks to wait: `Retry-After` in seconds or as a date (RFC 9110), `X-RateLimit-Reset` in seconds or as
/// a Unix time (Datadog gives the one, GitHub the other), `RateLimit-Reset` in seconds (W&B). None where it does not say.
pub fn retry_after(answer: &Answer, now: Timestamp) -> Option<Duration> {
    // No upstream asks to wait for three years; a larger number is a Unix time.
    const UNIX_TIMES_FROM: f64 = 1e8;
    let until = |second: f64| (second - now.as_second() as f64).max(0.0);
    let seconds = |text: &str| text.trim().parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0);
    let date = |text: &str| {
        let zoned = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
        Some(until(zoned.timestamp().as_second() as f64))
    };
    let reset = |text: &str| seconds(text).map(|s| if s >= UNIX_TIMES_FROM { until(s) } else { s });
    let wait = answer.header("retry-after").and_then(|text| seconds(text).or_else(|| date(text)));
    let wait = wait.or_else(|| answer.header("x-ratelimit-reset").and_then(reset));
    let wait = wait.or_else(|| answer.header("ratelimit-reset").and_then(reset));
    wait.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Answer {
        let headers = headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        Answer { status, headers, body: Vec::new() }
    }

    fn now() -> Timestamp {
        "2025-10-24T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_wait_is_read_in_every_form_that_upstreams_write_it_in() {
        let epoch = (now().as_second() + 90).to_string();
        for (name, value, seconds) in [
            ("retry-after", "7", Some(7)),
            ("retry-after", "Fri, 24 Oct 2025 12:01:00 GMT", Some(60)),
            ("retry-after", "Fri, 24 Oct 2025 11:00:00 GMT", Some(0)),
            ("x-ratelimit-reset", epoch.as_str(), Some(90)),
            ("x-ratelimit-reset", "12", Some(12)),
            ("ratelimit-reset", "3", Some(3)),
            ("retry-after", "soon", None),
            ("retry-after", "-1", None),
        ] {
            let wait = retry_after(&answer(429, &[(name, value)]), now());
            assert_eq!(wait, seconds.map(Duration::from_secs), "{name}: {value}");
        }
    }

    #[test]
    fn only_what_a_second_try_may_mend_is_sent_again() {
        let step = |tries, repeatable, result: Result<Answer, FailureKind>| {
            let result = result.map_err(|kind| Failure::new(kind, "x"));
            next(Pacing::PATIENT, tries, repeatable, result.as_ref(), now(), 1.0)
        };
        let again = |ms| Next::Again { pause: Duration::from_millis(ms) };
        let bad_gateway = || Ok(answer(502, &[]));
        assert_eq!(step(1, true, bad_gateway()), again(400));
        assert_eq!(step(2, true, bad_gateway()), again(800));
        assert_eq!(step(3, true, bad_gateway()), Next::Done);
        assert_eq!(step(1, false, bad_gateway()), Next::Done);
        for status in [200, 302, 400, 401, 403, 404, 500, 501] {
            assert_eq!(step(1, true, Ok(answer(status, &[]))), Next::Done, "{status}");
        }
        for kind in [FailureKind::Denied, FailureKind::Redirected, FailureKind::Limit, FailureKind::Timeout] {
            assert_eq!(step(1, true, Err(kind)), Next::Done, "{kind:?}");
        }
        assert_eq!(step(1, true, Err(FailureKind::Unreachable)), again(400));
        assert_eq!(step(1, false, Err(FailureKind::Broken)), Next::Done);
    }

    #[test]
    fn whoever_is_asked_to_slow_down_waits_as_long_as_it_says_even_where_repeating_would_do_harm() {
        let step = |tries, answer: &Answer| next(Pacing::PATIENT, tries, false, Ok(answer), now(), 0.0);
        let wait = |seconds| Next::Throttled { pause: Duration::from_secs(seconds) };
        assert_eq!(step(1, &answer(429, &[("retry-after", "9")])), wait(9));
        let limited = answer(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "5")]);
        assert_eq!(step(3, &limited), wait(5));
        assert_eq!(step(4, &limited), Next::Done);
        assert_eq!(next(Pacing::NEVER, 1, true, Ok(&limited), now(), 0.0), Next::Done);
    }
}
