//! What the lists amount to: pure, objects in, a sheet out. Every formula stands here.

mod load;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use collector_sdk::kubernetes::quantity::{NANOS, Nanos};
use collector_sdk::{Fault, Sheet, Timestamp};

use self::load::{Resource, find_reserved, find_used};
use crate::api::{ContainerStatus, Deployment, Pod, PodUsage};

const HEALTH: [&str; 6] = [
    "k8s.pods.crash_looping",
    "k8s.pods.failed",
    "k8s.pods.pending",
    "k8s.pods.oomkilled_24h",
    "k8s.pods.high_restarts",
    "k8s.pods.image_pull_errors",
];

const IDLE: &str = "k8s.pods.idle_count";
const LOW_CPU: &str = "k8s.pods.low_cpu_usage";
const LOW_MEMORY: &str = "k8s.pods.low_memory_usage";

const ZERO_REPLICAS: &str = "k8s.deployments.zero_replicas";

/// Waste and efficiency.
const CPU: [&str; 2] = ["k8s.resources.cpu_waste_cores", "k8s.resources.cpu_efficiency_pct"];
const MEMORY: [&str; 2] = ["k8s.resources.memory_waste_gb", "k8s.resources.memory_efficiency_pct"];
const OVERALLOCATED: &str = "k8s.resources.overallocated_pods";

const DAY: Duration = Duration::from_hours(24);
const RESTARTS_MAX: i64 = 5;
const MILLICORE_NANOS: Nanos = NANOS / 1000;
const MIB_NANOS: Nanos = NANOS << 20;
const CORE_NANOS: f64 = 1e9;
const GIB_NANOS: f64 = 1e9 * (1 << 30) as f64;

/// Why the kubelet waits for an image (source: pkg/kubelet/images/types.go).
const IMAGE_ERRORS: [&str; 6] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
];

/// The series that need nothing but the pods.
pub fn measure_health(pods: &Result<Vec<Pod>, Fault>, now: Timestamp) -> Sheet {
    let mut sheet = Sheet::default();
    match pods {
        Ok(pods) => put_health(&mut sheet, pods, now),
        Err(fault) => sheet.lost(&HEALTH, fault),
    }
    sheet
}

fn put_health(sheet: &mut Sheet, pods: &[Pod], now: Timestamp) {
    let day_start = now.checked_sub(DAY).unwrap_or(Timestamp::MIN);
    let in_phase = |phase: &str| pods.iter().filter(|pod| pod.status.phase == phase).count();
    let containers = |is_meant: &dyn Fn(&ContainerStatus) -> bool| {
        pods.iter().flat_map(|pod| pod.status.containers()).filter(|container| is_meant(container)).count()
    };
    sheet.count("k8s.pods.crash_looping", containers(&|container| waits_for(container, &["CrashLoopBackOff"])));
    sheet.count("k8s.pods.failed", in_phase("Failed"));
    sheet.count("k8s.pods.pending", in_phase("Pending"));
    sheet.count("k8s.pods.oomkilled_24h", containers(&|container| was_oomkilled_after(container, day_start)));
    sheet.count("k8s.pods.high_restarts", containers(&|container| container.restart_count > RESTARTS_MAX));
    sheet.count("k8s.pods.image_pull_errors", containers(&|container| waits_for(container, &IMAGE_ERRORS)));
}

fn waits_for(container: &ContainerStatus, reasons: &[&str]) -> bool {
    container.state.waiting.as_ref().is_some_and(|waiting| reasons.contains(&waiting.reason.as_str()))
}

/// In this life or the last: a container that was restarted, or waits to be, has the reason in its last state.
fn was_oomkilled_after(container: &ContainerStatus, start: Timestamp) -> bool {
    let ends = [&container.state.terminated, &container.last_state.terminated];
    let mut kills = ends.into_iter().flatten().filter(|end| end.reason == "OOMKilled");
    // This window is open at its old end: the formula has `finishedAt > now-24h`.
    kills.any(|kill| kill.finished_at.is_some_and(|finished| finished > start))
}

/// The series that need nothing but the usage. It is not asked which of the pods are still there.
pub fn measure_usage(usages: &Result<Vec<PodUsage>, Fault>) -> Sheet {
    let mut sheet = Sheet::default();
    match usages {
        Ok(usages) => put_usage(&mut sheet, usages),
        Err(fault) => sheet.lost(&[IDLE, LOW_CPU, LOW_MEMORY], fault),
    }
    sheet
}

