//! A simulated GitHub with one repository, of any size, over both APIs.

use std::collections::BTreeMap;

use collector_sdk::Timestamp;
use collector_sdk::http::{Error, Request, Response};
use serde_json::{Value, json};

use crate::api::graphql;

pub const HOUR: i64 = 3600;

/// When the tests take place.
pub fn now() -> Timestamp {
    "2025-10-24T12:00:00Z".parse().unwrap()
}

/// The time so many seconds before that.
pub fn ago(seconds: i64) -> String {
    Timestamp::from_second(now().as_second() - seconds).unwrap().to_string()
}

/// How much there is of everything.
#[derive(Clone, Copy, Default)]
pub struct Size {
    pub open: usize,
    /// Pull requests closed in the week, every other one by a merge.
    pub closed: usize,
    /// Commits that are a pull request's squash merge.
    pub squashes: usize,
    /// Commits of their own.
    pub pushes: usize,
    /// Workflow runs, evenly over the week.
    pub runs: usize,
}

impl Size {
    /// The files of all commits: between one and seven each, none in two of them.
    pub fn files(&self) -> usize {
        (0..self.squashes + self.pushes).map(|n| n % 7 + 1).sum()
    }
}

/// What the repository holds; rows as GitHub answers them, newest first.
#[derive(Clone, Default)]
pub struct Upstream {
    open: Vec<Value>,
    closed: Vec<Value>,
    commits: Vec<Value>,
    /// Of a commit by oid, and of a pull request by number.
    files: BTreeMap<String, Vec<String>>,
    pub runs: Vec<Value>,
    /// Whether the pages of a commit come without the `link` header.
    pub is_silent_on_pages: bool,
}

impl Upstream {
    /// A repository of that size, with 250 pull requests more that were closed before the week.
    pub fn of(size: Size) -> Upstream {
        let open = (0..size.open).map(|n| json!({"number": 10_000 + n, "createdAt": ago(40 * 24 * HOUR)})).collect();
        let of_week = (0..size.closed).map(|n| closed_row(n, &ago(60 + n as i64)));
        let closed = of_week.chain((0..250).map(|n| closed_row(5000 + n, &ago(8 * 24 * HOUR)))).collect();
        let step = 7 * 24 * HOUR / (size.runs as i64 + 1);
        let runs = (0..size.runs).map(|n| run_row(n, &ago(step * (n as i64 + 1)))).collect();
        let mut github = Upstream { open, closed, runs, ..Upstream::default() };
        for n in 0..size.squashes + size.pushes {
            let pull = (n < size.squashes).then_some(20_000 + n);
            github.commit(n, pull, (0..=n % 7).map(|file| format!("{n}/{file}")).collect());
        }
        github
    }

    /// Adds a commit, as the squash merge of a pull request or on its own.
    pub fn commit(&mut self, n: usize, pull: Option<usize>, files: Vec<String>) {
        let oid = format!("{n:040x}");
        let pulls: Value = pull.iter().map(|pull| json!({"number": pull, "mergeCommit": {"oid": oid}})).collect();
        if let Some(number) = pull {
            self.files.insert(number.to_string(), files.clone());
        }
        self.files.insert(oid.clone(), files);
        self.commits.push(json!({"oid": oid, "message": "m", "committedDate": ago(n as i64 * 60), "additions": 2,
            "deletions": 1, "author": {"email": format!("{}@acme.example", n % 5)},
            "parents": {"totalCount": 1}, "associatedPullRequests": {"nodes": pulls}}));
    }

    pub fn answer(&self, request: &Request) -> Result<Response, Error> {
        let path = request.path().strip_prefix("/repos/acme/rocket/").unwrap_or(request.path());
        Ok(match path.strip_prefix("commits/") {
            Some(oid) => self.commit_page(oid, request.query_value("page").map_or(1, |page| page.parse().unwrap())),
            None if path == "actions/runs" => ok(&self.run_page(request)),
            None => ok(&json!({"data": {"repository": self.query(&request.body_json())}})),
        })
    }

