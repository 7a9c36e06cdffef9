//! Which jobs ended, each once: from the Jobs themselves, from the events of those that are gone, from the host's memory.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use collector_sdk::Timestamp;
use collector_sdk::workloads::{Ending, JobRun};

use super::owners::{Owners, guess_schedule};
use crate::api::events::{Event, Kind, SAW_COMPLETED_JOB};
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
pub fn find_ended<'a>(
    cluster: &Cluster,
    events: &[Event],
    memory: &Memory,
    owners: &Owners<'a>,
) -> Vec<Cow<'a, JobRun>> {
    let Ok(jobs) = &cluster.jobs else { return Vec::new() };
    let pods = group_by_job(cluster.pods.as_deref().unwrap_or_default());
    let of_job = |job: &Job| Some(read_run(job, job.end.as_ref()?, pods.get(job.id.uid.as_str()).copied()));
    let as_known = |run: JobRun| match owners.find_remembered(&run.id) {
        Some(known) if *known == run => Cow::Borrowed(known),
        _ => Cow::Owned(run),
    };
    let mut ended: Vec<Cow<'_, JobRun>> = jobs.iter().filter_map(of_job).map(as_known).collect();
    ended.extend(find_gone(events, memory, owners, &pods).into_iter().map(Cow::Owned));
    ended
}

/// The runs of which events alone tell, by their identity.
fn find_gone(events: &[Event], memory: &Memory, owners: &Owners<'_>, pods: &HashMap<&str, &Pod>) -> Vec<JobRun> {
    let about = |kind: Kind| events.iter().filter(move |event| event.about == kind);
    let said: Vec<Said<'_>> = about(Kind::CronJob).filter_map(read_cron_job_event).collect();
    let mut schedules = HashMap::new();
    for said in &said {
        schedules.entry((said.namespace, said.job)).or_insert(said.schedule);
    }

    let mut known: HashSet<&str> = memory.runs.iter().map(|run| run.id.as_str()).collect();
    let mut gone: Vec<JobRun> = Vec::new();
    for event in about(Kind::Job) {
        if let Some(run) = read_job_event(event, pods)
            && !owners.lists_uid(&run.id)
            && event.uid.as_deref().is_some_and(|uid| known.insert(uid))
        {
            gone.push(name_schedule(run, &schedules));
        }
    }

    let mut named: HashSet<(&str, &str)> =
        gone.iter().chain(&memory.runs).map(|run| (run.project.as_str(), run.job.as_str())).collect();
    let not_listed = said.iter().filter(|said| !owners.lists(said.namespace, said.job));
    let of_cron_jobs = not_listed.filter(|said| named.insert((said.namespace, said.job))).map(Said::run);
    let of_cron_jobs: Vec<JobRun> = of_cron_jobs.collect();
    gone.extend(of_cron_jobs);
    gone.sort_by(|a, b| a.id.cmp(&b.id));
    gone
}

/// The runs that the host does not know as they are, newest first.
pub fn select_new<'a>(ended: &'a [Cow<'_, JobRun>]) -> Vec<&'a JobRun> {
    let is_new = |run: &&Cow<'_, JobRun>| matches!(run, Cow::Owned(_));
    let mut new: Vec<&JobRun> = ended.iter().filter(is_new).map(|run| &**run).collect();
    new.sort_by(|a, b| b.ended.cmp(&a.ended).then_with(|| a.id.cmp(&b.id)));
    new
}

/// The runs that ended in the window, each once.
pub fn select_window<'a>(runs: impl Iterator<Item = &'a JobRun>, since: Timestamp) -> Vec<&'a JobRun> {
    let mut seen = HashSet::new();
    let each_once = runs.filter(|run| seen.insert(run.id.as_str()));
    each_once.filter(|run| run.ended >= since).collect()
}

/// The last pod of each Job that has a node.
fn group_by_job(pods: &[Pod]) -> HashMap<&str, &Pod> {
    let mut last: HashMap<&str, &Pod> = HashMap::new();
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
fn read_job_event(event: &Event, pods: &HashMap<&str, &Pod>) -> Option<JobRun> {
    let ending = match &*event.reason {
        "Completed" => Ending::Succeeded,
        reason if FAILED.contains(&reason) => Ending::Failed,
        _ => return None,
    };
    let uid = event.uid.as_deref()?;
    let pod = pods.get(uid).copied();
    let run = bare_run(uid.to_owned(), &event.namespace, &event.name, event.at?, ending);
    let reason = (ending == Ending::Failed).then(|| event.reason.to_string());
    let image = pod.and_then(|pod| pod.containers.iter().find(|c| !c.is_init)?.image.clone());
    Some(JobRun { node: pod.and_then(|pod| pod.node.clone()), image, reason, ..run })
}

/// What a CronJob's controller said of a job's end.
struct Said<'a> {
    namespace: &'a str,
    schedule: &'a str,
    job: &'a str,
    ending: Ending,
    at: Timestamp,
}

/// `Saw completed job: NAME, status: Complete` (`condition:` since Kubernetes 1.31), of a CronJob.
fn read_cron_job_event(event: &Event) -> Option<Said<'_>> {
    let (_, said) = event.message.split_once("Saw completed job: ").filter(|_| &*event.reason == SAW_COMPLETED_JOB)?;
    let (job, status) = said.split_once(", ")?;
    let ending = match status.rsplit(' ').next()? {
        "Complete" => Ending::Succeeded,
        "Failed" => Ending::Failed,
        _ => return None,
    };
    Some(Said { namespace: &event.namespace, schedule: &event.name, job, ending, at: event.at? })
}

impl Said<'_> {
    /// It has no UID, so the name stands for it: a CronJob gives a name once.
    fn run(&self) -> JobRun {
        let Said { namespace, schedule, job, ending, at } = *self;
        let run = bare_run(name_run(namespace, job), namespace, job, at, ending);
        JobRun { schedule: Some(schedule.to_owned()), ..run }
    }
}

/// The identity of a run of which nobody says the UID.
pub fn name_run(namespace: &str, job: &str) -> String {
    format!("{namespace}:{job}")
}

fn bare_run(id: String, namespace: &str, job: &str, ended: Timestamp, ending: Ending) -> JobRun {
    JobRun {
        id,
        job: job.to_owned(),
        schedule: None,
        project: namespace.to_owned(),
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
fn name_schedule(run: JobRun, schedules: &HashMap<(&str, &str), &str>) -> JobRun {
    let speaks = schedules.get(&(run.project.as_str(), run.job.as_str())).copied();
    let schedule = speaks.or_else(|| guess_schedule(&run.job)).map(str::to_owned);
    JobRun { schedule, ..run }
}
