//! Pods of Jobs: what is kept of each. 10,000 pods are 67 MB of JSON and must come to a few.

use collector_sdk::{Timestamp, time};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::objects::{Condition, ConditionKind, Identity, JobName, Metadata, filled};
use super::quantity::Quantity;

/// A pod of a Job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pod {
    pub id: Identity,
    pub job: JobName,
    pub node: Option<String>,
    pub phase: Phase,
    /// Why the pod as a whole is as it is: `Evicted`.
    pub reason: Option<String>,
    pub message: Option<String>,
    pub created: Option<Timestamp>,
    pub started: Option<Timestamp>,
    /// When one of its conditions last changed.
    pub changed: Option<Timestamp>,
    /// What took its place from it: `PreemptionByScheduler`, `DeletionByTaintManager`, …
    pub disruption: Option<String>,
    /// Why the scheduler has not found a place for it.
    pub unscheduled: Option<String>,
    /// Init containers first, sidecars among them; without ephemeral ones.
    pub containers: Vec<Container>,
}

/// A container of a pod, and how it fares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    pub name: String,
    pub is_init: bool,
    pub image: Option<String>,
    pub cpu_request: Option<String>,
    pub memory_request: Option<String>,
    pub gpus: f64,
    pub restarts: u64,
    pub state: State,
    /// How its life before this one ended; while it waits to be started anew, how its last one did.
    pub last: Option<End>,
}

/// What a container does.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum State {
    #[default]
    Unknown,
    Waiting {
        reason: Option<String>,
        message: Option<String>,
    },
    Running,
    Ended(End),
}

/// How a life of a container ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct End {
    pub reason: Option<String>,
    pub message: Option<String>,
    pub exit_code: Option<i64>,
    pub at: Option<Timestamp>,
}

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
    #[default]
    #[serde(other)]
    Unknown,
}

impl Phase {
    pub const ALL: [Phase; 5] = [Phase::Pending, Phase::Running, Phase::Succeeded, Phase::Failed, Phase::Unknown];

    /// The cluster's word.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
            Phase::Unknown => "Unknown",
        }
    }
}

/// A row of the listing of pods: nothing is kept of one that is of no Job.
#[derive(Debug, Deserialize)]
#[serde(from = "Wire")]
pub struct Row(pub Option<Box<Pod>>);

#[derive(Deserialize)]
struct Wire {
    metadata: Option<Metadata>,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
    init_containers: Option<Vec<ContainerSpec>>,
    containers: Option<Vec<ContainerSpec>>,
}

/// A container as a pod's or a Job's template has it.
#[derive(Default, Deserialize)]
pub struct ContainerSpec {
    name: Option<String>,
    pub image: Option<String>,
    resources: Option<Resources>,
}

#[derive(Default, Deserialize)]
struct Resources {
    requests: Option<Amounts>,
    limits: Option<Amounts>,
}

/// Amounts of resources, of those that are of use here.
#[derive(Default)]
struct Amounts {
    cpu: Option<Quantity>,
    memory: Option<Quantity>,
    /// Whole ones and parts (MIG) alike, of every maker.
    gpus: f64,
}

