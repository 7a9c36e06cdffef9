//! Runs that are written down here, and what they amount to.

use std::collections::BTreeMap;
use std::time::Duration;

use collector_sdk::{Fault, Reason};
use proptest::prelude::*;

use super::*;

fn now() -> Timestamp {
    "2025-10-24T12:00:00Z".parse().unwrap()
}

/// A finished run of half an hour, created so many seconds ago.
fn run(id: &str, name: &str, age_s: u64) -> Run {
    let created = now() - Duration::from_secs(age_s);
    Run {
        id: id.into(),
        display_name: Some(name.into()),
        state: State::Finished,
        created_at: Some(created),
        heartbeat_at: Some(created + Duration::from_mins(30)),
        ..Run::default()
    }
}

fn push(id: &str, age_s: u64, key: &str, speed: f64) -> Run {
    let summary = BTreeMap::from([(key.to_owned(), speed)]);
    Run { summary, ..run(id, "github.sky.main.ab12cd3.arena.20251024", age_s) }
}

fn answers(recent: Vec<Run>) -> Answers {
    let recent = Recent { runs: Ok(recent), completed_7d: Ok(7), failed_7d: Ok(2) };
    Answers { recent: Ok(recent), scored: Ok(vec![]), running: Ok(vec![]) }
}

fn of_recent(recent: Vec<Run>) -> Sheet {
    measure(&Settings::default(), &answers(recent), now())
}

fn of_scored(scored: Vec<Run>) -> Sheet {
    let settings = Settings { accuracy_key: Some("acc".into()), loss_key: Some("loss".into()), ..Settings::default() };
    measure(&settings, &Answers { scored: Ok(scored), ..answers(vec![]) }, now())
}

fn value(sheet: &Sheet, series: &str) -> Option<f64> {
    sheet.points.iter().find(|point| point.series == series).map(|point| point.value)
}

#[test]
fn a_run_on_the_edge_of_the_window_is_in_it() {
    let sheet = of_recent(vec![run("a", "x", 86_400), run("b", "x", 86_401)]);
    assert_eq!(value(&sheet, "wandb.runs.completed_24h"), Some(1.0));
    assert_eq!(value(&sheet, "wandb.runs.total_recent"), Some(1.0));
}

#[test]
fn an_older_run_that_still_runs_is_active_and_recent_and_in_no_figure_of_the_day() {
    let older = Run { state: State::Running, sweep: Some("s".into()), ..run("a", "x", 200_000) };
    let sheet = of_recent(vec![older, run("b", "x", 60)]);
    assert_eq!(value(&sheet, "wandb.runs.active"), Some(1.0));
    assert_eq!(value(&sheet, "wandb.runs.total_recent"), Some(2.0));
    assert_eq!(value(&sheet, "wandb.sweep.runs_active"), Some(1.0));
    assert_eq!(value(&sheet, "wandb.sweep.runs_total_24h"), Some(0.0));
    assert_eq!(value(&sheet, "wandb.training.avg_duration_hours"), Some(0.5));
    assert_eq!(value(&sheet, "wandb.training.total_gpu_hours_24h"), Some(0.5));
}

#[test]
fn a_run_whose_creation_cannot_be_read_counts_as_the_filter_of_the_listing_placed_it() {
    let unplaced = |state| Run { created_at: None, state, ..run("a", "x.sweep", 0) };
    let sheet = of_recent(vec![unplaced(State::Failed), Run { id: "b".into(), ..unplaced(State::Running) }]);
    assert_eq!(value(&sheet, "wandb.runs.failed_24h"), Some(1.0));
    assert_eq!(value(&sheet, "wandb.runs.total_recent"), Some(2.0));
    assert_eq!(value(&sheet, "wandb.sweep.runs_total_24h"), Some(1.0));
    assert_eq!(value(&sheet, "wandb.training.total_gpu_hours_24h"), None);
}

#[test]
fn killed_and_preempted_runs_neither_finished_nor_failed() {
    let ended = |state| Run { state, ..run("a", "github.sky.pr7", 60) };
    let sheet = of_recent(vec![ended(State::Other), ended(State::Other)]);
    assert_eq!(value(&sheet, "wandb.push_to_main.runs_failed_24h"), Some(0.0));
    assert_eq!(value(&sheet, "wandb.push_to_main.success_rate_pct"), None);
    assert_eq!(value(&sheet, "wandb.push_to_main.avg_duration_hours"), Some(0.5));
}

