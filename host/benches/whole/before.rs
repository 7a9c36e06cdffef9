//! Side by side with the way it was done before: eight collectors that wait for an upstream, and one that hangs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::figures::{Sample, Table, resident_mib};
use super::processes::Place;
use super::server::Server;

const COLLECTORS: usize = 8;
const TIMEOUT_SECONDS: u64 = 1;
const ROUNDS: usize = 5;

/// In the command line of what the hanging collector starts.
const MARK: &str = "collector-host-bench-grandchild";

/// One round of one way.
struct Round {
    wall_ms: f64,
    peak_mib: f64,
    overshoot_ms: f64,
    survivors: usize,
}

pub fn side_by_side(table: &mut Table) {
    let server = Server::start();
    let mut config = format!(
        "[upstream.evil]\nbase_url = 'http://{}'\nallow_addresses = ['loopback']\n\
         [collector.hostile]\nsettings = {{ act = 'spin' }}\nlimits = {{ deadline = '{TIMEOUT_SECONDS}s', fuel = 1_000_000_000_000 }}\n",
        server.address
    );
    for n in 0..COLLECTORS {
        config.push_str(&format!(
            "[collector.wait-{n}]\ncomponent = 'hostile.wasm'\nsettings = {{ act = 'fetch', path = '/wait' }}\n"
        ));
    }
    let place = Place::new("before", &config);
    let (mut now, mut then) = (Vec::new(), Vec::new());
    // Once for the cache.
    let _first = host(&place);
    for _ in 0..ROUNDS {
        now.push(host(&place));
        then.push(python(&server.address));
    }
    for (name, rounds) in [("host", now), ("Python processes", then)] {
        let sample = |of: fn(&Round) -> f64| Sample::new(rounds.iter().map(of).collect());
        table.median(&format!("8 collectors and one that hangs, wall: {name}"), "ms", &sample(|r| r.wall_ms), None);
        table.median(&format!("  peak memory of all processes: {name}"), "MiB", &sample(|r| r.peak_mib), None);
        table.median(
            &format!("  the one that hangs, beyond its {TIMEOUT_SECONDS} s: {name}"),
            "ms",
            &sample(|r| r.overshoot_ms),
            None,
        );
        let survivors: usize = rounds.iter().map(|round| round.survivors).sum();
        table.note(&format!("  processes that outlived the kill: {name}"), format!("{survivors} in {ROUNDS} rounds"));
    }
}

fn host(place: &Place) -> Round {
    let mut command = place.command(&["run-all", "--dry-run", "--format", "json"]);
    let (wall_ms, peak_mib, out) = watch(&mut command);
    let report: serde_json::Value = serde_json::from_str(&out).expect("a report");
    let runs = report["runs"].as_array().expect("runs");
    let hangs = runs.iter().find(|run| run["collector"] == "hostile").expect("the one that hangs");
    assert_eq!(hangs["reason"], "deadline");
    let overshoot_ms = hangs["duration_ms"].as_f64().expect("a time") - TIMEOUT_SECONDS as f64 * 1e3;
    Round { wall_ms, peak_mib, overshoot_ms, survivors: survivors() }
}

fn python(address: &str) -> Round {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/before.py");
    let mut command = Command::new("python3");
    command.arg(script).args([address, &COLLECTORS.to_string(), &TIMEOUT_SECONDS.to_string()]);
    let (_, peak_mib, out) = watch(&mut command);
    let said: serde_json::Value = serde_json::from_str(&out).expect("a line of JSON");
    let number = |key: &str| said[key].as_f64().expect("a number");
    Round { wall_ms: number("wall_ms"), peak_mib, overshoot_ms: number("overshoot_ms"), survivors: survivors() }
}

/// Runs a command to its end: wall time, the most that it and all its descendants held together, its output.
fn watch(command: &mut Command) -> (f64, f64, String) {
    let started = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a process");
    let mut peak: f64 = 0.0;
    while child.try_wait().expect("a child").is_none() {
        peak = peak.max(descendants(child.id()).into_iter().map(resident_mib).sum());
        std::thread::sleep(Duration::from_millis(2));
    }
    let wall = started.elapsed().as_secs_f64() * 1e3;
    let out = child.wait_with_output().expect("output").stdout;
    (wall, peak, String::from_utf8_lossy(&out).into_owned())
}

/// A process and everything that it started.
fn descendants(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        next += 1;
    }
    found
}

/// Processes of the hanging collector that are still there. They are counted, and then ended.
fn survivors() -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(MARK) {
            count += 1;
            drop(Command::new("kill").arg(pid.to_string()).status());
        }
    }
    count
}
