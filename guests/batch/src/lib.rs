//! Collects the Jobs, CronJobs and pods of a cluster's batch work, and why they fail: ask, measure, emit, report.

mod api;
mod measure;

use collector_sdk::futures::join;
use collector_sdk::{Collector, Fault, emit, now, workloads};

use crate::api::Settings;
use crate::measure::{Picture, Seen};

/// The collector `batch`.
pub struct Batch;

// The figures are emitted before usage and logs are asked for: a node that hangs costs no count.
impl Collector for Batch {
    async fn collect() -> Result<(), Fault> {
        let settings = Settings::read()?;
        let since = settings.window_start(now());
        let (cluster, memory) = join!(api::list_cluster(&settings), api::recall(since));
        // Listed last, they tell of whatever the others show; of all that is held they are the most, so they go first.
        let events = api::list_events(&settings).await;
        let picture = Picture::of(&settings, &cluster, &events, &memory, now());
        let counted = emit(measure::measure_counts(&picture));
        let failures = measure::find_failures(&picture, events.unwrap_or_default());

        let reported = workloads::report_runs(picture.list_new_runs());
        let (used, explained) =
            join!(collect_usage(&settings, &picture), report_failures(&settings, &picture, failures));
        counted.and(reported).and(used).and(explained)
    }
}

async fn collect_usage(settings: &Settings, picture: &Picture<'_>) -> Result<(), Fault> {
    let usage = api::ask_usage(settings, &measure::select_nodes(picture)).await;
    emit(measure::measure_usage(picture, &usage))
}

async fn report_failures(settings: &Settings, picture: &Picture<'_>, seen: Vec<Seen>) -> Result<(), Fault> {
    let known = api::find_known(&measure::list_ids(&seen)).await;
    let news = measure::select_news(picture, seen, &known);
    let (wanted, news) = measure::select_logs(news, settings.log_fetches);
    let logs = api::read_logs(&wanted).await;
    workloads::report_failures(measure::fill_in_logs(news, logs))
}

collector_sdk::export!(Batch);
