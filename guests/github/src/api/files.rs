//! The names of the files that commits touched.
//!
//! No listing of commits has them. Those of a squash merge are its pull request's, and many pull requests fit one request;
//! any other commit takes a request of its own.

use std::collections::BTreeSet;

use collector_sdk::futures::{StreamExt, TryStreamExt, stream};
use collector_sdk::http::{Response, segment};
use collector_sdk::{Fault, Reason};
use serde::Deserialize;
use serde_json::{Map, json};

use super::graphql::{self, Page};
use super::repository::Repository;

/// Pull requests in one request: 25 pages of 100 stay far below GitHub's limits on nodes and server time.
const PULLS_IN_BATCH: usize = 25;

/// Pages of a pull request's files, of 100 each: beyond so many files its commit takes fewer requests.
const PULL_PAGES_MAX: usize = COMMIT_PAGE_FILES / 100;

/// A page of a commit's files, and where GitHub ends the listing of them.
/// Source: <https://docs.github.com/rest/commits/commits#get-a-commit>
const COMMIT_PAGE_FILES: usize = 300;
const COMMIT_FILES_MAX: usize = 3000;

const REQUESTS_AT_ONCE: usize = 4;

/// Where the files of a commit can be read.
pub struct Source<'a> {
    /// Its hash.
    pub commit: &'a str,
    /// The number of the pull request whose files are the same.
    pub squashed_pull: Option<u64>,
}

/// The names of all files of these commits.
///
/// # Errors
/// Where they take too many requests, or those of any commit cannot be read to their end.
pub async fn list(repository: &Repository, sources: &[Source<'_>]) -> Result<BTreeSet<String>, Fault> {
    let PullFiles { mut names, read } = list_of_pulls(repository, sources).await?;
    let lone: Vec<&str> = sources.iter().map(|source| source.commit).filter(|oid| !read.contains(oid)).collect();
    if lone.len() > repository.left() {
        let (commits, left) = (lone.len(), repository.left());
        let message = format!("the files of {commits} commits take a request each, and {left} are left for them");
        return Err(Fault::new(Reason::Limit, message));
    }
    let mut listings = stream::iter(lone).map(|oid| list_of_commit(repository, oid)).buffer_unordered(REQUESTS_AT_ONCE);
    while let Some(listing) = listings.next().await {
        names.extend(listing?);
    }
    Ok(names)
}

/// What pull requests said of files.
struct PullFiles<'a> {
    names: BTreeSet<String>,
    /// The commits of which they said all.
    read: BTreeSet<&'a str>,
}

/// A commit that holds the whole of a pull request, and how far the pull request's files have been read.
struct Squash<'a> {
    commit: &'a str,
    pull: u64,
    after: Option<String>,
}

/// The files of squash merges, by their pull requests: but for those that cannot be read, or are on too many pages.
async fn list_of_pulls<'a>(repository: &Repository, sources: &[Source<'a>]) -> Result<PullFiles<'a>, Fault> {
    let squash = |source: &Source<'a>| Some(Squash { commit: source.commit, pull: source.squashed_pull?, after: None });
    let mut squashes: Vec<Squash> = sources.iter().filter_map(squash).collect();
    let mut found = PullFiles { names: BTreeSet::new(), read: BTreeSet::new() };
    for _ in 0..PULL_PAGES_MAX {
        let batches = stream::iter(squashes.chunks(PULLS_IN_BATCH)).map(|batch| next_pages(repository, batch));
        let pages: Vec<_> = batches.buffered(REQUESTS_AT_ONCE).try_collect().await?;

        let mut unfinished = Vec::new();
        for (squash, page) in squashes.into_iter().zip(pages.into_iter().flatten()) {
            let Some(page) = page else { continue };
            found.names.extend(page.nodes.into_iter().map(|file| file.path));
            match page.page_info.next(squash.after.as_deref()) {
                Ok(None) => drop(found.read.insert(squash.commit)),
                Ok(after) => unfinished.push(Squash { after, ..squash }),
                Err(_) => {}
            }
        }
        squashes = unfinished;
    }
    Ok(found)
}

/// The next page of files of each pull request, in their order; none for one whose page cannot be read.
async fn next_pages(repository: &Repository, batch: &[Squash<'_>]) -> Result<Vec<Option<Page<ChangedFile>>>, Fault> {
    let mut variables = Map::new();
    for (n, squash) in batch.iter().enumerate() {
        variables.insert(format!("number{n}"), json!(squash.pull));
        variables.insert(format!("after{n}"), json!(squash.after));
    }
    let mut answer = graphql::query(repository, &document(batch.len()), variables).await?;
    Ok((0..batch.len()).map(|n| Page::take(&mut answer, &format!("/squash{n}/files")).ok()).collect())
}

#[derive(Deserialize)]
struct ChangedFile {
    path: String,
}

/// A document that asks for a page of files of so many pull requests.
fn document(pulls: usize) -> String {
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

/// The files of one commit, all pages.
async fn list_of_commit(repository: &Repository, oid: &str) -> Result<BTreeSet<String>, Fault> {
    let mut names = BTreeSet::new();
    for number in 1.. {
        let request = repository.get(&format!("commits/{}", segment(oid)));
        let request = if number == 1 { request } else { request.query("page", number) };
        let page = repository.fetch(request).await?;
        let files = page.json::<CommitPage>()?.files;
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

#[derive(Deserialize)]
struct CommitPage {
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
