//! What the cluster and the host are asked, and told.
//!
//! [`pods`], [`jobs`], [`events`] and [`usage`] hold the rows of each listing, [`objects`] what all of them have,
//! [`quantity`] reads amounts.

pub mod events;
pub mod jobs;
pub mod objects;
pub mod pods;
mod quantity;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::{BTreeSet, HashSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use collector_sdk::futures::{StreamExt, join, stream};
use collector_sdk::kubernetes::{self, LogQuery, Query, Resource};
use collector_sdk::workloads::{self, Failure, JobRun};
use collector_sdk::{Fault, Reason, Timestamp, log, settings};
use serde::de::DeserializeOwned;

use self::events::Event;
use self::jobs::{CronJob, Job};
use self::pods::Pod;
pub use self::usage::{PodUsage, Usage, ask_usage};

/// Logs in flight at once. With the summaries beside them they stay under 8 requests.
const LOGS_AT_ONCE: usize = 4;

/// What is kept of a log: its last lines, and of them its last bytes.
const LOG_LINES: u32 = 50;
const LOG_BYTES: usize = 16 * 1024;

/// What is asked of a log. The API server's limit cuts off the end, where the reason stands, so more is asked for.
const LOG_BYTES_ASKED: u32 = 64 * 1024;

/// What the operator wrote for this collector. `collector.toml` says what each means.
#[derive(Clone, Debug)]
pub struct Settings {
    pub window: Duration,
    pub max_cronjobs: usize,
    pub pending: Duration,
    pub log_fetches: usize,
    page_size: u32,
    /// All of them where it is empty.
    namespaces: Vec<String>,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// `setting`, where one is missing or makes no sense.
    pub fn read() -> Result<Settings, Fault> {
        let namespaces = settings::get("namespaces").unwrap_or_default();
        let namespaces: BTreeSet<&str> = namespaces.split(',').map(str::trim).filter(|n| !n.is_empty()).collect();
        Ok(Settings {
            // What the host gives back of earlier cycles is a week and a day old at most.
            window: Duration::from_hours(read_within("window_hours", 1..=168)?),
            max_cronjobs: read_within("max_cronjobs", 0..=1000)?,
            pending: Duration::from_mins(read_within("pending_minutes", 0..=10_080)?),
            log_fetches: read_within("log_fetches", 0..=150)?,
            page_size: read_within("page_size", 1..=1000)?,
            namespaces: namespaces.into_iter().map(str::to_owned).collect(),
        })
    }

