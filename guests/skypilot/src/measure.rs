//! The numbers: clusters and the rows of the queue in, points and gaps out. Every formula stands here.

use std::collections::{BTreeMap, BTreeSet};

use collector_sdk::{Fault, Sheet, Timestamp};

use crate::api::{Accelerators, Cluster, Queue, Task};

const WEEK_S: f64 = 7.0 * 24.0 * 3600.0;
const HOUR_S: f64 = 3600.0;

const GPU_SERIES: [&str; 4] = [
    "skypilot.resources.gpus.l4_count",
    "skypilot.resources.gpus.a10g_count",
    "skypilot.resources.gpus.h100_count",
    "skypilot.resources.gpus.total_count",
];
const SPOT_SERIES: [&str; 2] = ["skypilot.resources.spot_jobs", "skypilot.resources.ondemand_jobs"];
const REGION_SERIES: [&str; 3] = ["skypilot.regions.us_east_1", "skypilot.regions.us_west_2", "skypilot.regions.other"];
const CLUSTERS: &str = "skypilot.clusters.active";
const USERS: &str = "skypilot.users.active_count";

/// The series of the clusters.
pub fn measure_clusters(clusters: Result<Vec<Cluster>, Fault>) -> Sheet {
    let mut sheet = Sheet::default();
    match clusters {
        Ok(clusters) => {
            let is_active = |cluster: &&Cluster| matches!(cluster.status.as_str(), "UP" | "AUTOSTOPPING");
            sheet.count(CLUSTERS, clusters.iter().filter(is_active).count());
        }
        Err(fault) => sheet.lost(&[CLUSTERS], &fault),
    }
    sheet
}

/// The series of the managed jobs; no queue means that there is no jobs controller, and so no job.
pub fn measure_jobs(queue: Result<Option<Queue>, Fault>, now: Timestamp) -> Sheet {
    match queue {
        Ok(Some(queue)) => measure_queue(&queue, now, None),
        Ok(None) => measure_queue(&Queue::default(), now, Some("there is no managed jobs controller")),
        Err(fault) => {
            // A measured queue, if only an empty one, names every series.
            let every = measure_queue(&Queue::default(), now, None);
            let points = every.points.iter().map(|point| point.series.as_str());
            let series: Vec<&str> = points.chain(every.gaps.iter().map(|gap| gap.series.as_str())).collect();
            let mut sheet = Sheet::default();
            sheet.lost(&series, &fault);
            sheet
        }
    }
}

/// `why_none` says, where it is known, why there is nothing to make a mean of.
fn measure_queue(queue: &Queue, now: Timestamp, why_none: Option<&str>) -> Sheet {
    let mut sheet = Sheet::default();
    // Exactly RUNNING: a job that winds down counts as running, but no longer computes.
    let running = Rows::of(queue, |state| state == "RUNNING");
    let unfinished = Rows::of(queue, |state| !is_final(state));
    put_states(&mut sheet, queue);
    let week_ago_s = now.as_duration().as_secs_f64() - WEEK_S;
    let failed_lately = |task: &&Task| {
        task.status.starts_with("FAILED") && task.ended_at_s.is_some_and(|ended_at_s| ended_at_s >= week_ago_s)
    };
    sheet.count("skypilot.jobs.failed_7d", queue.tasks.iter().filter(failed_lately).count());
    put_runtimes(&mut sheet, &running, why_none.unwrap_or("no RUNNING job has a runtime above 0"));
    put_recoveries(&mut sheet, &running, why_none.unwrap_or("no RUNNING job was recovered"));
    put_gpus(&mut sheet, &running);
    put_spot(&mut sheet, &running);
    put_regions(&mut sheet, &running);
    put_users(&mut sheet, &unfinished);
    sheet
}

/// Some rows of the queue.
struct Rows<'a> {
    tasks: Vec<&'a Task>,
    is_list: bool,
}

