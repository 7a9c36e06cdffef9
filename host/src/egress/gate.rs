//! When an upstream wants to be asked again: learnt from its answers, shared by all who ask it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;

use super::repeat::{is_throttled, retry_after};
use super::{Answer, clock};

/// An upstream's gate. It is open until an answer says that a limit is used up.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    /// Until when each limit is used up, by its name; one without a name is its first path segment's.
    closed: HashMap<String, Instant>,
    /// The limit that requests to a first path segment have counted against: GitHub has one for its core, one for search, one for
    /// GraphQL, and names it in each answer.
    limit_of: HashMap<String, String>,
}

impl Gate {
    /// When a request for this path may go, where that is not now.
    pub fn opens(&self, path: &str) -> Option<Instant> {
        let book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let segment = first_segment(path);
        let limit = book.limit_of.get(segment).map_or(segment, String::as_str);
        book.closed.get(limit).copied().filter(|opens| *opens > clock::instant())
    }

    /// Learns from the answer to a request for this path: it was refused for now, or it was the last one that the limit allows.
    pub fn learn(&self, path: &str, answer: &Answer, now: Timestamp) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let segment = first_segment(path);
        let limit = answer.header("x-ratelimit-resource").unwrap_or(segment).to_owned();
        book.limit_of.insert(segment.to_owned(), limit.clone());
        let is_last = ["x-ratelimit-remaining", "ratelimit-remaining"].iter().any(|n| answer.header(n) == Some("0"));
        if let Some(wait) = retry_after(answer, now).filter(|_| is_last || is_throttled(answer)) {
            let opens = clock::instant() + wait;
            let closed = book.closed.entry(limit).or_insert(opens);
            *closed = opens.max(*closed);
        }
    }
}

fn first_segment(path: &str) -> &str {
    path.split('/').nth(1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Answer {
        let headers = headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        Answer { status, headers, body: Vec::new() }
    }

    /// Seconds until a path may be asked for, rounded; 0 for now.
    fn wait(gate: &Gate, path: &str) -> u64 {
        let opens = gate.opens(path).map_or(Duration::ZERO, |opens| opens - clock::instant());
        (opens.as_secs_f64()).round() as u64
    }

    #[test]
    fn a_limit_that_is_used_up_closes_the_gate_for_what_counts_against_it() {
        let (gate, now) = (Gate::default(), Timestamp::UNIX_EPOCH);
        let used = |resource, remaining| {
            [("x-ratelimit-resource", resource), ("x-ratelimit-remaining", remaining), ("x-ratelimit-reset", "60")]
        };
        gate.learn("/repos/a", &answer(200, &used("core", "5")), now);
        assert_eq!(wait(&gate, "/repos/a"), 0);
        gate.learn("/search/x", &answer(200, &used("search", "0")), now);
        assert_eq!((wait(&gate, "/search/y"), wait(&gate, "/repos/b"), wait(&gate, "/new")), (60, 0, 0));
        gate.learn("/repos/a", &answer(403, &used("core", "0")), now);
        assert_eq!((wait(&gate, "/repos/b"), wait(&gate, "/graphql")), (60, 0));
        gate.learn("/graphql", &answer(429, &[("retry-after", "7")]), now);
        assert_eq!((wait(&gate, "/graphql"), wait(&gate, "/other")), (7, 0));
    }

    #[test]
    fn an_answer_that_sets_no_limit_closes_nothing() {
        let (gate, now) = (Gate::default(), Timestamp::UNIX_EPOCH);
        for told in [answer(503, &[("retry-after", "9")]), answer(429, &[]), answer(200, &[("x-ratelimit-reset", "9")])]
        {
            gate.learn("/x", &told, now);
            assert_eq!(wait(&gate, "/x"), 0);
        }
    }
}
