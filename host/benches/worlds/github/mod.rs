//! A busy repository on GitHub by its GraphQL and REST: cursors, `Link` headers, listings that end after 1,000 rows.
//!
//! [`repository`] says what there is, [`rows`] writes it, [`figures`] counts it.

mod figures;
mod repository;
mod rows;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::server::{Answer, Request, Upstream, join, page};
use super::time::NOW_S;
use super::world::World;
use repository::{BRANCHES, CLOSED_LATELY, OPEN, PUSHES, RUNS, Repository, SQUASHES};

/// Rows of a page, and where GitHub ends a filtered listing of workflow runs.
const PAGE: usize = 100;
const LISTED_MAX: usize = 1_000;
/// Files of a page of one commit.
const COMMIT_PAGE: usize = 300;

/// As much in a week as the collector's requests allow.
pub fn world() -> World {
    let repository = Repository::busy();
    World {
        collector: "github",
        holds: vec![
            (RUNS, "workflow runs"),
            (OPEN, "open pull requests"),
            (CLOSED_LATELY, "closed ones"),
            (SQUASHES, "squash merges"),
            (PUSHES, "pushes"),
        ],
        plan: |address| format!("[upstream.github]\nbase_url = 'http://{address}'\nallow_addresses = ['loopback']\n"),
        environment: &[("GITHUB_TOKEN", "ghp_bench0123456789"), ("GITHUB_ORG", "acme"), ("GITHUB_REPO", "rocket")],
        is_remembered: false,
        figures: figures::of(&repository),
        upstream: Arc::new(Server::new(repository)),
    }
}

struct Server {
    repository: Repository,
    open: Vec<Value>,
    closed: Vec<Value>,
    commits: Vec<Value>,
    /// Seconds ago that they were created, newest first, and how REST writes them.
    runs: Vec<(usize, String)>,
}

impl Server {
    fn new(repository: Repository) -> Server {
        Server {
            open: (0..OPEN).map(rows::open_pull).collect(),
            closed: repository.closed.iter().map(rows::closed_pull).collect(),
            commits: repository.commits.iter().map(rows::commit).collect(),
            runs: repository.runs.iter().map(|run| (run.age_s, rows::run(run).to_string())).collect(),
            repository,
        }
    }

    fn query(&self, body: &Value) -> Option<Value> {
        let variables = &body["variables"];
        let name = body["query"].as_str()?.strip_prefix("query ")?.split_once('(')?.0;
        let after = &variables["after"];
        Some(match name {
            "OpenPullRequests" => json!({"pullRequests": connection(&self.open, after)}),
            "ClosedPullRequests" => json!({"pullRequests": connection(&self.closed, after)}),
            "Branches" => {
                let main = json!({"name": "main"});
                json!({"defaultBranchRef": main, "refs": {"totalCount": BRANCHES}, "main": main, "master": null})
            }
            "Commits" => json!({"defaultBranchRef": {"target": {"history": connection(&self.commits, after)}}}),
            "PullRequestFiles" => (0..25).map_while(|n| self.files_of_pull(variables, n)).collect::<Map<_, _>>().into(),
            _ => return None,
        })
    }

    /// A page of files of the so-manieth pull request that is asked about.
    fn files_of_pull(&self, variables: &Value, n: usize) -> Option<(String, Value)> {
        let number = variables[format!("number{n}")].as_u64()?;
        let commit = self.repository.commits.iter().find(|commit| commit.pull == Some(number))?;
        let files: Vec<Value> = commit.files().into_iter().map(|path| json!({"path": path})).collect();
        Some((format!("squash{n}"), json!({"files": connection(&files, &variables[format!("after{n}")])})))
    }

    fn commit(&self, oid: &str, request: &Request) -> Option<Answer> {
        let commit = self.repository.commits.iter().find(|commit| commit.oid() == oid)?;
        let number = request.query.number("page").unwrap_or(1);
        let files = commit.files();
        let (files, next) = page(&files, COMMIT_PAGE * (number - 1), COMMIT_PAGE);
        let answer = Answer::json(rows::commit_page(commit, files));
        Some(match next {
            Some(_) => answer.with("link", link(&request.path, number + 1)),
            None => answer,
        })
    }

    fn run_page(&self, request: &Request) -> Option<Answer> {
        let created = request.query.get("created")?;
        let (from, to) = match created.split_once("..") {
            Some((from, to)) => (from, age_s(to)?),
            None => (created.strip_prefix(">=")?, 0),
        };
        let span = to..=age_s(from)?;
        let found: Vec<&str> =
            self.runs.iter().filter(|(age_s, _)| span.contains(age_s)).map(|(_, run)| run.as_str()).collect();
        let number = request.query.number("page")?;
        let listed = &found[..found.len().min(LISTED_MAX)];
        let (rows, next) = page(listed, PAGE * (number - 1), PAGE);
        let (total, rows) = (found.len(), join(rows));
        let answer = Answer::json(format!(r#"{{"total_count":{total},"workflow_runs":[{rows}]}}"#));
        Some(match next {
            Some(_) => answer.with("link", link(&request.path, number + 1)),
            None => answer,
        })
    }
}

impl Upstream for Server {
    fn answer(&self, request: &Request) -> Option<Answer> {
        if request.path == "/graphql" {
            return Some(Answer::json(json!({"data": {"repository": self.query(&request.json())?}})));
        }
        match request.path.strip_prefix("/repos/acme/rocket/")? {
            "actions/runs" => self.run_page(request),
            path => self.commit(path.strip_prefix("commits/")?, request),
        }
    }
}

/// How long ago an instant was.
fn age_s(text: &str) -> Option<usize> {
    let at: jiff::Timestamp = text.parse().ok()?;
    usize::try_from(NOW_S - at.as_second()).ok()
}

fn link(path: &str, number: usize) -> String {
    format!("<https://api.github.com{path}?page={number}>; rel=\"next\"")
}

/// A page of rows; the cursor is the number of rows before it.
fn connection(rows: &[Value], after: &Value) -> Value {
    let start = after.as_str().and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let (nodes, next) = page(rows, start, PAGE);
    let end = (start + nodes.len()).to_string();
    json!({"totalCount": rows.len(), "nodes": nodes, "pageInfo": {"hasNextPage": next.is_some(), "endCursor": end}})
}
