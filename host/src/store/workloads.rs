//! Finished runs and failures of workloads.

use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{KEPT_SECONDS, Store, StoreError};
use crate::model::{Ending, Failure, JobRun, WorkloadReports};

/// What the state holds of workloads since some time.
#[derive(Clone, Debug, Default)]
pub struct KnownWorkloads {
    pub runs: Vec<JobRun>,
    /// Without logs and events.
    pub failures: Vec<Failure>,
    /// The failures that are held with their logs, by id.
    pub with_logs: HashSet<String>,
}

impl Store {
    /// The workloads that ended or failed since then.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub async fn workloads_since(&mut self, since: Timestamp) -> Result<KnownWorkloads, StoreError> {
        let known = workloads_since(&mut self.connection, since).await;
        known.map_err(|source| self.error(source))
    }
}

async fn workloads_since(connection: &mut SqliteConnection, since: Timestamp) -> Result<KnownWorkloads, sqlx::Error> {
    let runs = sqlx::query("SELECT * FROM workload_runs WHERE ended >= ? ORDER BY ended, id")
        .bind(since.as_millisecond())
        .fetch_all(&mut *connection)
        .await?;
    let failures = sqlx::query(
        "SELECT id, run_id, job, schedule, project, failure_type, phase, at, pod, container, node, image, message, gpus,
             cpu_request, memory_request, job_ending, logs IS NOT NULL AS has_logs
         FROM workload_failures WHERE at >= ? ORDER BY at, id",
    )
    .bind(since.as_millisecond())
    .fetch_all(connection)
    .await?;
    let mut known = KnownWorkloads::default();
    for row in &runs {
        known.runs.extend(run(row)?);
    }
    for row in &failures {
        let Some(failure) = failure(row)? else { continue };
        if row.try_get::<bool, _>("has_logs")? {
            known.with_logs.insert(failure.id.clone());
        }
        known.failures.push(failure);
    }
    Ok(known)
}

/// A run; none where its times or words are not this program's.
fn run(row: &SqliteRow) -> Result<Option<JobRun>, sqlx::Error> {
    let (Some(ended), Some(ending)) = (instant(row.try_get("ended")?), Ending::of_word(row.try_get("ending")?)) else {
        return Ok(None);
    };
    Ok(Some(JobRun {
        id: row.try_get("id")?,
        job: row.try_get("job")?,
        schedule: row.try_get("schedule")?,
        project: row.try_get("project")?,
        image: row.try_get("image")?,
        node: row.try_get("node")?,
        gpus: row.try_get("gpus")?,
        started: row.try_get::<Option<i64>, _>("started")?.and_then(instant),
        ended,
        ending,
        reason: row.try_get("reason")?,
    }))
}

/// A failure without logs and events; none where its time is not this program's.
fn failure(row: &SqliteRow) -> Result<Option<Failure>, sqlx::Error> {
    let Some(at) = instant(row.try_get("at")?) else { return Ok(None) };
    Ok(Some(Failure {
        id: row.try_get("id")?,
        run_id: row.try_get("run_id")?,
        job: row.try_get("job")?,
        schedule: row.try_get("schedule")?,
        project: row.try_get("project")?,
        failure_type: row.try_get("failure_type")?,
        phase: row.try_get("phase")?,
        at,
        pod: row.try_get("pod")?,
        container: row.try_get("container")?,
        node: row.try_get("node")?,
        image: row.try_get("image")?,
        message: row.try_get("message")?,
        logs: None,
        events: None,
        gpus: row.try_get("gpus")?,
        cpu_request: row.try_get("cpu_request")?,
        memory_request: row.try_get("memory_request")?,
        job_ending: row.try_get::<Option<&str>, _>("job_ending")?.and_then(Ending::of_word),
    }))
}

fn instant(ms: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(ms).ok()
}

/// Writes what was reported. What is known stays as it is, but for what was open in it: logs, events, how the job ended.
pub(super) async fn record(
    connection: &mut SqliteConnection,
    reports: &WorkloadReports,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    for run in &reports.runs {
        record_run(&mut *connection, run).await?;
    }
    for failure in &reports.failures {
        record_failure(&mut *connection, failure).await?;
    }
    let oldest = (now.as_second() - KEPT_SECONDS).saturating_mul(1000);
    sqlx::query("DELETE FROM workload_runs WHERE ended < ?").bind(oldest).execute(&mut *connection).await?;
    sqlx::query("DELETE FROM workload_failures WHERE at < ?").bind(oldest).execute(connection).await?;
    Ok(())
}

