//! What pods use: by the metrics server, and by the kubelets' summaries.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cluster::{Cluster, NODES, Pod, node_name};
use super::pods::split_usage;
use super::{List, Listed};
use crate::time::{minutes_ago, seconds_ago};

/// `/apis/metrics.k8s.io/v1beta1/pods`: a row for every pod. A metrics server has those that run: there can be no more.
pub fn list(cluster: &Cluster) -> List {
    let objects = cluster.pods.iter().map(|pod| write(cluster, pod).to_string()).collect();
    let listed = Listed { kind: "PodMetricsList", version: "metrics.k8s.io/v1beta1", objects, is_paged: false };
    ("/apis/metrics.k8s.io/v1beta1/pods", listed)
}

fn write(cluster: &Cluster, pod: &Pod) -> Value {
    let container = |(name, used): (&str, super::cluster::Amounts)| {
        // As metrics servers put it: nanocores, kibibytes.
        let (cpu, memory) = (format!("{}n", used.cpu_milli * 1_000_000), format!("{}Ki", used.memory_mib << 10));
        json!({"name": name, "usage": {"cpu": cpu, "memory": memory}})
    };
    let containers: Vec<Value> = split_usage(pod).into_iter().map(container).collect();
    json!({
        "metadata": {
            "name": pod.name(cluster), "namespace": pod.namespace(), "creationTimestamp": seconds_ago(0),
            "labels": {
                "app.kubernetes.io/part-of": "research", "batch.kubernetes.io/controller-uid": pod.uid(),
                "controller-uid": pod.uid(), "team": pod.namespace(),
            },
        },
        "timestamp": seconds_ago(21), "window": "15.032s", "containers": containers,
    })
}

/// What pods of jobs have sent and received, and hold on disk.
pub const RX_BYTES: usize = 48_000_000;
pub const TX_BYTES: usize = 7_000_000;
pub const DISK_BYTES: usize = 123_456_789;

/// `/stats/summary` of every node.
pub fn summaries(cluster: &Cluster) -> BTreeMap<String, String> {
    let mut by_node: BTreeMap<String, Vec<Value>> = (0..NODES).map(|node| (node_name(node), Vec::new())).collect();
    for pod in cluster.pods.iter().filter(|pod| pod.phase() == "Running") {
        let on_node = pod.node().and_then(|node| by_node.get_mut(&node));
        on_node.into_iter().for_each(|pods| pods.push(summarize(cluster, pod)));
    }
    let write = |(node, pods): (String, Vec<Value>)| {
        let summary = json!({"node": {"nodeName": node, "startTime": minutes_ago(90_000)}, "pods": pods}).to_string();
        (node, summary)
    };
    by_node.into_iter().map(write).collect()
}

fn summarize(cluster: &Cluster, pod: &Pod) -> Value {
    let at = seconds_ago(9);
    let used = pod.used();
    let cpu =
        json!({"time": at, "usageNanoCores": used.cpu_milli * 1_000_000, "usageCoreNanoSeconds": 81_442_907_331_u64});
    let memory_bytes = used.memory_mib << 20;
    let memory = json!({
        "time": at, "usageBytes": memory_bytes + 4096, "workingSetBytes": memory_bytes, "rssBytes": memory_bytes / 2,
        "pageFaults": 31_991, "majorPageFaults": 4,
    });
    let disk = |bytes: usize| {
        json!({
            "time": at, "availableBytes": 81_604_378_624_u64, "capacityBytes": 107_361_579_008_u64, "usedBytes": bytes,
            "inodesFree": 52_011_843, "inodes": 52_428_224, "inodesUsed": 117,
        })
    };
    let container = |(name, _): (&'static str, _)| {
        let start = minutes_ago(pod.minutes);
        let (rootfs, logs) = (disk(81_920), disk(12_288));
        json!({"name": name, "startTime": start, "cpu": cpu, "memory": memory, "rootfs": rootfs, "logs": logs})
    };
    let containers: Vec<Value> = split_usage(pod).into_iter().map(container).collect();
    let interface = json!({"name": "eth0", "rxBytes": RX_BYTES, "rxErrors": 0, "txBytes": TX_BYTES, "txErrors": 1});
    let network = json!({
        "time": at, "name": "eth0", "rxBytes": RX_BYTES, "rxErrors": 0, "txBytes": TX_BYTES, "txErrors": 1,
        "interfaces": [interface],
    });
    json!({
        "podRef": {"name": pod.name(cluster), "namespace": pod.namespace(), "uid": pod.uid()},
        "startTime": minutes_ago(pod.minutes + 9), "containers": containers, "cpu": cpu, "memory": memory,
        "network": network,
        "volume": [disk(4096), disk(12_288)], "ephemeral-storage": disk(DISK_BYTES),
        "process_stats": {"process_count": 3},
    })
}
