//! A simulated API server of any release, and what the collector makes of its answers and its troubles.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use collector_sdk::http::{Error, ErrorKind, Request, Response};
use collector_sdk::testing::{Outcome, World, run};
use collector_sdk::{Reason, Timestamp};
use serde_json::{Value, json};

use super::queue::{PAGES_MAX, QUEUE};
use super::requests::POLLS_MAX;
use super::{CLUSTERS, states};
use crate::Skypilot;

const NOW_S: i64 = 1_761_307_200;

type Answer = Result<Response, Error>;
type Disturbance = dyn Fn(usize, &Request) -> Option<Answer>;

/// A server of any release.
#[derive(Clone)]
struct Sky {
    rows: Vec<Value>,
    api_version: Value,
    has_v2: bool,
    has_pages: bool,
    has_counts: bool,
    /// As before 0.11: pages go by rows, and the total counts rows.
    pages_rows: bool,
    page_size: &'static str,
    /// How many more jobs it promises than it has.
    missing: usize,
    /// What happens to the queue before the so-manieth page is read.
    change: fn(usize, &mut Vec<Value>),
    /// What comes instead of the answer to the so-manieth request.
    disturb: Rc<Disturbance>,
    submitted: Vec<(String, Value)>,
    requests: usize,
}

fn sky(rows: Vec<Value>) -> Sky {
    Sky {
        rows,
        api_version: json!("62"),
        has_v2: true,
        has_pages: true,
        has_counts: true,
        pages_rows: false,
        page_size: "1000",
        missing: 0,
        change: |_, _| {},
        disturb: Rc::new(|_, _| None),
        submitted: Vec::new(),
        requests: 0,
    }
}

/// Jobs in every state; each seventh is a pipeline of three tasks, each eleventh was launched by the one before.
fn world(jobs: i64) -> Vec<Value> {
    let states: Vec<&str> = states::READ.into_iter().chain(states::COUNTED).chain(["RUNNING", "RUNNING"]).collect();
    let (regions, clusters) = (["us-east-1", "-", "us-west-2"], ["2x[spot](gpus=H100:2)", "-", "1x(cpus=4)"]);
    let row = |job: i64, task: i64| {
        json!({
            "job_id": job, "task_id": task, "root_job_id": (job % 11 == 10).then_some(job - 1),
            "status": states[(job * 5 + task) as usize % states.len()],
            "job_duration": 600.5 * job as f64, "end_at": NOW_S - job * 40_000, "recovery_count": job % 4,
            "user_hash": format!("user{}", job % 9), "region": regions[job as usize % 3],
            "cluster_resources": clusters[job as usize % 3],
            "accelerators": {"H100": job % 3},
        })
    };
    (0..jobs).flat_map(|job| (0..if job % 7 == 6 { 3 } else { 1 }).map(move |task| row(job, task))).collect()
}

fn jobs(ids: std::ops::Range<i64>, status: &str) -> Vec<Value> {
    ids.map(|job| json!({"job_id": job, "task_id": 0, "status": status, "job_duration": 60})).collect()
}

fn ok(body: &Value) -> Answer {
    Ok(Response { status: 200, body: body.to_string().into(), ..Response::default() })
}

impl Sky {
    fn answer(&mut self, request: &Request) -> Answer {
        self.requests += 1;
        if let Some(answer) = (self.disturb)(self.requests, request) {
            return answer;
        }
        match (request.method(), request.path()) {
            ("GET", "/api/health") => ok(&json!({"status": "healthy", "api_version": self.api_version})),
            ("GET", _) => {
                let id: usize = request.query_value("request_id").unwrap().parse().unwrap();
                let (path, body) = self.submitted[id].clone();
                let result = match path.as_str() {
                    CLUSTERS => json!([{"status": "UP"}, {"status": "AUTOSTOPPING"}, {"status": "INIT"}]),
                    QUEUE if self.has_pages => self.page(&body),
                    _ => json!(self.rows),
                };
                ok(&json!({"status": "SUCCEEDED", "return_value": result.to_string(), "error": "null"}))
            }
            (_, QUEUE) if !self.has_v2 => Ok(Response { status: 404, ..Response::default() }),
            (_, path) => {
                let headers = vec![("x-skypilot-request-id".into(), self.submitted.len().to_string())];
                self.submitted.push((path.into(), request.body_json()));
                Ok(Response { headers, ..ok(&Value::Null)? })
            }
        }
    }

