//! Whether there is a healthy server, and which version of its API is spoken with it.

use std::time::Duration;

use collector_sdk::http::Request;
use collector_sdk::{Fault, Reason};
use serde::Deserialize;
use serde_json::Value;

use super::API_VERSION;
use super::requests::{UPSTREAM, introduce};

const HEALTH_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Health {
    status: String,
    #[serde(default)]
    api_version: Value,
}

/// The lower of the server's API version and the one that is known here.
///
/// # Errors
/// Where no healthy server answers, or it wants to know first who is asking.
pub(super) async fn find_api_version() -> Result<u64, Fault> {
    let request = introduce(Request::get(UPSTREAM, "/api/health"), API_VERSION);
    let health: Health = request.within(HEALTH_TIMEOUT).fetch().await?.json()?;
    let reason = match health.status.as_str() {
        "healthy" => {
            // Text in every release; a number would mean the same.
            let text = health.api_version.to_string();
            return Ok(text.trim_matches('"').parse().unwrap_or(API_VERSION).min(API_VERSION));
        }
        "needs_auth" => Reason::Unauthorized,
        _ => Reason::UpstreamError,
    };
    Err(Fault::new(reason, format!("skypilot GET /api/health: the status of the server is {:?}", health.status)))
}
