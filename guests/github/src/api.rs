//! Asks GitHub for pull requests, branches, commits with the names of their files, and workflow runs.
//!
//! Longer than other files: it speaks two APIs (GraphQL, and REST where GraphQL has no field for what is asked), and the
//! simulated GitHub at its end, against which every page, limit and error is tested, speaks both too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use collector_sdk::futures::{StreamExt, TryStreamExt, future, stream};
use collector_sdk::http::{Request, Response, segment};
use collector_sdk::{Fault, Reason, Timestamp, settings};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error};
use serde_json::{Map, Value, json};

/// The most rows that GitHub gives on a page.
const PAGE_ROWS: usize = 100;

/// A GraphQL listing that goes on after so many pages goes on for ever.
const PAGES_MAX: usize = 200;

/// Pull requests in one request for files: 25 pages of 100 stay far below GitHub's limits on nodes and server time.
const PULLS_IN_BATCH: usize = 25;

/// A page of a commit's files, and where GitHub ends the listing of them.
/// Source: <https://docs.github.com/rest/commits/commits#get-a-commit>
const COMMIT_PAGE_FILES: usize = 300;
const COMMIT_FILES_MAX: usize = 3000;

/// Commits whose files take a request each; more would leave the other groups too few of an attempt's 500 requests.
const LONE_COMMITS_MAX: usize = 400;

/// Where GitHub ends a filtered listing of workflow runs; `total_count` still says how many there are.
/// Source: <https://docs.github.com/rest/actions/workflow-runs#list-workflow-runs-for-a-repository>
const RUNS_LISTED_MAX: usize = 1000;

/// A span of too many runs is divided so finely that its parts would hold this many if runs came evenly. They come on five
/// days of seven, and so a part holds up to 7/5 of it, which can still be listed.
const RUNS_IN_PART: usize = 700;

/// More runs take too many of an attempt's 500 requests, and longer than it may last.
const RUNS_MAX: usize = 15_000;

/// Requests in flight for files, and for runs. With one for each of the three other groups they are eight at most.
const FILES_AT_ONCE: usize = 3;
const RUNS_AT_ONCE: usize = 2;

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

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullRequest {
    number: u64,
    #[serde(deserialize_with = "instant")]
    pub created_at: Timestamp,
    #[serde(default, deserialize_with = "instant_or_null")]
    updated_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "instant_or_null")]
    pub closed_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "instant_or_null")]
    pub merged_at: Option<Timestamp>,
    /// In the conversation and in reviews. GitHub may answer null.
    pub total_comments_count: Option<i64>,
}

#[derive(Debug)]
pub struct Branches {
    /// All of them, `main` and `master` too.
    pub total: usize,
    pub has_main: bool,
    pub has_master: bool,
    /// The name of the default branch. An empty repository has none.
    pub default: Option<String>,
}

#[derive(Debug)]
pub struct Commits {
    /// Those of the week on the default branch.
    pub rows: Vec<Commit>,
    /// The names of all files that they touched.
    pub files: Result<BTreeSet<String>, Fault>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Commit {
    oid: String,
    pub message: String,
    #[serde(deserialize_with = "instant")]
    committed_date: Timestamp,
    pub additions: i64,
    pub deletions: i64,
    pub author: Option<Author>,
    parents: Parents,
    associated_pull_requests: Option<Associated>,
}

#[derive(Debug, Deserialize)]
pub struct Author {
    pub email: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Run {
    pub id: u64,
    pub name: Option<String>,
    pub status: Option<String>,
    pub conclusion: Option<String>,
    pub head_branch: Option<String>,
    pub run_attempt: Option<i64>,
    #[serde(deserialize_with = "instant")]
    pub created_at: Timestamp,
    /// When the last attempt began.
    #[serde(default, deserialize_with = "instant_if_readable")]
    pub run_started_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "instant_if_readable")]
    pub updated_at: Option<Timestamp>,
    pub repository: Option<RepositoryName>,
    /// Where its branch is. Null is a fork that was deleted; none is an answer that doesn't say.
    #[serde(default, deserialize_with = "null_or_value")]
    pub head_repository: Option<Option<RepositoryName>>,
}

#[derive(Debug, Deserialize)]
pub struct RepositoryName {
    pub id: Option<u64>,
    pub full_name: Option<String>,
}

/// Asks for all groups at once.
///
/// # Errors
/// Where the settings name no repository.
pub async fn ask(week_start: Timestamp, now: Timestamp) -> Result<Answers, Fault> {
    let repository = Repository::from_settings()?;
    let (open_pulls, closed_pulls, branches, commits, runs) = future::join5(
        repository.open_pulls(),
        repository.closed_pulls(week_start),
        repository.branches(),
        repository.commits(week_start),
        repository.runs(week_start, now),
    )
    .await;
    Ok(Answers { repository: repository.full_name(), open_pulls, closed_pulls, branches, commits, runs })
}

/// The repository that is asked about.
struct Repository {
    owner: String,
    name: String,
    /// Stands before `/repos` in the paths of GitHub Enterprise Server.
    rest_path: String,
}

const OPEN_PULL_REQUESTS: &str = "query OpenPullRequests($owner: String!, $name: String!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequests(states: OPEN, orderBy: {field: CREATED_AT, direction: ASC}, first: 100, after: $after) {
      pageInfo { hasNextPage endCursor }
      nodes { number createdAt }
    }
  }
}";

