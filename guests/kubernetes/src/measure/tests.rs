//! A test for each rule of the formulas.

use collector_sdk::Reason;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

const DAY_START: &str = "2025-10-23T12:00:00Z";
const IN_THE_DAY: &str = "2025-10-23T12:00:00.001Z";

fn now() -> Timestamp {
    "2025-10-24T12:00:00Z".parse().unwrap()
}

fn read<T: DeserializeOwned>(json: &Value) -> T {
    serde_json::from_str(&json.to_string()).unwrap()
}

fn pod(name: &str, phase: &str, spec: Value) -> Value {
    json!({"metadata": {"namespace": "ns", "name": name}, "spec": spec, "status": {"phase": phase}})
}

fn container(cpu: &str, memory: &str) -> Value {
    json!({"resources": {"requests": {"cpu": cpu, "memory": memory}}})
}

fn sidecar(cpu: &str, memory: &str) -> Value {
    json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": cpu, "memory": memory}}})
}

fn usage(name: &str, cpu: &str, memory: &str) -> Value {
    json!({"metadata": {"namespace": "ns", "name": name}, "containers": [{"usage": {"cpu": cpu, "memory": memory}}]})
}

fn value(sheet: &Sheet, series: &str) -> Option<f64> {
    sheet.points.iter().find(|point| point.series == format!("k8s.{series}")).map(|point| point.value)
}

/// The value of a health series for one pod with these containers.
fn health(series: &str, statuses: Value) -> f64 {
    let pod = read(&json!({"status": {"phase": "Running", "containerStatuses": statuses}}));
    value(&measure_health(&Ok(vec![pod]), now()), &format!("pods.{series}")).unwrap()
}

fn resources(pods: &[Value], usages: &[Value]) -> Sheet {
    measure_resources(&Ok(pods.iter().map(read).collect()), &Ok(usages.iter().map(read).collect()))
}

/// Requested CPU and memory of a pod, in millicores and MiB.
fn reserved(spec: Value) -> [i128; 2] {
    let pod: Pod = read(&pod("p", "Running", spec));
    let of = |resource, unit| find_reserved(&pod, resource).unwrap() / unit;
    [of(Resource::Cpu, MILLICORE_NANOS), of(Resource::Memory, MIB_NANOS)]
}

#[test]
fn lost_lists_are_a_gap_for_every_series_of_the_manifest_and_nothing_is_said_twice() {
    let (pods, usages) = (Err(Fault::new(Reason::Timeout, "late")), Err(Fault::new(Reason::NotFound, "none")));
    let sheets = [
        measure_health(&pods, now()),
        measure_usage(&usages),
        measure_deployments(&Err(Fault::new(Reason::Unauthorized, "no right"))),
        measure_resources(&pods, &usages),
    ];
    let mut gaps: Vec<&str> = sheets.iter().flat_map(|sheet| &sheet.gaps).map(|gap| gap.series.as_str()).collect();
    let manifest = include_str!("../../collector.toml");
    let names = manifest.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    let mut declared: Vec<&str> = names.filter(|name| name.starts_with("k8s.")).collect();
    declared.sort_unstable();
    gaps.sort_unstable();
    assert_eq!(gaps, declared);
    assert_eq!(sheets.map(|sheet| sheet.faults.len()), [1, 1, 1, 0]);
}

#[test]
fn an_empty_cluster_has_counts_of_zero_and_no_efficiency() {
    let sheet = resources(&[], &[]);
    let waste = ["resources.cpu_waste_cores", "resources.memory_waste_gb", "resources.overallocated_pods"];
    assert_eq!(waste.map(|series| value(&sheet, series)), [Some(0.0); 3]);
    let gaps: Vec<&str> = sheet.gaps.iter().map(|gap| gap.series.as_str()).collect();
    assert_eq!((gaps, sheet.faults), (vec![CPU[1], MEMORY[1]], vec![]));
}

