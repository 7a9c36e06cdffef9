//! A simulated host with last values, and what the collector makes of its answers and of its settings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use collector_sdk::http::{Error, ErrorKind, Request, Response};
use collector_sdk::testing::{Outcome, World, run};
use collector_sdk::{Reason, Timestamp};
use proptest::prelude::*;
use serde_json::json;

use super::FIGURES;
use crate::HealthFom;

const MANIFEST: &str = include_str!("../../collector.toml");

/// Every default input, its last value, and its figure.
const ORDINARY: [(&str, f64, f64); 14] = [
    ("github.ci.tests_passing_on_main", 1.0, 1.0),
    ("github.ci.failed_workflows_7d", 2.0, 0.6),
    ("github.commits.hotfix", 1.0, 0.9),
    ("github.commits.reverts", 1.0, 0.5),
    ("github.ci.duration_p90_minutes", 6.5, 0.5),
    ("github.prs.stale_count_14d", 10.0, 0.8),
    ("github.prs.cycle_time_hours", 60.0, 0.25),
    ("wandb.runs.completed_7d", 3.5, 0.5),
    ("wandb.runs.failed_7d", 1.5, 0.5),
    ("wandb.metrics.best_accuracy", 0.75, 0.75),
    ("wandb.metrics.avg_accuracy_7d", 50.0, 0.5),
    ("wandb.metrics.latest_loss", 1.05, 0.5),
    ("wandb.training.gpu_utilization_avg", 60.0, 0.75),
    ("wandb.training.avg_duration_hours", 12.0, 0.5),
];

/// A host that knows these of the ordinary values, and perhaps has trouble with Datadog.
fn host(known: [bool; 14], problem: Option<&'static str>) -> World {
    let values: BTreeMap<&str, f64> =
        ORDINARY.into_iter().zip(known).filter(|(_, is_known)| *is_known).map(|((s, v, _), _)| (s, v)).collect();
    world().answering(move |request| {
        let asked: BTreeSet<&str> = request.query_value("series").unwrap().split(',').collect();
        let known = values.iter().filter(|(series, _)| asked.contains(*series));
        let sources = ["cycle", "store", "datadog"].into_iter().cycle();
        let values: BTreeMap<_, _> =
            known.zip(sources).map(|((series, v), source)| (series, json!({"value": v, "source": source}))).collect();
        answer(&json!({"values": values, "problem": problem}).to_string())
    })
}

fn world() -> World {
    let now: Timestamp = "2025-10-24T12:00:00Z".parse().unwrap();
    World::new(MANIFEST, now)
}

fn answer(body: &str) -> Result<Response, Error> {
    Ok(Response { label: String::new(), status: 200, headers: vec![], body: body.into() })
}

/// The series asked for, request by request.
fn asked<'a>(outcome: &'a Outcome) -> Vec<Vec<&'a str>> {
    let series = |request: &'a Request| request.query_value("series").unwrap().split(',').collect();
    outcome.requests.iter().map(series).collect()
}

#[test]
fn all_inputs_are_asked_for_in_one_question() {
    let outcome = run::<HealthFom>(host([true; 14], None));
    let mut inputs: Vec<&str> = ORDINARY.iter().map(|(input, ..)| *input).collect();
    inputs.sort_unstable();
    assert_eq!(asked(&outcome), [inputs]);
    assert_eq!(outcome.requests[0].query_value("max_age_s"), Some("3600"));
    assert_eq!((outcome.fault, outcome.gaps), (None, vec![]));
}

#[test]
fn an_input_of_several_figures_is_asked_for_once() {
    let same = FIGURES.iter().fold(host([true; 14], None), |world, (_, key, _)| {
        world.with(&format!("{key}_input"), "github.commits.hotfix")
    });
    let outcome = run::<HealthFom>(same);
    assert_eq!(asked(&outcome), [["github.commits.hotfix"]]);
    assert_eq!(outcome.points.len(), 14);
}

#[test]
fn without_an_answer_every_figure_is_a_gap_and_nothing_is_a_fault() {
    let outcome = run::<HealthFom>(
        world().answering(|_| Err(Error { kind: ErrorKind::Timeout, message: "datadog: no answer in 10 s".into() })),
    );
    assert_eq!((&outcome.fault, outcome.points.len(), outcome.gaps.len(), outcome.requests.len()), (&None, 0, 14, 1));
    for ((input, ..), (series, ..)) in ORDINARY.iter().zip(FIGURES) {
        let reason = outcome.gap(series).unwrap();
        assert!(reason.contains(input) && reason.ends_with("; datadog: no answer in 10 s"), "{series}: {reason}");
    }
}

