//! Every formula: what GitHub answered in, points and gaps out.

use std::collections::BTreeSet;
use std::time::Duration;

use collector_sdk::{Sheet, Timestamp};

use crate::api::{Answers, Branches, Commit, Commits, HeadRepository, PullRequest, RepositoryName, Run};

const OPEN_PULLS: &[&str] = &["github.prs.open", "github.prs.stale_count_14d"];

const CLOSED_PULLS: &[&str] = &[
    "github.prs.merged_7d",
    "github.prs.closed_without_merge_7d",
    "github.prs.avg_time_to_merge_hours",
    "github.prs.cycle_time_hours",
    "github.prs.with_review_comments_pct",
    "github.prs.avg_comments_per_pr",
];

const BRANCHES: &[&str] = &["github.branches.active"];

const COMMITS: &[&str] = &[
    "github.commits.total_7d",
    "github.commits.hotfix",
    "github.commits.reverts",
    "github.commits.force_merge_7d",
    "github.code.lines_added_7d",
    "github.code.lines_deleted_7d",
    FILES,
    "github.developers.active_7d",
    "github.commits.per_developer_7d",
];

const FILES: &str = "github.code.files_changed_7d";

const RUNS: &[&str] = &[
    "github.ci.workflow_runs_7d",
    "github.ci.failed_workflows_7d",
    "github.ci.timeout_cancellations_7d",
    "github.ci.flaky_checks_7d",
    BENCHMARKS_PASSING,
    TESTS_PASSING,
    "github.ci.avg_workflow_duration_minutes",
    "github.ci.duration_p50_minutes",
    "github.ci.duration_p90_minutes",
    "github.ci.duration_p99_minutes",
];

const BENCHMARKS_PASSING: &str = "github.ci.benchmarks_passing";
const TESTS_PASSING: &str = "github.ci.tests_passing_on_main";

/// Conclusions that say nothing about the code.
const UNDECIDED: &[&str] = &["skipped", "neutral", "cancelled", "stale", "action_required"];

/// Fewer durations have no 90th or 99th percentile worth the name.
const PERCENTILE_RUNS_MIN: usize = 10;

/// The old end of the week; itself inside.
pub fn week_start(now: Timestamp) -> Timestamp {
    days_before(now, 7)
}

fn days_before(now: Timestamp, days: u64) -> Timestamp {
    now.checked_sub(Duration::from_secs(days * 24 * 60 * 60)).unwrap_or(Timestamp::MIN)
}

/// All series of the manifest, each as a point or a gap.
pub fn measure(answers: &Answers, now: Timestamp) -> Sheet {
    let since = week_start(now);
    let mut sheet = Sheet::default();
    match &answers.open_pulls {
        Ok(pulls) => measure_open_pulls(&mut sheet, pulls, now),
        Err(fault) => sheet.lost(OPEN_PULLS, fault),
    }
    match &answers.closed_pulls {
        Ok(pulls) => measure_closed_pulls(&mut sheet, pulls, since),
        Err(fault) => sheet.lost(CLOSED_PULLS, fault),
    }
    match &answers.branches {
        Ok(branches) => measure_branches(&mut sheet, branches),
        Err(fault) => sheet.lost(BRANCHES, fault),
    }
    match &answers.commits {
        Ok(commits) => measure_commits(&mut sheet, commits),
        Err(fault) => sheet.lost(COMMITS, fault),
    }
    match &answers.runs {
        Ok(runs) => {
            let runs: Vec<&Run> = runs.iter().filter(|run| run.created_at >= since).collect();
            measure_runs(&mut sheet, &runs);
            measure_durations(&mut sheet, &runs);
            match &answers.branches {
                Ok(branches) => measure_default_branch(&mut sheet, &runs, branches, &answers.repository),
                // Only gaps: the fault has been reported with the series of the branches.
                Err(fault) => {
                    sheet.gap(BENCHMARKS_PASSING, &fault.message);
                    sheet.gap(TESTS_PASSING, &fault.message);
                }
            }
        }
        Err(fault) => sheet.lost(RUNS, fault),
    }
    sheet
}

fn measure_open_pulls(sheet: &mut Sheet, pulls: &[PullRequest], now: Timestamp) {
    let two_weeks_ago = days_before(now, 14);
    sheet.count("github.prs.open", pulls.len());
    sheet.count("github.prs.stale_count_14d", pulls.iter().filter(|pull| pull.created_at < two_weeks_ago).count());
}