    /// The instant at which the window begins. The instant belongs to it.
    pub fn window_start(&self, now: Timestamp) -> Timestamp {
        now.checked_sub(self.window).unwrap_or(Timestamp::MIN)
    }
}

fn read_within<T: FromStr + PartialOrd + Display>(key: &str, bounds: RangeInclusive<T>) -> Result<T, Fault> {
    let value = settings::parsed(key)?;
    if bounds.contains(&value) {
        return Ok(value);
    }
    Err(Fault::setting(format!("setting {key} is {value}, not from {} to {}", bounds.start(), bounds.end())))
}

/// What the cluster answered, every listing for itself.
#[derive(Debug)]
pub struct Cluster {
    /// The pods of Jobs.
    pub pods: Result<Vec<Pod>, Fault>,
    pub jobs: Result<Vec<Job>, Fault>,
    pub cron_jobs: Result<Vec<CronJob>, Fault>,
}

/// What the host remembers of the window: a cluster forgets its Jobs and pods sooner.
#[derive(Debug, Default)]
pub struct Memory {
    pub runs: Vec<JobRun>,
    pub failures: Vec<Failure>,
}

/// Asks for all listings at once, but for the events.
pub async fn list_cluster(settings: &Settings) -> Cluster {
    let (pods, jobs, cron_jobs) = join!(
        list::<pods::Row>(settings, Resource::Pods),
        list::<jobs::JobRow>(settings, Resource::Jobs),
        list::<jobs::CronJobRow>(settings, Resource::CronJobs),
    );
    let mut pods = pods.map(|rows| rows.into_iter().filter_map(|row| row.0).map(|pod| *pod).collect());
    let mut jobs = jobs.map(|rows| rows.into_iter().filter_map(|row| row.0).map(|job| *job).collect());
    let mut cron_jobs = cron_jobs.map(|rows| rows.into_iter().filter_map(|row| row.0).collect());
    keep_each_once(&mut pods, |pod: &Pod| &pod.id.uid);
    keep_each_once(&mut jobs, |job: &Job| &job.id.uid);
    keep_each_once(&mut cron_jobs, |cron_job: &CronJob| &cron_job.id.uid);
    Cluster { pods, jobs, cron_jobs }
}

/// Asks for the events about pods, Jobs and CronJobs.
pub async fn list_events(settings: &Settings) -> Result<Vec<Event>, Fault> {
    let rows = list::<events::Row>(settings, Resource::Events).await?;
    Ok(rows.into_iter().filter_map(|row| row.0).collect())
}

/// A whole listing; where namespaces are set, one for each of them, and all or none.
async fn list<R: DeserializeOwned>(settings: &Settings, resource: Resource) -> Result<Vec<R>, Fault> {
    let all = Query::all(resource).limit(settings.page_size);
    if settings.namespaces.is_empty() {
        return kubernetes::list(all).await;
    }
    let mut rows = Vec::new();
    for namespace in &settings.namespaces {
        rows.extend(kubernetes::list(all.clone().in_namespace(namespace)).await?);
    }
    Ok(rows)
}

/// An object that changes while pages are turned may stand on two of them.
fn keep_each_once<T>(rows: &mut Result<Vec<T>, Fault>, uid: impl Fn(&T) -> &String) {
    if let Ok(rows) = rows {
        let mut seen = HashSet::new();
        let is_first: Vec<bool> = rows.iter().map(|row| seen.insert(uid(row))).collect();
        let mut is_first = is_first.into_iter();
        rows.retain(|_| is_first.next().unwrap_or_default());
    }
}

/// Asks the host what it remembers since then.
pub async fn recall(since: Timestamp) -> Memory {
    let (runs, failures) = join!(workloads::runs_since(since), workloads::failures_since(since));
    Memory { runs, failures }
}

/// Which failures the host has with their logs, in the order of the ids.
pub async fn find_known(ids: &[String]) -> Vec<bool> {
    let mut known = if ids.is_empty() { Vec::new() } else { workloads::known(ids).await };
    known.resize(ids.len(), false);
    known
}

/// The log of a container's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOf {
    pub namespace: String,
    pub pod: String,
    pub container: String,
    /// The life before the one that it leads now.
    pub previous: bool,
}

/// Reads logs, in their order. One that cannot be had is missing, and costs nothing else; where the right is missing, no other
/// is asked for.
pub async fn read_logs(wanted: &[LogOf]) -> Vec<Option<String>> {
    let Some((first, rest)) = wanted.split_first() else { return Vec::new() };
    let first = read_log(first).await;
    let is_refused = first.as_ref().is_err_and(|f| matches!(f.reason, Reason::Unauthorized | Reason::Denied));
    let rest = if is_refused { &[] } else { rest };
    let rest: Vec<_> = stream::iter(rest).map(read_log).buffered(LOGS_AT_ONCE).collect().await;
    let keep = |answer: Result<String, Fault>| {
        answer.inspect_err(|fault| log::warn(format!("a failure is reported without its log: {fault}"))).ok()
    };
    [first].into_iter().chain(rest).map(keep).collect()
}

async fn read_log(of: &LogOf) -> Result<String, Fault> {
    let LogOf { namespace, pod, container, previous } = of.clone();
    let (container, tail_lines, limit_bytes) = (Some(container), LOG_LINES, LOG_BYTES_ASKED);
    let query = LogQuery { namespace, pod, container, previous, tail_lines, limit_bytes };
    Ok(keep_end(&kubernetes::logs(query).await?).to_owned())
}

/// The last lines of a text, whatever the cluster gave.
fn keep_end(text: &str) -> &str {
    let text = text.trim_end();
    let mut from = text.len().saturating_sub(LOG_BYTES);
    while !text.is_char_boundary(from) {
        from = from.saturating_add(1);
    }
    let tail = text.get(from..).unwrap_or_default();
    let lines_max = usize::try_from(LOG_LINES).unwrap_or(usize::MAX);
    match tail.rmatch_indices('\n').nth(lines_max.saturating_sub(1)) {
        Some((at, _)) => tail.get(at.saturating_add(1)..).unwrap_or_default(),
        None => tail,
    }
}
