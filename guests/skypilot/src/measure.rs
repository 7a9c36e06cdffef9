//! The numbers: clusters and the rows of the queue in, points and gaps out. (Nearly half of the lines are tests.)

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

/// The series of the clusters.
pub fn measure_clusters(clusters: Result<Vec<Cluster>, Fault>) -> Sheet {
    let mut sheet = Sheet::default();
    match clusters {
        Ok(clusters) => {
            let is_active = |cluster: &&Cluster| matches!(cluster.status.as_str(), "UP" | "AUTOSTOPPING");
            sheet.count("skypilot.clusters.active", clusters.iter().filter(is_active).count());
        }
        Err(fault) => sheet.lost(&["skypilot.clusters.active"], &fault),
    }
    sheet
}

/// The series of the managed jobs; no queue means that there is no jobs controller, and so no job.
pub fn measure_jobs(queue: Result<Option<Queue>, Fault>, now: Timestamp) -> Sheet {
    match queue {
        Ok(Some(queue)) => measure_queue(&queue, now, None),
        Ok(None) => measure_queue(&Queue::default(), now, Some("there is no managed jobs controller")),
        Err(fault) => {
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
    let failed_lately =
        |task: &&Task| task.status.starts_with("FAILED") && task.end_at.is_some_and(|t| t >= week_ago_s);
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
    let mut runtimes_s: Vec<f64> = running.tasks.iter().filter_map(|task| task.job_duration).collect();
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
        Accelerators::Of(kinds) if kinds.is_empty() => task.cluster_resources.is_some() || task.region.is_some(),
        Accelerators::Of(_) | Accelerators::Unreadable(_) => true,
    };
    if !running.tell(tells_gpus) {
        return GPU_SERIES.iter().for_each(|series| sheet.gap(series, left_out("accelerators")));
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
        return SPOT_SERIES.iter().for_each(|series| sheet.gap(series, left_out("cluster_resources")));
    }
    let is_spot = |task: &Task| Some(known(&task.cluster_resources)?.to_ascii_lowercase().contains("spot"));
    sheet.count("skypilot.resources.spot_jobs", running.count(|task| is_spot(task) == Some(true)));
    sheet.count("skypilot.resources.ondemand_jobs", running.count(|task| is_spot(task) == Some(false)));
}

fn put_regions(sheet: &mut Sheet, running: &Rows) {
    if !running.tell(|task| task.region.is_some()) {
        return REGION_SERIES.iter().for_each(|series| sheet.gap(series, left_out("region")));
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
        return sheet.gap("skypilot.users.active_count", left_out("user_hash and user_name"));
    }
    let users: BTreeSet<String> = unfinished.tasks.iter().filter_map(|task| user_of(task)).collect();
    sheet.count("skypilot.users.active_count", users.len());
}

/// The server writes `-` for what it does not know, and `<initializing>` of a cluster that is not ready.
fn known(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|text| !matches!(*text, "" | "-") && !text.starts_with('<'))
}

fn left_out(field: &str) -> String {
    format!("this server lists jobs without {field}")
}

#[cfg(test)]
mod tests {
    use collector_sdk::Reason;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const NOW_S: f64 = 1_761_307_200.0;

    fn queue(rows: &[Value]) -> Queue {
        let row = |(at, row): (usize, &Value)| {
            let mut whole = json!({"job_id": at, "task_id": 0, "status": "RUNNING"});
            whole.as_object_mut().unwrap().extend(row.as_object().unwrap().clone());
            serde_json::from_value(whole).unwrap()
        };
        Queue { counts: None, tasks: rows.iter().enumerate().map(row).collect(), is_list: false }
    }

    fn measured(queue: Queue) -> Sheet {
        measure_jobs(Ok(Some(queue)), "2025-10-24T12:00:00Z".parse().unwrap())
    }

    fn value(sheet: &Sheet, series: &str) -> Option<f64> {
        sheet.points.iter().find(|point| point.series == format!("skypilot.{series}")).map(|point| point.value)
    }

    fn values<const N: usize>(rows: &[Value], series: [&str; N]) -> [Option<f64>; N] {
        let sheet = measured(queue(rows));
        series.map(|series| value(&sheet, series))
    }

    #[test]
    fn a_lost_queue_is_a_gap_for_every_series_of_the_manifest_but_that_of_the_clusters() {
        let sheet = measure_jobs(Err(Fault::new(Reason::Timeout, "late")), Timestamp::UNIX_EPOCH);
        let mut gaps: Vec<&str> = sheet.gaps.iter().map(|gap| gap.series.as_str()).collect();
        let manifest = include_str!("../collector.toml");
        let mut declared: Vec<&str> =
            manifest.lines().filter_map(|line| line.strip_prefix("name = \"skypilot.")?.strip_suffix('"')).collect();
        declared.retain(|series| *series != "clusters.active");
        declared.sort_unstable();
        gaps.sort_unstable();
        assert_eq!(gaps, declared.iter().map(|series| format!("skypilot.{series}")).collect::<Vec<_>>());
    }

