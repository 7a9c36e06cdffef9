//! Points on their way to Datadog: what is sent, and what becomes of points when the intake says no.

use serde_json::Value;

use crate::intake::{Answer, Intake};
use crate::site::{Called, Site};

fn site(intake: &Intake, points: usize) -> Site {
    Site::new()
        .guest("hostile")
        .env("DD_API_KEY", "the-api-key")
        .env("DD_ENV", "test")
        .config(&intake.config())
        .config("[cycle]\ndeadline = '8s'\ndelivery_reserve = '4s'")
        .config("[upstream.evil]\nbase_url = 'http://127.0.0.1:9'")
        .config(&format!("[collector.hostile]\nsettings = {{ number = {points} }}\ntags = {{ team = 'infra' }}"))
}

/// The host's own series for one run: `collector.up` and the others.
const OWN: u64 = 10;

fn sink(called: &Called) -> Value {
    called.json()["sinks"][0].clone()
}

#[test]
fn points_arrive_with_the_slot_as_time_and_everybodys_tags() {
    let intake = Intake::start();
    let called = site(&intake, 5).call(&["run-all", "--format", "json", "--now", "2025-10-24T12:07:31Z"]);
    assert_eq!(called.code, 0, "{called:#?}");
    assert_eq!(sink(&called)["delivered"], 5 + OWN);
    let series = intake.series();
    let point = series.iter().find(|s| s["metric"] == "hostile.value" && s["points"][0]["value"] == 3.0).unwrap();
    let slot = "2025-10-24T12:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(point["points"], serde_json::json!([{"timestamp": slot, "value": 3.0}]));
    assert_eq!(point["tags"], serde_json::json!(["env:test", "n:3", "source:hostile-collector", "team:infra"]));
    assert_eq!((point["type"].as_u64(), point["unit"].as_str()), (Some(3), Some("count")));
    let up = series.iter().find(|s| s["metric"] == "collector.up").unwrap();
    assert_eq!(up["points"][0]["value"], 1.0);
    assert_eq!(
        up["tags"],
        serde_json::json!(["collector:hostile", "env:test", "outcome:emitted", "source:host-collector"])
    );
    let request = &intake.requests()[0];
    assert!(request.head.contains("dd-api-key: the-api-key") && request.head.contains("content-encoding: gzip"));
}

#[test]
fn a_sink_that_takes_nothing_does_not_keep_the_host_until_the_cycles_deadline() {
    let intake = Intake::start();
    let site = site(&intake, 5)
        .replace_config("deadline = '8s'\ndelivery_reserve = '4s'", "deadline = '5m'\ndelivery_reserve = '1s'")
        .config("[limits]\ndeadline = '1s'\n[collector.late]\ncomponent = 'hostile.wasm'\nsettings = { act = 'emit-then-spin' }");
    intake.answer(&vec![Answer::Status(503, ""); 200]);
    let down = site.call(&["run-all", "--format", "json", "--now", "2025-10-24T12:00:00Z"]);
    let milliseconds = down.json()["duration_ms"].as_u64().unwrap();
    assert_eq!(down.code, 5, "{down:#?}");
    // As long as a collector runs, and a second more; not five minutes.
    assert!((1000..30_000).contains(&milliseconds), "{milliseconds}");
    assert_eq!(sink(&down)["reasons"]["deferred"].as_object().unwrap().keys().next().unwrap(), "503");
    intake.answer(&[]);
    let up = site.call(&["run-all", "--format", "json", "--now", "2025-10-24T12:15:00Z"]);
    let waited = sink(&down)["deferred"].as_u64().unwrap();
    assert_eq!(
        (sink(&up)["delivered"].as_u64(), sink(&up)["deferred"].as_u64()),
        (Some(2 * waited), Some(0)),
        "{up:#?}"
    );
}

#[test]
fn what_waits_is_shown_without_components_and_without_a_key() {
    let intake = Intake::start();
    let site = site(&intake, 5);
    intake.answer(&vec![Answer::Status(401, ""); 9]);
    assert_eq!(site.call(&["run-all"]).code, 5);
    std::fs::remove_dir_all(site.dir.path().join("components")).unwrap();
    let shown = site.env("DD_API_KEY", "").call(&["spool", "--format", "json"]);
    assert_eq!(
        (shown.code, &shown.json()["segments"][0]["points"]["datadog"]),
        (0, &Value::from(5 + OWN)),
        "{shown:#?}"
    );
}

