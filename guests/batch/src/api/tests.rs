//! A simulated cluster, and what the collector makes of its answers and its troubles.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use collector_sdk::http::{Error, ErrorKind, Request, Response};
use collector_sdk::testing::{Outcome, World, run};
use collector_sdk::workloads::{Ending, JobRun};
use collector_sdk::{Reason, Timestamp};
use serde_json::{Value, json};

use crate::Batch;

const NOW: &str = "2025-10-24T12:00:00Z";
const LISTINGS: [&str; 5] = [
    "/api/v1/pods",
    "/apis/batch/v1/jobs",
    "/apis/batch/v1/cronjobs",
    "/api/v1/events",
    "/apis/metrics.k8s.io/v1beta1/pods",
];

/// A cluster that answers as the API server does: pages, tokens, logs, summaries.
#[derive(Clone, Default)]
struct Simulated {
    /// Rows by path.
    lists: BTreeMap<&'static str, Vec<Value>>,
    /// Whether each page begins with the last row of the one before.
    repeats: bool,
    /// The request, counted from 1, that goes wrong, and its status; 0 for no answer at all.
    trouble: Option<(usize, u16)>,
    remembered: Vec<JobRun>,
    known: Vec<String>,
}

fn ago(minutes: usize) -> String {
    let now: Timestamp = NOW.parse().unwrap();
    (now - Duration::from_secs(60 * minutes as u64)).to_string()
}

fn pod(i: usize, job: &str, try_number: usize, phase: &str, state: &Value) -> Value {
    json!({
        "metadata": {
            "uid": format!("pod-{i}-{try_number}"), "name": format!("{job}-{try_number}"), "namespace": "lab",
            "creationTimestamp": ago(100),
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": format!("job-{i}"), "controller": true}],
        },
        "spec": {"nodeName": format!("node-{}", i % 7), "containers": [{"name": "main", "image": "img:1"}]},
        "status": {"phase": phase, "containerStatuses": [{"name": "main", "restartCount": 1, "state": state}]},
    })
}

