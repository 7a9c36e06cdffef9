//! Collects the health of a cluster's pods, and how much of what they reserve they use: ask, measure, emit.

mod api;
mod measure;

use collector_sdk::futures::future::join3;
use collector_sdk::{Collector, Fault, emit, now};

use crate::api::Settings;

/// The collector `kubernetes`.
pub struct Kubernetes;

impl Collector for Kubernetes {
    async fn collect() -> Result<(), Fault> {
        let settings = Settings::read()?;
        // Each list is emitted as soon as it is there: what one has said is kept when the deadline ends another.
        let pods = async {
            let pods = api::list_pods(&settings).await;
            (emit(measure::measure_health(&pods, now())), pods)
        };
        let usages = async {
            let usages = api::list_usages(&settings).await;
            (emit(measure::measure_usage(&usages)), usages)
        };
        let deployments = async { emit(measure::measure_deployments(&api::list_deployments(&settings).await)) };
        let ((health, pods), (usage, usages), deployments) = join3(pods, usages, deployments).await;
        let resources = emit(measure::measure_resources(&pods, &usages));
        health.and(usage).and(deployments).and(resources)
    }
}

collector_sdk::export!(Kubernetes);
