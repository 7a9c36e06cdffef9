//! Cycles: order, attempts, deadlines, signals, state.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::evil::Evil;
use crate::intake::Intake;
use crate::site::{Called, Site, run_of};

fn site(evil: &Evil) -> Site {
    Site::new()
        .guest("hostile")
        .config(&evil.config())
        .config("[limits]\nfuel = 1_000_000_000_000")
        .config("[collector.hostile]\nenabled = false")
}

fn player(name: &str, settings: &str, more: &str) -> String {
    format!("[collector.{name}]\ncomponent = 'hostile.wasm'\nsettings = {{ {settings} }}\n{more}")
}

#[test]
fn everything_runs_at_once() {
    let evil = Evil::start();
    let mut site = site(&evil);
    for n in 0..20 {
        site = site.config(&player(&format!("wait-{n}"), "act = 'fetch', path = '/wait'", ""));
    }
    let report = site.report(&[]);
    assert_eq!((report["outcome"].as_str(), report["runs"].as_array().unwrap().len()), (Some("well"), 20));
    assert!(report["duration_ms"].as_u64() < Some(1000), "{}", report["duration_ms"]);
    let in_turn = site.report(&["--jobs", "2"]);
    assert!(in_turn["duration_ms"].as_u64() >= Some(1000), "{}", in_turn["duration_ms"]);
}

#[test]
fn a_run_waits_for_the_end_of_another_one_and_not_for_its_success() {
    let evil = Evil::start();
    let site = site(&evil).config(&player("first", "act = 'spin'", "limits = { deadline = '500ms' }")).config(&player(
        "second",
        "act = 'fetch', path = '/after-first'",
        "after = ['first']",
    ));
    let started = Instant::now();
    let report = site.report(&[]);
    assert_eq!(run_of(&report, "first")["reason"], "deadline");
    assert_eq!(run_of(&report, "second")["outcome"], "emitted");
    assert!(started.elapsed() > Duration::from_millis(500));
    assert_eq!(evil.count("/after-first"), 1);
}

#[test]
fn a_run_that_waits_takes_no_place_from_one_that_could_run() {
    let evil = Evil::start();
    let site = site(&evil)
        .config(&player("a", "act = 'well'", "after = ['b']"))
        .config(&player("b", "act = 'well'", "after = ['c']"))
        .config(&player("c", "act = 'well'", ""));
    assert_eq!(site.report(&["--jobs", "1"])["outcome"], "well");
}

#[test]
fn an_upstream_that_comes_back_is_asked_again() {
    let evil = Evil::start();
    let report = site(&evil).config(&player("x", "act = 'fetch', path = '/flaky'", "")).report(&[]);
    let run = run_of(&report, "x");
    assert_eq!((run["outcome"].as_str(), run["http"]["requests"].as_u64()), (Some("emitted"), Some(3)), "{run:#}");
    assert_eq!(run["attempts"], 1);
}

#[test]
fn an_upstream_that_says_how_long_to_wait_is_waited_for() {
    let evil = Evil::start();
    let report = site(&evil).config(&player("x", "act = 'fetch', path = '/throttle'", "")).report(&[]);
    let run = run_of(&report, "x");
    assert_eq!((run["outcome"].as_str(), run["http"]["throttled"].as_u64()), (Some("emitted"), Some(1)), "{run:#}");
    assert!(run["duration_ms"].as_u64() >= Some(1000), "{run:#}");
}

#[test]
fn a_run_with_nothing_to_show_is_tried_again_where_that_may_help() {
    let evil = Evil::start();
    let site = site(&evil)
        .config(&player("nothing", "act = 'fault'", "attempts = 3"))
        .config(&player("something", "act = 'emit-then-fault'", "attempts = 3"))
        .config(&player("hopeless", "act = 'panic'", "attempts = 3"));
    let report = site.report(&[]);
    let attempts = |name: &str| run_of(&report, name)["attempts"].as_u64().unwrap();
    assert_eq!((attempts("nothing"), attempts("something"), attempts("hopeless")), (3, 1, 1), "{report:#}");
    assert_eq!(run_of(&report, "something")["outcome"], "partial");
}

#[test]
fn an_upstream_whose_limit_is_used_up_is_not_asked_before_it_said_by_anybody() {
    let evil = Evil::start();
    let site = site(&evil).config(&player("a", "act = 'fetch-in-turn', number = 2, path = '/last-one'", ""));
    let report = site.report(&[]);
    let run = run_of(&report, "a");
    assert_eq!((&run["outcome"], &run["http"]["throttled"]), (&"emitted".into(), &0.into()), "{run:#}");
    assert!(run["duration_ms"].as_u64() >= Some(950), "{run:#}");
    // Told to one, and known to the other one.
    let evil = Evil::start();
    let config = player("b", "act = 'fetch', path = '/used-up'", "")
        + &player("c", "act = 'fetch', path = '/used-up/again'", "after = ['b']");
    let report = self::site(&evil).config(&config).report(&[]);
    for name in ["b", "c"] {
        let run = run_of(&report, name);
        assert!(run["values"].as_array().unwrap().iter().any(|point| point["value"] == 429.0), "{run:#}");
    }
    assert_eq!((evil.count("/used-up"), evil.count("/used-up/again")), (1, 0));
}

