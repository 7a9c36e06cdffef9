//! `wit/workloads.wit`.

use jiff::Timestamp;

use super::bindings::collector::host::workloads as wit;
use crate::fault::{Fault, Reason};
use crate::workloads::{Ending, Failure, JobRun};

pub async fn known_failures(ids: &[String]) -> Vec<bool> {
    wit::known(ids.to_vec()).await
}

pub async fn runs_since(ended: Timestamp) -> Vec<JobRun> {
    wit::runs_since(ended.as_millisecond()).await.into_iter().map(run_of).collect()
}

pub async fn failures_since(at: Timestamp) -> Vec<Failure> {
    wit::failures_since(at.as_millisecond()).await.into_iter().map(failure_of).collect()
}

pub fn report_runs(runs: Vec<JobRun>) -> Result<(), Fault> {
    let runs: Vec<_> = runs.into_iter().map(run).collect();
    wit::report_runs(&runs).map_err(refused)
}

pub fn report_failures(failures: Vec<Failure>) -> Result<(), Fault> {
    let failures: Vec<_> = failures.into_iter().map(failure).collect();
    wit::report_failures(&failures).map_err(refused)
}

fn refused(refusal: wit::Refusal) -> Fault {
    let reason = match refusal.rule {
        wit::Rule::Limit => Reason::Limit,
        wit::Rule::BadReport => Reason::Contract,
    };
    Fault::new(reason, refusal.message)
}

fn run(run: JobRun) -> wit::JobRun {
    wit::JobRun {
        id: run.id,
        job: run.job,
        schedule: run.schedule,
        project: run.project,
        image: run.image,
        node: run.node,
        gpus: run.gpus,
        started_ms: run.started.map(|t| t.as_millisecond()),
        ended_ms: run.ended.as_millisecond(),
        ending: ending(run.ending),
        reason: run.reason,
    }
}

fn failure(failure: Failure) -> wit::Failure {
    wit::Failure {
        id: failure.id,
        run_id: failure.run_id,
        job: failure.job,
        schedule: failure.schedule,
        project: failure.project,
        failure_type: failure.failure_type,
        phase: failure.phase,
        at_ms: failure.at.as_millisecond(),
        pod: failure.pod,
        container: failure.container,
        node: failure.node,
        image: failure.image,
        message: failure.message,
        logs: failure.logs,
        events: failure.events,
        gpus: failure.gpus,
        cpu_request: failure.cpu_request,
        memory_request: failure.memory_request,
        job_ending: failure.job_ending.map(ending),
    }
}

fn run_of(run: wit::JobRun) -> JobRun {
    JobRun {
        id: run.id,
        job: run.job,
        schedule: run.schedule,
        project: run.project,
        image: run.image,
        node: run.node,
        gpus: run.gpus,
        started: run.started_ms.map(instant),
        ended: instant(run.ended_ms),
        ending: ending_of(run.ending),
        reason: run.reason,
    }
}

fn failure_of(failure: wit::Failure) -> Failure {
    Failure {
        id: failure.id,
        run_id: failure.run_id,
        job: failure.job,
        schedule: failure.schedule,
        project: failure.project,
        failure_type: failure.failure_type,
        phase: failure.phase,
        at: instant(failure.at_ms),
        pod: failure.pod,
        container: failure.container,
        node: failure.node,
        image: failure.image,
        message: failure.message,
        logs: failure.logs,
        events: failure.events,
        gpus: failure.gpus,
        cpu_request: failure.cpu_request,
        memory_request: failure.memory_request,
        job_ending: failure.job_ending.map(ending_of),
    }
}

/// The host gives times that it was given.
fn instant(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn ending_of(ending: wit::Ending) -> Ending {
    match ending {
        wit::Ending::Succeeded => Ending::Succeeded,
        wit::Ending::Failed => Ending::Failed,
    }
}

fn ending(ending: Ending) -> wit::Ending {
    match ending {
        Ending::Succeeded => wit::Ending::Succeeded,
        Ending::Failed => wit::Ending::Failed,
    }
}
