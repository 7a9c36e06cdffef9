//! Which jobs ended, each once: from the Jobs themselves, from the events of those that are gone, from the host's memory.

use std::collections::{BTreeMap, BTreeSet};

use collector_sdk::Timestamp;
use collector_sdk::workloads::{Ending, JobRun};

use super::owners::{Owners, guess_schedule};
use crate::api::events::{Event, Kind};
use crate::api::jobs::{Job, JobEnd};
use crate::api::pods::Pod;
use crate::api::{Cluster, Memory};

/// The Job controller's events at a Job's end (kubernetes/pkg/controller/job): `Completed`, or the reason of its failure.
const FAILED: [&str; 5] =
    ["BackoffLimitExceeded", "DeadlineExceeded", "PodFailurePolicy", "FailedIndexes", "MaxFailedIndexesExceeded"];

/// The jobs whose end the cluster shows. A Job that is gone is found in its events, which live for an hour: in the Job
/// controller's, which carry its UID, or else in the CronJob controller's, which carry its name.
///
/// Where Jobs could not be listed there are none: events alone do not say which of them are gone.
pub fn find_ended(cluster: &Cluster, memory: &Memory, owners: &Owners<'_>) -> Vec<JobRun> {
    let Ok(jobs) = &cluster.jobs else { return Vec::new() };
    let pods = group_by_job(cluster.pods.as_deref().unwrap_or_default());
    let of_job = |job: &Job| Some(read_run(job, job.end.as_ref()?, pods.get(job.id.uid.as_str()).copied()));
    let mut ended: Vec<JobRun> = jobs.iter().filter_map(of_job).collect();

    let events = cluster.events.as_deref().unwrap_or_default();
    let remembered: BTreeSet<&str> = memory.runs.iter().map(|run| run.id.as_str()).collect();
    let mut gone: BTreeMap<String, JobRun> = BTreeMap::new();
    for event in events.iter().filter(|event| event.about == Kind::Job) {
        if let Some(run) = read_job_event(event, &pods)
            && !owners.lists_uid(&run.id)
            && !remembered.contains(run.id.as_str())
        {
            gone.entry(run.id.clone()).or_insert(run);
        }
    }

    let mut named: BTreeSet<(String, String)> =
        gone.values().chain(&memory.runs).map(|run| (run.project.clone(), run.job.clone())).collect();
    for event in events.iter().filter(|event| event.about == Kind::CronJob) {
        if let Some(run) = read_cron_job_event(event)
            && !owners.lists(&run.project, &run.job)
            && named.insert((run.project.clone(), run.job.clone()))
        {
            gone.insert(run.id.clone(), run);
        }
    }
    ended.extend(gone.into_values().map(|run| name_schedule(run, events)));
    ended
}

/// The runs that the host does not know as they are, newest first.
pub fn select_new<'a>(ended: &'a [JobRun], remembered: &[JobRun]) -> Vec<&'a JobRun> {
    let remembered: BTreeMap<&str, &JobRun> = remembered.iter().map(|run| (run.id.as_str(), run)).collect();
    let mut new: Vec<&JobRun> = ended.iter().filter(|run| remembered.get(run.id.as_str()) != Some(run)).collect();
    new.sort_by(|a, b| b.ended.cmp(&a.ended).then_with(|| a.id.cmp(&b.id)));
    new
}

/// The runs that ended in the window, each once.
pub fn select_window<'a>(ended: &'a [JobRun], remembered: &'a [JobRun], since: Timestamp) -> Vec<&'a JobRun> {
    let mut seen = BTreeSet::new();
    let each_once = ended.iter().chain(remembered).filter(|run| seen.insert(run.id.as_str()));
    each_once.filter(|run| run.ended >= since).collect()
}

/// The last pod of each Job that has a node.
fn group_by_job(pods: &[Pod]) -> BTreeMap<&str, &Pod> {
    let mut last: BTreeMap<&str, &Pod> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod.node.is_some()) {
        if let Some(uid) = &pod.job.uid {
            let kept = last.entry(uid).or_insert(pod);
            if (pod.created, &pod.id.name) > (kept.created, &kept.id.name) {
                *kept = pod;
            }
        }
    }
    last
}

fn read_run(job: &Job, end: &JobEnd, pod: Option<&Pod>) -> JobRun {
    JobRun {
        id: job.id.uid.clone(),
        job: job.id.name.clone(),
        schedule: job.schedule.clone(),
        project: job.id.namespace.clone(),
        image: job.image.clone(),
        node: pod.and_then(|pod| pod.node.clone()),
        gpus: job.pod_gpus * f64::from(job.pods_at_once),
        started: job.started,
        ended: end.at,
        ending: end.ending,
        reason: end.reason.clone(),
    }
}

/// A run of which only an event is left, and perhaps a pod.
fn read_job_event(event: &Event, pods: &BTreeMap<&str, &Pod>) -> Option<JobRun> {
    let ending = match &*event.reason {
        "Completed" => Ending::Succeeded,
        reason if FAILED.contains(&reason) => Ending::Failed,
        _ => return None,
    };
    let uid = event.uid.as_deref()?;
    let pod = pods.get(uid).copied();
    let run = bare_run(uid.to_owned(), event, &event.name, event.at?, ending);
    let reason = (ending == Ending::Failed).then(|| event.reason.to_string());
    let image = pod.and_then(|pod| pod.containers.iter().find(|c| !c.is_init)?.image.clone());
    Some(JobRun { node: pod.and_then(|pod| pod.node.clone()), image, reason, ..run })
}

/// `Saw completed job: NAME, status: Complete` (`condition:` since Kubernetes 1.31), of a CronJob. It has no UID, so the name
/// stands for it: a CronJob gives a name once.
fn read_cron_job_event(event: &Event) -> Option<JobRun> {
    let (_, said) = event.message.split_once("Saw completed job: ").filter(|_| &*event.reason == "SawCompletedJob")?;
    let (job, status) = said.split_once(", ")?;
    let ending = match status.rsplit(' ').next()? {
        "Complete" => Ending::Succeeded,
        "Failed" => Ending::Failed,
        _ => return None,
    };
    let run = bare_run(name_run(&event.namespace, job), event, job, event.at?, ending);
    Some(JobRun { schedule: Some(event.name.to_string()), ..run })
}

/// The identity of a run of which nobody says the UID.
pub fn name_run(namespace: &str, job: &str) -> String {
    format!("{namespace}:{job}")
}

fn bare_run(id: String, event: &Event, job: &str, ended: Timestamp, ending: Ending) -> JobRun {
    JobRun {
        id,
        job: job.to_owned(),
        schedule: None,
        project: event.namespace.to_string(),
        image: None,
        node: None,
        gpus: 0.0,
        started: None,
        ended,
        ending,
        reason: None,
    }
}

/// The CronJob that speaks of the run, or else the one that its name tells of.
fn name_schedule(run: JobRun, events: &[Event]) -> JobRun {
    if run.schedule.is_some() {
        return run;
    }
    let speaks_of = |event: &&Event| {
        event.about == Kind::CronJob
            && *event.namespace == *run.project
            && read_cron_job_event(event).is_some_and(|said| said.job == run.job)
    };
    let schedule = events.iter().find(speaks_of).map(|event| event.name.to_string());
    JobRun { schedule: schedule.or_else(|| guess_schedule(&run.job)), ..run }
}
