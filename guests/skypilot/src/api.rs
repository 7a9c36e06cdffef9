//! Asks the SkyPilot API server: is it healthy, which clusters are there, what stands in the queue of managed jobs.
//!
//! "Source" is SkyPilot 0.14.1 where no other version is named. Over 400 lines, as a collector reaches out in one file:
//! the protocol, the forms that the queue has had, and a simulated server with the tests against it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::num::NonZeroU64;
use std::time::Duration;

use collector_sdk::http::Request;
use collector_sdk::{Fault, Reason, log, settings};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

const UPSTREAM: &str = "skypilot";
const CLUSTERS: &str = "/status";
const QUEUE: &str = "/jobs/queue/v2";
const ASKING_QUEUE: &str = "skypilot POST /jobs/queue/v2";
/// All that servers below API version 18 have: one list, without filters and pages.
const OLD_QUEUE: &str = "/jobs/queue";

/// The API version and the release whose answers this file knows. A client that does not say both is taken for an old
/// one: `needs_auth` is kept from it (source, server/server.py `health`), and below 29 AUTOSTOPPING reads INIT.
const API_VERSION: u64 = 62;
const RELEASE: &str = "0.14.1";

const HEALTH_TIMEOUT: Duration = Duration::from_secs(10);
/// A server only notes down what a POST asks for.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(30);
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// `/api/get` answers at the end of a request. A server that answers earlier is asked again, but not for ever.
const POLLS_MAX: usize = 20;
/// Leaves more than half of an attempt's 500 requests.
const PAGES_MAX: u64 = 100;
/// The queue may change while it is read, or turn out to need another question.
const READINGS_MAX: usize = 3;

/// Jobs in these states are only counted, which `status_counts` does, so a long history need not be read.
const COUNTED_STATES: [&str; 2] = ["SUCCEEDED", "CANCELLED"];
/// All other states of the source, jobs/state.py `ManagedJobStatus`.
const READ_STATES: &str = "PENDING SUBMITTED STARTING RUNNING WINDING_DOWN RECOVERING CANCELLING FAILED FAILED_SETUP \
                           FAILED_PRECHECKS FAILED_NO_RESOURCE FAILED_CONTROLLER";
const FIELDS: &str = "job_id task_id status job_duration end_at recovery_count user_hash user_name region \
                      cluster_resources resources accelerators";

#[derive(Clone, Debug, Deserialize)]
pub struct Cluster {
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
#[derive(Clone, Debug, Default)]
pub struct Task {
    pub job_id: i64,
    task_id: Option<i64>,
    pub status: String,
    /// Seconds.
    pub job_duration: Option<f64>,
    /// Seconds since 1970.
    pub end_at: Option<f64>,
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
    Of(BTreeMap<String, f64>),
    /// The beginning of what cannot be read.
    Unreadable(String),
}

/// A healthy server, and how to ask it.
#[derive(Debug)]
pub struct Server {
    api_version: u64,
    poll_timeout: Duration,
    page_size: NonZeroU64,
}

#[derive(Deserialize)]
struct Health {
    status: String,
    #[serde(default)]
    api_version: Value,
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

#[derive(Deserialize)]
struct Page {
    jobs: Vec<Task>,
    /// Jobs that pass the filters, without those launched from inside another; in 0.10.5, rows that do. Pages go by the
    /// same.
    total: u64,
    #[serde(default)]
    total_no_filter: Option<u64>,
    /// Not narrowed by `statuses`.
    #[serde(default)]
    status_counts: Option<BTreeMap<String, u64>>,
}

/// The states whose rows are asked for; none asks for all rows.
type States = Option<BTreeSet<String>>;

enum Reading {
    Whole(Queue),
    /// It has to be read once more, for these states.
    Again(States),
}

/// What was read of the queue so far, page by page.
#[derive(Default)]
struct Listing {
    tasks: Vec<Task>,
    seen: HashSet<(i64, Option<i64>)>,
    jobs: HashSet<i64>,
}

/// Why a request has no result.
enum Failure {
    /// The server has no such path: it is an older one.
    NoPath(Fault),
    /// The server gives one list instead of pages.
    NoPages(Fault),
    /// There is no jobs controller, and so no managed job.
    NoController(Fault),
    Other(Fault),
}

impl Server {
    /// Makes sure that there is a healthy server, before anything else is asked of it. Never starts one.
    ///
    /// # Errors
    /// Where no healthy server answers within 10 seconds, or it wants to know first who is asking.
    pub async fn find() -> Result<Server, Fault> {
        let poll_timeout_s: NonZeroU64 = settings::parsed("poll_timeout_s")?;
        let page_size = settings::parsed("page_size")?;
        let request = introduce(Request::get(UPSTREAM, "/api/health"), API_VERSION);
        let health: Health = request.within(HEALTH_TIMEOUT).fetch().await?.json()?;
        let reason = match health.status.as_str() {
            "healthy" => {
                // Text in every release; a number would mean the same.
                let text = health.api_version.to_string();
                let api_version = text.trim_matches('"').parse().unwrap_or(API_VERSION).min(API_VERSION);
                return Ok(Server { api_version, poll_timeout: Duration::from_secs(poll_timeout_s.get()), page_size });
            }
            "needs_auth" => Reason::Unauthorized,
            _ => Reason::UpstreamError,
        };
        Err(Fault::new(reason, format!("skypilot GET /api/health: the status of the server is {:?}", health.status)))
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
        read_result(CLUSTERS, &self.call(CLUSTERS, &body).await?)
    }

