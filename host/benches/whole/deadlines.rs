//! How far beyond its deadline an attempt lives: guests that spin and guests that wait, one and sixteen at once.

use std::time::{Duration, Instant};

use host::runtime::Metering;
use tokio::task::JoinSet;

use super::figures::{Sample, Table};
use super::server::Server;
use super::stage::Stage;

const DEADLINE: Duration = Duration::from_millis(200);
const AIM_MS: f64 = 10.0;

pub fn overshoot(table: &mut Table) {
    let server = Server::start();
    let control = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let stage = control
        .block_on(async { std::sync::Arc::new(Stage::new(16, Metering::Full, &format!("http://{}", server.address))) });
    for (what, act) in [("spinning", "spin"), ("waiting", "fetch")] {
        for (guests, rounds) in [(1, 100), (16, 20)] {
            let mut over = Vec::new();
            for _ in 0..rounds {
                over.extend(control.block_on(round(&stage, act, guests)));
            }
            let sample = Sample::new(over);
            table.median(&format!("overshoot, {guests} {what}, p50"), "ms", &sample, None);
            table.p99(&format!("overshoot, {guests} {what}, p99"), "ms", &sample, Some(AIM_MS));
        }
    }
}

/// Milliseconds beyond the deadline, for each of so many guests at once.
async fn round(stage: &std::sync::Arc<Stage>, act: &str, guests: usize) -> Vec<f64> {
    let ready = stage.act(act, 1).await;
    let mut all = JoinSet::new();
    for _ in 0..guests {
        let (stage, ready) = (stage.clone(), ready.clone());
        all.spawn(async move {
            let started = Instant::now();
            let result = stage.play(&ready, DEADLINE).await;
            let over = started.elapsed().as_secs_f64() - DEADLINE.as_secs_f64();
            assert!(result.fault.is_some(), "it ended by itself");
            over * 1e3
        });
    }
    all.join_all().await
}
