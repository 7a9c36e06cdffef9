//! A SkyPilot API server with a long queue of managed jobs: a POST notes a request down, `/api/get` gives its result.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::server::{Answer, Request, Upstream, page};
use super::time::NOW_S;
use super::world::{Figure, World, figure};

/// All managed jobs. Three of five have succeeded or were cancelled; they are only counted, the other 20,000 are read.
const JOBS: usize = 50_000;
const CLUSTERS: usize = 400;
const DAY_S: usize = 24 * 3600;

pub fn world() -> World {
    let jobs: Vec<Job> = (0..JOBS).rev().map(|number| Job { number }).collect();
    let read = jobs.iter().filter(|job| !job.is_only_counted()).count();
    World {
        collector: "skypilot",
        holds: vec![(read, "jobs to be read"), (JOBS - read, "jobs to be counted"), (CLUSTERS, "clusters")],
        plan: |address| format!("[upstream.skypilot]\nbase_url = 'http://{address}'\nallow_addresses = ['loopback']\n"),
        environment: &[("SKYPILOT_SERVICE_ACCOUNT_TOKEN", "sky_bench-token-0123456789")],
        is_remembered: false,
        figures: figures(&jobs),
        upstream: Arc::new(Server { jobs, submitted: Mutex::default() }),
    }
}

/// A managed job of one task; all of it follows from its number.
struct Job {
    number: usize,
}

impl Job {
    fn status(&self) -> &'static str {
        match (self.number % 5, self.number / 5 % 20) {
            (0 | 1, _) => "SUCCEEDED",
            (2, _) => "CANCELLED",
            (_, 0 | 1) => "RUNNING",
            (_, 2) => "PENDING",
            (_, 3) => "RECOVERING",
            (_, 4) => "FAILED_SETUP",
            (_, 5) => "FAILED_NO_RESOURCE",
            _ => "FAILED",
        }
    }

    fn is_only_counted(&self) -> bool {
        matches!(self.status(), "SUCCEEDED" | "CANCELLED")
    }

    fn is_running(&self) -> bool {
        self.status() == "RUNNING"
    }

    /// None where it goes on.
    fn ended_s(&self) -> Option<usize> {
        let goes_on = matches!(self.status(), "RUNNING" | "PENDING" | "RECOVERING");
        (!goes_on).then(|| (JOBS - self.number) * 120)
    }

    fn duration_s(&self) -> f64 {
        10.5 + (self.number * 7 % 200_000) as f64
    }

    fn recoveries(&self) -> usize {
        self.number % 4
    }

    fn user(&self) -> String {
        format!("{:08x}", 0x5f2a_0000 + self.number % 60)
    }

    fn is_spot(&self) -> bool {
        self.number.is_multiple_of(2)
    }

    fn region(&self) -> &'static str {
        ["us-east-1", "us-west-2", "us-central1"][self.number % 3]
    }

    fn nodes(&self) -> usize {
        1 + self.number % 4
    }

    fn accelerator(&self) -> (&'static str, usize) {
        [("H100", 8), ("L4", 1), ("A10G", 4), ("L40S", 2)][self.number % 4]
    }

    fn row(&self, fields: &Value) -> Value {
        let (nodes, (kind, count)) = (self.nodes(), self.accelerator());
        let spot = if self.is_spot() { "[spot]" } else { "" };
        let has_place = self.is_running();
        let place = || format!("{nodes}x{spot}(gpus={kind}:{count}, p5.48xlarge, ...)");
        let mut row = json!({
            "job_id": self.number, "task_id": 0, "job_name": format!("train-arena-{}", self.number),
            "status": self.status(),
            "job_duration": self.duration_s(), "end_at": self.ended_s().map(|s| NOW_S as f64 - s as f64),
            "recovery_count": self.recoveries(), "user_hash": self.user(),
            "user_name": format!("user{}", self.number % 60),
            "region": if has_place { self.region() } else { "-" },
            "cluster_resources": if has_place { place() } else { "-".into() },
            "resources": format!("{nodes}x[{kind}:{count}]"), "accelerators": {kind: count},
        });
        if let (Some(row), Some(fields)) = (row.as_object_mut(), fields.as_array()) {
            row.retain(|name, _| fields.iter().any(|field| field == name));
        }
        row
    }
}

struct Server {
    /// The newest first.
    jobs: Vec<Job>,
    /// What was asked for, by the id of the request.
    submitted: Mutex<Vec<(String, Value)>>,
}