const CLOSED_PULL_REQUESTS: &str = "query ClosedPullRequests($owner: String!, $name: String!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequests(
      states: [MERGED, CLOSED], orderBy: {field: UPDATED_AT, direction: DESC}, first: 100, after: $after
    ) {
      pageInfo { hasNextPage endCursor }
      nodes { number createdAt updatedAt closedAt mergedAt totalCommentsCount }
    }
  }
}";

const BRANCHES: &str = "query Branches($owner: String!, $name: String!) {
  repository(owner: $owner, name: $name) {
    defaultBranchRef { name }
    refs(refPrefix: \"refs/heads/\", first: 1) { totalCount }
    main: ref(qualifiedName: \"refs/heads/main\") { name }
    master: ref(qualifiedName: \"refs/heads/master\") { name }
  }
}";

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

impl Repository {
    fn from_settings() -> Result<Repository, Fault> {
        let rest_path = settings::get("rest_path").unwrap_or_default().trim_end_matches('/').to_owned();
        Ok(Repository { owner: settings::text("org")?, name: settings::text("repo")?, rest_path })
    }

    fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    async fn open_pulls(&self) -> Result<Vec<PullRequest>, Fault> {
        self.list(OPEN_PULL_REQUESTS, None, "/pullRequests", PullRequest::key, |_| false).await
    }

    /// Last changed first, to the page that ends before the week: what was closed in the week was changed in it.
    async fn closed_pulls(&self, week_start: Timestamp) -> Result<Vec<PullRequest>, Fault> {
        let is_before = |pull: &PullRequest| pull.updated_at.is_some_and(|updated| updated < week_start);
        self.list(CLOSED_PULL_REQUESTS, None, "/pullRequests", PullRequest::key, is_before).await
    }

    async fn branches(&self) -> Result<Branches, Fault> {
        let answer = self.query(BRANCHES, Map::new()).await?;
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

    async fn commits(&self, week_start: Timestamp) -> Result<Commits, Fault> {
        // GitHub doesn't say whether a commit of that very second is listed: ask for one more, and drop it here.
        let since = second_text(week_start.as_second().saturating_sub(1));
        let at = "/defaultBranchRef/target/history";
        let mut rows = self.list(COMMITS, Some(since), at, Commit::key, |_| false).await?;
        rows.retain(|commit| commit.committed_date >= week_start);
        let files = self.files(&rows).await;
        Ok(Commits { rows, files })
    }

    /// The names of all files that the commits touched.
    ///
    /// No listing has them. Those of a squash merge are its pull request's, and many pull requests fit one request; any
    /// other commit takes a request of its own.
    async fn files(&self, commits: &[Commit]) -> Result<BTreeSet<String>, Fault> {
        let squashes = find_squashes(commits);
        let squashed: BTreeSet<&str> = squashes.iter().map(|squash| squash.oid).collect();
        let mut lone: Vec<&str> = commits.iter().map(|commit| commit.oid.as_str()).collect();
        lone.retain(|oid| !squashed.contains(oid));

        let mut names = self.squashed_files(squashes, &mut lone).await?;
        if lone.len() > LONE_COMMITS_MAX {
            let message =
                format!("the files of {} commits take a request each, of {LONE_COMMITS_MAX} at most", lone.len());
            return Err(Fault::new(Reason::Limit, message));
        }
        let mut listings = stream::iter(lone).map(|oid| self.lone_files(oid)).buffer_unordered(FILES_AT_ONCE);
        while let Some(listing) = listings.next().await {
            names.extend(listing?);
        }
        Ok(names)
    }

    /// The files of squash merges, by their pull requests. Where a pull request cannot be read, or has more files than fit
    /// one page of its commit, the commit goes to the lone ones.
    async fn squashed_files<'a>(
        &self,
        mut squashes: Vec<Squash<'a>>,
        lone: &mut Vec<&'a str>,
    ) -> Result<BTreeSet<String>, Fault> {
        let mut names = BTreeSet::new();
        for _ in 0..COMMIT_PAGE_FILES / PAGE_ROWS {
            let mut batches = Vec::new();
            while !squashes.is_empty() {
                batches.push(squashes.split_off(squashes.len().saturating_sub(PULLS_IN_BATCH)));
            }
            let mut answers = stream::iter(batches).map(|batch| self.next_files(batch)).buffered(FILES_AT_ONCE);
            while let Some(answer) = answers.next().await {
                for (squash, page) in answer? {
                    let next = page.map(|page| {
                        names.extend(page.nodes.into_iter().map(|file| file.path));
                        page.page_info.next(squash.after.as_deref())
                    });
                    match next {
                        Some(Ok(None)) => {}
                        Some(Ok(after)) => squashes.push(Squash { after, ..squash }),
                        Some(Err(_)) | None => lone.push(squash.oid),
                    }
                }
            }
        }
        lone.extend(squashes.iter().map(|squash| squash.oid));
        Ok(names)
    }

    /// The next page of files of each pull request; none for one whose page cannot be read.
    async fn next_files<'a>(
        &self,
        batch: Vec<Squash<'a>>,
    ) -> Result<Vec<(Squash<'a>, Option<Connection<ChangedFile>>)>, Fault> {
        let mut variables = Map::new();
        for (n, squash) in batch.iter().enumerate() {
            variables.insert(format!("number{n}"), json!(squash.number));
            variables.insert(format!("after{n}"), json!(squash.after));
        }
        let mut answer = self.query(&files_document(batch.len()), variables).await?;
        let pages = batch.into_iter().enumerate().map(|(n, squash)| {
            let page = Connection::read(&mut answer, &format!("/squash{n}/files")).ok();
            (squash, page)
        });
        Ok(pages.collect())
    }

    /// The files of one commit, all pages.
    async fn lone_files(&self, oid: &str) -> Result<BTreeSet<String>, Fault> {
        let mut names = BTreeSet::new();
        for number in 1.. {
            let request = self.get(&format!("commits/{}", segment(oid)));
            let request = if number == 1 { request } else { request.query("page", number) };
            let page = request.fetch().await?;
            let files = page.json::<CommitFiles>()?.files;
            let (rows, before) = (files.len(), names.len());
            names.extend(files.into_iter().map(|file| file.filename));
            if names.len() >= COMMIT_FILES_MAX {
                let message = format!("{}: GitHub lists no more than {COMMIT_FILES_MAX} files of a commit", page.label);
                return Err(Fault::bad_answer(message));
            }
            if !has_next_page(&page, rows) {
                break;
            }
            if names.len() == before {
                let message = format!("{}: page {number} has nothing new and promises more", page.label);
                return Err(Fault::bad_answer(message));
            }
        }
        Ok(names)
    }

    /// All runs since then. Where they are too many for one listing, the time is divided.
    async fn runs(&self, since: Timestamp, now: Timestamp) -> Result<Vec<Run>, Fault> {
        let mut spans = vec![Span { from: since.as_second(), to: None }];
        let mut runs = BTreeMap::new();
        while let Some(span) = spans.pop() {
            let first = self.run_page(span, 1).await?;
            if first.total_count > RUNS_LISTED_MAX {
                spans.extend(span.divide(first.total_count, now)?);
            } else {
                runs.extend(self.runs_of_span(span, first).await?);
            }
        }
        Ok(runs.into_values().collect())
    }

    /// The runs of a span by their ids, its first page being there already.
    async fn runs_of_span(&self, span: Span, first: RunPage) -> Result<BTreeMap<u64, Run>, Fault> {
        let total = first.total_count;
        let last = total.div_ceil(PAGE_ROWS);
        let others = stream::iter(2..=last).map(|number| self.run_page(span, number)).buffered(RUNS_AT_ONCE);
        let others: Vec<RunPage> = others.try_collect().await?;

        let mut pages = vec![first];
        pages.extend(others);
        // Runs that began meanwhile push the oldest ones to a page that was not there before.
        if last < RUNS_LISTED_MAX / PAGE_ROWS && pages.last().is_some_and(|page| page.workflow_runs.len() >= PAGE_ROWS)
        {
            pages.push(self.run_page(span, last + 1).await?);
        }
        let runs = pages.into_iter().flat_map(|page| page.workflow_runs);
        let runs: BTreeMap<u64, Run> = runs.map(|run| (run.id, run)).collect();
        if runs.len() < total {
            let message =
                format!("workflow runs created {span}: the listing broke off after {} of {total}", runs.len());
            return Err(Fault::bad_answer(message));
        }
        Ok(runs)
    }

    async fn run_page(&self, span: Span, number: usize) -> Result<RunPage, Fault> {
        let request = self.get("actions/runs").query("created", span).query("exclude_pull_requests", true);
        let request = request.query("per_page", PAGE_ROWS).query("page", number);
        let page = async { request.fetch().await?.json() }.await;
        page.map_err(|fault: Fault| fault.while_asking(&format!("workflow runs created {span}, page {number}")))
    }

    fn get(&self, below: &str) -> Request {
        let (owner, name) = (segment(&self.owner), segment(&self.name));
        Request::get("github", format!("{}/repos/{owner}/{name}/{below}", self.rest_path))
            .header("accept", "application/vnd.github+json, application/json;q=0.9")
            .header("x-github-api-version", "2022-11-28")
    }

    /// All rows of a GraphQL listing, each once by its key, to the page whose last row is beyond what is wanted.
    async fn list<R: DeserializeOwned, K: Ord>(
        &self,
        document: &str,
        since: Option<String>,
        at: &str,
        key: impl Fn(&R) -> K,
        is_beyond: impl Fn(&R) -> bool,
    ) -> Result<Vec<R>, Fault> {
        let named = |fault: Fault| fault.while_asking(operation(document));
        let (mut rows, mut seen, mut after, mut promised) = (Vec::new(), BTreeSet::new(), None, None);
        for _ in 0..PAGES_MAX {
            let mut variables = Map::from_iter([("after".to_owned(), json!(after))]);
            variables.extend(since.iter().map(|since| ("since".to_owned(), json!(since))));
            let mut answer = self.query(document, variables).await?;
            if after.is_none() && is_empty_repository(&answer) {
                return Ok(rows);
            }
            let page: Connection<R> = Connection::read(&mut answer, at).map_err(named)?;
            let is_enough = page.nodes.last().is_some_and(&is_beyond);
            let promised = *promised.get_or_insert(page.total_count.unwrap_or_default());
            rows.extend(page.nodes.into_iter().filter(|row| seen.insert(key(row))));
            if is_enough {
                return Ok(rows);
            }
            after = page.page_info.next(after.as_deref()).map_err(named)?;
            match &after {
                Some(_) => {}
                None if rows.len() < promised => {
                    let message = format!("the listing broke off after {} of {promised} rows", rows.len());
                    return Err(named(Fault::bad_answer(message)));
                }
                None => return Ok(rows),
            }
        }
        Err(named(Fault::bad_answer(format!("the listing does not end within {PAGES_MAX} pages"))))
    }

    /// What GraphQL answers about the repository.
    async fn query(&self, document: &str, mut variables: Map<String, Value>) -> Result<Value, Fault> {
        variables.insert("owner".into(), json!(self.owner));
        variables.insert("name".into(), json!(self.name));
        let request = Request::post("github", "/graphql").json(&json!({"query": document, "variables": variables}));
        let answer = async { request.repeatable().fetch().await?.json::<GraphqlAnswer>()?.into_repository(self) }.await;
        answer.map_err(|fault| fault.while_asking(operation(document)))
    }

    fn not_found(&self) -> Fault {
        Fault::new(Reason::NotFound, format!("{} is not there, or the token may not see it", self.full_name()))
    }
}

/// Without a commit there is no default branch, and no listing of commits either.
fn is_empty_repository(answer: &Value) -> bool {
    answer.get("defaultBranchRef").is_some_and(Value::is_null)
}

/// The kind and name of a GraphQL document: `query Branches`.
fn operation(document: &str) -> &str {
    document.split(['(', '{']).next().unwrap_or_default().trim()
}

/// A document that asks for a page of files of so many pull requests.
fn files_document(pulls: usize) -> String {
    let declared: String = (0..pulls).map(|n| format!(", $number{n}: Int!, $after{n}: String")).collect();
    let asked = (0..pulls).map(|n| {
        format!(
            "    squash{n}: pullRequest(number: $number{n}) {{
      files(first: 100, after: $after{n}) {{ pageInfo {{ hasNextPage endCursor }} nodes {{ path }} }}
    }}\n"
        )
    });
    let asked: String = asked.collect();
    format!(
        "query PullRequestFiles($owner: String!, $name: String!{declared}) {{
  repository(owner: $owner, name: $name) {{\n{asked}  }}
}}"
    )
}

