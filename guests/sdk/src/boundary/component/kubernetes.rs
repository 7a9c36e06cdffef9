//! `wit/kubernetes.wit`.

use super::bindings::collector::host::kubernetes as wit;
use crate::fault::{Fault, Reason};
use crate::kubernetes::{LogQuery, Query, Resource, Stopped};

pub async fn kubernetes_list(query: Query) -> Result<Vec<u8>, Stopped> {
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
    wit::list(wit::Query { kind, namespace, label_selector, field_selector, limit, continue_token }).await.map_err(
        |error| match error.kind {
            wit::ErrorKind::Expired => Stopped::Expired(fault(error)),
            _ => Stopped::Lost(fault(error)),
        },
    )
}

pub async fn kubernetes_logs(query: LogQuery) -> Result<String, Fault> {
    let LogQuery { namespace, pod, container, previous, tail_lines, limit_bytes } = query;
    wit::logs(wit::LogQuery { namespace, pod, container, previous, tail_lines, limit_bytes }).await.map_err(fault)
}

pub async fn kubernetes_summary(node: &str) -> Result<Vec<u8>, Fault> {
    wit::summary(node.to_owned()).await.map_err(fault)
}

fn fault(error: wit::KubernetesError) -> Fault {
    let reason = match error.kind {
        wit::ErrorKind::Denied => Reason::Denied,
        wit::ErrorKind::Limit => Reason::Limit,
        wit::ErrorKind::Forbidden => Reason::Unauthorized,
        wit::ErrorKind::NotFound => Reason::NotFound,
        wit::ErrorKind::Expired | wit::ErrorKind::Broken => Reason::UpstreamError,
        wit::ErrorKind::Unreachable => Reason::Unreachable,
        wit::ErrorKind::Timeout => Reason::Timeout,
        wit::ErrorKind::Credential => Reason::Credential,
    };
    Fault::new(reason, error.message)
}