impl Upstream for Server {
    fn answer(&self, request: &Request) -> Option<Answer> {
        match request.path.as_str() {
            "/api/health" => Some(Answer::json(
                json!({"status": "healthy", "api_version": "62", "version": "0.14.1", "commit": "4f1c0b7e"}),
            )),
            "/status" | "/jobs/queue/v2" => {
                let mut submitted = self.submitted.lock().unwrap_or_else(PoisonError::into_inner);
                submitted.push((request.path.clone(), request.json()));
                Some(Answer::json("null").with("x-skypilot-request-id", (submitted.len() - 1).to_string()))
            }
            "/api/get" => {
                let number = request.query.number("request_id")?;
                let (path, body) = self.submitted.lock().unwrap_or_else(PoisonError::into_inner).get(number)?.clone();
                let result =
                    if path == "/status" { (0..CLUSTERS).map(cluster).collect() } else { self.read_queue(&body)? };
                Some(Answer::json(json!({
                    "request_id": number.to_string(), "name": "sky.request", "status": "SUCCEEDED",
                    "return_value": result.to_string(), "error": "null",
                })))
            }
            _ => None,
        }
    }
}

impl Server {
    fn read_queue(&self, body: &Value) -> Option<Value> {
        let number = |key: &str| usize::try_from(body[key].as_u64()?).ok();
        let is_asked =
            |job: &&Job| body["statuses"].as_array().is_none_or(|all| all.iter().any(|one| one == job.status()));
        let asked: Vec<&Job> = self.jobs.iter().filter(is_asked).collect();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for job in &self.jobs {
            *counts.entry(job.status()).or_default() += 1;
        }
        let size = number("limit")?;
        let (rows, _) = page(&asked, (number("page")? - 1) * size, size);
        let rows: Vec<Value> = rows.iter().map(|job| job.row(&body["fields"])).collect();
        Some(json!({"jobs": rows, "total": asked.len(), "total_no_filter": self.jobs.len(), "status_counts": counts}))
    }
}

/// Half of them are up.
fn cluster(number: usize) -> Value {
    let status = if number.is_multiple_of(2) { "UP" } else { "STOPPED" };
    json!({
        "name": format!("dev-{number}"), "status": status, "user_name": "alice", "workspace": "default", "nodes": 1,
        "region": "us-east-1", "accelerators": "{'L4': 1}", "resources_str": "1x(gpus=L4:1, g6.2xlarge, ...)",
    })
}

fn figures(jobs: &[Job]) -> Vec<Figure> {
    let with = |statuses: &[&str]| jobs.iter().filter(|job| statuses.contains(&job.status())).count();
    let has_failed = |job: &&Job| job.status().starts_with("FAILED");
    let failed_lately = |job: &&Job| has_failed(job) && job.ended_s().is_some_and(|ended_s| ended_s <= 7 * DAY_S);
    let running: Vec<&Job> = jobs.iter().filter(|job| job.is_running()).collect();
    let count = |is_meant: &dyn Fn(&Job) -> bool| running.iter().filter(|job| is_meant(job)).count();
    let gpus = |kind: &str| {
        let of_kind = running.iter().filter(|job| kind.is_empty() || job.accelerator().0 == kind);
        of_kind.map(|job| job.nodes() * job.accelerator().1).sum::<usize>()
    };
    let mut users: Vec<String> = jobs.iter().filter(|job| job.ended_s().is_none()).map(Job::user).collect();
    users.sort();
    users.dedup();
    let seconds: f64 = running.iter().map(|job| job.duration_s()).sum();
    vec![
        figure("skypilot.clusters.active", CLUSTERS / 2),
        figure("skypilot.jobs.queued", with(&["PENDING", "RECOVERING"])),
        figure("skypilot.jobs.running", running.len()),
        figure("skypilot.jobs.failed", jobs.iter().filter(has_failed).count()),
        figure("skypilot.jobs.succeeded", with(&["SUCCEEDED"])),
        figure("skypilot.jobs.cancelled", with(&["CANCELLED"])),
        figure("skypilot.jobs.failed_7d", jobs.iter().filter(failed_lately).count()),
        figure("skypilot.jobs.runtime_seconds.avg", seconds / running.len() as f64),
        figure("skypilot.jobs.with_recoveries", count(&|job| job.recoveries() > 0)),
        figure("skypilot.resources.gpus.l4_count", gpus("L4")),
        figure("skypilot.resources.gpus.a10g_count", gpus("A10G")),
        figure("skypilot.resources.gpus.h100_count", gpus("H100")),
        figure("skypilot.resources.gpus.total_count", gpus("")),
        figure("skypilot.resources.spot_jobs", count(&Job::is_spot)),
        figure("skypilot.resources.ondemand_jobs", count(&|job| !job.is_spot())),
        figure("skypilot.regions.us_east_1", count(&|job| job.region() == "us-east-1")),
        figure("skypilot.regions.us_west_2", count(&|job| job.region() == "us-west-2")),
        figure("skypilot.regions.other", count(&|job| job.region() == "us-central1")),
        figure("skypilot.users.active_count", users.len()),
    ]
}
