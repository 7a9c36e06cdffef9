//! The cluster's API as requests to the world's upstream `kubernetes`, with the paths of a real API server.

use super::answer;
use crate::fault::{Fault, Reason};
use crate::http::{self, Request};
use crate::kubernetes::{LogQuery, Query, Resource, Stopped};

pub async fn kubernetes_list(query: Query) -> Result<Vec<u8>, Stopped> {
    let (api, plural) = match query.resource {
        Resource::Pods => ("/api/v1", "pods"),
        Resource::Nodes => ("/api/v1", "nodes"),
        Resource::Events => ("/api/v1", "events"),
        Resource::Deployments => ("/apis/apps/v1", "deployments"),
        Resource::Jobs => ("/apis/batch/v1", "jobs"),
        Resource::CronJobs => ("/apis/batch/v1", "cronjobs"),
        Resource::PodMetrics => ("/apis/metrics.k8s.io/v1beta1", "pods"),
    };
    let namespace = query.namespace.map(|n| format!("/namespaces/{}", http::segment(&n))).unwrap_or_default();
    let request = Request::get("kubernetes", format!("{api}{namespace}/{plural}")).query("limit", query.limit);
    let optional = [
        ("labelSelector", query.label_selector),
        ("fieldSelector", query.field_selector),
        ("continue", query.continue_token),
    ];
    let request = optional.into_iter().fold(request, |request, (name, value)| match value {
        Some(value) => request.query(name, value),
        None => request,
    });
    ask(request)
}

pub async fn kubernetes_logs(query: LogQuery) -> Result<String, Fault> {
    let LogQuery { namespace, pod, container, previous, tail_lines, limit_bytes } = query;
    let path = format!("/api/v1/namespaces/{}/pods/{}/log", http::segment(&namespace), http::segment(&pod));
    let mut request = Request::get("kubernetes", path).query("tailLines", tail_lines).query("limitBytes", limit_bytes);
    if let Some(container) = container {
        request = request.query("container", container);
    }
    if previous {
        request = request.query("previous", true);
    }
    ask(request).map(|body| String::from_utf8_lossy(&body).into_owned()).map_err(lost)
}

pub async fn kubernetes_summary(node: &str) -> Result<Vec<u8>, Fault> {
    let path = format!("/api/v1/nodes/{}/proxy/stats/summary", http::segment(node));
    ask(Request::get("kubernetes", path)).map_err(lost)
}

/// The body of an answer with a good status.
fn ask(request: Request) -> Result<Vec<u8>, Stopped> {
    let label = request.path().to_owned();
    let answer = answer(request).map_err(Stopped::Lost)?;
    let reason = match answer.status {
        200..=299 => return Ok(answer.body),
        401 | 403 => Reason::Unauthorized,
        404 => Reason::NotFound,
        _ => Reason::UpstreamError,
    };
    let fault = Fault::new(reason, format!("GET {label} answered {}", answer.status));
    Err(if answer.status == 410 { Stopped::Expired(fault) } else { Stopped::Lost(fault) })
}

/// What no token is given for cannot be asked with one that is too old.
fn lost(stopped: Stopped) -> Fault {
    match stopped {
        Stopped::Expired(fault) | Stopped::Lost(fault) => fault,
    }
}
