//! Asks GitHub for pull requests, branches, commits with the names of their files, and workflow runs.
//!
//! Two APIs: GraphQL, and REST where GraphQL has no field for what is asked.

mod branches;
mod commits;
mod files;
mod graphql;
mod pull_requests;
mod repository;
mod runs;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use collector_sdk::futures::future;
use collector_sdk::{Fault, Timestamp, time};
use serde::Deserialize;

use repository::Repository;

/// Requests that each group may take. The host ends an attempt that takes more than 500; files come last, and may have what the others
/// leave.
mod allowed {
    /// Pages of 100.
    pub const OPEN_PULLS: usize = 60;
    pub const CLOSED_PULLS: usize = 40;
    pub const COMMITS: usize = 30;
    pub const BRANCHES: usize = 1;
    /// 15,000 runs, spread over the week as people work, are some 170 pages, and more where they come in bursts.
    pub const RUNS: usize = 220;
    pub const FILES: usize = 140;

    const _: () = assert!(OPEN_PULLS + CLOSED_PULLS + COMMITS + BRANCHES + RUNS + FILES < 500);
}

/// Asks for all groups at once, and then for the files of the commits. With four requests for runs, eight at most are in flight.
///
/// # Errors
/// Where the settings name no repository. What goes wrong with a request stands in the answer of its group.
pub async fn ask(week_start: Timestamp, now: Timestamp) -> Result<Answers, Fault> {
    let repository = Repository::from_settings()?;
    let groups = [allowed::OPEN_PULLS, allowed::CLOSED_PULLS, allowed::BRANCHES, allowed::COMMITS, allowed::RUNS];
    let groups = groups.map(|requests| repository.allowing(requests));
    let [of_open, of_closed, of_branches, of_commits, of_runs] = &groups;
    let (open_pulls, closed_pulls, branches, commits, runs) = future::join5(
        pull_requests::list_open(of_open),
        pull_requests::list_closed(of_closed, week_start),
        branches::count(of_branches),
        commits::list(of_commits, week_start),
        runs::list(of_runs, week_start, now),
    )
    .await;
    let left: usize = groups.iter().map(Repository::left).sum();
    let of_files = repository.allowing(allowed::FILES + left);
    let commits = match commits {
        Ok(listed) => Ok(commits::add_files(&of_files, listed).await),
        Err(fault) => Err(fault),
    };
    Ok(Answers { repository: repository.full_name(), open_pulls, closed_pulls, branches, commits, runs })
}

/// What GitHub answered, group by group: one that was lost costs the others nothing.
pub struct Answers {
    /// `org/repo`, as the settings have it.
    pub repository: String,
    pub open_pulls: Result<Vec<PullRequest>, Fault>,
    /// All that were closed in the week, and others that were closed before it.
    pub closed_pulls: Result<Vec<PullRequest>, Fault>,
    pub branches: Result<Branches, Fault>,
    pub commits: Result<Commits, Fault>,
    /// All of the week, and perhaps some of the second before it.
    pub runs: Result<Vec<Run>, Fault>,
}

/// A pull request, as GraphQL lists it. Of an open one only `number` and `created_at` are asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullRequest {
    number: u64,
    #[serde(deserialize_with = "time::required")]
    pub created_at: Timestamp,
    #[serde(default, deserialize_with = "time::optional")]
    updated_at: Option<Timestamp>,
    /// Of merged ones too.
    #[serde(default, deserialize_with = "time::optional")]
    pub closed_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "time::optional")]
    pub merged_at: Option<Timestamp>,
    /// In the conversation and in reviews. GitHub may answer null.
    pub total_comments_count: Option<i64>,
}

/// What is asked of the branches; their names are not.
#[derive(Debug)]
pub struct Branches {
    /// All of them, `main` and `master` too.
    pub total: usize,
    pub has_main: bool,
    pub has_master: bool,
    /// The name of the default branch. An empty repository has none.
    pub default: Option<String>,
}

/// The commits of the week on the default branch.
#[derive(Debug)]
pub struct Commits {
    pub rows: Vec<Commit>,
    /// The names of all files that they touched; of a renamed file its new one.
    pub files: Result<BTreeSet<String>, Fault>,
}

/// A commit, as GraphQL lists it.
#[derive(Debug, Deserialize)]
pub struct Commit {
    /// Subject and body.
    pub message: String,
    /// Lines.
    pub additions: i64,
    /// Lines.
    pub deletions: i64,
    pub author: Option<Author>,
}

/// Who wrote a commit, as git has it.
#[derive(Debug, Deserialize)]
pub struct Author {
    /// As it was typed; it may be empty.
    pub email: Option<String>,
}

/// A workflow run, as REST lists it.
/// Source: <https://docs.github.com/rest/actions/workflow-runs#list-workflow-runs-for-a-repository>
#[derive(Debug, Deserialize)]
pub struct Run {
    pub id: u64,
    /// That of its workflow.
    pub name: Option<String>,
    /// `completed`, or how far it is.
    pub status: Option<String>,
    /// How it ended; none before that.
    pub conclusion: Option<String>,
    pub head_branch: Option<String>,
    /// Counted from 1.
    pub run_attempt: Option<i64>,
    #[serde(deserialize_with = "time::required")]
    pub created_at: Timestamp,
    /// When the last attempt began.
    #[serde(default, deserialize_with = "time::if_readable")]
    pub run_started_at: Option<Timestamp>,
    /// Of a completed run, when the last attempt ended.
    #[serde(default, deserialize_with = "time::if_readable")]
    pub updated_at: Option<Timestamp>,
    /// The one that was asked about.
    pub repository: Option<RepositoryName>,
    #[serde(default)]
    pub head_repository: HeadRepository,
}

/// Where a run's branch is: in the repository itself, or in a fork of it.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
pub enum HeadRepository {
    /// The answer has no such key.
    #[default]
    #[serde(skip)]
    Unsaid,
    /// Null: a fork that was deleted.
    Deleted,
    Named(RepositoryName),
}

/// A repository, as it stands in a run.
#[derive(Debug, Deserialize)]
pub struct RepositoryName {
    pub id: Option<u64>,
    /// `org/repo`.
    pub full_name: Option<String>,
}