fn measure_closed_pulls(sheet: &mut Sheet, pulls: &[PullRequest], since: Timestamp) {
    let is_of_week = |at: Option<Timestamp>| at.is_some_and(|at| at >= since);
    let merged: Vec<&PullRequest> = pulls.iter().filter(|pull| is_of_week(pull.merged_at)).collect();
    let unmerged = pulls.iter().filter(|pull| pull.merged_at.is_none() && is_of_week(pull.closed_at));
    sheet.count("github.prs.merged_7d", merged.len());
    sheet.count("github.prs.closed_without_merge_7d", unmerged.count());

    let none_merged = "no pull request was merged in the week";
    let hours = merged.iter().filter_map(|pull| Some(seconds_between(pull.created_at, pull.merged_at?) / 3600.0));
    let hours = mean(&hours.collect::<Vec<_>>());
    sheet.put_or_gap("github.prs.avg_time_to_merge_hours", hours, none_merged);
    sheet.put_or_gap("github.prs.cycle_time_hours", hours, none_merged);

    let comments: Option<Vec<f64>> = merged.iter().map(|pull| pull.total_comments_count.map(|n| n as f64)).collect();
    let reason = if comments.is_some() { none_merged } else { "a pull request came without its number of comments" };
    let comments = comments.unwrap_or_default();
    let commented: Vec<f64> = comments.iter().map(|n| 100.0 * f64::from(*n > 0.0)).collect();
    sheet.put_or_gap("github.prs.with_review_comments_pct", mean(&commented), reason);
    sheet.put_or_gap("github.prs.avg_comments_per_pr", mean(&comments), reason);
}

fn measure_branches(sheet: &mut Sheet, branches: &Branches) {
    let trunks = usize::from(branches.has_main) + usize::from(branches.has_master);
    sheet.count("github.branches.active", branches.total.saturating_sub(trunks));
}

fn measure_commits(sheet: &mut Sheet, commits: &Commits) {
    let rows = &commits.rows;
    let mentioning = |words: &[&str]| {
        let mentions = |commit: &&Commit| {
            let message = commit.message.to_lowercase();
            words.iter().any(|word| message.contains(word))
        };
        rows.iter().filter(mentions).count()
    };
    sheet.count("github.commits.total_7d", rows.len());
    sheet.count("github.commits.hotfix", mentioning(&["hotfix"]));
    sheet.count("github.commits.reverts", mentioning(&["revert"]));
    let forced = ["force push", "force merge", "force-push", "force-merge"];
    sheet.count("github.commits.force_merge_7d", mentioning(&forced));

    let (added, deleted) = (rows.iter().map(|commit| commit.additions), rows.iter().map(|commit| commit.deletions));
    sheet.put("github.code.lines_added_7d", sum(added));
    sheet.put("github.code.lines_deleted_7d", sum(deleted));
    match &commits.files {
        Ok(names) => sheet.count(FILES, names.len()),
        Err(fault) => sheet.lost(&[FILES], fault),
    }

    let email = |commit: &Commit| commit.author.as_ref()?.email.as_ref().map(|email| email.to_lowercase());
    let developers: BTreeSet<String> = rows.iter().filter_map(email).filter(|email| !email.is_empty()).collect();
    sheet.count("github.developers.active_7d", developers.len());
    let each = (!developers.is_empty()).then(|| rows.len() as f64 / developers.len() as f64);
    sheet.put_or_gap("github.commits.per_developer_7d", each, "no commit of the week has an author with an address");
}

fn measure_runs(sheet: &mut Sheet, runs: &[&Run]) {
    let concluded = |conclusions: &[&str]| {
        runs.iter().filter(|run| run.conclusion.as_deref().is_some_and(|c| conclusions.contains(&c))).count()
    };
    sheet.count("github.ci.workflow_runs_7d", runs.len());
    sheet.count("github.ci.failed_workflows_7d", concluded(&["failure"]));
    // A job that `timeout-minutes` ends is recorded as cancelled.
    sheet.count("github.ci.timeout_cancellations_7d", concluded(&["cancelled", "timed_out"]));
    let flaky = runs.iter().filter(|run| run.run_attempt.is_some_and(|attempt| attempt > 1));
    sheet.count("github.ci.flaky_checks_7d", flaky.count());
}

