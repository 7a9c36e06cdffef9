//! A simulated W&B, and what the collector makes of its answers and its troubles.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use collector_sdk::http::{Error, ErrorKind, Request, Response};
use collector_sdk::testing::{Outcome, World, run};
use collector_sdk::{Reason, Timestamp};
use serde_json::{Value, json};

use super::SPEED_KEYS;
use super::listings::RECENT_PAGES_MAX;
use crate::Wandb;

const NOW: &str = "2025-10-24T12:00:00Z";
const OPTIONAL: [(&str, &str); 3] = [("accuracy_key", "acc"), ("loss_key", "loss"), ("gpu_key", "system.gpu.*.gpu")];

/// A W&B that holds runs and answers as the real one: filters, counts, pages, cursors.
#[derive(Clone, Default)]
struct Simulated {
    runs: Vec<Value>,
    /// The most rows that it gives in one page, whatever is asked.
    page_cap: usize,
    /// Whether each page begins with the last row of the one before.
    repeats: bool,
    /// The request, counted from 1, that goes wrong, and how.
    trouble: Option<(usize, Trouble)>,
    /// What each filter selects, kept because finding it is slow and every page asks for it anew.
    found: Rc<RefCell<BTreeMap<String, Vec<Value>>>>,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Broken,
    Status(u16),
    /// `errors` beside a null, in an answer of status 200.
    Error(&'static str),
    /// A next page without a cursor.
    NoCursor,
    /// The listing ends here, although the count says that there is more.
    EarlyEnd,
    /// The cursor leads back to the first page, for ever.
    Circle,
    /// The last row of the page before stands in the place of one of this page's own.
    Displaced,
}

impl Simulated {
    /// A run every `step_s` seconds back from now, with every state, kind of name and summary.
    fn of(count: usize, step_s: usize) -> Simulated {
        let now: Timestamp = NOW.parse().unwrap();
        let states = ["finished", "running", "finished", "failed", "crashed", "killed", "finished"];
        let names = ["github.sky.main.", "ak.sweep_v", "local."];
        let runs = (0..count).map(|i| {
            let created = now - Duration::from_secs((i * step_s) as u64);
            // Only young runs run, as in real life.
            let state = if i > 60 && i % 7 == 1 { "preempted" } else { states[i % 7] };
            let heartbeat = created + Duration::from_secs(60 * (i % 90) as u64);
            let speeds: String = SPEED_KEYS.map(|key| format!("\"{key}\":{i}.5,")).concat();
            let loss = if i % 5 == 0 { "NaN".into() } else { format!("{i}e-3") };
            json!({
                "id": format!("UnVuOnYx{i:07}"), "name": format!("r{i}"), "state": state,
                "displayName": format!("{}{i}", names[i % 3]), "createdAt": created.to_string(),
                "heartbeatAt": heartbeat.to_string().trim_end_matches('Z'),
                "summaryMetrics": format!("{{{speeds}\"acc\":0.{i},\"loss\":{loss},\"note\":\"a\nb\"}}"),
                "systemMetrics": format!("{{\"system.gpu.0.gpu\":{},\"system.cpu\":3}}", i % 100),
            })
        });
        Simulated { runs: runs.collect(), page_cap: 1000, ..Simulated::default() }
    }

    fn find(&self, filter: &str) -> Vec<Value> {
        let mut found = self.found.borrow_mut();
        let select = || {
            let filter: Value = serde_json::from_str(filter).unwrap();
            let mut runs: Vec<Value> = self.runs.iter().filter(|run| passes(run, &filter)).cloned().collect();
            runs.sort_by_key(|run| run["createdAt"].as_str().unwrap_or_default().to_owned());
            runs
        };
        found.entry(filter.to_owned()).or_insert_with(select).clone()
    }