#[test]
fn an_oom_kill_counts_once_for_each_container_wherever_its_reason_stands() {
    let kill = |at: &str| json!({"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": at}});
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    for (statuses, kills) in [
        (json!([{"state": kill(IN_THE_DAY)}]), 1.0),
        (json!([{"state": waiting, "lastState": kill(IN_THE_DAY)}]), 1.0),
        (json!([{"state": kill(IN_THE_DAY), "lastState": kill(IN_THE_DAY)}]), 1.0),
        (json!([{"state": {"running": {}}, "lastState": kill(IN_THE_DAY)}, {"state": kill(IN_THE_DAY)}]), 2.0),
        (json!([{"lastState": kill("2025-10-24T12:00:05Z")}]), 1.0),
        (json!([{"lastState": kill(DAY_START)}]), 0.0),
        (json!([{"state": kill(DAY_START), "lastState": kill(IN_THE_DAY)}]), 1.0),
        (json!([{"lastState": {"terminated": {"reason": "Error", "exitCode": 137, "finishedAt": IN_THE_DAY}}}]), 0.0),
        (json!([{"lastState": {"terminated": {"reason": "OOMKilled", "finishedAt": null}}}]), 0.0),
    ] {
        assert_eq!(health("oomkilled_24h", statuses.clone()).to_bits(), f64::to_bits(kills), "{statuses}");
    }
}

#[test]
fn only_more_than_five_restarts_are_many() {
    let statuses = json!([{"restartCount": 5}, {"restartCount": 6}, {"restartCount": 4_000_000_000_u32}, {}]);
    assert_eq!(health("high_restarts", statuses).to_bits(), 2_f64.to_bits());
}

#[test]
fn exactly_these_reasons_are_image_errors() {
    let waiting = |reason: &str| json!({"state": {"waiting": {"reason": reason}}});
    let statuses = IMAGE_ERRORS.map(waiting);
    assert_eq!(health("image_pull_errors", json!(statuses)).to_bits(), 6_f64.to_bits());
    let others = [
        "ContainerCreating",
        "PodInitializing",
        "CreateContainerConfigError",
        "CrashLoopBackOff",
        "imagepullbackoff",
        "",
    ];
    assert_eq!(health("image_pull_errors", json!(others.map(waiting))).to_bits(), 0_f64.to_bits());
    let ended =
        json!([{"lastState": waiting("ErrImagePull")["state"], "state": {"terminated": {"reason": "ErrImagePull"}}}]);
    assert_eq!(health("image_pull_errors", ended).to_bits(), 0_f64.to_bits());
}

