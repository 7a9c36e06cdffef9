//! A request to the API server: submitted, waited for, and cancelled where its result does not come.

use std::time::Duration;

use collector_sdk::http::Request;
use collector_sdk::{Fault, Reason, log};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::RELEASE;

pub(super) const UPSTREAM: &str = "skypilot";
/// `/api/get` answers at the end of a request. A server that answers earlier is asked again, but not for ever.
pub(super) const POLLS_MAX: usize = 20;

/// A server only notes down what a POST asks for.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(30);
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// How requests are made.
#[derive(Debug)]
pub(super) struct Requests {
    /// The version of the API that is spoken.
    pub api_version: u64,
    /// How long one question for a result may take.
    pub poll_timeout: Duration,
}

/// Why a request has no result.
pub(super) enum Failure {
    /// The server has no such path: it is an older one.
    NoPath(Fault),
    /// There is no jobs controller, and so no managed job.
    NoController(Fault),
    Other(Fault),
}

/// What `/api/get` says of a request (source, server/requests/payloads.py `RequestPayload`).
#[derive(Deserialize)]
struct Progress {
    status: String,
    /// JSON as text.
    #[serde(default)]
    return_value: Option<String>,
    /// JSON as text.
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct FailedProgress {
    detail: Progress,
}

/// What a request's `error` says in clear; the rest of it is a pickled object.
#[derive(Default, Deserialize)]
struct Exception {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
}

impl Requests {
    /// Submits a request, waits for its end, and gives its result: JSON as text.
    ///
    /// # Errors
    /// Where the server does not take it, or it does not succeed in time.
    pub async fn call(&self, path: &str, body: &Value) -> Result<String, Failure> {
        let request = introduce(Request::post(UPSTREAM, path), self.api_version).json(body).within(SUBMIT_TIMEOUT);
        // Only readings of the server's own database are asked for. One more of them does no harm, and SkyPilot's own
        // client repeats them too (source, server/rest.py).
        let answer = request.repeatable().send().await?;
        let is_unknown = matches!(answer.status, 404 | 405);
        let answer = answer.ok().map_err(|fault| if is_unknown { Failure::NoPath(fault) } else { fault.into() })?;
        // The second is the older name. An empty id would be the prefix of every request.
        let id = answer.header("x-skypilot-request-id").or_else(|| answer.header("x-request-id")).unwrap_or_default();
        if id.is_empty() {
            return Err(Fault::bad_answer(format!("skypilot POST {path} answered without the id of a request")).into());
        }
        self.wait_for(path, id).await
    }

    async fn wait_for(&self, path: &str, id: &str) -> Result<String, Failure> {
        let what = format!("skypilot POST {path}, request {id}");
        for _ in 0..POLLS_MAX {
            let Some(progress) = self.poll(id).await.map_err(|fault| fault.while_asking(&what))? else { break };
            match progress.status.as_str() {
                "SUCCEEDED" => return Ok(progress.return_value.unwrap_or_default()),
                "PENDING" | "WAITING" | "RUNNING" => {}
                status => return Err(Failure::of(&what, status, progress.error.as_deref())),
            }
        }
        self.cancel(id).await;
        let seconds = self.poll_timeout.as_secs();
        let message = format!("{what}: no result in time, given up (poll_timeout_s is {seconds})");
        Err(Fault::new(Reason::Timeout, message).into())
    }

    /// The server answers when the request has ended; none where that takes too long.
    async fn poll(&self, id: &str) -> Result<Option<Progress>, Fault> {
        let poll = introduce(Request::get(UPSTREAM, "/api/get"), self.api_version).query("request_id", id);
        let answer = match poll.within(self.poll_timeout).send().await {
            Err(fault) if fault.reason == Reason::Timeout => return Ok(None),
            answer => answer?,
        };
        match answer.status {
            // The patience of a proxy ended first.
            408 | 504 => Ok(None),
            404 => Err(Fault::new(Reason::UpstreamError, "the server does not know it any more (404)")),
            500 if let Ok(failed) = answer.json::<FailedProgress>() => Ok(Some(failed.detail)),
            _ => answer.ok()?.json().map(Some),
        }
    }

    /// So that nothing piles up on a slow server. Its own result is of no interest.
    async fn cancel(&self, id: &str) {
        let request = introduce(Request::post(UPSTREAM, "/api/cancel"), self.api_version);
        // Without `request_ids` the server cancels everybody's requests.
        let cancelled = request.json(&json!({"request_ids": [id]})).within(CANCEL_TIMEOUT).fetch().await;
        if let Err(fault) = cancelled {
            log::warn(format!("request {id} may still be running: {fault}"));
        }
    }
}

impl Failure {
    /// What a request that did not succeed says of why.
    fn of(what: &str, status: &str, error: Option<&str>) -> Failure {
        const SHOWN_CHARS: usize = 200;
        let exception: Option<Option<Exception>> = error.and_then(|text| serde_json::from_str(text).ok());
        let Exception { kind, message } = exception.flatten().unwrap_or_default();
        let words: Vec<&str> = message.split_whitespace().collect();
        let shown: String = words.join(" ").chars().take(SHOWN_CHARS).collect();
        let why = if kind.is_empty() { String::new() } else { format!(": {kind}: {shown}") };
        let fault = Fault::new(Reason::UpstreamError, format!("{what} ended {status}{why}"));
        // The same type stands for a controller that is there but cannot be reached (source, utils/controller_utils.py
        // `connection_error_hint`); its jobs are unknown, not none.
        let is_not_there = kind == "ClusterNotUpError" && !message.contains("Failed to connect");
        if is_not_there { Failure::NoController(fault) } else { Failure::Other(fault) }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        Failure::Other(fault)
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Fault {
        match failure {
            Failure::NoPath(fault) | Failure::NoController(fault) | Failure::Other(fault) => fault,
        }
    }
}

/// Says who is asking, in the words of SkyPilot's own client.
pub(super) fn introduce(request: Request, api_version: u64) -> Request {
    request.header("X-SkyPilot-API-Version", api_version.to_string()).header("X-SkyPilot-Version", RELEASE)
}

/// Reads the result of a call.
///
/// # Errors
/// `bad-answer`, where it is of another shape.
pub(super) fn read_result<T: DeserializeOwned>(path: &str, result: &str) -> Result<T, Fault> {
    serde_json::from_str(result)
        .map_err(|e| Fault::bad_answer(format!("skypilot POST {path} had a result of another shape: {e}")))
}
