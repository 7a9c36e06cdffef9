//! What the collector must make of the repository.

use std::collections::BTreeSet;

use super::repository::{BRANCHES, ClosedPull, Commit, OPEN, RUNS, Repository, Run};
use super::rows::open_days;
use crate::world::{Figure, figure};

pub fn of(repository: &Repository) -> Vec<Figure> {
    let mut figures = of_pulls(repository);
    figures.extend(of_commits(&repository.commits));
    figures.extend(of_runs(&repository.runs));
    figures
}

fn of_pulls(repository: &Repository) -> Vec<Figure> {
    let week: Vec<&ClosedPull> = repository.closed.iter().filter(|pull| pull.is_of_week()).collect();
    let merged: Vec<&&ClosedPull> = week.iter().filter(|pull| pull.is_merged()).collect();
    let mean = |of: fn(&ClosedPull) -> f64| merged.iter().map(|pull| of(pull)).sum::<f64>() / merged.len() as f64;
    let hours = mean(|pull| pull.open_s() as f64 / 3600.0);
    vec![
        figure("github.prs.open", OPEN),
        figure("github.prs.stale_count_14d", (0..OPEN).filter(|number| open_days(*number) >= 14).count()),
        figure("github.prs.merged_7d", merged.len()),
        figure("github.prs.closed_without_merge_7d", week.len() - merged.len()),
        figure("github.prs.avg_time_to_merge_hours", hours),
        figure("github.prs.cycle_time_hours", hours),
        figure("github.prs.with_review_comments_pct", mean(|pull| if pull.comments() > 0 { 100.0 } else { 0.0 })),
        figure("github.prs.avg_comments_per_pr", mean(|pull| pull.comments() as f64)),
        figure("github.branches.active", BRANCHES - 1),
    ]
}

fn of_commits(commits: &[Commit]) -> Vec<Figure> {
    let mentioning =
        |word: &str| commits.iter().filter(|commit| commit.message().to_lowercase().contains(word)).count();
    let authors: BTreeSet<usize> = commits.iter().map(Commit::author).collect();
    let files: BTreeSet<String> = commits.iter().flat_map(Commit::files).collect();
    vec![
        figure("github.commits.total_7d", commits.len()),
        figure("github.commits.hotfix", mentioning("hotfix")),
        figure("github.commits.reverts", mentioning("revert")),
        figure("github.code.lines_added_7d", commits.iter().map(Commit::additions).sum::<usize>()),
        figure("github.code.lines_deleted_7d", commits.iter().map(Commit::deletions).sum::<usize>()),
        figure("github.code.files_changed_7d", files.len()),
        figure("github.developers.active_7d", authors.len()),
        figure("github.commits.per_developer_7d", commits.len() as f64 / authors.len() as f64),
    ]
}

fn of_runs(runs: &[Run]) -> Vec<Figure> {
    let concluded = |all: &[&str]| runs.iter().filter(|run| run.conclusion().is_some_and(|c| all.contains(&c))).count();
    let completed: Vec<&Run> = runs.iter().filter(|run| run.is_completed()).collect();
    let minutes: f64 = completed.iter().map(|run| run.duration_s() as f64 / 60.0).sum();
    vec![
        figure("github.ci.workflow_runs_7d", RUNS),
        figure("github.ci.failed_workflows_7d", concluded(&["failure"])),
        figure("github.ci.timeout_cancellations_7d", concluded(&["cancelled", "timed_out"])),
        figure("github.ci.flaky_checks_7d", runs.iter().filter(|run| run.attempt() > 1).count()),
        // The newest run of all is one of the benchmarks on the default branch, and went well.
        figure("github.ci.tests_passing_on_main", 1.0),
        figure("github.ci.benchmarks_passing", 1.0),
        figure("github.ci.avg_workflow_duration_minutes", minutes / completed.len() as f64),
    ]
}
