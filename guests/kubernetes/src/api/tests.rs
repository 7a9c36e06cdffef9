//! A simulated cluster of any size, and what the collector makes of its answers and its troubles.

use std::collections::{BTreeMap, BTreeSet};

use collector_sdk::http::{Error, ErrorKind, Request, Response};
use collector_sdk::testing::{Outcome, World, run};
use collector_sdk::{Reason, Timestamp};
use serde_json::{Value, json};

use crate::Kubernetes;

const NOW: &str = "2025-10-24T12:00:00Z";
const NAMESPACES: usize = 7;

/// A cluster whose objects follow from their number, so that its figures can be counted without the collector.
#[derive(Clone, Copy, Default)]
struct Simulated {
    pods: usize,
    /// Whether each page begins with the last object of the one before.
    repeats: bool,
    /// The request, counted from 1, that goes wrong, and how.
    trouble: Option<(usize, Trouble)>,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Broken,
    Status(u16),
    Text(&'static str),
    /// The page is said to be followed by itself.
    Circle,
}

/// Pod number `at`: 70 of 100 run, 10 wait, 10 failed, 10 are done.
fn phase(at: usize) -> &'static str {
    ["Running", "Running", "Running", "Running", "Running", "Running", "Running", "Pending", "Failed", "Succeeded"]
        [at % 10]
}

fn is_reserving(at: usize) -> bool {
    at % 10 < 8
}

/// Those that run, and those that are done since a short time.
fn is_measured(at: usize) -> bool {
    at % 10 != 7 && at % 10 != 8
}

fn metadata(kind: &str, at: usize) -> Value {
    json!({"uid": format!("{kind}-{at}"), "namespace": format!("team-{}", at % NAMESPACES), "name": format!("{kind}{at}")})
}

