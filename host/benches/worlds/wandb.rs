//! A W&B project of 26,000 runs by its GraphQL: filters, counts, pages, and of a summary the keys that are asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::server::{Answer, Request, Upstream, page};
use super::time::seconds_ago;
use super::world::{Figure, World, figure};

const RUNS: usize = 26_000;
/// A run every so many seconds: 1,310 in a day, 9,164 in a week.
const STEP_S: usize = 66;
const DAY_S: usize = 24 * 3600;
/// The most that W&B gives in a page.
const PAGE_MAX: usize = 1000;
const GPUS: usize = 8;
const SPEEDS: [&str; 5] = [
    "overview.steps_per_second",
    "overview.epoch_steps_per_second",
    "overview.sps",
    "timing_cumulative.sps",
    "timing_per_epoch.sps",
];

/// Every state, kind of name and key, and all optional series.
pub fn world() -> World {
    let runs: Vec<Run> = (0..RUNS).map(|number| Run { number }).collect();
    World {
        collector: "wandb",
        holds: vec![
            (RUNS, "runs"),
            (within(&runs, DAY_S).len(), "of the last day"),
            (within(&runs, 7 * DAY_S).len(), "of the last week, all with accuracy and loss"),
        ],
        plan,
        environment: &[("WANDB_API_KEY", "bench-key-0123456789"), ("WANDB_ENTITY", "acme"), ("WANDB_PROJECT", "arena")],
        is_remembered: false,
        figures: figures(&runs),
        upstream: Arc::new(Server { runs, found: Mutex::default() }),
    }
}

fn plan(address: &str) -> String {
    format!(
        "[upstream.wandb]\nbase_url = 'http://{address}'\nallow_addresses = ['loopback']\n[collector.wandb.settings]\n\
         accuracy_key = 'eval/accuracy'\nloss_key = 'losses/total'\ngpu_key = 'system.gpu.*.gpu'\n"
    )
}

/// A run; all of it follows from its age.
struct Run {
    number: usize,
}

impl Run {
    fn age_s(&self) -> usize {
        self.number * STEP_S
    }

    /// Only young runs run, as in real life.
    fn state(&self) -> &'static str {
        let states = ["finished", "running", "finished", "failed", "crashed", "killed", "finished"];
        if self.number > 1_400 && self.number % 7 == 1 { "preempted" } else { states[self.number % 7] }
    }

    fn failed(&self) -> bool {
        matches!(self.state(), "failed" | "crashed")
    }

    fn name(&self) -> String {
        let n = self.number;
        match n % 3 {
            0 => format!("github.sky.main.{n:09x}.recipes-arena_basic_easy_shaped.20251024_{n:06}"),
            1 => format!("ak.sweep_multi_gpu_params.v5_trial_{n:05}_563d62"),
            _ => format!("local.acme.{n}"),
        }
    }

    fn is_sweep(&self) -> bool {
        self.number % 3 == 1
    }

    /// Hours from creation to the last heartbeat.
    fn hours(&self) -> f64 {
        self.heartbeat_s() as f64 / 3600.0
    }

    fn heartbeat_s(&self) -> usize {
        (60 * (self.number % 300)).min(self.age_s())
    }

    fn field(&self, name: &str) -> Value {
        match name {
            "createdAt" => json!(seconds_ago(self.age_s() as i64)),
            "state" => json!(self.state()),
            // Every run of the project has them.
            _ => json!(1),
        }
    }

    fn summary(&self, key: &str) -> f64 {
        match key {
            "eval/accuracy" => 0.25 + (self.number % 100) as f64 / 200.0,
            "losses/total" => 2.5 - (self.number % 100) as f64 / 50.0,
            _ => 30_000.5 + self.number as f64,
        }
    }

    fn gpu_percent(&self, gpu: usize) -> usize {
        (self.number + 7 * gpu) % 101
    }

    /// A hundred numbers, as W&B's agent takes them.
    fn system_metrics(&self) -> String {
        let gauges = [
            "gpu",
            "memory",
            "temp",
            "powerWatts",
            "powerPercent",
            "memoryAllocated",
            "smClock",
            "memoryClock",
            "fanSpeed",
            "enforcedPowerLimitWatts",
        ];
        let of_gpu = |gpu: usize| {
            gauges.map(|gauge| {
                let value = if gauge == "gpu" { self.gpu_percent(gpu) as f64 } else { 61.25 + gpu as f64 };
                (format!("system.gpu.{gpu}.{gauge}"), json!(value))
            })
        };
        let rest = (0..20).map(|core| (format!("system.cpu.{core}.cpu_percent"), json!(17.5)));
        let metrics: Map<String, Value> = (0..GPUS).flat_map(of_gpu).chain(rest).collect();
        Value::Object(metrics).to_string()
    }

    fn node(&self, asked: &Asked) -> Value {
        let sweep = self.is_sweep().then(|| format!("sweep{}", self.number % 40));
        let mut node = json!({
            "id": format!("UnVuOnYxOnI{:07}OmFyZW5hOmFjbWU=", self.number), "name": format!("r{:07}", self.number),
            "displayName": self.name(), "state": self.state(), "sweepName": sweep,
            "createdAt": seconds_ago(self.age_s() as i64),
            "heartbeatAt": seconds_ago((self.age_s() - self.heartbeat_s()) as i64).trim_end_matches('Z'),
        });
        if asked.has_system {
            node["systemMetrics"] = self.system_metrics().into();
        }
        if let Some(keys) = &asked.summary_keys {
            let summary: Map<String, Value> = keys.iter().map(|key| (key.clone(), json!(self.summary(key)))).collect();
            node["summaryMetrics"] = Value::Object(summary).to_string().into();
        }
        node
    }
}