proptest! {
    #[test]
    fn a_missing_input_never_costs_another_figure(known: [bool; 14], has_problem: bool) {
        let outcome = run::<HealthFom>(host(known, has_problem.then_some("datadog: 403")));
        prop_assert_eq!(&outcome.fault, &None);
        for (((input, _, worth), (series, ..)), is_known) in ORDINARY.iter().zip(FIGURES).zip(known) {
            let is_close = outcome.value(series).is_some_and(|value| (value - worth).abs() < 1e-12);
            let is_named = outcome.gap(series).is_some_and(|reason| reason.contains(input));
            prop_assert_eq!((is_close, is_named), (is_known, !is_known), "{}", series);
        }
    }
}

#[test]
fn a_bad_setting_costs_its_own_figure_and_is_named() {
    for (series, key, bad) in [
        ("health.ci.tests_passing.fom", "ci_tests_passing_above", "-1"),
        ("health.ci.failing_workflows.fom", "ci_failing_workflows_worst", "0"),
        ("health.ci.hotfix_count.fom", "ci_hotfix_count_input", ""),
        ("health.ci.revert_count.fom", "ci_revert_count_input", "avg:github.commits.reverts{*}"),
        ("health.ci.duration_p90.fom", "ci_duration_p90_worst", "3"),
        ("health.ci.stale_prs.fom", "ci_stale_prs_worst", "inf"),
        ("health.ci.pr_cycle_time.fom", "ci_pr_cycle_time_best", "NaN"),
        ("health.training.run_success.fom", "training_run_success_best", "0"),
        ("health.training.run_failures.fom", "training_run_failures_worst", "three"),
        ("health.training.best_accuracy.fom", "training_best_accuracy_best", "95"),
        ("health.training.avg_accuracy.fom", "training_avg_accuracy_best", "0"),
        ("health.training.latest_loss.fom", "training_latest_loss_worst", "0.1"),
        ("health.training.gpu_utilization.fom", "training_gpu_utilization_worst", "-0.5"),
        ("health.training.duration.fom", "training_duration_longest", "1"),
        ("health.training.duration.fom", "training_duration_worst", "8"),
        ("health.training.duration.fom", "training_duration_too_short", "1.3"),
    ] {
        let outcome = run::<HealthFom>(host([true; 14], None).with(key, bad));
        let fault = outcome.fault.clone().unwrap();
        assert_eq!((fault.reason, outcome.points.len()), (Reason::Setting, 13), "{key}");
        assert!(fault.message.contains(key), "{key}: {}", fault.message);
        assert_eq!(outcome.gap(series), Some(fault.message.as_str()), "{key}");
        assert_eq!(outcome.gaps.len(), 1, "{key}");
    }
}

#[test]
fn nothing_is_asked_where_no_figure_has_a_rule() {
    let no_inputs =
        FIGURES.iter().fold(host([true; 14], None), |world, (_, key, _)| world.with(&format!("{key}_input"), "-"));
    let outcome = run::<HealthFom>(no_inputs);
    assert_eq!((outcome.requests.len(), outcome.points.len(), outcome.gaps.len()), (0, 0, 14));
    assert_eq!(outcome.fault.unwrap().reason, Reason::Setting);
}

#[test]
fn an_age_that_makes_no_sense_is_a_fault_of_the_run() {
    for bad in ["0", "10081", "-60", "soon", "18446744073709551615"] {
        let outcome = run::<HealthFom>(host([true; 14], None).with("max_age_minutes", bad));
        let fault = outcome.fault.unwrap();
        assert!(
            fault.reason == Reason::Setting && fault.message.contains("max_age_minutes"),
            "{bad}: {}",
            fault.message
        );
        assert!(outcome.requests.is_empty() && outcome.points.is_empty(), "{bad}");
    }
}

fn manifest_of(collector: &str) -> toml::Table {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(guests.join(collector).join("collector.toml")).unwrap().parse().unwrap()
}

/// The declared series of a collector, each with the setting without which it does not exist.
fn declared_by(collector: &str) -> BTreeMap<String, Option<String>> {
    let text = |series: &toml::Value, key: &str| Some(series.get(key)?.as_str()?.to_owned());
    let manifest = manifest_of(collector);
    manifest["series"].as_array().unwrap().iter().map(|s| (text(s, "name").unwrap(), text(s, "only_with"))).collect()
}

#[test]
fn every_default_input_is_declared_by_a_collector_that_runs_before() {
    let after = manifest_of("health_fom")["after"].clone();
    let after: Vec<&str> = after.as_array().unwrap().iter().filter_map(toml::Value::as_str).collect();
    let declared: BTreeMap<_, _> = after.into_iter().flat_map(declared_by).collect();
    let nothing = run::<HealthFom>(host([false; 14], None));
    for ((input, ..), (series, ..)) in ORDINARY.iter().zip(FIGURES) {
        let Some(only_with) = declared.get(*input) else { panic!("nobody declares {input}") };
        let hint =
            only_with.as_ref().map(|key| format!("; to have it, set {key} of collector wandb")).unwrap_or_default();
        assert_eq!(nothing.gap(series), Some(format!("no value of {input} younger than 1 h{hint}").as_str()));
    }
}
