//! Workload reports: kept by the world.

use jiff::Timestamp;

use crate::Fault;
use crate::testing::world::with_world;
use crate::workloads::{Failure, JobRun};

pub async fn known_failures(ids: &[String]) -> Vec<bool> {
    with_world(|world| world.known_failures(ids))
}

pub async fn runs_since(ended: Timestamp) -> Vec<JobRun> {
    with_world(|world| world.runs_since(ended))
}

pub async fn failures_since(at: Timestamp) -> Vec<Failure> {
    with_world(|world| world.failures_since(at))
}

pub fn report_runs(runs: Vec<JobRun>) -> Result<(), Fault> {
    with_world(|world| world.report_runs(runs));
    Ok(())
}

pub fn report_failures(failures: Vec<Failure>) -> Result<(), Fault> {
    with_world(|world| world.report_failures(failures));
    Ok(())
}