impl<'a> Rows<'a> {
    fn of(queue: &'a Queue, is_meant: impl Fn(&str) -> bool) -> Rows<'a> {
        Rows { tasks: queue.tasks.iter().filter(|task| is_meant(&task.status)).collect(), is_list: queue.is_list }
    }

    /// Whether a field is available to make figures of. The list form leaves out what that server does not fill in, so
    /// there a field that no row has is not available. In the other form its absence is an answer.
    fn tell(&self, has_field: impl Fn(&Task) -> bool) -> bool {
        !self.is_list || self.tasks.is_empty() || self.tasks.iter().any(|task| has_field(task))
    }

    fn count(&self, is_meant: impl Fn(&Task) -> bool) -> usize {
        self.tasks.iter().filter(|task| is_meant(task)).count()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bucket {
    Queued,
    Running,
    Failed,
    Succeeded,
    Cancelled,
}

/// Every state has a bucket, those of releases to come too, so that the five add up to all rows.
fn bucket_of(state: &str) -> Bucket {
    match state {
        "RUNNING" | "WINDING_DOWN" => Bucket::Running,
        "SUCCEEDED" => Bucket::Succeeded,
        state if state.starts_with("FAILED") => Bucket::Failed,
        state if state.starts_with("CANCEL") => Bucket::Cancelled,
        _ => Bucket::Queued,
    }
}

fn is_final(state: &str) -> bool {
    state == "SUCCEEDED" || state.starts_with("FAILED") || state.starts_with("CANCELLED")
}

fn put_states(sheet: &mut Sheet, queue: &Queue) {
    let count = |bucket| match &queue.counts {
        Some(counts) => {
            let counts = counts.iter().filter(|(state, _)| bucket_of(state) == bucket).map(|(_, rows)| *rows);
            counts.fold(0, u64::saturating_add) as f64
        }
        None => queue.tasks.iter().filter(|task| bucket_of(&task.status) == bucket).count() as f64,
    };
    sheet.put("skypilot.jobs.queued", count(Bucket::Queued));
    sheet.put("skypilot.jobs.running", count(Bucket::Running));
    sheet.put("skypilot.jobs.failed", count(Bucket::Failed));
    sheet.put("skypilot.jobs.succeeded", count(Bucket::Succeeded));
    sheet.put("skypilot.jobs.cancelled", count(Bucket::Cancelled));
}

fn put_runtimes(sheet: &mut Sheet, running: &Rows, why_none: &str) {
    let mut runtimes_s: Vec<f64> = running.tasks.iter().filter_map(|task| task.runtime_s).collect();
    runtimes_s.retain(|seconds| *seconds > 0.0);
    runtimes_s.sort_by(f64::total_cmp);
    let n = runtimes_s.len();
    // The rank is rounded down, as the tables of the replaced system have it.
    let percentile = |percent: usize| runtimes_s.get((n * percent / 100).min(n.saturating_sub(1))).copied();
    for (series, value) in [
        ("skypilot.jobs.runtime_seconds.min", runtimes_s.first().copied()),
        ("skypilot.jobs.runtime_seconds.max", runtimes_s.last().copied()),
        ("skypilot.jobs.runtime_seconds.avg", mean(&runtimes_s)),
        ("skypilot.jobs.runtime_seconds.p50", percentile(50)),
        ("skypilot.jobs.runtime_seconds.p90", percentile(90)),
        ("skypilot.jobs.runtime_seconds.p99", percentile(99)),
    ] {
        sheet.put_or_gap(series, value, why_none);
    }
    for (series, from_h, to_h) in [
        ("skypilot.jobs.runtime_buckets.0_1h", 0.0, 1.0),
        ("skypilot.jobs.runtime_buckets.1_4h", 1.0, 4.0),
        ("skypilot.jobs.runtime_buckets.4_24h", 4.0, 24.0),
        ("skypilot.jobs.runtime_buckets.over_24h", 24.0, f64::INFINITY),
    ] {
        let is_inside = |seconds: &&f64| (from_h..to_h).contains(&(**seconds / HOUR_S));
        sheet.count(series, runtimes_s.iter().filter(is_inside).count());
    }
}

fn put_recoveries(sheet: &mut Sheet, running: &Rows, why_none: &str) {
    let mut recoveries: Vec<f64> = running.tasks.iter().filter_map(|task| task.recovery_count).collect();
    recoveries.retain(|recoveries| *recoveries > 0.0);
    sheet.count("skypilot.jobs.with_recoveries", recoveries.len());
    sheet.put_or_gap("skypilot.jobs.recovery_count.avg", mean(&recoveries), why_none);
    let most = recoveries.iter().copied().max_by(f64::total_cmp);
    sheet.put_or_gap("skypilot.jobs.recovery_count.max", most, why_none);
}

/// None of nothing, and of what adds up to no finite number.
fn mean(values: &[f64]) -> Option<f64> {
    Some(values.iter().sum::<f64>() / values.len() as f64).filter(|mean| mean.is_finite())
}

fn put_gpus(sheet: &mut Sheet, running: &Rows) {
    let tells_gpus = |task: &Task| match &task.accelerators {
        Accelerators::Missing => false,
        // Some lists say so of every row, where they say nothing of the cluster either.
        Accelerators::None => task.cluster_resources.is_some() || task.region.is_some(),
        Accelerators::Of(_) | Accelerators::Unreadable(_) => true,
    };
    if !running.tell(tells_gpus) {
        return put_left_out(sheet, &GPU_SERIES, "accelerators");
    }
    let mut gpus: BTreeMap<&str, f64> = BTreeMap::new();
    for task in &running.tasks {
        match &task.accelerators {
            Accelerators::Missing | Accelerators::None => {}
            Accelerators::Of(kinds) => {
                for (kind, count) in kinds {
                    *gpus.entry(kind).or_default() += nodes_of(task) * count;
                }
            }
            Accelerators::Unreadable(text) => {
                let message = format!("skypilot job {}: accelerators cannot be read: {text}", task.job_id);
                return sheet.lost(&GPU_SERIES, &Fault::bad_answer(message));
            }
        }
    }
    let kinds: [fn(&str) -> bool; 4] =
        [|kind| kind == "L4", |kind| kind == "A10G", |kind| kind.starts_with("H100"), is_gpu];
    for (series, is_meant) in GPU_SERIES.into_iter().zip(kinds) {
        // Not `sum`, which makes -0 of nothing.
        let sum = gpus.iter().filter(|(kind, _)| is_meant(kind)).fold(0.0, |sum, (_, count)| sum + count);
        let sum = Some(sum).filter(|sum: &f64| sum.is_finite());
        sheet.put_or_gap(series, sum, "the GPUs add up to no finite number");
    }
}

fn is_gpu(accelerator: &str) -> bool {
    let name = accelerator.to_ascii_lowercase();
    !["trainium", "inferentia", "tpu"].iter().any(|other| name.starts_with(other))
}

/// Both texts begin with the number of nodes: `2x(gpus=H100:8, …)`, `2x[H100:8]`.
fn nodes_of(task: &Task) -> f64 {
    let nodes_in = |text: &String| text.split_once('x')?.0.trim().parse::<u32>().ok().filter(|nodes| *nodes > 0);
    let texts = [&task.cluster_resources, &task.resources];
    texts.into_iter().flatten().find_map(nodes_in).map_or(1.0, f64::from)
}

fn put_spot(sheet: &mut Sheet, running: &Rows) {
    if !running.tell(|task| task.cluster_resources.is_some()) {
        return put_left_out(sheet, &SPOT_SERIES, "cluster_resources");
    }
    let is_spot = |task: &Task| Some(known(&task.cluster_resources)?.to_ascii_lowercase().contains("spot"));
    sheet.count("skypilot.resources.spot_jobs", running.count(|task| is_spot(task) == Some(true)));
    sheet.count("skypilot.resources.ondemand_jobs", running.count(|task| is_spot(task) == Some(false)));
}

fn put_regions(sheet: &mut Sheet, running: &Rows) {
    if !running.tell(|task| task.region.is_some()) {
        return put_left_out(sheet, &REGION_SERIES, "region");
    }
    let is_in = |task: &Task, part: &str| known(&task.region).is_some_and(|region| region.contains(part));
    let is_named = |task: &Task| is_in(task, "us-east-1") || is_in(task, "us-west-2");
    sheet.count("skypilot.regions.us_east_1", running.count(|task| is_in(task, "us-east-1")));
    sheet.count("skypilot.regions.us_west_2", running.count(|task| is_in(task, "us-west-2")));
    sheet.count("skypilot.regions.other", running.count(|task| known(&task.region).is_some() && !is_named(task)));
}

fn put_users(sheet: &mut Sheet, unfinished: &Rows) {
    // Two users may share a name, so it stands in only where there is no id.
    let user_of = |task: &Task| task.user_hash.clone().or_else(|| task.user_name.clone());
    if !unfinished.tell(|task| user_of(task).is_some()) {
        return put_left_out(sheet, &[USERS], "user_hash and user_name");
    }
    let users: BTreeSet<String> = unfinished.tasks.iter().filter_map(|task| user_of(task)).collect();
    sheet.count(USERS, users.len());
}

/// The server writes `-` for what it does not know, and `<initializing>` of a cluster that is not ready.
fn known(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !matches!(*text, "" | "-") && !text.starts_with('<'))
}

/// Gaps for what needs a field that this server's list leaves out.
fn put_left_out(sheet: &mut Sheet, series: &[&str], field: &str) {
    for name in series {
        sheet.gap(name, format!("this server lists jobs without {field}"));
    }
}

#[cfg(test)]
mod tests;
