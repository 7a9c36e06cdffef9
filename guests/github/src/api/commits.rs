//! The commits of the week on the default branch, and where the names of their files can be read.

use std::collections::BTreeMap;

use collector_sdk::{Fault, Timestamp, time};
use serde::Deserialize;
use serde_json::{Map, json};

use super::files::{self, Source};
use super::graphql::Listing;
use super::repository::Repository;
use super::{Commit, Commits};

const COMMITS: &str = "query Commits($owner: String!, $name: String!, $since: GitTimestamp, $after: String) {
  repository(owner: $owner, name: $name) {
    defaultBranchRef {
      target {
        ... on Commit {
          history(since: $since, first: 100, after: $after) {
            totalCount
            pageInfo { hasNextPage endCursor }
            nodes {
              oid message committedDate additions deletions
              author { email }
              parents(first: 1) { totalCount }
              associatedPullRequests(first: 5) { nodes { number mergeCommit { oid } } }
            }
          }
        }
      }
    }
  }
}";

/// The commits since then.
pub async fn list(repository: &Repository, week_start: Timestamp) -> Result<Vec<ListedCommit>, Fault> {
    // GitHub doesn't say whether a commit of that very second is listed: ask for one more, and drop it here.
    let since = Timestamp::from_second(week_start.as_second().saturating_sub(1)).unwrap_or(week_start);
    let listing = Listing {
        document: COMMITS,
        variables: Map::from_iter([("since".to_owned(), json!(since.to_string()))]),
        at: "/defaultBranchRef/target/history",
        key: |row: &ListedCommit| row.oid.clone(),
    };
    let mut listed = listing.read(repository).await?;
    listed.retain(|row| row.committed_date >= week_start);
    Ok(listed)
}

/// These commits with their files.
pub async fn add_files(repository: &Repository, listed: Vec<ListedCommit>) -> Commits {
    let files = files::list(repository, &sources(&listed)).await;
    Commits { rows: listed.into_iter().map(|row| row.commit).collect(), files }
}

/// A commit with what is needed to find its files.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedCommit {
    oid: String,
    #[serde(deserialize_with = "time::required")]
    committed_date: Timestamp,
    parents: Parents,
    associated_pull_requests: Option<AssociatedPullRequests>,
    #[serde(flatten)]
    commit: Commit,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parents {
    total_count: usize,
}

/// Null, or with null rows, where the token may not read pull requests.
#[derive(Deserialize)]
struct AssociatedPullRequests {
    nodes: Option<Vec<Option<AssociatedPullRequest>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssociatedPullRequest {
    number: u64,
    merge_commit: Option<MergeCommit>,
}

#[derive(Deserialize)]
struct MergeCommit {
    oid: String,
}

impl ListedCommit {
    fn pulls(&self) -> impl Iterator<Item = &AssociatedPullRequest> {
        self.associated_pull_requests.iter().flat_map(|associated| &associated.nodes).flatten().flatten()
    }
}

/// Where the files of each commit can be read: those of a squash merge are its pull request's too.
///
/// A commit that shares its pull request with another is part of a rebase merge, and one with two parents is a merge
/// commit: their pull request's files are not theirs alone.
fn sources(listed: &[ListedCommit]) -> Vec<Source<'_>> {
    let mut commits_of: BTreeMap<u64, usize> = BTreeMap::new();
    for pull in listed.iter().flat_map(ListedCommit::pulls) {
        *commits_of.entry(pull.number).or_default() += 1;
    }
    let is_squash = |row: &ListedCommit, pull: &AssociatedPullRequest| {
        let is_merge = pull.merge_commit.as_ref().is_some_and(|merge| merge.oid == row.oid);
        is_merge && row.parents.total_count == 1 && commits_of.get(&pull.number) == Some(&1)
    };
    let sources = listed.iter().map(|row| {
        let squashed = row.pulls().find(|pull| is_squash(row, pull));
        Source { commit: &row.oid, squashed_pull: squashed.map(|pull| pull.number) }
    });
    sources.collect()
}
