//! Asks the SkyPilot API server: is it healthy, which clusters are there, what stands in the queue of managed jobs.
//!
//! [`health`] finds the server, [`requests`] asks it for something and waits for the result, [`queue`] reads the queue
//! in the form that the server has, [`tasks`] reads a row of it, and [`states`] knows which rows are wanted.
//!
//! "Source" is SkyPilot 0.14.1 where no other version is named.

mod health;
mod queue;
mod requests;
mod states;
mod tasks;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use collector_sdk::{Fault, settings};
use serde::Deserialize;
use serde_json::{Value, json};

use self::queue::QueueReader;
use self::requests::{Failure, Requests, read_result};

const CLUSTERS: &str = "/status";

/// The API version and the release whose answers are known here. A client that does not say both is taken for an old
/// one: `needs_auth` is kept from it (source, server/server.py `health`), and below 29 AUTOSTOPPING reads INIT.
const API_VERSION: u64 = 62;
const RELEASE: &str = "0.14.1";

/// A cluster, as far as a figure asks.
#[derive(Clone, Debug, Deserialize)]
pub struct Cluster {
    /// `UP`, `STOPPED`, `INIT`, `AUTOSTOPPING`, and whatever SkyPilot adds.
    pub status: String,
}

/// What the server said of the queue.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// Rows by state, of the whole history; none where all rows were read instead.
    pub counts: Option<BTreeMap<String, u64>>,
    /// At least every row that is neither SUCCEEDED nor CANCELLED.
    pub tasks: Vec<Task>,
    /// Whether it came as a bare list, which leaves out whatever that server does not fill in.
    pub is_list: bool,
}

/// A row of the queue: one task of a managed job.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "Value")]
pub struct Task {
    pub job_id: i64,
    /// Counts the tasks of one job.
    task_id: Option<i64>,
    pub status: String,
    pub runtime_s: Option<f64>,
    /// Seconds since 1970.
    pub ended_at_s: Option<f64>,
    pub recovery_count: Option<f64>,
    pub user_hash: Option<String>,
    pub user_name: Option<String>,
    pub region: Option<String>,
    /// What it runs on: `2x[spot](gpus=H100:8, p5.48xlarge, ...)`.
    pub cluster_resources: Option<String>,
    /// What it asked for: `2x[H100:8][Spot]`.
    pub resources: Option<String>,
    pub accelerators: Accelerators,
}

/// The accelerators of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Accelerators {
    /// The row does not have the field.
    #[default]
    Missing,
    None,
    /// How many of each kind, at least one.
    Of(BTreeMap<String, f64>),
    /// The beginning of what cannot be read.
    Unreadable(String),
}

/// A healthy server, and how to ask it.
#[derive(Debug)]
pub struct Server {
    requests: Requests,
    page_size: NonZeroU64,
}

impl Server {
    /// Makes sure that there is a healthy server, before anything else is asked of it. Never starts one.
    ///
    /// # Errors
    /// Where a setting makes no sense, no healthy server answers within 10 seconds, or it wants to know first who is
    /// asking.
    pub async fn find() -> Result<Server, Fault> {
        let poll_timeout_s: NonZeroU64 = settings::parsed("poll_timeout_s")?;
        let page_size = settings::parsed("page_size")?;
        let api_version = health::find_api_version().await?;
        let poll_timeout = Duration::from_secs(poll_timeout_s.get());
        Ok(Server { requests: Requests { api_version, poll_timeout }, page_size })
    }

    /// The clusters of all users.
    ///
    /// # Errors
    /// Where the server does not give the list.
    pub async fn list_clusters(&self) -> Result<Vec<Cluster>, Fault> {
        let body = json!({
            "refresh": "NONE", "all_users": true, "include_credentials": false,
            "summary_response": true, "include_handle": false,
        });
        read_result(CLUSTERS, &self.requests.call(CLUSTERS, &body).await?)
    }

    /// The queue of managed jobs of all users; none where there is no jobs controller, and so no job.
    ///
    /// # Errors
    /// Where it cannot be read to its end.
    pub async fn read_queue(&self) -> Result<Option<Queue>, Fault> {
        let reader = QueueReader { requests: &self.requests, page_size: self.page_size };
        match reader.read().await {
            Ok(queue) => {
                states::warn_of_unknown(&queue);
                Ok(Some(queue))
            }
            Err(Failure::NoController(_)) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }
}