    fn answer(&self, request: &Request, number: usize) -> Result<Response, Error> {
        let body = request.body_json();
        let variables = &body["variables"];
        assert_eq!((&variables["entity"], &variables["project"]), (&json!("acme"), &json!("rocket")));
        let trouble = self.trouble.filter(|(at, _)| *at == number).map(|(_, trouble)| trouble);
        match trouble {
            Some(Trouble::Broken) => return Err(Error { kind: ErrorKind::Broken, message: "cut".into() }),
            Some(Trouble::Status(status)) => return Ok(Response { status, ..Response::default() }),
            _ => {}
        }
        let found = self.find(variables["filters"].as_str().unwrap());
        let start = variables["cursor"].as_str().map_or(0, |cursor| cursor.parse::<usize>().unwrap());
        let size = usize::try_from(variables["perPage"].as_u64().unwrap()).unwrap().min(self.page_cap);
        let end = found.len().min(start + size);
        let is_displaced = start > 0 && matches!(trouble, Some(Trouble::Displaced));
        let first = if self.repeats || is_displaced { start.saturating_sub(1) } else { start };
        let last = if is_displaced { end - 1 } else { end };
        let edges: Vec<Value> = found[first..last].iter().map(|node| json!({"node": node})).collect();
        let mut project = json!({
            "runCount": found.len(),
            "runs": {"edges": edges, "pageInfo": {"endCursor": end.to_string(), "hasNextPage": end < found.len()}},
        });
        for alias in ["completed7d", "failed7d"] {
            if let Some(filter) = variables[alias].as_str() {
                project[alias] = json!(self.find(filter).len());
            }
        }
        let mut errors = Value::Null;
        match trouble {
            Some(Trouble::Error(field)) => {
                project[field] = Value::Null;
                errors = json!([{"message": "statement timeout", "path": ["project", field]}]);
            }
            Some(Trouble::NoCursor) => project["runs"]["pageInfo"] = json!({"hasNextPage": true}),
            Some(Trouble::EarlyEnd) => project["runs"]["pageInfo"] = json!({"hasNextPage": false}),
            Some(Trouble::Circle) => {
                project["runs"]["pageInfo"] = json!({"hasNextPage": true, "endCursor": variables["cursor"]});
            }
            _ => {}
        }
        Ok(json_response(&json!({"data": {"project": project}, "errors": errors})))
    }

