//! What is reported of each failure, which of them are news, and whose logs are worth asking for.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use collector_sdk::workloads::{Ending, Failure, JobRun};

use super::Picture;
use super::causes::{Around, Cause, find_cause};
use super::owners::list_endings;
use super::runs::name_run;
use crate::api::LogOf;
use crate::api::events::{Event, Kind};
use crate::api::pods::{Container, Phase, Pod};

/// A failure as the cluster shows it.
#[derive(Clone, Debug)]
pub struct Seen {
    failure: Failure,
    /// The log that tells of it, where there may be one that the host has not.
    log: Option<LogOf>,
}

/// The failures that the cluster shows: one for each pod that failed or does not get on, and one for each job that failed and of
/// which no pod is known to have. Of the events, only what they say of these is kept.
///
/// An id is the pod's UID, a slash, and what tells this failure of the pod from others.
pub fn find_failures(picture: &Picture<'_>, events: Vec<Event>) -> Vec<Seen> {
    let endings = list_endings(picture.runs());
    let pending_since = picture.now.checked_sub(picture.settings.pending).unwrap_or(collector_sdk::Timestamp::MIN);
    let around = |pod: &Pod| {
        let deadline = picture.owners.find_deadline(&pod.id.namespace, &pod.job);
        Around { deadline, pending_since }
    };
    let failing: Vec<(&Pod, Cause<'_>)> =
        picture.pods().iter().filter_map(|pod| Some((pod, find_cause(pod, around(pod))?))).collect();
    let pods: Vec<&Pod> = failing.iter().map(|(pod, _)| *pod).collect();
    let bare = find_bare_runs(picture, &pods);
    let (of_pods, of_runs) = (tell_of_pods(&events, &pods), tell_of_runs(&events, &bare));
    drop(events);

    let of_pod = |((pod, cause), events): ((&Pod, Cause<'_>), Option<String>)| {
        let run_id = picture.owners.find_run_id(&pod.id.namespace, &pod.job);
        let job_ending = run_id.and_then(|id| endings.get(id).copied());
        let log = cause.life.map(|life| LogOf {
            namespace: pod.id.namespace.clone(),
            pod: pod.id.name.clone(),
            container: life.container.name.clone(),
            previous: life.is_previous,
        });
        let failure = Failure { events, job_ending, ..describe(picture, pod, cause) };
        Seen { failure, log }
    };
    let of_run = |(run, events): (&JobRun, Option<String>)| {
        let failure = Failure { events, ..describe_bare(picture, run) };
        Seen { failure, log: None }
    };
    let of_pods = failing.into_iter().zip(of_pods).map(of_pod);
    of_pods.chain(bare.into_iter().zip(of_runs).map(of_run)).collect()
}

/// The ids, in order.
pub fn list_ids(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(|seen| seen.failure.id.clone()).collect()
}

/// What the host does not know yet: failures, and how the jobs of others ended. Newest first.
pub fn select_news(picture: &Picture<'_>, seen: Vec<Seen>, known: &[bool]) -> Vec<Seen> {
    let remembered: HashMap<&str, Option<Ending>> =
        picture.memory.failures.iter().map(|failure| (failure.id.as_str(), failure.job_ending)).collect();
    let endings = list_endings(picture.runs());
    let ids: HashSet<&str> = seen.iter().map(|seen| seen.failure.id.as_str()).collect();
    // Of pods that are gone, the jobs may have ended since.
    let have_ended = picture.memory.failures.iter().filter_map(|failure| {
        let ending = failure.run_id.as_deref().and_then(|id| endings.get(id).copied());
        let is_news = failure.job_ending.is_none() && ending.is_some() && !ids.contains(failure.id.as_str());
        is_news.then(|| Seen { failure: Failure { job_ending: ending, ..failure.clone() }, log: None })
    });
    let have_ended: Vec<Seen> = have_ended.collect();

    let is_old = |failure: &Failure| remembered.get(failure.id.as_str()) == Some(&failure.job_ending);
    let known = known.iter().copied().chain(std::iter::repeat(false));
    let mut news: Vec<Seen> = seen
        .into_iter()
        .zip(known)
        .filter_map(|(seen, is_known)| match is_known {
            true if is_old(&seen.failure) => None,
            true => Some(Seen { log: None, ..seen }),
            false => Some(seen),
        })
        .collect();
    news.extend(have_ended);
    news.sort_by(|a, b| b.failure.at.cmp(&a.failure.at).then_with(|| a.failure.id.cmp(&b.failure.id)));
    news
}

/// The logs to ask for, no more than that many; the failures whose logs they are keep their place.
pub fn select_logs(news: Vec<Seen>, fetches_max: usize) -> (Vec<LogOf>, Vec<Seen>) {
    let mut wanted = Vec::new();
    let mut choose = |seen: Seen| {
        let log = seen.log.filter(|_| wanted.len() < fetches_max);
        wanted.extend(log.clone());
        Seen { log, ..seen }
    };
    let news = news.into_iter().map(&mut choose).collect();
    (wanted, news)
}

/// The failures with the logs that were chosen for them.
pub fn fill_in_logs(news: Vec<Seen>, logs: Vec<Option<String>>) -> Vec<Failure> {
    let mut logs = logs.into_iter();
    let fill = |Seen { failure, log }: Seen| Failure { logs: log.and_then(|_| logs.next().flatten()), ..failure };
    news.into_iter().map(fill).collect()
}

fn describe(picture: &Picture<'_>, pod: &Pod, cause: Cause<'_>) -> Failure {
    // What is about the pod as a whole is shown with its first container, which is the one that people mean.
    let shown = cause.container.or_else(|| pod.containers.iter().find(|container| !container.is_init));
    Failure {
        id: format!("{}/{}", pod.id.uid, cause.mark),
        run_id: picture.owners.find_run_id(&pod.id.namespace, &pod.job).map(str::to_owned),
        job: pod.job.name.clone(),
        schedule: picture.owners.find_schedule(&pod.id.namespace, &pod.job).map(str::to_owned),
        project: pod.id.namespace.clone(),
        failure_type: cause.kind,
        phase: Some(pod.phase.word().to_owned()),
        at: cause.at.unwrap_or(picture.now),
        pod: Some(pod.id.name.clone()),
        container: cause.container.map(|container| container.name.clone()),
        node: pod.node.clone(),
        image: shown.and_then(|container| container.image.clone()),
        message: cause.message,
        logs: None,
        events: None,
        gpus: count_gpus(&pod.containers),
        cpu_request: shown.and_then(|container| container.cpu_request.clone()),
        memory_request: shown.and_then(|container| container.memory_request.clone()),
        job_ending: None,
    }
}

/// Containers run beside each other; init containers before them, one after the other.
fn count_gpus(containers: &[Container]) -> f64 {
    let beside = containers.iter().filter(|container| !container.is_init);
    let before = containers.iter().filter(|container| container.is_init);
    let sum = beside.fold(0.0, |sum, container| sum + container.gpus);
    before.fold(sum, |most, container| most.max(container.gpus))
}

/// Jobs that failed and took their pods with them: the Job controller deletes those that still run when a Job is out of time, or,
/// where containers are started anew in their pod (`restartPolicy: OnFailure`), out of retries.
fn find_bare_runs<'a>(picture: &'a Picture<'_>, failing: &[&'a Pod]) -> Vec<&'a JobRun> {
    if picture.cluster.pods.is_err() {
        return Vec::new();
    }
    let run_id = |pod: &'a Pod| picture.owners.find_run_id(&pod.id.namespace, &pod.job).map(Cow::Borrowed);
    let mut explained: HashSet<Cow<'_, str>> = HashSet::new();
    for pod in failing {
        explained.extend(run_id(pod));
        explained.insert(name_run(&pod.id.namespace, &pod.job.name).into());
    }
    for failure in &picture.memory.failures {
        explained.extend(failure.run_id.as_deref().map(Cow::Borrowed));
        explained.insert(name_run(&failure.project, &failure.job).into());
    }
    // A pod that has not ended may yet show how it fails.
    let unended = picture.pods().iter().filter(|pod| !matches!(pod.phase, Phase::Succeeded | Phase::Failed));
    explained.extend(unended.filter_map(run_id));
    let is_bare = |run: &&JobRun| run.ending == Ending::Failed && !explained.contains(run.id.as_str());
    picture.ended().filter(is_bare).collect()
}

