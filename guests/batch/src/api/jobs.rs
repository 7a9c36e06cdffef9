//! Jobs and CronJobs: what is kept of each.

use collector_sdk::workloads::Ending;
use collector_sdk::{Timestamp, time};
use serde::Deserialize;

use super::objects::{Condition, ConditionKind, Identity, Metadata, filled};
use super::pods::ContainerSpec;

/// A Job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Job {
    pub id: Identity,
    /// The CronJob that made it.
    pub schedule: Option<String>,
    pub image: Option<String>,
    /// GPUs of one of its pods.
    pub pod_gpus: f64,
    /// Pods that it runs at once.
    pub pods_at_once: u32,
    /// Neither ended nor suspended.
    pub is_active: bool,
    pub started: Option<Timestamp>,
    /// How it ended, where it has and the cluster says when.
    pub end: Option<JobEnd>,
    /// When it ran out of time: its pods are deleted from then on.
    pub out_of_time: Option<Timestamp>,
}

/// How a Job ended.
#[derive(Clone, Debug, PartialEq)]
pub struct JobEnd {
    pub ending: Ending,
    pub reason: Option<String>,
    pub message: Option<String>,
    pub at: Timestamp,
}

/// A CronJob.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CronJob {
    pub id: Identity,
    pub is_suspended: bool,
    pub last_success: Option<Timestamp>,
}

/// A row of the listing of Jobs; one without a name is none.
#[derive(Debug, Deserialize)]
#[serde(from = "WireJob")]
pub struct JobRow(pub Option<Box<Job>>);

/// A row of the listing of CronJobs.
#[derive(Debug, Deserialize)]
#[serde(from = "WireCronJob")]
pub struct CronJobRow(pub Option<CronJob>);

#[derive(Deserialize)]
struct WireJob {
    metadata: Option<Metadata>,
    spec: Option<JobSpec>,
    status: Option<JobStatus>,
}

#[derive(Default, Deserialize)]
struct JobSpec {
    parallelism: Option<u32>,
    completions: Option<u32>,
    suspend: Option<bool>,
    template: Option<Template>,
}

#[derive(Deserialize)]
struct Template {
    spec: Option<TemplateSpec>,
}

#[derive(Default, Deserialize)]
struct TemplateSpec {
    containers: Option<Vec<ContainerSpec>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobStatus {
    #[serde(default, deserialize_with = "time::if_readable")]
    start_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "time::if_readable")]
    completion_time: Option<Timestamp>,
    conditions: Option<Vec<Condition>>,
}

impl From<WireJob> for JobRow {
    fn from(wire: WireJob) -> JobRow {
        JobRow(read_job(wire).map(Box::new))
    }
}

fn read_job(wire: WireJob) -> Option<Job> {
    let mut metadata = wire.metadata?;
    let spec = wire.spec.unwrap_or_default();
    let mut status = wire.status.unwrap_or_default();
    let template = spec.template.and_then(|template| template.spec).unwrap_or_default();
    let mut containers = template.containers.unwrap_or_default();
    // A Job's time is up with FailureTarget, and it has failed when its pods have ended; before Kubernetes 1.31 both at once.
    let conditions = status.conditions.take().unwrap_or_default();
    let out_of_time = |kind: ConditionKind| {
        let is_it = |c: &&Condition| c.holds(kind) && c.reason.as_deref() == Some("DeadlineExceeded");
        conditions.iter().find(is_it).and_then(|condition| condition.last_transition_time)
    };
    let has_ended = conditions.iter().any(is_end);
    let schedule = metadata.cron_job();
    Some(Job {
        id: metadata.identity()?,
        schedule,
        pod_gpus: containers.iter().map(ContainerSpec::gpus).sum::<f64>() + 0.0,
        image: filled(containers.first_mut().and_then(|container| container.image.take())),
        pods_at_once: spec.parallelism.unwrap_or(1).min(spec.completions.unwrap_or(u32::MAX)),
        is_active: !has_ended && !spec.suspend.unwrap_or_default(),
        started: status.start_time,
        out_of_time: out_of_time(ConditionKind::FailureTarget).or_else(|| out_of_time(ConditionKind::Failed)),
        end: read_end(conditions, &status, metadata.creation_timestamp),
    })
}

/// FailureTarget and SuccessCriteriaMet are no ends yet: pods of the Job still run.
fn is_end(condition: &Condition) -> bool {
    condition.holds(ConditionKind::Complete) || condition.holds(ConditionKind::Failed)
}

fn read_end(conditions: Vec<Condition>, status: &JobStatus, created: Option<Timestamp>) -> Option<JobEnd> {
    let condition = conditions.into_iter().find(is_end)?;
    let ending = if condition.holds(ConditionKind::Complete) { Ending::Succeeded } else { Ending::Failed };
    // Only a Job that completes has a completion time.
    let completed = status.completion_time.filter(|_| ending == Ending::Succeeded);
    let at = completed.or(condition.last_transition_time).or(status.start_time).or(created)?;
    Some(JobEnd { ending, reason: filled(condition.reason), message: filled(condition.message), at })
}

#[derive(Deserialize)]
struct WireCronJob {
    metadata: Option<Metadata>,
    spec: Option<CronJobSpec>,
    status: Option<CronJobStatus>,
}

#[derive(Deserialize)]
struct CronJobSpec {
    suspend: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CronJobStatus {
    #[serde(default, deserialize_with = "time::if_readable")]
    last_successful_time: Option<Timestamp>,
}

impl From<WireCronJob> for CronJobRow {
    fn from(wire: WireCronJob) -> CronJobRow {
        let id = wire.metadata.and_then(|mut metadata| metadata.identity());
        CronJobRow(id.map(|id| CronJob {
            id,
            is_suspended: wire.spec.and_then(|spec| spec.suspend).unwrap_or_default(),
            last_success: wire.status.and_then(|status| status.last_successful_time),
        }))
    }
}