impl Simulated {
    /// Jobs that succeed, fail, retry, run, wait and vanish, of as many CronJobs as `i % schedules` tells apart.
    fn of(jobs: usize, schedules: usize) -> Simulated {
        let [mut pods, mut job_rows, mut events, mut metrics] = [const { Vec::new() }; 4];
        let mut remembered = Vec::new();
        for i in 0..jobs {
            // Every tenth job was made by hand.
            let (name, schedule) = match i % 10 {
                9 => (format!("by-hand-{i}-x"), None),
                _ => (format!("cron-{}-{}", i % schedules, 29_000_000 + i), Some(format!("cron-{}", i % schedules))),
            };
            let end = |code: u8, reason: &str| json!({"terminated": {"exitCode": code, "reason": reason, "finishedAt": ago(i % 2000)}});
            let mut row =
                json!({"metadata": {"uid": format!("job-{i}"), "name": name, "namespace": "lab"}, "status": {}});
            if let Some(schedule) = &schedule {
                row["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": schedule, "uid": "c", "controller": true}]);
            }
            let ended = |kind: &str| json!([{"type": kind, "status": "True", "lastTransitionTime": ago(i % 2000)}]);
            let metric = json!({"metadata": {"name": format!("{name}-0"), "namespace": "lab"}, "containers": [{"usage": {"cpu": "250m", "memory": "1Ki"}}]});
            match i % 6 {
                0 | 1 => {
                    pods.push(pod(i, &name, 1, "Succeeded", &end(0, "Completed")));
                    row["status"]["conditions"] = ended("Complete");
                    if i % 6 == 1 {
                        pods.push(pod(i, &name, 0, "Failed", &end(137, "OOMKilled")));
                    }
                }
                2 => {
                    pods.push(pod(i, &name, 0, "Failed", &end(1, "Error")));
                    row["status"]["conditions"] = ended("Failed");
                }
                3 => {
                    pods.push(pod(i, &name, 0, "Running", &json!({"running": {}})));
                    metrics.push(metric);
                }
                4 => pods.push(pod(i, &name, 0, "Pending", &json!({"waiting": {"reason": "ImagePullBackOff"}}))),
                _ => {
                    let involved = json!({"kind": "Job", "namespace": "lab", "name": name, "uid": format!("job-{i}")});
                    if i % 12 == 5 {
                        events.push(
                            json!({"involvedObject": involved, "reason": "Completed", "lastTimestamp": ago(i % 60)}),
                        );
                    } else {
                        remembered.push(remember(i, &name, schedule.as_deref()));
                    }
                    continue;
                }
            }
            events.push(json!({
                "involvedObject": {"kind": "Pod", "namespace": "lab", "name": "p", "uid": format!("pod-{i}-0")},
                "reason": "Started", "message": "Started container main", "lastTimestamp": ago(5),
            }));
            job_rows.push(row);
        }
        let cron_jobs = (0..schedules)
            .map(|n| json!({"metadata": {"uid": format!("c{n}"), "name": format!("cron-{n}"), "namespace": "lab"}}));
        let rows = [pods, job_rows, cron_jobs.collect(), events, metrics];
        Simulated { lists: LISTINGS.into_iter().zip(rows).collect(), remembered, ..Simulated::default() }
    }

    fn answer(&self, request: &Request, number: usize) -> Result<Response, Error> {
        match self.trouble {
            Some((at, 0)) if at == number => {
                return Err(Error { kind: ErrorKind::Broken, message: "cut".into() });
            }
            Some((at, status)) if at == number => return Ok(Response { status, ..Response::default() }),
            _ => {}
        }
        let body = match self.lists.get(request.path()) {
            Some(rows) => self.page(rows, request).to_string(),
            None if request.path().ends_with("/stats/summary") => self.summary(request.path()).to_string(),
            None if request.path().ends_with("/log") => "first line\nlast line\n".to_owned(),
            None => panic!("nobody serves {}", request.path()),
        };
        Ok(Response { status: 200, body: body.into_bytes(), ..Response::default() })
    }

    fn page(&self, rows: &[Value], request: &Request) -> Value {
        let limit: usize = request.query_value("limit").unwrap().parse().unwrap();
        let start = request.query_value("continue").map_or(0, |token| token.parse::<usize>().unwrap());
        let end = rows.len().min(start + limit);
        let first = if self.repeats { start.saturating_sub(1) } else { start };
        let token = if end < rows.len() { end.to_string() } else { String::new() };
        json!({"metadata": {"continue": token}, "items": rows[first..end]})
    }

    fn summary(&self, path: &str) -> Value {
        let node = path.split('/').nth(4).unwrap();
        let on_node = self.lists[LISTINGS[0]].iter().filter(|pod| pod["spec"]["nodeName"] == node);
        let usage = |pod: &Value| {
            json!({
                "podRef": pod["metadata"], "cpu": {"usageNanoCores": 250_000_000}, "memory": {"workingSetBytes": 1024},
                "network": {"rxBytes": 5, "txBytes": 6, "rxErrors": 0, "txErrors": 1}, "ephemeral-storage": {"usedBytes": 7},
            })
        };
        json!({"pods": on_node.map(usage).collect::<Vec<_>>()})
    }

    fn run(&self, settings: &[(&str, &str)]) -> Outcome {
        let (server, number) = (self.clone(), Rc::new(RefCell::new(0)));
        let answering = move |request: &Request| {
            *number.borrow_mut() += 1;
            server.answer(request, *number.borrow())
        };
        let world = World::new(include_str!("../../collector.toml"), NOW.parse().unwrap());
        let world =
            world.answering(answering).remembering(self.remembered.clone(), Vec::new()).knowing(self.known.clone());
        run::<Batch>(settings.iter().fold(world, |world, (key, value)| world.with(key, value)))
    }
}

fn remember(i: usize, job: &str, schedule: Option<&str>) -> JobRun {
    JobRun {
        id: format!("job-{i}"),
        job: job.to_owned(),
        schedule: schedule.map(str::to_owned),
        project: "lab".into(),
        image: None,
        node: None,
        gpus: 0.0,
        started: None,
        ended: ago(i % 1400).parse().unwrap(),
        ending: Ending::Succeeded,
        reason: None,
    }
}

