//! Why a pod failed, or why it does not get on: one cause for each pod, the first that fits.

use collector_sdk::Timestamp;

use crate::api::pods::{Container, End, Phase, Pod, State};

/// A life of a container that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Life<'a> {
    pub container: &'a Container,
    pub end: &'a End,
    /// Whether the container has begun another one since, or waits to.
    pub is_previous: bool,
}

/// Why a pod failed or does not get on.
#[derive(Clone, Debug)]
pub struct Cause<'a> {
    /// `OOMKilled`, `Evicted`, `ImagePullBackOff`, …
    pub kind: String,
    /// What tells this failure from the pod's others, and stays the same however often and in whatever place it is seen.
    pub mark: String,
    pub at: Option<Timestamp>,
    pub message: Option<String>,
    /// The container that it is about, where it is about one.
    pub container: Option<&'a Container>,
    /// The life whose log tells of it.
    pub life: Option<Life<'a>>,
}

/// Reasons to wait that are no trouble.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Reasons to wait for an image (kubernetes/pkg/kubelet/images), beside `ErrImagePull`.
const IMAGE: [&str; 6] = [
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];

const CRASH_LOOP: &str = "CrashLoopBackOff";
const DEADLINE: &str = "DeadlineExceeded";

/// What a pod's cause depends on beside the pod.
#[derive(Clone, Copy, Debug)]
pub struct Around {
    /// When its Job ran out of time.
    pub deadline: Option<Timestamp>,
    /// A pod that is older and still pending does not get on.
    pub pending_since: Timestamp,
}

/// The cause, or none where the pod gets on or did well. A container that was killed for memory and started anew shows the kill
/// in `lastState` alone, beside `CrashLoopBackOff`: so the kill goes first.
pub fn find_cause(pod: &Pod, around: Around) -> Option<Cause<'_>> {
    let waiting = || {
        let images = find_waiting(pod, |reason| IMAGE.contains(&reason));
        images.or_else(|| find_waiting(pod, |reason| !STARTING.contains(&reason) && reason != CRASH_LOOP))
    };
    match pod.phase {
        Phase::Succeeded => oom(pod),
        Phase::Failed => oom(pod)
            .or_else(|| lost_place(pod))
            .or_else(waiting)
            .or_else(|| crash_loop(pod))
            .or_else(|| out_of_time(pod, around.deadline))
            .or_else(|| Some(error(pod))),
        Phase::Pending | Phase::Running | Phase::Unknown => {
            oom(pod).or_else(waiting).or_else(|| crash_loop(pod)).or_else(|| pending(pod, around.pending_since))
        }
    }
}

/// When a pod ended; for one that has not, nothing that means anything.
pub fn find_pod_end(pod: &Pod) -> Option<Timestamp> {
    // A pod that was turned away or evicted before it began has no container that ended.
    let ended = list_lives(pod).filter_map(|life| life.end.at).max();
    ended.or(pod.changed).or(pod.started).or(pod.created)
}

/// The last time that a container of the pod was killed for memory. Exit code 137 alone does not say so.
pub fn find_oom_kill(pod: &Pod) -> Option<Life<'_>> {
    let kills: Vec<_> = list_lives(pod).filter(|life| life.end.reason.as_deref() == Some("OOMKilled")).collect();
    // Of equals the first, so that each cycle finds the same.
    kills.into_iter().rev().max_by_key(|life| life.end.at)
}

/// Whether a container of the pod waits in `CrashLoopBackOff`.
pub fn is_crash_looping(pod: &Pod) -> bool {
    pod.containers.iter().any(|container| waits(container).is_some_and(|(reason, _)| reason == CRASH_LOOP))
}

fn list_lives(pod: &Pod) -> impl Iterator<Item = Life<'_>> {
    pod.containers.iter().flat_map(|container| {
        let now = if let State::Ended(end) = &container.state { Some((end, false)) } else { None };
        let before = container.last.as_ref().map(|end| (end, true));
        now.into_iter().chain(before).map(move |(end, is_previous)| Life { container, end, is_previous })
    })
}

/// A reason to wait, and what is said of it.
fn waits(container: &Container) -> Option<(&str, Option<&String>)> {
    match &container.state {
        State::Waiting { reason: Some(reason), message } => Some((reason, message.as_ref())),
        _ => None,
    }
}

fn oom(pod: &Pod) -> Option<Cause<'_>> {
    let life = find_oom_kill(pod)?;
    Some(Cause { kind: "OOMKilled".into(), ..life_cause(pod, life) })
}

/// Evicted, turned away, preempted: what happened to the pod as a whole.
fn lost_place(pod: &Pod) -> Option<Cause<'_>> {
    let kind = pod.reason.clone().filter(|reason| reason != DEADLINE).or_else(|| pod.disruption.clone())?;
    let life = list_lives(pod).find(|life| !life.is_previous);
    let (at, message) = (find_pod_end(pod), pod.message.clone());
    Some(Cause { mark: kind.clone(), kind, at, message, container: None, life })
}

