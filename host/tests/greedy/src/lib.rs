//! A collector that imports every capability, and asks for more than it may.

use std::time::Duration;

use collector_sdk::kubernetes::{LogQuery, Query, Resource};
use collector_sdk::workloads::{Ending, Failure, JobRun};
use collector_sdk::{Collector, Fault, Sheet, ec2, emit, kubernetes, last_values, now, settings, workloads};

pub struct Greedy;

impl Collector for Greedy {
    async fn collect() -> Result<(), Fault> {
        let act = settings::text("act")?;
        let number: usize = settings::parsed("number")?;
        match act.as_str() {
            "values" => values().await,
            "pods" => count(kubernetes::list::<Object>(Query::all(Resource::Pods)).await?.len()),
            "secrets" => {
                let pods = kubernetes::list::<Noted>(Query::all(Resource::Pods)).await?;
                count(pods.iter().filter(|pod| pod.note.contains("demo-secret")).count())
            }
            "nodes" => count(kubernetes::list::<Object>(Query::all(Resource::Nodes)).await?.len()),
            "logs" => count(kubernetes::logs(log()).await?.len()),
            "summary" => kubernetes::summary::<Object>("n1").await.and_then(|_| count(1)),
            "instances" => count(ec2::instances().await?.len()),
            "runs" => {
                count(1)?;
                workloads::report_runs((0..number).map(run).collect())
            }
            "failures" => {
                workloads::report_failures((0..number).map(failure).collect())?;
                count(number)
            }
            "remembered" => {
                let since = now() - Duration::from_secs(24 * 3600);
                let ids: Vec<String> = (0..number).map(|n| failure(n).id).collect();
                let known = workloads::known(&ids).await.into_iter().filter(|known| *known).count();
                count(workloads::failures_since(since).await.len() * 100 + known)
            }
            _ => Err(Fault::setting(format!("no act is called {act}"))),
        }
    }
}

collector_sdk::export!(Greedy);

/// Whatever an object has, nothing of it is kept.
struct Object;

impl<'de> serde::Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Object, D::Error> {
        serde::de::IgnoredAny::deserialize(from).map(|_| Object)
    }
}

/// A pod that somebody wrote something into.
#[derive(serde::Deserialize)]
struct Noted {
    note: String,
}

fn count(number: usize) -> Result<(), Fault> {
    let mut sheet = Sheet::default();
    sheet.count("greedy.count", number);
    emit(sheet)
}

async fn values() -> Result<(), Fault> {
    let names = ["greedy.count", "hostile.status", "hostile.bytes", "nobody.knows"];
    let answer = last_values::get(&names, Duration::from_secs(3600)).await;
    let mut sheet = Sheet::default();
    for (series, value) in &answer.values {
        let tags = vec![format!("series:{series}"), format!("source:{:?}", value.source).to_lowercase()];
        sheet.put_tagged("greedy.value", value.value, tags);
    }
    sheet.gap("greedy.count", answer.problem.unwrap_or_else(|| "no problem".into()));
    emit(sheet)
}

fn log() -> LogQuery {
    LogQuery {
        namespace: "default".into(),
        pod: "p".into(),
        container: None,
        previous: false,
        tail_lines: 1,
        limit_bytes: 100,
    }
}

fn run(n: usize) -> JobRun {
    JobRun {
        id: format!("run-{n}"),
        job: "train".into(),
        schedule: None,
        project: "ml".into(),
        image: None,
        node: None,
        gpus: 1.0,
        started: None,
        ended: now(),
        ending: Ending::Succeeded,
        reason: None,
    }
}

fn failure(n: usize) -> Failure {
    Failure {
        id: format!("failure-{n}"),
        run_id: None,
        job: "train".into(),
        schedule: None,
        project: "ml".into(),
        failure_type: "Error".into(),
        phase: None,
        at: now(),
        pod: None,
        container: None,
        node: None,
        image: None,
        message: Some("the key demo-secret-0123456789 was in the log".into()),
        logs: (n == 0).then(|| "the key demo-secret-0123456789 again".into()),
        events: None,
        gpus: 1.0,
        cpu_request: None,
        memory_request: None,
        job_ending: None,
    }
}
