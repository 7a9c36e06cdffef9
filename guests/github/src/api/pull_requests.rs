//! Pull requests: all that are open, and those that were closed lately.

use collector_sdk::{Fault, Timestamp};
use serde_json::Map;

use super::PullRequest;
use super::graphql::Listing;
use super::repository::Repository;

const OPEN: &str = "query OpenPullRequests($owner: String!, $name: String!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequests(states: OPEN, orderBy: {field: CREATED_AT, direction: ASC}, first: 100, after: $after) {
      pageInfo { hasNextPage endCursor }
      nodes { number createdAt }
    }
  }
}";

const CLOSED: &str = "query ClosedPullRequests($owner: String!, $name: String!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequests(
      states: [MERGED, CLOSED], orderBy: {field: UPDATED_AT, direction: DESC}, first: 100, after: $after
    ) {
      pageInfo { hasNextPage endCursor }
      nodes { number createdAt updatedAt closedAt mergedAt totalCommentsCount }
    }
  }
}";

/// All that are open.
pub async fn list_open(repository: &Repository) -> Result<Vec<PullRequest>, Fault> {
    listing(OPEN).read(repository).await
}

/// Last changed first, to the page that ends before the week: what was closed in the week was changed in it.
pub async fn list_closed(repository: &Repository, week_start: Timestamp) -> Result<Vec<PullRequest>, Fault> {
    let is_before = |pull: &PullRequest| pull.updated_at.is_some_and(|updated| updated < week_start);
    listing(CLOSED).read_until(repository, is_before).await
}

fn listing(document: &'static str) -> Listing<PullRequest, u64> {
    Listing { document, variables: Map::new(), at: "/pullRequests", key: |pull| pull.number }
}
