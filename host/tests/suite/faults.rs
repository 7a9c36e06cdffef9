//! The intake in every mood, at every step: what becomes of each point, and what is in the spool after it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::intake::{Answer, Intake};
use crate::protocol::{DATADOG, OTLP, Protocol, REMOTE_WRITE};
use crate::site::{Called, Site};

/// What becomes of the points of a payload that is answered so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Taken,
    Rejected,
    Waits,
}

/// Points of a cycle: five and the host's own.
const POINTS: u64 = 15;

fn site(protocol: &Protocol, intake: &Intake) -> Site {
    Site::new()
        .guest("hostile")
        .env("DD_API_KEY", if protocol.name == "datadog" { "the-api-key" } else { "" })
        .config(&(protocol.config)(intake))
        .config("[cycle]\ndeadline = '3s'\ndelivery_reserve = '1500ms'")
        .config("[upstream.evil]\nbase_url = 'http://127.0.0.1:9'")
}

fn cycle(site: &Site, now: &str) -> Called {
    site.call(&["run-all", "--format", "json", "--now", now])
}

/// Points that wait for a sink, by `host spool`.
fn waiting(site: &Site, sink: &str) -> u64 {
    let spool = site.call(&["spool", "--format", "json"]).json();
    assert_eq!(spool["problems"], serde_json::json!([]));
    let segments = spool["segments"].as_array().unwrap().iter();
    segments.map(|segment| segment["points"][sink].as_u64().unwrap()).sum()
}

/// Series, tags and time of everything that was taken; a point that was taken twice has the same value.
fn taken(protocol: &Protocol, intake: &Intake) -> BTreeSet<String> {
    let mut values = BTreeMap::new();
    for point in protocol.taken(intake) {
        let key = format!("{} {:?} {}", point.name, point.labels, point.time_ms);
        let before = values.insert(key.clone(), point.value);
        assert!(before.is_none_or(|before| before == point.value), "{key}");
    }
    values.into_keys().collect()
}

/// One case: an earlier cycle's points wait, and of the two payloads of this one the first or the second is answered so.
fn play(protocol: &Protocol, answers: &[Answer], fate: Fate, step: usize) {
    let what = format!("{}: {answers:?} at {step}", protocol.name);
    let intake = Intake::start();
    let site = site(protocol, &intake);
    intake.answer(&vec![Answer::Status(401, ""); 50]);
    assert_eq!(cycle(&site, "2025-10-24T12:00:00Z").code, 5);
    assert_eq!(waiting(&site, protocol.name), POINTS);

    let before = vec![Answer::Usual; step];
    intake.answer(&[before, answers.to_vec()].concat());
    let called = cycle(&site, "2025-10-24T12:15:00Z");
    let sink = called.json()["sinks"][0].clone();
    let count = |key: &str| sink[key].as_u64().unwrap();
    let (rejected, left) = match fate {
        Fate::Taken => (0, 0),
        Fate::Rejected => (count("rejected"), 0),
        Fate::Waits => (0, POINTS * (2 - step as u64)),
    };
    let expected = (2 * POINTS - rejected - left, rejected, left);
    assert_eq!((count("delivered"), count("rejected"), count("deferred")), expected, "{what}: {sink:#}");
    assert_eq!(rejected > 0, fate == Fate::Rejected, "{what}: {sink:#}");
    let code = if rejected + left > 0 { 5 } else { 0 };
    assert_eq!((waiting(&site, protocol.name), called.code), (left, code), "{what}: {called:#?}");

    // The next cycle brings what is left, the oldest first.
    intake.answer(&[]);
    let requests = intake.requests().len();
    assert_eq!(cycle(&site, "2025-10-24T12:30:00Z").code, 0, "{what}");
    assert_eq!(waiting(&site, protocol.name), 0, "{what}");
    assert_eq!(taken(protocol, &intake).len() as u64, 3 * POINTS - rejected, "{what}");
    let slot = |time: &str| time.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let oldest = [slot("2025-10-24T12:00:00Z"), slot("2025-10-24T12:15:00Z"), slot("2025-10-24T12:30:00Z")];
    let meant = if fate == Fate::Waits { oldest[step] } else { oldest[2] };
    let first = (protocol.read)(&intake.requests()[requests]);
    assert!(first.iter().all(|point| point.time_ms == meant), "{what}: {first:?}");
}

/// Answers, one after another, and what becomes of the payload that they are given to.
type Case = (Vec<Answer>, Fate);

fn forever(answer: Answer) -> Case {
    (vec![answer; 50], Fate::Waits)
}

fn refused(status: u16) -> Case {
    (vec![Answer::Status(status, "{\"errors\":[\"bad\"]}")], Fate::Rejected)
}

/// What all protocols mean by the same answer.
fn usual_cases() -> Vec<Case> {
    let mut cases = vec![
        refused(400),
        refused(422),
        (vec![Answer::Status(413, "")], Fate::Taken),
        (vec![Answer::Headed(429, "retry-after: 0\r\n"), Answer::Cut], Fate::Taken),
        (vec![Answer::TakenAndCut, Answer::TakenAndTorn], Fate::Taken),
        (vec![Answer::Slow], Fate::Taken),
        forever(Answer::Headed(429, "retry-after: 60\r\n")),
        forever(Answer::Headed(302, "location: /elsewhere\r\n")),
    ];
    cases.extend([401, 403, 404, 405, 429, 502, 503, 504].map(|status| forever(Answer::Status(status, "<html>"))));
    cases.extend([Answer::Cut, Answer::Never, Answer::TakenAndCut, Answer::TakenAndTorn].map(forever));
    cases
}