/// A commit that holds the whole of a pull request, and how far the pull request's files have been read.
struct Squash<'a> {
    oid: &'a str,
    number: u64,
    after: Option<String>,
}

/// The squash merges among the commits. A commit that shares its pull request with another is part of a rebase merge, and
/// one with two parents is a merge commit: their pull request's files are not theirs alone.
fn find_squashes(commits: &[Commit]) -> Vec<Squash<'_>> {
    let mut commits_of: BTreeMap<u64, usize> = BTreeMap::new();
    for pull in commits.iter().flat_map(Commit::pulls) {
        *commits_of.entry(pull.number).or_default() += 1;
    }
    let is_squash = |commit: &Commit, pull: &AssociatedPullRequest| {
        let is_merge = pull.merge_commit.as_ref().is_some_and(|merge| merge.oid == commit.oid);
        is_merge && commit.parents.total_count == 1 && commits_of.get(&pull.number) == Some(&1)
    };
    let squashes = commits.iter().filter_map(|commit| {
        let pull = commit.pulls().find(|pull| is_squash(commit, pull))?;
        Some(Squash { oid: &commit.oid, number: pull.number, after: None })
    });
    squashes.collect()
}

impl PullRequest {
    fn key(&self) -> u64 {
        self.number
    }
}

impl Commit {
    fn key(&self) -> String {
        self.oid.clone()
    }