fn find_waiting(pod: &Pod, fits: impl Fn(&str) -> bool) -> Option<Cause<'_>> {
    // The kubelet goes to and fro between the two.
    let name = |reason: &str| if reason == "ErrImagePull" { "ImagePullBackOff".into() } else { reason.to_owned() };
    let of = |container| waits(container).map(|(reason, message)| (container, name(reason), message.cloned()));
    let (container, kind, message) = pod.containers.iter().filter_map(of).find(|(_, kind, _)| fits(kind))?;
    let mark = format!("{}/{kind}", container.name);
    Some(Cause { kind, mark, at: pod.started.or(pod.created), message, container: Some(container), life: None })
}

/// One failure, however often the container crashes.
fn crash_loop(pod: &Pod) -> Option<Cause<'_>> {
    let (container, message) = pod.containers.iter().find_map(|container| {
        let (_, message) = waits(container).filter(|(reason, _)| *reason == CRASH_LOOP)?;
        Some((container, message))
    })?;
    let end = container.last.as_ref();
    let told = end.and_then(|end| end.message.clone()).or_else(|| message.cloned()).or_else(|| describe(end?));
    Some(Cause {
        kind: CRASH_LOOP.into(),
        mark: format!("{}/{CRASH_LOOP}", container.name),
        at: end.and_then(|end| end.at).or(pod.started).or(pod.created),
        message: told,
        container: Some(container),
        life: end.map(|end| Life { container, end, is_previous: true }),
    })
}

/// Its own time was up, or its Job's, which then ends its pods.
fn out_of_time(pod: &Pod, deadline: Option<Timestamp>) -> Option<Cause<'_>> {
    let ended = find_pod_end(pod);
    let is_own = pod.reason.as_deref() == Some(DEADLINE);
    let is_its_jobs = deadline.zip(ended).is_some_and(|(deadline, ended)| ended >= deadline);
    if !is_own && !is_its_jobs {
        return None;
    }
    let message = pod.message.clone();
    Some(match find_bad_end(pod) {
        Some(life) => {
            let cause = life_cause(pod, life);
            Cause { kind: DEADLINE.into(), message: message.or(cause.message), ..cause }
        }
        None => Cause { kind: DEADLINE.into(), mark: DEADLINE.into(), at: ended, message, container: None, life: None },
    })
}

fn error(pod: &Pod) -> Cause<'_> {
    let Some(life) = find_bad_end(pod) else {
        let (at, message) = (find_pod_end(pod), pod.message.clone());
        return Cause { kind: "Error".into(), mark: "Error".into(), at, message, container: None, life: None };
    };
    // `StartError`, `ContainerCannotRun`, … say more than that it was an error.
    let kind = life.end.reason.clone().filter(|reason| reason != "Completed").unwrap_or_else(|| "Error".into());
    Cause { kind, ..life_cause(pod, life) }
}

/// A pod that has no place, or has one and does not start.
fn pending(pod: &Pod, since: Timestamp) -> Option<Cause<'_>> {
    if pod.phase != Phase::Pending || pod.created.is_none_or(|created| created >= since) {
        return None;
    }
    let said = |(reason, message): (&str, Option<&String>)| match message {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    };
    let message = pod.unscheduled.clone().or_else(|| pod.containers.iter().find_map(waits).map(said));
    let (kind, mark) = ("Pending".into(), "Pending".into());
    Some(Cause { kind, mark, at: pod.created, message, container: None, life: None })
}

/// The first container that ended badly: the others often end because of it.
fn find_bad_end(pod: &Pod) -> Option<Life<'_>> {
    let is_bad = |end: &End| end.exit_code.map_or(end.reason.as_deref() != Some("Completed"), |code| code != 0);
    let bad = || list_lives(pod).filter(|life| is_bad(life.end));
    let first = |life: &Life<'_>| (life.end.at.is_none(), life.end.at);
    bad().filter(|life| !life.is_previous).min_by_key(first).or_else(|| bad().min_by_key(first))
}

fn life_cause<'a>(pod: &Pod, life: Life<'a>) -> Cause<'a> {
    let Life { container, end, .. } = life;
    Cause {
        kind: "Error".into(),
        mark: mark_life(life),
        at: end.at.or_else(|| find_pod_end(pod)),
        message: end.message.clone().or_else(|| describe(end)),
        container: Some(container),
        life: Some(life),
    }
}

fn describe(end: &End) -> Option<String> {
    end.exit_code.map(|code| format!("exit code {code}"))
}

/// A life by the instant of its end: that is the same in `state` and, after the next start, in `lastState`, while the number of
/// restarts is not. Where the cluster does not say when it ended, by its number.
fn mark_life(life: Life<'_>) -> String {
    let Life { container, end, is_previous } = life;
    let name = &container.name;
    if let Some(at) = end.at {
        return format!("{name}/{at}");
    }
    // The kubelet counts a restart when the next life begins, not while the container waits for it.
    let has_begun = is_previous && !matches!(container.state, State::Waiting { .. });
    format!("{name}/{}", container.restarts.saturating_sub(u64::from(has_begun)))
}
