//! `wit/kubernetes.wit`.

use super::bindings::collector::host::kubernetes as wit;
use crate::kubernetes::{Error, ErrorKind, LogQuery, Query, Resource};

pub async fn kubernetes_list(query: Query) -> Result<Vec<u8>, Error> {
    let kind = match query.resource {
        Resource::Pods => wit::Kind::Pods,
        Resource::Nodes => wit::Kind::Nodes,
        Resource::Events => wit::Kind::Events,
        Resource::Deployments => wit::Kind::Deployments,
        Resource::Jobs => wit::Kind::Jobs,
        Resource::CronJobs => wit::Kind::Cronjobs,
        Resource::PodMetrics => wit::Kind::PodMetrics,
    };
    let Query { resource: _, namespace, label_selector, field_selector, limit, continue_token } = query;
    wit::list(wit::Query { kind, namespace, label_selector, field_selector, limit, continue_token })
        .await
        .map_err(error)
}

pub async fn kubernetes_logs(query: LogQuery) -> Result<String, Error> {
    let LogQuery { namespace, pod, container, previous, tail_lines, limit_bytes } = query;
    wit::logs(wit::LogQuery { namespace, pod, container, previous, tail_lines, limit_bytes }).await.map_err(error)
}

pub async fn kubernetes_summary(node: &str) -> Result<Vec<u8>, Error> {
    wit::summary(node.to_owned()).await.map_err(error)
}

fn error(error: wit::KubernetesError) -> Error {
    let kind = match error.kind {
        wit::ErrorKind::Denied => ErrorKind::Denied,
        wit::ErrorKind::Limit => ErrorKind::Limit,
        wit::ErrorKind::Forbidden => ErrorKind::Forbidden,
        wit::ErrorKind::NotFound => ErrorKind::NotFound,
        wit::ErrorKind::Expired => ErrorKind::Expired,
        wit::ErrorKind::Unreachable => ErrorKind::Unreachable,
        wit::ErrorKind::Timeout => ErrorKind::Timeout,
        wit::ErrorKind::Broken => ErrorKind::Broken,
        wit::ErrorKind::Credential => ErrorKind::Credential,
    };
    Error { kind, message: error.message }
}
