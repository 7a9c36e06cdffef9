//! Every page, limit and failure, against a simulated GitHub.

mod upstream;

use std::collections::BTreeSet;

use collector_sdk::http::{self, Request, Response};
use collector_sdk::testing::{Outcome, World, run};
use proptest::prelude::*;
use serde_json::{Value, json};

use self::upstream::{HOUR, Size, Upstream, ago, now, ok, run_row};
use crate::Github;

const MANIFEST: &str = include_str!("../../../collector.toml");

fn collect_from(answer: impl FnMut(&Request) -> Result<Response, http::Error> + 'static) -> Outcome {
    let outcome =
        run::<Github>(World::new(MANIFEST, now()).with("org", "acme").with("repo", "rocket").answering(answer));
    assert_eq!(outcome.forgotten(), Vec::<&str>::new());
    outcome
}

fn collect(github: &Upstream) -> Outcome {
    let github = github.clone();
    collect_from(move |request| github.answer(request))
}

#[track_caller]
fn assert_requests(outcome: &Outcome, expected: usize) {
    let once: BTreeSet<String> = outcome.requests.iter().map(|request| format!("{request:?}")).collect();
    assert_eq!((outcome.requests.len(), once.len()), (expected, expected), "requests, and different ones");
}

#[track_caller]
fn assert_values(outcome: &Outcome, expected: &[(&str, usize)]) {
    for (series, value) in expected {
        assert_eq!(outcome.value(&format!("github.{series}")), Some(*value as f64), "{series} {:?}", outcome.fault);
    }
}

/// Only the series that begin so are gaps.
#[track_caller]
fn assert_lost(outcome: &Outcome, prefixes: &[&str], says: &str) {
    for gap in &outcome.gaps {
        assert!(prefixes.iter().any(|prefix| gap.series.starts_with(&format!("github.{prefix}"))), "{gap:?}");
        assert!(gap.reason.contains(says), "{gap:?}");
    }
    assert!(!outcome.gaps.is_empty() && outcome.fault.is_some());
}

#[test]
fn a_busy_week_of_squash_merges_takes_17_requests() {
    let size = Size { open: 122, closed: 110, squashes: 87, pushes: 0, runs: 680 };
    let outcome = collect(&Upstream::of(size));
    assert_requests(&outcome, 17);
    assert_values(&outcome, &[("prs.open", 122), ("prs.merged_7d", 55), ("prs.closed_without_merge_7d", 55)]);
    assert_values(&outcome, &[("branches.active", 4), ("commits.total_7d", 87), ("ci.workflow_runs_7d", 680)]);
    assert_values(&outcome, &[("code.files_changed_7d", size.files())]);
    assert!(outcome.fault.is_none() && outcome.gaps.is_empty(), "{outcome:?}");
}

#[test]
fn a_busy_week_of_direct_pushes_takes_100_requests() {
    let size = Size { open: 122, closed: 110, squashes: 0, pushes: 87, runs: 680 };
    let outcome = collect(&Upstream::of(size));
    assert_requests(&outcome, 100);
    assert_values(&outcome, &[("code.files_changed_7d", size.files())]);
}

#[test]
fn more_runs_than_one_listing_holds_are_read_by_spans_of_time() {
    let outcome = collect(&Upstream::of(Size { runs: 2000, ..Size::default() }));
    assert_values(&outcome, &[("ci.workflow_runs_7d", 2000), ("ci.benchmarks_passing", 1)]);
    assert_requests(&outcome, 26);
}

#[test]
fn runs_that_come_in_a_burst_are_all_counted_once() {
    let mut github = Upstream::of(Size::default());
    github.runs = (0..2500).map(|n| run_row(n, &ago(3 * 24 * HOUR + n as i64 / 2))).collect();
    assert_values(&collect(&github), &[("ci.workflow_runs_7d", 2500)]);
}

#[test]
fn runs_that_cannot_be_listed_to_their_end_are_gaps_and_nothing_else_is() {
    let mut github = Upstream::of(Size { open: 3, closed: 3, squashes: 1, ..Size::default() });
    github.runs = (0..1001).map(|n| run_row(n, &ago(HOUR))).collect();
    assert_lost(&collect(&github), &["ci."], "GitHub lists 1000 of 1001");
    let endless = move |request: &Request| match request.path() {
        "/graphql" => github.answer(request),
        _ => Ok(ok(&json!({"total_count": u32::MAX, "workflow_runs": []}))),
    };
    assert_requests(&collect_from(endless), 6);
}