#[test]
fn attempts_stay_within_the_collectors_deadline() {
    let evil = Evil::start();
    let site = site(&evil).config(&player("x", "act = 'fault'", "attempts = 50\nlimits = { deadline = '2s' }"));
    let report = site.report(&[]);
    let run = run_of(&report, "x");
    assert!(run["duration_ms"].as_u64() < Some(2100) && run["attempts"].as_u64() < Some(5), "{run:#}");
}

#[test]
fn the_cycle_ends_in_time_for_delivery_whatever_collectors_do() {
    let evil = Evil::start();
    let site = site(&evil)
        .config(&player("spins", "act = 'emit-then-spin'", ""))
        .config(&player("waits", "act = 'emit-then-wait', path = '/never'", ""))
        .config(&player("never-begins", "act = 'well'", "after = ['spins']"));
    let report = site.report(&["--deadline", "2s"]);
    assert!(report["duration_ms"].as_u64() < Some(2000), "{}", report["duration_ms"]);
    for (name, blame, points) in [("spins", "guest", 5), ("waits", "upstream", 5), ("never-begins", "host", 0)] {
        let run = run_of(&report, name);
        let got = (run["reason"].as_str(), run["blame"].as_str(), run["points"].as_u64());
        assert_eq!(got, (Some("cycle-deadline"), Some(blame), Some(points)), "{run:#}");
    }
}

#[test]
fn a_signal_ends_the_attempts_keeps_everything_and_reports() {
    for signal in ["TERM", "INT"] {
        let (evil, intake) = (Evil::start(), Intake::start());
        let site = site(&evil)
            .env("DD_API_KEY", "the-api-key")
            .config(&intake.config())
            .config(&player("well", "act = 'well', number = 7", ""))
            .config(&player("waits", "act = 'emit-then-wait', path = '/never'", ""))
            .config(&player("later", "act = 'well'", "after = ['waits']"));
        let child = site.start(&["run-all", "--format", "json"]);
        let since = Instant::now();
        while evil.count("/never") == 0 {
            assert!(since.elapsed() < Duration::from_secs(20), "it never began");
            std::thread::sleep(Duration::from_millis(10));
        }
        let signalled = Instant::now();
        let sent = std::process::Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        let called = Called::of(child.wait_with_output().unwrap());
        assert!(signalled.elapsed() < Duration::from_secs(3), "{:?}", signalled.elapsed());
        assert_eq!(called.code, 3, "{called:#?}");
        let report = called.json();
        for (name, outcome, reason) in [
            ("well", "emitted", Value::Null),
            ("waits", "partial", "cancelled".into()),
            ("later", "fault", "cancelled".into()),
        ] {
            let run = run_of(&report, name);
            assert_eq!((run["outcome"].as_str(), &run["reason"]), (Some(outcome), &reason), "{run:#}");
        }
        let values = intake.series().iter().filter(|s| s["metric"] == "hostile.value").count();
        assert_eq!(values, 7 + 5);
        assert!(called.stderr.contains(&format!("SIG{signal}: ending all attempts")), "{}", called.stderr);
    }
}

#[test]
fn the_age_of_the_last_good_run_is_remembered_across_cycles() {
    let (evil, intake) = (Evil::start(), Intake::start());
    let base = site(&evil).env("DD_API_KEY", "the-api-key").config(&intake.config());
    let site = base.config(&player("x", "act = 'well'", ""));
    let age = |intake: &Intake| {
        let series = intake.series();
        let last = series.iter().rfind(|s| s["metric"] == "collector.last_good_age_seconds");
        last.map(|s| s["points"][0]["value"].as_f64().unwrap())
    };
    assert_eq!(site.call(&["run-all", "--now", "2025-10-24T12:00:00Z"]).code, 0);
    assert_eq!(age(&intake), Some(0.0));
    let site = site.replace_config("act = 'well'", "act = 'panic'");
    assert_eq!(site.call(&["run-all", "--now", "2025-10-24T12:45:00Z"]).code, 4);
    assert_eq!(age(&intake), Some(2700.0));
}

