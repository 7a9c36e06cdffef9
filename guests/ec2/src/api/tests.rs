//! An EC2 of any size that answers as the real one pages, and what the whole collector makes of it.

use std::collections::{BTreeMap, BTreeSet};

use collector_sdk::Reason;
use collector_sdk::http::{Error, ErrorKind, Request, Response};
use collector_sdk::testing::{Outcome, World, run};
use serde_json::{Value, json};

use crate::Ec2;

const NOW: &str = "2025-10-24T12:00:00Z";

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    TimedOut,
    Status(u16),
    /// The page names itself as the next one.
    Circle,
}

#[derive(Clone, Debug)]
struct Simulated {
    instances: usize,
    volumes: usize,
    snapshots: usize,
    /// Types that the instances have in turn; every fourth is a GPU type.
    types: usize,
    page_size: usize,
    /// Each page begins with the last row of the page before.
    repeats: bool,
    /// Every page of rows comes after one without any.
    empty_pages: bool,
    /// The request that goes wrong, counted from 1, and how.
    trouble: Option<(usize, Trouble)>,
}

impl Default for Simulated {
    fn default() -> Simulated {
        Simulated {
            instances: 60,
            volumes: 50,
            snapshots: 40,
            types: 8,
            page_size: 20,
            repeats: false,
            empty_pages: false,
            trouble: None,
        }
    }
}

impl Simulated {
    fn name_type(&self, number: usize) -> String {
        format!("{}{}.xlarge", if number.is_multiple_of(4) { "g" } else { "m" }, number % self.types)
    }

    /// Of every ten instances two are spot, one is stopped, one began just now.
    fn instance(&self, number: usize) -> Value {
        json!({
            "id": format!("i-{number:08x}"),
            "instance_type": self.name_type(number),
            "state": if number % 10 == 3 { "stopped" } else { "running" },
            "lifecycle": if number % 10 < 2 { json!("spot") } else { Value::Null },
            "launch_time": if number % 10 == 4 { "2025-10-24T11:30:00Z" } else { "2025-10-20T12:00:00Z" },
            "availability_zone": if number.is_multiple_of(2) { "us-east-1a" } else { "us-east-1b" },
            "platform": "Linux/UNIX",
            "tenancy": "default",
            "cores": if number % 10 == 5 { json!(1) } else { Value::Null },
            "threads_per_core": if number % 10 == 5 { json!(2) } else { Value::Null },
        })
    }

    fn page(&self, request: &Request, count: usize, row: impl Fn(usize) -> Value) -> Value {
        let step: usize = request.query_value("next_token").map_or(0, |token| token.parse().unwrap());
        let is_empty = self.empty_pages && step.is_multiple_of(2);
        let number = if self.empty_pages { step / 2 } else { step };
        let first = (number * self.page_size).saturating_sub(usize::from(self.repeats && number > 0));
        let end = count.min((number + 1) * self.page_size);
        let rows: Vec<Value> = if is_empty { vec![] } else { (first..end).map(row).collect() };
        let next = (is_empty || end < count).then(|| (step + 1).to_string());
        json!({"rows": rows, "next_token": next})
    }

    fn answer(&self, request: &Request, number: usize) -> Result<Response, Error> {
        let trouble = self.trouble.filter(|(at, _)| *at == number).map(|(_, trouble)| trouble);
        match trouble {
            Some(Trouble::TimedOut) => return Err(Error { kind: ErrorKind::Timeout, message: "not in time".into() }),
            Some(Trouble::Status(status)) => return Ok(Response { status, ..Response::default() }),
            _ => {}
        }
        let list = |name: &str| -> Vec<String> {
            request.query_value(name).unwrap_or_default().split(',').map(str::to_owned).collect()
        };
        let mut answer = match request.path() {
            "/region" => json!("us-east-1"),
            "/instances" => self.page(request, self.instances, |n| self.instance(n)),
            "/volumes" => self.page(
                request,
                self.volumes,
                |n| json!({"id": format!("vol-{n:08x}"), "size": 100 + n, "attachments": n % 3}),
            ),
            "/snapshots" => {
                self.page(request, self.snapshots, |n| json!({"id": format!("snap-{n:08x}"), "volume_size": 8 + n}))
            }
            "/types" => {
                let names = list("names");
                assert!(names.len() <= 100);
                let gpus = |name: &str| if name.starts_with('g') { json!(4) } else { Value::Null };
                let row = |name: &String| json!({"name": name, "default_vcpus": 4, "gpus": gpus(name)});
                json!({"rows": names.iter().map(row).collect::<Vec<_>>(), "refused": []})
            }
            "/spot-prices" => {
                let prices: Vec<Value> = list("types").iter().flat_map(|name| spot_prices(name)).collect();
                self.page(request, prices.len(), |n| prices[n].clone())
            }
            "/utilizations" => {
                let ids = list("instances");
                assert!(ids.len() <= 500);
                let asked = ["start", "end", "period_s"].map(|name| request.query_value(name).unwrap());
                assert_eq!(asked, ["2025-10-24T11:00:00Z", NOW, "300"]);
                let busy = |id: &String| if id.ends_with('0') { 50.0 } else { 1.5 };
                ids.iter().map(|id| json!({"instance_id": id, "averages": vec![busy(id); 12]})).collect()
            }
            path => panic!("nobody knows {path}"),
        };
        if trouble == Some(Trouble::Circle) {
            answer["next_token"] = json!(request.query_value("next_token"));
        }
        Ok(Response { status: 200, body: answer.to_string().into_bytes(), ..Response::default() })
    }

