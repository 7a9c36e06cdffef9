//! Collects what SkyPilot runs: its clusters, its managed jobs, and the GPUs that they hold.

mod api;
mod measure;

use collector_sdk::futures::future::join;
use collector_sdk::{Collector, Fault, emit, now};

/// The collector `skypilot`.
pub struct Skypilot;

impl Collector for Skypilot {
    async fn collect() -> Result<(), Fault> {
        let server = api::Server::find().await?;
        // Each group is emitted as soon as it is there: what one has said is kept when the deadline ends the other.
        let clusters = async { emit(measure::measure_clusters(server.list_clusters().await)) };
        let jobs = async { emit(measure::measure_jobs(server.read_queue().await, now())) };
        let (clusters, jobs) = join(clusters, jobs).await;
        clusters.and(jobs)
    }
}

collector_sdk::export!(Skypilot);
