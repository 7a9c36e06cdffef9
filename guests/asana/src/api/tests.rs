//! A simulated Asana, and what the collector makes of its answers and its troubles.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use collector_sdk::http::{Error, ErrorKind, Request, Response};
use collector_sdk::testing::{Outcome, World, run};
use collector_sdk::{Reason, Timestamp};
use serde_json::{Value, json};

use super::listing::REQUESTS_MAX;
use crate::Asana;

const NOW: &str = "2025-10-24T12:00:00Z";
const BUGS: &str = "1207100000000001";
const TASKS_PATH: &str = "/projects/1207100000000001/tasks";

/// An Asana that holds tasks and projects and answers as the real one: filters, fields, pages, offsets.
#[derive(Clone, Default)]
struct Simulated {
    tasks: Vec<Value>,
    projects: Vec<Value>,
    /// Whether each page begins with the last row of the one before.
    repeats: bool,
    /// The request, counted from 1, that goes wrong, and how.
    trouble: Option<(usize, Trouble)>,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Broken,
    Status(u16),
    /// An answer of status 200 with this body.
    Text(&'static str),
    /// A next page without an offset.
    NoOffset,
    /// The offset leads back to the page that was asked for, for ever.
    Circle,
    /// A row that cannot be told from others.
    NoGid,
    /// Every offset is refused from this request on.
    OffsetsRefused,
}

impl Simulated {
    /// So many listed tasks, of every section, age and state, and so many projects that are not archived.
    fn of(tasks: usize, projects: usize) -> Simulated {
        let now: Timestamp = NOW.parse().unwrap();
        let ago = |hours: usize| (now - Duration::from_secs(hours as u64 * 3600)).to_string();
        let sections = ["Triage", "Active", "Backlog", "Inactive", "Waiting for active triage"];
        let task = |i: usize| {
            let completed_at = if i.is_multiple_of(3) { json!(ago(i % 700)) } else { Value::Null };
            let here = json!({"project": {"gid": BUGS}, "section": {"gid": "1", "name": sections[i % 5]}});
            let elsewhere = json!({"project": {"gid": "9"}, "section": {"gid": "2", "name": "Triage"}});
            json!({
                "gid": format!("1208{i:012}"), "name": format!("Bug {i}"), "completed": i.is_multiple_of(3),
                "completed_at": completed_at, "created_at": ago(i % 700 + i % 90),
                "memberships": if i.is_multiple_of(2) { json!([here, elsewhere]) } else { json!([elsewhere, here]) },
            })
        };
        let long_done = json!({
            "gid": "1", "completed": true, "completed_at": ago(31 * 24), "created_at": ago(32 * 24), "memberships": []
        });
        let statuses = ["on_track", "at_risk", "off_track", "on_hold", "complete"];
        let project = |i: usize| {
            let update = json!({"gid": "5", "title": "Weekly", "status_type": statuses[i % 5]});
            let update = if i.is_multiple_of(4) { Value::Null } else { update };
            json!({"gid": format!("1209{i:012}"), "archived": false, "current_status_update": update})
        };
        let archived = json!({"gid": "2", "archived": true, "current_status_update": {"status_type": "on_track"}});
        Simulated {
            tasks: (0..tasks).map(task).chain([long_done]).collect(),
            projects: (0..projects).map(project).chain([archived]).collect(),
            ..Simulated::default()
        }
    }

