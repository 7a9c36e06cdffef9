//! Tags by namespace and CronJob, and the budget that bounds how many there are.

use std::collections::{BTreeMap, BTreeSet};

/// What one set of figures is about: the jobs of a CronJob, or the jobs without one of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    namespace: String,
    schedule: Option<String>,
}

impl Group {
    pub fn new(namespace: &str, schedule: Option<&str>) -> Group {
        Group { namespace: clean(namespace), schedule: schedule.map(clean) }
    }
}

/// The values of `kube_namespace` and `kube_cronjob`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tags {
    namespace: String,
    cron_job: String,
}

/// In the place of a CronJob where there is none, and of those that the budget has no room for.
const NONE: &str = "none";
const OTHER: &str = "other";

impl Tags {
    /// As they stand in a point.
    pub fn list(&self) -> Vec<String> {
        vec![format!("kube_namespace:{}", self.namespace), format!("kube_cronjob:{}", self.cron_job)]
    }
}

/// Which CronJobs have tags of their own.
///
/// The CronJobs with most jobs have; of the others, all that are in one namespace are one. The same number bounds the namespaces
/// in which jobs of `none` and `other` are told apart. So there are at most `3 × max + 2` sets of tags, whatever a cluster holds.
#[derive(Debug, Default)]
pub struct Budget {
    cron_jobs: BTreeSet<Group>,
    namespaces: BTreeSet<String>,
    /// CronJobs without tags of their own.
    pub folded: usize,
}

impl Budget {
    /// Gives tags to those with most jobs; among equals, by name.
    pub fn of(jobs: &BTreeMap<Group, usize>, max: usize) -> Budget {
        let scheduled = jobs.iter().filter(|(group, _)| group.schedule.is_some());
        let ranked = rank(scheduled.map(|(group, jobs)| (group.clone(), *jobs)));
        let folded = ranked.len().saturating_sub(max);
        let cron_jobs: BTreeSet<Group> = ranked.into_iter().take(max).collect();

        let mut by_namespace: BTreeMap<String, usize> = BTreeMap::new();
        for (group, jobs) in jobs.iter().filter(|(group, _)| !cron_jobs.contains(group)) {
            let sum = by_namespace.entry(group.namespace.clone()).or_default();
            *sum = sum.saturating_add(*jobs);
        }
        let namespaces = rank(by_namespace).into_iter().take(max.max(1)).collect();
        Budget { cron_jobs, namespaces, folded }
    }

    /// The tags of a group.
    pub fn find_tags(&self, group: &Group) -> Tags {
        let Group { namespace, schedule } = group;
        let cron_job = match schedule {
            Some(schedule) if self.cron_jobs.contains(group) => {
                return Tags { namespace: namespace.clone(), cron_job: schedule.clone() };
            }
            Some(_) => OTHER,
            None => NONE,
        };
        let namespace = if self.namespaces.contains(namespace) { namespace } else { OTHER };
        Tags { namespace: namespace.to_owned(), cron_job: cron_job.to_owned() }
    }
}

fn rank<T: Ord>(counted: impl IntoIterator<Item = (T, usize)>) -> Vec<T> {
    let mut ranked: Vec<(T, usize)> = counted.into_iter().collect();
    ranked.sort_by(|(a, a_jobs), (b, b_jobs)| b_jobs.cmp(a_jobs).then_with(|| a.cmp(b)));
    ranked.into_iter().map(|(of, _)| of).collect()
}

/// Kubernetes' names are tag values as they are; whatever is not comes to one here.
fn clean(name: &str) -> String {
    const VALUE_CHARS: usize = 100;
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-._/:".contains(c) { c } else { '_' };
    let value: String = name.chars().take(VALUE_CHARS).map(plain).collect();
    if value.is_empty() { NONE.to_owned() } else { value }
}
