//! Finished runs and failures of workloads, for the host's failure database.

use jiff::Timestamp;
use serde::Deserialize;

use crate::fault::Fault;

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    Succeeded,
    Failed,
}

/// One job that ran to its end.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRun {
    /// Stays the same however often it is seen: the Job's UID.
    pub id: String,
    pub job: String,
    /// What made the job, where something did: its CronJob.
    pub schedule: Option<String>,
    /// The namespace, or the project where the cluster has them.
    pub project: String,
    pub image: Option<String>,
    pub node: Option<String>,
    pub gpus: f64,
    pub started: Option<Timestamp>,
    pub ended: Timestamp,
    pub ending: Ending,
    /// Why it ended so: `BackoffLimitExceeded`.
    pub reason: Option<String>,
}

/// One attempt of a job (a pod, a container) that failed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Stays the same however often it is seen: pod UID, container, number of restarts.
    pub id: String,
    /// The id of its job run, where it has one.
    pub run_id: Option<String>,
    pub job: String,
    pub schedule: Option<String>,
    pub project: String,
    /// `OOMKilled`, `ImagePullBackOff`, `CrashLoopBackOff`, `Pending`, `Error`, `Evicted`, …
    pub failure_type: String,
    pub phase: Option<String>,
    pub at: Timestamp,
    pub pod: Option<String>,
    pub container: Option<String>,
    pub node: Option<String>,
    pub image: Option<String>,
    pub message: Option<String>,
    /// The last lines of the log.
    pub logs: Option<String>,
    /// What the cluster said about it, a line each.
    pub events: Option<String>,
    pub gpus: f64,
    pub cpu_request: Option<String>,
    pub memory_request: Option<String>,
    /// How its job ended, where it has.
    pub job_ending: Option<Ending>,
}

/// Which of these failures the host has with their logs, so that nothing is fetched for them again; in the order of the ids.
pub async fn known(ids: &[String]) -> Vec<bool> {
    crate::boundary::known_failures(ids).await
}

/// The runs that the host remembers and that ended at that time or later; a cluster forgets its finished jobs sooner.
pub async fn runs_since(ended: Timestamp) -> Vec<JobRun> {
    crate::boundary::runs_since(ended).await
}

/// The failures that the host remembers and that happened at that time or later, without their logs and events.
pub async fn failures_since(at: Timestamp) -> Vec<Failure> {
    crate::boundary::failures_since(at).await
}

/// Hands finished runs over, however many. A run whose id is known is not counted again.
///
/// # Errors
/// The host's first refusal, whose message names the run or the bound; what it does not refuse is taken all the same.
pub fn report_runs(runs: Vec<JobRun>) -> Result<(), Fault> {
    in_chunks(runs, crate::boundary::report_runs)
}

/// Hands failures over. A failure whose id is known is not counted again; how its job ended is filled in.
///
/// # Errors
/// As [`report_runs`].
pub fn report_failures(failures: Vec<Failure>) -> Result<(), Fault> {
    in_chunks(failures, crate::boundary::report_failures)
}

/// Reports of one call: with their logs they are a part of what one call may make the host hold.
const AT_ONCE: usize = 50;

fn in_chunks<T>(mut all: Vec<T>, report: impl Fn(Vec<T>) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut result = Ok(());
    while !all.is_empty() {
        let rest = all.split_off(all.len().min(AT_ONCE));
        result = result.and(report(all));
        all = rest;
    }
    result
}