    fn run(&self) -> Outcome {
        let (upstream, mut number) = (self.clone(), 0);
        let answering = move |request: &Request| {
            number += 1;
            upstream.answer(request, number)
        };
        let world = World::new(include_str!("../../collector.toml"), NOW.parse().unwrap()).answering(answering);
        let rows = (0..self.types).flat_map(|n| ["g", "m"].map(|kind| format!("us-east-1,{kind}{n}.xlarge,0.5\n")));
        run::<Ec2>(world.with("prices", &rows.collect::<String>()))
    }
}

/// In both zones, today and a month ago.
fn spot_prices(name: &str) -> Vec<Value> {
    let zones = [("us-east-1a", 0.125), ("us-east-1b", 0.25)];
    let times = [("2025-09-24T12:00:00Z", 1.0), ("2025-10-24T09:00:00Z", 0.0)];
    let each = zones.iter().flat_map(|zone| times.iter().map(move |time| (zone, time)));
    each.map(|((zone, usd), (time, more))| {
        json!({"instance_type": name, "availability_zone": zone, "product": "Linux/UNIX", "price": usd + more, "time": time})
    })
    .collect()
}

fn values(outcome: &Outcome) -> BTreeMap<String, f64> {
    outcome.points.iter().map(|point| (point.series.clone(), point.value)).collect()
}

fn count(outcome: &Outcome, path: &str) -> usize {
    outcome.requests.iter().filter(|request| request.path() == path).count()
}

#[test]
fn an_empty_account_costs_one_request_for_each_list_and_one_for_the_region() {
    let empty = Simulated { instances: 0, volumes: 0, snapshots: 0, ..Simulated::default() };
    let outcome = empty.run();
    assert_eq!((outcome.requests.len(), &outcome.fault, outcome.forgotten()), (4, &None, vec![]));
    assert_eq!((outcome.points.len(), outcome.gaps.len()), (17, 3));
}

#[test]
fn five_thousand_instances_take_as_many_requests_as_pages_demand_and_none_twice() {
    let large = Simulated {
        instances: 5000,
        volumes: 8000,
        snapshots: 20_000,
        types: 250,
        page_size: 1000,
        ..Simulated::default()
    };
    let outcome = large.run();
    assert_eq!((&outcome.fault, outcome.gaps.len(), outcome.forgotten()), (&None, 0, vec![]));
    // 4,000 instances have run for an hour; they are of 375 types, and the spot instances of 75.
    let expected = [
        ("/region", 1),
        ("/instances", 5),
        ("/volumes", 8),
        ("/snapshots", 20),
        ("/types", 4),
        ("/utilizations", 8),
        ("/spot-prices", 1),
    ];
    for (path, requests) in expected {
        assert_eq!(count(&outcome, path), requests, "{path}");
    }
    let different: BTreeSet<String> = outcome.requests.iter().map(|request| format!("{request:?}")).collect();
    assert_eq!(different.len(), outcome.requests.len());
    assert_eq!(outcome.value("ec2.instances.total"), Some(5000.0));
    assert_eq!(outcome.value("ec2.instances.running"), Some(4500.0));
}

#[test]
fn neither_page_sizes_nor_repeated_rows_nor_empty_pages_change_a_figure() {
    let whole = Simulated { page_size: 1000, ..Simulated::default() }.run();
    for (page_size, repeats, empty_pages) in
        [(20, false, false), (20, true, false), (7, true, true), (1000, false, true)]
    {
        let paged = Simulated { page_size, repeats, empty_pages, ..Simulated::default() }.run();
        assert_eq!((values(&paged), &paged.fault), (values(&whole), &None), "{page_size} {repeats} {empty_pages}");
    }
}

#[test]
fn trouble_at_any_request_costs_whole_groups_and_changes_no_other_figure() {
    let whole = Simulated::default().run();
    assert_eq!((whole.points.len(), &whole.fault), (20, &None));
    let total = whole.requests.len();
    let troubles = [Trouble::TimedOut, Trouble::Status(403), Trouble::Status(503), Trouble::Status(500)];
    for (number, trouble) in (1..=total).flat_map(|number| troubles.map(|trouble| (number, trouble))) {
        let outcome = Simulated { trouble: Some((number, trouble)), ..Simulated::default() }.run();
        let request = &whole.requests[number - 1];
        assert!(outcome.fault.is_some() && outcome.requests.len() <= total, "{number} {trouble:?}");
        let wrong = values(&outcome).into_iter().find(|(series, value)| whole.value(series) != Some(*value));
        assert_eq!(wrong, None, "{number} {trouble:?}");
        let lost = match request.path() {
            "/region" => 20,
            "/instances" => 14,
            "/volumes" => 4,
            "/snapshots" => 2,
            "/types" => 3,
            "/spot-prices" => 3,
            _ => 1,
        };
        assert_eq!(outcome.points.len(), 20 - lost, "{number} {trouble:?} {}", request.path());
        assert!(request.path() == "/region" || outcome.forgotten().is_empty(), "{number} {trouble:?}");
    }
}

