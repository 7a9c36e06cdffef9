//! Figures of usage: what the running pods of each group use, as far as they are measured.

use std::collections::{BTreeMap, BTreeSet};

use collector_sdk::{Fault, Reason, Sheet, log};

use super::Picture;
use super::tags::Tags;
use crate::api::pods::Phase;
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

type ByPod<'a> = BTreeMap<(&'a str, &'a str), &'a PodUsage>;

/// A point or a gap for every series of usage. Where `metrics.k8s.io` has no CPU and memory of a pod, the summaries may.
pub fn measure_usage(picture: &Picture<'_>, usage: &Usage) -> Sheet {
    let mut sheet = Sheet::default();
    let all = [&OF_BOTH[..], &OF_SUMMARIES].concat();
    if let Err(fault) = &picture.cluster.pods {
        // Which pods are of Jobs nobody knows; the fault itself was told with the other figures of pods.
        all.iter().for_each(|(series, _)| sheet.gap(series, fault.message.clone()));
        return sheet;
    }
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
            say(&mut sheet, picture, &OF_BOTH, &both);
        }
    }
    match &summaries {
        Ok(pods) => say(&mut sheet, picture, &OF_SUMMARIES, &[pods]),
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

/// The sum over the running pods of each group. A group of which nothing runs uses 0; one of which nothing is measured yet (the
/// first measurement comes about a minute after the start) has no value.
fn say(sheet: &mut Sheet, picture: &Picture<'_>, figures: &[Figure], sources: &[&ByPod<'_>]) {
    let groups: BTreeSet<Tags> = picture.groups.keys().map(|group| picture.budget.find_tags(group)).collect();
    let mut running: Vec<(Tags, (&str, &str))> = Vec::new();
    for pod in picture.pods().iter().filter(|pod| pod.phase == Phase::Running) {
        let tags = picture.budget.find_tags(&picture.group_of(pod));
        running.push((tags, (&pod.id.namespace, &pod.id.name)));
    }
    for (series, of) in figures {
        let mut sums: BTreeMap<&Tags, Option<f64>> = groups.iter().map(|tags| (tags, Some(0.0))).collect();
        for (tags, _) in &running {
            sums.insert(tags, None);
        }
        for (tags, pod) in &running {
            let measured = sources.iter().find_map(|source| of(source.get(pod)?));
            if let (Some(measured), Some(sum)) = (measured, sums.get_mut(tags)) {
                *sum = Some((sum.unwrap_or_default() + measured).min(f64::MAX));
            }
        }
        let values: Vec<_> = sums.into_iter().filter_map(|(tags, sum)| Some((tags, sum?))).collect();
        for (tags, value) in &values {
            sheet.put_tagged(series, *value, tags.list());
        }
        match (values.is_empty(), running.is_empty()) {
            (true, true) => sheet.put(series, 0.0),
            (true, false) => sheet.gap(series, "no running pod of a Job is measured yet"),
            (false, _) => {}
        }
    }
}