fn describe_bare(picture: &Picture<'_>, run: &JobRun) -> Failure {
    let kind = run.reason.clone().unwrap_or_else(|| "Error".to_owned());
    Failure {
        id: format!("{}/{kind}", run.id),
        run_id: Some(run.id.clone()),
        job: run.job.clone(),
        schedule: run.schedule.clone(),
        project: run.project.clone(),
        failure_type: kind,
        phase: None,
        at: run.ended,
        pod: None,
        container: None,
        node: run.node.clone(),
        image: run.image.clone(),
        message: picture.owners.find_end_message(&run.id),
        logs: None,
        events: None,
        gpus: run.gpus,
        cpu_request: None,
        memory_request: None,
        job_ending: Some(run.ending),
    }
}

/// What the events say of these jobs and of their pods, by namespace and name. A pod is called by its Job's name, perhaps an index,
/// and five letters.
fn tell_of_runs(events: &[Event], runs: &[&JobRun]) -> Vec<Option<String>> {
    if runs.is_empty() {
        return Vec::new();
    }
    let mut by_job: HashMap<(&str, &str), Vec<&Event>> =
        runs.iter().map(|run| ((&*run.project, &*run.job), Vec::new())).collect();
    for event in events.iter().filter(|event| event.about != Kind::CronJob) {
        let shorter = |name| str::rsplit_once(name, '-').map(|(head, _)| head);
        let whole = Some(&*event.name).filter(|_| event.about == Kind::Job);
        let of_pod = Some(&*event.name).filter(|_| event.about == Kind::Pod).and_then(shorter);
        let names = [whole, of_pod, of_pod.and_then(shorter)];
        let job = names.into_iter().flatten().find(|name| by_job.contains_key(&(&*event.namespace, *name)));
        if let Some(events) = job.and_then(|name| by_job.get_mut(&(&*event.namespace, name))) {
            events.push(event);
        }
    }
    runs.iter().map(|run| write_events(by_job.get(&(&*run.project, &*run.job))?)).collect()
}

