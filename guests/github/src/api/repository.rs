//! The repository that is asked about, as the settings name it, and the requests that a group may take.

use std::cell::Cell;

use collector_sdk::http::{Request, Response, segment};
use collector_sdk::{Fault, Reason, settings};

/// The repository that is asked about.
#[derive(Clone)]
pub struct Repository {
    pub owner: String,
    pub name: String,
    /// Stands before `/repos` in the paths of GitHub Enterprise Server.
    rest_path: String,
    /// Requests that may be sent, and those of them that have not been.
    allowed: usize,
    left: Cell<usize>,
}

impl Repository {
    /// The one of the settings `org`, `repo` and `rest_path`. Nothing is allowed yet.
    ///
    /// # Errors
    /// Where `org` or `repo` is not set.
    pub fn from_settings() -> Result<Repository, Fault> {
        let rest_path = settings::get("rest_path").unwrap_or_default().trim_end_matches('/').to_owned();
        let (owner, name) = (settings::text("org")?, settings::text("repo")?);
        Ok(Repository { owner, name, rest_path, allowed: 0, left: Cell::new(0) })
    }

    /// The same for a group that may take so many requests.
    pub fn allowing(&self, requests: usize) -> Repository {
        Repository { allowed: requests, left: Cell::new(requests), ..self.clone() }
    }

    /// How many requests were allowed.
    pub fn allowed(&self) -> usize {
        self.allowed
    }

    /// How many of them are left.
    pub fn left(&self) -> usize {
        self.left.get()
    }

    /// Sends a request.
    ///
    /// # Errors
    /// As [`Request::fetch`], and where no request is left.
    pub async fn fetch(&self, request: Request) -> Result<Response, Fault> {
        let Some(left) = self.left().checked_sub(1) else {
            let message = format!("this takes more than {} requests, which is what is left for it", self.allowed);
            return Err(Fault::new(Reason::Limit, message));
        };
        self.left.set(left);
        request.fetch().await
    }

    /// `org/repo`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// A request to REST for what stands below the repository: `actions/runs`.
    pub fn get(&self, below: &str) -> Request {
        let (owner, name) = (segment(&self.owner), segment(&self.name));
        Request::get("github", format!("{}/repos/{owner}/{name}/{below}", self.rest_path))
            .header("accept", "application/vnd.github+json, application/json;q=0.9")
            .header("x-github-api-version", "2022-11-28")
    }
}