    fn pulls(&self) -> impl Iterator<Item = &AssociatedPullRequest> {
        self.associated_pull_requests.iter().flat_map(|associated| &associated.nodes).flatten().flatten()
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parents {
    total_count: usize,
}

#[derive(Debug, Deserialize)]
struct Associated {
    nodes: Option<Vec<Option<AssociatedPullRequest>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssociatedPullRequest {
    number: u64,
    merge_commit: Option<MergeCommit>,
}

#[derive(Debug, Deserialize)]
struct MergeCommit {
    oid: String,
}

#[derive(Deserialize)]
struct ChangedFile {
    path: String,
}

#[derive(Deserialize)]
struct CommitFiles {
    files: Vec<CommitFile>,
}

#[derive(Deserialize)]
struct CommitFile {
    filename: String,
}

/// Whether a commit has more files than so many rows of this page. Without a `link` header only its length can tell.
fn has_next_page(page: &Response, rows: usize) -> bool {
    page.header("link").map_or(rows >= COMMIT_PAGE_FILES, |link| link.contains("rel=\"next\""))
}

#[derive(Deserialize)]
struct RunPage {
    total_count: usize,
    workflow_runs: Vec<Run>,
}

/// A span of time in seconds since 1970, both ends included, as in GitHub's search; without an end, everything since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: i64,
    to: Option<i64>,
}

impl Span {
    /// Its parts, so short that each is likely to be listed to its end. They share their ends: rows count by their ids.
    fn divide(self, runs: usize, now: Timestamp) -> Result<Vec<Span>, Fault> {
        let seconds = self.to.unwrap_or(now.as_second()).saturating_sub(self.from);
        if runs > RUNS_MAX {
            let message = format!("workflow runs created {self}: {runs} are too many to read, {RUNS_MAX} at most");
            return Err(Fault::new(Reason::Limit, message));
        }
        if seconds < 2 {
            let message = format!("workflow runs created {self}: GitHub lists {RUNS_LISTED_MAX} of {runs}");
            return Err(Fault::bad_answer(message));
        }
        let parts = i64::try_from(runs / RUNS_IN_PART + 1).unwrap_or(i64::MAX);
        let step = (seconds - 1) / parts + 1;
        let starts = (0..seconds).step_by(usize::try_from(step).unwrap_or(usize::MAX));
        let part = |start: i64| {
            let to = if start + step < seconds { Some(self.from + start + step) } else { self.to };
            Span { from: self.from + start, to }
        };
        Ok(starts.map(part).collect())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            Some(to) => write!(f, "{}..{}", second_text(self.from), second_text(to)),
            None => write!(f, ">={}", second_text(self.from)),
        }
    }
}

fn second_text(second: i64) -> String {
    Timestamp::from_second(second).unwrap_or_default().to_string()
}

/// A page of a GraphQL listing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection<R> {
    total_count: Option<usize>,
    page_info: PageInfo,
    nodes: Vec<R>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

impl<R: DeserializeOwned> Connection<R> {
    /// Takes the page out of the place of the answer where it stands.
    fn read(answer: &mut Value, at: &str) -> Result<Connection<R>, Fault> {
        let page = answer.pointer_mut(at).map(Value::take).unwrap_or_default();
        serde_json::from_value(page)
            .map_err(|e| Fault::bad_answer(format!("{at} of the answer is of another shape: {e}")))
    }
}

impl PageInfo {
    /// The cursor of the next page; none on the last one.
    fn next(self, current: Option<&str>) -> Result<Option<String>, Fault> {
        match self.end_cursor {
            _ if !self.has_next_page => Ok(None),
            Some(cursor) if current != Some(&cursor) => Ok(Some(cursor)),
            _ => Err(Fault::bad_answer("the listing broke off: it promises a further page and has no new cursor")),
        }
    }
}

#[derive(Deserialize)]
struct GraphqlAnswer {
    data: Option<GraphqlData>,
    errors: Option<Vec<GraphqlError>>,
    /// Stands there instead where GitHub refuses without reading the document.
    message: Option<String>,
}

#[derive(Deserialize)]
struct GraphqlData {
    repository: Option<Value>,
}

#[derive(Default, Deserialize)]
struct GraphqlError {
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<String>,
    path: Option<Vec<Value>>,
}

impl GraphqlAnswer {
    /// What it says of the repository, unless something went wrong: data beside an error may lack rows.
    fn into_repository(self, asked: &Repository) -> Result<Value, Fault> {
        if let Some(error) = self.errors.into_iter().flatten().find(|error| !error.is_local()) {
            return Err(error.into_fault(asked));
        }
        match (self.data, self.message) {
            (Some(data), _) => data.repository.ok_or_else(|| asked.not_found()),
            (None, None) => Err(Fault::bad_answer("the answer holds neither data nor an error")),
            (None, message) => Err(GraphqlError { message, ..GraphqlError::default() }.into_fault(asked)),
        }
    }
}

impl GraphqlError {
    /// Whether it costs only what can be had in another way: the files of one pull request, or the pull requests of a
    /// commit, which a token may be forbidden to read. GitHub answers null in such a place.
    fn is_local(&self) -> bool {
        let mut path = self.path.iter().flatten().filter_map(Value::as_str);
        path.any(|field| field == "associatedPullRequests" || field.starts_with("squash"))
    }