/// Which numbers of a run a query wants.
struct Asked {
    has_system: bool,
    summary_keys: Option<Vec<String>>,
}

impl Asked {
    fn read(query: &str) -> Asked {
        let keys = query.split_once("summaryMetrics(keys: ").and_then(|(_, rest)| rest.split_once(')'));
        let summary_keys = keys.and_then(|(keys, _)| serde_json::from_str(keys).ok());
        Asked { has_system: query.contains("systemMetrics"), summary_keys }
    }
}

struct Server {
    runs: Vec<Run>,
    /// What each filter selects, in the order of creation: every page asks for it anew.
    found: Mutex<HashMap<String, Arc<Vec<usize>>>>,
}

impl Upstream for Server {
    fn answer(&self, request: &Request) -> Option<Answer> {
        let body = request.json();
        let (query, variables) = (body["query"].as_str()?, &body["variables"]);
        if request.path != "/graphql" || variables["project"] != "arena" || variables["entity"] != "acme" {
            return None;
        }
        let found = self.find(variables["filters"].as_str()?)?;
        let start = variables["cursor"].as_str().map_or(Some(0), |cursor| cursor.parse().ok())?;
        let size = usize::try_from(variables["perPage"].as_u64()?).ok()?.min(PAGE_MAX);
        let (rows, next) = page(&found, start, size);
        let asked = Asked::read(query);
        let edge = |(n, run): (usize, &usize)| {
            json!({
                "node": self.runs[*run].node(&asked), "cursor": (start + n + 1).to_string(),
            })
        };
        let edges: Vec<Value> = rows.iter().enumerate().map(edge).collect();
        let page_info = json!({"endCursor": (start + rows.len()).to_string(), "hasNextPage": next.is_some()});
        let mut project = json!({"runCount": found.len(), "runs": {"edges": edges, "pageInfo": page_info}});
        for alias in ["completed7d", "failed7d"] {
            if let Some(filter) = variables[alias].as_str() {
                project[alias] = self.find(filter)?.len().into();
            }
        }
        Some(Answer::json(json!({"data": {"project": project}})))
    }
}

impl Server {
    fn find(&self, filter: &str) -> Option<Arc<Vec<usize>>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runs) = found.get(filter) {
            return Some(runs.clone());
        }
        let read: Value = serde_json::from_str(filter).ok()?;
        let runs = self.runs.iter().rev().filter(|run| passes(run, &read)).map(|run| run.number).collect();
        Some(found.entry(filter.to_owned()).or_insert(Arc::new(runs)).clone())
    }
}

