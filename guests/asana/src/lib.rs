//! Collects the bugs of one Asana project, and how the workspace's projects fare: ask, measure, emit.

mod api;
mod measure;

use collector_sdk::futures::future::join;
use collector_sdk::{Collector, Fault, emit, now};

use crate::api::Settings;

/// The collector `asana`.
pub struct Asana;

impl Collector for Asana {
    async fn collect() -> Result<(), Fault> {
        let settings = Settings::read()?;
        // Each group is emitted as soon as it is there: what one has said is kept when the deadline ends the other.
        let bugs = async {
            emit(match &settings.bugs_project {
                Some(project) => {
                    measure::measure_bugs(project, api::list_tasks(&settings, project, now()).await, now())
                }
                None => measure::without_bugs_project(),
            })
        };
        let projects = async { emit(measure::measure_projects(api::list_projects(&settings).await)) };
        let (bugs, projects) = join(bugs, projects).await;
        bugs.and(projects)
    }
}

collector_sdk::export!(Asana);
