//! Counting jobs and pods: how many ran, ended, failed, wait, restart.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use collector_sdk::workloads::{Ending, JobRun};

use super::Picture;
use super::causes::{find_oom_kill, find_pod_end, is_crash_looping};
use super::runs::name_run;
use super::tags::{Group, Tags};
use crate::api::Memory;
use crate::api::pods::{Phase, Pod, State};

/// The figures of one group of jobs.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub succeeded_jobs: usize,
    pub failed_jobs: usize,
    pub active_jobs: usize,
    /// In the order of [`Phase::ALL`].
    pub phases: [usize; 5],
    pub succeeded_pods: usize,
    pub failed_pods: usize,
    pub oom_killed_pods: usize,
    pub crash_looping_pods: usize,
    /// In the order of [`CONTAINER_STATES`].
    pub container_states: [usize; 3],
    pub restarts: u64,
    pub cron_jobs: usize,
    pub suspended_cron_jobs: usize,
    /// Of the CronJob that has waited longest.
    pub hours_since_success: Option<f64>,
}

/// Where it stands in [`Phase::ALL`].
pub const PENDING: usize = 0;

/// The values of the tag `container_state`.
pub const CONTAINER_STATES: [&str; 3] = ["waiting", "running", "terminated"];

pub type Table<K> = BTreeMap<K, Counts>;

/// Figures by namespace and CronJob, as the cluster calls them.
type Tally<'a> = HashMap<(&'a str, Option<&'a str>), Counts>;

/// The figures of each group, and the totals of pods.
pub fn count(picture: &Picture<'_>) -> (Table<Group>, Totals) {
    let mut tally = Tally::new();
    let window = picture.window();
    count_runs(&window, &mut tally);
    count_jobs(picture, &mut tally);
    count_cron_jobs(picture, &mut tally);
    let totals = count_pods(picture, &window, &mut tally);
    let mut table = Table::new();
    for ((namespace, schedule), counts) in tally {
        table.entry(Group::new(namespace, schedule)).or_insert_with(Counts::default).join(&counts);
    }
    (table, totals)
}

/// Jobs of each group that there is, by which the budget of tags goes: those that ran in the window and those that run.
pub fn count_all_jobs(table: &Table<Group>, memory: &Memory) -> BTreeMap<Group, usize> {
    let sum = |c: &Counts| c.succeeded_jobs.saturating_add(c.failed_jobs).saturating_add(c.active_jobs);
    let mut jobs: BTreeMap<Group, usize> = table.iter().map(|(group, counts)| (group.clone(), sum(counts))).collect();
    for failure in &memory.failures {
        jobs.entry(Group::new(&failure.project, failure.schedule.as_deref())).or_default();
    }
    jobs
}

/// The figures under each set of tags.
pub fn sum_by_tags(picture: &Picture<'_>) -> Table<Tags> {
    let mut table = Table::new();
    for (group, counts) in &picture.counts {
        table.entry(picture.budget.find_tags(group)).or_insert_with(Counts::default).join(counts);
    }
    table
}

fn count_runs<'a>(window: &[&'a JobRun], tally: &mut Tally<'a>) {
    for run in window {
        let counts = tally.entry((&run.project, run.schedule.as_deref())).or_default();
        match run.ending {
            Ending::Succeeded => add(&mut counts.succeeded_jobs),
            Ending::Failed => add(&mut counts.failed_jobs),
        }
    }
}

fn count_jobs<'a>(picture: &Picture<'a>, tally: &mut Tally<'a>) {
    for job in picture.cluster.jobs.iter().flatten() {
        let counts = tally.entry((&job.id.namespace, job.schedule.as_deref())).or_default();
        if job.is_active {
            add(&mut counts.active_jobs);
        }
    }
}

fn count_cron_jobs<'a>(picture: &Picture<'a>, tally: &mut Tally<'a>) {
    const HOUR_SECONDS: f64 = 3600.0;
    for cron_job in picture.cluster.cron_jobs.iter().flatten() {
        let counts = tally.entry((&cron_job.id.namespace, Some(&cron_job.id.name))).or_default();
        add(&mut counts.cron_jobs);
        if cron_job.is_suspended {
            add(&mut counts.suspended_cron_jobs);
        }
        // One that succeeded while this cycle began succeeded just now.
        let hours = |at| (picture.now.duration_since(at).as_secs_f64() / HOUR_SECONDS).max(0.0);
        counts.hours_since_success = longest(counts.hours_since_success, cron_job.last_success.map(hours));
    }
}

/// Pods that ended in the window, and all that there are now or ended in the window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub succeeded: usize,
    pub failed: usize,
    pub unended: usize,
}

