//! The state: one SQLite file that remembers cycles and runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

use crate::model::{CycleSummary, RunSummary};

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

const FILE: &str = "state.db";

/// Cycles older than this are forgotten.
const KEPT_SECONDS: i64 = 90 * 24 * 3600;

/// How long another process may hold the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The state of one state folder.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: SqliteConnection,
}

/// What is wrong with the state file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("state folder {path}: {source}")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("state file {path}: {source}")]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("state file {path} was written by a newer host, or is not a state file: {source}")]
    Migrate { path: PathBuf, source: sqlx::migrate::MigrateError },
    #[error("state file {path}: {source}")]
    Query { path: PathBuf, source: sqlx::Error },
}

impl Store {
    /// Opens the state of a folder; makes folder and file where there are none, and brings an older file up to date.
    ///
    /// # Errors
    /// Where the folder cannot be written, or the file is damaged or newer than this program. The file stays as it is.
    pub async fn open(dir: &Path) -> Result<Store, StoreError> {
        std::fs::create_dir_all(dir).map_err(|source| StoreError::Folder { path: dir.into(), source })?;
        let path = dir.join(FILE);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let mut connection = SqliteConnection::connect_with(&options)
            .await
            .map_err(|source| StoreError::Open { path: path.clone(), source })?;
        let migrated = MIGRATIONS.run(&mut connection).await;
        migrated.map_err(|source| StoreError::Migrate { path: path.clone(), source })?;
        Ok(Store { path, connection })
    }

    /// When each collector last ended well: the start of that cycle.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub async fn last_good(&mut self) -> Result<BTreeMap<String, Timestamp>, StoreError> {
        let rows = sqlx::query("SELECT collector, start FROM last_good").fetch_all(&mut self.connection).await;
        let rows = rows.map_err(|source| self.error(source))?;
        let pair = |row: &sqlx::sqlite::SqliteRow| {
            let start = Timestamp::from_second(row.try_get::<i64, _>("start").ok()?).ok()?;
            Some((row.try_get("collector").ok()?, start))
        };
        Ok(rows.iter().filter_map(pair).collect())
    }

    /// Remembers a cycle and its runs, and forgets what is too old.
    ///
    /// # Errors
    /// Where the file cannot be written; then nothing of the cycle is in it.
    pub async fn record(&mut self, cycle: &CycleSummary) -> Result<(), StoreError> {
        let path = self.path.clone();
        let recorded = record(&mut self.connection, cycle).await;
        recorded.map_err(|source| StoreError::Query { path, source })
    }

    /// Closes the file, so that nothing is left beside it.
    pub async fn close(self) {
        // An unclean end costs the next one a moment, nothing else.
        drop(self.connection.close().await);
    }

    fn error(&self, source: sqlx::Error) -> StoreError {
        StoreError::Query { path: self.path.clone(), source }
    }
}

async fn record(connection: &mut SqliteConnection, cycle: &CycleSummary) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("INSERT INTO cycles (id, slot, start, duration_ms, outcome) VALUES (?, ?, ?, ?, ?)")
        .bind(&cycle.id)
        .bind(cycle.slot.as_second())
        .bind(cycle.start.as_second())
        .bind(signed(cycle.duration_ms))
        .bind(cycle.outcome.word())
        .execute(&mut *transaction)
        .await?;
    for run in &cycle.runs {
        record_run(&mut transaction, cycle, run).await?;
    }
    sqlx::query("DELETE FROM cycles WHERE start < ?")
        .bind(cycle.start.as_second() - KEPT_SECONDS)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
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

/// SQLite's integers are signed; no count comes near the difference.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Blame, CycleOutcome, Fault, Name, Outcome, Reason};

    fn cycle(id: &str, start: &str, outcome: Outcome) -> CycleSummary {
        let start = start.parse().unwrap();
        CycleSummary {
            id: id.into(),
            slot: start,
            start,
            duration_ms: 5,
            outcome: CycleOutcome::Well,
            runs: vec![RunSummary {
                outcome,
                fault: (!outcome.is_well()).then(|| Fault::new(Blame::Guest, Reason::Panic, "x")),
                attempts: 1,
                points: 28,
                fuel_used: u64::MAX,
                ..RunSummary::new(Name::new("github").unwrap(), None)
            }],
            sinks: vec![],
            host_faults: vec![],
        }
    }

    #[tokio::test]
    async fn the_last_good_run_is_remembered_and_a_bad_one_does_not_change_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("a/b")).await.unwrap();
        store.record(&cycle("1", "2025-10-24T12:00:00Z", Outcome::Emitted)).await.unwrap();
        store.record(&cycle("2", "2025-10-24T12:15:00Z", Outcome::Partial)).await.unwrap();
        store.close().await;
        let mut store = Store::open(&dir.path().join("a/b")).await.unwrap();
        let good = store.last_good().await.unwrap();
        assert_eq!(good["github"], "2025-10-24T12:00:00Z".parse().unwrap());
    }

    #[tokio::test]
    async fn old_cycles_are_forgotten_with_their_runs_but_not_the_last_good_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).await.unwrap();
        store.record(&cycle("1", "2025-01-01T00:00:00Z", Outcome::Emitted)).await.unwrap();
        store.record(&cycle("2", "2025-10-24T12:15:00Z", Outcome::Fault)).await.unwrap();
        let count = sqlx::query("SELECT COUNT(*) AS n FROM runs").fetch_one(&mut store.connection).await.unwrap();
        assert_eq!(count.get::<i64, _>("n"), 1);
        assert_eq!(store.last_good().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_file_that_is_no_state_file_is_an_error_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        std::fs::write(&path, "this is not a database, but it is somebody's".repeat(100)).unwrap();
        let before = std::fs::read(&path).unwrap();
        let error = Store::open(dir.path()).await.unwrap_err().to_string();
        assert!(error.contains("state.db"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert!(Store::open(&path).await.is_err());
    }
}
