//! Branches: how many there are, and the name of the default one.

use collector_sdk::Fault;
use serde_json::{Map, Value};

use super::Branches;
use super::graphql::{self, is_empty_repository};
use super::repository::Repository;

const BRANCHES: &str = "query Branches($owner: String!, $name: String!) {
  repository(owner: $owner, name: $name) {
    defaultBranchRef { name }
    refs(refPrefix: \"refs/heads/\", first: 1) { totalCount }
    main: ref(qualifiedName: \"refs/heads/main\") { name }
    master: ref(qualifiedName: \"refs/heads/master\") { name }
  }
}";

/// Counts the branches without listing them.
pub async fn count(repository: &Repository) -> Result<Branches, Fault> {
    let answer = graphql::query(repository, BRANCHES, Map::new()).await?;
    let text = |at: &str| answer.pointer(at).and_then(Value::as_str);
    let total = match answer.pointer("/refs/totalCount") {
        Some(total) => total.as_u64().and_then(|total| usize::try_from(total).ok()),
        None => is_empty_repository(&answer).then_some(0),
    };
    Ok(Branches {
        total: total.ok_or_else(|| Fault::bad_answer("query Branches: the answer has no number of branches"))?,
        // By name: where there is no such branch, GitHub goes on looking for one whose full name ends so.
        has_main: text("/main/name") == Some("main"),
        has_master: text("/master/name") == Some("master"),
        default: text("/defaultBranchRef/name").map(str::to_owned),
    })
}