#[test]
fn every_answer_at_every_step_leaves_each_point_taken_rejected_or_waiting() {
    let waits = |status| forever(Answer::Status(status, ""));
    let own = [
        (DATADOG, vec![waits(408), waits(500), (vec![Answer::Headed(429, "x-ratelimit-reset: 0\r\n")], Fate::Taken)]),
        (OTLP, vec![refused(408), refused(500), refused(501)]),
        (REMOTE_WRITE, vec![refused(408), waits(500), (vec![Answer::Status(415, "")], Fate::Taken)]),
    ];
    let mut cases = Vec::new();
    for (protocol, own) in &own {
        for (answers, fate) in usual_cases().iter().chain(own) {
            cases.extend([0, 1].map(|step| (protocol, answers.clone(), *fate, step)));
        }
    }
    let left = Mutex::new(cases.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let Some((protocol, answers, fate, step)) = left.lock().unwrap().next() else { break };
                    play(protocol, &answers, fate, step);
                }
            });
        }
    });
}

#[test]
fn points_older_than_the_intake_takes_are_given_up_and_counted() {
    let intake = Intake::start();
    let site = site(&DATADOG, &intake);
    intake.answer(&[Answer::Status(401, "")]);
    cycle(&site, "2025-10-24T12:00:00Z");
    let called = cycle(&site, "2025-10-24T13:01:00Z");
    let sink = called.json()["sinks"][0].clone();
    assert_eq!((sink["given_up"].as_u64(), sink["delivered"].as_u64()), (Some(POINTS), Some(POINTS)), "{sink:#}");
    assert!(sink["reasons"]["given_up"].to_string().contains("expired: older than 1h"), "{sink:#}");
    assert_eq!((called.code, waiting(&site, "datadog")), (5, 0));
}

#[test]
fn a_second_cycle_is_told_who_is_at_work_in_the_state_folder() {
    let intake = Intake::start();
    let site = site(&DATADOG, &intake).config("[collector.hostile]\nsettings = { act = 'emit-then-spin' }");
    let first = site.start(&["run-all"]);
    let lock = site.dir.path().join("state/lock");
    while std::fs::metadata(&lock).is_ok_and(|file| file.len() == 0) || !lock.exists() {
        std::thread::yield_now();
    }
    let second = site.call(&["run-all"]);
    let pid = first.id();
    assert_eq!(second.code, 1, "{second:#?}");
    assert!(second.stderr.contains(&format!("another cycle is at work in it, process {pid} on ")), "{second:#?}");
    // Looking is not working.
    assert_eq!(site.call(&["spool"]).code, 0);
    assert_eq!(site.call(&["run-all", "--dry-run", "--format", "json"]).json()["runs"][0]["collector"], "hostile");
    drop(first.wait_with_output().unwrap());
}

#[test]
fn a_state_folder_that_cannot_be_written_is_a_fault_and_the_points_arrive_all_the_same() {
    let intake = Intake::start();
    let site = site(&DATADOG, &intake);
    site.command(&[]);
    std::fs::write(site.dir.path().join("state/spool"), "in the way").unwrap();
    let called = cycle(&site, "2025-10-24T12:00:00Z");
    assert_eq!((called.code, called.json()["sinks"][0]["delivered"].as_u64()), (1, Some(POINTS)), "{called:#?}");
    assert!(called.json()["host_faults"].to_string().contains("wait in memory only"), "{called:#?}");
    assert_eq!(taken(&DATADOG, &intake).len() as u64, POINTS);
}

#[test]
fn the_clock_of_the_intake_is_compared_with_the_hosts() {
    let intake = Intake::start();
    intake.answer(&[Answer::Headed(429, "date: Fri, 24 Oct 2025 12:00:00 GMT\r\n")]);
    let behind =
        cycle(&site(&DATADOG, &intake), "2025-10-24T12:00:00Z").json()["sinks"][0]["clock_behind_seconds"].clone();
    // The intake lives in 2025.
    assert!(behind.as_i64() < Some(-30 * 24 * 3600), "{behind}");
}

#[test]
fn a_disk_that_takes_no_more_is_a_fault_and_the_points_arrive_all_the_same() {
    const MANY: u64 = 40_000;
    let intake = Intake::start();
    let site = Site::new()
        .guest("hostile")
        .env("DD_API_KEY", "the-api-key")
        .config(&intake.config())
        .config("[upstream.evil]\nbase_url = 'http://127.0.0.1:9'\n[limits]\npoints = 40_000\nseries = 100_000")
        .config(&format!("[collector.hostile.settings]\nnumber = {MANY}"));
    // No file may have more than 256 KiB: what a full disk answers, one step earlier.
    let host = site.command(&[]).get_program().to_owned();
    let shell = format!("trap '' XFSZ; ulimit -f 512; exec {} run-all --format json", host.to_string_lossy());
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &shell]).current_dir(site.dir.path()).env_clear().env("DD_API_KEY", "the-api-key");
    let called = Called::of(command.env("HOST_STATE", site.dir.path().join("state")).output().unwrap());
    assert_eq!(called.json()["sinks"][0]["delivered"], MANY + POINTS - 5, "{called:#?}");
    assert!(called.json()["host_faults"].to_string().contains("from here on points of this cycle wait in memory only"));
    assert_eq!((called.code, taken(&DATADOG, &intake).len() as u64), (1, MANY + POINTS - 5));
}
