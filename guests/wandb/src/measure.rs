//! What the runs amount to: pure, runs in, a sheet out. Every formula stands here.

use collector_sdk::{Sheet, Timestamp};

use crate::api::{Answers, DAY, Recent, Run, SPEED_KEYS, Settings, State, WEEK, start_of};

/// The series that need the runs of the last day.
const DAY_FIGURES: [&str; 15] = [
    "wandb.runs.active",
    "wandb.runs.completed_24h",
    "wandb.runs.failed_24h",
    "wandb.runs.total_recent",
    "wandb.training.avg_duration_hours",
    "wandb.training.total_gpu_hours_24h",
    "wandb.push_to_main.runs_completed_24h",
    "wandb.push_to_main.runs_failed_24h",
    "wandb.push_to_main.success_rate_pct",
    "wandb.push_to_main.avg_duration_hours",
    "wandb.sweep.runs_total_24h",
    "wandb.sweep.runs_completed_24h",
    "wandb.sweep.runs_failed_24h",
    "wandb.sweep.runs_active",
    "wandb.sweep.success_rate_pct",
];

/// The series of the speed keys, in the order of [`SPEED_KEYS`]. They need the same runs.
const SPEEDS: [&str; 5] = [
    "wandb.push_to_main.overview.steps_per_second",
    "wandb.push_to_main.overview.epoch_steps_per_second",
    "wandb.push_to_main.overview.sps",
    "wandb.push_to_main.timing_cumulative.sps",
    "wandb.push_to_main.timing_per_epoch.sps",
];

const COMPLETED_7D: &str = "wandb.runs.completed_7d";
const FAILED_7D: &str = "wandb.runs.failed_7d";
const ACCURACY: [&str; 2] = ["wandb.metrics.best_accuracy", "wandb.metrics.avg_accuracy_7d"];
const LOSS: &str = "wandb.metrics.latest_loss";
const GPU: &str = "wandb.training.gpu_utilization_avg";

/// A point or a gap for every series that exists under these settings.
pub fn measure(settings: &Settings, answers: &Answers, now: Timestamp) -> Sheet {
    let mut sheet = Sheet::default();
    match &answers.recent {
        Ok(recent) => measure_recent(&mut sheet, recent, now),
        Err(fault) => sheet.lost(&[&DAY_FIGURES[..], &SPEEDS, &[COMPLETED_7D, FAILED_7D]].concat(), fault),
    }
    match &answers.scored {
        Ok(runs) => measure_scored(&mut sheet, settings, runs, now),
        Err(fault) => {
            let accuracy = settings.accuracy_key.iter().flat_map(|_| ACCURACY);
            let series: Vec<&str> = accuracy.chain(settings.loss_key.iter().map(|_| LOSS)).collect();
            sheet.lost(&series, fault);
        }
    }
    match (&settings.gpu_key, &answers.running) {
        (None, _) => {}
        (Some(pattern), Ok(runs)) => {
            let used = mean(&find_utilisations(runs, pattern));
            sheet.put_or_gap(GPU, used, &format!("no running run has a system metric {pattern}"));
        }
        (Some(_), Err(fault)) => sheet.lost(&[GPU], fault),
    }
    sheet
}

fn measure_recent(sheet: &mut Sheet, recent: &Recent, now: Timestamp) {
    match &recent.runs {
        Ok(runs) => measure_day(sheet, runs, now),
        Err(fault) => sheet.lost(&[&DAY_FIGURES[..], &SPEEDS].concat(), fault),
    }
    for (series, count) in [(COMPLETED_7D, &recent.completed_7d), (FAILED_7D, &recent.failed_7d)] {
        match count {
            Ok(count) => sheet.count(series, *count),
            Err(fault) => sheet.lost(&[series], fault),
        }
    }
}