#[test]
fn the_name_goes_before_the_sweep_and_the_sweep_before_the_rest() {
    let kind = |name: Option<&str>, sweep: Option<&str>| {
        read_kind(&Run { display_name: name.map(Into::into), sweep: sweep.map(Into::into), ..Run::default() })
    };
    assert_eq!(kind(Some("github.sky.main.sweep"), Some("s")), Kind::PushToMain);
    assert_eq!(kind(Some("GitHub.sky.main"), None), Kind::Other);
    assert_eq!(kind(Some("my.github.sky.main"), None), Kind::Other);
    assert_eq!(kind(Some("ak.SWEEP_lr.v5"), None), Kind::Sweep);
    assert_eq!(kind(Some("sweep_lr"), None), Kind::Other);
    assert_eq!(kind(None, Some("s")), Kind::Sweep);
    assert_eq!(kind(None, None), Kind::Other);
}

#[test]
fn hours_are_nothing_without_runs_and_a_gap_without_heartbeats() {
    let hours = "wandb.training.total_gpu_hours_24h";
    assert_eq!(value(&of_recent(vec![]), hours).map(f64::to_bits), Some(0.0_f64.to_bits()));
    let silent = Run { heartbeat_at: None, ..run("a", "x", 60) };
    assert_eq!(value(&of_recent(vec![silent.clone()]), hours), None);
    assert_eq!(value(&of_recent(vec![silent, run("b", "x", 60)]), hours), Some(0.5));
}

#[test]
fn each_speed_is_that_of_the_newest_run_that_has_it() {
    let [steps, epoch_steps, sps, ..] = SPEED_KEYS;
    let failed = Run { state: State::Failed, ..push("d", 10, sps, 4.0) };
    let crashed = Run { state: State::Crashed, ..push("c", 20, sps, 3.0) };
    let runs =
        vec![push("a", 90, steps, 1.0), push("b", 50, sps, 2.0), crashed, failed, push("e", 90_000, epoch_steps, 5.0)];
    let sheet = of_recent(runs);
    let speeds: Vec<Option<f64>> = SPEEDS.iter().map(|series| value(&sheet, series)).collect();
    assert_eq!(speeds, [Some(1.0), None, Some(3.0), None, None]);
}

#[test]
fn a_speed_series_is_named_after_its_key() {
    for (series, key) in SPEEDS.into_iter().zip(SPEED_KEYS) {
        assert_eq!(series, format!("wandb.push_to_main.{}", key.replace('/', ".")));
    }
}

#[test]
fn accuracy_and_loss_are_those_of_the_week() {
    let scored = |id: &str, age_s, key: &str, score| Run {
        summary: BTreeMap::from([(key.into(), score)]),
        ..run(id, "x", age_s)
    };
    let week_s = 7 * 86_400;
    let sheet = of_scored(vec![
        scored("a", week_s, "acc", 0.5),
        scored("b", week_s + 1, "acc", 0.9),
        scored("c", 60, "acc", 0.7),
        scored("d", 300, "loss", 1.5),
        scored("e", 200, "loss", 0.25),
    ]);
    assert_eq!(value(&sheet, "wandb.metrics.best_accuracy"), Some(0.7));
    assert_eq!(value(&sheet, "wandb.metrics.avg_accuracy_7d"), Some(0.6));
    assert_eq!(value(&sheet, "wandb.metrics.latest_loss"), Some(0.25));
    assert_eq!(of_scored(vec![]).gaps.iter().filter(|gap| gap.series.contains("metrics")).count(), 3);
}

#[test]
fn every_gpu_of_every_running_run_counts_alike() {
    let with = |state, system: &[(&str, f64)]| Run {
        state,
        system: system.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect(),
        ..Run::default()
    };
    let running = vec![
        with(State::Running, &[("system.gpu.0.gpu", 90.0), ("system.gpu.1.gpu", 60.0), ("system.gpu.0.temp", 1.0)]),
        with(State::Running, &[("system.gpu.0.gpu", 30.0), ("system.gpu.process.0.gpu", 1.0), ("system.cpu", 1.0)]),
        with(State::Finished, &[("system.gpu.0.gpu", 1.0)]),
    ];
    let settings = Settings { gpu_key: Some("system.gpu.*.gpu".into()), ..Settings::default() };
    let sheet = measure(&settings, &Answers { running: Ok(running), ..answers(vec![]) }, now());
    assert_eq!(value(&sheet, GPU), Some(60.0));
    assert_eq!(value(&measure(&settings, &answers(vec![]), now()), GPU), None);
}