/// W&B's filter language, as far as it is used.
fn passes(run: &Run, filter: &Value) -> bool {
    filter.as_object().into_iter().flatten().all(|(key, wanted)| {
        let parts = || wanted.as_array().into_iter().flatten();
        match key.as_str() {
            "$and" => parts().all(|part| passes(run, part)),
            "$or" => parts().any(|part| passes(run, part)),
            _ if wanted["$exists"] == true => !run.field(key).is_null(),
            _ if wanted["$in"].is_array() => wanted["$in"].as_array().is_some_and(|all| all.contains(&run.field(key))),
            _ if wanted["$gte"].is_string() => run.field(key).as_str() >= wanted["$gte"].as_str(),
            _ => run.field(key) == *wanted,
        }
    })
}

fn within(runs: &[Run], age_s: usize) -> Vec<&Run> {
    runs.iter().filter(|run| run.age_s() <= age_s).collect()
}

fn figures(runs: &[Run]) -> Vec<Figure> {
    let (day, week) = (within(runs, DAY_S), within(runs, 7 * DAY_S));
    let active: Vec<&Run> = runs.iter().filter(|run| run.state() == "running").collect();
    let older = active.iter().filter(|run| run.age_s() > DAY_S).count();
    let sweeps: Vec<&Run> = day.iter().copied().filter(|run| run.is_sweep()).collect();
    let pushes: Vec<&Run> = day.iter().copied().filter(|run| run.number.is_multiple_of(3)).collect();
    let finished = |runs: &[&Run]| runs.iter().filter(|run| run.state() == "finished").count();
    let failed = |runs: &[&Run]| runs.iter().filter(|run| run.failed()).count();
    let rate = |runs: &[&Run]| 100.0 * finished(runs) as f64 / (finished(runs) + failed(runs)) as f64;
    let hours = |runs: &[&Run]| runs.iter().map(|run| run.hours()).sum::<f64>();
    let accuracy: f64 = week.iter().map(|run| run.summary("eval/accuracy")).sum();
    let gpu_percent: usize = active.iter().map(|run| (0..GPUS).map(|gpu| run.gpu_percent(gpu)).sum::<usize>()).sum();
    let mut figures = vec![
        figure("wandb.runs.active", active.len()),
        figure("wandb.runs.completed_24h", finished(&day)),
        figure("wandb.runs.failed_24h", failed(&day)),
        figure("wandb.runs.total_recent", day.len() + older),
        figure("wandb.runs.completed_7d", finished(&week)),
        figure("wandb.runs.failed_7d", failed(&week)),
        figure("wandb.training.avg_duration_hours", hours(&day) / day.len() as f64),
        figure("wandb.training.total_gpu_hours_24h", hours(&day)),
        figure("wandb.push_to_main.runs_completed_24h", finished(&pushes)),
        figure("wandb.push_to_main.runs_failed_24h", failed(&pushes)),
        figure("wandb.push_to_main.success_rate_pct", rate(&pushes)),
        figure("wandb.push_to_main.avg_duration_hours", hours(&pushes) / pushes.len() as f64),
        figure("wandb.sweep.runs_total_24h", sweeps.len()),
        figure("wandb.sweep.runs_completed_24h", finished(&sweeps)),
        figure("wandb.sweep.runs_failed_24h", failed(&sweeps)),
        figure("wandb.sweep.runs_active", active.iter().filter(|run| run.is_sweep()).count()),
        figure("wandb.sweep.success_rate_pct", rate(&sweeps)),
        figure("wandb.metrics.best_accuracy", 0.25 + 99.0 / 200.0),
        figure("wandb.metrics.avg_accuracy_7d", accuracy / week.len() as f64),
        figure("wandb.metrics.latest_loss", runs[0].summary("losses/total")),
        figure("wandb.training.gpu_utilization_avg", gpu_percent as f64 / (GPUS * active.len()) as f64),
    ];
    // The newest run of all is a push to main, and finished.
    let speeds = SPEEDS.map(|speed| figure(format!("wandb.push_to_main.{speed}"), runs[0].summary(speed)));
    figures.extend(speeds);
    figures
}