/// All figures of the last day go by the time of creation and by the state of now; only the active ones know no window.
fn measure_day(sheet: &mut Sheet, runs: &[Run], now: Timestamp) {
    let active: Vec<&Run> = runs.iter().filter(|run| run.state == State::Running).collect();
    let day: Vec<&Run> = runs.iter().filter(|run| is_in_day(run, now)).collect();
    let older = active.iter().filter(|run| !is_in_day(run, now)).count();
    let hours = find_hours(&day);
    let total_hours = if day.is_empty() || !hours.is_empty() { Some(sum(&hours)) } else { None };

    sheet.count("wandb.runs.active", active.len());
    sheet.count("wandb.runs.completed_24h", count_completed(&day));
    sheet.count("wandb.runs.failed_24h", count_failed(&day));
    sheet.count("wandb.runs.total_recent", day.len().saturating_add(older));
    sheet.put_or_gap("wandb.training.avg_duration_hours", mean(&hours), "no run of the last 24 h has a heartbeat");
    sheet.put_or_gap("wandb.training.total_gpu_hours_24h", total_hours, "no run of the last 24 h has a heartbeat");
    measure_push_to_main(sheet, &of_kind(Kind::PushToMain, &day));
    measure_sweeps(sheet, &of_kind(Kind::Sweep, &day), &of_kind(Kind::Sweep, &active));
}

fn measure_push_to_main(sheet: &mut Sheet, runs: &[&Run]) {
    let (rate, hours) = (find_success_rate(runs), mean(&find_hours(runs)));
    sheet.count("wandb.push_to_main.runs_completed_24h", count_completed(runs));
    sheet.count("wandb.push_to_main.runs_failed_24h", count_failed(runs));
    sheet.put_or_gap(
        "wandb.push_to_main.success_rate_pct",
        rate,
        "no push to main of the last 24 h finished or failed",
    );
    sheet.put_or_gap(
        "wandb.push_to_main.avg_duration_hours",
        hours,
        "no push to main of the last 24 h has a heartbeat",
    );

    let measured = runs.iter().filter(|run| matches!(run.state, State::Finished | State::Crashed));
    let measured: Vec<&Run> = measured.copied().collect();
    for (series, key) in SPEEDS.into_iter().zip(SPEED_KEYS) {
        let speed = find_newest(&measured, key);
        sheet.put_or_gap(series, speed, &format!("no finished or crashed push to main of the last 24 h has {key}"));
    }
}

fn measure_sweeps(sheet: &mut Sheet, day: &[&Run], active: &[&Run]) {
    sheet.count("wandb.sweep.runs_total_24h", day.len());
    sheet.count("wandb.sweep.runs_completed_24h", count_completed(day));
    sheet.count("wandb.sweep.runs_failed_24h", count_failed(day));
    sheet.count("wandb.sweep.runs_active", active.len());
    sheet.put_or_gap(
        "wandb.sweep.success_rate_pct",
        find_success_rate(day),
        "no sweep run of the last 24 h finished or failed",
    );
}

fn measure_scored(sheet: &mut Sheet, settings: &Settings, runs: &[Run], now: Timestamp) {
    // The listing's filter knows no other window, so a run with an unreadable time was created in this one.
    let is_in_week = |run: &&Run| run.created_at.is_none_or(|created| created >= start_of(WEEK, now));
    let week: Vec<&Run> = runs.iter().filter(is_in_week).collect();
    if let Some(key) = &settings.accuracy_key {
        let accuracies: Vec<f64> = week.iter().filter_map(|run| run.summary.get(key).copied()).collect();
        let best = accuracies.iter().copied().reduce(f64::max);
        for (series, accuracy) in ACCURACY.into_iter().zip([best, mean(&accuracies)]) {
            sheet.put_or_gap(series, accuracy, &format!("no run of the last 7 days has {key}"));
        }
    }
    if let Some(key) = &settings.loss_key {
        sheet.put_or_gap(LOSS, find_newest(&week, key), &format!("no run of the last 7 days has {key}"));
    }
}