    fn answer(&self, request: &Request, number: usize) -> Result<Response, Error> {
        let fields: Vec<&str> = request.query_value("opt_fields").unwrap().split(',').collect();
        let found: Vec<Value> = match request.path() {
            TASKS_PATH => {
                let since: Timestamp = request.query_value("completed_since").unwrap().parse().unwrap();
                // Exclusive, as it may be read.
                let is_listed = |task: &&Value| {
                    task["completed_at"].as_str().is_none_or(|time| time.parse::<Timestamp>().unwrap() > since)
                };
                self.tasks.iter().filter(is_listed).map(|task| project_on(task, &fields)).collect()
            }
            "/projects" => {
                assert_eq!(request.query_value("workspace"), Some("1200"));
                let archived: bool = request.query_value("archived").unwrap().parse().unwrap();
                let is_listed = |project: &&Value| project["archived"] == archived;
                self.projects.iter().filter(is_listed).map(|project| project_on(project, &fields)).collect()
            }
            other => panic!("{other}"),
        };
        let limit: usize = request.query_value("limit").unwrap().parse().unwrap();
        assert!((1..=100).contains(&limit));
        let start: usize =
            request.query_value("offset").map_or(0, |offset| offset.strip_prefix("eyJ").unwrap().parse().unwrap());
        let trouble = self.trouble.filter(|(at, trouble)| match trouble {
            Trouble::OffsetsRefused => *at <= number && start > 0,
            _ => *at == number,
        });
        let end = found.len().min(start + limit);
        let first = if self.repeats { start.saturating_sub(1) } else { start };
        let mut data = found[first..end].to_vec();
        let page = |offset: Value| json!({"offset": offset, "path": "/…", "uri": "https://app.asana.com/api/1.0/…"});
        let mut next_page = if end < found.len() { page(json!(format!("eyJ{end}"))) } else { Value::Null };
        match trouble.map(|(_, trouble)| trouble) {
            Some(Trouble::Broken) => return Err(Error { kind: ErrorKind::Broken, message: "cut".into() }),
            Some(Trouble::Status(status)) => return Ok(refusal(status, "sad squid")),
            Some(Trouble::OffsetsRefused) => return Ok(refusal(400, "offset: Your pagination token has expired.")),
            Some(Trouble::Text(text)) => return Ok(Response { status: 200, body: text.into(), ..Response::default() }),
            Some(Trouble::NoOffset) => next_page = page(Value::Null),
            Some(Trouble::Circle) => next_page = page(json!(format!("eyJ{start}"))),
            Some(Trouble::NoGid) => data.push(json!({"completed": false})),
            None => {}
        }
        Ok(json_response(200, &json!({"data": data, "next_page": next_page})))
    }

