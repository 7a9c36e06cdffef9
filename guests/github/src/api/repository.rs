//! The repository that is asked about, as the settings name it.

use collector_sdk::http::{Request, segment};
use collector_sdk::{Fault, settings};

/// The repository that is asked about.
pub struct Repository {
    pub owner: String,
    pub name: String,
    /// Stands before `/repos` in the paths of GitHub Enterprise Server.
    rest_path: String,
}

impl Repository {
    /// The one of the settings `org`, `repo` and `rest_path`.
    ///
    /// # Errors
    /// Where `org` or `repo` is not set.
    pub fn from_settings() -> Result<Repository, Fault> {
        let rest_path = settings::get("rest_path").unwrap_or_default().trim_end_matches('/').to_owned();
        Ok(Repository { owner: settings::text("org")?, name: settings::text("repo")?, rest_path })
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