/// The sum over all tags of each series.
fn sums(outcome: &Outcome) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for point in &outcome.points {
        *sums.entry(point.series.clone()).or_default() += point.value;
    }
    sums
}

fn asked(outcome: &Outcome, part: &str) -> usize {
    outcome.requests.iter().filter(|request| request.path().contains(part)).count()
}

#[test]
fn a_world_comes_to_what_it_was_made_of() {
    let outcome = Simulated::of(600, 8).run(&[]);
    assert_eq!(outcome.fault, None);
    let sums = sums(&outcome);
    // Of 600 jobs, of six kinds each 100; half of those that are gone left an event, the other half is remembered.
    let expected = [
        ("batch.jobs.run_24h", 400.0),
        ("batch.jobs.succeeded_24h", 300.0),
        ("batch.jobs.failed_24h", 100.0),
        ("batch.jobs.active", 200.0),
        ("batch.pods.count", 600.0 - 100.0 + 100.0),
        ("batch.pods.succeeded_24h", 200.0 + 100.0),
        ("batch.pods.failed_24h", 200.0),
        ("batch.pods.oomkilled_24h", 100.0),
        ("batch.pods.pending", 100.0),
        ("batch.containers.restarts", 600.0),
        ("batch.usage.cpu_cores", 25.0),
        ("batch.usage.disk_bytes", 700.0),
        ("batch.network.tx_errors", 100.0),
    ];
    for (series, value) in expected {
        assert_eq!(sums.get(series), Some(&value), "{series}");
    }
    // 300 succeeded, 200 failed, 200 wait or run.
    assert_eq!(outcome.value("batch.success_rate_pct"), Some(100.0 * 300.0 / 700.0));
    assert_eq!(outcome.value("batch.failure_rate_pct"), Some(100.0 * 200.0 / 700.0));
    assert_eq!((outcome.runs.len(), outcome.failures.len()), (350, 300));
}

#[test]
fn nothing_is_asked_twice_and_no_more_logs_than_the_setting_allows() {
    let outcome = Simulated::of(600, 8).run(&[("page_size", "100")]);
    // 600 pods, 500 jobs, 8 CronJobs, 550 events, 100 rows of usage; seven nodes.
    assert_eq!(outcome.requests.len(), 6 + 5 + 1 + 6 + 1 + 7 + 20);
    assert_eq!((asked(&outcome, "/stats/summary"), asked(&outcome, "/log")), (7, 20));
    let each: BTreeSet<String> = outcome.requests.iter().map(|request| format!("{request:?}")).collect();
    assert_eq!(each.len(), outcome.requests.len());
    assert_eq!(outcome.failures.iter().filter(|failure| failure.logs.is_some()).count(), 20);
    assert_eq!(asked(&Simulated::of(600, 8).run(&[("log_fetches", "3")]), "/log"), 3);
}

#[test]
fn a_page_boundary_that_repeats_a_row_counts_it_once() {
    let plain = Simulated::of(240, 4);
    let repeating = Simulated { repeats: true, ..plain.clone() };
    let settings = [("page_size", "7")];
    let (plain, repeating) = (plain.run(&settings), repeating.run(&settings));
    assert_eq!(sums(&plain), sums(&repeating));
    assert_eq!((plain.runs, plain.failures), (repeating.runs, repeating.failures));
}

