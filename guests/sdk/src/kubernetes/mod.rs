//! The cluster's API: lists, the end of a log, a node's summary. The host holds the credentials and knows the cluster.

pub mod quantity;

use std::collections::HashSet;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::fault::Fault;

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    Pods,
    Nodes,
    Events,
    Deployments,
    Jobs,
    CronJobs,
    /// Usage (`metrics.k8s.io`), where the metrics API is installed.
    PodMetrics,
}

impl Resource {
    /// The word of the manifest and of `wit/kubernetes.wit`: `pod-metrics`.
    pub fn word(self) -> &'static str {
        match self {
            Resource::Pods => "pods",
            Resource::Nodes => "nodes",
            Resource::Events => "events",
            Resource::Deployments => "deployments",
            Resource::Jobs => "jobs",
            Resource::CronJobs => "cronjobs",
            Resource::PodMetrics => "pod-metrics",
        }
    }
}

/// A list that is asked for, page by page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub(crate) resource: Resource,
    pub(crate) namespace: Option<String>,
    pub(crate) label_selector: Option<String>,
    pub(crate) field_selector: Option<String>,
    pub(crate) limit: u32,
    pub(crate) continue_token: Option<String>,
}

/// Objects of a page, where nothing else is said: 500 pods are about 3 MB of JSON.
const PAGE: u32 = 500;

impl Query {
    /// All objects of a resource, in every namespace.
    pub fn all(resource: Resource) -> Query {
        Query {
            resource,
            namespace: None,
            label_selector: None,
            field_selector: None,
            limit: PAGE,
            continue_token: None,
        }
    }

    /// Only in this namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Query {
        self.namespace = Some(namespace.into());
        self
    }

    /// Only with these labels: `app=web`.
    #[must_use]
    pub fn with_labels(mut self, selector: impl Into<String>) -> Query {
        self.label_selector = Some(selector.into());
        self
    }

    /// Only with these fields: `status.phase=Failed`. Each resource supports few.
    #[must_use]
    pub fn with_fields(mut self, selector: impl Into<String>) -> Query {
        self.field_selector = Some(selector.into());
        self
    }

    /// Objects of a page.
    #[must_use]
    pub fn limit(mut self, objects: u32) -> Query {
        self.limit = objects;
        self
    }

    fn what(&self) -> String {
        let place = self.namespace.as_ref().map(|n| format!(" of namespace {n}")).unwrap_or_default();
        format!("kubernetes {}{place}", self.resource.word())
    }
}

/// The end of a container's log that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogQuery {
    pub namespace: String,
    pub pod: String,
    /// Needed where the pod has several.
    pub container: Option<String>,
    /// The log of the container's last life, not of this one.
    pub previous: bool,
    pub tail_lines: u32,
    pub limit_bytes: u32,
}

#[derive(Deserialize)]
struct Page<T> {
    metadata: Option<Metadata>,
    // A list without objects has null in some servers' answers.
    items: Option<Vec<T>>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "continue")]
    continue_token: Option<String>,
}

/// A whole list: every page, each object as a `T`, which keeps only what is needed of it. A token that grew too old begins the
/// list anew, once.
///
/// # Errors
/// Where a page cannot be had or read: a list that broke off is not given in part.
pub async fn list<T: DeserializeOwned>(query: Query) -> Result<Vec<T>, Fault> {
    let what = query.what();
    match list_once(query.clone()).await {
        Err(Stopped::Expired(_)) => list_once(query).await,
        done => done,
    }
    .map_err(|stopped| match stopped {
        Stopped::Expired(fault) | Stopped::Lost(fault) => fault.while_asking(&what),
    })
}

/// Why a page cannot be had.
pub(crate) enum Stopped {
    /// The continue token is too old; a new list has new ones.
    Expired(Fault),
    Lost(Fault),
}

async fn list_once<T: DeserializeOwned>(mut query: Query) -> Result<Vec<T>, Stopped> {
    let (mut objects, mut seen) = (Vec::new(), HashSet::new());
    let bad_answer = |what: String| Stopped::Lost(Fault::bad_answer(what));
    loop {
        let bytes = crate::boundary::kubernetes_list(query.clone()).await?;
        let page: Page<T> = serde_json::from_slice(&bytes)
            .map_err(|e| bad_answer(format!("the API server answered JSON of another shape: {e}")))?;
        objects.extend(page.items.unwrap_or_default());
        let next = page.metadata.and_then(|metadata| metadata.continue_token).filter(|token| !token.is_empty());
        match next {
            Some(next) if !seen.insert(next.clone()) => return Err(bad_answer("the pages go in a circle".into())),
            Some(next) => query.continue_token = Some(next),
            None => return Ok(objects),
        }
    }
}

/// The end of a container's log.
///
/// # Errors
/// Where it cannot be had: the pod is gone, a right is missing.
pub async fn logs(query: LogQuery) -> Result<String, Fault> {
    let what = format!("kubernetes log of {}/{}", query.namespace, query.pod);
    crate::boundary::kubernetes_logs(query).await.map_err(|fault| fault.while_asking(&what))
}

/// The kubelet's summary of a node.
///
/// # Errors
/// Where it cannot be had or read: the cluster does not serve it, a right is missing.
pub async fn summary<T: DeserializeOwned>(node: &str) -> Result<T, Fault> {
    let what = format!("kubernetes summary of node {node}");
    let bytes = crate::boundary::kubernetes_summary(node).await.map_err(|fault| fault.while_asking(&what))?;
    serde_json::from_slice(&bytes).map_err(|e| Fault::bad_answer(format!("{what}: JSON of another shape: {e}")))
}