fn measure_durations(sheet: &mut Sheet, runs: &[&Run]) {
    let mut minutes: Vec<f64> = runs.iter().filter_map(|run| last_attempt_minutes(run)).collect();
    minutes.sort_by(f64::total_cmp);
    let none = "no run of the week has completed";
    sheet.put_or_gap("github.ci.avg_workflow_duration_minutes", mean(&minutes), none);
    sheet.put_or_gap("github.ci.duration_p50_minutes", percentile(&minutes, 50), none);
    let is_enough = minutes.len() >= PERCENTILE_RUNS_MIN;
    let few = format!("fewer than {PERCENTILE_RUNS_MIN} runs of the week have completed");
    sheet.put_or_gap("github.ci.duration_p90_minutes", percentile(&minutes, 90).filter(|_| is_enough), &few);
    sheet.put_or_gap("github.ci.duration_p99_minutes", percentile(&minutes, 99).filter(|_| is_enough), &few);
}

/// How long the last attempt of a completed run took. `created_at` is when the first one began; where clocks disagree so
/// that an attempt ends before it begins, it has no duration.
fn last_attempt_minutes(run: &Run) -> Option<f64> {
    let minutes = seconds_between(run.run_started_at.unwrap_or(run.created_at), run.updated_at?) / 60.0;
    (is_completed(run) && minutes >= 0.0).then_some(minutes)
}

/// Whether the newest decided run on the default branch succeeded: of any workflow, and of benchmarks.
fn measure_default_branch(sheet: &mut Sheet, runs: &[&Run], branches: &Branches, repository: &str) {
    let is_on_default = |run: &Run| run.head_branch.is_some() && run.head_branch == branches.default;
    let is_meant = |run: &&Run| is_on_default(run) && is_of_repository(run, repository) && is_decided(run);
    let decided: Vec<&Run> = runs.iter().copied().filter(is_meant).collect();
    let is_benchmark = |run: &&Run| run.name.as_ref().is_some_and(|name| name.to_lowercase().contains("benchmark"));

    let benchmarks = newest_succeeded(decided.iter().copied().filter(is_benchmark));
    sheet.put_or_gap(BENCHMARKS_PASSING, benchmarks, "no benchmark run of the week on the default branch is decided");
    let tests = newest_succeeded(decided.iter().copied());
    sheet.put_or_gap(TESTS_PASSING, tests, "no run of the week on the default branch is decided");
}

fn is_decided(run: &Run) -> bool {
    is_completed(run) && run.conclusion.as_deref().is_some_and(|conclusion| !UNDECIDED.contains(&conclusion))
}

fn is_completed(run: &Run) -> bool {
    run.status.as_deref() == Some("completed")
}

/// Whether the run's branch is one of this repository, and not one of a fork that has the same name.
fn is_of_repository(run: &Run, repository: &str) -> bool {
    match (&run.head_repository, &run.repository) {
        (HeadRepository::Unsaid, _) => true,
        (HeadRepository::Deleted, _) => false,
        (HeadRepository::Named(head), Some(own)) => is_same(head, own),
        (HeadRepository::Named(head), None) => {
            head.full_name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(repository))
        }
    }
}

/// By id where both have one, as names change.
fn is_same(one: &RepositoryName, other: &RepositoryName) -> bool {
    match (one.id, other.id, &one.full_name, &other.full_name) {
        (Some(one), Some(other), ..) => one == other,
        (_, _, Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        _ => false,
    }
}

/// 1 if the newest of the runs succeeded, else 0; none where there is none.
fn newest_succeeded<'a>(runs: impl Iterator<Item = &'a Run>) -> Option<f64> {
    let newest = runs.max_by_key(|run| (run.created_at, run.id))?;
    Some(f64::from(newest.conclusion.as_deref() == Some("success")))
}

fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn sum(numbers: impl Iterator<Item = i64>) -> f64 {
    numbers.map(i128::from).sum::<i128>() as f64
}

/// The percentile of sorted values by the exclusive method (type 6 of Hyndman and Fan): at position
/// `percent * (n + 1) / 100`, counted from 1, between its neighbours, and never beyond the ends.
fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let hundredths = (percent * (sorted.len() + 1)).min(100 * sorted.len()).max(100);
    let (below, above) = (sorted.get(hundredths / 100 - 1)?, sorted.get(hundredths.div_ceil(100) - 1)?);
    Some(below + (above - below) * (hundredths % 100) as f64 / 100.0)
}

#[cfg(test)]
mod tests;
