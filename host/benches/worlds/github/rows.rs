//! Rows as GitHub writes them; a workflow run is 14 KB, most of it addresses.

use serde_json::{Map, Value, json};

use super::repository::{ClosedPull, Commit, Run};
use crate::time::seconds_ago;

const API: &str = "https://api.github.com/repos/acme/rocket";

fn ago(seconds: usize) -> String {
    seconds_ago(seconds as i64)
}

/// Half of them are stale.
pub fn open_pull(number: usize) -> Value {
    json!({"number": 10_000 + number, "createdAt": ago(3_600 + open_days(number) * 24 * 3600)})
}

pub fn open_days(number: usize) -> usize {
    number % 28
}

pub fn closed_pull(pull: &ClosedPull) -> Value {
    let at = ago(pull.closed_s);
    json!({
        "number": 30_000 + pull.number, "createdAt": ago(pull.closed_s + pull.open_s()), "updatedAt": at,
        "closedAt": at,
        "mergedAt": pull.is_merged().then_some(&at), "totalCommentsCount": pull.comments(),
    })
}

pub fn commit(commit: &Commit) -> Value {
    let oid = commit.oid();
    let pulls: Vec<Value> =
        commit.pull.iter().map(|pull| json!({"number": pull, "mergeCommit": {"oid": oid}})).collect();
    json!({
        "oid": oid, "message": commit.message(), "committedDate": ago(commit.age_s()), "additions": commit.additions(),
        "deletions": commit.deletions(), "author": {"email": format!("{}@acme.example", commit.author())},
        "parents": {"totalCount": 1}, "associatedPullRequests": {"nodes": pulls},
    })
}

/// `GET /commits/{sha}` with some of its files.
pub fn commit_page(commit: &Commit, files: &[String]) -> Value {
    let oid = commit.oid();
    let patch = "@@ -118,7 +118,9 @@ class Rollout:\n-        return pad(batch, self.length)\n\
                 +        lengths = [len(row) for row in batch]\n\
                 +        return pack(batch, lengths, self.device)\n \n     def close(self) -> None:\n"
        .repeat(3);
    let file = |name: &String| {
        json!({
            "sha": oid, "filename": name, "status": "modified", "additions": 6, "deletions": 3, "changes": 9,
            "blob_url": format!("https://github.com/acme/rocket/blob/{oid}/{name}"),
            "raw_url": format!("https://github.com/acme/rocket/raw/{oid}/{name}"),
            "contents_url": format!("{API}/contents/{name}?ref={oid}"), "patch": patch,
        })
    };
    let person = json!({"name": "A", "email": "a@acme.example", "date": ago(commit.age_s())});
    json!({
        "sha": oid, "url": format!("{API}/commits/{oid}"), "author": user("octocat"), "committer": user("web-flow"),
        "commit": {"author": person, "committer": person, "message": commit.message(), "tree": {"sha": oid}},
        "parents": [{"sha": oid, "url": format!("{API}/commits/{oid}")}],
        "stats": {"total": 9, "additions": 6, "deletions": 3},
        "files": files.iter().map(file).collect::<Vec<_>>(),
    })
}

/// Some of the addresses that every object carries.
fn addresses(base: &str, names: &[&str]) -> Map<String, Value> {
    names.iter().map(|name| (format!("{name}_url"), json!(format!("{base}/{name}{{/sha}}")))).collect()
}

fn with(mut fields: Map<String, Value>, more: Value) -> Value {
    if let Value::Object(more) = more {
        fields.extend(more);
    }
    fields.into()
}

fn user(login: &str) -> Value {
    let names = [
        "avatar",
        "followers",
        "following",
        "gists",
        "starred",
        "subscriptions",
        "organizations",
        "repos",
        "events",
        "received_events",
        "html",
    ];
    let more = json!({
        "login": login, "id": 583_231, "node_id": "MDQ6VXNlcjU4MzIzMQ==", "gravatar_id": "", "type": "User",
        "user_view_type": "public",
        "site_admin": false, "url": format!("https://api.github.com/users/{login}"),
    });
    with(addresses(&format!("https://api.github.com/users/{login}"), &names), more)
}

fn repository() -> Value {
    let names = [
        "archive",
        "assignees",
        "blobs",
        "branches",
        "collaborators",
        "comments",
        "commits",
        "compare",
        "contents",
        "contributors",
        "deployments",
        "downloads",
        "events",
        "forks",
        "git_commits",
        "git_refs",
        "git_tags",
        "hooks",
        "issue_comment",
        "issue_events",
        "issues",
        "keys",
        "labels",
        "languages",
        "merges",
        "milestones",
        "notifications",
        "pulls",
        "releases",
        "stargazers",
        "statuses",
        "subscribers",
        "subscription",
        "tags",
        "teams",
        "trees",
    ];
    let more = json!({
        "id": 217_723_378, "node_id": "MDEwOlJlcG9zaXRvcnkyMTc3MjMzNzg=", "name": "rocket",
        "full_name": "acme/rocket", "private": true,
        "html_url": "https://github.com/acme/rocket", "description": "Agents that learn to get along.", "fork": false,
        "url": API,
        "owner": user("acme"),
    });
    with(addresses(API, &names), more)
}

/// On the default branch or on another of the repository.
pub fn run(run: &Run) -> Value {
    let (id, created) = (17_000_000_000_u64 - run.number as u64, ago(run.age_s));
    let oid = format!("{:040x}", 0x2c26_b46b + run.number);
    let names = ["jobs", "logs", "check_suite", "artifacts", "cancel", "rerun", "workflow", "previous_attempt"];
    let message =
        "Rollouts are packed by length (#20481)\n\nWhat was padded is packed now, which saves a third of the memory.";
    let more = json!({
        "id": id, "name": run.name(), "node_id": format!("WFR_kwLOPxX{id}"),
        "head_branch": if run.is_on_main() { "main" } else { "a/packed-rollouts" },
        "head_sha": oid, "path": ".github/workflows/checks.yml", "display_title": "Rollouts are packed by length",
        "run_number": 40_000 - run.number,
        "event": "push", "status": if run.is_completed() { "completed" } else { "in_progress" },
        "conclusion": run.conclusion(),
        "workflow_id": 161_335, "check_suite_id": 414_944_374 + run.number,
        "check_suite_node_id": "MDEwOkNoZWNrU3VpdGU0MTQ5NDQzNzQ=",
        "url": format!("{API}/actions/runs/{id}"),
        "html_url": format!("https://github.com/acme/rocket/actions/runs/{id}"),
        "pull_requests": [], "created_at": created, "updated_at": ago(run.age_s - run.duration_s().min(run.age_s)),
        "actor": user("octocat"),
        "run_attempt": run.attempt(), "referenced_workflows": [], "run_started_at": created,
        "triggering_actor": user("octocat"),
        "head_commit": {
            "id": oid, "tree_id": oid, "message": message, "timestamp": created,
            "author": {"name": "A", "email": "a@acme.example"},
            "committer": {"name": "GitHub", "email": "noreply@github.com"},
        },
        "repository": repository(), "head_repository": repository(),
    });
    with(addresses(&format!("{API}/actions/runs/{id}"), &names), more)
}
