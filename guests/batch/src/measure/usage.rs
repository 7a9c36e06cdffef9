//! Figures of usage: what the running pods of each group use, as far as they are measured.

use std::collections::{BTreeMap, HashMap};

use collector_sdk::{Fault, Reason, Sheet, log};

use super::Picture;
use super::tags::{Group, Tags};
use crate::api::pods::{Phase, Pod};
use crate::api::{PodUsage, Usage};

type Figure = (&'static str, fn(&PodUsage) -> Option<f64>);

/// Those that both sources know.
const OF_BOTH: [Figure; 2] =
    [("batch.usage.cpu_cores", |pod| pod.cpu_cores), ("batch.usage.memory_bytes", |pod| pod.memory_bytes)];

/// Those that only the kubelets' summaries know.
const OF_SUMMARIES: [Figure; 5] = [
    ("batch.usage.disk_bytes", |pod| pod.disk_bytes),
    ("batch.network.rx_bytes", |pod| pod.network.rx_bytes),
    ("batch.network.tx_bytes", |pod| pod.network.tx_bytes),
    ("batch.network.rx_errors", |pod| pod.network.rx_errors),
    ("batch.network.tx_errors", |pod| pod.network.tx_errors),
];

type ByPod<'a> = HashMap<(&'a str, &'a str), &'a PodUsage>;

/// A point or a gap for every series of usage. Where `metrics.k8s.io` has no CPU and memory of a pod, the summaries may.
pub fn measure_usage(picture: &Picture<'_>, usage: &Usage) -> Sheet {
    let mut sheet = Sheet::default();
    let all = [&OF_BOTH[..], &OF_SUMMARIES].concat();
    if let Err(fault) = &picture.cluster.pods {
        // Which pods are of Jobs nobody knows; the fault itself was told with the other figures of pods.
        all.iter().for_each(|(series, _)| sheet.gap(series, fault.message.clone()));
        return sheet;
    }
    let running = group_running(picture);
    let sources = [&usage.metrics, &usage.summaries].map(|source| source.as_deref().map(index));
    let [metrics, summaries] = sources;
    match (&metrics, &summaries) {
        (Err(first), Err(second)) => {
            let message = format!("{}; {}", first.message, second.message);
            let worse = if is_not_granted(first) { second } else { first };
            lose(&mut sheet, &OF_BOTH, &Fault { message, ..(*worse).clone() });
        }
        _ => {
            if let Err(fault) = &metrics {
                log::info(format!("CPU and memory are taken from the kubelets: {fault}"));
            }
            let both: Vec<&ByPod<'_>> = [&metrics, &summaries].into_iter().flatten().collect();
            say(&mut sheet, &running, &OF_BOTH, &both);
        }
    }
    match &summaries {
        Ok(pods) => say(&mut sheet, &running, &OF_SUMMARIES, &[pods]),
        Err(fault) => lose(&mut sheet, &OF_SUMMARIES, fault),
    }
    sheet
}

fn index(pods: &[PodUsage]) -> ByPod<'_> {
    pods.iter().map(|pod| ((pod.namespace.as_str(), pod.name.as_str()), pod)).collect()
}

/// A cluster without usage is no cluster with a fault: the series are gaps. A source that broke is one.
fn lose(sheet: &mut Sheet, figures: &[Figure], fault: &Fault) {
    let series: Vec<&str> = figures.iter().map(|(series, _)| *series).collect();
    if is_not_granted(fault) {
        series.iter().for_each(|series| sheet.gap(series, fault.message.clone()));
    } else {
        sheet.lost(&series, fault);
    }
}

fn is_not_granted(fault: &Fault) -> bool {
    matches!(fault.reason, Reason::NotFound | Reason::Unauthorized | Reason::Denied)
}

/// The running pods under each set of tags that there is.
fn group_running<'a>(picture: &Picture<'a>) -> BTreeMap<Tags, Vec<&'a Pod>> {
    let mut running: BTreeMap<Tags, Vec<&Pod>> =
        picture.groups.keys().map(|group| (picture.budget.find_tags(group), Vec::new())).collect();
    for pod in picture.pods().iter().filter(|pod| pod.phase == Phase::Running) {
        let (namespace, schedule) = picture.find_origin(pod);
        running.entry(picture.budget.find_tags(&Group::new(namespace, schedule))).or_default().push(pod);
    }
    running
}

/// The sum over the running pods of each group. A group of which nothing runs uses 0; one of which nothing is measured yet (the
/// first measurement comes about a minute after the start) has no value.
fn say(sheet: &mut Sheet, running: &BTreeMap<Tags, Vec<&Pod>>, figures: &[Figure], sources: &[&ByPod<'_>]) {
    for (series, of) in figures {
        let measure =
            |pod: &&Pod| sources.iter().find_map(|source| of(source.get(&(&*pod.id.namespace, &*pod.id.name))?));
        let sum = |pods: &[&Pod]| match pods {
            [] => Some(0.0),
            pods => pods
                .iter()
                .filter_map(measure)
                .fold(None, |sum, value| Some((sum.unwrap_or(0.0) + value).min(f64::MAX))),
        };
        let mut is_measured = false;
        for (tags, value) in running.iter().filter_map(|(tags, pods)| Some((tags, sum(pods)?))) {
            is_measured = true;
            sheet.put_tagged(series, value, tags.list());
        }
        match is_measured {
            true => {}
            false if running.is_empty() => sheet.put(series, 0.0),
            false => sheet.gap(series, "no running pod of a Job is measured yet"),
        }
    }
}
