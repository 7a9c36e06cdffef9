//! The collector `github`: pull requests, branches, commits and workflow runs of one repository.

mod api;
mod measure;

use collector_sdk::{Collector, Fault, emit, now};

/// The collector; its settings and series stand in `collector.toml`.
pub struct Github;

impl Collector for Github {
    async fn collect() -> Result<(), Fault> {
        let now = now();
        let answers = api::ask(measure::week_start(now), now).await?;
        emit(measure::measure(&answers, now))
    }
}

collector_sdk::export!(Github);
