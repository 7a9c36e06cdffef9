//! What all objects of the cluster have: a name, a UID, labels, and those that own them.

use collector_sdk::{Timestamp, time};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The metadata of an object, as far as it is needed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    uid: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
    #[serde(default, deserialize_with = "time::if_readable")]
    pub creation_timestamp: Option<Timestamp>,
    /// Read where no owner says whose the object is.
    labels: Option<Box<RawValue>>,
    owner_references: Option<Vec<Owner>>,
}

#[derive(Debug, Default, Deserialize)]
struct Labels {
    #[serde(rename = "batch.kubernetes.io/job-name")]
    job_name: Option<String>,
    #[serde(rename = "batch.kubernetes.io/controller-uid")]
    controller_uid: Option<String>,
    // Before Kubernetes 1.27; still written beside the others.
    #[serde(rename = "job-name")]
    old_job_name: Option<String>,
    #[serde(rename = "controller-uid")]
    old_controller_uid: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Owner {
    api_version: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    controller: Option<bool>,
}

impl Owner {
    fn is_controller(&self) -> bool {
        self.controller.unwrap_or(true)
    }

    /// Volcano's Jobs are of another group and end in another way.
    fn is_batch(&self, kind: &str) -> bool {
        let group = self.api_version.as_deref().is_none_or(|version| version.starts_with("batch/"));
        group && self.kind.as_deref() == Some(kind)
    }
}

/// A condition of a pod or a Job. Most say that all is well, so only what is asked for is made a text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    kind: Option<ConditionKind>,
    status: Option<ConditionStatus>,
    pub reason: Option<String>,
    pub message: Option<String>,
    #[serde(default, deserialize_with = "time::if_readable")]
    pub last_transition_time: Option<Timestamp>,
}

/// The conditions that mean something here.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum ConditionKind {
    PodScheduled,
    DisruptionTarget,
    Complete,
    Failed,
    FailureTarget,
    #[serde(other)]
    Other,
}

#[derive(PartialEq, Eq, Deserialize)]
enum ConditionStatus {
    True,
    False,
    #[serde(other)]
    Unknown,
}

impl Condition {
    /// Whether it is one of this kind, and true.
    pub fn holds(&self, kind: ConditionKind) -> bool {
        self.kind == Some(kind) && self.status == Some(ConditionStatus::True)
    }

    /// Whether it is one of this kind, and false.
    pub fn fails(&self, kind: ConditionKind) -> bool {
        self.kind == Some(kind) && self.status == Some(ConditionStatus::False)
    }
}

/// Who an object is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Unique in the cluster, for ever. Where an answer has none, namespace and name stand for it.
    pub uid: String,
    pub namespace: String,
    pub name: String,
}

/// The Job that a pod is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobName {
    pub name: String,
    pub uid: Option<String>,
}

impl Metadata {
    /// Who it is; none for what has no name.
    pub fn identity(&mut self) -> Option<Identity> {
        let name = self.name.take().filter(|name| !name.is_empty())?;
        let namespace = self.namespace.take().unwrap_or_default();
        let uid = self.uid.take().filter(|uid| !uid.is_empty()).unwrap_or_else(|| format!("{namespace}:{name}"));
        Some(Identity { uid, namespace, name })
    }

    /// The CronJob that made it.
    pub fn cron_job(&mut self) -> Option<String> {
        let owners = self.owner_references.iter_mut().flatten();
        owners.filter(|owner| owner.is_controller()).find(|owner| owner.is_batch("CronJob"))?.name.take()
    }

    /// The Job that it is of: its controller, or, where it has none (left behind by a Job that was deleted without its pods),
    /// what its labels say.
    pub fn job(&mut self) -> Option<JobName> {
        let mut owners = self.owner_references.iter_mut().flatten().filter(|owner| owner.is_controller());
        if let Some(owner) = owners.next() {
            let name = owner.name.take().filter(|_| owner.is_batch("Job"))?;
            return Some(JobName { name, uid: owner.uid.take() });
        }
        let labels: Labels = serde_json::from_str(self.labels.as_ref()?.get()).ok()?;
        if let Some(name) = labels.job_name {
            return Some(JobName { name, uid: labels.controller_uid });
        }
        // A label that is called just `job-name` may be anybody's.
        let uid = labels.old_controller_uid?;
        Some(JobName { name: labels.old_job_name?, uid: Some(uid) })
    }
}

/// A text that says something.
pub fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}