#[test]
fn init_containers_and_sidecars_count_and_ephemeral_containers_do_not() {
    let waiting = json!([{"restartCount": 9, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]);
    let pod = read(&json!({"status": {"phase": "Pending", "containerStatuses": null,
        "initContainerStatuses": waiting, "ephemeralContainerStatuses": waiting}}));
    let sheet = measure_health(&Ok(vec![pod]), now());
    let series = ["pods.crash_looping", "pods.high_restarts", "pods.pending"];
    assert_eq!(series.map(|series| value(&sheet, series)), [Some(1.0); 3]);
}

#[test]
fn the_scheduler_reserves_the_most_that_a_pod_needs_at_once() {
    let apps = json!([container("100m", "100Mi"), container("200m", "300Mi"), {}]);
    for (why, spec, expected) in [
        ("app containers add up", json!({"containers": apps}), [300, 400]),
        (
            "a small init container costs nothing",
            json!({"containers": apps, "initContainers": [container("300m", "400Mi")]}),
            [300, 400],
        ),
        (
            "each resource for itself",
            json!({"containers": apps, "initContainers": [container("1", "1Mi")]}),
            [1000, 400],
        ),
        (
            "init containers run one after the other",
            json!({"containers": apps, "initContainers": [container("350m", "0"), container("360m", "0")]}),
            [360, 400],
        ),
        (
            "sidecars run beside the app",
            json!({"containers": apps, "initContainers": [sidecar("50m", "64Mi")]}),
            [350, 464],
        ),
        (
            "and beside later init containers",
            json!({"containers": apps, "initContainers": [sidecar("50m", "64Mi"), container("1", "1Gi")]}),
            [1050, 1088],
        ),
        (
            "but not beside earlier ones",
            json!({"containers": apps, "initContainers": [container("1", "1Gi"), sidecar("50m", "64Mi")]}),
            [1000, 1024],
        ),
        (
            "overhead comes on top",
            json!({"containers": apps, "initContainers": [container("1", "1Gi")], "overhead": {"cpu": "250m", "memory": "120Mi"}}),
            [1250, 1144],
        ),
        (
            "the pod's own requests replace them",
            json!({"containers": apps, "resources": {"requests": {"cpu": "2"}}, "overhead": {"cpu": "250m"}}),
            [2250, 400],
        ),
        (
            "limits are no requests",
            json!({"containers": [{"resources": {"limits": {"cpu": "8"}, "requests": null}}]}),
            [0, 0],
        ),
        (
            "another policy makes no sidecar",
            json!({"initContainers": [{"restartPolicy": "OnFailure", "resources": {"requests": {"cpu": "1"}}}], "containers": apps}),
            [1000, 400],
        ),
        (
            "nothing is nothing",
            json!({"containers": null, "initContainers": null, "overhead": null, "resources": null}),
            [0, 0],
        ),
    ] {
        assert_eq!(reserved(spec), expected, "{why}");
    }
}

#[test]
fn waste_counts_pending_pods_in_full_and_only_usage_of_pods_that_reserve_something() {
    let spec = json!({"containers": [container("1", "1Gi")]});
    let pods = ["Running", "Pending", "Succeeded", "Failed", "Unknown"].map(|phase| pod(phase, phase, spec.clone()));
    let usages = ["Running", "Succeeded", "Failed", "Unknown", "gone"].map(|name| usage(name, "500m", "256Mi"));
    let sheet = resources(&pods, &usages);
    let series = ["cpu_waste_cores", "memory_waste_gb", "cpu_efficiency_pct", "memory_efficiency_pct"];
    let values = series.map(|series| value(&sheet, &format!("resources.{series}")));
    assert_eq!(values, [Some(1.5), Some(1.75), Some(25.0), Some(12.5)]);
}

#[test]
fn usage_above_the_requests_is_no_negative_waste() {
    let sheet =
        resources(&[pod("a", "Running", json!({"containers": [container("1", "1Gi")]}))], &[usage("a", "3", "2Gi")]);
    let series = ["cpu_waste_cores", "memory_waste_gb", "cpu_efficiency_pct", "memory_efficiency_pct"];
    let values = series.map(|series| value(&sheet, &format!("resources.{series}")));
    assert_eq!(values, [Some(0.0), Some(0.0), Some(300.0), Some(200.0)]);
}

#[test]
fn a_pod_is_overallocated_that_uses_less_than_a_fifth_of_one_of_its_requests() {
    for (request, used, count) in [
        (("1", "1Gi"), Some(("199999999n", "512Mi")), 1.0),
        (("1", "1Gi"), Some(("200m", "512Mi")), 0.0),
        (("1", "10Mi"), Some(("900m", "2047Ki")), 1.0),
        (("1", "10Mi"), Some(("900m", "2Mi")), 0.0),
        (("1", "1Gi"), Some(("1m", "1Mi")), 1.0),
        (("0", "1Gi"), Some(("1m", "1Mi")), 1.0),
        (("0", "0"), Some(("0", "0")), 0.0),
        (("1", "1Gi"), None, 0.0),
    ] {
        let pods = [pod("a", "Running", json!({"containers": [container(request.0, request.1)]}))];
        let usages: Vec<Value> = used.iter().map(|(cpu, memory)| usage("a", cpu, memory)).collect();
        let overallocated = value(&resources(&pods, &usages), "resources.overallocated_pods");
        assert_eq!(overallocated, Some(count), "{request:?} {used:?}");
    }
}

#[test]
fn a_usage_is_low_strictly_below_the_threshold_and_summed_over_the_containers() {
    for (containers, low) in [
        (json!([{"usage": {"cpu": "999999n", "memory": "10239Ki"}}]), [1.0, 1.0, 1.0]),
        (json!([{"usage": {"cpu": "1m", "memory": "1Mi"}}]), [0.0, 1.0, 1.0]),
        (json!([{"usage": {"cpu": "0", "memory": "10Mi"}}]), [0.0, 1.0, 1.0]),
        (json!([{"usage": {"cpu": "10m", "memory": "51199Ki"}}]), [0.0, 0.0, 1.0]),
        (json!([{"usage": {"cpu": "9999u", "memory": "50Mi"}}]), [0.0, 1.0, 0.0]),
        (
            json!([{"usage": {"cpu": "6m", "memory": "30Mi"}}, {"usage": {"cpu": "4m", "memory": "20Mi"}}]),
            [0.0, 0.0, 0.0],
        ),
        (json!([{"usage": {"cpu": 0, "memory": 1048576}}]), [1.0, 1.0, 1.0]),
    ] {
        let usages = Ok(vec![read(&json!({"metadata": {"name": "a"}, "containers": containers}))]);
        let sheet = measure_usage(&usages);
        let series = ["pods.idle_count", "pods.low_cpu_usage", "pods.low_memory_usage"];
        assert_eq!(series.map(|series| value(&sheet, series)), low.map(Some), "{containers}");
    }
}

#[test]
fn a_quantity_that_cannot_be_read_costs_the_figures_that_need_it_and_names_its_pod() {
    for strange in ["1Q", "-1", "", "many"] {
        let pods =
            [pod("a", "Running", json!({"containers": [container(strange, "1Gi")]})), pod("b", "Running", json!({}))];
        let sheet = resources(&pods, &[usage("a", "1m", "512Mi")]);
        let gaps: Vec<&str> = sheet.gaps.iter().map(|gap| gap.series.as_str()).collect();
        assert_eq!(
            (gaps, value(&sheet, "resources.memory_waste_gb")),
            (vec![CPU[0], CPU[1], OVERALLOCATED], Some(0.5))
        );
        assert_eq!(sheet.faults[0].message, format!("pod ns/a requests cpu of {strange:?}, which cannot be read"));

        let sheet = measure_usage(&Ok(vec![read(&usage("a", "1m", strange)), read(&usage("b", "1m", "1Mi"))]));
        let gaps: Vec<&str> = sheet.gaps.iter().map(|gap| gap.series.as_str()).collect();
        assert_eq!((gaps, value(&sheet, "pods.low_cpu_usage")), (vec![LOW_MEMORY, IDLE], Some(2.0)));
        assert_eq!(sheet.faults[0].message, format!("pod ns/a uses memory of {strange:?}, which cannot be read"));
    }
    let of_a_finished_pod = [pod("a", "Succeeded", json!({"containers": [container("1Q", "1Q")]}))];
    assert_eq!(resources(&of_a_finished_pod, &[]).faults, []);
}

#[test]
fn only_a_deployment_with_zero_replicas_is_scaled_to_zero() {
    let deployments =
        [json!({"spec": {"replicas": 0}}), json!({"spec": {"replicas": 1}}), json!({"spec": {}}), json!({})];
    let statuses = json!({"spec": {"replicas": 2}, "status": {"replicas": 0, "availableReplicas": 0}});
    let all = deployments.iter().chain([&statuses]).map(read).collect();
    assert_eq!(value(&measure_deployments(&Ok(all)), "deployments.zero_replicas"), Some(1.0));
}

prop_compose! {
    fn any_container()(cpu in 0_i128..5000, memory in 0_i128..5000, is_sidecar: bool) -> (i128, i128, bool) {
        (cpu, memory, is_sidecar)
    }
}

fn spec_of(apps: &[(i128, i128, bool)], inits: &[(i128, i128, bool)]) -> Value {
    let quantities = |cpu: i128, memory: i128| (format!("{cpu}m"), format!("{memory}Mi"));
    let app = |(cpu, memory, _): &(i128, i128, bool)| {
        let (cpu, memory) = quantities(*cpu, *memory);
        container(&cpu, &memory)
    };
    let init = |(cpu, memory, is_sidecar): &(i128, i128, bool)| {
        let (cpu, memory) = quantities(*cpu, *memory);
        if *is_sidecar { sidecar(&cpu, &memory) } else { container(&cpu, &memory) }
    };
    json!({"containers": apps.iter().map(app).collect::<Vec<_>>(), "initContainers": inits.iter().map(init).collect::<Vec<_>>()})
}

proptest! {
    #[test]
    fn a_reservation_covers_every_moment_and_no_more_than_all_at_once(
        apps in prop::collection::vec(any_container(), 0..4),
        inits in prop::collection::vec(any_container(), 0..5),
    ) {
        let [cpu, _] = reserved(spec_of(&apps, &inits));
        let sum = |containers: &[(i128, i128, bool)]| containers.iter().map(|(cpu, _, _)| cpu).sum::<i128>();
        let sidecars: Vec<_> = inits.iter().copied().filter(|(_, _, is_sidecar)| *is_sidecar).collect();
        prop_assert!(cpu >= sum(&apps) + sum(&sidecars));
        prop_assert!(inits.iter().all(|(own, _, _)| cpu >= *own));
        prop_assert!(cpu <= sum(&apps) + sum(&inits));
        let reversed: Vec<_> = apps.iter().copied().rev().collect();
        prop_assert_eq!(reserved(spec_of(&reversed, &inits)), reserved(spec_of(&apps, &inits)));
    }

    #[test]
    fn waste_and_use_add_up_to_the_requests_where_usage_stays_below(
        loads in prop::collection::vec((1_i128..100_000, 0_i128..100, any::<bool>()), 1..20),
    ) {
        let names: Vec<String> = (0..loads.len()).map(|at| format!("p{at}")).collect();
        let rows = || names.iter().zip(&loads);
        let pods: Vec<Value> =
            rows().map(|(name, (request, _, _))| pod(name, "Running", spec_of(&[(*request, 1, false)], &[]))).collect();
        let used = |request: i128, percent: i128| request * percent * 10_000;
        let known = rows().filter(|(_, (_, _, is_known))| *is_known);
        let usages: Vec<Value> =
            known.map(|(name, (request, percent, _))| usage(name, &format!("{}n", used(*request, *percent)), "1Mi")).collect();
        let sheet = resources(&pods, &usages);
        let (waste, efficiency) = (value(&sheet, "resources.cpu_waste_cores"), value(&sheet, "resources.cpu_efficiency_pct"));
        let requests = loads.iter().map(|(request, _, _)| *request as f64 / 1000.0).sum::<f64>();
        let sum = waste.unwrap() + requests * efficiency.unwrap() / 100.0;
        prop_assert!((sum - requests).abs() < 1e-6 * requests, "{sum} is not {requests}");
        prop_assert!((0.0..=100.0).contains(&efficiency.unwrap()));
        let overallocated = loads.iter().filter(|(_, percent, is_known)| *is_known && *percent < 20).count();
        prop_assert_eq!(value(&sheet, "resources.overallocated_pods"), Some(overallocated as f64));
    }

    #[test]
    fn what_is_idle_is_low_in_both(usages in prop::collection::vec((0_u32..20_000, 0_u32..60_000), 0..30)) {
        let rows = usages.iter().map(|(cpu, memory)| read(&usage("a", &format!("{cpu}u"), &format!("{memory}Ki"))));
        let sheet = measure_usage(&Ok(rows.collect()));
        let count = |series| value(&sheet, series).unwrap();
        prop_assert!(count("pods.idle_count") <= count("pods.low_cpu_usage").min(count("pods.low_memory_usage")));
        prop_assert!(count("pods.low_memory_usage") <= usages.len() as f64);
    }
}