impl<'de> Deserialize<'de> for Amounts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Amounts, D::Error> {
        struct ByName;
        impl<'de> Visitor<'de> for ByName {
            type Value = Amounts;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("quantities by name")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Amounts, M::Error> {
                let mut amounts = Amounts::default();
                while let Some(name) = map.next_key::<String>()? {
                    let quantity: Option<Quantity> = map.next_value()?;
                    match name.as_str() {
                        "cpu" => amounts.cpu = quantity,
                        "memory" => amounts.memory = quantity,
                        name if is_gpu(name) => {
                            amounts.gpus += quantity.map_or(0.0, |count| count.value().unwrap_or(0.0).max(0.0))
                        }
                        _ => {}
                    }
                }
                Ok(amounts)
            }
        }
        from.deserialize_map(ByName)
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    phase: Option<Phase>,
    reason: Option<String>,
    message: Option<String>,
    #[serde(default, deserialize_with = "time::if_readable")]
    start_time: Option<Timestamp>,
    conditions: Option<Vec<Condition>>,
    init_container_statuses: Option<Vec<ContainerStatus>>,
    container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus {
    name: Option<String>,
    image: Option<String>,
    restart_count: Option<i64>,
    state: Option<WireState>,
    last_state: Option<WireState>,
}

#[derive(Default, Deserialize)]
struct WireState {
    waiting: Option<Waiting>,
    running: Option<Running>,
    terminated: Option<Terminated>,
}

#[derive(Deserialize)]
struct Waiting {
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Running {}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Terminated {
    reason: Option<String>,
    message: Option<String>,
    exit_code: Option<i64>,
    #[serde(default, deserialize_with = "time::if_readable")]
    finished_at: Option<Timestamp>,
}

impl From<Wire> for Row {
    fn from(wire: Wire) -> Row {
        Row(read(wire).map(Box::new))
    }
}

fn read(wire: Wire) -> Option<Pod> {
    let mut metadata = wire.metadata?;
    let job = metadata.job()?;
    let spec = wire.spec.unwrap_or_default();
    let status = wire.status.unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let changed = conditions.iter().filter_map(|condition| condition.last_transition_time).max();
    let unscheduled = conditions.iter().find(|condition| condition.fails(ConditionKind::PodScheduled));
    let unscheduled = unscheduled.and_then(|c| filled(c.message.clone()).or(filled(c.reason.clone())));
    let disruption = conditions.iter().find(|condition| condition.holds(ConditionKind::DisruptionTarget));
    let disruption = disruption.and_then(|c| filled(c.reason.clone()));
    let mut containers = read_containers(true, spec.init_containers, status.init_container_statuses);
    containers.append(&mut read_containers(false, spec.containers, status.container_statuses));
    containers.shrink_to_fit();
    Some(Pod {
        id: metadata.identity()?,
        job,
        node: filled(spec.node_name),
        phase: status.phase.unwrap_or_default(),
        reason: filled(status.reason),
        message: filled(status.message),
        created: metadata.creation_timestamp,
        started: status.start_time,
        changed,
        disruption,
        unscheduled,
        containers,
    })
}

/// Every container once: those of the pod's own description, each with its status where it has one, then those that only
/// the status knows.
fn read_containers(
    is_init: bool,
    specs: Option<Vec<ContainerSpec>>,
    statuses: Option<Vec<ContainerStatus>>,
) -> Vec<Container> {
    let mut statuses = statuses.unwrap_or_default();
    let mut containers: Vec<Container> = Vec::new();
    for spec in specs.unwrap_or_default() {
        let at = statuses.iter().position(|status| status.name == spec.name);
        let status = at.map(|at| statuses.swap_remove(at)).unwrap_or_default();
        containers.push(read_container(is_init, spec, status));
    }
    containers.extend(statuses.into_iter().map(|status| {
        let spec = ContainerSpec { name: status.name.clone(), ..ContainerSpec::default() };
        read_container(is_init, spec, status)
    }));
    containers
}

fn read_container(is_init: bool, spec: ContainerSpec, status: ContainerStatus) -> Container {
    let gpus = spec.gpus();
    let Amounts { cpu, memory, .. } = spec.resources.and_then(|resources| resources.requests).unwrap_or_default();
    Container {
        is_init,
        cpu_request: cpu.map(|cpu| cpu.0),
        memory_request: memory.map(|memory| memory.0),
        gpus,
        // The image as it was asked for; the status has it resolved, and perhaps by its digest.
        image: filled(spec.image).or(filled(status.image)),
        name: spec.name.unwrap_or_default(),
        restarts: status.restart_count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default(),
        state: status.state.map(State::from).unwrap_or_default(),
        last: status.last_state.and_then(|state| state.terminated).map(End::from),
    }
}

impl ContainerSpec {
    /// How many GPUs it asks for.
    pub fn gpus(&self) -> f64 {
        // A GPU's request is its limit; a template may name only one of them.
        let both = self.resources.iter().flat_map(|resources| [&resources.requests, &resources.limits]);
        both.flatten().map(|amounts| amounts.gpus).fold(0.0, f64::max).min(GPUS_MAX)
    }
}

/// More than any node has: whatever an object says, sums of it stay numbers.
const GPUS_MAX: f64 = 1e6;

/// `nvidia.com/gpu`, `amd.com/gpu`, `nvidia.com/mig-1g.5gb`.
fn is_gpu(resource: &str) -> bool {
    resource.split_once('/').is_some_and(|(_, kind)| kind == "gpu" || kind.starts_with("mig-"))
}

impl From<WireState> for State {
    fn from(wire: WireState) -> State {
        match wire {
            WireState { terminated: Some(end), .. } => State::Ended(end.into()),
            WireState { running: Some(Running {}), .. } => State::Running,
            WireState { waiting: Some(Waiting { reason, message }), .. } => {
                State::Waiting { reason: filled(reason), message: filled(message) }
            }
            WireState { .. } => State::Unknown,
        }
    }
}

impl From<Terminated> for End {
    fn from(wire: Terminated) -> End {
        let Terminated { reason, message, exit_code, finished_at } = wire;
        End { reason: filled(reason), message: filled(message), exit_code, at: finished_at }
    }
}
