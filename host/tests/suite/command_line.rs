//! The command line: what each command prints, and how it ends.

use crate::site::{MANIFEST, PLAIN, Site, built, component};

fn site() -> Site {
    Site::new().guest("hostile").config("[upstream.evil]\nbase_url = 'http://127.0.0.1:9'")
}

#[test]
fn run_prints_points_and_keeps_the_report_apart() {
    let called = site().call(&["run", "hostile", "--set", "number=2"]);
    assert_eq!(called.code, 0, "{called:#?}");
    let lines: Vec<Vec<&str>> = called.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines, [["SERIES", "VALUE", "TAGS"], ["hostile.value", "0", "n:0"], ["hostile.value", "1", "n:1"]]);
    assert!(called.stderr.contains("1 of 1 collector well"), "{}", called.stderr);
}

#[test]
fn run_takes_a_file_and_exits_with_4_when_it_faults() {
    let path = built("hostile").display().to_string();
    let called = site().call(&["run", &path, "--set", "act=panic", "--format", "json"]);
    assert_eq!((called.code, called.json()["reason"].as_str()), (4, Some("panic")), "{called:#?}");
    let called = site().call(&["run", &path, "--set", "act=spin", "--deadline", "300ms", "--format", "json"]);
    assert_eq!(called.json()["reason"], "deadline", "{called:#?}");
}

#[test]
fn list_gives_name_version_digest_and_series() {
    let called = site().file("broken", b"").call(&["list", "--format", "json"]);
    let rows = called.json();
    assert_eq!(called.code, 0);
    let hostile = &rows.as_array().unwrap().iter().find(|row| row["collector"] == "hostile").unwrap();
    assert_eq!(hostile["version"], "1.0.0");
    assert!(hostile["digest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(hostile["series"], serde_json::json!(["hostile.value", "hostile.status", "hostile.bytes"]));
    let broken = &rows.as_array().unwrap().iter().find(|row| row["collector"] == "broken").unwrap();
    assert_eq!((broken["ready"].as_bool(), broken["series"].as_array().unwrap().len()), (Some(false), 0));
    let text = site().call(&["list"]).stdout;
    assert!(text.contains("hostile") && text.contains("evil absent"), "{text}");
}

#[test]
fn inspect_prints_manifest_digest_imports_and_grants() {
    let called = site().call(&["inspect", "components/hostile.wasm"]);
    assert_eq!(called.code, 0, "{called:#?}");
    for part in
        ["sha256:", "collector:host/http@0.1.0", "evil at http://127.0.0.1:9/ GET,POST /", "deadline", "hostile.value"]
    {
        assert!(called.stdout.contains(part), "{part} is not in {}", called.stdout);
    }
    let json = site().call(&["inspect", "components/hostile.wasm", "--format", "json"]).json();
    assert_eq!((json["contract"].as_str(), json["granted"][0]["upstream"].as_str()), (Some("0.1.0"), Some("evil")));
    let none = site().call(&["inspect", "none.wasm"]);
    assert!(none.code == 1 && none.stderr.contains("none.wasm cannot be read"), "{none:#?}");
}

#[test]
fn check_says_what_is_to_be_mended() {
    let called = site().file("broken", b"").call(&["check"]);
    assert_eq!(called.code, 2, "{called:#?}");
    for part in ["MEND  collector broken", "ok    collector hostile", "MEND  sinks: there is none", "set DD_API_KEY"] {
        assert!(called.stdout.contains(part), "{part} is not in {}", called.stdout);
    }
    let well = site().config("[sink.stdout]").call(&["check"]);
    assert_eq!(well.code, 0, "{well:#?}");
}

#[test]
fn a_usage_error_exits_with_2_and_says_what_to_write() {
    for (args, says) in [
        (&["run-all"][..], "set DD_API_KEY"),
        (&["run-all", "--dry-run", "--only", "hostil"], "did you mean hostile?"),
        (&["run-all", "--dry-run", "--jobs", "0"], "--jobs"),
        (&["run-all", "--dry-run", "--deadline", "soon"], "write it as in 90s"),
        (&["run-all", "--fail-on", "some"], "possible values: any, all, never"),
        (&["run", "No Name"], "is not a name"),
        (&["--config", "none.toml", "list"], "none.toml"),
        (&["--components", "none", "list"], "just build-guests"),
        (&["fly"], "unrecognized subcommand"),
    ] {
        let called = site().call(args);
        assert!(called.code == 2 && called.stderr.contains(says), "{args:?}: {called:#?}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one() {
    let called = site().config("[cycle]\ndeadlin = '3s'").call(&["run-all", "--dry-run"]);
    assert_eq!(called.code, 2);
    assert_eq!(called.stderr, "error: host.toml:4: unknown key `deadlin`; did you mean `deadline`?\n");
}

#[test]
fn fail_on_decides_which_faults_count() {
    let module = format!("{PLAIN} (func (export \"collect\") (result i32) unreachable)");
    let some = site().file("villain", &component(MANIFEST, &module));
    let code = |site: &Site, fail_on: &str| site.call(&["run-all", "--dry-run", "--fail-on", fail_on]).code;
    assert_eq!((code(&some, "any"), code(&some, "all"), code(&some, "never")), (3, 0, 0));
    let all = site().config("[collector.hostile.settings]\nact = 'panic'");
    assert_eq!((code(&all, "any"), code(&all, "all"), code(&all, "never")), (4, 4, 0));
}

#[test]
fn limits_that_do_not_fit_into_the_container_are_refused_with_the_arithmetic() {
    let called = site().config("[cycle]\ncontainer_memory = '128MiB'").call(&["run-all", "--dry-run"]);
    assert_eq!(called.code, 2, "{called:#?}");
    for part in ["64 MiB  the host itself", "hostile: memory, answers", "128 MiB  the container's limit", "hint: "] {
        assert!(called.stderr.contains(part), "{part} is not in {}", called.stderr);
    }
}

#[test]
fn help_teaches() {
    let called = Site::new().call(&["--help"]);
    for part in ["run-all", "Exit codes:", "--components <DIR>"] {
        assert!(called.stdout.contains(part), "{part} is not in {}", called.stdout);
    }
    assert!(Site::new().call(&["run", "--help"]).stdout.contains("host run github --now"));
}