    /// The queue of managed jobs of all users; none where there is no jobs controller, and so no job.
    ///
    /// # Errors
    /// Where it cannot be read to its end.
    pub async fn read_queue(&self) -> Result<Option<Queue>, Fault> {
        let mut states: States = Some(words(READ_STATES).map(String::from).collect());
        for _ in 0..READINGS_MAX {
            let reading = match self.read_pages(&states).await {
                Err(Failure::NoPath(_)) => self.read_list(OLD_QUEUE).await,
                Err(Failure::NoPages(_)) => self.read_list(QUEUE).await,
                reading => reading,
            };
            match reading {
                Ok(Reading::Whole(queue)) => {
                    warn_of_unknown_states(&queue);
                    return Ok(Some(queue));
                }
                Ok(Reading::Again(next)) => states = next,
                Err(Failure::NoController(_)) => return Ok(None),
                Err(failure) => return Err(failure.into()),
            }
        }
        let message = format!("the queue changed during each of {READINGS_MAX} readings");
        Err(Fault::new(Reason::UpstreamError, message).while_asking(ASKING_QUEUE))
    }

    async fn read_pages(&self, states: &States) -> Result<Reading, Failure> {
        let mut page = self.fetch_page(states, 1).await?;
        let counts = match (states, page.take_counts()) {
            (Some(asked), Some(counts)) => {
                let there = counts.iter().filter(|(state, rows)| is_read(state) && **rows > 0).map(|(state, _)| state);
                let states: BTreeSet<String> = asked.iter().chain(there).cloned().collect();
                if states.len() > asked.len() {
                    return Ok(Reading::Again(Some(states)));
                }
                Some(counts)
            }
            (Some(_), None) => return Ok(Reading::Again(None)),
            (None, _) => None,
        };
        let total = page.total;
        let mut listing = Listing::default();
        for number in 1..=PAGES_MAX {
            let is_short = (page.jobs.len() as u64) < self.page_size.get();
            let is_longer = listing.add(page.jobs);
            if listing.is_whole(is_short || !is_longer, total, counts.as_ref()) {
                return Ok(Reading::Whole(Queue { counts, tasks: listing.tasks, is_list: false }));
            }
            if page.total < total {
                // A job left the states that are asked for, the later ones moved up, and one slipped past.
                return Ok(Reading::Again(states.clone()));
            }
            if !is_longer {
                let read = listing.jobs.len();
                let message = format!("page {number} has no new job after {read} of {total}");
                return Err(Fault::bad_answer(message).while_asking(ASKING_QUEUE).into());
            }
            page = self.fetch_page(states, number + 1).await?;
        }
        let message = format!("{total} jobs are more than {PAGES_MAX} pages, set page_size higher");
        Err(Fault::new(Reason::Limit, message).while_asking(ASKING_QUEUE).into())
    }

