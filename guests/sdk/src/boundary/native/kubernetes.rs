//! The cluster's API as requests to the world's upstream `kubernetes`, with the paths of a real API server.

use crate::http::{self, Request, Response};
use crate::kubernetes::{Error, ErrorKind, LogQuery, Query, Resource};
use crate::testing::world::with_world;

pub async fn kubernetes_list(query: Query) -> Result<Vec<u8>, Error> {
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
    ask(request).map(|answer| answer.body)
}

pub async fn kubernetes_logs(query: LogQuery) -> Result<String, Error> {
    let LogQuery { namespace, pod, container, previous, tail_lines, limit_bytes } = query;
    let path = format!("/api/v1/namespaces/{}/pods/{}/log", http::segment(&namespace), http::segment(&pod));
    let mut request = Request::get("kubernetes", path).query("tailLines", tail_lines).query("limitBytes", limit_bytes);
    if let Some(container) = container {
        request = request.query("container", container);
    }
    if previous {
        request = request.query("previous", true);
    }
    ask(request).map(|answer| String::from_utf8_lossy(&answer.body).into_owned())
}

pub async fn kubernetes_summary(node: &str) -> Result<Vec<u8>, Error> {
    let path = format!("/api/v1/nodes/{}/proxy/stats/summary", http::segment(node));
    ask(Request::get("kubernetes", path)).map(|answer| answer.body)
}

fn ask(request: Request) -> Result<Response, Error> {
    let label = request.path().to_owned();
    let answer = with_world(|world| world.answer(request)).map_err(|error| Error {
        kind: match error.kind {
            http::ErrorKind::Denied | http::ErrorKind::Redirected => ErrorKind::Denied,
            http::ErrorKind::Limit => ErrorKind::Limit,
            http::ErrorKind::Unreachable => ErrorKind::Unreachable,
            http::ErrorKind::Timeout => ErrorKind::Timeout,
            http::ErrorKind::Broken => ErrorKind::Broken,
            http::ErrorKind::Credential => ErrorKind::Credential,
        },
        message: error.message,
    })?;
    let kind = match answer.status {
        200..=299 => return Ok(answer),
        401 | 403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        410 => ErrorKind::Expired,
        _ => ErrorKind::Broken,
    };
    Err(Error { kind, message: format!("GET {label} answered {}", answer.status) })
}
