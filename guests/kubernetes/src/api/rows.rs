//! The objects of the lists, as far as a figure asks: a pod has 7 KB of JSON, and 10,000 of them must fit into memory.
//!
//! What the API leaves out when it is empty may be missing or null here.

use std::fmt;

use collector_sdk::{Timestamp, time};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What every object is known by.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Metadata {
    #[serde(deserialize_with = "or_default")]
    uid: String,
    #[serde(deserialize_with = "or_default")]
    pub namespace: String,
    #[serde(deserialize_with = "or_default")]
    pub name: String,
}

impl Metadata {
    /// What tells it from others of its kind. Usages have no uid.
    pub fn identity(&self) -> Option<String> {
        match (self.uid.as_str(), self.name.as_str()) {
            ("", "") => None,
            ("", _) => Some(self.to_string()),
            (uid, _) => Some(uid.to_owned()),
        }
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    #[serde(deserialize_with = "or_default")]
    pub metadata: Metadata,
    #[serde(deserialize_with = "or_default")]
    pub spec: PodSpec,
    #[serde(deserialize_with = "or_default")]
    pub status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    #[serde(deserialize_with = "rows")]
    pub containers: Vec<Container>,
    /// In the order in which they start.
    #[serde(deserialize_with = "rows")]
    pub init_containers: Vec<Container>,
    /// What running the pod itself takes, by its runtime class.
    #[serde(deserialize_with = "or_default")]
    pub overhead: Quantities,
    /// Of the pod as a whole, where it has such (since Kubernetes 1.34 by default).
    #[serde(deserialize_with = "or_default")]
    pub resources: Resources,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    #[serde(deserialize_with = "or_default")]
    pub resources: Resources,
    /// `Always` makes a sidecar of an init container.
    pub restart_policy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// The API server has filled in the limits where there were no requests.
    #[serde(deserialize_with = "or_default")]
    pub requests: Quantities,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Quantities {
    pub cpu: Option<Quantity>,
    pub memory: Option<Quantity>,
}

/// A quantity as it stands in the JSON: a text, or a number, which Kubernetes takes too (source: `Quantity.UnmarshalJSON`).
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Quantity(Box<RawValue>);

impl Quantity {
    /// The text of it: `250m`.
    pub fn text(&self) -> &str {
        self.0.get().trim_matches('"')
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    #[serde(deserialize_with = "or_default")]
    pub phase: String,
    #[serde(deserialize_with = "rows")]
    container_statuses: Vec<ContainerStatus>,
    /// Of init containers and sidecars.
    #[serde(deserialize_with = "rows")]
    init_container_statuses: Vec<ContainerStatus>,
}

impl PodStatus {
    /// Every container, init container and sidecar that has a status; no ephemeral one, which people start to debug.
    pub fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.container_statuses.iter().chain(&self.init_container_statuses)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Since the pod began.
    #[serde(deserialize_with = "or_default")]
    pub restart_count: i64,
    #[serde(deserialize_with = "or_default")]
    pub state: ContainerState,
    /// How the container's last life ended.
    #[serde(deserialize_with = "or_default")]
    pub last_state: ContainerState,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    pub waiting: Option<Waiting>,
    pub terminated: Option<Terminated>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Waiting {
    #[serde(deserialize_with = "or_default")]
    pub reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Terminated {
    #[serde(deserialize_with = "or_default")]
    pub reason: String,
    /// Null where the kubelet lost sight of the container.
    #[serde(deserialize_with = "time::if_readable")]
    pub finished_at: Option<Timestamp>,
}

/// What the metrics API calls a `PodMetrics`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodUsage {
    #[serde(deserialize_with = "or_default")]
    pub metadata: Metadata,
    #[serde(deserialize_with = "rows")]
    pub containers: Vec<ContainerUsage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerUsage {
    #[serde(deserialize_with = "or_default")]
    pub usage: Quantities,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Deployment {
    #[serde(deserialize_with = "or_default")]
    pub metadata: Metadata,
    #[serde(deserialize_with = "or_default")]
    pub spec: DeploymentSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeploymentSpec {
    /// Without it the API means 1.
    pub replicas: Option<i64>,
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Rows, where both the list and any of them may be null.
fn rows<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let rows = Option::<Vec<Option<T>>>::deserialize(from)?;
    Ok(rows.into_iter().flatten().flatten().collect())
}
