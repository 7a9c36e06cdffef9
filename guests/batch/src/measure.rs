//! What the cluster's batch work amounts to: pure, rows in, a sheet, runs and failures out. Every formula stands here.
//!
//! [`runs`] says which jobs ended, [`owners`] which CronJob something is of, [`tags`] how many of them have tags of their own,
//! [`counts`] counts them, [`figures`] and [`usage`] say it, [`causes`] says why a pod failed, [`failures`] what is reported of it.

mod causes;
mod counts;
mod failures;
mod figures;
mod owners;
mod runs;
mod tags;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::{BTreeMap, BTreeSet};

use collector_sdk::Timestamp;
use collector_sdk::workloads::JobRun;

use self::owners::Owners;
use self::runs::{find_ended, select_new, select_window};
use self::tags::{Budget, Group};
use crate::api::pods::{Phase, Pod};
use crate::api::{Cluster, Memory, Settings};

pub use self::failures::{fill_in_logs, find_failures, list_ids, select_logs, select_news};
pub use self::figures::measure_counts;
pub use self::usage::measure_usage;

/// All that figures and failures are made from.
#[derive(Debug)]
pub struct Picture<'a> {
    pub settings: &'a Settings,
    pub cluster: &'a Cluster,
    pub memory: &'a Memory,
    pub now: Timestamp,
    /// The window begins here.
    pub since: Timestamp,
    /// Jobs whose end the cluster shows, as an object or by events; none where it does not list its Jobs.
    ended: Vec<JobRun>,
    owners: Owners<'a>,
    /// Jobs of each group that there is.
    groups: BTreeMap<Group, usize>,
    budget: Budget,
}

impl<'a> Picture<'a> {
    /// Puts it together.
    pub fn of(settings: &'a Settings, cluster: &'a Cluster, memory: &'a Memory, now: Timestamp) -> Picture<'a> {
        let since = settings.window_start(now);
        let owners = Owners::of(cluster, memory);
        let ended = find_ended(cluster, memory, &owners);
        let (groups, budget) = (BTreeMap::new(), Budget::default());
        let mut picture = Picture { settings, cluster, memory, now, since, ended, owners, groups, budget };
        picture.groups = counts::count_jobs(&picture);
        picture.budget = Budget::of(&picture.groups, settings.max_cronjobs);
        picture
    }

    /// The pods, or none where they could not be listed.
    fn pods(&self) -> &'a [Pod] {
        self.cluster.pods.as_deref().unwrap_or_default()
    }

    /// The runs to report: those that the host does not know as they are.
    pub fn list_new_runs(&self) -> Vec<JobRun> {
        select_new(&self.ended, &self.memory.runs).into_iter().cloned().collect()
    }

    /// The runs of the window, each once: those that the cluster shows and those that the host remembers.
    fn window(&self) -> Vec<&JobRun> {
        select_window(&self.ended, &self.memory.runs, self.since)
    }

    fn group_of(&self, pod: &Pod) -> Group {
        Group::new(&pod.id.namespace, self.owners.find_schedule(&pod.id.namespace, &pod.job).as_deref())
    }

    fn is_in_window(&self, at: Option<Timestamp>) -> bool {
        at.is_some_and(|at| at >= self.since)
    }
}

/// The nodes on which pods of Jobs run now, each once.
pub fn select_nodes(picture: &Picture<'_>) -> Vec<String> {
    let running = picture.pods().iter().filter(|pod| pod.phase == Phase::Running);
    let nodes: BTreeSet<&String> = running.filter_map(|pod| pod.node.as_ref()).collect();
    nodes.into_iter().cloned().collect()
}
