//! What Asana is asked, and the tasks and projects that it answers with.
//!
//! [`listing`] reads a listing to its end, [`rows`] reads a row of it.
//!
//! "Description" is Asana's OpenAPI description of its REST API, <https://github.com/Asana/openapi>.

mod listing;
mod rows;
#[cfg(test)]
mod tests;

use std::time::Duration;

use collector_sdk::http::{Request, segment};
use collector_sdk::{Fault, Timestamp, settings};

use self::listing::Listing;

pub const WEEK: Duration = Duration::from_hours(7 * 24);
pub const MONTH: Duration = Duration::from_hours(30 * 24);

/// The most rows that Asana gives in one page (description, parameter `limit`).
const PAGE_SIZE_MAX: usize = 100;

/// What a figure asks of a task. The `gid` of every object comes unasked (description, "input/output options").
const TASK_FIELDS: &str = "completed,completed_at,created_at,memberships.project.gid,memberships.section.name";

/// What a figure asks of a project. Not `current_status`, which the description calls deprecated.
const PROJECT_FIELDS: &str = "archived,current_status_update.status_type";

/// What the operator wrote for this collector. `collector.toml` says what each means.
#[derive(Clone, Debug)]
pub struct Settings {
    pub workspace: String,
    pub bugs_project: Option<String>,
    /// From 1 to 100.
    pub page_size: usize,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// `setting`, where one is missing or makes no sense.
    pub fn read() -> Result<Settings, Fault> {
        let page_size = settings::parsed("page_size")?;
        if !(1..=PAGE_SIZE_MAX).contains(&page_size) {
            return Err(Fault::setting(format!("setting page_size is {page_size}, not from 1 to {PAGE_SIZE_MAX}")));
        }
        Ok(Settings { workspace: settings::text("workspace")?, bugs_project: settings::get("bugs_project"), page_size })
    }
}

/// A task, as far as a figure asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task {
    pub gid: String,
    pub is_open: bool,
    pub completed_at: Option<Timestamp>,
    pub created_at: Option<Timestamp>,
    /// The projects that it is in.
    pub memberships: Vec<Membership>,
}

/// Where in a project a task stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// The project's gid.
    pub project: Option<String>,
    /// The section's name.
    pub section: Option<String>,
}

/// A project, as far as a figure asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    pub gid: String,
    pub is_archived: bool,
    /// None where it has a status update and Asana does not say of which type.
    pub status: Option<Status>,
}

/// What the latest status update of a project says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    OnTrack,
    AtRisk,
    OffTrack,
    /// `on_hold`, `complete`, `dropped`, whatever Asana adds, or no update yet.
    Other,
}

/// The tasks of a project that are open, those completed in the last 30 days, and perhaps a few completed before.
///
/// # Errors
/// Where the listing cannot be read to its end.
pub async fn list_tasks(settings: &Settings, project: &str, now: Timestamp) -> Result<Vec<Task>, Fault> {
    let request = Request::get("asana", format!("/projects/{}/tasks", segment(project)))
        .query("completed_since", a_second_before(start_of(MONTH, now)))
        .query("limit", settings.page_size)
        .query("opt_fields", TASK_FIELDS);
    Listing { what: "tasks of the bugs project", request }.read(rows::read_task).await
}

/// The projects of the workspace that are not archived.
///
/// # Errors
/// Where the listing cannot be read to its end.
pub async fn list_projects(settings: &Settings) -> Result<Vec<Project>, Fault> {
    let request = Request::get("asana", "/projects")
        .query("workspace", &settings.workspace)
        .query("archived", false)
        .query("limit", settings.page_size)
        .query("opt_fields", PROJECT_FIELDS);
    Listing { what: "projects of the workspace", request }.read(rows::read_project).await
}

/// The instant at which a window that ends now begins. The instant belongs to the window.
pub fn start_of(window: Duration, now: Timestamp) -> Timestamp {
    now.checked_sub(window).unwrap_or(Timestamp::MIN)
}

/// For a listing, which is filtered again, exactly: the description does not say whether `completed_since` takes in the
/// instant that it names, and a task that stands on the edge must not be lost.
fn a_second_before(instant: Timestamp) -> Timestamp {
    Timestamp::from_second(instant.as_second().saturating_sub(1)).unwrap_or(instant)
}