fn pod(at: usize) -> Value {
    let now: Timestamp = NOW.parse().unwrap();
    let killed_at = now - std::time::Duration::from_secs(60 * (at as u64 % 2880) + 1);
    let last = json!({"terminated": {"reason": if at % 4 == 1 { "OOMKilled" } else { "Error" }, "exitCode": 137,
        "finishedAt": killed_at.to_string()}});
    let state = match at % 20 {
        1 => json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        7 => json!({"waiting": {"reason": "ImagePullBackOff"}}),
        _ => json!({"running": {"startedAt": NOW}}),
    };
    let mut metadata = metadata("pod", at);
    metadata["managedFields"] = json!([{"manager": "kubelet", "fieldsV1": {"f:status": {"f:phase": {}}}}]);
    json!({
        "metadata": metadata,
        "spec": {
            "containers": [{"name": "app", "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}}}],
            "initContainers": [{"name": "proxy", "restartPolicy": if at.is_multiple_of(3) { json!("Always") } else { Value::Null },
                "resources": {"requests": {"cpu": "0.1", "memory": "64Mi"}}}],
        },
        "status": {
            "phase": phase(at),
            "containerStatuses": [{"name": "app", "restartCount": at % 12, "state": state, "lastState": last}],
            "initContainerStatuses": null,
        },
    })
}

fn usage(at: usize) -> Value {
    let mut metadata = metadata("pod", at);
    metadata.as_object_mut().unwrap().remove("uid");
    json!({"metadata": metadata, "timestamp": NOW, "window": "15.1s", "containers": [
        {"name": "app", "usage": {"cpu": format!("{}u", at % 200 * 1000), "memory": format!("{}Ki", at % 300 * 1024)}}]})
}

fn deployment(at: usize) -> Value {
    json!({"metadata": metadata("deployment", at), "spec": {"replicas": at % 5}, "status": {"replicas": 0}})
}

impl Simulated {
    fn list(&self, path: &str) -> Vec<Value> {
        let (namespace, plural) = match path.split_once("/namespaces/").and_then(|(_, rest)| rest.split_once('/')) {
            Some((namespace, plural)) => (Some(namespace), plural),
            None => (None, path.rsplit('/').next().unwrap()),
        };
        let of_cluster: Vec<Value> = match (path.starts_with("/apis/metrics.k8s.io/v1beta1/"), plural) {
            (true, "pods") => (0..self.pods).filter(|at| is_measured(*at)).map(usage).collect(),
            (false, "pods") => (0..self.pods).map(pod).collect(),
            (false, "deployments") => (0..self.pods / 10).map(deployment).collect(),
            _ => panic!("there is no {path}"),
        };
        let is_meant = |object: &Value| namespace.is_none_or(|namespace| object["metadata"]["namespace"] == namespace);
        of_cluster.into_iter().filter(is_meant).collect()
    }

    /// An answer out of all objects of a list.
    fn answer(&self, request: &Request, number: usize, all: &[Value]) -> Result<Response, Error> {
        let trouble = self.trouble.filter(|(at, _)| *at == number).map(|(_, trouble)| trouble);
        match trouble {
            Some(Trouble::Broken) => return Err(Error { kind: ErrorKind::Broken, message: "cut".into() }),
            Some(Trouble::Status(status)) => return Ok(Response { status, ..Response::default() }),
            Some(Trouble::Text(text)) => return Ok(Response { status: 200, body: text.into(), ..Response::default() }),
            Some(Trouble::Circle) | None => {}
        }
        // The metrics server knows no pages.
        let is_paged = !request.path().starts_with("/apis/metrics.k8s.io/");
        let limit = if is_paged { request.query_value("limit").unwrap().parse().unwrap() } else { usize::MAX };
        let start = request.query_value("continue").map_or(0, |token| token.parse::<usize>().unwrap());
        let end = all.len().min(start.saturating_add(limit));
        let first = if self.repeats { start.saturating_sub(1) } else { start };
        let next = match trouble {
            Some(Trouble::Circle) => request.query_value("continue").unwrap_or("0").to_owned(),
            _ if end < all.len() => end.to_string(),
            _ => String::new(),
        };
        let body =
            json!({"kind": "List", "metadata": {"continue": next, "resourceVersion": "1"}, "items": all[first..end]});
        Ok(Response { status: 200, body: body.to_string().into_bytes(), ..Response::default() })
    }

    fn run(&self, settings: &[(&str, &str)]) -> Outcome {
        let (cluster, mut number, mut lists) = (*self, 0, BTreeMap::new());
        let answering = move |request: &Request| {
            number += 1;
            let path = request.path().to_owned();
            let all = lists.entry(path).or_insert_with_key(|path| cluster.list(path));
            cluster.answer(request, number, all)
        };
        run_against(answering, settings)
    }

    /// The figures, counted from the numbers of the objects that are in these namespaces.
    fn figures(&self, is_meant: impl Fn(usize) -> bool) -> BTreeMap<String, f64> {
        let pods: Vec<usize> = (0..self.pods).filter(|at| is_meant(at % NAMESPACES)).collect();
        let count = |is_counted: &dyn Fn(usize) -> bool| pods.iter().filter(|at| is_counted(**at)).count() as f64;
        let sum = |addend: &dyn Fn(usize) -> usize| pods.iter().map(|at| addend(*at)).sum::<usize>() as f64;
        let request = |at: usize| if at.is_multiple_of(3) { (600, 576) } else { (500, 512) };
        let used = |at: usize| if is_reserving(at) && is_measured(at) { (at % 200, at % 300) } else { (0, 0) };
        let (cpu, memory) = (
            sum(&|at| usize::from(is_reserving(at)) * request(at).0),
            sum(&|at| usize::from(is_reserving(at)) * request(at).1),
        );
        let (cpu_used, memory_used) = (sum(&|at| used(at).0), sum(&|at| used(at).1));
        let is_overallocated = |at: usize| {
            let ((cpu, memory), (cpu_used, memory_used)) = (request(at), used(at));
            is_reserving(at) && is_measured(at) && (cpu_used * 5 < cpu || memory_used * 5 < memory)
        };
        let deployments = (0..self.pods / 10).filter(|at| is_meant(at % NAMESPACES) && at % 5 == 0).count() as f64;
        BTreeMap::from([
            ("k8s.resources.cpu_waste_cores".to_owned(), (cpu - cpu_used) / 1000.0),
            ("k8s.resources.memory_waste_gb".to_owned(), (memory - memory_used) / 1024.0),
            ("k8s.resources.cpu_efficiency_pct".to_owned(), 100.0 * cpu_used / cpu),
            ("k8s.resources.memory_efficiency_pct".to_owned(), 100.0 * memory_used / memory),
            ("k8s.resources.overallocated_pods".to_owned(), count(&is_overallocated)),
            ("k8s.pods.crash_looping".to_owned(), count(&|at| at % 20 == 1)),
            ("k8s.pods.failed".to_owned(), count(&|at| at % 10 == 8)),
            ("k8s.pods.pending".to_owned(), count(&|at| at % 10 == 7)),
            ("k8s.pods.oomkilled_24h".to_owned(), count(&|at| at % 4 == 1 && at % 2880 < 1440)),
            ("k8s.pods.high_restarts".to_owned(), count(&|at| at % 12 > 5)),
            ("k8s.pods.image_pull_errors".to_owned(), count(&|at| at % 20 == 7)),
            ("k8s.pods.idle_count".to_owned(), count(&|at| is_measured(at) && at % 200 < 1 && at % 300 < 10)),
            ("k8s.pods.low_cpu_usage".to_owned(), count(&|at| is_measured(at) && at % 200 < 10)),
            ("k8s.pods.low_memory_usage".to_owned(), count(&|at| is_measured(at) && at % 300 < 50)),
            ("k8s.deployments.zero_replicas".to_owned(), deployments),
        ])
    }
}

fn run_against(
    answering: impl FnMut(&Request) -> Result<Response, Error> + 'static,
    settings: &[(&str, &str)],
) -> Outcome {
    let world = World::new(include_str!("../../collector.toml"), NOW.parse().unwrap()).answering(answering);
    run::<Kubernetes>(settings.iter().fold(world, |world, (key, value)| world.with(key, value)))
}

fn values(outcome: &Outcome) -> BTreeMap<String, f64> {
    outcome.points.iter().map(|point| (point.series.clone(), point.value)).collect()
}

fn distinct_requests(outcome: &Outcome) -> usize {
    outcome.requests.iter().map(|request| format!("{request:?}")).collect::<BTreeSet<_>>().len()
}

#[test]
fn ten_thousand_pods_and_a_thousand_deployments_take_23_requests_and_none_is_made_twice() {
    for (pods, requests) in [(10_000, 20 + 2 + 1), (9_990, 20 + 2 + 1), (5_000, 10 + 1 + 1), (1, 3), (0, 3)] {
        let simulated = Simulated { pods, ..Simulated::default() };
        let outcome = simulated.run(&[]);
        assert_eq!((outcome.requests.len(), distinct_requests(&outcome), &outcome.fault), (requests, requests, &None));
        if pods > 1 {
            assert_eq!(values(&outcome), simulated.figures(|_| true), "{pods} pods");
        }
        assert!(outcome.forgotten().is_empty());
    }
}

#[test]
fn neither_the_page_size_nor_objects_repeated_at_a_page_boundary_change_a_figure() {
    for (page_size, repeats) in [("1", false), ("7", true), ("50", true), ("399", false), ("2000", true)] {
        let simulated = Simulated { pods: 400, repeats, ..Simulated::default() };
        let outcome = simulated.run(&[("page_size", page_size)]);
        assert_eq!((values(&outcome), &outcome.fault), (simulated.figures(|_| true), &None), "{page_size} {repeats}");
    }
}

#[test]
fn only_the_namespaces_of_the_setting_are_asked_and_each_once() {
    let simulated = Simulated { pods: 700, ..Simulated::default() };
    let outcome = simulated.run(&[("namespaces", "team-2, team-5,team-2")]);
    assert_eq!(values(&outcome), simulated.figures(|namespace| namespace == 2 || namespace == 5));
    let mut paths: Vec<&str> = outcome.requests.iter().map(Request::path).collect();
    paths.sort_unstable();
    let expected =
        ["/api/v1", "/apis/apps/v1", "/apis/metrics.k8s.io/v1beta1"].into_iter().zip(["pods", "deployments", "pods"]);
    let expected: Vec<String> =
        expected.flat_map(|(api, plural)| [2, 5].map(|n| format!("{api}/namespaces/team-{n}/{plural}"))).collect();
    assert_eq!(paths, expected);
}

#[test]
fn whichever_request_goes_wrong_every_value_is_right_or_a_gap() {
    let simulated = Simulated { pods: 230, ..Simulated::default() };
    let settings = [("page_size", "20")];
    let (figures, count) = (simulated.figures(|_| true), simulated.run(&settings).requests.len());
    assert_eq!(count, 12 + 1 + 2);
    let troubles = [
        Trouble::Broken,
        Trouble::Status(401),
        Trouble::Status(403),
        Trouble::Status(404),
        Trouble::Status(429),
        Trouble::Status(503),
        Trouble::Text("<html>"),
        Trouble::Text(r#"{"items": {}}"#),
        Trouble::Text(r#"{"items": [{"status": {"phase": 7}, "containers": 7, "spec": {"replicas": "no"}}]}"#),
    ];
    for at in 1..=count {
        for trouble in troubles {
            let outcome = Simulated { trouble: Some((at, trouble)), ..simulated }.run(&settings);
            let right = |(series, value): (&String, &f64)| figures[series].to_bits() == value.to_bits();
            let values = values(&outcome);
            assert!(values.iter().all(right), "{trouble:?} at {at}: {values:?}");
            let expected_gaps = match at {
                1..=12 => 6 + 5,
                13 => 3 + 5,
                _ => 1,
            };
            assert_eq!((outcome.gaps.len(), values.len()), (expected_gaps, 15 - expected_gaps), "{trouble:?} at {at}");
            assert!(outcome.fault.is_some() && outcome.forgotten().is_empty(), "{trouble:?} at {at}");
        }
    }
}

#[test]
fn a_token_that_grew_too_old_begins_its_list_anew_and_once() {
    let simulated = Simulated { pods: 230, ..Simulated::default() };
    let settings = [("page_size", "20")];
    for at in 1..=15 {
        let outcome = Simulated { trouble: Some((at, Trouble::Status(410))), ..simulated }.run(&settings);
        assert_eq!((values(&outcome), &outcome.fault), (simulated.figures(|_| true), &None), "at {at}");
    }
    let always = move |request: &Request| match request.query_value("continue") {
        Some("40") => Ok(Response { status: 410, ..Response::default() }),
        _ => simulated.answer(request, 0, &simulated.list(request.path())),
    };
    let outcome = run_against(always, &settings);
    assert_eq!((outcome.requests.len(), outcome.value("k8s.pods.failed")), (3 + 3 + 1 + 2, None));
    assert!(outcome.gap("k8s.pods.failed").unwrap().contains("410"));
}

#[test]
fn a_page_that_is_followed_by_itself_is_no_list() {
    for at in [2, 12] {
        let simulated = Simulated { pods: 230, trouble: Some((at, Trouble::Circle)), ..Simulated::default() };
        let outcome = simulated.run(&[("page_size", "20")]);
        assert!(outcome.gap("k8s.pods.failed").is_some());
        assert_eq!(outcome.fault.unwrap().reason, Reason::BadAnswer);
    }
}

#[test]
fn what_is_null_or_missing_is_nothing_and_costs_nothing() {
    let pods = json!({"metadata": {"continue": null}, "items": [
        null,
        {},
        {"metadata": null, "spec": null, "status": null},
        {"metadata": {"name": "a"}, "spec": {"containers": [null, {}, {"resources": null}, {"resources": {"requests": {"cpu": null}}}]},
            "status": {"phase": "Running", "containerStatuses": [null, {"restartCount": null, "state": null, "lastState": {}}],
            "ephemeralContainerStatuses": 7}},
        {"status": {"phase": "Failed", "containerStatuses": null, "initContainerStatuses": [
            {"state": {"waiting": {"reason": null}}, "lastState": {"terminated": {"reason": null, "finishedAt": "soon"}}}]}},
        {"status": {"phase": "Failed"}},
    ]});
    let answering = move |request: &Request| {
        let body = match request.path() {
            "/api/v1/pods" => pods.clone(),
            "/apis/apps/v1/deployments" => {
                json!({"metadata": {}, "items": [null, {"spec": null}, {"spec": {"replicas": null}}, {}]})
            }
            _ => json!({"items": null}),
        };
        Ok(Response { status: 200, body: body.to_string().into_bytes(), ..Response::default() })
    };
    let outcome = run_against(answering, &[]);
    assert_eq!(outcome.fault, None);
    let values = values(&outcome);
    let others = values.iter().filter(|(series, _)| *series != "k8s.pods.failed");
    assert_eq!((values.len(), others.filter(|(_, value)| **value != 0.0).count()), (13, 0));
    assert_eq!(outcome.value("k8s.pods.failed"), Some(2.0));
}

#[test]
fn a_missing_metrics_api_is_said_to_be_missing() {
    let simulated = Simulated { pods: 20, trouble: Some((2, Trouble::Status(404))), ..Simulated::default() };
    let reason = "the cluster has no metrics API (metrics.k8s.io): kubernetes pod-metrics: \
        GET /apis/metrics.k8s.io/v1beta1/pods answered 404";
    let outcome = simulated.run(&[]);
    for series in ["k8s.pods.idle_count", "k8s.resources.cpu_waste_cores"] {
        assert_eq!(outcome.gap(series), Some(reason));
    }
    assert_eq!(outcome.points.len(), 7);
}

#[test]
fn a_setting_that_makes_no_sense_asks_for_nothing() {
    for (key, value) in [
        ("page_size", "0"),
        ("page_size", "2001"),
        ("page_size", "-1"),
        ("page_size", "many"),
        ("namespaces", ","),
        ("namespaces", "default,"),
        ("namespaces", "default;web"),
        ("namespaces", "Default"),
        ("namespaces", "../nodes"),
    ] {
        let outcome = Simulated::default().run(&[(key, value)]);
        assert_eq!((outcome.requests.len(), outcome.points.len() + outcome.gaps.len()), (0, 0));
        assert_eq!(outcome.fault.unwrap().reason, Reason::Setting, "{key} {value:?}");
    }
}