/// What the events say of these pods.
fn tell_of_pods(events: &[Event], pods: &[&Pod]) -> Vec<Option<String>> {
    let mut by_uid: HashMap<&str, Vec<&Event>> = pods.iter().map(|pod| (&*pod.id.uid, Vec::new())).collect();
    let uids: HashMap<(&str, &str), &str> =
        pods.iter().map(|pod| ((&*pod.id.namespace, &*pod.id.name), &*pod.id.uid)).collect();
    for event in events.iter().filter(|event| event.about == Kind::Pod) {
        let uid = event.uid.as_deref().or_else(|| uids.get(&(&*event.namespace, &*event.name)).copied());
        if let Some(events) = uid.and_then(|uid| by_uid.get_mut(uid)) {
            events.push(event);
        }
    }
    pods.iter().map(|pod| write_events(by_uid.get(&*pod.id.uid)?)).collect()
}

/// The newest of them, in the order in which they happened, a line each; none where there are none.
fn write_events(events: &[&Event]) -> Option<String> {
    const LINES_MAX: usize = 10;
    let mut events = events.to_vec();
    events.sort_by_key(|event| event.at);
    let mut lines: Vec<String> = events.iter().map(|event| format!("{}: {}", event.reason, event.message)).collect();
    // A page boundary may repeat one.
    lines.dedup();
    let newest = lines.len().saturating_sub(LINES_MAX);
    (!lines.is_empty()).then(|| lines.split_off(newest).join("\n"))
}
