//! Hostile programs, one test each: its outcome, its reason, its blame, and the others' results as if it were not there.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::evil::Evil;
use crate::site::{MANIFEST, PLAIN, Site, component, component_text, run_of};

/// A villain between two collectors that are well.
struct Stage {
    site: Site,
    evil: Evil,
}

impl Stage {
    /// The built villain, playing an act.
    fn of_act(act: &str, number: usize, path: &str, limits: &str) -> Stage {
        let deadline = if limits.contains("deadline") { "" } else { "deadline = '1s', " };
        let villain = format!(
            "[collector.villain]\ncomponent = 'hostile.wasm'\nattempts = 1\n\
             settings = {{ act = '{act}', number = {number}, path = '{path}' }}\n\
             limits = {{ {deadline}{limits} }}"
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
            // So much that a fast machine does not use it up before a deadline that is to be shown.
            .config("[limits]\nfuel = 1_000_000_000_000")
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
    let module = format!(
        "{PLAIN} (func $spin (loop (br 0))) (start $spin) (func (export \"collect\") (result i32) (i32.const 0))"
    );
    let run = Stage::of_file(&component(MANIFEST, &module)).play();
    assert_run(&run, "fault", "deadline", "guest", 0, "while it was at work");
}

#[test]
fn a_loop_in_realloc_ends_at_the_deadline() {
    let manifest = format!("{MANIFEST}[settings.key]\ndefault = 'some value'");
    let module = format!(
        r#"(import "host" "get" (func $get (param i32 i32 i32)))
           {PLAIN}
           (func (export "collect") (result i32) (call $get (i32.const 0) (i32.const 3) (i32.const 64)) (i32.const 0))"#
    );
    let run = Stage::of_file(&component(&manifest, &module)).play();
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
    let run = played("fetch", 0, "/stall", "fuel = 1_000_000");
    assert_run(&run, "fault", "deadline", "upstream", 0, "while it waited for an upstream");
}

// Stack, memory, tables.

#[test]
fn recursion_ends_with_the_stack() {
    assert_run(&played("recurse", 0, "/", ""), "fault", "stack-overflow", "guest", 0, "recursed without end");
}

#[test]
fn recursion_with_large_frames_ends_with_the_stack_in_linear_memory() {
    let run = played("recurse-with-frames", 0, "/", "");
    assert_run(&run, "fault", "stack-overflow", "guest", 0, "recursed without end");
}

#[test]
fn memory_ends_at_its_cap() {
    let run = played("grow", 0, "/", "memory = '16MiB'");
    assert_run(&run, "fault", "memory", "guest", 0, "memory (16 MiB)");
    assert!(run["memory_peak_bytes"].as_u64() <= Some(16 << 20), "{run:#}");
    assert!(run["hint"].as_str().unwrap().contains("[collector.villain.limits]"), "{run:#}");
}

#[test]
fn memory_that_is_too_large_from_the_start_is_refused() {
    let plain = PLAIN.replace("\"memory\") 1)", "\"memory\") 2000)");
    let module = format!("{plain} (func (export \"collect\") (result i32) (i32.const 0))");
    assert_run(
        &Stage::of_file(&component(MANIFEST, &module)).play(),
        "fault",
        "memory",
        "guest",
        0,
        "needs more from the start",
    );
}

#[test]
fn a_table_ends_at_its_cap() {
    let module = format!(
        r#"{PLAIN} (table $t 1 funcref)
           (func (export "collect") (result i32)
             (loop (drop (table.grow $t (ref.null func) (i32.const 1000))) (br 0)) (i32.const 0))"#
    );
    let run = Stage::of_file(&component(MANIFEST, &module)).play();
    assert_run(&run, "fault", "resources", "guest", 0, "table_elements (20000)");
}

#[test]
fn instances_end_at_their_cap() {
    let many: String = (0..40).map(|_| "(core instance (instantiate $guest))").collect();
    let module = format!("{PLAIN} (func (export \"collect\") (result i32) (i32.const 0))");
    let text = component_text(MANIFEST, &module)
        .replace("(func (export \"collect\") async", &format!("{many} (func (export \"collect\") async"));
    let run = Stage::of_file(&wat::parse_str(text).unwrap()).play();
    assert_run(&run, "fault", "resources", "guest", 0, "the configured maximum of 32");
}

#[test]
fn handles_end_at_their_cap() {
    let module = format!(
        r#"(import "resource" "new" (func $new (param i32) (result i32)))
           {PLAIN}
           (func (export "collect") (result i32) (loop (drop (call $new (i32.const 7))) (br 0)) (i32.const 0))"#
    );
    let text = component_text(MANIFEST, &module);
    let resource = "(component (type $r (resource (rep i32))) (core func $new (canon resource.new $r))
        (core instance $resource (export \"new\" (func $new)))";
    let text = text.replacen("(component", resource, 1);
    let text = text.replace("(instantiate $guest )", "(instantiate $guest (with \"resource\" (instance $resource)))");
    let run = Stage::of_file(&wat::parse_str(text).unwrap()).play();
    assert_run(&run, "fault", "resources", "guest", 0, "handles (1000)");
}

#[test]
fn one_call_cannot_hand_over_more_than_the_host_takes() {
    let run = played("one-call", 6000, "/", "points = 1_000_000");
    assert_run(&run, "fault", "hostcall-fuel", "guest", 0, "hostcall (4 MiB)");
}

#[test]
fn a_panic_says_where_and_what() {
    assert_run(&played("panic", 0, "/", ""), "fault", "panic", "guest", 0, "as told to");
    assert_run(&played("emit-then-panic", 4, "/", ""), "partial", "panic", "guest", 4, "after emitting");
    assert_run(&played("exit", 0, "/", ""), "fault", "panic", "guest", 0, "exit code");
}

// Points and log.

#[test]
fn ten_million_points_end_at_the_limit_and_those_before_are_kept() {
    let run = played("flood-points", 10_000_000, "/", "points = 500");
    assert_run(&run, "partial", "deadline", "guest", 500, "while it was at work");
}

#[test]
fn points_beyond_the_limit_are_a_limit() {
    assert_run(&played("points", 3000, "/", "points = 500"), "partial", "limit", "guest", 500, "points (500)");
}

#[test]
fn a_tag_of_a_megabyte_is_refused_and_the_other_points_are_kept() {
    let run = played("long-tag", 1 << 20, "/", "");
    assert_run(&run, "partial", "contract", "guest", 2, "a tag of 1048578 bytes, more than tag_bytes (200)");
}

#[test]
fn a_point_that_breaks_a_rule_is_refused_and_the_other_points_are_kept() {
    for (act, says) in [
        ("nan", "the value is NaN"),
        ("infinity", "the value is inf"),
        ("undeclared", "\"hostile.never_declared\" is not declared"),
        ("bad-tag", "tag key \"other\" is not declared"),
        ("many-tags", "more than tags (16)"),
        ("duplicate", "was emitted before with the same tags"),
    ] {
        assert_run(&played(act, 20, "/", ""), "partial", "contract", "guest", 2, says);
    }
}

#[test]
fn a_log_flood_is_cut_and_counted_and_costs_nothing_else() {
    for act in ["log", "stderr"] {
        let stage = Stage::of_act(act, 20_000, "/", "log = '10KiB'");
        let called = stage.site.call(&["run-all", "--dry-run", "--format", "json", "-vv", "--only", "villain"]);
        let report = called.json();
        let run = run_of(&report, "villain");
        assert_eq!((run["outcome"].as_str(), run["points"].as_u64()), (Some("emitted"), Some(1)), "{run:#}");
        assert!(run["log_dropped_bytes"].as_u64() > Some(500_000), "{run:#}");
        assert!(called.stderr.matches("of a flood").count() < 400, "{} bytes", called.stderr.len());
        assert!(called.stderr.contains("log is full"));
    }
}

// Upstreams.

#[test]
fn a_request_that_is_never_answered_ends_at_the_first_byte() {
    let stage = Stage::of_act("fetch", 0, "/never", "deadline = '5s'");
    let stage = Stage { site: stage.site.config("[upstream.evil.timeouts]\nfirst_byte = '300ms'"), ..stage };
    assert_run(&stage.play(), "fault", "timeout", "upstream", 0, "no answer within 300ms");
}

#[test]
fn a_request_that_is_never_answered_ends_at_the_deadline_at_the_latest() {
    let run = played("emit-then-wait", 5, "/never", "");
    assert_run(&run, "partial", "deadline", "upstream", 5, "while it waited for an upstream");
}

#[test]
fn an_answer_a_byte_at_a_time_ends_with_the_time_for_the_whole() {
    let stage = Stage::of_act("fetch", 0, "/drip", "deadline = '5s'");
    let config = "[upstream.evil.timeouts]\nwhole = '500ms'\nbetween_bytes = '300ms'";
    let stage = Stage { site: stage.site.config(config), ..stage };
    assert_run(&stage.play(), "fault", "timeout", "upstream", 0, "no whole answer within 500ms");
}

#[test]
fn headers_without_a_body_end_between_two_bytes() {
    let stage = Stage::of_act("fetch", 0, "/stall", "deadline = '5s'");
    let stage = Stage { site: stage.site.config("[upstream.evil.timeouts]\nbetween_bytes = '300ms'"), ..stage };
    assert_run(&stage.play(), "fault", "timeout", "upstream", 0, "nothing more of the body within 300ms");
}

#[test]
fn a_body_that_says_it_is_too_large_is_not_read() {
    let run = played("fetch", 0, "/huge", "");
    assert_run(&run, "fault", "limit", "guest", 0, "response_body (16 MiB)");
    assert!(run["http"]["bytes"].as_u64() < Some(1 << 20), "{run:#}");
}

#[test]
fn a_body_without_end_is_cut_while_it_is_read() {
    let run = played("fetch", 0, "/endless", "response_body = '1MiB'");
    assert_run(&run, "fault", "limit", "guest", 0, "response_body (1 MiB)");
    assert!(run["http"]["bytes"].as_u64() < Some(3 << 20), "{run:#}");
}

#[test]
fn a_gzip_bomb_ends_at_the_bound() {
    let run = played("fetch", 0, "/bomb", "deadline = '8s'");
    assert_run(&run, "fault", "limit", "guest", 0, "response_body (16 MiB)");
}

#[test]
fn headers_that_are_too_many_are_refused() {
    let run = played("fetch", 0, "/many-headers", "");
    assert_run(&run, "fault", "limit", "guest", 0, "response_headers (64 KiB)");
    let run = played("fetch", 0, "/endless-headers", "deadline = '5s'");
    assert_run(&run, "fault", "upstream-error", "upstream", 0, "");
}

#[test]
fn a_redirect_to_the_metadata_address_is_refused() {
    let run = played("fetch", 0, "/to-metadata", "");
    assert_run(&run, "fault", "denied", "upstream", 0, "a redirect to http://169.254.169.254: the plan allows none");
}

#[test]
fn a_redirect_is_checked_again_where_redirects_are_allowed() {
    let allowing = |path: &str| {
        let stage = Stage::of_act("fetch", 0, path, "deadline = '5s'");
        let evil = format!("{}\nredirects = 3", stage.evil.config());
        let hosts = "redirect_hosts = ['169.254.169.254']";
        Stage { site: stage.site.replace_config(&stage.evil.config(), &format!("{evil}\n{hosts}\n")), ..stage }
    };
    let run = allowing("/to-metadata").play();
    assert_run(&run, "fault", "denied", "settings", 0, "169.254.169.254, a metadata address");
    let run = allowing("/to-itself").play();
    assert_run(&run, "fault", "denied", "upstream", 0, "the plan allows 3");
}

#[test]
fn an_address_that_is_not_granted_is_refused_with_the_line_that_would_grant_it() {
    let stage = Stage::of_act("fetch", 0, "/ok", "");
    let other =
        stage.evil.config().replace("upstream.evil", "upstream.other").replace("allow_addresses = ['loopback']", "");
    let stage = Stage { site: stage.site.config(&other), ..stage };
    // The villain's manifest asks for `evil`; that is the one without the grant here.
    let report = Site::new()
        .guest("hostile")
        .config(&stage.evil.config().replace("allow_addresses = ['loopback']", ""))
        .config("[collector.hostile.settings]\nact = 'fetch'\npath = '/ok'")
        .report(&[]);
    let run = run_of(&report, "hostile");
    assert_run(run, "fault", "denied", "settings", 0, "allow_addresses = [\"loopback\"] under [upstream.evil]");
}

#[test]
fn a_connection_that_breaks_off_or_is_no_http_is_the_upstreams_fault() {
    for path in ["/cut", "/garbage"] {
        let run = played("fetch", 0, path, "deadline = '5s'");
        assert_run(&run, "fault", "upstream-error", "upstream", 0, "");
        assert_eq!(run["http"]["requests"], 3, "{path}: {run:#}");
    }
}

#[test]
fn requests_are_counted_and_end_at_the_limit() {
    let run = played("fetch-in-turn", 20, "/ok", "requests = 8, deadline = '5s'");
    assert_run(&run, "partial", "limit", "guest", 8, "requests (8)");
    assert_eq!(run["http"]["requests"], 8);
}

#[test]
fn requests_in_flight_end_at_the_limit() {
    let run = played("fetch-many", 20, "/wait", "requests_at_once = 8, deadline = '5s'");
    assert_run(&run, "partial", "limit", "guest", 8, "requests_at_once (8)");
}

#[test]
fn bodies_in_flight_end_at_the_buffer_and_all_bodies_at_the_total() {
    let run = played("fetch-many", 8, "/held-megabyte", "response_buffer = '3MiB', deadline = '5s'");
    assert_eq!((run["reason"].as_str(), run["outcome"].as_str()), (Some("limit"), Some("partial")), "{run:#}");
    assert!(run["message"].as_str().unwrap().contains("response_buffer"), "{run:#}");
    let run = played("fetch-in-turn", 8, "/megabyte", "response_total = '3MiB', deadline = '5s'");
    assert_run(&run, "partial", "limit", "guest", 3, "response_total (3 MiB)");
}

#[test]
fn a_request_that_is_too_large_is_not_sent() {
    let stage = Stage::of_act("post", 2 << 20, "/dump", "");
    assert_run(&stage.play(), "fault", "limit", "guest", 0, "request_bytes (1 MiB)");
    assert_eq!(stage.evil.count("/dump"), 0);
}

#[test]
fn an_upstream_that_asks_to_wait_for_an_hour_is_not_waited_for() {
    let run = played("fetch-in-turn", 1, "/throttle-long", "");
    assert_run(&run, "fault", "rate-limited", "upstream", 0, "answered 429: slow down");
    assert_eq!((run["http"]["throttled"].as_u64(), run["http"]["requests"].as_u64()), (Some(1), Some(1)));
}

// Files that are no collectors.

#[test]
fn a_file_that_is_no_collector_faults_alone() {
    let good = component(MANIFEST, &format!("{PLAIN} (func (export \"collect\") (result i32) (i32.const 0))"));
    let other_world = wat::parse_str(
        "(component (core module $m (@custom \"collector-manifest\" \"name='villain'\\nversion='1'\\ncontract='0.1.0'\")
           (func (export \"f\"))) (core instance $i (instantiate $m))
           (func (export \"collect\") (canon lift (core func $i \"f\"))))",
    )
    .unwrap();
    let newer = component(
        &MANIFEST.replace("0.1.0", "0.9.0"),
        &format!("{PLAIN} (func (export \"collect\") (result i32) (i32.const 0))"),
    );
    for (bytes, reason, says) in [
        (&b""[..], "bad-component", "is empty"),
        (&good[..good.len() / 2], "bad-component", "cut off"),
        (&good[..8], "not-a-collector", "no manifest"),
        (b"\0asm\x01\0\0\0", "not-a-collector", "core module"),
        (&other_world, "not-a-collector", "of another world"),
        (&newer, "newer-contract", "contract 0.9.0; this host speaks 0.1.0"),
    ] {
        assert_run(&Stage::of_file(bytes).play(), "fault", reason, "settings", 0, says);
    }
}

#[test]
fn a_folder_that_is_named_like_a_component_faults_alone() {
    let stage = Stage::empty();
    std::fs::create_dir(stage.site.component_path("villain")).unwrap();
    assert_run(&stage.play(), "fault", "bad-component", "settings", 0, "is a directory");
}

#[test]
fn an_import_that_is_not_granted_keeps_a_component_from_running() {
    let module = format!("{PLAIN} (func (export \"collect\") (result i32) (i32.const 0))");
    let text = component_text(MANIFEST, &module);
    let text = text.replacen("(component", "(component (import \"wasi:sockets/instance-network@0.2.6\" (instance))", 1);
    let run = Stage::of_file(&wat::parse_str(&text).unwrap()).play();
    assert_run(&run, "fault", "import-denied", "settings", 0, "imports wasi:sockets/instance-network@0.2.6");
    assert_eq!(run["hint"], "write imports = [\"wasi:sockets\"] under [collector.villain]");
    assert_eq!(run["attempts"], 0);
}
