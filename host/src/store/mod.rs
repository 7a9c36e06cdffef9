//! The state: one SQLite file that remembers cycles, runs, last values and workloads; and another one for answers of upstreams.

mod answers;
mod cycles;
mod values;
mod workloads;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

use crate::model::{CycleSummary, Point, Streak, WorkloadReports};

pub use answers::{AnswerKey, Answers, AnswersOptions, Found, Room, Salt};
pub use workloads::KnownWorkloads;

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

/// What a cycle leaves behind.
#[derive(Clone, Copy, Debug)]
pub struct CycleRecord<'a> {
    pub summary: &'a CycleSummary,
    /// The points of all its runs; of those with tags nothing is kept.
    pub values: &'a [Point],
    pub reports: &'a WorkloadReports,
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

    /// Whether a folder holds a state.
    pub fn is_there(dir: &Path) -> bool {
        dir.join(FILE).is_file()
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

    /// How the last runs of each collector went that came to nothing.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub async fn streaks(&mut self) -> Result<BTreeMap<String, Streak>, StoreError> {
        let streaks = cycles::streaks(&mut self.connection).await;
        streaks.map_err(|source| self.error(source))
    }

    /// Remembers a cycle, and forgets what is too old.
    ///
    /// # Errors
    /// Where the file cannot be written; then nothing of the cycle is in it.
    pub async fn record(&mut self, cycle: &CycleRecord<'_>) -> Result<(), StoreError> {
        let recorded = self.record_whole(cycle).await;
        recorded.map_err(|source| self.error(source))
    }

    async fn record_whole(&mut self, cycle: &CycleRecord<'_>) -> Result<(), sqlx::Error> {
        let summary = cycle.summary;
        let mut transaction = self.connection.begin().await?;
        cycles::record(&mut transaction, summary).await?;
        values::record(&mut transaction, cycle.values, summary.slot).await?;
        workloads::record(&mut transaction, cycle.reports, summary.start).await?;
        transaction.commit().await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Blame, CycleOutcome, Fault, Name, Outcome, Reason, RunSummary, TagSet};

    pub(super) fn cycle(id: &str, start: &str, outcome: Outcome) -> CycleSummary {
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
            compared_with: None,
            host_faults: vec![],
        }
    }

    async fn record(store: &mut Store, summary: &CycleSummary) {
        store.record(&CycleRecord { summary, values: &[], reports: &WorkloadReports::default() }).await.unwrap();
    }

    #[tokio::test]
    async fn a_last_value_is_the_newest_cycles_and_has_its_slot() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).await.unwrap();
        let point =
            |value, tags: &[&str]| Point { series: "a.b".into(), value, tags: TagSet::new(tags.iter().copied()) };
        for (id, start, value) in [("1", "2025-10-24T12:15:00Z", 2.0), ("2", "2025-10-24T12:00:00Z", 1.0)] {
            let summary = cycle(id, start, Outcome::Emitted);
            let values = [point(value, &[]), point(9.0, &["team:ml"])];
            store
                .record(&CycleRecord { summary: &summary, values: &values, reports: &WorkloadReports::default() })
                .await
                .unwrap();
        }
        let since = |time: &str| time.parse().unwrap();
        let values = store.last_values(since("2025-10-24T12:15:00Z")).await.unwrap();
        assert_eq!(values["a.b"], (2.0, since("2025-10-24T12:15:00Z")));
        assert!(store.last_values(since("2025-10-24T12:15:01Z")).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_last_good_run_is_remembered_and_a_bad_one_does_not_change_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(&dir.path().join("a/b")).await.unwrap();
        record(&mut store, &cycle("1", "2025-10-24T12:00:00Z", Outcome::Emitted)).await;
        record(&mut store, &cycle("2", "2025-10-24T12:15:00Z", Outcome::Partial)).await;
        store.close().await;
        let mut store = Store::open(&dir.path().join("a/b")).await.unwrap();
        let good = store.last_good().await.unwrap();
        assert_eq!(good["github"], "2025-10-24T12:00:00Z".parse().unwrap());
    }

    #[tokio::test]
    async fn old_cycles_are_forgotten_with_their_runs_but_not_the_last_good_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).await.unwrap();
        record(&mut store, &cycle("1", "2025-01-01T00:00:00Z", Outcome::Emitted)).await;
        record(&mut store, &cycle("2", "2025-10-24T12:15:00Z", Outcome::Fault)).await;
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
