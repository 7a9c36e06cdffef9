//! Workloads of a cycle: what the state holds of them, and what collectors report.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::model::{Failure, JobRun, WorkloadReports};
use crate::store::KnownWorkloads;

/// What is known and what is reported. Reports of a known id are kept too: they may fill in what was open.
#[derive(Debug, Default)]
pub struct Workloads {
    known: KnownWorkloads,
    reported: Mutex<Reported>,
}

/// The newest report of each id.
#[derive(Debug, Default)]
struct Reported {
    runs: HashMap<String, JobRun>,
    failures: HashMap<String, Failure>,
}

impl Workloads {
    /// With what the state holds.
    pub fn new(known: KnownWorkloads) -> Workloads {
        Workloads { known, reported: Mutex::default() }
    }

    /// The failures that the state holds with their logs.
    pub fn with_logs(&self) -> &HashSet<String> {
        &self.known.with_logs
    }

    /// The runs that the state holds, ended then or later.
    pub fn runs_since(&self, ended: Timestamp) -> Vec<JobRun> {
        self.known.runs.iter().filter(|run| run.ended >= ended).cloned().collect()
    }

    /// The failures that the state holds, of then or later; without logs and events.
    pub fn failures_since(&self, at: Timestamp) -> Vec<Failure> {
        self.known.failures.iter().filter(|failure| failure.at >= at).cloned().collect()
    }

    /// Takes reports. They count when the cycle is recorded, however the attempt that made them ends.
    pub fn report(&self, runs: Vec<JobRun>, failures: Vec<Failure>) {
        let mut reported = self.lock();
        reported.runs.extend(runs.into_iter().map(|run| (run.id.clone(), run)));
        reported.failures.extend(failures.into_iter().map(|failure| (failure.id.clone(), failure)));
    }

    /// Everything that was reported, each id once.
    pub fn reports(&self) -> WorkloadReports {
        let mut reported = self.lock();
        let Reported { runs, failures } = std::mem::take(&mut *reported);
        WorkloadReports { runs: runs.into_values().collect(), failures: failures.into_values().collect() }
    }

    fn lock(&self) -> MutexGuard<'_, Reported> {
        // A report is whole or not there: whoever panicked beside it left nothing half done.
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