#[test]
fn a_star_stands_for_anything_but_a_dot() {
    for (pattern, key, is_fit) in [
        ("system.gpu.*.gpu", "system.gpu.11.gpu", true),
        ("system.gpu.*.gpu", "system.gpu.process.0.gpu", false),
        ("system.gpu.*.gpu", "system.gpu.0.gpu.x", false),
        ("*.gp*", "system.gpu", true),
        ("*", "é", true),
        ("*é*", "aéb", true),
        ("system.gpu.0.gpu", "system.gpu.0.gpu", true),
        ("system.gpu.0.gpu", "system.gpu.0", false),
    ] {
        assert_eq!(fits(pattern, key), is_fit, "{pattern} {key}");
    }
}

#[test]
fn a_lost_group_costs_its_own_series_alone() {
    let fault = || Fault::new(Reason::Timeout, "too slow");
    let keys = || Some("k".to_owned());
    let settings = Settings { accuracy_key: keys(), loss_key: keys(), gpu_key: keys(), ..Settings::default() };
    let lost = |answers: Answers| {
        measure(&settings, &answers, now()).gaps.iter().filter(|gap| gap.reason == "too slow").count()
    };
    let whole = || answers(vec![]);
    let recent = |runs, completed_7d, failed_7d| Ok(Recent { runs, completed_7d, failed_7d });
    assert_eq!(lost(Answers { recent: Err(fault()), ..whole() }), 22);
    assert_eq!(lost(Answers { recent: recent(Err(fault()), Ok(1), Ok(1)), ..whole() }), 20);
    assert_eq!(lost(Answers { recent: recent(Ok(vec![]), Err(fault()), Err(fault())), ..whole() }), 2);
    assert_eq!(lost(Answers { scored: Err(fault()), ..whole() }), 3);
    assert_eq!(lost(Answers { running: Err(fault()), ..whole() }), 1);
}

fn any_run() -> impl Strategy<Value = Run> {
    let state = prop_oneof![
        Just(State::Running),
        Just(State::Finished),
        Just(State::Failed),
        Just(State::Crashed),
        Just(State::Other)
    ];
    let name = prop_oneof![Just(None), Just(Some("github.sky.main")), Just(Some("ak.sweep")), Just(Some("local"))];
    let times = (prop::option::weighted(0.9, 0_u64..200_000), prop::option::weighted(0.9, 0_u64..200_000));
    let summary =
        prop::collection::btree_map(prop::sample::select(SPEED_KEYS.map(str::to_owned).to_vec()), any_speed(), 0..3);
    (0_u32..1000, state, name, times, summary).prop_map(|(id, state, name, (created, heartbeat), summary)| {
        let ago = |age_s: Option<u64>| age_s.map(|age_s| now() - Duration::from_secs(age_s));
        let display_name = name.map(Into::into);
        Run {
            id: id.to_string(),
            display_name,
            state,
            created_at: ago(created),
            heartbeat_at: ago(heartbeat),
            summary,
            ..Run::default()
        }
    })
}

fn any_speed() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("finite", |speed| speed.is_finite())
}

proptest! {
    #[test]
    fn counts_fit_into_each_other_and_the_order_of_runs_is_nothing(
        mut runs in prop::collection::vec(any_run(), 0..30)
    ) {
        runs.sort_by(|a, b| a.id.cmp(&b.id));
        runs.dedup_by(|a, b| a.id == b.id);
        let sheet = of_recent(runs.clone());
        let count = |series: &str| value(&sheet, &format!("wandb.{series}")).unwrap_or(f64::NAN);
        let known = count("runs.active") + count("runs.completed_24h") + count("runs.failed_24h");
        prop_assert!(known <= count("runs.total_recent") && count("runs.total_recent") <= runs.len() as f64);
        for group in ["push_to_main", "sweep"] {
            let completed = count(&format!("{group}.runs_completed_24h"));
            let ended = completed + count(&format!("{group}.runs_failed_24h"));
            let rate = value(&sheet, &format!("wandb.{group}.success_rate_pct"));
            prop_assert_eq!(rate, (ended > 0.0).then(|| 100.0 * completed / ended));
        }
        runs.reverse();
        let reversed = of_recent(runs);
        let mut pairs = sheet.points.iter().zip(&reversed.points);
        prop_assert!(pairs.all(|(a, b)| (a.value - b.value).abs() <= 1e-9 * a.value.abs()));
    }

    #[test]
    fn a_mean_lies_between_the_least_and_the_greatest(values in prop::collection::vec(any_speed(), 1..20)) {
        let least = values.iter().copied().fold(f64::MAX, f64::min);
        let greatest = values.iter().copied().fold(f64::MIN, f64::max);
        let slack = 1e-12 * least.abs().max(greatest.abs());
        let mean = mean(&values).unwrap_or(f64::NAN);
        prop_assert!(mean >= least - slack && mean <= greatest + slack, "{} {} {}", least, mean, greatest);
    }
}
