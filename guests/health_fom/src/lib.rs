//! Collects figures of merit: what other collectors' series amount to between 0 and 1: ask, measure, emit.

mod api;
mod measure;

use collector_sdk::{Collector, Fault, emit};

use crate::api::Settings;

/// The collector `health_fom`.
pub struct HealthFom;

impl Collector for HealthFom {
    async fn collect() -> Result<(), Fault> {
        let settings = Settings::read()?;
        let answer = api::ask(&settings).await;
        emit(measure::measure(&settings, &answer))
    }
}

collector_sdk::export!(HealthFom);