#[test]
fn an_error_at_any_request_costs_the_series_that_need_it_and_changes_no_other() {
    let world = Simulated::of(60, 3);
    let settings = [("page_size", "25"), ("log_fetches", "4")];
    let whole = world.run(&settings);
    let (whole_sums, requests) = (sums(&whole), whole.requests.len());
    let points: BTreeSet<String> = whole.points.iter().map(|point| format!("{point:?}")).collect();
    let ids: BTreeSet<&String> = whole.failures.iter().map(|failure| &failure.id).collect();
    for (at, status) in (1..=requests).flat_map(|at| [(at, 0), (at, 403), (at, 404), (at, 410), (at, 500)]) {
        let outcome = Simulated { trouble: Some((at, status)), ..world.clone() }.run(&settings);
        let case = format!("request {at}, status {status}");
        assert_eq!(outcome.forgotten(), Vec::<&str>::new(), "{case}");
        for point in &outcome.points {
            assert!(points.contains(&format!("{point:?}")), "{case}: {point:?}");
        }
        for (series, sum) in sums(&outcome) {
            assert!((sum - whole_sums[&series]).abs() < 1e-9, "{case}: {series}");
        }
        for failure in &outcome.failures {
            assert!(ids.contains(&failure.id), "{case}: {failure:?}");
        }
        assert!(outcome.points.len() > 3, "{case}");
    }
}

#[test]
fn a_right_that_is_missing_is_asked_for_once() {
    let world = Simulated::of(60, 3);
    let whole = world.run(&[]);
    let first = |part: &str| whole.requests.iter().position(|request| request.path().contains(part)).unwrap() + 1;
    let refused = Simulated { trouble: Some((first("/stats/summary"), 403)), ..world.clone() }.run(&[]);
    assert_eq!((asked(&refused, "/stats/summary"), refused.fault.is_some()), (1, false));
    assert!(refused.gap("batch.usage.disk_bytes").unwrap().contains("403"));
    let without_logs = Simulated { trouble: Some((first("/log"), 403)), ..world }.run(&[]);
    assert_eq!((asked(&without_logs, "/log"), without_logs.failures.len()), (1, whole.failures.len()));
    assert!(without_logs.failures.iter().all(|failure| failure.logs.is_none()));
}

#[test]
fn a_log_that_the_host_has_is_not_read_again() {
    let world = Simulated::of(60, 3);
    let first = world.run(&[]);
    let known: Vec<String> = first.failures.iter().map(|failure| failure.id.clone()).collect();
    let second = Simulated { known, ..world }.run(&[]);
    assert_eq!((asked(&first, "/log"), asked(&second, "/log")), (20, 0));
}

#[test]
fn ten_thousand_pods_stay_within_the_requests_of_an_attempt() {
    let outcome = Simulated::of(9_996, 150).run(&[]);
    assert_eq!(outcome.fault, None);
    // 9,996 pods, 8,330 jobs, 150 CronJobs, 9,163 events, 1,666 rows of usage; seven nodes; twenty logs.
    assert_eq!(outcome.requests.len(), 20 + 17 + 1 + 19 + 4 + 7 + 20);
    let tags: BTreeSet<&Vec<String>> =
        outcome.points.iter().filter(|point| point.series == "batch.jobs.active").map(|point| &point.tags).collect();
    assert_eq!(tags.len(), 100 + 2, "a hundred CronJobs, other and none");
    assert!(outcome.points.len() < 10_000, "{} points", outcome.points.len());
}

#[test]
fn a_setting_out_of_its_bounds_is_refused_by_name() {
    for (key, value) in [
        ("window_hours", "0"),
        ("page_size", "0"),
        ("page_size", "many"),
        ("max_cronjobs", "-1"),
        ("log_fetches", "151"),
        ("pending_minutes", "10081"),
    ] {
        let outcome = Simulated::of(1, 1).run(&[(key, value)]);
        let fault = outcome.fault.unwrap();
        assert_eq!((fault.reason, fault.message.contains(key)), (Reason::Setting, true), "{key} = {value}");
        assert!(outcome.requests.is_empty());
    }
}

#[test]
fn the_end_of_a_log_is_kept_by_lines_and_bytes() {
    let lines: String = (1..=60).map(|n| format!("line {n}\n")).collect();
    assert!(super::keep_end(&lines).starts_with("line 11\n") && super::keep_end(&lines).ends_with("line 60"));
    let wide = "ö".repeat(super::LOG_BYTES);
    assert_eq!(super::keep_end(&format!("x{wide}")).len(), super::LOG_BYTES);
    assert_eq!((super::keep_end(""), super::keep_end("one")), ("", "one"));
}