fn put_usage(sheet: &mut Sheet, usages: &[PodUsage]) {
    let used = |resource| usages.iter().map(|usage| find_used(usage, resource)).collect::<Result<Vec<Nanos>, Fault>>();
    let (cpu, memory) = (used(Resource::Cpu), used(Resource::Memory));
    match &cpu {
        Ok(cpu) => sheet.count(LOW_CPU, cpu.iter().filter(|cpu| **cpu < 10 * MILLICORE_NANOS).count()),
        Err(fault) => sheet.lost(&[LOW_CPU], fault),
    }
    match &memory {
        Ok(memory) => sheet.count(LOW_MEMORY, memory.iter().filter(|memory| **memory < 50 * MIB_NANOS).count()),
        Err(fault) => sheet.lost(&[LOW_MEMORY], fault),
    }
    match both(&cpu, &memory) {
        Ok((cpu, memory)) => {
            let is_idle = |(cpu, memory): &(&Nanos, &Nanos)| **cpu < MILLICORE_NANOS && **memory < 10 * MIB_NANOS;
            sheet.count(IDLE, cpu.iter().zip(memory).filter(is_idle).count());
        }
        Err(fault) => sheet.gap(IDLE, &fault.message),
    }
}

/// The series of the deployments.
pub fn measure_deployments(deployments: &Result<Vec<Deployment>, Fault>) -> Sheet {
    let mut sheet = Sheet::default();
    match deployments {
        Ok(all) => sheet.count(ZERO_REPLICAS, all.iter().filter(|one| one.spec.replicas == Some(0)).count()),
        Err(fault) => sheet.lost(&[ZERO_REPLICAS], fault),
    }
    sheet
}

/// The series that need the pods and their usage. Where a list was lost, they are gaps; the fault is that of the series that
/// need this list alone.
pub fn measure_resources(pods: &Result<Vec<Pod>, Fault>, usages: &Result<Vec<PodUsage>, Fault>) -> Sheet {
    let mut sheet = Sheet::default();
    match both(pods, usages) {
        Ok((pods, usages)) => put_resources(&mut sheet, pods, usages),
        Err(fault) => {
            for series in [CPU[0], CPU[1], MEMORY[0], MEMORY[1], OVERALLOCATED] {
                sheet.gap(series, &fault.message);
            }
        }
    }
    sheet
}

/// What a pod reserves and uses of one resource.
#[derive(Clone, Copy, Debug)]
struct Load {
    reserved: Nanos,
    /// None where the metrics API does not know the pod.
    used: Option<Nanos>,
}

fn put_resources(sheet: &mut Sheet, pods: &[Pod], usages: &[PodUsage]) {
    let cpu = find_loads(pods, usages, Resource::Cpu);
    let memory = find_loads(pods, usages, Resource::Memory);
    put_waste(sheet, CPU, &cpu, CORE_NANOS, "no running or pending pod requests CPU");
    put_waste(sheet, MEMORY, &memory, GIB_NANOS, "no running or pending pod requests memory");
    match both(&cpu, &memory) {
        Ok((cpu, memory)) => {
            let is_overallocated = |(cpu, memory): &(&Load, &Load)| is_under_a_fifth(cpu) || is_under_a_fifth(memory);
            sheet.count(OVERALLOCATED, cpu.iter().zip(memory).filter(is_overallocated).count());
        }
        Err(fault) => sheet.gap(OVERALLOCATED, &fault.message),
    }
}

/// The loads of the pods for which the scheduler reserves something: those that run or are about to.
fn find_loads(pods: &[Pod], usages: &[PodUsage], resource: Resource) -> Result<Vec<Load>, Fault> {
    let usages: BTreeMap<(&str, &str), &PodUsage> =
        usages.iter().map(|usage| ((&*usage.metadata.namespace, &*usage.metadata.name), usage)).collect();
    let reserving = pods.iter().filter(|pod| matches!(pod.status.phase.as_str(), "Running" | "Pending"));
    let load = |pod: &Pod| {
        let usage = usages.get(&(&*pod.metadata.namespace, &*pod.metadata.name));
        let used = usage.map(|usage| find_used(usage, resource)).transpose()?;
        Ok(Load { reserved: find_reserved(pod, resource)?, used })
    };
    reserving.map(load).collect()
}

fn put_waste(sheet: &mut Sheet, series: [&str; 2], loads: &Result<Vec<Load>, Fault>, unit_nanos: f64, why_none: &str) {
    let loads = match loads {
        Ok(loads) => loads,
        Err(fault) => return sheet.lost(&series, fault),
    };
    let [waste, efficiency] = series;
    let reserved = loads.iter().map(|load| load.reserved).fold(0, Nanos::saturating_add);
    let used = loads.iter().filter_map(|load| load.used).fold(0, Nanos::saturating_add);
    sheet.put(waste, reserved.saturating_sub(used).max(0) as f64 / unit_nanos);
    sheet.put_or_gap(efficiency, (reserved > 0).then(|| 100.0 * used as f64 / reserved as f64), why_none);
}

fn is_under_a_fifth(load: &Load) -> bool {
    load.used.is_some_and(|used| used.saturating_mul(5) < load.reserved)
}

/// Both, or the first fault.
fn both<'a, A, B>(a: &'a Result<A, Fault>, b: &'a Result<B, Fault>) -> Result<(&'a A, &'a B), &'a Fault> {
    Ok((a.as_ref()?, b.as_ref()?))
}
