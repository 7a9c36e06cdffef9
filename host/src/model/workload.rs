//! Finished runs and failures of workloads, as collectors report them (`wit/workloads.wit`).

use jiff::Timestamp;

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Succeeded,
    Failed,
}

impl Ending {
    /// As it stands in the state file.
    pub fn word(self) -> &'static str {
        match self {
            Ending::Succeeded => "succeeded",
            Ending::Failed => "failed",
        }
    }

    /// From the state file's word.
    pub fn of_word(word: &str) -> Option<Ending> {
        [Ending::Succeeded, Ending::Failed].into_iter().find(|ending| ending.word() == word)
    }
}

/// One job that ran to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRun {
    /// Stays the same however often it is seen.
    pub id: String,
    pub job: String,
    /// What made the job: its CronJob.
    pub schedule: Option<String>,
    pub project: String,
    pub image: Option<String>,
    pub node: Option<String>,
    pub gpus: f64,
    pub started: Option<Timestamp>,
    pub ended: Timestamp,
    pub ending: Ending,
    pub reason: Option<String>,
}

/// One attempt of a job that failed. Not to be confused with a collector's fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Stays the same however often it is seen.
    pub id: String,
    pub run_id: Option<String>,
    pub job: String,
    pub schedule: Option<String>,
    pub project: String,
    pub failure_type: String,
    pub phase: Option<String>,
    pub at: Timestamp,
    pub pod: Option<String>,
    pub container: Option<String>,
    pub node: Option<String>,
    pub image: Option<String>,
    pub message: Option<String>,
    pub logs: Option<String>,
    pub events: Option<String>,
    pub gpus: f64,
    pub cpu_request: Option<String>,
    pub memory_request: Option<String>,
    pub job_ending: Option<Ending>,
}

/// What was reported in a cycle, each id once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkloadReports {
    pub runs: Vec<JobRun>,
    pub failures: Vec<Failure>,
}
