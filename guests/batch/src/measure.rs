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

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use collector_sdk::workloads::JobRun;
use collector_sdk::{Fault, Timestamp};

use self::counts::{Table, Totals, count, count_all_jobs};
use self::owners::Owners;
use self::runs::{find_ended, select_new, select_window};
use self::tags::{Budget, Group};
use crate::api::events::Event;
use crate::api::pods::{Phase, Pod};
use crate::api::{Cluster, Memory, Settings};

pub use self::failures::{Seen, fill_in_logs, find_failures, list_ids, select_logs, select_news};
pub use self::figures::measure_counts;
pub use self::usage::measure_usage;

/// All that figures and failures are made from.
#[derive(Debug)]
pub struct Picture<'a> {
    pub settings: &'a Settings,
    pub cluster: &'a Cluster,
    pub memory: &'a Memory,
    /// Whether events could be listed.
    pub events: Result<(), Fault>,
    pub now: Timestamp,
    /// The window begins here.
    pub since: Timestamp,
    /// Jobs whose end the cluster shows, as an object or by events; none where it does not list its Jobs. What the host remembers
    /// as it is, is borrowed from there; the others are news.
    ended: Vec<Cow<'a, JobRun>>,
    owners: Owners<'a>,
    /// The figures of each group.
    counts: Table<Group>,
    totals: Totals,
    /// Jobs of each group that there is.
    groups: BTreeMap<Group, usize>,
    budget: Budget,
}

impl<'a> Picture<'a> {
    /// Puts it together.
    pub fn of(
        settings: &'a Settings,
        cluster: &'a Cluster,
        events: &Result<Vec<Event>, Fault>,
        memory: &'a Memory,
        now: Timestamp,
    ) -> Picture<'a> {
        let since = settings.window_start(now);
        let owners = Owners::of(cluster, memory);
        let ended = find_ended(cluster, events.as_deref().unwrap_or_default(), memory, &owners);
        let events = events.as_ref().map(|_| ()).map_err(Fault::clone);
        let (counts, totals) = (Table::new(), Totals::default());
        let (groups, budget) = (BTreeMap::new(), Budget::default());
        let mut picture =
            Picture { settings, cluster, memory, events, now, since, ended, owners, counts, totals, groups, budget };
        (picture.counts, picture.totals) = count(&picture);
        picture.groups = count_all_jobs(&picture.counts, memory);
        picture.budget = Budget::of(&picture.groups, settings.max_cronjobs);
        picture
    }

    /// The pods, or none where they could not be listed.
    fn pods(&self) -> &'a [Pod] {
        self.cluster.pods.as_deref().unwrap_or_default()
    }

    /// The runs to report: those that the host does not know as they are.
    pub fn list_new_runs(&self) -> Vec<JobRun> {
        select_new(&self.ended).into_iter().cloned().collect()
    }

    /// The runs that ended.
    fn ended(&self) -> impl Iterator<Item = &JobRun> {
        self.ended.iter().map(|run| &**run)
    }

    /// The runs that the cluster shows, then those that the host remembers.
    fn runs(&self) -> impl Iterator<Item = &JobRun> {
        self.ended().chain(&self.memory.runs)
    }

    /// The runs of the window, each once.
    fn window(&self) -> Vec<&JobRun> {
        select_window(self.runs(), self.since)
    }

    /// The namespace and the CronJob that a pod is of.
    fn find_origin(&self, pod: &'a Pod) -> (&'a str, Option<&'a str>) {
        (&pod.id.namespace, self.owners.find_schedule(&pod.id.namespace, &pod.job))
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