/// Whether a run was created in the last 24 h. Where its time cannot be read, the listing's filter knew it: the run was
/// created in the window or else runs.
fn is_in_day(run: &Run, now: Timestamp) -> bool {
    run.created_at.map_or(run.state != State::Running, |created| created >= start_of(DAY, now))
}

/// What a run is for. The first kind that fits is the one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    PushToMain,
    Sweep,
    Other,
}

fn of_kind<'a>(kind: Kind, runs: &[&'a Run]) -> Vec<&'a Run> {
    runs.iter().filter(|run| read_kind(run) == kind).copied().collect()
}

fn read_kind(run: &Run) -> Kind {
    let name = run.display_name.as_deref().unwrap_or_default();
    if name.starts_with("github.sky.") {
        Kind::PushToMain
    } else if run.sweep.is_some() || name.to_lowercase().contains(".sweep") {
        Kind::Sweep
    } else {
        Kind::Other
    }
}

fn count_completed(runs: &[&Run]) -> usize {
    runs.iter().filter(|run| run.state == State::Finished).count()
}

/// A killed or preempted run did not fail.
fn count_failed(runs: &[&Run]) -> usize {
    runs.iter().filter(|run| matches!(run.state, State::Failed | State::Crashed)).count()
}

fn find_success_rate(runs: &[&Run]) -> Option<f64> {
    let ended = runs.iter().filter(|run| matches!(run.state, State::Finished | State::Failed | State::Crashed));
    let outcomes: Vec<f64> = ended.map(|run| if run.state == State::Finished { 100.0 } else { 0.0 }).collect();
    mean(&outcomes)
}

/// How long the runs took that have both times, in hours.
fn find_hours(runs: &[&Run]) -> Vec<f64> {
    const HOUR_SECONDS: f64 = 3600.0;
    let duration = |run: &&Run| Some(run.heartbeat_at?.duration_since(run.created_at?));
    runs.iter().filter_map(duration).map(|duration| duration.as_secs_f64() / HOUR_SECONDS).collect()
}

/// The value of a summary key in the newest run that has it. A run with an unreadable time counts as the oldest.
fn find_newest(runs: &[&Run], key: &str) -> Option<f64> {
    let having = runs.iter().filter_map(|run| Some((run.created_at, &run.id, *run.summary.get(key)?)));
    having.max_by_key(|(created, id, _)| (*created, *id)).map(|(_, _, value)| value)
}

/// Every value of a system metric that the pattern names, over the runs that run.
fn find_utilisations(runs: &[Run], pattern: &str) -> Vec<f64> {
    let running = runs.iter().filter(|run| run.state == State::Running);
    running.flat_map(|run| &run.system).filter(|(key, _)| fits(pattern, key)).map(|(_, value)| *value).collect()
}

/// Whether a key is named by a pattern in which `*` stands for any run of characters without a dot.
fn fits(pattern: &str, key: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == key,
        Some((head, tail)) => key.strip_prefix(head).is_some_and(|rest| {
            let part_end = rest.find('.').unwrap_or(rest.len());
            let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]).take_while(|at| *at <= part_end);
            ends.filter_map(|at| rest.get(at..)).any(|rest| fits(tail, rest))
        }),
    }
}

/// Not `Iterator::sum`, which makes -0 of nothing.
fn sum(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |sum, value| sum + value)
}

/// The mean of finite values; nothing has none.
#[expect(clippy::cast_precision_loss, reason = "no listing has 2^53 runs")]
fn mean(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    let sum = sum(values);
    match values {
        [] => None,
        _ if sum.is_finite() => Some(sum / count),
        // Finite values may add up to more than an f64 holds.
        _ => Some(values.iter().map(|value| value / count).sum::<f64>().clamp(f64::MIN, f64::MAX)),
    }
}

#[cfg(test)]
mod tests;
