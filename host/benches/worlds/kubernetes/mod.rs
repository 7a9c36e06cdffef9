//! The API server of a large cluster, for the collectors `kubernetes` and `batch`.
//!
//! [`cluster`] says what there is, [`pods`], [`work`] and [`usage`] write it as JSON, [`figures`] counts it.

mod cluster;
mod figures;
mod metadata;
mod pods;
mod usage;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::server::{Answer, Request, Upstream, join, page};
use super::world::{Figure, World};
use cluster::{CRON_JOBS, Cluster, DEPLOYMENTS, EVENTS, NODES};

/// The pods, for `kubernetes`.
pub fn pods() -> World {
    let cluster = Cluster::large();
    let holds = vec![
        (cluster.pods.len(), "pods"),
        (cluster.pods.len(), "of them with usage"),
        (NODES, "nodes"),
        (DEPLOYMENTS, "deployments"),
    ];
    let lists = BTreeMap::from([pods::list(&cluster), usage::list(&cluster), work::list_deployments()]);
    let figures = figures::of_pods(&cluster);
    world("kubernetes", holds, false, Server { lists, summaries: BTreeMap::new() }, figures)
}

/// The same pods and the work that most of them are of, for `batch`.
pub fn batch() -> World {
    let cluster = Cluster::large();
    batch_world(&cluster, work::list_jobs(&cluster.jobs), false, figures::of_batch(&cluster))
}

/// The same once more, when the state remembers the day.
pub fn batch_again() -> World {
    let cluster = Cluster::large();
    let mut world = batch_world(&cluster, work::list_jobs(&cluster.jobs), true, figures::of_batch(&cluster));
    world.holds.push((1, "cycle before, remembered"));
    world
}

/// The same, but all Jobs were deleted without their pods: of their ends only events tell.
pub fn batch_jobs_gone() -> World {
    let cluster = Cluster::large();
    batch_world(&cluster, work::list_jobs(&[]), false, figures::of_batch_without_jobs(&cluster))
}

fn batch_world(cluster: &Cluster, jobs: List, is_remembered: bool, figures: Vec<Figure>) -> World {
    let holds = vec![
        (cluster.pods.len(), "pods"),
        (NODES, "nodes"),
        (jobs.1.objects.len(), "jobs"),
        (CRON_JOBS, "CronJobs"),
        (EVENTS, "events"),
    ];
    let lists = BTreeMap::from([
        pods::list(cluster),
        usage::list(cluster),
        jobs,
        work::list_cron_jobs(),
        work::list_events(cluster),
    ]);
    let server = Server { lists, summaries: usage::summaries(cluster) };
    world("batch", holds, is_remembered, server, figures)
}

fn world(
    collector: &'static str,
    holds: Vec<(usize, &'static str)>,
    is_remembered: bool,
    server: Server,
    figures: Vec<Figure>,
) -> World {
    World { collector, holds, plan, environment: &[], is_remembered, upstream: Arc::new(server), figures }
}

fn plan(address: &str) -> String {
    format!("[kubernetes]\nserver = 'http://{address}'\n[sink.stdout]\n")
}

/// A list of the API: path, kind, version of its group, objects as JSON.
type List = (&'static str, Listed);

struct Listed {
    kind: &'static str,
    version: &'static str,
    objects: Vec<String>,
    /// The metrics server gives all at once, whatever is asked (kubernetes-sigs/metrics-server, pkg/api/pod.go).
    is_paged: bool,
}

struct Server {
    lists: BTreeMap<&'static str, Listed>,
    /// By node.
    summaries: BTreeMap<String, String>,
}

impl Upstream for Server {
    fn answer(&self, request: &Request) -> Option<Answer> {
        if let Some(list) = self.lists.get(request.path.as_str()) {
            return Some(list.answer(request));
        }
        match request.path.split('/').collect::<Vec<_>>()[..] {
            ["", "api", "v1", "nodes", node, "proxy", "stats", "summary"] => {
                Some(Answer::json(self.summaries.get(node)?))
            }
            ["", "api", "v1", "namespaces", _, "pods", pod, "log"] => Some(Answer::of("text/plain", write_log(pod))),
            _ => None,
        }
    }
}

impl Listed {
    fn answer(&self, request: &Request) -> Answer {
        let size = request.query.number("limit").filter(|_| self.is_paged).unwrap_or(usize::MAX);
        let (objects, next) = page(&self.objects, request.query.number("continue").unwrap_or(0), size);
        let metadata = match next {
            Some(next) => {
                let left = self.objects.len() - next;
                format!(r#"{{"resourceVersion":"81442907","continue":"{next}","remainingItemCount":{left}}}"#)
            }
            None => r#"{"resourceVersion":"81442907"}"#.to_owned(),
        };
        let Listed { kind, version, .. } = self;
        let objects = join(objects);
        Answer::json(format!(
            r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{metadata},"items":[{objects}]}}"#
        ))
    }
}

/// The last lines of a container that failed.
fn write_log(pod: &str) -> String {
    let line = |n: usize| {
        format!(
            "2025-10-24T09:13:{n:02}.481Z ERROR {pod} step {n}: CUDA out of memory, tried to allocate 2 GiB; retrying\n"
        )
    };
    (0..50).map(line).collect()
}