    #[test]
    fn a_failure_counts_for_seven_days_after_its_end() {
        let failed = |state: &str, end_at: Value| json!({"status": state, "end_at": end_at});
        let week_ago = NOW_S - 604_800.0;
        let rows = [
            failed("FAILED", json!(week_ago)),
            failed("FAILED_SETUP", json!(week_ago + 0.5)),
            failed("FAILED_NO_RESOURCE", json!(1_761_307_200)),
            failed("FAILED", json!(week_ago - 0.5)),
            failed("FAILED", Value::Null),
            failed("SUCCEEDED", json!(NOW_S)),
        ];
        assert_eq!(values(&rows, ["jobs.failed_7d", "jobs.failed"]), [Some(3.0), Some(5.0)]);
    }

    #[test]
    fn the_rank_of_a_percentile_is_rounded_down() {
        let percentiles = ["jobs.runtime_seconds.p50", "jobs.runtime_seconds.p90", "jobs.runtime_seconds.p99"];
        let rows: Vec<Value> = (1..=10).rev().map(|s| json!({"job_duration": s})).collect();
        assert_eq!(values(&rows, percentiles), [Some(6.0), Some(10.0), Some(10.0)]);
        assert_eq!(values(&[json!({"job_duration": 7.5})], percentiles), [Some(7.5); 3]);
        assert_eq!(values(&[json!({"job_duration": 0}), json!({"job_duration": -3})], percentiles), [None; 3]);
    }

    #[test]
    fn gpus_are_nodes_times_accelerators_by_their_exact_names() {
        let row =
            |cluster: &str, accelerators: Value| json!({"cluster_resources": cluster, "accelerators": accelerators});
        let rows = [
            row("2x(gpus=L4:4, g6.12xlarge, ...)", json!({"L4": 4})),
            row("3x[spot](gpus=A10G:1, ...)", json!("{'A10G': 1}")),
            row("2x AWS(p5.48xlarge, {'H100': 8})", json!({"H100": 8.0})),
            row("1x(gpus=H100-80GB:1)", json!({"H100-80GB": 1})),
            row("1x(gpus=L40S:0.5)", json!({"L40S": 0.5})),
            row("-", json!({"L4": 1})),
            json!({"resources": "5x[A10G:2][Spot]", "accelerators": {"A10G": 2}}),
            row("4x(gpus=Trainium:16)", json!({"Trainium": 16, "Inferentia2": 1, "tpu-v5litepod-8": 1})),
            row("1x(cpus=8)", Value::Null),
            row("9x(cpus=8)", json!({})),
            json!({"status": "WINDING_DOWN", "accelerators": {"H100": 100}}),
        ];
        let series =
            ["l4_count", "a10g_count", "h100_count", "total_count"].map(|kind| format!("resources.gpus.{kind}"));
        let values = values(&rows, [&series[0], &series[1], &series[2], &series[3]].map(String::as_str));
        assert_eq!(values, [Some(9.0), Some(13.0), Some(17.0), Some(39.5)]);
    }

    #[test]
    fn accelerators_that_cannot_be_read_cost_the_gpus_and_nothing_else() {
        for strange in [json!("eight"), json!(8), json!({"H100": "many"}), json!({"H100": -1})] {
            let sheet = measured(queue(&[json!({"accelerators": strange}), json!({"accelerators": {"L4": 1}})]));
            assert_eq!((value(&sheet, "resources.gpus.l4_count"), value(&sheet, "jobs.running")), (None, Some(2.0)));
            assert_eq!(sheet.faults.len(), 1);
        }
    }

    #[test]
    fn what_the_server_does_not_know_is_neither_spot_nor_on_demand_nor_another_region() {
        let row = |cluster: Value, region: Value| json!({"cluster_resources": cluster, "region": region});
        let rows = [
            row(json!("1x[spot](m6i)"), json!("us-east-1")),
            row(json!("1x AWS(m6i[Spot])"), json!("aws-us-west-2-context")),
            row(json!("1x(m6i)"), json!("europe-west4")),
            row(json!("-"), json!("-")),
            row(json!("<initializing>"), Value::Null),
            row(Value::Null, json!(7)),
        ];
        let series = ["resources.spot_jobs", "resources.ondemand_jobs", "regions.us_east_1", "regions.us_west_2"];
        assert_eq!(values(&rows, series), [Some(2.0), Some(1.0), Some(1.0), Some(1.0)]);
        assert_eq!(values(&rows, ["regions.other"]), [Some(1.0)]);
    }