    fn into_fault(self, asked: &Repository) -> Fault {
        let (kind, said) = (self.kind.unwrap_or_default(), self.message.unwrap_or_default());
        let reason = match kind.as_str() {
            "NOT_FOUND" => return asked.not_found(),
            "FORBIDDEN" | "INSUFFICIENT_SCOPES" => Reason::Unauthorized,
            _ if kind.starts_with("RATE_LIMIT") || said.contains("rate limit") => Reason::RateLimited,
            _ => Reason::UpstreamError,
        };
        Fault::new(reason, format!("GitHub answered with an error: {}", format!("{kind} {said}").trim()))
    }
}

fn instant<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(from)?;
    read_instant(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is not a time")))
}

fn instant_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    read_instant(&text).map(Some).ok_or_else(|| D::Error::custom(format!("{text:?} is not a time")))
}

/// For times without which a row still counts.
fn instant_if_readable<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Value::deserialize(from)?.as_str().and_then(read_instant))
}

/// A time without a zone is UTC, as everything at GitHub.
fn read_instant(text: &str) -> Option<Timestamp> {
    text.parse().or_else(|_| format!("{text}Z").parse()).ok()
}

/// Keeps null apart from a key that is not there.
fn null_or_value<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use collector_sdk::http;
    use collector_sdk::testing::{Outcome, World, run};
    use proptest::prelude::*;

    use super::*;
    use crate::Github;

    const MANIFEST: &str = include_str!("../collector.toml");
    const HOUR: i64 = 3600;

    fn now() -> Timestamp {
        "2025-10-24T12:00:00Z".parse().unwrap()
    }

    fn ago(seconds: i64) -> String {
        second_text(now().as_second() - seconds)
    }

    /// A GitHub with one repository, of any size. Rows are newest first.
    #[derive(Clone, Default)]
    struct Upstream {
        open: Vec<Value>,
        closed: Vec<Value>,
        commits: Vec<Value>,
        /// Of a commit by oid, and of a pull request by number.
        files: BTreeMap<String, Vec<String>>,
        runs: Vec<Value>,
        /// Whether the pages of a commit come without the `link` header.
        is_silent_on_pages: bool,
    }

    impl Upstream {
        /// So many of everything in the week, and 250 pull requests that were closed before it. Every other one is merged.
        fn of(open: usize, closed: usize, squashes: usize, pushes: usize, runs: usize) -> Upstream {
            let open = (0..open).map(|n| json!({"number": 10_000 + n, "createdAt": ago(40 * 24 * HOUR)})).collect();
            let of_week = (0..closed).map(|n| closed_row(n, &ago(60 + n as i64)));
            let closed = of_week.chain((0..250).map(|n| closed_row(5000 + n, &ago(8 * 24 * HOUR)))).collect();
            let step = 7 * 24 * HOUR / (runs as i64 + 1);
            let runs = (0..runs).map(|n| run_row(n, &ago(step * (n as i64 + 1)))).collect();
            let mut github = Upstream { open, closed, runs, ..Upstream::default() };
            for n in 0..squashes + pushes {
                let pull = (n < squashes).then_some(20_000 + n);
                github.commit(n, pull, (0..=n % 7).map(|file| format!("{n}/{file}")).collect());
            }
            github
        }

        /// Adds a commit, as the squash merge of a pull request or on its own.
        fn commit(&mut self, n: usize, pull: Option<usize>, files: Vec<String>) {
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

        fn answer(&self, request: &Request) -> Result<Response, http::Error> {
            let path = request.path().strip_prefix("/repos/acme/rocket/").unwrap_or(request.path());
            Ok(match path.strip_prefix("commits/") {
                Some(oid) => self.commit_page(oid, request.query_value("page").map_or(1, |page| page.parse().unwrap())),
                None if path == "actions/runs" => ok(&self.run_page(request)),
                None => ok(&json!({"data": {"repository": self.query(&request.body_json())}})),
            })
        }

        fn query(&self, body: &Value) -> Value {
            let variables = &body["variables"];
            match operation(body["query"].as_str().unwrap()) {
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
                let link =
                    format!("<https://api.github.com/repositories/1/commits/{oid}?page={}>; rel=\"next\"", page + 1);
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

    fn run_row(id: usize, created_at: &str) -> Value {
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

    fn ok(body: &Value) -> Response {
        Response { status: 200, body: body.to_string().into_bytes(), ..Response::default() }
    }

    /// The answer without a row that it promises, or with an error beside its data.
    fn broken_off(answer: &Response) -> Response {
        let mut body: Value = answer.json().unwrap();
        if let Some(runs) = body.get_mut("workflow_runs").and_then(Value::as_array_mut) {
            runs.pop();
        } else if body.get("files").is_some() {
            body["files"] = Value::Null;
        } else {
            body["errors"] = json!([{"message": "Something went wrong while executing your query."}]);
        }
        ok(&body)
    }

    fn collect_from(answer: impl FnMut(&Request) -> Result<Response, http::Error> + 'static) -> Outcome {
        let outcome =
            run::<Github>(World::new(MANIFEST, now()).with("org", "acme").with("repo", "rocket").answering(answer));
        assert_eq!(outcome.forgotten(), Vec::<&str>::new());
        outcome
    }

    fn collect(github: &Upstream) -> Outcome {
        let github = github.clone();
        collect_from(move |request| github.answer(request))
    }

    #[track_caller]
    fn assert_requests(outcome: &Outcome, expected: usize) {
        let once: BTreeSet<String> = outcome.requests.iter().map(|request| format!("{request:?}")).collect();
        assert_eq!((outcome.requests.len(), once.len()), (expected, expected), "requests, and different ones");
    }

    #[track_caller]
    fn assert_values(outcome: &Outcome, expected: &[(&str, usize)]) {
        for (series, value) in expected {
            assert_eq!(outcome.value(&format!("github.{series}")), Some(*value as f64), "{series} {:?}", outcome.fault);
        }
    }

    /// Only the series that begin so are gaps.
    #[track_caller]
    fn assert_lost(outcome: &Outcome, prefixes: &[&str], says: &str) {
        for gap in &outcome.gaps {
            assert!(prefixes.iter().any(|prefix| gap.series.starts_with(&format!("github.{prefix}"))), "{gap:?}");
            assert!(gap.reason.contains(says), "{gap:?}");
        }
        assert!(!outcome.gaps.is_empty() && outcome.fault.is_some());
    }

    #[test]
    fn a_busy_week_of_squash_merges_takes_17_requests() {
        let outcome = collect(&Upstream::of(122, 110, 87, 0, 680));
        assert_requests(&outcome, 17);
        assert_values(&outcome, &[("prs.open", 122), ("prs.merged_7d", 55), ("prs.closed_without_merge_7d", 55)]);
        assert_values(&outcome, &[("branches.active", 4), ("commits.total_7d", 87), ("ci.workflow_runs_7d", 680)]);
        assert_values(&outcome, &[("code.files_changed_7d", (0..87).map(|n| n % 7 + 1).sum())]);
        assert!(outcome.fault.is_none() && outcome.gaps.is_empty(), "{outcome:?}");
    }

    #[test]
    fn a_busy_week_of_direct_pushes_takes_100_requests() {
        let outcome = collect(&Upstream::of(122, 110, 0, 87, 680));
        assert_requests(&outcome, 100);
        assert_values(&outcome, &[("code.files_changed_7d", (0..87).map(|n| n % 7 + 1).sum())]);
    }

    #[test]
    fn more_runs_than_one_listing_holds_are_read_by_spans_of_time() {
        let outcome = collect(&Upstream::of(0, 0, 0, 0, 2000));
        assert_values(&outcome, &[("ci.workflow_runs_7d", 2000), ("ci.benchmarks_passing", 1)]);
        assert_requests(&outcome, 26);
    }

    #[test]
    fn runs_that_come_in_a_burst_are_all_counted_once() {
        let runs = (0..2500).map(|n| run_row(n, &ago(3 * 24 * HOUR + n as i64 / 2))).collect();
        let outcome = collect(&Upstream { runs, ..Upstream::default() });
        assert_values(&outcome, &[("ci.workflow_runs_7d", 2500)]);
    }

    #[test]
    fn runs_that_cannot_be_listed_to_their_end_are_gaps_and_nothing_else_is() {
        let mut github = Upstream::of(3, 3, 1, 0, 0);
        github.runs = (0..1001).map(|n| run_row(n, &ago(HOUR))).collect();
        assert_lost(&collect(&github), &["ci."], "GitHub lists 1000 of 1001");
        let endless = move |request: &Request| match request.path() {
            "/graphql" => github.answer(request),
            _ => Ok(ok(&json!({"total_count": u32::MAX, "workflow_runs": []}))),
        };
        assert_requests(&collect_from(endless), 6);
    }

    #[test]
    fn a_run_that_begins_while_pages_are_read_costs_no_other() {
        let mut github = Upstream::of(0, 0, 0, 0, 300);
        let mut is_first = true;
        let outcome = collect_from(move |request| {
            let answer = github.answer(request);
            if request.path() != "/graphql" && std::mem::take(&mut is_first) {
                github.runs.insert(0, run_row(9999, &ago(0)));
            }
            answer
        });
        assert_values(&outcome, &[("ci.workflow_runs_7d", 300)]);
    }

    #[test]
    fn a_failure_at_any_request_costs_only_what_needs_it() {
        let mut github = Upstream::of(150, 150, 60, 10, 1010);
        github.commit(70, Some(20_070), (0..250).map(|n| format!("big/{n}")).collect());
        github.commit(71, None, (0..650).map(|n| format!("bigger/{n}")).collect());
        let whole = collect(&github);
        for position in 0..whole.requests.len() {
            for failure in 0..7 {
                let (github, mut number) = (github.clone(), 0);
                let outcome = collect_from(move |request| {
                    number += 1;
                    let answer = github.answer(request)?;
                    match failure {
                        _ if number != position + 1 => Ok(answer),
                        0 => Err(http::Error { kind: http::ErrorKind::Timeout, message: "broken by the test".into() }),
                        1 => Err(http::Error { kind: http::ErrorKind::Limit, message: "broken by the test".into() }),
                        2 => Ok(Response { status: 502, ..answer }),
                        3 => Ok(Response { body: answer.body[..answer.body.len() / 2].to_vec(), ..answer }),
                        4 => Ok(ok(&json!({}))),
                        5 => Ok(ok(&json!({"data": {"repository": {}}}))),
                        _ => Ok(broken_off(&answer)),
                    }
                });
                let at = &outcome.requests[position];
                // Files that a batch lacks are read by their commits; of too long a listing only its length is taken.
                let is_batch = at.body_json()["query"].as_str().is_some_and(|query| query.contains("squash0"));
                let is_week = at.query_value("created").is_some_and(|created| created.starts_with(">=2025-10-17"));
                let is_mended = failure == 5 && is_batch || failure == 6 && is_week;
                let is_sound = (outcome.fault.is_none(), outcome.gaps.is_empty());
                assert_eq!(is_sound, (is_mended, is_mended), "failure {failure} of {at:?}");
                for point in &outcome.points {
                    assert_eq!(Some(point.value), whole.value(&point.series), "{point:?} after {failure} of {at:?}");
                }
            }
        }
    }

    #[test]
    fn files_are_read_to_their_last_page_and_counted_once() {
        let names = |from: usize, to: usize| (from..to).map(|n| format!("src/{n}")).collect();
        let mut github = Upstream::default();
        github.commit(0, Some(7), names(0, 250));
        github.commit(1, Some(8), names(200, 300));
        github.commit(2, None, names(250, 900));
        assert_values(&collect(&github), &[("code.files_changed_7d", 900)]);
        assert_requests(&collect(&github), 4 + 3 + 3 + 1);
        github.is_silent_on_pages = true;
        assert_values(&collect(&github), &[("code.files_changed_7d", 900)]);
        github.commit(3, None, names(1000, 1300));
        assert_values(&collect(&github), &[("code.files_changed_7d", 1200)]);
    }

    #[test]
    fn a_commit_with_as_many_files_as_github_lists_at_all_makes_the_figure_a_gap() {
        for pull in [None, Some(7)] {
            for (files, is_gap) in [(2999, false), (3000, true), (4000, true)] {
                let mut github = Upstream::default();
                github.commit(0, pull, (0..files).map(|n| n.to_string()).collect());
                let outcome = collect(&github);
                assert_eq!(outcome.gap("github.code.files_changed_7d").is_some(), is_gap, "{pull:?} {files}");
                assert_values(&outcome, &[("commits.total_7d", 1)]);
            }
        }
    }

    #[test]
    fn more_lone_commits_than_requests_allow_cost_only_the_files() {
        let outcome = collect(&Upstream::of(1, 1, 0, LONE_COMMITS_MAX + 1, 10));
        assert_lost(&outcome, &["code.files_changed_7d"], "take a request each");
        assert_values(&outcome, &[("commits.total_7d", LONE_COMMITS_MAX + 1)]);
    }

    #[test]
    fn a_listing_whose_cursor_stands_still_or_never_ends_is_lost() {
        let still = "no new cursor";
        for (cursor, says) in [(json!(null), still), (json!("0"), still), (json!(1), "does not end")] {
            let (github, mut number) = (Upstream::of(1, 1, 1, 1, 10), 0);
            let outcome = collect_from(move |request| {
                let mut answer: Value = github.answer(request)?.json().unwrap();
                if let Some(listing) = answer.pointer_mut("/data/repository/pullRequests") {
                    number += 1;
                    let cursor = if cursor == 1 { json!(number.to_string()) } else { cursor.clone() };
                    listing["pageInfo"] = json!({"hasNextPage": true, "endCursor": cursor});
                }
                Ok(ok(&answer))
            });
            assert_lost(&outcome, &["prs."], says);
        }
    }

    #[test]
    fn an_error_of_graphql_says_whose_mistake_it_is() {
        let asked = Repository { owner: "acme".into(), name: "rocket".into(), rest_path: String::new() };
        let reason = |answer: Value| {
            let answer: GraphqlAnswer = serde_json::from_value(answer).unwrap();
            answer.into_repository(&asked).map_err(|fault| fault.reason)
        };
        let error = |kind: &str| reason(json!({"data": {"repository": {"refs": {}}}, "errors": [{"type": kind}]}));
        assert_eq!(error("RATE_LIMITED"), Err(Reason::RateLimited));
        assert_eq!(error("NOT_FOUND"), Err(Reason::NotFound));
        assert_eq!(error("FORBIDDEN"), Err(Reason::Unauthorized));
        assert_eq!(error("INSUFFICIENT_SCOPES"), Err(Reason::Unauthorized));
        assert_eq!(error("SERVICE_UNAVAILABLE"), Err(Reason::UpstreamError));
        assert_eq!(reason(json!({"data": {"repository": null}})), Err(Reason::NotFound));
        assert_eq!(reason(json!({"data": null, "errors": []})), Err(Reason::BadAnswer));
        let message = "You have exceeded a secondary rate limit.";
        assert_eq!(reason(json!({"message": message})), Err(Reason::RateLimited));
        assert_eq!(reason(json!({"data": {"repository": {}}, "errors": null})), Ok(json!({})));
        let path = json!(["repository", "squash3"]);
        assert_eq!(reason(json!({"data": {"repository": {}}, "errors": [{"path": path}]})), Ok(json!({})));
    }

    #[test]
    fn a_time_may_have_a_fraction_an_offset_or_no_zone() {
        for text in ["2025-10-24T12:00:00", "2025-10-24T12:00:00.000+00:00", "2025-10-24T14:00:00+02:00"] {
            assert_eq!(read_instant(text), Some(now()), "{text}");
        }
        assert_eq!((read_instant(""), read_instant("yesterday")), (None, None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn parts_of_a_span_cover_it_and_are_shorter(
            from in 0i64..2_000_000_000, seconds in 2i64..1_000_000, runs in 1001usize..RUNS_MAX,
        ) {
            let end = from + seconds;
            let parts = Span { from, to: Some(end) }.divide(runs, now()).unwrap();
            prop_assert_eq!((parts[0].from, parts[parts.len() - 1].to), (from, Some(end)));
            prop_assert!(parts.windows(2).all(|pair| pair[0].to == Some(pair[1].from)));
            let lengths = parts.iter().map(|part| part.to.unwrap() - part.from);
            prop_assert!(lengths.into_iter().all(|length| (1..seconds).contains(&length)));
        }

        #[test]
        fn a_world_of_any_size_is_counted_to_its_end(
            open in 0usize..350, closed in 0usize..350, squashes in 0usize..120, pushes in 0usize..20,
            runs in 0usize..1500,
        ) {
            let outcome = collect(&Upstream::of(open, closed, squashes, pushes, runs));
            assert_values(&outcome, &[("prs.open", open), ("prs.merged_7d", closed.div_ceil(2))]);
            assert_values(&outcome, &[("commits.total_7d", squashes + pushes), ("ci.workflow_runs_7d", runs)]);
            assert_values(&outcome, &[("code.files_changed_7d", (0..squashes + pushes).map(|n| n % 7 + 1).sum())]);
        }
    }
}
