//! What the inputs are worth: pure, last values in, a sheet out. Every formula stands here.

use std::time::Duration;

use collector_sdk::Sheet;
use collector_sdk::last_values::Answer;

use crate::api::{Rule, Scale, Settings};

/// Series that collector wandb emits only with one of its settings, and that setting. A test holds this to its manifest.
const ONLY_WITH_WANDB_SETTING: [(&str, &str); 4] = [
    ("wandb.metrics.best_accuracy", "accuracy_key"),
    ("wandb.metrics.avg_accuracy_7d", "accuracy_key"),
    ("wandb.metrics.latest_loss", "loss_key"),
    ("wandb.training.gpu_utilization_avg", "gpu_key"),
];

/// Up to here an accuracy is a ratio, above it is in percent. A mean of ratios may come out a little over 1.
const RATIO_MAX: f64 = 1.01;

/// A point or a gap for every figure.
///
/// An input that nobody has is no fault, as collectors may be switched off: without any input the run is `empty`.
pub fn measure(settings: &Settings, answer: &Answer) -> Sheet {
    let mut sheet = Sheet::default();
    for figure in &settings.figures {
        match figure.rule.as_ref().map(|rule| rate_input(rule, answer, settings.max_age)) {
            Ok(Ok(worth)) => sheet.put(figure.series, worth),
            Ok(Err(reason)) => sheet.gap(figure.series, reason),
            Err(fault) => sheet.lost(&[figure.series], fault),
        }
    }
    sheet
}

/// The figure, or why there is none.
fn rate_input(rule: &Rule, answer: &Answer, max_age: Duration) -> Result<f64, String> {
    let input = &rule.input;
    let known = answer.values.get(input).map(|last| last.value).filter(|value| value.is_finite());
    let value = known.ok_or_else(|| explain_missing(input, answer, max_age))?;
    rate(rule.scale, value).ok_or_else(|| format!("{input} is {value}, and only a loss above 0 can be rated"))
}

/// What a finite input is worth, from 0 to 1; none for a loss that is no loss.
fn rate(scale: Scale, value: f64) -> Option<f64> {
    let worth = match scale {
        Scale::Passing { above } => f64::from(u8::from(value > above)),
        Scale::Falling { best, worst } => fall(value, best, worst),
        Scale::Rising { worst, best } => rise(value, worst, best),
        Scale::Accuracy { worst, best } => rise(read_ratio(value), worst, best),
        Scale::Loss { .. } if value <= 0.0 => return None,
        Scale::Loss { best, worst } => fall(value, best, worst),
        Scale::Duration { shortest, too_short, .. } if value < shortest => too_short,
        Scale::Duration { longest, worst, .. } => fall(value, longest, worst),
    };
    // Adding 0 makes a plain 0 of the negative one that a negative 0 divides to.
    Some(worth.clamp(0.0, 1.0) + 0.0)
}

/// 1 at the best value, below 0 past the worst. The difference may be infinite, but never infinity over infinity.
fn fall(value: f64, best: f64, worst: f64) -> f64 {
    1.0 - (value - best) / (worst - best)
}

/// 0 at the worst value, above 1 past the best.
fn rise(value: f64, worst: f64, best: f64) -> f64 {
    (value - worst) / (best - worst)
}

fn read_ratio(accuracy: f64) -> f64 {
    if accuracy <= RATIO_MAX { accuracy } else { accuracy / 100.0 }
}

fn explain_missing(input: &str, answer: &Answer, max_age: Duration) -> String {
    let missing = format!("no value of {input} younger than {}", write_age(max_age));
    let setting = ONLY_WITH_WANDB_SETTING.iter().find(|(series, _)| *series == input);
    let hint = setting.map(|(_, key)| format!("; to have it, set {key} of collector wandb"));
    let problem = answer.problem.as_ref().map(|problem| format!("; {problem}"));
    [Some(missing), hint, problem].into_iter().flatten().collect()
}

