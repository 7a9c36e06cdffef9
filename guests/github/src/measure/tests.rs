//! A test for each rule of the formulas.

use std::collections::BTreeMap;

use collector_sdk::{Fault, Reason};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

const WEEK_START: &str = "2025-10-17T12:00:00Z";
const BEFORE_THE_WEEK: &str = "2025-10-17T11:59:59Z";
const RECENTLY: &str = "2025-10-24T09:00:00Z";

fn read<T: DeserializeOwned>(rows: Value) -> T {
    serde_json::from_value(rows).unwrap()
}

fn merged(created: &str, merged: &str, comments: Value) -> Value {
    json!({"number": 1, "createdAt": created, "updatedAt": RECENTLY, "closedAt": merged, "mergedAt": merged,
        "totalCommentsCount": comments})
}

fn closed(at: &str) -> Value {
    json!({"number": 1, "createdAt": at, "closedAt": at, "mergedAt": null})
}

fn commit(message: &str, author: Value) -> Value {
    json!({"oid": "1", "message": message, "committedDate": RECENTLY, "additions": 5, "deletions": 2,
        "author": author, "parents": {"totalCount": 1}})
}

/// A completed run of the default branch, with other values for some of its keys.
fn a_run(id: u64, created: &str, other: Value) -> Value {
    let mut run = json!({"id": id, "name": "tests", "status": "completed", "conclusion": "success",
        "head_branch": "main", "created_at": created, "run_started_at": created, "updated_at": created});
    run.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    run
}

/// What is measured of a repository with nothing but these rows: points by series, gaps as none.
fn measured(change: impl FnOnce(&mut Answers)) -> BTreeMap<String, Option<f64>> {
    let commits = Commits { rows: Vec::new(), files: Ok(BTreeSet::new()) };
    let branches = Branches { total: 1, has_main: true, has_master: false, default: Some("main".into()) };
    let mut answers = Answers {
        repository: "acme/rocket".into(),
        open_pulls: Ok(Vec::new()),
        closed_pulls: Ok(Vec::new()),
        branches: Ok(branches),
        commits: Ok(commits),
        runs: Ok(Vec::new()),
    };
    change(&mut answers);
    let sheet = measure(&answers, "2025-10-24T12:00:00Z".parse().unwrap());
    let points = sheet.points.into_iter().map(|point| (point.series, Some(point.value)));
    let said: Vec<_> = points.chain(sheet.gaps.into_iter().map(|gap| (gap.series, None))).collect();
    assert_eq!(said.len(), 28, "each series once");
    said.into_iter().collect()
}

fn of_closed(pulls: Value) -> BTreeMap<String, Option<f64>> {
    measured(|answers| answers.closed_pulls = Ok(read(pulls)))
}

fn of_commits(rows: Value) -> BTreeMap<String, Option<f64>> {
    measured(|answers| answers.commits = Ok(Commits { rows: read(rows), files: Ok(BTreeSet::new()) }))
}

fn of_runs(rows: Value) -> BTreeMap<String, Option<f64>> {
    measured(|answers| answers.runs = Ok(read(rows)))
}

#[test]
fn a_pull_request_is_stale_when_it_is_older_than_two_weeks_to_the_second() {
    let pulls =
        json!([{"number": 1, "createdAt": "2025-10-10T12:00:00Z"}, {"number": 2, "createdAt": "2025-10-10T11:59:59Z"}]);
    let values = measured(|answers| answers.open_pulls = Ok(read(pulls)));
    assert_eq!((values["github.prs.open"], values["github.prs.stale_count_14d"]), (Some(2.0), Some(1.0)));
}

#[test]
fn an_old_merge_touched_recently_is_not_counted() {
    let values = of_closed(json!([merged(BEFORE_THE_WEEK, BEFORE_THE_WEEK, json!(3)), closed(BEFORE_THE_WEEK)]));
    assert_eq!(values["github.prs.merged_7d"], Some(0.0));
    assert_eq!(values["github.prs.closed_without_merge_7d"], Some(0.0));
    assert_eq!(values["github.prs.avg_time_to_merge_hours"], None);
}

#[test]
fn the_week_begins_with_the_second_of_its_old_end() {
    let values = of_closed(json!([merged(BEFORE_THE_WEEK, WEEK_START, json!(0)), closed(WEEK_START)]));
    assert_eq!(values["github.prs.merged_7d"], Some(1.0));
    assert_eq!(values["github.prs.closed_without_merge_7d"], Some(1.0));
    let values = of_runs(json!([a_run(1, WEEK_START, json!({})), a_run(2, BEFORE_THE_WEEK, json!({}))]));
    assert_eq!(values["github.ci.workflow_runs_7d"], Some(1.0));
}