async fn record_run(connection: &mut SqliteConnection, run: &JobRun) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO workload_runs (id, job, schedule, project, image, node, gpus, started, ended, ending, reason)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET
             image = COALESCE(image, excluded.image), node = COALESCE(node, excluded.node),
             started = COALESCE(started, excluded.started), reason = COALESCE(reason, excluded.reason)",
    )
    .bind(&run.id)
    .bind(&run.job)
    .bind(&run.schedule)
    .bind(&run.project)
    .bind(&run.image)
    .bind(&run.node)
    .bind(run.gpus)
    .bind(run.started.map(|t| t.as_millisecond()))
    .bind(run.ended.as_millisecond())
    .bind(run.ending.word())
    .bind(&run.reason)
    .execute(connection)
    .await?;
    Ok(())
}

async fn record_failure(connection: &mut SqliteConnection, failure: &Failure) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO workload_failures (id, run_id, job, schedule, project, failure_type, phase, at, pod, container, node,
             image, message, logs, events, gpus, cpu_request, memory_request, job_ending)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET
             run_id = COALESCE(run_id, excluded.run_id), logs = COALESCE(logs, excluded.logs),
             events = COALESCE(events, excluded.events), message = COALESCE(message, excluded.message),
             phase = COALESCE(excluded.phase, phase), job_ending = COALESCE(excluded.job_ending, job_ending)",
    )
    .bind(&failure.id)
    .bind(&failure.run_id)
    .bind(&failure.job)
    .bind(&failure.schedule)
    .bind(&failure.project)
    .bind(&failure.failure_type)
    .bind(&failure.phase)
    .bind(failure.at.as_millisecond())
    .bind(&failure.pod)
    .bind(&failure.container)
    .bind(&failure.node)
    .bind(&failure.image)
    .bind(&failure.message)
    .bind(&failure.logs)
    .bind(&failure.events)
    .bind(failure.gpus)
    .bind(&failure.cpu_request)
    .bind(&failure.memory_request)
    .bind(failure.job_ending.map(Ending::word))
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outcome;
    use crate::store::CycleRecord;
    use crate::store::tests::cycle;

    fn failure(id: &str) -> Failure {
        Failure {
            id: id.into(),
            run_id: None,
            job: "train".into(),
            schedule: None,
            project: "ml".into(),
            failure_type: "OOMKilled".into(),
            phase: None,
            at: "2025-10-24T11:00:00Z".parse().unwrap(),
            pod: None,
            container: None,
            node: None,
            image: None,
            message: None,
            logs: None,
            events: None,
            gpus: 8.0,
            cpu_request: None,
            memory_request: None,
            job_ending: None,
        }
    }

    async fn record(store: &mut Store, id: &str, failures: Vec<Failure>) {
        let summary = cycle(id, "2025-10-24T12:00:00Z", Outcome::Emitted);
        let reports = WorkloadReports { runs: vec![], failures };
        store.record(&CycleRecord { summary: &summary, values: &[], reports: &reports }).await.unwrap();
    }

    #[tokio::test]
    async fn a_failure_that_is_seen_again_stays_one_and_what_was_open_is_filled_in() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).await.unwrap();
        record(&mut store, "1", vec![failure("a"), failure("b")]).await;
        let later = Failure { logs: Some("oom".into()), job_ending: Some(Ending::Succeeded), ..failure("a") };
        record(&mut store, "2", vec![later]).await;
        // Without the logs, which it does not hold again: they stay.
        record(&mut store, "3", vec![failure("a")]).await;
        let known = store.workloads_since("2025-10-24T11:00:00Z".parse().unwrap()).await.unwrap();
        assert_eq!(known.failures.len(), 2);
        assert_eq!(known.failures[0], Failure { job_ending: Some(Ending::Succeeded), ..failure("a") });
        assert_eq!(known.with_logs, HashSet::from(["a".to_owned()]));
        assert!(store.workloads_since("2025-10-24T11:00:01Z".parse().unwrap()).await.unwrap().failures.is_empty());
    }
}