#[test]
fn a_damaged_state_file_costs_the_history_and_nothing_else() {
    let (evil, intake) = (Evil::start(), Intake::start());
    let site = site(&evil).env("DD_API_KEY", "the-api-key").config(&intake.config()).config(&player(
        "x",
        "act = 'well', number = 4",
        "",
    ));
    assert_eq!(site.call(&["run-all"]).code, 0);
    let file = site.dir.path().join("state/state.db");
    std::fs::write(&file, b"no database at all".repeat(500)).unwrap();
    let called = site.call(&["run-all", "--format", "json"]);
    assert_eq!(called.code, 1, "{called:#?}");
    let report = called.json();
    assert_eq!(run_of(&report, "x")["outcome"], "emitted");
    assert!(report["host_faults"][0].as_str().unwrap().contains("state.db"), "{report:#}");
    assert_eq!(intake.series().iter().filter(|s| s["metric"] == "hostile.value").count(), 8);
    assert_eq!(std::fs::read(&file).unwrap(), b"no database at all".repeat(500));
}

#[test]
fn a_damaged_cache_entry_is_compiled_anew() {
    let evil = Evil::start();
    let site = site(&evil).config(&player("x", "act = 'well'", ""));
    let cache = site.dir.path().join("own-cache");
    std::fs::create_dir_all(cache.join("cache")).unwrap();
    let state = cache.display().to_string();
    let dry = ["run-all", "--dry-run", "--format", "json", "--state", &state];
    assert_eq!(site.call(&dry).code, 0);
    let entries = || std::fs::read_dir(cache.join("cache")).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    let entry = entries().into_iter().find(|path| path.extension().is_some_and(|e| e == "cwasm")).unwrap();
    let whole = std::fs::read(&entry).unwrap();
    for damage in [&whole[..whole.len() / 2], &[whole[..1000].to_vec(), vec![0; whole.len() - 1000]].concat(), b""] {
        std::fs::write(&entry, damage).unwrap();
        let called = site.call(&dry);
        assert_eq!((called.code, called.json()["outcome"].as_str()), (0, Some("well")), "{called:#?}");
        assert!(called.stderr.contains("compiled anew") || damage.is_empty(), "{}", called.stderr);
        assert_eq!(std::fs::read(&entry).unwrap().len(), whole.len());
    }
}

#[test]
fn all_guests_take_the_start_of_the_cycle_for_now() {
    let evil = Evil::start();
    let site =
        site(&evil).config(&player("a", "act = 'wall-clock'", "")).config(&player("b", "act = 'wall-clock'", ""));
    let report = site.report(&["--now", "2025-10-24T12:00:00Z"]);
    for name in ["a", "b"] {
        let values = run_of(&report, name)["values"].as_array().unwrap();
        assert!(values.iter().any(|point| point["value"] == 1_761_307_200.0), "{values:?}");
    }
}

#[test]
fn a_collector_that_keeps_coming_to_nothing_is_left_alone_for_a_while_and_the_others_are_not() {
    let intake = Intake::start();
    let site = Site::new()
        .guest("hostile")
        .env("DD_API_KEY", "the-api-key")
        .config(&intake.config())
        .config("[upstream.evil]\nbase_url = 'http://127.0.0.1:9'\n[cycle]\nschedule = '1m'\npause_after = 2")
        .config("[collector.hostile]\nsettings = { act = 'panic' }\n[collector.well]\ncomponent = 'hostile.wasm'");
    let cycle = |minute: u32, more: &[&str]| {
        let now = format!("2025-10-24T12:{minute:02}:00Z");
        let called = site.call(&[&["run-all", "--format", "json", "--now", &now], more].concat());
        let report = called.json();
        assert_eq!(run_of(&report, "hostile")["outcome"], "fault");
        if more.is_empty() {
            assert_eq!(run_of(&report, "well")["outcome"], "emitted");
        }
        run_of(&report, "hostile").clone()
    };
    let reasons: Vec<String> = (0..7).map(|minute| cycle(minute, &[])["reason"].as_str().unwrap().to_owned()).collect();
    assert_eq!(reasons, ["panic", "panic", "paused", "panic", "paused", "paused", "panic"]);
    let paused = cycle(7, &[]);
    assert_eq!((paused["attempts"].as_u64(), paused["fuel_used"].as_u64()), (Some(0), Some(0)));
    let says = "left alone for 4 cycles: its last 4 runs came to nothing; the last one: panic: ";
    assert!(paused["message"].as_str().unwrap().starts_with(says), "{paused:#}");
    assert_eq!(cycle(8, &["--only", "hostile"])["reason"], "panic");
    let value = |series: &str| {
        let all = intake.series();
        let of = all.iter().filter(|s| s["metric"] == series && s["tags"].to_string().contains("collector:hostile"));
        of.map(|s| s["points"][0]["value"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(value("collector.paused")[..4], [0.0, 0.0, 1.0, 0.0]);
    assert_eq!(value("collector.faults_in_a_row")[..4], [1.0, 2.0, 2.0, 3.0]);
}
