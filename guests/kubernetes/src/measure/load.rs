//! How much of the cluster a pod reserves, and how much it uses.

use collector_sdk::kubernetes::quantity::{self, Nanos};
use std::fmt;

use collector_sdk::Fault;

use crate::api::{Container, Metadata, Pod, PodUsage, Quantities};

/// What is reserved and used, each for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Cpu,
    Memory,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resource::Cpu => "cpu",
            Resource::Memory => "memory",
        })
    }
}

/// What the scheduler reserves for a pod, in nanocores or billionths of a byte. The rule is that of `PodRequests` in
/// k8s.io/component-helpers/resource.
///
/// # Errors
/// Where a quantity of the pod cannot be read.
pub fn find_reserved(pod: &Pod, resource: Resource) -> Result<Nanos, Fault> {
    let read = |quantities| read_amount(quantities, resource, "requests", &pod.metadata);
    let mut running: Nanos = 0;
    for container in &pod.spec.containers {
        running = running.saturating_add(read(&container.resources.requests)?.unwrap_or(0));
    }
    // An init container runs beside the sidecars that were started before it, and beside nothing else.
    let (mut sidecars, mut starting): (Nanos, Nanos) = (0, 0);
    for container in &pod.spec.init_containers {
        let own = read(&container.resources.requests)?.unwrap_or(0);
        starting = starting.max(sidecars.saturating_add(own));
        if is_sidecar(container) {
            sidecars = sidecars.saturating_add(own);
        }
    }
    let of_containers = running.saturating_add(sidecars).max(starting);
    let of_pod = read(&pod.spec.resources.requests)?.unwrap_or(of_containers);
    Ok(of_pod.saturating_add(read(&pod.spec.overhead)?.unwrap_or(0)))
}

/// What the containers of a pod used when they were last measured, in nanocores or billionths of a byte.
///
/// # Errors
/// Where a quantity of them cannot be read.
pub fn find_used(usage: &PodUsage, resource: Resource) -> Result<Nanos, Fault> {
    let mut used: Nanos = 0;
    for container in &usage.containers {
        let amount = read_amount(&container.usage, resource, "uses", &usage.metadata)?;
        used = used.saturating_add(amount.unwrap_or(0));
    }
    Ok(used)
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// None where it is not said. Nobody can request or use less than nothing.
fn read_amount(
    quantities: &Quantities,
    resource: Resource,
    verb: &str,
    pod: &Metadata,
) -> Result<Option<Nanos>, Fault> {
    let quantity = match resource {
        Resource::Cpu => &quantities.cpu,
        Resource::Memory => &quantities.memory,
    };
    let Some(quantity) = quantity else { return Ok(None) };
    match quantity::parse(quantity.text()).filter(|amount| *amount >= 0) {
        Some(amount) => Ok(Some(amount)),
        None => {
            let text: String = quantity.text().chars().take(40).collect();
            Err(Fault::bad_answer(format!("pod {pod} {verb} {resource} of {text:?}, which cannot be read")))
        }
    }
}