    async fn fetch_page(&self, states: &States, page: u64) -> Result<Page, Failure> {
        let fields: Vec<&str> = words(FIELDS).collect();
        let body = json!({
            "refresh": false, "skip_finished": false, "all_users": true,
            "fields": fields, "statuses": states, "page": page, "limit": self.page_size,
        });
        let result = self.call(QUEUE, &body).await?;
        if result.trim_start().starts_with('[') {
            return Err(Failure::NoPages(Fault::bad_answer("a list and no page").while_asking(ASKING_QUEUE)));
        }
        Ok(read_result(QUEUE, &result)?)
    }

    /// Older servers give all rows at once.
    async fn read_list(&self, path: &str) -> Result<Reading, Failure> {
        let fields: Vec<&str> = words(FIELDS).collect();
        let body = json!({"refresh": false, "skip_finished": false, "all_users": true, "fields": fields});
        let tasks = read_result(path, &self.call(path, &body).await?)?;
        Ok(Reading::Whole(Queue { counts: None, tasks, is_list: true }))
    }

    /// Submits a request, waits for its end, and gives its result: JSON as text.
    async fn call(&self, path: &str, body: &Value) -> Result<String, Failure> {
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
        Err(Fault::new(Reason::Timeout, format!("{what}: no result in time, given up (poll_timeout_s is {seconds})"))
            .into())
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

impl Page {
    /// The counts, unless they are null, missing, or empty although there are rows.
    fn take_counts(&mut self) -> Option<BTreeMap<String, u64>> {
        let has_rows = !self.jobs.is_empty() || self.total_no_filter.is_some_and(|rows| rows > 0);
        let counts = self.status_counts.take()?;
        (!counts.is_empty() || !has_rows).then_some(counts)
    }
}

impl Listing {
    /// Adds what is new of a page, and says whether there was anything.
    fn add(&mut self, jobs: Vec<Task>) -> bool {
        let before = self.tasks.len();
        for task in jobs {
            if self.seen.insert((task.job_id, task.task_id)) {
                self.jobs.insert(task.job_id);
                self.tasks.push(task);
            }
        }
        self.tasks.len() > before
    }

    /// Whether it holds what the server promised: as many rows as it counted, else, at the end, as many jobs.
    fn is_whole(&self, is_end: bool, total: u64, counts: Option<&BTreeMap<String, u64>>) -> bool {
        let (rows, jobs) = (self.tasks.len() as u64, self.jobs.len() as u64);
        match counts {
            Some(counts) => {
                let counted = counts.iter().filter(|(state, _)| is_read(state)).map(|(_, rows)| *rows);
                let read = self.tasks.iter().filter(|task| is_read(&task.status)).count() as u64;
                read >= counted.fold(0, u64::saturating_add) || (is_end && jobs >= total)
            }
            None => is_end && (jobs >= total || rows == total),
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
            Failure::NoPath(fault) | Failure::NoPages(fault) | Failure::NoController(fault) | Failure::Other(fault) => {
                fault
            }
        }
    }
}

impl Task {
    /// None without what tells and counts a row. Any other value that is missing, null or strange is none.
    fn of(row: &Value) -> Option<Task> {
        let integer = |key: &str| row.get(key).and_then(Value::as_i64);
        let number = |key: &str| row.get(key).and_then(Value::as_f64);
        let text = |key: &str| row.get(key).and_then(Value::as_str).map(String::from);
        Some(Task {
            job_id: integer("job_id")?,
            task_id: integer("task_id"),
            status: text("status")?,
            job_duration: number("job_duration"),
            end_at: number("end_at"),
            recovery_count: number("recovery_count"),
            user_hash: text("user_hash"),
            user_name: text("user_name"),
            region: text("region"),
            cluster_resources: text("cluster_resources"),
            resources: text("resources"),
            accelerators: row.get("accelerators").map_or(Accelerators::Missing, Accelerators::of),
        })
    }
}

impl<'de> Deserialize<'de> for Task {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Task, D::Error> {
        let row = Value::deserialize(deserializer)?;
        Task::of(&row).ok_or_else(|| D::Error::custom("a row without job_id or status"))
    }
}

impl Accelerators {
    /// A JSON object in the queue; Python's `{'H100': 8}` as text elsewhere and in older servers.
    fn of(value: &Value) -> Accelerators {
        const SHOWN_CHARS: usize = 40;
        let object: Option<Map<String, Value>> = match value {
            Value::Null => return Accelerators::None,
            Value::Object(object) => Some(object.clone()),
            Value::String(text) if matches!(text.trim(), "" | "-" | "None") => return Accelerators::None,
            Value::String(text) => serde_json::from_str(&text.replace('\'', "\"")).ok(),
            _ => None,
        };
        let count = |(name, count): (String, Value)| Some((name, count.as_f64().filter(|count| *count >= 0.0)?));
        let read = object.and_then(|object| object.into_iter().map(count).collect());
        let beginning = || value.to_string().chars().take(SHOWN_CHARS).collect();
        read.map_or_else(|| Accelerators::Unreadable(beginning()), Accelerators::Of)
    }
}

fn introduce(request: Request, api_version: u64) -> Request {
    request.header("X-SkyPilot-API-Version", api_version.to_string()).header("X-SkyPilot-Version", RELEASE)
}

fn read_result<T: DeserializeOwned>(path: &str, result: &str) -> Result<T, Fault> {
    serde_json::from_str(result)
        .map_err(|e| Fault::bad_answer(format!("skypilot POST {path} had a result of another shape: {e}")))
}

fn words(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.split_whitespace()
}

fn is_read(state: &str) -> bool {
    !COUNTED_STATES.contains(&state)
}

fn warn_of_unknown_states(queue: &Queue) {
    let named = queue.counts.iter().flat_map(BTreeMap::keys).chain(queue.tasks.iter().map(|task| &task.status));
    let is_known = |state: &str| !is_read(state) || words(READ_STATES).any(|known| known == state);
    let unknown: BTreeSet<&String> = named.filter(|state| !is_known(state)).collect();
    for state in unknown {
        log::warn(format!("job state {state:?} is not one of SkyPilot {RELEASE}; it counts by its first letters"));
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use collector_sdk::http::{Error, ErrorKind, Response};
    use collector_sdk::testing::{Outcome, World, run};

    use super::*;

    const NOW_S: i64 = 1_761_307_200;

    type Answer = Result<Response, Error>;
    type Disturbance = dyn Fn(usize, &Request) -> Option<Answer>;

    /// A server of any release.
    #[derive(Clone)]
    struct Sky {
        rows: Vec<Value>,
        api_version: Value,
        has_v2: bool,
        has_pages: bool,
        has_counts: bool,
        /// As before 0.11: pages go by rows, and the total counts rows.
        pages_rows: bool,
        page_size: &'static str,
        /// How many more jobs it promises than it has.
        missing: usize,
        /// What happens to the queue before the so-manieth page is read.
        change: fn(usize, &mut Vec<Value>),
        /// What comes instead of the answer to the so-manieth request.
        disturb: Rc<Disturbance>,
        submitted: Vec<(String, Value)>,
        requests: usize,
    }

    fn sky(rows: Vec<Value>) -> Sky {
        Sky {
            rows,
            api_version: json!("62"),
            has_v2: true,
            has_pages: true,
            has_counts: true,
            pages_rows: false,
            page_size: "1000",
            missing: 0,
            change: |_, _| {},
            disturb: Rc::new(|_, _| None),
            submitted: Vec::new(),
            requests: 0,
        }
    }

    /// Jobs in every state; each seventh is a pipeline of three tasks, each eleventh was launched by the one before.
    fn world(jobs: i64) -> Vec<Value> {
        let states: Vec<&str> = words(READ_STATES).chain(COUNTED_STATES).chain(["RUNNING", "RUNNING"]).collect();
        let (regions, clusters) = (["us-east-1", "-", "us-west-2"], ["2x[spot](gpus=H100:2)", "-", "1x(cpus=4)"]);
        let row = |job: i64, task: i64| {
            json!({
                "job_id": job, "task_id": task, "root_job_id": (job % 11 == 10).then_some(job - 1),
                "status": states[(job * 5 + task) as usize % states.len()],
                "job_duration": 600.5 * job as f64, "end_at": NOW_S - job * 40_000, "recovery_count": job % 4,
                "user_hash": format!("user{}", job % 9), "region": regions[job as usize % 3],
                "cluster_resources": clusters[job as usize % 3],
                "accelerators": {"H100": job % 3},
            })
        };
        (0..jobs).flat_map(|job| (0..if job % 7 == 6 { 3 } else { 1 }).map(move |task| row(job, task))).collect()
    }

    fn jobs(ids: std::ops::Range<i64>, status: &str) -> Vec<Value> {
        ids.map(|job| json!({"job_id": job, "task_id": 0, "status": status, "job_duration": 60})).collect()
    }

    fn ok(body: &Value) -> Answer {
        Ok(Response { status: 200, body: body.to_string().into(), ..Response::default() })
    }

    impl Sky {
        fn answer(&mut self, request: &Request) -> Answer {
            self.requests += 1;
            if let Some(answer) = (self.disturb)(self.requests, request) {
                return answer;
            }
            match (request.method(), request.path()) {
                ("GET", "/api/health") => ok(&json!({"status": "healthy", "api_version": self.api_version})),
                ("GET", _) => {
                    let id: usize = request.query_value("request_id").unwrap().parse().unwrap();
                    let (path, body) = self.submitted[id].clone();
                    let result = match path.as_str() {
                        CLUSTERS => json!([{"status": "UP"}, {"status": "AUTOSTOPPING"}, {"status": "INIT"}]),
                        QUEUE if self.has_pages => self.page(&body),
                        _ => json!(self.rows),
                    };
                    ok(&json!({"status": "SUCCEEDED", "return_value": result.to_string(), "error": "null"}))
                }
                (_, QUEUE) if !self.has_v2 => Ok(Response { status: 404, ..Response::default() }),
                (_, path) => {
                    let headers = vec![("x-skypilot-request-id".into(), self.submitted.len().to_string())];
                    self.submitted.push((path.into(), request.body_json()));
                    Ok(Response { headers, ..ok(&Value::Null)? })
                }
            }
        }

        fn page(&mut self, body: &Value) -> Value {
            (self.change)(self.submitted.iter().filter(|(path, _)| path == QUEUE).count(), &mut self.rows);
            let number = |key: &str| body[key].as_u64().unwrap() as usize;
            let (skip, limit) = ((number("page") - 1) * number("limit"), number("limit"));
            let is_asked = |row: &&Value| body["statuses"].as_array().is_none_or(|s| s.contains(&row["status"]));
            let root_of = |row: &Value| row["root_job_id"].as_i64().or(row["job_id"].as_i64());
            let asked: Vec<&Value> = self.rows.iter().filter(is_asked).collect();
            let roots: BTreeSet<_> = asked.iter().map(|row| root_of(row)).collect();
            let on_page: BTreeSet<_> = roots.iter().rev().skip(skip).take(limit).collect();
            let (jobs, total): (Vec<&Value>, usize) = match self.pages_rows {
                true => (asked.iter().copied().rev().skip(skip).take(limit).collect(), asked.len()),
                false => (asked.iter().copied().filter(|r| on_page.contains(&root_of(r))).collect(), roots.len()),
            };
            let mut counts = BTreeMap::from([("RUNNING", self.missing)]);
            self.rows.iter().for_each(|row| *counts.entry(row["status"].as_str().unwrap()).or_default() += 1);
            json!({
                "jobs": jobs, "total": total + self.missing, "total_no_filter": self.rows.len(),
                "status_counts": self.has_counts.then_some(counts),
            })
        }

        fn run(mut self) -> Outcome {
            let now = collector_sdk::Timestamp::from_second(NOW_S).unwrap();
            let world = World::new(include_str!("../collector.toml"), now).with("page_size", self.page_size);
            run::<crate::Skypilot>(world.answering(move |request| self.answer(request)))
        }
    }

    fn values(outcome: &Outcome) -> BTreeMap<String, f64> {
        assert!(outcome.forgotten().is_empty(), "{:?}", outcome.forgotten());
        outcome.points.iter().map(|point| (point.series.clone(), point.value)).collect()
    }

    /// How many requests were made, none of them twice.
    fn requests(outcome: &Outcome) -> usize {
        let distinct: BTreeSet<String> = outcome.requests.iter().map(|request| format!("{request:?}")).collect();
        assert_eq!(distinct.len(), outcome.requests.len(), "a request was made twice");
        distinct.len()
    }

    #[test]
    fn a_history_of_26000_finished_jobs_is_counted_without_being_read() {
        let outcome = sky([world(60), jobs(1000..27_000, "SUCCEEDED")].concat()).run();
        assert_eq!((requests(&outcome), values(&outcome).len()), (5, 30));
        assert_eq!(outcome.value("skypilot.jobs.succeeded"), Some(26_004.0));
    }

    #[test]
    fn every_release_gives_the_same_values_from_the_same_world() {
        let server = sky([world(100), jobs(1000..4000, "SUCCEEDED")].concat());
        let expected = values(&server.clone().run());
        assert_eq!(expected.len(), 30);
        for (what, made, server) in [
            ("many pages", 3 + 2 * 14, Sky { page_size: "6", ..server.clone() }),
            ("no counts: a page, then all rows", 5 + 2 * 4, Sky { has_counts: false, ..server.clone() }),
            ("0.10.5", 3 + 2 * 19, Sky { pages_rows: true, page_size: "6", ..server.clone() }),
            ("0.10.5 without counts", 5 + 2 * 4, Sky { pages_rows: true, has_counts: false, ..server.clone() }),
            ("a list in place of a page", 7, Sky { has_pages: false, ..server.clone() }),
            ("only the old path", 6, Sky { has_v2: false, ..server }),
        ] {
            let outcome = server.run();
            assert_eq!((values(&outcome), requests(&outcome)), (expected.clone(), made), "{what}");
        }
    }

    #[test]
    fn a_failure_at_any_request_leaves_gaps_and_never_a_wrong_value() {
        let failures: [fn() -> Answer; 7] = [
            || Err(Error { kind: ErrorKind::Timeout, message: "too late".into() }),
            || Err(Error { kind: ErrorKind::Broken, message: "broken off".into() }),
            || ok(&json!("not what was asked for")),
            || ok(&json!({"status": "SUCCEEDED", "return_value": "{\"jobs\": ["})),
            || ok(&json!({"status": "FAILED", "error": "{\"type\": \"ValueError\", \"message\": \"no\"}"})),
            || Ok(Response { status: 500, body: "oops".into(), ..Response::default() }),
            || Ok(Response { status: 503, ..Response::default() }),
        ];
        let server = Sky { page_size: "30", ..sky(world(100)) };
        let undisturbed = server.clone().run();
        let expected = values(&undisturbed);
        for (at, failure) in (2..=requests(&undisturbed)).flat_map(|at| failures.map(|failure| (at, failure))) {
            let outcome = Sky { disturb: Rc::new(move |n, _| (n == at).then(failure)), ..server.clone() }.run();
            let left = values(&outcome);
            assert!(outcome.fault.is_some() && matches!(left.len(), 1 | 29), "request {at} left {}", left.len());
            assert!(left.iter().all(|(series, value)| expected[series] == *value), "request {at}");
        }
        for failure in failures {
            let outcome = Sky { disturb: Rc::new(move |_, _| Some(failure())), ..server.clone() }.run();
            assert_eq!((outcome.fault.is_some(), outcome.requests.len(), outcome.points.len()), (true, 1, 0));
        }
    }

    #[test]
    fn a_job_that_comes_or_goes_between_two_pages_is_neither_missed_nor_counted_twice() {
        let server = Sky { page_size: "10", ..sky(jobs(1..26, "RUNNING")) };
        let comes: fn(usize, &mut Vec<Value>) = |page, rows| {
            if page == 2 {
                rows.append(&mut jobs(500..501, "RUNNING"));
            }
        };
        let outcome = Sky { change: comes, ..server.clone() }.run();
        assert_eq!((outcome.value("skypilot.jobs.runtime_buckets.0_1h"), outcome.requests.len()), (Some(25.0), 9));
        let goes: fn(usize, &mut Vec<Value>) = |page, rows| rows.truncate(if page == 1 { 25 } else { 24 });
        let outcome = Sky { change: goes, ..server }.run();
        assert_eq!((outcome.value("skypilot.jobs.runtime_buckets.0_1h"), outcome.fault), (Some(24.0), None));
    }

    #[test]
    fn a_queue_that_holds_less_than_it_promised_is_lost_as_a_whole() {
        let outcome = Sky { missing: 1, page_size: "10", ..sky(world(20)) }.run();
        assert_eq!((outcome.points.len(), outcome.gaps.len()), (1, 29));
        assert!(outcome.fault.unwrap().message.ends_with("page 3 has no new job after 18 of 19"));
    }

    #[test]
    fn a_state_of_a_release_to_come_is_asked_for_by_its_name() {
        let mut rows = world(20);
        rows.push(json!({"job_id": 90, "status": "HIBERNATING", "user_hash": "another"}));
        let (before, outcome) = (sky(world(20)).run(), sky(rows).run());
        for series in ["skypilot.jobs.queued", "skypilot.users.active_count"] {
            assert_eq!(outcome.value(series), before.value(series).map(|value| value + 1.0), "{series}");
        }
        assert_eq!(requests(&outcome), 7);
        assert!(outcome.log.iter().any(|(_, line)| line.contains("HIBERNATING")));
    }

    #[test]
    fn a_result_that_does_not_come_is_cancelled_by_its_id_alone() {
        let never = |_: usize, request: &Request| match request.path() {
            "/api/get" if request.query_value("request_id") == Some("0") => {
                Some(Ok(Response { status: 504, ..Response::default() }))
            }
            "/api/get" => Some(ok(&json!({"status": "RUNNING"}))),
            _ => None,
        };
        let outcome = Sky { disturb: Rc::new(never), ..sky(world(9)) }.run();
        let cancels = outcome.requests.iter().filter(|request| request.path() == "/api/cancel");
        let bodies: Vec<Value> = cancels.map(Request::body_json).collect();
        assert_eq!(bodies, [json!({"request_ids": ["0"]}), json!({"request_ids": ["2"]})]);
        assert_eq!((outcome.requests.len(), outcome.gaps.len()), (1 + 3 + 2 + POLLS_MAX, 30));
        assert_eq!(outcome.fault.unwrap().reason, Reason::Timeout);
    }

    #[test]
    fn a_server_is_spoken_to_in_the_lower_of_both_versions() {
        for (api_version, said) in [(json!("62"), 62), (json!(70), 62), (json!("59"), 59), (Value::Null, 62)] {
            let outcome = Sky { api_version, ..sky(world(3)) }.run();
            let headers = format!(r#"[("X-SkyPilot-API-Version", "{said}"), ("X-SkyPilot-Version", "0.14.1")"#);
            assert!(outcome.requests.iter().skip(1).all(|request| format!("{request:?}").contains(&headers)));
        }
    }
}
