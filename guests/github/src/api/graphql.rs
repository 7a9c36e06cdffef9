//! Questions to GitHub's GraphQL API: a single one, or one for each page of a listing.

use std::collections::BTreeSet;

use collector_sdk::http::Request;
use collector_sdk::{Fault, Reason};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::repository::Repository;

/// What GraphQL answers about the repository.
///
/// # Errors
/// Where there is no answer, or one with an error in it. An error that is only about the pull requests of a commit or the
/// files of a pull request is none: null stands in their place.
pub async fn query(repository: &Repository, document: &str, variables: Map<String, Value>) -> Result<Value, Fault> {
    ask(repository, document, variables).await.map_err(|fault| fault.while_asking(operation(document)))
}

/// Rows that take more than one page.
pub struct Listing<R, K> {
    /// Takes the repository and `$after`, the cursor of the page before.
    pub document: &'static str,
    /// Others that the document takes.
    pub variables: Map<String, Value>,
    /// Where the pages stand in what is answered about the repository: `/pullRequests`.
    pub at: &'static str,
    /// What is the same only of the same row: a row that moves while pages are read is on two of them.
    pub key: fn(&R) -> K,
}

impl<R: DeserializeOwned, K: Ord> Listing<R, K> {
    /// All rows, each once; none where the repository is empty.
    ///
    /// # Errors
    /// As [`query`], and where the listing breaks off or doesn't end.
    pub async fn read(&self, repository: &Repository) -> Result<Vec<R>, Fault> {
        self.read_until(repository, |_| false).await
    }

    /// The rows up to the end of the first page whose last row is beyond what is wanted, each once.
    ///
    /// # Errors
    /// As [`read`](Listing::read).
    pub async fn read_until(&self, repository: &Repository, is_beyond: impl Fn(&R) -> bool) -> Result<Vec<R>, Fault> {
        self.read_pages(repository, is_beyond).await.map_err(|fault| fault.while_asking(operation(self.document)))
    }

    async fn read_pages(&self, repository: &Repository, is_beyond: impl Fn(&R) -> bool) -> Result<Vec<R>, Fault> {
        let (mut rows, mut seen, mut after, mut promised) = (Vec::new(), BTreeSet::new(), None, None);
        while repository.left() > 0 {
            let mut variables = self.variables.clone();
            variables.insert("after".into(), json!(after));
            let mut answer = ask(repository, self.document, variables).await?;
            if after.is_none() && is_empty_repository(&answer) {
                return Ok(rows);
            }
            let page: Page<R> = Page::take(&mut answer, self.at)?;
            let is_enough = page.nodes.last().is_some_and(&is_beyond);
            let promised = *promised.get_or_insert(page.total_count.unwrap_or_default());
            rows.extend(page.nodes.into_iter().filter(|row| seen.insert((self.key)(row))));
            if is_enough {
                return Ok(rows);
            }
            match page.page_info.next(after.as_deref())? {
                Some(cursor) => after = Some(cursor),
                None if rows.len() < promised => {
                    let message = format!("the listing broke off after {} of {promised} rows", rows.len());
                    return Err(Fault::bad_answer(message));
                }
                None => return Ok(rows),
            }
        }
        let message = format!("the listing does not end within {} pages", repository.allowed());
        Err(Fault::new(Reason::Limit, message))
    }
}

/// A page of rows. GitHub calls it a connection.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<R> {
    /// Of rows on all pages, where the document asks for it.
    total_count: Option<usize>,
    pub page_info: PageInfo,
    pub nodes: Vec<R>,
}

/// Where a page ends.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

impl<R: DeserializeOwned> Page<R> {
    /// Takes the page out of the place of the answer where it stands.
    ///
    /// # Errors
    /// Where there is none, or one of another shape.
    pub fn take(answer: &mut Value, at: &str) -> Result<Page<R>, Fault> {
        let page = answer.pointer_mut(at).map(Value::take).unwrap_or_default();
        serde_json::from_value(page)
            .map_err(|e| Fault::bad_answer(format!("{at} of the answer is of another shape: {e}")))
    }
}

impl PageInfo {
    /// The cursor of the next page; none on the last one.
    ///
    /// # Errors
    /// Where there should be one, and is none but the current one.
    pub fn next(self, current: Option<&str>) -> Result<Option<String>, Fault> {
        match self.end_cursor {
            _ if !self.has_next_page => Ok(None),
            Some(cursor) if current != Some(&cursor) => Ok(Some(cursor)),
            _ => Err(Fault::bad_answer("the listing broke off: it promises a further page and has no new cursor")),
        }
    }
}

/// Without a commit there is no default branch, and no listing of commits either.
pub fn is_empty_repository(answer: &Value) -> bool {
    answer.get("defaultBranchRef").is_some_and(Value::is_null)
}

/// The kind and name of a document: `query Branches`.
pub fn operation(document: &str) -> &str {
    document.split(['(', '{']).next().unwrap_or_default().trim()
}

async fn ask(repository: &Repository, document: &str, mut variables: Map<String, Value>) -> Result<Value, Fault> {
    variables.insert("owner".into(), json!(repository.owner));
    variables.insert("name".into(), json!(repository.name));
    let request = Request::post("github", "/graphql").json(&json!({"query": document, "variables": variables}));
    repository.fetch(request.repeatable()).await?.json::<Answer>()?.into_repository(&repository.full_name())
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Data>,
    errors: Option<Vec<Error>>,
    /// Stands there instead where GitHub refuses without reading the document.
    message: Option<String>,
}

#[derive(Deserialize)]
struct Data {
    repository: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Error {
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<String>,
    path: Option<Vec<Value>>,
}

impl Answer {
    /// What it says of the repository, unless something went wrong: data beside an error may lack rows.
    fn into_repository(self, full_name: &str) -> Result<Value, Fault> {
        if let Some(error) = self.errors.into_iter().flatten().find(|error| !error.is_local()) {
            return Err(error.into_fault(full_name));
        }
        match (self.data, self.message) {
            (Some(data), _) => data.repository.ok_or_else(|| not_found(full_name)),
            (None, None) => Err(Fault::bad_answer("the answer holds neither data nor an error")),
            (None, message) => Err(Error { message, ..Error::default() }.into_fault(full_name)),
        }
    }
}

impl Error {
    /// Whether it costs only what can be had in another way: the files of one pull request, or the pull requests of a
    /// commit, which a token may be forbidden to read. GitHub answers null in such a place.
    fn is_local(&self) -> bool {
        let mut path = self.path.iter().flatten().filter_map(Value::as_str);
        path.any(|field| field == "associatedPullRequests" || field.starts_with("squash"))
    }

    fn into_fault(self, full_name: &str) -> Fault {
        let (kind, said) = (self.kind.unwrap_or_default(), self.message.unwrap_or_default());
        let reason = match kind.as_str() {
            "NOT_FOUND" => return not_found(full_name),
            "FORBIDDEN" | "INSUFFICIENT_SCOPES" => Reason::Unauthorized,
            _ if kind.starts_with("RATE_LIMIT") || said.contains("rate limit") => Reason::RateLimited,
            _ => Reason::UpstreamError,
        };
        Fault::new(reason, format!("GitHub answered with an error: {}", format!("{kind} {said}").trim()))
    }
}

fn not_found(full_name: &str) -> Fault {
    Fault::new(Reason::NotFound, format!("{full_name} is not there, or the token may not see it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_graphql_says_whose_mistake_it_is() {
        let reason = |answer: Value| {
            let answer: Answer = serde_json::from_value(answer).unwrap();
            answer.into_repository("acme/rocket").map_err(|fault| fault.reason)
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
}