#[test]
fn means_and_shares_are_over_the_merged_ones() {
    let pulls = json!([
        merged("2025-10-22T00:00:00Z", "2025-10-22T03:00:00Z", json!(0)),
        merged("2025-10-21T00:00:00Z", "2025-10-22T00:00:00Z", json!(5)),
        closed(RECENTLY),
    ]);
    let values = of_closed(pulls);
    assert_eq!(values["github.prs.avg_time_to_merge_hours"], Some(13.5));
    assert_eq!(values["github.prs.cycle_time_hours"], Some(13.5));
    assert_eq!(values["github.prs.with_review_comments_pct"], Some(50.0));
    assert_eq!(values["github.prs.avg_comments_per_pr"], Some(2.5));
}

#[test]
fn a_missing_number_of_comments_costs_the_comments_only() {
    let values = of_closed(json!([merged(RECENTLY, RECENTLY, json!(2)), merged(RECENTLY, RECENTLY, json!(null))]));
    let gaps: Vec<&str> = CLOSED_PULLS.iter().copied().filter(|series| values[*series].is_none()).collect();
    assert_eq!(gaps, ["github.prs.with_review_comments_pct", "github.prs.avg_comments_per_pr"]);
}

#[test]
fn main_and_master_are_no_active_branches_and_another_default_is() {
    for (total, has_main, has_master, active) in [(1, true, false, 0.0), (9, true, true, 7.0), (3, false, false, 3.0)] {
        let branches = Branches { total, has_main, has_master, default: Some("trunk".into()) };
        let values = measured(|answers| answers.branches = Ok(branches));
        assert_eq!(values["github.branches.active"], Some(active));
    }
}

#[test]
fn words_are_found_anywhere_in_a_message_and_in_any_case() {
    let rows = ["Fix\n\nA HotFix for #7", "Revert \"x\"", "irrevertible", "Force-Push it", "forced merge"];
    let values = of_commits(rows.iter().map(|message| commit(message, json!(null))).collect());
    assert_eq!(values["github.commits.hotfix"], Some(1.0));
    assert_eq!(values["github.commits.reverts"], Some(2.0));
    assert_eq!(values["github.commits.force_merge_7d"], Some(1.0));
    assert_eq!(
        (values["github.code.lines_added_7d"], values["github.code.lines_deleted_7d"]),
        (Some(25.0), Some(10.0))
    );
}

#[test]
fn developers_are_distinct_addresses_and_a_missing_one_is_nobody() {
    let authors = [
        json!({"email": "Ada@acme.example"}),
        json!({"email": "ada@ACME.example"}),
        json!({"email": ""}),
        json!({}),
        json!(null),
    ];
    let values = of_commits(authors.into_iter().map(|author| commit("m", author)).collect());
    assert_eq!(values["github.developers.active_7d"], Some(1.0));
    assert_eq!(values["github.commits.per_developer_7d"], Some(5.0));
    assert_eq!(of_commits(json!([commit("m", json!(null))]))["github.commits.per_developer_7d"], None);
}

#[test]
fn runs_are_counted_by_conclusion_and_attempt() {
    let rows = [
        json!({"conclusion": "failure", "run_attempt": 3, "head_branch": "x"}),
        json!({"conclusion": "cancelled", "run_attempt": 1}),
        json!({"conclusion": "timed_out", "run_attempt": null}),
        json!({"conclusion": "startup_failure", "run_attempt": 2}),
        json!({"conclusion": null, "status": "in_progress"}),
    ];
    let values = of_runs(rows.into_iter().map(|other| a_run(1, RECENTLY, other)).collect());
    let counts = ["workflow_runs_7d", "failed_workflows_7d", "timeout_cancellations_7d", "flaky_checks_7d"];
    assert_eq!(counts.map(|name| values[&format!("github.ci.{name}")]), [5.0, 1.0, 2.0, 2.0].map(Some));
}

#[test]
fn the_newest_decided_run_on_the_default_branch_decides() {
    let success = || a_run(1, "2025-10-23T00:00:00Z", json!({}));
    let passing = |later: Value| of_runs(json!([a_run(2, RECENTLY, later), success()]))[TESTS_PASSING];
    assert_eq!(passing(json!({"conclusion": "failure"})), Some(0.0));
    assert_eq!(passing(json!({"conclusion": "timed_out", "name": null})), Some(0.0));
    for undecided in UNDECIDED {
        assert_eq!(passing(json!({"conclusion": undecided})), Some(1.0), "{undecided}");
    }
    assert_eq!(passing(json!({"conclusion": null, "status": "queued"})), Some(1.0));
    assert_eq!(passing(json!({"conclusion": "failure", "head_branch": "Main"})), Some(1.0));
    assert_eq!(passing(json!({"conclusion": "failure", "head_branch": null})), Some(1.0));
    assert_eq!(of_runs(json!([]))[TESTS_PASSING], None);
}