    #[test]
    fn users_are_told_apart_by_id_and_only_unfinished_jobs_count() {
        let row = |state: &str, id: Value, name: &str| json!({"status": state, "user_hash": id, "user_name": name});
        let rows = [
            row("PENDING", json!("a1"), "alex"),
            row("CANCELLING", json!("b2"), "alex"),
            row("RUNNING", json!("a1"), "renamed"),
            row("RECOVERING", Value::Null, "carol"),
            row("FAILED", json!("d4"), "dan"),
            row("CANCELLED", json!("e5"), "eve"),
        ];
        assert_eq!(values(&rows, ["users.active_count"]), [Some(3.0)]);
    }

    #[test]
    fn a_list_without_a_field_makes_gaps_of_what_needs_it() {
        let list = |rows: &[Value]| measured(Queue { is_list: true, ..queue(rows) });
        let bare = json!({"job_duration": 60, "region": null, "accelerators": {}});
        let sheet = list(&[bare, json!({"status": "PENDING"})]);
        assert_eq!((sheet.gaps.len(), sheet.faults.len()), (4 + 2 + 3 + 1 + 2, 0));
        assert_eq!(value(&sheet, "jobs.runtime_seconds.max"), Some(60.0));
        // 0.10.0 knows the cluster and the region, but has no accelerators.
        let sheet = list(&[json!({"region": "us-east-1", "cluster_resources": "1x(m6i)", "user_hash": "a1"})]);
        let series = ["regions.us_east_1", "resources.ondemand_jobs", "resources.gpus.total_count"];
        assert_eq!(series.map(|series| value(&sheet, series)), [Some(1.0), Some(1.0), None]);
        // No accelerators beside a known cluster are none.
        let sheet = list(&[json!({"region": "us-east-1", "accelerators": null})]);
        assert_eq!(value(&sheet, "resources.gpus.total_count"), Some(0.0));
        assert_eq!(list(&[]).points.len(), 29 - 8, "nothing is RUNNING, so there is nothing that it leaves out");
    }

    proptest! {
        #[test]
        fn the_five_states_add_up_to_all_rows(
            counts in prop::collection::btree_map("(FAILED|CANCEL|[A-Z]{1,4})[A-Z_]{0,9}", 0_u64..1 << 40, 0..20)
        ) {
            let rows: u64 = counts.values().sum();
            let sheet = measured(Queue { counts: Some(counts), ..Queue::default() });
            let states = ["queued", "running", "failed", "succeeded", "cancelled"];
            let sum: f64 = states.iter().filter_map(|state| value(&sheet, &format!("jobs.{state}"))).sum();
            prop_assert_eq!(sum, rows as f64);
        }

        #[test]
        fn runtimes_lie_between_their_extremes_and_in_one_bucket_each(
            mut runtimes in prop::collection::vec(-100.0..200_000.0, 0..60)
        ) {
            let of = |runtimes: &[f64]| {
                measured(queue(&runtimes.iter().map(|s| json!({"job_duration": s})).collect::<Vec<_>>()))
            };
            let sheet = of(&runtimes);
            let buckets = ["0_1h", "1_4h", "4_24h", "over_24h"].map(|b| format!("jobs.runtime_buckets.{b}"));
            let in_buckets: f64 = buckets.iter().filter_map(|bucket| value(&sheet, bucket)).sum();
            prop_assert_eq!(in_buckets, runtimes.iter().filter(|s| **s > 0.0).count() as f64);
            let figure = |name: &str| value(&sheet, &format!("jobs.runtime_seconds.{name}"));
            prop_assert!(["min", "p50", "p90", "p99", "max"].map(figure).is_sorted());
            if let (Some(min), Some(avg), Some(max)) = (figure("min"), figure("avg"), figure("max")) {
                prop_assert!(min <= avg + 1e-6 && avg <= max + 1e-6);
            }
            runtimes.reverse();
            prop_assert_eq!(of(&runtimes), sheet, "their order is of no interest");
        }

        #[test]
        fn no_number_of_a_row_is_too_large(numbers in prop::collection::vec(prop::num::f64::NORMAL, 1..9)) {
            let row = |n: &f64| json!({
                "job_duration": n, "end_at": n, "recovery_count": n,
                "cluster_resources": "4000000000x(gpus=H100:8)", "accelerators": {"H100": n.abs()},
            });
            let sheet = measured(queue(&numbers.iter().map(row).collect::<Vec<_>>()));
            prop_assert!(sheet.points.iter().all(|point| point.value.is_finite() && point.value.is_sign_positive()));
            prop_assert_eq!(sheet.points.len() + sheet.gaps.len(), 29);
        }
    }
}
