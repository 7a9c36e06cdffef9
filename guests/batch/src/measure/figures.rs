//! Figures of jobs and pods as points and gaps.

use collector_sdk::{Sheet, log};

use super::Picture;
use super::counts::{CONTAINER_STATES, Counts, PENDING, Table, Totals, sum_by_tags};
use super::tags::Tags;
use crate::api::Cluster;
use crate::api::pods::Phase;

const RUN: &str = "batch.jobs.run_24h";
const SUCCEEDED: &str = "batch.jobs.succeeded_24h";
const FAILED: &str = "batch.jobs.failed_24h";
const ACTIVE: &str = "batch.jobs.active";
const PHASES: &str = "batch.pods.count";
const CONTAINERS: &str = "batch.containers.count";
const SUCCESS_RATE: &str = "batch.success_rate_pct";
const FAILURE_RATE: &str = "batch.failure_rate_pct";
const SUSPENDED: &str = "batch.cronjobs.suspended";
const SINCE_SUCCESS: &str = "batch.cronjobs.hours_since_success";

type Figure = (&'static str, fn(&Counts) -> f64);

/// The series of pods that ended, which went with their Jobs where these are gone.
const OF_ENDED_PODS: [Figure; 2] = [
    ("batch.pods.succeeded_24h", |counts| as_value(counts.succeeded_pods)),
    ("batch.pods.failed_24h", |counts| as_value(counts.failed_pods)),
];

/// The series of pods that are there.
const OF_PODS: [Figure; 4] = [
    ("batch.pods.pending", |counts| as_value(counts.phases[PENDING])),
    ("batch.pods.oomkilled_24h", |counts| as_value(counts.oom_killed_pods)),
    ("batch.pods.crash_looping", |counts| as_value(counts.crash_looping_pods)),
    ("batch.containers.restarts", |counts| as_float(counts.restarts)),
];

/// A point or a gap for every series but those of usage.
pub fn measure_counts(picture: &Picture<'_>) -> Sheet {
    let mut table = sum_by_tags(picture);
    if picture.budget.folded > 0 {
        let folded = picture.budget.folded;
        log::warn(format!("{folded} CronJobs beyond max_cronjobs are summed under kube_cronjob:other"));
    }

    let mut sheet = Sheet::default();
    say_jobs(&mut sheet, picture, &table);
    say_pods(&mut sheet, picture, &table);
    say_ended_pods(&mut sheet, picture, &table);
    match &picture.cluster.cron_jobs {
        Ok(_) => {
            table.retain(|_, counts| counts.cron_jobs > 0);
            say_cron_jobs(&mut sheet, &table);
        }
        Err(fault) => sheet.lost(&[SUSPENDED, SINCE_SUCCESS], fault),
    }
    sheet
}

/// A job that ended and is gone may be known by its events alone: without events, figures of the window could lack some.
fn say_jobs(sheet: &mut Sheet, picture: &Picture<'_>, table: &Table<Tags>) {
    match (&picture.cluster.jobs, &picture.events) {
        (Err(fault), _) => sheet.lost(&[RUN, SUCCEEDED, FAILED, ACTIVE], fault),
        (Ok(_), Err(fault)) => {
            sheet.lost(&[RUN, SUCCEEDED, FAILED], fault);
            say(sheet, ACTIVE, table, |counts| as_value(counts.active_jobs));
        }
        (Ok(_), Ok(_)) => {
            say(sheet, RUN, table, |counts| as_value(counts.succeeded_jobs.saturating_add(counts.failed_jobs)));
            say(sheet, SUCCEEDED, table, |counts| as_value(counts.succeeded_jobs));
            say(sheet, FAILED, table, |counts| as_value(counts.failed_jobs));
            say(sheet, ACTIVE, table, |counts| as_value(counts.active_jobs));
        }
    }
}

fn say_pods(sheet: &mut Sheet, picture: &Picture<'_>, table: &Table<Tags>) {
    if let Err(fault) = &picture.cluster.pods {
        let series = OF_PODS.map(|(series, _)| series);
        sheet.lost(&[&series[..], &[PHASES, CONTAINERS]].concat(), fault);
        return;
    }
    for (series, value) in OF_PODS {
        say(sheet, series, table, value);
    }
    let phases = Phase::ALL.map(|phase| format!("pod_phase:{}", phase.word().to_lowercase()));
    let states = CONTAINER_STATES.map(|state| format!("container_state:{state}"));
    say_split(sheet, PHASES, table, &phases, |counts| &counts.phases);
    say_split(sheet, CONTAINERS, table, &states, |counts| &counts.container_states);
}

/// Where Jobs or events are missing, nobody knows of the pods that went with a Job.
fn say_ended_pods(sheet: &mut Sheet, picture: &Picture<'_>, table: &Table<Tags>) {
    let Cluster { pods, jobs, .. } = picture.cluster;
    let faults = [pods.as_ref().err(), jobs.as_ref().err(), picture.events.as_ref().err()];
    if let Some(fault) = faults.into_iter().flatten().next() {
        let series = OF_ENDED_PODS.map(|(series, _)| series);
        sheet.lost(&[&series[..], &[SUCCESS_RATE, FAILURE_RATE]].concat(), fault);
        return;
    }
    for (series, value) in OF_ENDED_PODS {
        say(sheet, series, table, value);
    }
    let Totals { succeeded, failed, unended } = picture.totals;
    let all = succeeded.saturating_add(failed).saturating_add(unended);
    let share = |part: usize| (all > 0).then(|| 100.0 * as_value(part) / as_value(all));
    sheet.put_or_gap(SUCCESS_RATE, share(succeeded), "there is no pod of a Job, and none ended in the window");
    sheet.put_or_gap(FAILURE_RATE, share(failed), "there is no pod of a Job, and none ended in the window");
}

fn say_cron_jobs(sheet: &mut Sheet, table: &Table<Tags>) {
    say(sheet, SUSPENDED, table, |counts| as_value(counts.suspended_cron_jobs));
    let waiting: Vec<_> = table.iter().filter_map(|(tags, counts)| Some((tags, counts.hours_since_success?))).collect();
    for (tags, hours) in &waiting {
        sheet.put_tagged(SINCE_SUCCESS, *hours, tags.list());
    }
    if waiting.is_empty() {
        sheet.gap(SINCE_SUCCESS, "no CronJob has succeeded yet");
    }
}

/// One point for each group; where there is none, a 0 without tags: nothing ran.
fn say(sheet: &mut Sheet, series: &str, table: &Table<Tags>, value: fn(&Counts) -> f64) {
    for (tags, counts) in table {
        sheet.put_tagged(series, value(counts), tags.list());
    }
    if table.is_empty() {
        sheet.put(series, 0.0);
    }
}

/// One point for each group and each of the further tags.
fn say_split(sheet: &mut Sheet, series: &str, table: &Table<Tags>, further: &[String], of: fn(&Counts) -> &[usize]) {
    for (tags, counts) in table {
        for (tag, count) in further.iter().zip(of(counts)) {
            let tags = tags.list().into_iter().chain([tag.clone()]).collect();
            sheet.put_tagged(series, as_value(*count), tags);
        }
    }
    if table.is_empty() {
        sheet.put(series, 0.0);
    }
}

fn as_value(count: usize) -> f64 {
    as_float(u64::try_from(count).unwrap_or(u64::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "no cluster counts to 2^53")]
fn as_float(count: u64) -> f64 {
    count as f64
}