    fn page(&mut self, body: &Value) -> Value {
        (self.change)(self.submitted.iter().filter(|(path, _)| path == QUEUE).count(), &mut self.rows);
        let number = |key: &str| body[key].as_u64().unwrap() as usize;
        let (skip, limit) = ((number("page") - 1) * number("limit"), number("limit"));
        let is_asked = |row: &&Value| body["statuses"].as_array().is_none_or(|s| s.contains(&row["status"]));
        let root_of = |row: &Value| row["root_job_id"].as_i64().or(row["job_id"].as_i64());
        let asked: Vec<&Value> = self.rows.iter().filter(is_asked).collect();
        let roots: BTreeSet<_> = asked.iter().map(|row| root_of(row)).collect();
        let on_page: BTreeSet<_> = roots.iter().rev().skip(skip).take(limit).collect();
        let (jobs, total): (Vec<&Value>, usize) = match self.pages_rows {
            true => (asked.iter().copied().rev().skip(skip).take(limit).collect(), asked.len()),
            false => (asked.iter().copied().filter(|r| on_page.contains(&root_of(r))).collect(), roots.len()),
        };
        let mut counts = BTreeMap::from([("RUNNING", self.missing)]);
        self.rows.iter().for_each(|row| *counts.entry(row["status"].as_str().unwrap()).or_default() += 1);
        json!({
            "jobs": jobs, "total": total + self.missing, "total_no_filter": self.rows.len(),
            "status_counts": self.has_counts.then_some(counts),
        })
    }

    fn run(mut self) -> Outcome {
        let now = Timestamp::from_second(NOW_S).unwrap();
        let world = World::new(include_str!("../../collector.toml"), now).with("page_size", self.page_size);
        run::<Skypilot>(world.answering(move |request| self.answer(request)))
    }
}

fn values(outcome: &Outcome) -> BTreeMap<String, f64> {
    assert!(outcome.forgotten().is_empty(), "{:?}", outcome.forgotten());
    outcome.points.iter().map(|point| (point.series.clone(), point.value)).collect()
}

/// How many requests were made, none of them twice.
fn requests(outcome: &Outcome) -> usize {
    let distinct: BTreeSet<String> = outcome.requests.iter().map(|request| format!("{request:?}")).collect();
    assert_eq!(distinct.len(), outcome.requests.len(), "a request was made twice");
    distinct.len()
}

#[test]
fn a_history_of_26000_finished_jobs_is_counted_without_being_read() {
    let outcome = sky([world(60), jobs(1000..27_000, "SUCCEEDED")].concat()).run();
    assert_eq!((requests(&outcome), values(&outcome).len()), (5, 30));
    assert_eq!(outcome.value("skypilot.jobs.succeeded"), Some(26_004.0));
}

#[test]
fn every_release_gives_the_same_values_from_the_same_world() {
    let server = sky([world(100), jobs(1000..4000, "SUCCEEDED")].concat());
    let expected = values(&server.clone().run());
    assert_eq!(expected.len(), 30);
    for (what, made, server) in [
        ("many pages", 3 + 2 * 14, Sky { page_size: "6", ..server.clone() }),
        ("no counts: a page, then all rows", 5 + 2 * 4, Sky { has_counts: false, ..server.clone() }),
        ("0.10.5", 3 + 2 * 19, Sky { pages_rows: true, page_size: "6", ..server.clone() }),
        ("0.10.5 without counts", 5 + 2 * 4, Sky { pages_rows: true, has_counts: false, ..server.clone() }),
        ("a list in place of a page", 7, Sky { has_pages: false, ..server.clone() }),
        ("only the old path", 6, Sky { has_v2: false, ..server }),
    ] {
        let outcome = server.run();
        assert_eq!((values(&outcome), requests(&outcome)), (expected.clone(), made), "{what}");
    }
}

#[test]
fn a_failure_at_any_request_leaves_gaps_and_never_a_wrong_value() {
    let failures: [fn() -> Answer; 7] = [
        || Err(Error { kind: ErrorKind::Timeout, message: "too late".into() }),
        || Err(Error { kind: ErrorKind::Broken, message: "broken off".into() }),
        || ok(&json!("not what was asked for")),
        || ok(&json!({"status": "SUCCEEDED", "return_value": "{\"jobs\": ["})),
        || ok(&json!({"status": "FAILED", "error": "{\"type\": \"ValueError\", \"message\": \"no\"}"})),
        || Ok(Response { status: 500, body: "oops".into(), ..Response::default() }),
        || Ok(Response { status: 503, ..Response::default() }),
    ];
    let server = Sky { page_size: "30", ..sky(world(100)) };
    let undisturbed = server.clone().run();
    let expected = values(&undisturbed);
    for (at, failure) in (2..=requests(&undisturbed)).flat_map(|at| failures.map(|failure| (at, failure))) {
        let outcome = Sky { disturb: Rc::new(move |n, _| (n == at).then(failure)), ..server.clone() }.run();
        let left = values(&outcome);
        assert!(outcome.fault.is_some() && matches!(left.len(), 1 | 29), "request {at} left {}", left.len());
        assert!(left.iter().all(|(series, value)| expected[series] == *value), "request {at}");
    }
    for failure in failures {
        let outcome = Sky { disturb: Rc::new(move |_, _| Some(failure())), ..server.clone() }.run();
        assert_eq!((outcome.fault.is_some(), outcome.requests.len(), outcome.points.len()), (true, 1, 0));
    }
}

