//! What running pods use: `metrics.k8s.io` for CPU and memory, the kubelets' summaries for these and for disk and network.

use collector_sdk::Fault;
use collector_sdk::futures::{StreamExt, join, stream};
use collector_sdk::kubernetes::{self, Resource};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::quantity::Quantity;
use super::{Settings, list};

/// Summaries in flight at once; one is 100 KB to 2 MB.
const SUMMARIES_AT_ONCE: usize = 4;

/// Summaries of an attempt: with the listings they stay under the host's 500 requests.
const SUMMARIES_MAX: usize = 300;

/// Both sources, each for itself.
#[derive(Debug)]
pub struct Usage {
    pub metrics: Result<Vec<PodUsage>, Fault>,
    pub summaries: Result<Vec<PodUsage>, Fault>,
}

/// What a pod uses, as far as a source says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodUsage {
    pub namespace: String,
    pub name: String,
    pub cpu_cores: Option<f64>,
    pub memory_bytes: Option<f64>,
    pub disk_bytes: Option<f64>,
    pub network: Network,
}

/// Counters since the pod's network was made.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    pub rx_bytes: Option<f64>,
    pub tx_bytes: Option<f64>,
    pub rx_errors: Option<f64>,
    pub tx_errors: Option<f64>,
}

/// Asks for what pods use; summaries only of these nodes.
pub async fn ask_usage(settings: &Settings, nodes: &[String]) -> Usage {
    let (metrics, summaries) = join!(ask_metrics(settings), ask_summaries(nodes));
    Usage { metrics, summaries }
}

async fn ask_metrics(settings: &Settings) -> Result<Vec<PodUsage>, Fault> {
    let rows: Vec<MetricsRow> = list(settings, Resource::PodMetrics).await?;
    Ok(rows.into_iter().filter_map(|row| row.0).collect())
}

/// The first node is asked alone: where the right is missing, the others would be refused just so.
async fn ask_summaries(nodes: &[String]) -> Result<Vec<PodUsage>, Fault> {
    if nodes.len() > SUMMARIES_MAX {
        let message = format!("jobs run on {} nodes; the summaries of {SUMMARIES_MAX} at most are read", nodes.len());
        return Err(Fault::new(collector_sdk::Reason::Limit, message));
    }
    let Some((first, rest)) = nodes.split_first() else { return Ok(Vec::new()) };
    let mut pods = ask_summary(first).await?;
    let others: Vec<_> = stream::iter(rest).map(|node| ask_summary(node)).buffered(SUMMARIES_AT_ONCE).collect().await;
    for other in others {
        pods.extend(other?);
    }
    Ok(pods)
}

async fn ask_summary(node: &str) -> Result<Vec<PodUsage>, Fault> {
    let summary: Summary = kubernetes::summary(node).await?;
    let pods = summary.pods.unwrap_or_default();
    Ok(pods.into_iter().filter_map(read_summary).collect())
}

/// A row of the listing of usage.
#[derive(Deserialize)]
#[serde(from = "WireMetrics")]
struct MetricsRow(Option<PodUsage>);

#[derive(Deserialize)]
struct WireMetrics {
    metadata: Option<Named>,
    containers: Option<Vec<WireContainer>>,
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
    namespace: Option<String>,
}

#[derive(Deserialize)]
struct WireContainer {
    usage: Option<WireUsage>,
}

#[derive(Default, Deserialize)]
struct WireUsage {
    #[serde(default, deserialize_with = "amount")]
    cpu: Option<f64>,
    #[serde(default, deserialize_with = "amount")]
    memory: Option<f64>,
}

/// One that cannot be read would make every sum wrong without a word, so it costs the listing.
fn amount<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let Some(quantity) = Option::<Quantity>::deserialize(from)? else { return Ok(None) };
    quantity.value().map(Some).ok_or_else(|| D::Error::custom(format!("{:?} is no quantity", quantity.0)))
}

impl From<WireMetrics> for MetricsRow {
    fn from(wire: WireMetrics) -> MetricsRow {
        let containers = wire.containers.unwrap_or_default();
        let usages: Vec<WireUsage> = containers.into_iter().filter_map(|container| container.usage).collect();
        let Named { name, namespace } = wire.metadata.unwrap_or(Named { name: None, namespace: None });
        MetricsRow(name.filter(|name| !name.is_empty()).map(|name| PodUsage {
            namespace: namespace.unwrap_or_default(),
            name,
            cpu_cores: add_up(usages.iter().map(|usage| usage.cpu)),
            memory_bytes: add_up(usages.iter().map(|usage| usage.memory)),
            ..PodUsage::default()
        }))
    }
}

/// The sum of what is there; none where nothing is.
fn add_up(amounts: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    amounts.flatten().reduce(|sum, amount| sum + amount)
}

#[derive(Deserialize)]
struct Summary {
    pods: Option<Vec<SummaryPod>>,
}

#[derive(Deserialize)]
struct SummaryPod {
    #[serde(rename = "podRef")]
    reference: Option<Reference>,
    cpu: Option<Cpu>,
    memory: Option<Memory>,
    network: Option<SummaryNetwork>,
    #[serde(rename = "ephemeral-storage")]
    disk: Option<Disk>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
    namespace: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cpu {
    usage_nano_cores: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    working_set_bytes: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Disk {
    used_bytes: Option<f64>,
}

/// The pod's default interface stands beside the list of all of them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SummaryNetwork {
    rx_bytes: Option<f64>,
    tx_bytes: Option<f64>,
    rx_errors: Option<f64>,
    tx_errors: Option<f64>,
    interfaces: Option<Vec<Network>>,
}

fn read_summary(pod: SummaryPod) -> Option<PodUsage> {
    let reference = pod.reference?;
    Some(PodUsage {
        namespace: reference.namespace.unwrap_or_default(),
        name: reference.name,
        cpu_cores: pod.cpu.and_then(|cpu| cpu.usage_nano_cores).map(|nano_cores| nano_cores / 1e9),
        memory_bytes: pod.memory.and_then(|memory| memory.working_set_bytes),
        disk_bytes: pod.disk.and_then(|disk| disk.used_bytes),
        network: pod.network.map(read_network).unwrap_or_default(),
    })
}

fn read_network(network: SummaryNetwork) -> Network {
    let all = network.interfaces.unwrap_or_default();
    let or_all = |own: Option<f64>, of: fn(&Network) -> Option<f64>| own.or_else(|| add_up(all.iter().map(of)));
    Network {
        rx_bytes: or_all(network.rx_bytes, |network| network.rx_bytes),
        tx_bytes: or_all(network.tx_bytes, |network| network.tx_bytes),
        rx_errors: or_all(network.rx_errors, |network| network.rx_errors),
        tx_errors: or_all(network.tx_errors, |network| network.tx_errors),
    }
}