#[test]
fn a_branch_of_a_fork_is_not_the_default_branch() {
    let own = json!({"id": 1, "full_name": "acme/rocket"});
    let passing = |head: Value, own: &Value| {
        let run = json!({"conclusion": "failure", "head_repository": head, "repository": own});
        of_runs(json!([a_run(2, RECENTLY, run)]))[TESTS_PASSING]
    };
    assert_eq!(passing(json!({"id": 1, "full_name": "acme/old-name"}), &own), Some(0.0));
    assert_eq!(passing(json!({"full_name": "Acme/Rocket"}), &own), Some(0.0));
    assert_eq!(passing(json!({"full_name": "acme/rocket"}), &json!(null)), Some(0.0));
    for fork in
        [json!(null), json!({"id": 2, "full_name": "acme/rocket"}), json!({"full_name": "bob/rocket"}), json!({})]
    {
        assert_eq!(passing(fork.clone(), &own), None, "{fork}");
    }
}

#[test]
fn a_benchmark_run_is_known_by_its_name() {
    let runs = json!([
        a_run(1, "2025-10-23T00:00:00Z", json!({"name": "Nightly BENCHMARKS"})),
        a_run(2, RECENTLY, json!({"conclusion": "failure"})),
        a_run(3, RECENTLY, json!({"conclusion": "failure", "name": null})),
    ]);
    let values = of_runs(runs);
    assert_eq!((values[BENCHMARKS_PASSING], values[TESTS_PASSING]), (Some(1.0), Some(0.0)));
}

#[test]
fn a_lost_branch_name_costs_two_of_the_runs_series() {
    let fault = Fault::new(Reason::Timeout, "query Branches: timed out");
    let runs = (0..10).map(|id| a_run(id, RECENTLY, json!({}))).collect();
    let values = measured(|answers| (answers.branches, answers.runs) = (Err(fault), Ok(read(runs))));
    let gaps: Vec<&str> = RUNS.iter().copied().filter(|series| values[*series].is_none()).collect();
    assert_eq!(gaps, [BENCHMARKS_PASSING, TESTS_PASSING]);
}

#[test]
fn a_duration_is_that_of_the_last_attempt_of_a_completed_run() {
    let minutes = |other: Value| last_attempt_minutes(&read::<Run>(a_run(1, "2025-10-24T06:00:00Z", other)));
    let (started, ended) = ("2025-10-24T08:57:30Z", RECENTLY);
    assert_eq!(minutes(json!({"run_started_at": started, "updated_at": ended})), Some(2.5));
    assert_eq!(minutes(json!({"run_started_at": null, "updated_at": ended})), Some(180.0));
    assert_eq!(minutes(json!({"run_started_at": "soon", "updated_at": ended})), Some(180.0));
    assert_eq!(minutes(json!({"run_started_at": ended, "updated_at": started})), None);
    assert_eq!(minutes(json!({"updated_at": null})), None);
    assert_eq!(minutes(json!({"status": "in_progress", "updated_at": ended})), None);
}

#[test]
fn percentiles_are_exclusive_and_end_at_the_maximum() {
    let upto = |n: u32| (1..=n).map(f64::from).collect::<Vec<_>>();
    assert_eq!(percentile(&upto(100), 90), Some(90.9));
    assert_eq!(percentile(&upto(100), 99), Some(99.99));
    assert_eq!(percentile(&upto(10), 90), Some(9.9));
    assert_eq!(percentile(&upto(10), 99), Some(10.0));
    assert_eq!(percentile(&upto(4), 50), Some(2.5));
    assert_eq!(percentile(&[], 50), None);
}

#[test]
fn high_percentiles_need_ten_durations() {
    for (runs, is_gap) in [(9, true), (10, false)] {
        let values = of_runs((0..runs).map(|id| a_run(id, RECENTLY, json!({}))).collect());
        assert_eq!(values["github.ci.duration_p90_minutes"].is_none(), is_gap);
        assert_eq!(values["github.ci.duration_p99_minutes"].is_none(), is_gap);
        assert_eq!(values["github.ci.duration_p50_minutes"], Some(0.0));
    }
}

proptest! {
    #[test]
    fn percentiles_rise_with_their_share_and_stay_between_the_ends(mut values in prop::collection::vec(0.0..1e9, 1..200)) {
        values.sort_by(f64::total_cmp);
        let found: Vec<f64> = [0, 1, 50, 90, 99, 100].iter().filter_map(|p| percentile(&values, *p)).collect();
        prop_assert!(found.windows(2).all(|pair| pair[0] <= pair[1]));
        prop_assert!(values[0] <= found[0] && found[5] <= values[values.len() - 1]);
    }

    #[test]
    fn no_row_makes_a_figure_infinite_or_negative(numbers in prop::collection::vec(0..=i64::MAX, 1..20)) {
        let pulls = numbers.iter().map(|n| merged(WEEK_START, RECENTLY, json!(n))).collect();
        let values = of_closed(pulls);
        prop_assert!(values["github.prs.with_review_comments_pct"].is_some_and(|share| (0.0..=100.0).contains(&share)));
        prop_assert!(values.values().flatten().all(|value| value.is_finite() && *value >= 0.0));
    }
}
