//! Everything that a collector said and asked in one run, and its text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::http::Request;
use crate::log::Level;
use crate::workloads::{Failure, JobRun};
use crate::{Fault, Gap, Point};

/// What came of a run in a testing [`World`](super::World).
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub points: Vec<Point>,
    pub gaps: Vec<Gap>,
    pub fault: Option<Fault>,
    pub requests: Vec<Request>,
    pub log: Vec<(Level, String)>,
    /// Finished job runs that were reported.
    pub runs: Vec<JobRun>,
    /// Failures that were reported.
    pub failures: Vec<Failure>,
    /// Exchanges of the fixture that nobody asked for.
    pub left: Vec<String>,
    /// The series of the manifest that exist under the world's settings.
    pub declared: BTreeSet<String>,
}

impl Outcome {
    /// The value of a series' only point.
    pub fn value(&self, series: &str) -> Option<f64> {
        let mut values = self.points.iter().filter(|p| p.series == series).map(|p| p.value);
        values.next().filter(|_| values.next().is_none())
    }

    /// Why a series has no value.
    pub fn gap(&self, series: &str) -> Option<&str> {
        self.gaps.iter().find(|g| g.series == series).map(|g| g.reason.as_str())
    }

    /// Declared series that are neither a point nor a gap: forgotten.
    pub fn forgotten(&self) -> Vec<&str> {
        let said =
            |name: &str| self.points.iter().any(|p| p.series == name) || self.gaps.iter().any(|g| g.series == name);
        self.declared.iter().map(String::as_str).filter(|name| !said(name)).collect()
    }

    /// A gap's reason; where it is the fault's own message, only that it is.
    fn short_reason<'a>(&'a self, gap: &'a Gap) -> &'a str {
        let is_the_fault = self.fault.as_ref().is_some_and(|fault| fault.message == gap.reason);
        if is_the_fault { "(the fault)" } else { &gap.reason }
    }

    /// The golden text: fault, points, gaps, requests, log; each sorted, as the order in which they came says nothing.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(fault) = &self.fault {
            let blame = format!("{:?}", fault.blame).to_lowercase();
            let _ = writeln!(text, "fault {blame} {}: {}\n", fault.reason.word(), fault.message);
        }
        let tags = |p: &Point| if p.tags.is_empty() { String::new() } else { format!("{{{}}}", p.tags.join(",")) };
        section(&mut text, "points", self.points.iter().map(|p| format!("{}{} {}", p.series, tags(p), p.value)));
        section(&mut text, "gaps", self.gaps.iter().map(|g| format!("{}: {}", g.series, self.short_reason(g))));
        section(&mut text, "job runs", self.runs.iter().map(run_line));
        section(&mut text, "failures", self.failures.iter().map(failure_line));
        section(&mut text, "requests", self.requests.iter().map(Request::golden_line));
        section(&mut text, "log", self.log.iter().map(|(level, line)| format!("{level:?}: {line}")));
        text
    }
}

fn run_line(run: &JobRun) -> String {
    let JobRun { id, job, schedule, project, image, node, gpus, started, ended, ending, reason } = run;
    let started = started.map_or_else(|| "?".into(), |t| t.to_string());
    format!(
        "{id} {ending:?}{} {project}/{job}{}{}{} {gpus} GPUs, {started} to {ended}",
        shown(": ", reason.as_ref()),
        shown(" of ", schedule.as_ref()),
        shown(" on ", node.as_ref()),
        shown(" with ", image.as_ref()),
    )
}

fn failure_line(failure: &Failure) -> String {
    let parts = [
        shown(" of ", failure.schedule.as_ref()),
        shown(" run ", failure.run_id.as_ref()),
        shown(" pod ", failure.pod.as_ref()),
        shown(" container ", failure.container.as_ref()),
        shown(" on ", failure.node.as_ref()),
        shown(" with ", failure.image.as_ref()),
        shown(" phase ", failure.phase.as_ref()),
        format!(" {} GPUs", failure.gpus),
        shown(" cpu ", failure.cpu_request.as_ref()),
        shown(" memory ", failure.memory_request.as_ref()),
        shown(" job ", failure.job_ending.map(|ending| format!("{ending:?}")).as_ref()),
        shown(" message ", failure.message.as_ref().map(|text| format!("{text:?}")).as_ref()),
        shown(" logs ", failure.logs.as_ref().map(|text| format!("{text:?}")).as_ref()),
        shown(" events ", failure.events.as_ref().map(|text| format!("{text:?}")).as_ref()),
    ];
    let Failure { id, failure_type, project, job, at, .. } = failure;
    format!("{id} {failure_type} {project}/{job} at {at}{}", parts.concat())
}

fn shown(before: &str, value: Option<&String>) -> String {
    value.map(|value| format!("{before}{value}")).unwrap_or_default()
}

fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let mut lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        return;
    }
    lines.sort();
    let _ = writeln!(text, "{title} ({})", lines.len());
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
}

impl Request {
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    pub fn method(&self) -> &str {
        self.method
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value of a header; its name as it was given.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The value of a query parameter.
    pub fn query_value(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The body as JSON; null where there is none or it is something else.
    pub fn body_json(&self) -> serde_json::Value {
        self.body.as_deref().and_then(|b| serde_json::from_slice(b).ok()).unwrap_or_default()
    }

    fn golden_line(&self) -> String {
        let query: Vec<String> = self.query.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let body = match (self.body_json(), &self.body) {
            // A GraphQL document is long and the same each time; its name and variables say what was asked.
            (serde_json::Value::Object(o), _) if o.contains_key("query") => {
                let name = o["query"].as_str().and_then(|q| q.split(['(', '{']).next()).unwrap_or_default();
                let variables = o.get("variables").and_then(serde_json::Value::as_object).into_iter().flatten();
                let said: BTreeMap<_, _> = variables.filter(|(_, value)| !value.is_null()).collect();
                format!(" {} {}", name.trim(), serde_json::json!(said))
            }
            (serde_json::Value::Null, None) => String::new(),
            (serde_json::Value::Null, Some(body)) => format!(" {} bytes", body.len()),
            (json, _) => format!(" {json}"),
        };
        format!("{} {} {}{query}{body}", self.upstream, self.method, self.path)
    }
}