fn write_age(age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    if minutes.is_multiple_of(60) { format!("{} h", minutes / 60) } else { format!("{minutes} min") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use collector_sdk::Fault;
    use collector_sdk::last_values::{Source, Value};
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    use proptest::prelude::*;

    use super::*;
    use crate::api::Figure;

    const CI_P90: Scale = Scale::Falling { best: 3.0, worst: 10.0 };
    const CYCLE_TIME: Scale = Scale::Falling { best: 24.0, worst: 72.0 };
    const STALE: Scale = Scale::Falling { best: 0.0, worst: 50.0 };
    const RUNS: Scale = Scale::Rising { worst: 0.0, best: 7.0 };
    const ACCURACY: Scale = Scale::Accuracy { worst: 0.0, best: 1.0 };
    const LOSS: Scale = Scale::Loss { best: 0.1, worst: 2.0 };
    const DURATION: Scale = Scale::Duration { shortest: 1.0, longest: 8.0, worst: 16.0, too_short: 0.3 };

    fn assert_rated(scale: Scale, expected: &[(f64, f64)]) {
        for (value, worth) in expected {
            let actual = rate(scale, *value).unwrap();
            assert!((actual - worth).abs() < 1e-12, "{scale:?} of {value} is {actual}, not {worth}");
        }
    }

    #[test]
    fn the_test_points_of_the_old_system_hold() {
        assert_rated(CI_P90, &[(5.0, 5.0 / 7.0)]);
        assert_rated(CYCLE_TIME, &[(48.0, 0.5)]);
        assert_rated(STALE, &[(20.0, 0.6)]);
    }

    #[test]
    fn a_figure_stays_1_past_the_best_value_and_0_past_the_worst() {
        assert_rated(CI_P90, &[(-1e300, 1.0), (0.0, 1.0), (3.0, 1.0), (10.0, 0.0), (1e300, 0.0)]);
        assert_rated(RUNS, &[(-5.0, 0.0), (0.0, 0.0), (3.5, 0.5), (7.0, 1.0), (173.0, 1.0)]);
    }

    #[test]
    fn tests_pass_above_0() {
        let passing = Scale::Passing { above: 0.0 };
        assert_rated(passing, &[(-1.0, 0.0), (0.0, 0.0), (0.01, 1.0), (1.0, 1.0), (9.0, 1.0)]);
    }

    #[test]
    fn an_accuracy_is_a_ratio_up_to_1_01_and_percent_above() {
        assert_rated(ACCURACY, &[(-0.5, 0.0), (0.83, 0.83), (1.0, 1.0), (1.005, 1.0), (1.01, 1.0)]);
        assert_rated(ACCURACY, &[(1.02, 0.0102), (83.0, 0.83), (100.0, 1.0), (250.0, 1.0)]);
        assert_rated(Scale::Accuracy { worst: 0.5, best: 0.9 }, &[(0.7, 0.5), (70.0, 0.5), (90.0, 1.0), (40.0, 0.0)]);
    }

    #[test]
    fn a_loss_that_is_not_above_0_has_no_figure() {
        assert_rated(LOSS, &[(f64::MIN_POSITIVE, 1.0), (0.1, 1.0), (1.05, 0.5), (2.0, 0.0), (3.0, 0.0)]);
        assert_eq!((rate(LOSS, 0.0), rate(LOSS, -0.0), rate(LOSS, -2.0)), (None, None, None));
        let reason = rate_one(LOSS, "a.loss", Some(-2.0), None).unwrap_err();
        assert_eq!(reason, "a.loss is -2, and only a loss above 0 can be rated");
    }

    #[test]
    fn a_run_is_too_short_then_good_then_ever_worse() {
        assert_rated(
            DURATION,
            &[(-3.0, 0.3), (0.99, 0.3), (1.0, 1.0), (8.0, 1.0), (10.0, 0.75), (16.0, 0.0), (99.0, 0.0)],
        );
    }

    fn rate_one(scale: Scale, input: &str, value: Option<f64>, problem: Option<&str>) -> Result<f64, String> {
        let last = value.map(|value| (input.to_owned(), Value { value, source: Source::Store }));
        let answer = Answer { values: BTreeMap::from_iter(last), problem: problem.map(str::to_owned) };
        rate_input(&Rule { input: input.into(), scale }, &answer, Duration::from_secs(3600))
    }

    #[test]
    fn a_missing_input_is_named_with_its_age_and_what_would_help() {
        let missing = |input, problem| rate_one(LOSS, input, None, problem).unwrap_err();
        assert_eq!(missing("a.b", None), "no value of a.b younger than 1 h");
        assert_eq!(missing("a.b", Some("datadog: 403")), "no value of a.b younger than 1 h; datadog: 403");
        assert_eq!(
            missing("wandb.metrics.latest_loss", Some("datadog: 403")),
            "no value of wandb.metrics.latest_loss younger than 1 h; to have it, set loss_key of collector wandb; datadog: 403"
        );
    }

    #[test]
    fn an_age_is_written_in_whole_hours_where_it_is_whole_hours() {
        let written = |minutes| write_age(Duration::from_mins(minutes));
        assert_eq!([1, 60, 90, 1440].map(written), ["1 min", "1 h", "90 min", "24 h"]);
    }

    #[test]
    fn an_input_that_is_not_finite_is_missing() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(rate_one(STALE, "a.b", Some(value), None).unwrap_err(), "no value of a.b younger than 1 h");
        }
    }

    #[test]
    fn a_problem_costs_no_figure_that_has_its_input() {
        assert_eq!(rate_one(STALE, "a.b", Some(20.0), Some("datadog: 403")), Ok(0.6));
    }

    #[test]
    fn a_fault_in_its_settings_costs_a_figure_and_no_other() {
        let good = Rule { input: "a.b".into(), scale: STALE };
        let figures =
            vec![Figure { series: "bad", rule: Err(Fault::setting("no")) }, Figure { series: "good", rule: Ok(good) }];
        let last = ("a.b".to_owned(), Value { value: 20.0, source: Source::Cycle });
        let answer = Answer { values: BTreeMap::from([last]), problem: None };
        let sheet = measure(&Settings { max_age: Duration::from_secs(3600), figures }, &answer);
        let said: Vec<_> = sheet.points.iter().map(|point| (point.series.as_str(), point.value)).collect();
        assert_eq!((said, sheet.gaps.len(), sheet.faults.len()), (vec![("good", 0.6)], 1, 1));
        assert_eq!((sheet.gaps[0].series.as_str(), sheet.gaps[0].reason.as_str()), ("bad", "no"));
    }

    fn finite() -> impl Strategy<Value = f64> {
        prop_oneof![POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO, -200.0..200.0]
    }

    fn thresholds(max: f64) -> impl Strategy<Value = (f64, f64)> {
        let threshold =
            move || prop_oneof![POSITIVE | NORMAL | SUBNORMAL | ZERO, 0.0..100.0].prop_map(move |t| t % max);
        let in_order = |(a, b): (f64, f64)| (a != b).then_some((a.min(b), a.max(b)));
        (threshold(), threshold()).prop_filter_map("equal thresholds are a fault", in_order)
    }

    fn scale() -> impl Strategy<Value = Scale> {
        let durations = (thresholds(f64::MAX), 0.0..=1.0, 0.0..1.0).prop_filter_map(
            "equal thresholds are a fault",
            |((shortest, worst), too_short, part)| {
                let longest = shortest + (worst - shortest) * part;
                let in_order = shortest < longest && longest < worst;
                in_order.then_some(Scale::Duration { shortest, longest, worst, too_short })
            },
        );
        prop_oneof![
            thresholds(f64::MAX).prop_map(|(above, _)| Scale::Passing { above }),
            thresholds(f64::MAX).prop_map(|(best, worst)| Scale::Falling { best, worst }),
            thresholds(f64::MAX).prop_map(|(worst, best)| Scale::Rising { worst, best }),
            thresholds(1.0).prop_map(|(worst, best)| Scale::Accuracy { worst, best }),
            thresholds(f64::MAX).prop_map(|(best, worst)| Scale::Loss { best, worst }),
            durations,
        ]
    }

    proptest! {
        #[test]
        fn every_figure_of_every_finite_input_is_from_0_to_1(scale in scale(), value in finite()) {
            match rate(scale, value) {
                Some(worth) => prop_assert!((0.0..=1.0).contains(&worth) && worth.is_sign_positive(), "{worth}"),
                None => prop_assert!(value <= 0.0 && matches!(scale, Scale::Loss { .. }), "{value} has no figure"),
            }
        }

        #[test]
        fn a_better_input_is_never_worth_less(scale in scale(), one in finite(), other in finite()) {
            let (low, high) = (one.min(other), one.max(other));
            let (of_low, of_high) = (rate(scale, low), rate(scale, high));
            let is_so = match scale {
                Scale::Passing { .. } | Scale::Rising { .. } => of_low <= of_high,
                // Past the step from ratio to percent a larger number begins anew.
                Scale::Accuracy { .. } => of_low <= of_high || low <= RATIO_MAX && high > RATIO_MAX,
                Scale::Falling { .. } => of_low >= of_high,
                Scale::Loss { .. } => of_low >= of_high || low <= 0.0,
                Scale::Duration { shortest, .. } => of_low >= of_high || low < shortest,
            };
            prop_assert!(is_so, "{low} is worth {of_low:?}, {high} is worth {of_high:?}");
        }

        #[test]
        fn the_thresholds_themselves_are_worth_1_and_0((low, high) in thresholds(f64::MAX)) {
            let falling = Scale::Falling { best: low, worst: high };
            let rising = Scale::Rising { worst: low, best: high };
            prop_assert_eq!((rate(falling, low), rate(falling, high)), (Some(1.0), Some(0.0)));
            prop_assert_eq!((rate(rising, low), rate(rising, high)), (Some(0.0), Some(1.0)));
        }
    }
}