    fn query(&self, body: &Value) -> Value {
        let variables = &body["variables"];
        match graphql::operation(body["query"].as_str().unwrap()) {
            "query OpenPullRequests" => json!({"pullRequests": connection(&self.open, &variables["after"])}),
            "query ClosedPullRequests" => json!({"pullRequests": connection(&self.closed, &variables["after"])}),
            "query Branches" => json!({"defaultBranchRef": {"name": "main"}, "refs": {"totalCount": 5},
                "main": {"name": "main"}, "master": null}),
            "query Commits" => {
                let since = |commit: &&Value| commit["committedDate"].as_str() >= variables["since"].as_str();
                let commits: Vec<Value> = self.commits.iter().filter(since).cloned().collect();
                json!({"defaultBranchRef": {"target": {"history": connection(&commits, &variables["after"])}}})
            }
            _ => {
                let files_of = |n: usize| {
                    let files = self.files.get(&variables[format!("number{n}")].to_string())?;
                    let rows: Vec<Value> = files.iter().map(|path| json!({"path": path})).collect();
                    Some(json!({"files": connection(&rows, &variables[format!("after{n}")])}))
                };
                (0..25).map(|n| (format!("squash{n}"), json!(files_of(n)))).collect()
            }
        }
    }

    fn commit_page(&self, oid: &str, page: usize) -> Response {
        let files: Vec<Value> = self.files[oid].iter().map(|name| json!({"filename": name})).collect();
        let from = (300 * (page - 1)).min(files.len());
        let to = (from + 300).min(files.len()).min(3000);
        let mut answer = ok(&json!({"sha": oid, "files": files[from..to]}));
        if to < files.len().min(3000) && !self.is_silent_on_pages {
            let link = format!("<https://api.github.com/repositories/1/commits/{oid}?page={}>; rel=\"next\"", page + 1);
            answer.headers.push(("link".into(), link));
        }
        answer
    }

    fn run_page(&self, request: &Request) -> Value {
        let created = request.query_value("created").unwrap();
        let (from, to) = created.split_once("..").unwrap_or((created.trim_start_matches(">="), "9999"));
        let is_listed = |run: &&Value| (from..=to).contains(&run["created_at"].as_str().unwrap());
        let runs: Vec<&Value> = self.runs.iter().filter(is_listed).collect();
        let page: usize = request.query_value("page").unwrap().parse().unwrap();
        let rows: Vec<&&Value> = runs.iter().take(1000).skip(100 * (page - 1)).take(100).collect();
        json!({"total_count": runs.len(), "workflow_runs": rows})
    }
}

fn closed_row(number: usize, at: &str) -> Value {
    json!({"number": number, "createdAt": ago(9 * 24 * HOUR), "updatedAt": at, "closedAt": at,
        "mergedAt": number.is_multiple_of(2).then_some(at), "totalCommentsCount": number % 3})
}

/// A run on the default branch that succeeded.
pub fn run_row(id: usize, created_at: &str) -> Value {
    json!({"id": id, "name": "benchmark", "status": "completed", "conclusion": "success", "head_branch": "main",
        "run_attempt": 1, "created_at": created_at, "run_started_at": created_at, "updated_at": ago(0)})
}

/// A page of rows; the cursor is the number of rows before it.
fn connection(rows: &[Value], after: &Value) -> Value {
    let from: usize = after.as_str().map_or(0, |cursor| cursor.parse().unwrap()).min(rows.len());
    let to = rows.len().min(from + 100);
    json!({"totalCount": rows.len(), "nodes": rows[from..to],
        "pageInfo": {"hasNextPage": to < rows.len(), "endCursor": to.to_string()}})
}

/// An answer of status 200.
pub fn ok(body: &Value) -> Response {
    Response { status: 200, body: body.to_string().into_bytes(), ..Response::default() }
}
