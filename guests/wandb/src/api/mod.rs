//! What W&B is asked, and the runs that it answers with.
//!
//! [`listings`] says which runs are asked for, [`paging`] reads a listing to its end, [`graphql`] asks for one page,
//! [`runs`] reads a run of it, and [`json`] forgives what is not quite JSON.

mod graphql;
mod json;
mod listings;
mod paging;
mod runs;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use collector_sdk::futures::join;
use collector_sdk::{Fault, Timestamp, settings};

pub const DAY: Duration = Duration::from_hours(24);
pub const WEEK: Duration = Duration::from_hours(7 * 24);

/// The summary keys of training speed. They are flat: the slash is part of the key.
pub const SPEED_KEYS: [&str; 5] = [
    "overview/steps_per_second",
    "overview/epoch_steps_per_second",
    "overview/sps",
    "timing_cumulative/sps",
    "timing_per_epoch/sps",
];

/// The most runs that one page is asked for.
const PAGE_SIZE_MAX: usize = 1000;

/// What the operator wrote for this collector. `collector.toml` says what each means.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub entity: String,
    pub project: String,
    /// From 1 to 1000.
    pub page_size: usize,
    pub accuracy_key: Option<String>,
    pub loss_key: Option<String>,
    /// A pattern: `*` stands for any characters but a dot.
    pub gpu_key: Option<String>,
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
        Ok(Settings {
            entity: settings::text("entity")?,
            project: settings::text("project")?,
            page_size,
            accuracy_key: settings::get("accuracy_key"),
            loss_key: settings::get("loss_key"),
            gpu_key: settings::get("gpu_key"),
        })
    }
}

/// What W&B answered, every group of figures for itself. A listing that no setting wants is empty.
#[derive(Clone, Debug)]
pub struct Answers {
    pub recent: Result<Recent, Fault>,
    /// Runs created in the last week whose summary has the key of accuracy or loss; perhaps a few older ones.
    pub scored: Result<Vec<Run>, Fault>,
    /// Runs that run now, with their system metrics.
    pub running: Result<Vec<Run>, Fault>,
}

/// What the listing of recent runs says, and the counts that its first page brings along.
#[derive(Clone, Debug)]
pub struct Recent {
    /// Runs created in the last day, and those that run now; perhaps a few others.
    pub runs: Result<Vec<Run>, Fault>,
    /// Runs created in the last week that are finished now.
    pub completed_7d: Result<usize, Fault>,
    /// Runs created in the last week that have failed or crashed.
    pub failed_7d: Result<usize, Fault>,
}

/// A run. What its listing did not ask for is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// Unique in W&B: the graph id.
    pub id: String,
    /// The name that people see and that categories go by. The API's `name` is a short id.
    pub display_name: Option<String>,
    pub state: State,
    /// The name of the sweep that it belongs to.
    pub sweep: Option<String>,
    pub created_at: Option<Timestamp>,
    pub heartbeat_at: Option<Timestamp>,
    /// The finite numbers of its summary, as far as they were asked for.
    pub summary: Numbers,
    /// The finite numbers of its system metrics.
    pub system: Numbers,
}

/// Finite numbers by their flat key.
pub type Numbers = BTreeMap<String, f64>;

/// What became of a run, as far as a figure asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    Running,
    Finished,
    Failed,
    /// Its heartbeats stopped.
    Crashed,
    /// `killed`, `pending`, `preempting`, `preempted`, and whatever W&B adds.
    #[default]
    Other,
}

/// The instant at which a window that ends now begins. The instant belongs to the window.
pub fn start_of(window: Duration, now: Timestamp) -> Timestamp {
    now.checked_sub(window).unwrap_or(Timestamp::MIN)
}

/// Asks for everything, all listings at once.
pub async fn ask(settings: &Settings, now: Timestamp) -> Answers {
    let (recent, scored, running) = join!(
        listings::ask_recent(settings, now),
        listings::ask_scored(settings, now),
        listings::ask_running(settings)
    );
    Answers { recent, scored, running }
}
