//! Rows that are written down here, and what they amount to.

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
    let manifest = include_str!("../../collector.toml");
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
    let row = |cluster: &str, accelerators: Value| json!({"cluster_resources": cluster, "accelerators": accelerators});
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
    let series = ["l4_count", "a10g_count", "h100_count", "total_count"].map(|kind| format!("resources.gpus.{kind}"));
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
