//! `kubernetes`: what the manifest asks for of the cluster's API, and nothing else of it.

use std::sync::Arc;

use wasmtime::component::{Accessor, HasSelf};

use super::State;
use super::quota::{Exceeded, Quota};
use super::wit::kubernetes::{ErrorKind, Host, HostWithStore, Kind, KubernetesError, LogQuery, Query};
use crate::capability::{self, Capabilities, KubernetesErrorKind, Reading};
use crate::model::{KubernetesAsked, KubernetesResource, Name, Redactor};
use crate::policy::encode_segment;

/// Lines and bytes of a log that a guest gets at most.
const LOG_LINES_MAX: u32 = 1_000;
const LOG_BYTES_MAX: u32 = 256 << 10;

/// An attempt's side of the cluster. Clones are the same attempt's.
#[derive(Clone)]
struct Desk {
    collector: Name,
    asked: KubernetesAsked,
    capabilities: Arc<Capabilities>,
    quota: Quota,
    redactor: Redactor,
}

impl Desk {
    async fn list(&self, query: Query) -> Result<Vec<u8>, KubernetesError> {
        let resource = resource_of(query.kind);
        if !self.asked.resources.contains(&resource) {
            let (_, _, plural) = resource.parts();
            return Err(denied(format!("the manifest's [kubernetes] resources do not name {plural}")));
        }
        let (api, _, plural) = resource.parts();
        let place = query.namespace.map(|name| format!("/namespaces/{}", encode_segment(&name))).unwrap_or_default();
        let mut parameters = vec![("limit", query.limit.to_string())];
        parameters.extend(query.label_selector.map(|selector| ("labelSelector", selector)));
        parameters.extend(query.field_selector.map(|selector| ("fieldSelector", selector)));
        parameters.extend(query.continue_token.map(|token| ("continue", token)));
        self.read(format!("/{api}{place}/{plural}"), parameters).await
    }

    async fn logs(&self, query: LogQuery) -> Result<String, KubernetesError> {
        if !self.asked.logs {
            return Err(denied("the manifest's [kubernetes] does not say logs = true".into()));
        }
        let (namespace, pod) = (encode_segment(&query.namespace), encode_segment(&query.pod));
        let mut parameters = vec![
            ("tailLines", query.tail_lines.min(LOG_LINES_MAX).to_string()),
            ("limitBytes", query.limit_bytes.min(LOG_BYTES_MAX).to_string()),
        ];
        parameters.extend(query.container.map(|container| ("container", container)));
        parameters.extend(query.previous.then(|| ("previous", "true".into())));
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log");
        let bytes = self.read(path, parameters).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn summary(&self, node: &str) -> Result<Vec<u8>, KubernetesError> {
        if !self.asked.summary {
            return Err(denied("the manifest's [kubernetes] does not say summary = true".into()));
        }
        let path = format!("/api/v1/nodes/{}/proxy/stats/summary", encode_segment(node));
        self.read(path, Vec::new()).await
    }

    async fn read(&self, path: String, query: Vec<(&'static str, String)>) -> Result<Vec<u8>, KubernetesError> {
        let parameters = query.iter().map(|(_, value)| value.len()).sum::<usize>();
        let _slot = self.quota.admit(path.len() + parameters)?;
        let reading = Reading { path, query, agent: self.collector.to_string() };
        let (bounds, meter) = (self.quota.bounds(), self.quota.meter().clone());
        let capabilities = self.capabilities.clone();
        let exchange = async move { capabilities.kubernetes.read(&reading, &bounds, &meter).await };
        let body = match self.quota.on_control(exchange).await {
            Some(answered) => answered.map_err(error_to_wit)?,
            None => return Err(KubernetesError { kind: ErrorKind::Broken, message: "the host gave it up".into() }),
        };
        self.quota.count_body(body.len())?;
        // Logs and objects hold what people put there, the host's own secrets among it.
        Ok(self.redactor.scrub(body))
    }
}

impl Host for State {}

impl State {
    fn cluster(&self) -> Desk {
        Desk {
            collector: self.web.collector.clone(),
            asked: self.kubernetes.clone(),
            capabilities: self.capabilities.clone(),
            quota: self.quota.clone(),
            redactor: self.web.egress.redactor().clone(),
        }
    }
}

impl<T: Send + 'static> HostWithStore<T> for HasSelf<State> {
    async fn list(accessor: &Accessor<T, Self>, query: Query) -> wasmtime::Result<Result<Vec<u8>, KubernetesError>> {
        let desk = accessor.with(|mut access| access.get().cluster());
        Ok(desk.list(query).await)
    }

    async fn logs(accessor: &Accessor<T, Self>, query: LogQuery) -> wasmtime::Result<Result<String, KubernetesError>> {
        let desk = accessor.with(|mut access| access.get().cluster());
        Ok(desk.logs(query).await)
    }

    async fn summary(accessor: &Accessor<T, Self>, node: String) -> wasmtime::Result<Result<Vec<u8>, KubernetesError>> {
        let desk = accessor.with(|mut access| access.get().cluster());
        Ok(desk.summary(&node).await)
    }
}

fn resource_of(kind: Kind) -> KubernetesResource {
    match kind {
        Kind::Pods => KubernetesResource::Pods,
        Kind::Nodes => KubernetesResource::Nodes,
        Kind::Events => KubernetesResource::Events,
        Kind::Deployments => KubernetesResource::Deployments,
        Kind::Jobs => KubernetesResource::Jobs,
        Kind::Cronjobs => KubernetesResource::CronJobs,
        Kind::PodMetrics => KubernetesResource::PodMetrics,
    }
}

fn denied(message: String) -> KubernetesError {
    KubernetesError { kind: ErrorKind::Denied, message }
}

impl From<Exceeded> for KubernetesError {
    fn from(Exceeded(message): Exceeded) -> KubernetesError {
        KubernetesError { kind: ErrorKind::Limit, message }
    }
}

fn error_to_wit(error: capability::KubernetesError) -> KubernetesError {
    let kind = match error.kind {
        KubernetesErrorKind::Limit => ErrorKind::Limit,
        KubernetesErrorKind::Forbidden => ErrorKind::Forbidden,
        KubernetesErrorKind::NotFound => ErrorKind::NotFound,
        KubernetesErrorKind::Expired => ErrorKind::Expired,
        KubernetesErrorKind::Unreachable => ErrorKind::Unreachable,
        KubernetesErrorKind::Timeout => ErrorKind::Timeout,
        KubernetesErrorKind::Broken => ErrorKind::Broken,
        KubernetesErrorKind::Credential => ErrorKind::Credential,
    };
    KubernetesError { kind, message: error.message }
}
