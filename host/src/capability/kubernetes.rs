//! The cluster's API: GET and nothing else.
//!
//! Credentials: a pod's service account, else the kubeconfig, as every Kubernetes tool finds them.

use http_body_util::BodyExt;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::clock;
use crate::config::KubernetesPlan;
use crate::egress::{Bounds, Meter, user_agent};
use crate::limits::ByteSize;

/// Why there is no answer. The words of `wit/kubernetes.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KubernetesErrorKind {
    Limit,
    Forbidden,
    NotFound,
    Expired,
    Unreachable,
    Timeout,
    Broken,
    Credential,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KubernetesError {
    pub kind: KubernetesErrorKind,
    /// One line for a person, without a secret.
    pub message: String,
}

/// What is read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// `/api/v1/pods`
    pub path: String,
    /// Unencoded.
    pub query: Vec<(&'static str, String)>,
    /// Who asks, for the User-Agent: the cluster's audit log shows it.
    pub agent: String,
}

/// The cluster of the plan. Nobody is connected before something is read.
pub struct Cluster {
    plan: KubernetesPlan,
    client: OnceCell<Result<Client, KubernetesError>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Cluster {
    pub fn new(plan: &KubernetesPlan) -> Cluster {
        Cluster { plan: plan.clone(), client: OnceCell::new() }
    }

    /// The body of an answer with a good status.
    ///
    /// # Errors
    /// As [`KubernetesErrorKind`] says.
    pub async fn read(&self, reading: &Reading, bounds: &Bounds, meter: &Meter) -> Result<Vec<u8>, KubernetesError> {
        let client = self.client.get_or_init(|| connect(&self.plan)).await.clone()?;
        let until = bounds.deadline.min(clock::instant() + self.plan.timeout);
        match tokio::time::timeout_at(until.into(), exchange(client, reading, bounds, meter)).await {
            Ok(answered) => answered,
            Err(_) => Err(error(
                KubernetesErrorKind::Timeout,
                format!("GET {}: no answer within {:?}", reading.path, self.plan.timeout),
            )),
        }
    }
}

async fn connect(plan: &KubernetesPlan) -> Result<Client, KubernetesError> {
    let credential = |what: String| error(KubernetesErrorKind::Credential, what);
    let mut config = find_config(plan).await.map_err(credential)?;
    config.read_timeout = Some(plan.timeout);
    Client::try_from(config).map_err(|e| credential(format!("the cluster's credentials: {}", innermost(&e))))
}

async fn find_config(plan: &KubernetesPlan) -> Result<Config, String> {
    if let Some(server) = &plan.server {
        let uri = server.as_str().trim_end_matches('/').parse();
        return uri.map(Config::new).map_err(|e| format!("[kubernetes] server: {e}"));
    }
    let options = KubeConfigOptions { context: plan.context.clone(), ..KubeConfigOptions::default() };
    if let Some(path) = &plan.kubeconfig {
        let file = Kubeconfig::read_from(path).map_err(|e| format!("[kubernetes] kubeconfig: {e}"))?;
        return Config::from_custom_kubeconfig(file, &options).await.map_err(|e| e.to_string());
    }
    // A pod with a service account is in its cluster, whatever else lies about.
    let in_cluster = Config::incluster();
    match in_cluster {
        Ok(config) if plan.context.is_none() => Ok(config),
        _ => Config::from_kubeconfig(&options).await.map_err(|e| {
            format!("no cluster: this is no pod with a service account, and the kubeconfig says: {}", innermost(&e))
        }),
    }
}

async fn exchange(
    client: Client,
    reading: &Reading,
    bounds: &Bounds,
    meter: &Meter,
) -> Result<Vec<u8>, KubernetesError> {
    let path = &reading.path;
    let request = http::Request::get(uri(reading))
        .header("accept", "application/json")
        .header("user-agent", user_agent(&reading.agent))
        .body(Body::empty());
    let request = request.map_err(|e| error(KubernetesErrorKind::Broken, format!("GET {path}: {e}")))?;
    meter.count_request();
    let answer = client.send(request).await.map_err(|e| unanswered(path, &e))?;
    let status = answer.status().as_u16();
    let body = read_body(path, answer.into_body(), bounds, meter).await?;
    let kind = match status {
        200..=299 => return Ok(body),
        401 | 403 => KubernetesErrorKind::Forbidden,
        404 => KubernetesErrorKind::NotFound,
        410 => KubernetesErrorKind::Expired,
        _ => KubernetesErrorKind::Broken,
    };
    Err(error(kind, format!("GET {path} answered {status}{}", said(&body))))
}

async fn read_body(path: &str, mut body: Body, bounds: &Bounds, meter: &Meter) -> Result<Vec<u8>, KubernetesError> {
    let (mut bytes, mut held) = (Vec::new(), bounds.buffer.hold_nothing());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| {
            error(KubernetesErrorKind::Broken, format!("GET {path}: the answer broke off: {}", innermost(&e)))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        meter.count_bytes(data.len());
        if (bytes.len() + data.len()) as u64 > bounds.body_bytes_max {
            let max = ByteSize(bounds.body_bytes_max);
            let what = format!("GET {path}: the answer is larger than response_body ({max})");
            return Err(error(KubernetesErrorKind::Limit, what));
        }
        held.grow(data.len()).map_err(|e| error(KubernetesErrorKind::Limit, e.message))?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Path and query, encoded.
fn uri(reading: &Reading) -> String {
    if reading.query.is_empty() {
        return reading.path.clone();
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&reading.query).finish();
    format!("{}?{query}", reading.path)
}

fn unanswered(path: &str, problem: &kube::Error) -> KubernetesError {
    let text = innermost(problem);
    let kind = match problem {
        kube::Error::Auth(_) => KubernetesErrorKind::Credential,
        _ if text.contains("deadline has elapsed") || text.contains("timed out") => KubernetesErrorKind::Timeout,
        _ => KubernetesErrorKind::Unreachable,
    };
    error(kind, format!("GET {path}: {text}"))
}

/// What the API server said of an error: `: pods is forbidden: …`.
fn said(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Status {
        message: String,
    }
    const SHOWN_CHARS: usize = 300;
    match serde_json::from_slice::<Status>(body) {
        Ok(status) => format!(": {}", status.message.chars().take(SHOWN_CHARS).collect::<String>()),
        Err(_) => String::new(),
    }
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let last = std::iter::successors(Some(error), |error| error.source()).last();
    last.map(ToString::to_string).unwrap_or_default()
}

fn error(kind: KubernetesErrorKind, message: String) -> KubernetesError {
    KubernetesError { kind, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_encoded() {
        let query = vec![("continue", "a+b/c=".to_owned()), ("fieldSelector", "status.phase!=Running".to_owned())];
        let reading = Reading { path: "/api/v1/pods".into(), query, agent: String::new() };
        assert_eq!(uri(&reading), "/api/v1/pods?continue=a%2Bb%2Fc%3D&fieldSelector=status.phase%21%3DRunning");
    }

    #[test]
    fn what_the_server_says_of_an_error_is_passed_on() {
        assert_eq!(said(br#"{"kind":"Status","message":"pods is forbidden"}"#), ": pods is forbidden");
        assert_eq!(said(b"<html>"), "");
    }
}
