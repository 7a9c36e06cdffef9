//! Collects the runs of one Weights & Biases project: ask, measure, emit.

mod api;
mod measure;

use collector_sdk::{Collector, Fault, emit, now};

use crate::api::Settings;

/// The collector `wandb`.
pub struct Wandb;

impl Collector for Wandb {
    async fn collect() -> Result<(), Fault> {
        let settings = Settings::read()?;
        let answers = api::ask(&settings, now()).await;
        emit(measure::measure(&settings, &answers, now()))
    }
}

collector_sdk::export!(Wandb);
