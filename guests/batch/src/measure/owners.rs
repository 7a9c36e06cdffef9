//! Which CronJob a Job or a pod is of, also when the Job is gone.

use std::collections::HashMap;

use collector_sdk::Timestamp;
use collector_sdk::workloads::{Ending, JobRun};

use crate::api::jobs::Job;
use crate::api::objects::JobName;
use crate::api::{Cluster, Memory};

/// The Jobs that the cluster lists, and those that the host remembers.
#[derive(Debug)]
pub struct Owners<'a> {
    by_uid: HashMap<&'a str, &'a Job>,
    by_name: HashMap<(&'a str, &'a str), &'a Job>,
    remembered: HashMap<&'a str, &'a JobRun>,
}

impl<'a> Owners<'a> {
    pub fn of(cluster: &'a Cluster, memory: &'a Memory) -> Owners<'a> {
        let jobs = cluster.jobs.as_deref().unwrap_or_default();
        Owners {
            by_uid: jobs.iter().map(|job| (job.id.uid.as_str(), job)).collect(),
            by_name: jobs.iter().map(|job| ((job.id.namespace.as_str(), job.id.name.as_str()), job)).collect(),
            remembered: memory.runs.iter().map(|run| (run.id.as_str(), run)).collect(),
        }
    }

    /// The Job that a pod is of, where it is listed. A Job that was made anew under the same name is another one.
    pub fn find_job(&self, namespace: &str, job: &JobName) -> Option<&'a Job> {
        match &job.uid {
            Some(uid) => self.by_uid.get(uid.as_str()).copied(),
            None => self.by_name.get(&(namespace, job.name.as_str())).copied(),
        }
    }

    /// Whether a Job of this name is listed.
    pub fn lists(&self, namespace: &str, name: &str) -> bool {
        self.by_name.contains_key(&(namespace, name))
    }

    /// Whether a Job of this UID is listed.
    pub fn lists_uid(&self, uid: &str) -> bool {
        self.by_uid.contains_key(uid)
    }

    /// The run of this identity, as the host remembers it.
    pub fn find_remembered(&self, id: &str) -> Option<&'a JobRun> {
        self.remembered.get(id).copied()
    }

    /// The CronJob of a pod's Job.
    pub fn find_schedule(&self, namespace: &str, job: &'a JobName) -> Option<&'a str> {
        if let Some(job) = self.find_job(namespace, job) {
            return job.schedule.as_deref();
        }
        match job.uid.as_ref().and_then(|uid| self.find_remembered(uid)) {
            Some(run) => run.schedule.as_deref(),
            None => guess_schedule(&job.name),
        }
    }

    /// The identity of a pod's Job: as the pod says, or else as the Job of this name does.
    pub fn find_run_id(&self, namespace: &str, job: &'a JobName) -> Option<&'a str> {
        job.uid.as_deref().or_else(|| Some(&self.find_job(namespace, job)?.id.uid))
    }

    /// What the cluster says of a Job's end.
    pub fn find_end_message(&self, uid: &str) -> Option<String> {
        self.by_uid.get(uid)?.end.as_ref()?.message.clone()
    }

    /// When a pod's Job ran out of time, where it did.
    pub fn find_deadline(&self, namespace: &str, job: &JobName) -> Option<Timestamp> {
        self.find_job(namespace, job)?.out_of_time
    }
}

/// How runs ended, by their identity.
pub fn list_endings<'a>(runs: impl IntoIterator<Item = &'a JobRun>) -> HashMap<&'a str, Ending> {
    runs.into_iter().map(|run| (run.id.as_str(), run.ending)).collect()
}

/// The CronJob that a Job's name tells of: it calls its Jobs by its own name and the minute since 1970. The rule is the one of
/// Datadog's agent (`-\d{4,10}$`), so that both give the same tag.
pub fn guess_schedule(job: &str) -> Option<&str> {
    let (schedule, minute) = job.rsplit_once('-')?;
    let is_minute = (4..=10).contains(&minute.len()) && minute.bytes().all(|b| b.is_ascii_digit());
    (is_minute && !schedule.is_empty()).then_some(schedule)
}
