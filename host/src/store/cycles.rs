//! Cycles and their runs.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Row, SqliteConnection};

use super::KEPT_SECONDS;
use crate::model::{CycleSummary, Reason, RunSummary, Streak};

/// Writes a cycle and its runs, and forgets those that are too old.
pub(super) async fn record(connection: &mut SqliteConnection, cycle: &CycleSummary) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO cycles (id, slot, start, duration_ms, outcome) VALUES (?, ?, ?, ?, ?)")
        .bind(&cycle.id)
        .bind(cycle.slot.as_second())
        .bind(cycle.start.as_second())
        .bind(signed(cycle.duration_ms))
        .bind(cycle.outcome.word())
        .execute(&mut *connection)
        .await?;
    for run in &cycle.runs {
        record_run(&mut *connection, cycle, run).await?;
    }
    sqlx::query("DELETE FROM cycles WHERE start < ?")
        .bind(cycle.start.as_second() - KEPT_SECONDS)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

async fn record_run(
    connection: &mut SqliteConnection,
    cycle: &CycleSummary,
    run: &RunSummary,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO runs (cycle, collector, outcome, reason, blame, message, attempts, points, gaps, duration_ms,
             fuel_used, memory_peak_bytes, requests, bytes, throttled, component_digest)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&cycle.id)
    .bind(run.collector.as_str())
    .bind(run.outcome.word())
    .bind(run.fault.as_ref().map(|fault| fault.reason.word()))
    .bind(run.fault.as_ref().map(|fault| fault.blame.to_string()))
    .bind(run.fault.as_ref().map(|fault| fault.message.as_str()))
    .bind(i64::from(run.attempts))
    .bind(signed(run.points as u64))
    .bind(signed(run.gaps.len() as u64))
    .bind(signed(run.duration_ms))
    .bind(signed(run.fuel_used))
    .bind(signed(run.memory_peak_bytes))
    .bind(signed(run.http.requests))
    .bind(signed(run.http.bytes))
    .bind(signed(run.http.throttled))
    .bind(run.component_digest.as_deref())
    .execute(&mut *connection)
    .await?;
    if run.outcome.is_well() {
        sqlx::query(
            "INSERT INTO last_good (collector, start) VALUES (?1, ?2)
             ON CONFLICT (collector) DO UPDATE SET start = MAX(start, ?2)",
        )
        .bind(run.collector.as_str())
        .bind(cycle.start.as_second())
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// What the runs of the last cycles come to, for collectors whose last one came to nothing.
pub(super) async fn streaks(connection: &mut SqliteConnection) -> Result<BTreeMap<String, Streak>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT runs.collector, runs.outcome, reason, message, component_digest FROM runs JOIN cycles ON cycles.id = runs.cycle
         WHERE cycles.id IN (SELECT id FROM cycles ORDER BY start DESC LIMIT ?) ORDER BY cycles.start DESC",
    )
    .bind(STREAK_CYCLES)
    .fetch_all(connection)
    .await?;
    let mut streaks: BTreeMap<String, Streak> = BTreeMap::new();
    let mut over: BTreeSet<String> = BTreeSet::new();
    for row in rows {
        let (collector, outcome): (String, String) = (row.try_get("collector")?, row.try_get("outcome")?);
        let reason: Option<String> = row.try_get("reason")?;
        if over.contains(&collector) {
            continue;
        }
        match (outcome.as_str(), reason.as_deref().unwrap_or_default()) {
            ("fault", reason) if reason == Reason::Paused.word() => {
                let streak = streaks.entry(collector).or_default();
                streak.paused += u32::from(streak.faults == 0);
            }
            // Nobody gave it a chance.
            ("fault", reason) if NOT_ITS_OWN.iter().any(|own| own.word() == reason) => {}
            ("fault", reason) => {
                let streak = streaks.entry(collector).or_default();
                if streak.faults == 0 {
                    let message: Option<String> = row.try_get("message")?;
                    streak.last = format!("{reason}: {}", message.unwrap_or_default());
                    streak.component_digest = row.try_get("component_digest")?;
                }
                streak.faults += 1;
            }
            _ => drop(over.insert(collector)),
        }
    }
    streaks.retain(|_, streak| streak.faults > 0);
    Ok(streaks)
}

/// Cycles that are looked at for streaks.
const STREAK_CYCLES: i64 = 100;

/// Faults that say nothing of the collector.
const NOT_ITS_OWN: [Reason; 3] = [Reason::Cancelled, Reason::CycleDeadline, Reason::HostBug];

/// SQLite's integers are signed; no count comes near the difference.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
