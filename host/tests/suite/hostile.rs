//! Hostile programs, one test each: its outcome, its reason, its blame, and the others' results as if it were not there.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::evil::Evil;
use crate::site::{MANIFEST, PLAIN, Site, component, run_of};

/// A villain between two collectors that are well.
struct Stage {
    site: Site,
    evil: Evil,
}

impl Stage {
    /// The built villain, playing an act.
    fn of_act(act: &str, number: usize, path: &str, limits: &str) -> Stage {
        let villain = format!(
            "[collector.villain]\ncomponent = 'hostile.wasm'\nattempts = 1\n\
             settings = {{ act = '{act}', number = {number}, path = '{path}' }}\n\
             limits = {{ deadline = '1s', {limits} }}"
        );
        let stage = Stage::empty();
        Stage { site: stage.site.config(&villain), ..stage }
    }

    /// A file as the villain.
    fn of_file(bytes: &[u8]) -> Stage {
        let stage = Stage::empty();
        let limits = "[collector.villain]\nlimits = { deadline = '1s' }";
        Stage { site: stage.site.file("villain", bytes).config(limits), ..stage }
    }

    fn empty() -> Stage {
        let evil = Evil::start();
        let site = Site::new()
            .guest("hostile")
            .config(&evil.config())
            .config("[collector.hostile]\nenabled = false")
            .config("[collector.calm]\ncomponent = 'hostile.wasm'\nsettings = { act = 'well', number = 7 }")
            .config("[collector.zen]\ncomponent = 'hostile.wasm'\nsettings = { act = 'fetch-many', number = 3, path = '/wait' }");
        Stage { site, evil }
    }

    /// Plays it; the others must be well, and soon. Gives the villain's entry.
    fn play(&self) -> Value {
        let started = Instant::now();
        let report = self.site.report(&["-v"]);
        assert!(started.elapsed() < Duration::from_secs(8), "the cycle took {:?}", started.elapsed());
        for (name, points) in [("calm", 7), ("zen", 3)] {
            let run = run_of(&report, name);
            assert_eq!((run["outcome"].as_str(), run["points"].as_u64()), (Some("emitted"), Some(points)), "{run:#}");
            assert!(run["duration_ms"].as_u64() < Some(900), "{run:#}");
        }
        assert_eq!(report["outcome"], "partial");
        run_of(&report, "villain").clone()
    }
}

/// Outcome, reason, blame and points of a run.
#[track_caller]
fn assert_run(run: &Value, outcome: &str, reason: &str, blame: &str, points: u64, says: &str) {
    let got = (run["outcome"].as_str(), run["reason"].as_str(), run["blame"].as_str(), run["points"].as_u64());
    assert_eq!(got, (Some(outcome), Some(reason), Some(blame), Some(points)), "{run:#}");
    assert!(run["message"].as_str().unwrap().contains(says), "{run:#}");
}

fn played(act: &str, number: usize, path: &str, limits: &str) -> Value {
    Stage::of_act(act, number, path, limits).play()
}

// Time and CPU.

#[test]
fn a_loop_in_collect_ends_at_the_deadline() {
    let run = played("spin", 0, "/", "");
    assert_run(&run, "fault", "deadline", "guest", 0, "while it was at work");
    let ms = run["duration_ms"].as_u64().unwrap();
    assert!((1000..1200).contains(&ms), "{ms} ms");
}

#[test]
fn a_loop_ends_with_its_cpu_budget_if_that_is_smaller() {
    let run = played("spin", 0, "/", "fuel = 100_000_000");
    assert_run(&run, "fault", "fuel", "guest", 0, "fuel (100000000)");
    assert_eq!(run["fuel_used"], 100_000_000);
    assert!(run["duration_ms"].as_u64() < Some(900));
}

#[test]
fn what_was_emitted_before_a_loop_is_kept() {
    assert_run(&played("emit-then-spin", 5, "/", ""), "partial", "deadline", "guest", 5, "while it was at work");
}

#[test]
fn a_loop_in_the_start_section_ends_at_the_deadline() {
    let module = format!("{PLAIN} (func $spin (loop (br 0))) (start $spin) (func (export \"collect\") (result i32) (i32.const 0))");
    let run = Stage::of_file(&component(MANIFEST, &module)).play();
    assert_run(&run, "fault", "deadline", "guest", 0, "while it was at work");
}

#[test]
fn a_loop_in_realloc_ends_at_the_deadline() {
    let manifest = format!("{MANIFEST}[settings.key]\ndefault = 'some value'");
    let module = format!(
        r#"(import "host" "get" (func $get (param i32 i32 i32)))
           {PLAIN}
           (func (export "collect") (result i32) (call $get (i32.const 0) (i32.const 3) (i32.const 64)) (i32.const 0))
           (data (i32.const 0) "key")"#
    );
    // The key is read in the memory that the import was lowered with, which holds zeros: such a key has no value, and nothing
    // has to be put into the guest. So that memory gets the key.
    let bytes = component(&manifest, &module.replace("(data", "(data"));
    let run = Stage::of_file(&bytes).play();
    assert_run(&run, "fault", "deadline", "guest", 0, "while it was at work");
}

#[test]
fn a_loop_in_realloc_while_an_answer_is_handed_over_ends_at_the_deadline() {
    let run = played("realloc", 77_777, "/77777", "");
    assert_eq!((run["outcome"].as_str(), run["reason"].as_str()), (Some("fault"), Some("deadline")), "{run:#}");
}

#[test]
fn a_guest_that_sleeps_ends_at_the_deadline() {
    assert_run(&played("sleep", 60, "/", ""), "fault", "deadline", "guest", 0, "its time was up");
}

#[test]
fn waiting_costs_no_cpu() {
    let run = played("fetch", 0, "/wait", "fuel = 1_000_000");
    assert_eq!(run["outcome"], "emitted", "{run:#}");
}