#[test]
fn a_run_that_begins_while_pages_are_read_costs_no_other() {
    let mut github = Upstream::of(Size { runs: 300, ..Size::default() });
    let mut is_first = true;
    let outcome = collect_from(move |request| {
        let answer = github.answer(request);
        if request.path() != "/graphql" && std::mem::take(&mut is_first) {
            github.runs.insert(0, run_row(9999, &ago(0)));
        }
        answer
    });
    assert_values(&outcome, &[("ci.workflow_runs_7d", 300)]);
}

/// What may come instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Failure {
    NoAnswer(http::ErrorKind),
    Status502,
    HalfABody,
    EmptyObject,
    EmptyRepository,
    /// A row is missing that the answer promises, or an error stands beside its data.
    BrokenOff,
}

const FAILURES: [Failure; 7] = [
    Failure::NoAnswer(http::ErrorKind::Timeout),
    Failure::NoAnswer(http::ErrorKind::Limit),
    Failure::Status502,
    Failure::HalfABody,
    Failure::EmptyObject,
    Failure::EmptyRepository,
    Failure::BrokenOff,
];

impl Failure {
    fn instead_of(self, answer: Response) -> Result<Response, http::Error> {
        match self {
            Failure::NoAnswer(kind) => Err(http::Error { kind, message: "broken by the test".into() }),
            Failure::Status502 => Ok(Response { status: 502, ..answer }),
            Failure::HalfABody => Ok(Response { body: answer.body[..answer.body.len() / 2].to_vec(), ..answer }),
            Failure::EmptyObject => Ok(ok(&json!({}))),
            Failure::EmptyRepository => Ok(ok(&json!({"data": {"repository": {}}}))),
            Failure::BrokenOff => Ok(broken_off(&answer)),
        }
    }
}

fn broken_off(answer: &Response) -> Response {
    let mut body: Value = answer.json().unwrap();
    if let Some(runs) = body.get_mut("workflow_runs").and_then(Value::as_array_mut) {
        runs.pop();
    } else if body.get("files").is_some() {
        body["files"] = Value::Null;
    } else {
        body["errors"] = json!([{"message": "Something went wrong while executing your query."}]);
    }
    ok(&body)
}

#[test]
fn a_failure_at_any_request_costs_only_what_needs_it() {
    let mut github = Upstream::of(Size { open: 150, closed: 150, squashes: 60, pushes: 10, runs: 1010 });
    github.commit(70, Some(20_070), (0..250).map(|n| format!("big/{n}")).collect());
    github.commit(71, None, (0..650).map(|n| format!("bigger/{n}")).collect());
    let whole = collect(&github);
    for position in 0..whole.requests.len() {
        for failure in FAILURES {
            let (github, mut number) = (github.clone(), 0);
            let outcome = collect_from(move |request| {
                number += 1;
                let answer = github.answer(request)?;
                if number == position + 1 { failure.instead_of(answer) } else { Ok(answer) }
            });
            let at = &outcome.requests[position];
            // Files that a batch lacks are read by their commits; of too long a listing only its length is taken.
            let is_batch = at.body_json()["query"].as_str().is_some_and(|query| query.contains("squash0"));
            let is_week = at.query_value("created").is_some_and(|created| created.starts_with(">=2025-10-17"));
            let is_mended = failure == Failure::EmptyRepository && is_batch || failure == Failure::BrokenOff && is_week;
            let is_sound = (outcome.fault.is_none(), outcome.gaps.is_empty());
            assert_eq!(is_sound, (is_mended, is_mended), "{failure:?} at {at:?}");
            for point in &outcome.points {
                assert_eq!(Some(point.value), whole.value(&point.series), "{point:?} after {failure:?} at {at:?}");
            }
        }
    }
}

#[test]
fn files_are_read_to_their_last_page_and_counted_once() {
    let names = |from: usize, to: usize| (from..to).map(|n| format!("src/{n}")).collect();
    let mut github = Upstream::default();
    github.commit(0, Some(7), names(0, 250));
    github.commit(1, Some(8), names(200, 300));
    github.commit(2, None, names(250, 900));
    assert_values(&collect(&github), &[("code.files_changed_7d", 900)]);
    assert_requests(&collect(&github), 4 + 3 + 3 + 1);
    github.is_silent_on_pages = true;
    assert_values(&collect(&github), &[("code.files_changed_7d", 900)]);
    github.commit(3, None, names(1000, 1300));
    assert_values(&collect(&github), &[("code.files_changed_7d", 1200)]);
}