#[test]
fn a_job_that_comes_or_goes_between_two_pages_is_neither_missed_nor_counted_twice() {
    let server = Sky { page_size: "10", ..sky(jobs(1..26, "RUNNING")) };
    let comes: fn(usize, &mut Vec<Value>) = |page, rows| {
        if page == 2 {
            rows.append(&mut jobs(500..501, "RUNNING"));
        }
    };
    let outcome = Sky { change: comes, ..server.clone() }.run();
    assert_eq!((outcome.value("skypilot.jobs.runtime_buckets.0_1h"), outcome.requests.len()), (Some(25.0), 9));
    let goes: fn(usize, &mut Vec<Value>) = |page, rows| rows.truncate(if page == 1 { 25 } else { 24 });
    let outcome = Sky { change: goes, ..server }.run();
    assert_eq!((outcome.value("skypilot.jobs.runtime_buckets.0_1h"), outcome.fault), (Some(24.0), None));
}

#[test]
fn a_queue_that_holds_less_than_it_promised_is_lost_as_a_whole() {
    let outcome = Sky { missing: 1, page_size: "10", ..sky(world(20)) }.run();
    assert_eq!((outcome.points.len(), outcome.gaps.len()), (1, 29));
    assert!(outcome.fault.unwrap().message.ends_with("page 3 has no new job after 18 of 19"));
}

#[test]
fn a_queue_of_too_many_pages_is_given_up_at_the_last_of_them() {
    let outcome = Sky { page_size: "1", ..sky(jobs(0..150, "RUNNING")) }.run();
    assert_eq!(requests(&outcome) as u64, 3 + 2 * PAGES_MAX);
    assert_eq!((outcome.points.len(), outcome.fault.unwrap().reason), (1, Reason::Limit));
}

#[test]
fn a_state_of_a_release_to_come_is_asked_for_by_its_name() {
    let mut rows = world(20);
    rows.push(json!({"job_id": 90, "status": "HIBERNATING", "user_hash": "another"}));
    let (before, outcome) = (sky(world(20)).run(), sky(rows).run());
    for series in ["skypilot.jobs.queued", "skypilot.users.active_count"] {
        assert_eq!(outcome.value(series), before.value(series).map(|value| value + 1.0), "{series}");
    }
    assert_eq!(requests(&outcome), 7);
    assert!(outcome.log.iter().any(|(_, line)| line.contains("HIBERNATING")));
}

#[test]
fn a_result_that_does_not_come_is_cancelled_by_its_id_alone() {
    let never = |_: usize, request: &Request| match request.path() {
        "/api/get" if request.query_value("request_id") == Some("0") => {
            Some(Ok(Response { status: 504, ..Response::default() }))
        }
        "/api/get" => Some(ok(&json!({"status": "RUNNING"}))),
        _ => None,
    };
    let outcome = Sky { disturb: Rc::new(never), ..sky(world(9)) }.run();
    let cancels = outcome.requests.iter().filter(|request| request.path() == "/api/cancel");
    let bodies: Vec<Value> = cancels.map(Request::body_json).collect();
    assert_eq!(bodies, [json!({"request_ids": ["0"]}), json!({"request_ids": ["2"]})]);
    assert_eq!((outcome.requests.len(), outcome.gaps.len()), (1 + 3 + 2 + POLLS_MAX, 30));
    assert_eq!(outcome.fault.unwrap().reason, Reason::Timeout);
}

#[test]
fn a_server_is_spoken_to_in_the_lower_of_both_versions() {
    for (api_version, said) in [(json!("62"), "62"), (json!(70), "62"), (json!("59"), "59"), (Value::Null, "62")] {
        let outcome = Sky { api_version, ..sky(world(3)) }.run();
        for request in outcome.requests.iter().skip(1) {
            let versions = ["X-SkyPilot-API-Version", "X-SkyPilot-Version"].map(|name| request.header_value(name));
            assert_eq!(versions, [Some(said), Some("0.14.1")], "{request:?}");
        }
    }
}