#[test]
fn a_repeated_cycle_of_the_same_slot_writes_the_same_points() {
    let intake = Intake::start();
    let site = site(&intake, 5);
    let key = |s: &Value| format!("{} {} {}", s["metric"], s["tags"], s["points"]);
    let mut sets = Vec::new();
    for now in ["2025-10-24T12:00:00Z", "2025-10-24T12:14:59Z"] {
        let before = intake.series().len();
        assert_eq!(site.call(&["run-all", "--now", now]).code, 0);
        let all = intake.series();
        let mut set: Vec<String> = all[before..].iter().filter(|s| s["metric"] == "hostile.value").map(key).collect();
        set.sort();
        sets.push(set);
    }
    assert_eq!(sets[0].len(), 5);
    assert_eq!(sets[0], sets[1]);
}

#[test]
fn a_dry_run_says_which_series_are_new_against_the_last_cycle() {
    let intake = Intake::start();
    let site = site(&intake, 5);
    let dry = ["run-all", "--dry-run", "--now", "2025-10-24T12:20:00Z"];
    let first = site.call(&dry);
    assert!(first.stdout.contains("5 custom metrics; no cycle is known to compare with"), "{first:#?}");
    assert_eq!(site.call(&["run-all", "--now", "2025-10-24T12:00:00Z"]).code, 0);
    let site = site.replace_config("number = 5", "number = 7");
    let second = site.call(&dry);
    let says = "7 custom metrics, of which 2 are new against the cycle of 2025-10-24T12:00:00Z\n  \
                hostile: hostile.value{n:5}, hostile.value{n:6}\n";
    assert!(second.stdout.contains(says), "{second:#?}");
    let json = site.call(&[&dry[..], &["--format", "json"]].concat()).json();
    let new: Vec<bool> = json["runs"][0]["values"].as_array().unwrap().iter().map(|v| v["new"] == true).collect();
    assert_eq!(new, [false, false, false, false, false, true, true]);
}

#[test]
fn what_is_deferred_is_tried_again_until_it_is_taken() {
    let intake = Intake::start();
    intake.answer(&[Answer::Status(503, ""), Answer::Cut, Answer::Status(429, ""), Answer::Status(408, "")]);
    let called = site(&intake, 5).call(&["run-all", "--format", "json"]);
    assert_eq!(called.code, 0, "{called:#?}");
    assert_eq!(sink(&called)["delivered"], 5 + OWN);
    assert_eq!(intake.series().len() as u64, 5 + OWN);
    assert!(called.stderr.contains("datadog: not delivered yet, again in"), "{}", called.stderr);
}

#[test]
fn an_intake_that_never_takes_them_leaves_them_deferred_by_reason_and_the_exit_code_says_so() {
    for (answers, says) in
        [(vec![Answer::Status(503, "down"); 50], "503"), (vec![Answer::Never; 50], "no whole answer")]
    {
        let intake = Intake::start();
        intake.answer(&answers);
        let site = site(&intake, 5)
            .replace_config("deadline = '8s'\ndelivery_reserve = '4s'", "deadline = '3s'\ndelivery_reserve = '2s'");
        let called = site.call(&["run-all", "--format", "json"]);
        assert_eq!(called.code, 5, "{called:#?}");
        let sink = sink(&called);
        assert_eq!((sink["delivered"].as_u64(), sink["deferred"].as_u64()), (Some(0), Some(5 + OWN)), "{sink:#}");
        let reasons = sink["reasons"]["deferred"].as_object().unwrap();
        assert!(reasons.keys().all(|reason| reason.contains(says)), "{sink:#}");
        assert!(called.json()["duration_ms"].as_u64() < Some(3500));
    }
}

