//! The host killed at any instant: nothing is lost that `emit` had answered for, and nothing has two values.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::intake::{Answer, Intake};
use crate::site::Site;

const KILLS: usize = 200;

/// Points that the guest of each cycle emits, one by one.
const POINTS: usize = 40;

#[test]
fn killed_at_two_hundred_instants_nothing_is_lost_or_doubled() {
    let intake = Intake::start();
    let site = Site::new()
        .guest("hostile")
        .env("DD_API_KEY", "the-api-key")
        .config(&intake.config())
        .config("[cycle]\nschedule = '1s'\ndeadline = '10s'")
        .config("[upstream.evil]\nbase_url = 'http://127.0.0.1:9'")
        .config(&format!("[collector.hostile.settings]\nact = 'emit-and-say'\nnumber = {POINTS}"));
    let begin: Timestamp = "2025-10-24T12:00:00Z".parse().unwrap();
    let mut random = fastrand::Rng::with_seed(20_251_024);
    // What the guest was told was taken: slot and number.
    let mut told: BTreeSet<(i64, usize)> = BTreeSet::new();
    let mut ended_by_kill = 0;
    for n in 0..KILLS {
        let now = begin + SignedDuration::from_secs(n as i64);
        let moods = [Answer::Status(202, ""), Answer::Status(503, ""), Answer::TakenAndCut, Answer::Cut];
        intake.answer(&[moods[random.usize(..moods.len())].clone(), moods[random.usize(..moods.len())].clone()]);
        let mut cycle = site.start(&["run-all", "--now", &now.to_string()]);
        std::thread::sleep(Duration::from_micros(random.u64(..90_000)));
        cycle.kill().unwrap();
        let output = cycle.wait_with_output().unwrap();
        ended_by_kill += usize::from(output.status.code().is_none());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        // A line that was cut off by the kill says nothing.
        let lines = stderr.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let taken = lines.filter_map(|line| line.split_once("taken ")?.1.split(' ').next()?.parse::<usize>().ok());
        told.extend(taken.map(|taken| (now.as_second(), taken)));
    }
    intake.answer(&[]);
    let last = begin + SignedDuration::from_secs(KILLS as i64);
    let called = site.call(&["run-all", "--now", &last.to_string()]);
    assert_eq!(called.code, 0, "{called:#?}");

    let mut seen: BTreeMap<(i64, String, String), BTreeSet<String>> = BTreeMap::new();
    for series in intake.series() {
        let point = &series["points"][0];
        let key = (point["timestamp"].as_i64().unwrap(), series["metric"].to_string(), series["tags"].to_string());
        seen.entry(key).or_default().insert(point["value"].to_string());
    }
    let doubled: Vec<_> = seen.iter().filter(|(_, values)| values.len() != 1).collect();
    assert!(doubled.is_empty(), "{doubled:#?}");
    let arrived: BTreeSet<(i64, usize)> = seen
        .iter()
        .filter(|((_, metric, _), _)| metric == "\"hostile.value\"")
        .map(|((time, ..), values)| (*time, values.first().unwrap().parse::<f64>().unwrap() as usize))
        .collect();
    let lost: Vec<_> = told.difference(&arrived).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), told.len());
    assert!(arrived.iter().all(|(_, number)| *number < POINTS));
    let spool = site.call(&["spool", "--format", "json"]).json();
    assert!(spool["segments"].as_array().unwrap().iter().all(|s| s["points"]["datadog"] == 0), "{spool:#}");
    println!("{ended_by_kill} of {KILLS} killed at work; {} points were taken, {} arrived", told.len(), arrived.len());
    assert!(ended_by_kill > KILLS / 2 && told.len() > KILLS * POINTS / 20);
}