#[test]
fn a_page_that_names_itself_as_the_next_one_costs_its_list() {
    let whole = Simulated::default().run();
    for (number, request) in whole.requests.iter().enumerate() {
        if request.query_value("next_token").is_none() {
            continue;
        }
        let outcome = Simulated { trouble: Some((number + 1, Trouble::Circle)), ..Simulated::default() }.run();
        assert_eq!(outcome.fault.as_ref().map(|fault| fault.reason), Some(Reason::BadAnswer), "{}", request.path());
        assert!(outcome.forgotten().is_empty() && outcome.requests.len() <= whole.requests.len());
        let wrong = values(&outcome).into_iter().find(|(series, value)| whole.value(series) != Some(*value));
        assert_eq!(wrong, None, "{}", request.path());
    }
}

#[test]
fn a_missing_right_is_told_with_the_group_that_it_cost() {
    let whole = Simulated::default().run();
    let number = whole.requests.iter().position(|request| request.path() == "/utilizations").unwrap() + 1;
    let outcome = Simulated { trouble: Some((number, Trouble::Status(403))), ..Simulated::default() }.run();
    assert_eq!(outcome.fault.as_ref().map(|fault| fault.reason), Some(Reason::Unauthorized));
    let gap = outcome.gap("ec2.instances.idle").unwrap();
    assert_eq!(gap, "ec2 CPU utilization: /utilizations: the credentials lack a right");
}

#[test]
fn only_what_needs_it_is_asked_for() {
    let outcome = Simulated::default().run();
    let list = |path: &str, name: &str| -> Vec<String> {
        let request = outcome.requests.iter().find(|request| request.path() == path).unwrap();
        request.query_value(name).unwrap().split(',').map(str::to_owned).collect()
    };
    // 12 of 60 are spot, 6 stopped, 6 began just now.
    assert_eq!(list("/utilizations", "instances").len(), 48);
    assert_eq!(list("/types", "names").len(), 8);
    let spot: BTreeSet<String> = (0..60).filter(|n| n % 10 < 2).map(|n| Simulated::default().name_type(n)).collect();
    assert_eq!(list("/spot-prices", "types"), spot.into_iter().collect::<Vec<_>>());
}

#[test]
fn the_figures_of_the_simulated_world_are_these() {
    let outcome = Simulated::default().run();
    let hourly = 42.0 * 0.5 + 6.0 * 0.125 + 6.0 * 0.25;
    for (series, value) in [
        ("ec2.instances.total", 60.0),
        ("ec2.instances.running", 54.0),
        ("ec2.instances.stopped", 6.0),
        ("ec2.instances.spot", 12.0),
        ("ec2.instances.ondemand", 48.0),
        ("ec2.instances.gpu_instances", 15.0),
        ("ec2.instances.gpu_count", 60.0),
        // Six tell their own 2.
        ("ec2.instances.cpu_count", 54.0 * 4.0 + 6.0 * 2.0),
        // Of the 48 that have run for an hour, those are busy whose id ends in 0: numbers 0, 16, 32 and 48.
        ("ec2.instances.idle", 44.0),
        ("ec2.ebs.volumes.total", 50.0),
        ("ec2.ebs.volumes.attached", 33.0),
        ("ec2.ebs.volumes.size_gb", 50.0 * 100.0 + 49.0 * 25.0),
        ("ec2.ebs.snapshots.size_gb", 40.0 * 8.0 + 39.0 * 20.0),
        ("ec2.cost.running_hourly_estimate", hourly),
        ("ec2.cost.monthly_estimate", 730.0 * hourly),
        ("ec2.cost.spot_savings_pct", 100.0 * (6.0 - 2.25) / 6.0),
    ] {
        assert_eq!(outcome.value(series), Some(value), "{series}");
    }
}

#[test]
fn pages_in_a_circle_cost_their_list_alone() {
    let upstream = Simulated::default();
    let answering = move |request: &Request| match request.path() {
        "/snapshots" => {
            let next = if request.query_value("next_token") == Some("a") { "b" } else { "a" };
            let body = json!({"rows": [{"id": "snap-1", "volume_size": 8}], "next_token": next});
            Ok(Response { status: 200, body: body.to_string().into_bytes(), ..Response::default() })
        }
        _ => upstream.answer(request, 0),
    };
    let world = World::new(include_str!("../../collector.toml"), NOW.parse().unwrap()).answering(answering);
    let outcome = run::<Ec2>(world);
    assert_eq!(outcome.gap("ec2.ebs.snapshots.total"), Some("ec2 snapshots: the pages go in a circle"));
    assert_eq!(outcome.fault.map(|fault| fault.reason), Some(Reason::BadAnswer));
    assert!(outcome.points.iter().any(|point| point.series == "ec2.instances.idle"));
}
