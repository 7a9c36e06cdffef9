//! What each figure is read from and how it is rated, as the settings say, and the one question that answers them all.
//!
//! A setting that makes no sense costs its own figure and no other; only `max_age_minutes` concerns them all.

use std::collections::BTreeSet;
use std::time::Duration;

use collector_sdk::last_values::{self, Answer};
use collector_sdk::{Fault, settings};

/// The oldest that an input may be. Most inputs speak of a week: what is older shares no day with it.
const MAX_AGE_MINUTES_MAX: u64 = 7 * 24 * 60;

/// Reads one kind of scale from the settings whose keys begin so.
type ReadScale = fn(&str) -> Result<Scale, Fault>;

/// Every figure: its series, what the keys of its settings begin with, and how it is rated.
const FIGURES: [(&str, &str, ReadScale); 14] = [
    ("health.ci.tests_passing.fom", "ci_tests_passing", read_passing),
    ("health.ci.failing_workflows.fom", "ci_failing_workflows", read_falling),
    ("health.ci.hotfix_count.fom", "ci_hotfix_count", read_falling),
    ("health.ci.revert_count.fom", "ci_revert_count", read_falling),
    ("health.ci.duration_p90.fom", "ci_duration_p90", read_falling),
    ("health.ci.stale_prs.fom", "ci_stale_prs", read_falling),
    ("health.ci.pr_cycle_time.fom", "ci_pr_cycle_time", read_falling),
    ("health.training.run_success.fom", "training_run_success", read_rising),
    ("health.training.run_failures.fom", "training_run_failures", read_falling),
    ("health.training.best_accuracy.fom", "training_best_accuracy", read_accuracy),
    ("health.training.avg_accuracy.fom", "training_avg_accuracy", read_accuracy),
    ("health.training.latest_loss.fom", "training_latest_loss", read_loss),
    ("health.training.gpu_utilization.fom", "training_gpu_utilization", read_rising),
    ("health.training.duration.fom", "training_duration", read_duration),
];

/// What the operator wrote for this collector. `collector.toml` says what each means.
#[derive(Clone, Debug)]
pub struct Settings {
    pub max_age: Duration,
    pub figures: Vec<Figure>,
}

/// One figure of merit.
#[derive(Clone, Debug)]
pub struct Figure {
    pub series: &'static str,
    /// How it is found, or the fault in its settings.
    pub rule: Result<Rule, Fault>,
}

/// How a figure is found.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The series that it is read from.
    pub input: String,
    pub scale: Scale,
}

/// What an input is worth. All thresholds are finite and not negative, as no input of the catalogue is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// 1 above this, else 0.
    Passing { above: f64 },
    /// Less is better: `best < worst`.
    Falling { best: f64, worst: f64 },
    /// More is better: `worst < best`.
    Rising { worst: f64, best: f64 },
    /// More is better, `worst < best <= 1`; the input may be a ratio or in percent.
    Accuracy { worst: f64, best: f64 },
    /// Less is better, `best < worst`; what is not above 0 cannot be rated.
    Loss { best: f64, worst: f64 },
    /// Good in between, `shortest < longest < worst`; below it is worth `too_short`, which is from 0 to 1.
    Duration { shortest: f64, longest: f64, worst: f64, too_short: f64 },
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// `setting`, where the age makes no sense. Everything else is a fault of one figure.
    pub fn read() -> Result<Settings, Fault> {
        let minutes: u64 = settings::parsed("max_age_minutes")?;
        if !(1..=MAX_AGE_MINUTES_MAX).contains(&minutes) {
            let message = format!("setting max_age_minutes is {minutes}, not from 1 to {MAX_AGE_MINUTES_MAX}");
            return Err(Fault::setting(message));
        }
        let figures = FIGURES.map(|(series, key, read_scale)| Figure { series, rule: read_rule(key, read_scale) });
        Ok(Settings { max_age: Duration::from_secs(minutes * 60), figures: figures.into() })
    }
}

/// Asks for all inputs at once, each once.
pub async fn ask(settings: &Settings) -> Answer {
    let rules = settings.figures.iter().filter_map(|figure| figure.rule.as_ref().ok());
    let inputs: BTreeSet<&str> = rules.map(|rule| rule.input.as_str()).collect();
    if inputs.is_empty() {
        return Answer::default();
    }
    last_values::get(&Vec::from_iter(inputs), settings.max_age).await
}

fn read_rule(key: &str, read_scale: ReadScale) -> Result<Rule, Fault> {
    Ok(Rule { input: read_input(key)?, scale: read_scale(key)? })
}

/// The host asks for all inputs in one query, so that a name that is none would cost the others their answer.
fn read_input(key: &str) -> Result<String, Fault> {
    let key = format!("{key}_input");
    let input = settings::text(&key)?;
    let is_name = input.starts_with(|first: char| first.is_ascii_alphabetic())
        && input.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
        && input.len() < 200;
    if is_name {
        Ok(input)
    } else {
        Err(Fault::setting(format!("setting {key} is {input:?}, not the name of a series")))
    }
}

fn read_passing(key: &str) -> Result<Scale, Fault> {
    Ok(Scale::Passing { above: read_threshold(key, "above")? })
}

fn read_falling(key: &str) -> Result<Scale, Fault> {
    let (best, worst) = read_ordered(key, "best", "worst")?;
    Ok(Scale::Falling { best, worst })
}

fn read_rising(key: &str) -> Result<Scale, Fault> {
    let (worst, best) = read_ordered(key, "worst", "best")?;
    Ok(Scale::Rising { worst, best })
}

fn read_accuracy(key: &str) -> Result<Scale, Fault> {
    let (worst, best) = read_ordered(key, "worst", "best")?;
    check_ratio(key, "best", best)?;
    Ok(Scale::Accuracy { worst, best })
}

fn read_loss(key: &str) -> Result<Scale, Fault> {
    let (best, worst) = read_ordered(key, "best", "worst")?;
    Ok(Scale::Loss { best, worst })
}

fn read_duration(key: &str) -> Result<Scale, Fault> {
    let (shortest, longest) = read_ordered(key, "shortest", "longest")?;
    let (_, worst) = read_ordered(key, "longest", "worst")?;
    let too_short = read_threshold(key, "too_short")?;
    check_ratio(key, "too_short", too_short)?;
    Ok(Scale::Duration { shortest, longest, worst, too_short })
}

/// Two thresholds, the lower one first. Equal ones would divide by nothing, and the wrong way round they would call the worst
/// the best.
fn read_ordered(key: &str, lower: &str, upper: &str) -> Result<(f64, f64), Fault> {
    let (low, high) = (read_threshold(key, lower)?, read_threshold(key, upper)?);
    if low < high {
        return Ok((low, high));
    }
    Err(Fault::setting(format!("setting {key}_{upper} is {high}, not above {key}_{lower}, which is {low}")))
}

fn read_threshold(key: &str, part: &str) -> Result<f64, Fault> {
    let key = format!("{key}_{part}");
    let threshold: f64 = settings::parsed(&key)?;
    if threshold.is_finite() && threshold >= 0.0 {
        return Ok(threshold);
    }
    Err(Fault::setting(format!("setting {key} is {threshold}, not a number from 0 up")))
}

fn check_ratio(key: &str, part: &str, ratio: f64) -> Result<(), Fault> {
    if ratio <= 1.0 {
        return Ok(());
    }
    Err(Fault::setting(format!("setting {key}_{part} is {ratio}, not a ratio from 0 to 1")))
}

#[cfg(test)]
mod tests;