#[test]
fn a_refused_payload_is_dropped_and_counted_by_reason() {
    let intake = Intake::start();
    intake.answer(&[Answer::Status(400, "{\"errors\":[\"bad metric\"]}")]);
    let called = site(&intake, 5).call(&["run-all", "--format", "json"]);
    assert_eq!(called.code, 5, "{called:#?}");
    let sink = sink(&called);
    assert_eq!(sink["rejected"].as_u64().unwrap() + sink["delivered"].as_u64().unwrap(), 5 + OWN, "{sink:#}");
    assert!(sink["reasons"]["rejected"]["400 bad metric"].as_u64() > Some(0), "{sink:#}");
}

#[test]
fn a_payload_that_is_too_large_for_the_intake_is_cut_in_two() {
    let intake = Intake::start();
    intake.answer(&[Answer::Status(413, ""), Answer::Status(413, "")]);
    let called = site(&intake, 40).call(&["run-all", "--format", "json"]);
    assert_eq!((called.code, sink(&called)["delivered"].as_u64()), (0, Some(40 + OWN)), "{called:#?}");
    assert_eq!(intake.series().len() as u64, 40 + OWN);
    assert!(intake.requests().len() >= 3);
}

#[test]
fn an_intake_that_does_not_take_the_key_is_asked_once() {
    for status in [401, 403] {
        let intake = Intake::start();
        intake.answer(&vec![Answer::Status(status, "{\"errors\":[\"Forbidden\"]}"); 50]);
        let called = site(&intake, 5).call(&["run-all", "--format", "json"]);
        assert_eq!(called.code, 5, "{called:#?}");
        let reasons = sink(&called)["reasons"]["deferred"].clone();
        assert_eq!(reasons[format!("held: {status} Forbidden")].as_u64(), Some(5 + OWN), "{reasons:#}");
        assert!(called.stderr.contains("look at [sink.datadog] and its key"), "{}", called.stderr);
    }
}

#[test]
fn many_points_are_split_within_both_limits() {
    let intake = Intake::start();
    let site = site(&intake, 200_000).config("[limits]\npoints = 200_000\nseries = 400_000\nmemory = '512MiB'");
    let called = site.call(&["run-all", "--format", "json"]);
    assert_eq!((called.code, sink(&called)["delivered"].as_u64()), (0, Some(200_000 + OWN)), "{}", called.stderr);
    for request in intake.requests() {
        assert!(request.sent_bytes <= 512_000 && request.unpacked.len() <= 5_242_880);
    }
    assert_eq!(intake.series().len() as u64, 200_000 + OWN);
}

#[test]
fn the_stdout_sink_writes_lines_of_json_and_the_report_goes_elsewhere() {
    let site = Site::new().guest("hostile").config("[sink.stdout]\n[upstream.evil]\nbase_url = 'http://127.0.0.1:9'");
    let called = site.call(&["run-all", "--format", "json"]);
    let lines: Vec<Value> = called.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len() as u64, 5 + OWN);
    assert_eq!(lines[0]["series"], "hostile.value");
    assert!(called.stderr.contains("\"schema\": 1"), "{}", called.stderr);
}

#[test]
fn a_tag_whose_values_come_and_go_uses_up_the_series_of_an_hour_and_no_other_hours() {
    let intake = Intake::start();
    let site = site(&intake, 5).config("[collector.hostile.limits]\nseries = 6");
    let run = |site: &Site, now: &str| {
        let report = site.call(&["run-all", "--format", "json", "--now", now]).json();
        let run = report["runs"][0].clone();
        (run["outcome"].as_str().unwrap().to_owned(), run["points"].as_u64().unwrap(), run["message"].to_string())
    };
    assert_eq!(run(&site, "2025-10-24T12:00:00Z").1, 5);
    // Five known ones, a new one, and two too many.
    let site = site.replace_config("number = 5", "number = 8");
    let (outcome, points, reason) = run(&site, "2025-10-24T12:15:00Z");
    assert_eq!((outcome.as_str(), points), ("partial", 6), "{reason}");
    assert!(reason.contains("more series within an hour than the limit series (6)"), "{reason}");
    // Two known ones and another new one: not within the hour of the others.
    let site = site.replace_config("number = 8", "act = 'long-tag', number = 9");
    assert_eq!(run(&site, "2025-10-24T12:45:00Z").1, 2);
    assert_eq!(run(&site, "2025-10-24T13:45:00Z"), ("emitted".into(), 3, "null".into()));
}