fn count_pods<'a>(picture: &Picture<'a>, window: &[&'a JobRun], tally: &mut Tally<'a>) -> Totals {
    let mut unended = 0;
    // Jobs of which a pod tells how they ended, by the identity of the run or by name.
    let (mut succeeded_jobs, mut failed_jobs) = (HashSet::new(), HashSet::new());
    let (mut failed, mut oom_killed) = (HashSet::new(), HashSet::new());
    for pod in picture.pods() {
        let counts = tally.entry(picture.find_origin(pod)).or_default();
        let run_id = picture.owners.find_run_id(&pod.id.namespace, &pod.job);
        count_state(pod, counts);
        match pod.phase {
            Phase::Succeeded => {
                succeeded_jobs.extend(run_id);
                if picture.is_in_window(find_pod_end(pod)) {
                    add(&mut counts.succeeded_pods);
                }
            }
            Phase::Failed => {
                failed_jobs.extend(run_id.map(Cow::Borrowed));
                if picture.is_in_window(find_pod_end(pod)) && failed.insert(pod.id.uid.as_str()) {
                    add(&mut counts.failed_pods);
                }
            }
            Phase::Pending | Phase::Running | Phase::Unknown => {
                // It may yet show how it ends.
                failed_jobs.extend(run_id.map(Cow::Borrowed));
                add(&mut unended);
            }
        }
        let kill = find_oom_kill(pod);
        if kill.is_some_and(|life| picture.is_in_window(life.end.at)) && oom_killed.insert(pod.id.uid.as_str()) {
            add(&mut counts.oom_killed_pods);
        }
    }
    let there: HashSet<&str> = picture.pods().iter().map(|pod| pod.id.uid.as_str()).collect();
    for failure in picture.memory.failures.iter().filter(|failure| failure.at >= picture.since) {
        let counts = tally.entry((&failure.project, failure.schedule.as_deref())).or_default();
        let pod = failure.id.split('/').next().unwrap_or_default();
        // A pod that did not get on, or that nobody saw, is gone because its Job failed.
        let went_with_its_job = failure.job_ending == Some(Ending::Failed) && !there.contains(pod);
        let is_failed_pod = failure.phase.as_deref() == Some(Phase::Failed.word()) || went_with_its_job;
        if is_failed_pod {
            failed_jobs.extend(failure.run_id.as_deref().map(Cow::Borrowed));
            failed_jobs.insert(name_run(&failure.project, &failure.job).into());
            if failed.insert(pod) {
                add(&mut counts.failed_pods);
            }
        }
        if failure.failure_type == "OOMKilled" && oom_killed.insert(pod) {
            add(&mut counts.oom_killed_pods);
        }
    }
    // Pods go with their Jobs, or before them. How many pods such a Job needed nobody knows: one counts.
    for run in window {
        let counts = tally.entry((&run.project, run.schedule.as_deref())).or_default();
        match run.ending {
            Ending::Succeeded if !succeeded_jobs.contains(run.id.as_str()) => add(&mut counts.succeeded_pods),
            Ending::Failed if !failed_jobs.contains(run.id.as_str()) => add(&mut counts.failed_pods),
            Ending::Succeeded | Ending::Failed => {}
        }
    }
    let sum = |of: fn(&Counts) -> usize| tally.values().fold(0_usize, |sum, counts| sum.saturating_add(of(counts)));
    Totals { succeeded: sum(|counts| counts.succeeded_pods), failed: sum(|counts| counts.failed_pods), unended }
}

/// How a pod and its containers are now.
fn count_state(pod: &Pod, counts: &mut Counts) {
    for (count, phase) in counts.phases.iter_mut().zip(Phase::ALL) {
        if phase == pod.phase {
            add(count);
        }
    }
    if is_crash_looping(pod) {
        add(&mut counts.crash_looping_pods);
    }
    for container in &pod.containers {
        counts.restarts = counts.restarts.saturating_add(container.restarts);
        let [waiting, running, terminated] = &mut counts.container_states;
        match container.state {
            State::Waiting { .. } => add(waiting),
            State::Running => add(running),
            State::Ended(_) => add(terminated),
            State::Unknown => {}
        }
    }
}

impl Counts {
    fn join(&mut self, other: &Counts) {
        let pairs = [
            (&mut self.succeeded_jobs, other.succeeded_jobs),
            (&mut self.failed_jobs, other.failed_jobs),
            (&mut self.active_jobs, other.active_jobs),
            (&mut self.succeeded_pods, other.succeeded_pods),
            (&mut self.failed_pods, other.failed_pods),
            (&mut self.oom_killed_pods, other.oom_killed_pods),
            (&mut self.crash_looping_pods, other.crash_looping_pods),
            (&mut self.cron_jobs, other.cron_jobs),
            (&mut self.suspended_cron_jobs, other.suspended_cron_jobs),
        ];
        let arrays = self.phases.iter_mut().zip(other.phases);
        let arrays = arrays.chain(self.container_states.iter_mut().zip(other.container_states));
        for (own, other) in pairs.into_iter().chain(arrays) {
            *own = own.saturating_add(other);
        }
        self.restarts = self.restarts.saturating_add(other.restarts);
        self.hours_since_success = longest(self.hours_since_success, other.hours_since_success);
    }
}

fn longest(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (one, other) => one.or(other),
    }
}

fn add(count: &mut usize) {
    *count = count.saturating_add(1);
}