    fn run(&self, page_size: usize) -> Outcome {
        let (server, mut number) = (self.clone(), 0);
        let answering = move |request: &Request| {
            number += 1;
            server.answer(request, number)
        };
        run_against(answering, &[("page_size", &page_size.to_string())])
    }
}

/// The row with its gid and the fields that were asked for, and nothing else.
fn project_on(row: &Value, fields: &[&str]) -> Value {
    fn pick(from: &Value, field: &str, into: &mut Value) {
        if let (Value::Array(from), Value::Array(into)) = (from, &mut *into) {
            from.iter().zip(into).for_each(|(from, into)| pick(from, field, into));
            return;
        }
        let (head, tail) = field.split_once('.').map_or((field, None), |(head, tail)| (head, Some(tail)));
        match (tail, &from[head]) {
            (Some(tail), inner) if inner.is_object() || inner.is_array() => {
                if into[head].is_null() {
                    let bare =
                        |from: &Value| if from["gid"].is_null() { json!({}) } else { json!({"gid": from["gid"]}) };
                    into[head] = inner.as_array().map_or_else(|| bare(inner), |rows| rows.iter().map(bare).collect());
                }
                pick(inner, tail, &mut into[head]);
            }
            (_, value) => into[head] = value.clone(),
        }
    }
    let mut picked = json!({"gid": row["gid"]});
    fields.iter().for_each(|field| pick(row, field, &mut picked));
    picked
}

fn run_against(
    answering: impl FnMut(&Request) -> Result<Response, Error> + 'static,
    settings: &[(&str, &str)],
) -> Outcome {
    let world = World::new(include_str!("../../collector.toml"), NOW.parse().unwrap());
    let world = world.with("workspace", "1200").with("bugs_project", BUGS).answering(answering);
    run::<Asana>(settings.iter().fold(world, |world, (key, value)| world.with(key, value)))
}

fn json_response(status: u16, json: &Value) -> Response {
    Response { status, body: json.to_string().into_bytes(), ..Response::default() }
}

fn refusal(status: u16, message: &str) -> Response {
    json_response(status, &json!({"errors": [{"message": message, "help": "read the docs"}]}))
}

fn values(outcome: &Outcome) -> BTreeMap<String, f64> {
    outcome.points.iter().map(|point| (point.series.clone(), point.value)).collect()
}

#[test]
fn a_workspace_of_2000_tasks_and_350_projects_costs_24_requests_and_none_is_made_twice() {
    let outcome = Simulated::of(2000, 350).run(100);
    assert_eq!((outcome.requests.len(), &outcome.fault, outcome.forgotten()), (20 + 4, &None, vec![]));
    let asked: BTreeSet<String> = outcome.requests.iter().map(|request| format!("{request:?}")).collect();
    assert_eq!(asked.len(), outcome.requests.len());
    assert_eq!(outcome.value("asana.projects.bugs.total_open"), Some(1333.0));
    assert_eq!(outcome.value("asana.projects.active"), Some(350.0));
}

#[test]
fn a_small_workspace_costs_two_requests() {
    for count in [0, 1, 99, 100] {
        let outcome = Simulated::of(count, count).run(100);
        assert_eq!((outcome.requests.len(), outcome.fault, outcome.points.len() + outcome.gaps.len()), (2, None, 14));
    }
    assert_eq!(Simulated::of(101, 100).run(100).requests.len(), 3);
}

#[test]
fn neither_the_page_size_nor_rows_repeated_at_a_page_boundary_change_a_figure() {
    let whole = Simulated::of(130, 60).run(100);
    assert_eq!((whole.points.len(), &whole.fault), (14, &None));
    for (page_size, repeats) in [(1, false), (7, true), (99, true), (100, true)] {
        let paged = Simulated { repeats, ..Simulated::of(130, 60) }.run(page_size);
        assert_eq!((values(&paged), &paged.fault), (values(&whole), &None), "{page_size} {repeats}");
    }
}

#[test]
fn trouble_at_any_request_costs_one_whole_group_and_changes_no_other_figure() {
    let simulated = Simulated::of(60, 40);
    let whole = simulated.run(10);
    assert_eq!((whole.requests.len(), whole.points.len()), (6 + 4, 14));
    let transport = [Trouble::Broken, Trouble::Status(500), Trouble::Status(429), Trouble::Status(404)];
    let bodies = ["", "null", "[]", "{}", r#"{"data": {}}"#, r#"{"data": [], "next_page": {}}"#, r#"{"errors": []}"#];
    let paging = [Trouble::NoOffset, Trouble::Circle, Trouble::NoGid];
    let troubles: Vec<Trouble> = transport.into_iter().chain(bodies.map(Trouble::Text)).chain(paging).collect();
    for (number, trouble) in (1..=10).flat_map(|number| troubles.iter().map(move |trouble| (number, *trouble))) {
        let outcome = Simulated { trouble: Some((number, trouble)), ..simulated.clone() }.run(10);
        // An offset to the first page, which was asked for without one, costs a request and nothing else.
        let lost = match (number, trouble) {
            (1 | 7, Trouble::Circle) => 0,
            (1..=6, _) => 10,
            _ => 4,
        };
        assert_eq!((outcome.gaps.len(), outcome.fault.is_some()), (lost, lost > 0), "{number} {trouble:?}");
        assert!(outcome.forgotten().is_empty() && outcome.requests.len() <= 11, "{number} {trouble:?}");
        let wrong = values(&outcome).into_iter().find(|(series, value)| whole.value(series) != Some(*value));
        assert_eq!(wrong, None, "{number} {trouble:?}");
    }
}

#[test]
fn an_offset_that_is_refused_once_begins_its_listing_anew() {
    let simulated = Simulated::of(60, 40);
    let whole = simulated.run(10);
    for number in 1..=10 {
        let outcome = Simulated { trouble: Some((number, Trouble::Status(400))), ..simulated.clone() }.run(10);
        match number {
            // A first page that is refused is not asked for again: nothing would be different.
            1 => assert_eq!((outcome.requests.len(), outcome.gaps.len()), (1 + 4, 10)),
            7 => assert_eq!((outcome.requests.len(), outcome.gaps.len()), (6 + 1, 4)),
            _ => {
                let in_vain = if number < 7 { number } else { number - 6 };
                assert_eq!(outcome.requests.len(), 10 + in_vain, "{number}");
                assert_eq!((values(&outcome), outcome.fault), (values(&whole), None), "{number}");
            }
        }
    }
}

#[test]
fn an_offset_that_is_refused_again_is_a_fault() {
    let outcome = Simulated { trouble: Some((2, Trouble::OffsetsRefused)), ..Simulated::of(60, 5) }.run(10);
    let (fault, asked) = (outcome.fault.clone().unwrap(), outcome.requests.len());
    assert_eq!((asked, fault.reason, outcome.gaps.len()), (2 + 2 + 1, Reason::UpstreamError, 10));
    assert!(fault.message.starts_with("begun anew: tasks of the bugs project, page 2: asana GET"), "{fault}");
}

#[test]
fn a_listing_without_end_is_given_up_and_does_not_take_the_other_with_it() {
    let mut number = 0;
    let endless = move |request: &Request| {
        number += 1;
        let next_page = if request.path() == "/projects" { Value::Null } else { json!({"offset": number.to_string()}) };
        Ok(json_response(200, &json!({"data": [], "next_page": next_page})))
    };
    let outcome = run_against(endless, &[]);
    assert_eq!((outcome.requests.len(), outcome.fault.clone().unwrap().reason), (REQUESTS_MAX + 1, Reason::Limit));
    assert_eq!((outcome.points.len(), outcome.gaps.len()), (4, 10));
}

#[test]
fn a_page_may_be_empty_and_not_the_last() {
    let answering = |request: &Request| {
        let row = json!({"gid": "1", "completed": false, "created_at": NOW});
        Ok(json_response(
            200,
            &match request.query_value("offset") {
                None => json!({"data": [], "next_page": {"offset": "a"}}),
                Some(_) => json!({"data": [row]}),
            },
        ))
    };
    let outcome = run_against(answering, &[]);
    assert_eq!(outcome.value("asana.projects.bugs.other_count"), Some(1.0));
    assert_eq!((outcome.value("asana.projects.active"), outcome.fault), (Some(1.0), None));
}

#[test]
fn a_bugs_project_that_is_not_set_or_not_to_be_seen_leaves_the_projects() {
    let unset = Simulated::of(60, 40);
    let unset = run_against(move |request| unset.answer(request, 1), &[("bugs_project", "")]);
    assert_eq!((unset.requests.len(), unset.points.len(), unset.gaps.len(), unset.fault), (1, 4, 10, None));
    for (status, reason) in [(403, Reason::Unauthorized), (404, Reason::NotFound)] {
        let trouble = Some((1, Trouble::Status(status)));
        let outcome = Simulated { trouble, ..Simulated::of(60, 40) }.run(100);
        assert_eq!((outcome.points.len(), outcome.gaps.len()), (4, 10));
        assert_eq!(outcome.fault.unwrap().reason, reason);
    }
}

#[test]
fn settings_that_make_no_sense_are_said_before_anything_is_asked() {
    for (key, value) in [("page_size", "0"), ("page_size", "101"), ("page_size", "many"), ("workspace", "")] {
        let outcome = run_against(|_| unreachable!(), &[(key, value)]);
        assert_eq!(outcome.fault.unwrap().reason, Reason::Setting, "{key} {value:?}");
    }
}

#[test]
fn completed_since_is_a_whole_second_however_odd_the_hour() {
    let world = World::new(include_str!("../../collector.toml"), "2025-10-24T12:00:00.123456789Z".parse().unwrap());
    let answering = |_: &Request| Ok(json_response(200, &json!({"data": [], "next_page": null})));
    let outcome = run::<Asana>(world.with("workspace", "1200").with("bugs_project", "a/b").answering(answering));
    let tasks = outcome.requests.iter().find(|request| request.path() == "/projects/a%2Fb/tasks").unwrap();
    assert_eq!(tasks.query_value("completed_since"), Some("2025-09-24T11:59:59Z"));
}