#[test]
fn a_commit_with_as_many_files_as_github_lists_at_all_makes_the_figure_a_gap() {
    for pull in [None, Some(7)] {
        for (files, is_gap) in [(2999, false), (3000, true), (4000, true)] {
            let mut github = Upstream::default();
            github.commit(0, pull, (0..files).map(|n| n.to_string()).collect());
            let outcome = collect(&github);
            assert_eq!(outcome.gap("github.code.files_changed_7d").is_some(), is_gap, "{pull:?} {files}");
            assert_values(&outcome, &[("commits.total_7d", 1)]);
        }
    }
}

#[test]
fn more_lone_commits_than_requests_are_left_cost_only_the_files() {
    let size = Size { open: 1, closed: 1, pushes: 400, runs: 6000, ..Size::default() };
    let outcome = collect(&Upstream::of(size));
    assert!(outcome.fault.is_none() && outcome.requests.len() < 500, "{:?}", outcome.fault);
    assert_values(&outcome, &[("code.files_changed_7d", size.files()), ("ci.workflow_runs_7d", 6000)]);

    let outcome = collect(&Upstream::of(Size { pushes: 450, ..size }));
    assert_lost(&outcome, &["code.files_changed_7d"], "take a request each");
    assert_values(&outcome, &[("commits.total_7d", 450), ("ci.workflow_runs_7d", 6000)]);
    // A request each is what they take at least.
    let mut github = Upstream::of(size);
    (400..410).for_each(|n| github.commit(n, None, (0..2500).map(|file| format!("{n}/{file}")).collect()));
    assert_lost(&collect(&github), &["code.files_changed_7d"], "more than");
}

#[test]
fn whatever_there_is_an_attempt_takes_no_more_requests_than_the_host_allows() {
    let most = Size { open: 6000, closed: 3700, squashes: 1000, pushes: 60, runs: 15_000 };
    let outcome = collect(&Upstream::of(most));
    assert!(outcome.fault.is_none(), "{:?}", outcome.fault);
    assert_values(&outcome, &[("prs.open", 6000), ("ci.workflow_runs_7d", 15_000)]);
    assert_values(&outcome, &[("code.files_changed_7d", most.files())]);

    let more = Upstream::of(Size { open: 9000, closed: 9000, squashes: 2000, pushes: 900, runs: 15_000 });
    let mut burst = more.clone();
    burst.runs = (0..15_000).map(|n| run_row(n, &ago(3 * HOUR + n as i64 / 400))).collect();
    for github in [more, burst] {
        let outcome = collect(&github);
        assert!(outcome.requests.len() < 500, "{} requests", outcome.requests.len());
        assert!(outcome.gap("github.prs.open").is_some_and(|why| why.contains("does not end within 60 pages")));
        assert!(outcome.gap("github.code.files_changed_7d").is_some_and(|why| why.contains("take a request each")));
    }
}

#[test]
fn a_listing_whose_cursor_stands_still_or_never_ends_is_lost() {
    let still = "no new cursor";
    for (cursor, says) in [(json!(null), still), (json!("0"), still), (json!(1), "does not end")] {
        let github = Upstream::of(Size { open: 1, closed: 1, squashes: 1, pushes: 1, runs: 10 });
        let mut number = 0;
        let outcome = collect_from(move |request| {
            let mut answer: Value = github.answer(request)?.json().unwrap();
            if let Some(listing) = answer.pointer_mut("/data/repository/pullRequests") {
                number += 1;
                let cursor = if cursor == 1 { json!(number.to_string()) } else { cursor.clone() };
                listing["pageInfo"] = json!({"hasNextPage": true, "endCursor": cursor});
            }
            Ok(ok(&answer))
        });
        assert_lost(&outcome, &["prs."], says);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_world_of_any_size_is_counted_to_its_end(
        open in 0usize..350, closed in 0usize..350, squashes in 0usize..120, pushes in 0usize..20,
        runs in 0usize..1500,
    ) {
        let size = Size { open, closed, squashes, pushes, runs };
        let outcome = collect(&Upstream::of(size));
        assert_values(&outcome, &[("prs.open", open), ("prs.merged_7d", closed.div_ceil(2))]);
        assert_values(&outcome, &[("commits.total_7d", squashes + pushes), ("ci.workflow_runs_7d", runs)]);
        assert_values(&outcome, &[("code.files_changed_7d", size.files())]);
    }
}