    fn run(&self, settings: &[(&str, &str)]) -> Outcome {
        let (server, mut number) = (self.clone(), 0);
        let answering = move |request: &Request| {
            number += 1;
            server.answer(request, number)
        };
        run_against(answering, settings)
    }
}

fn run_against(
    answering: impl FnMut(&Request) -> Result<Response, Error> + 'static,
    settings: &[(&str, &str)],
) -> Outcome {
    let world = World::new(include_str!("../../collector.toml"), NOW.parse().unwrap());
    let world = world.with("entity", "acme").with("project", "rocket").answering(answering);
    run::<Wandb>(settings.iter().fold(world, |world, (key, value)| world.with(key, value)))
}

fn json_response(json: &Value) -> Response {
    Response { status: 200, body: json.to_string().into_bytes(), ..Response::default() }
}

/// W&B's filter language, as far as it is used.
fn passes(run: &Value, filter: &Value) -> bool {
    filter.as_object().unwrap().iter().all(|(key, wanted)| {
        let parts = || wanted.as_array().unwrap().iter();
        let field = match key.strip_prefix("summary_metrics.") {
            Some(key) => run["summaryMetrics"].as_str().filter(|text| text.contains(&format!("\"{key}\""))).into(),
            None => run[key].clone(),
        };
        match key.as_str() {
            "$and" => parts().all(|part| passes(run, part)),
            "$or" => parts().any(|part| passes(run, part)),
            _ if wanted["$exists"] == true => !field.is_null(),
            _ if wanted["$in"].is_array() => wanted["$in"].as_array().unwrap().contains(&field),
            _ if wanted["$gte"].is_string() => field.as_str() >= wanted["$gte"].as_str(),
            _ => field == *wanted,
        }
    })
}

fn values(outcome: &Outcome) -> BTreeMap<String, f64> {
    outcome.points.iter().map(|point| (point.series.clone(), point.value)).collect()
}

#[test]
fn a_quiet_project_costs_one_request_and_one_for_each_optional_listing() {
    for (count, step_s) in [(0, 1), (90, 960)] {
        assert_eq!(Simulated::of(count, step_s).run(&[]).requests.len(), 1);
        let outcome = Simulated::of(count, step_s).run(&OPTIONAL);
        assert_eq!((outcome.requests.len(), outcome.fault.clone(), outcome.forgotten()), (3, None, vec![]));
    }
}

#[test]
fn a_project_of_26_000_runs_stays_under_40_requests_and_none_is_made_twice_or_without_a_filter() {
    // 1,310 runs of a day, 9,164 of a week: 14 pages of 100, 19 of 500, and 1 of those that run.
    let outcome = Simulated::of(26_000, 86_400 / 1300).run(&OPTIONAL);
    assert_eq!((outcome.requests.len(), &outcome.fault), (14 + 19 + 1, &None));
    assert_eq!(outcome.value("wandb.runs.total_recent"), Some(1310.0));
    let bodies: BTreeSet<String> = outcome.requests.iter().map(|request| request.body_json().to_string()).collect();
    assert_eq!(bodies.len(), outcome.requests.len());
    assert!(bodies.iter().all(|body| body.contains(r#"\"createdAt\""#) || body.contains(r#"{\"state\":\"running\"}"#)));
}

#[test]
fn neither_the_page_size_nor_rows_repeated_at_a_page_boundary_change_a_figure() {
    let whole = Simulated::of(400, 300).run(&OPTIONAL);
    for (page_size, repeats) in [(20, false), (20, true), (99, true), (100, false)] {
        let simulated = Simulated { page_cap: page_size, repeats, ..Simulated::of(400, 300) };
        let paged = simulated.run(&[&OPTIONAL[..], &[("page_size", &page_size.to_string())]].concat());
        assert_eq!((values(&paged), &paged.fault), (values(&whole), &None), "{page_size} {repeats}");
    }
}

#[test]
fn trouble_at_any_request_costs_whole_groups_and_changes_no_other_figure() {
    let simulated = Simulated { page_cap: 60, ..Simulated::of(400, 300) };
    let whole = simulated.run(&OPTIONAL);
    // The pages of recent runs, of scored ones, of running ones.
    assert_eq!((whole.requests.len(), &whole.fault), (5 + 7 + 1, &None));
    let transport = [Trouble::Broken, Trouble::Status(502), Trouble::Status(429), Trouble::Error("runs")];
    let paging = [Trouble::NoCursor, Trouble::EarlyEnd, Trouble::Circle, Trouble::Displaced];
    for (number, trouble) in (1..=13).flat_map(|n| transport.iter().chain(&paging).map(move |t| (n, *t))) {
        let outcome = Simulated { trouble: Some((number, trouble)), ..simulated.clone() }.run(&OPTIONAL);
        let is_harmless =
            matches!((number, trouble), (5 | 12 | 13, Trouble::EarlyEnd) | (1 | 6 | 13, Trouble::Displaced));
        assert_eq!(outcome.fault.is_none(), is_harmless, "{number} {trouble:?}");
        assert!(outcome.forgotten().is_empty() && outcome.requests.len() <= 13, "{number} {trouble:?}");
        let wrong = values(&outcome).into_iter().find(|(series, value)| whole.value(series) != Some(*value));
        assert_eq!(wrong, None, "{number} {trouble:?}");
        let week_is_lost = outcome.gap("wandb.runs.failed_7d").is_some();
        assert_eq!(week_is_lost, number == 1 && matches!(trouble, Trouble::Broken | Trouble::Status(_)), "{trouble:?}");
    }
}

#[test]
fn an_error_in_one_count_costs_that_count_alone() {
    let trouble = Some((1, Trouble::Error("completed7d")));
    let outcome = Simulated { trouble, ..Simulated::of(90, 960) }.run(&[]);
    assert_eq!(outcome.gaps.len(), 1);
    assert_eq!(outcome.gap("wandb.runs.completed_7d"), Some("runs completed in 7 days: W&B says: statement timeout"));
}

#[test]
fn an_answer_without_a_project_is_told_apart_by_what_it_says() {
    for (answer, reason) in [
        (json!({"data": {"project": null}}), Reason::NotFound),
        (json!({"data": {"project": null}, "errors": [{"message": "project not found"}]}), Reason::NotFound),
        (json!({"data": null, "errors": [{"message": "Rate limit exceeded"}]}), Reason::RateLimited),
        (json!({"data": null, "errors": [{"message": "permission denied"}]}), Reason::Unauthorized),
        (json!({"errors": [{}]}), Reason::UpstreamError),
        (json!({"data": null}), Reason::BadAnswer),
        (json!([]), Reason::BadAnswer),
    ] {
        let response = json_response(&answer);
        let outcome = run_against(move |_| Ok(response.clone()), &[]);
        assert_eq!(outcome.fault.map(|fault| fault.reason), Some(reason), "{answer}");
        assert_eq!((outcome.points.len(), outcome.gaps.len()), (0, 22), "{answer}");
    }
}

#[test]
fn pages_without_end_are_given_up() {
    let mut number = 0;
    let endless = move |_: &Request| {
        number += 1;
        let page_info = json!({"hasNextPage": true, "endCursor": number.to_string()});
        Ok(json_response(&json!({"data": {"project": {"runs": {"edges": [], "pageInfo": page_info}}}})))
    };
    let outcome = run_against(endless, &[]);
    assert_eq!((outcome.requests.len(), outcome.fault.unwrap().reason), (RECENT_PAGES_MAX, Reason::Limit));
}

#[test]
fn a_listing_that_would_take_too_many_pages_is_given_up_after_the_first() {
    let outcome = Simulated { page_cap: 20, ..Simulated::of(700, 800) }.run(&OPTIONAL);
    assert_eq!((outcome.requests.len(), outcome.fault.as_ref().unwrap().reason), (6 + 1 + 1, Reason::Limit));
    assert!(outcome.gap("wandb.metrics.best_accuracy").unwrap().ends_with("more than 30 pages; raise page_size"));
}

#[test]
fn settings_that_make_no_sense_are_said_before_anything_is_asked() {
    for (key, value) in [("page_size", "0"), ("page_size", "1001"), ("page_size", "many"), ("project", "")] {
        let outcome = run_against(|_| unreachable!(), &[(key, value)]);
        assert_eq!(outcome.fault.unwrap().reason, Reason::Setting, "{key} {value:?}");
    }
}

#[test]
fn a_time_is_read_however_it_is_written_and_is_utc_without_a_zone() {
    let hours_since = |created_at: &str| {
        let run = json!({"id": "a", "state": "finished", "createdAt": created_at, "heartbeatAt": NOW});
        let listing = json!({"edges": [{"node": run}], "pageInfo": {"hasNextPage": false}});
        let answer = json_response(&json!({"data": {"project": {"runCount": 1, "runs": listing}}}));
        run_against(move |_| Ok(answer.clone()), &[]).value("wandb.training.avg_duration_hours")
    };
    for text in
        ["2025-10-24T11:00:00", "2025-10-24T11:00:00Z", "2025-10-24T11:00:00.000+00:00", "2025-10-24 13:00:00+02"]
    {
        assert_eq!(hours_since(text), Some(1.0), "{text}");
    }
    assert_eq!(hours_since("2025-10-24T11:59:59.75"), Some(0.25 / 3600.0));
    for text in ["", "yesterday", "2025-13-01T00:00:00Z"] {
        assert_eq!(hours_since(text), None, "{text}");
    }
}
