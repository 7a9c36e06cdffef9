//! What the collectors must make of the cluster.

use super::cluster::{CRON_JOBS, Cluster, DEPLOYED, DEPLOYMENTS, Fate, Pod};
use super::usage::{DISK_BYTES, RX_BYTES, TX_BYTES};
use super::work::is_suspended;
use crate::world::{Figure, figure};

const DAY_MINUTES: usize = 24 * 60;

/// Those of `kubernetes`.
pub fn of_pods(cluster: &Cluster) -> Vec<Figure> {
    let count = |is_meant: &dyn Fn(&Pod) -> bool| cluster.pods.iter().filter(|pod| is_meant(pod)).count();
    let fares = |fate: Fate| count(&|pod| pod.fate == fate);
    let reserving: Vec<&Pod> = cluster.pods.iter().filter(|pod| matches!(pod.phase(), "Running" | "Pending")).collect();
    let sum = |of: fn(&Pod) -> usize| reserving.iter().map(|pod| of(pod)).sum::<usize>() as f64;
    let (cpu, cpu_used) = (sum(|pod| pod.reserved().cpu_milli), sum(|pod| pod.used().cpu_milli));
    let (memory, memory_used) = (sum(|pod| pod.reserved().memory_mib), sum(|pod| pod.used().memory_mib));
    let is_overallocated = |pod: &&&Pod| {
        let (reserved, used) = (pod.reserved(), pod.used());
        used.cpu_milli * 5 < reserved.cpu_milli || used.memory_mib * 5 < reserved.memory_mib
    };
    vec![
        figure("k8s.pods.crash_looping", fares(Fate::Crashes)),
        figure("k8s.pods.failed", count(&|pod| pod.phase() == "Failed")),
        figure("k8s.pods.pending", count(&|pod| pod.phase() == "Pending")),
        figure("k8s.pods.oomkilled_24h", fares(Fate::OutOfMemory)),
        figure("k8s.pods.high_restarts", count(&|pod| pod.restarts > 5)),
        figure("k8s.pods.image_pull_errors", fares(Fate::WithoutImage)),
        figure("k8s.pods.idle_count", count(&|pod| pod.used().cpu_milli < 1 && pod.used().memory_mib < 10)),
        figure("k8s.pods.low_cpu_usage", count(&|pod| pod.used().cpu_milli < 10)),
        figure("k8s.pods.low_memory_usage", count(&|pod| pod.used().memory_mib < 50)),
        figure("k8s.deployments.zero_replicas", DEPLOYMENTS - DEPLOYED),
        figure("k8s.resources.cpu_waste_cores", (cpu - cpu_used) / 1e3),
        figure("k8s.resources.cpu_efficiency_pct", 100.0 * cpu_used / cpu),
        figure("k8s.resources.memory_waste_gb", (memory - memory_used) / 1024.0),
        figure("k8s.resources.memory_efficiency_pct", 100.0 * memory_used / memory),
        figure("k8s.resources.overallocated_pods", reserving.iter().filter(is_overallocated).count()),
    ]
}

/// Those of `batch` where no Job is listed. How jobs ended their events tell; which of them are active nobody does.
pub fn of_batch_without_jobs(cluster: &Cluster) -> Vec<Figure> {
    let active = "batch.jobs.active";
    let others = of_batch(cluster).into_iter().filter(|figure| figure.series != active);
    others.chain([figure(active, 0)]).collect()
}

/// Those of `batch`. A job whose pod is gone counts as one pod.
pub fn of_batch(cluster: &Cluster) -> Vec<Figure> {
    let pods: Vec<&Pod> = cluster.pods.iter().filter(|pod| pod.is_of_job()).collect();
    let count = |is_meant: &dyn Fn(&Pod) -> bool| pods.iter().filter(|pod| is_meant(pod)).count();
    let in_phase = |phase: &str| count(&|pod| pod.phase() == phase);
    let day = || cluster.jobs.iter().filter(|job| job.minutes <= DAY_MINUTES);
    let ended = |is_well: bool| day().filter(|job| job.ended_well() == Some(is_well)).count();
    let gone = |is_well: bool| {
        let of_day = cluster.jobs.iter().skip(pods.len()).filter(|job| job.minutes <= DAY_MINUTES);
        of_day.filter(|job| job.ended_well() == Some(is_well)).count()
    };
    let (succeeded, failed) = (in_phase("Succeeded") + gone(true), in_phase("Failed") + gone(false));
    let all = (succeeded + failed + in_phase("Running") + in_phase("Pending")) as f64;
    let running: Vec<&&Pod> = pods.iter().filter(|pod| pod.phase() == "Running").collect();
    let used = |of: fn(&Pod) -> usize| running.iter().map(|pod| of(pod)).sum::<usize>() as f64;
    vec![
        figure("batch.jobs.run_24h", ended(true) + ended(false)),
        figure("batch.jobs.succeeded_24h", ended(true)),
        figure("batch.jobs.failed_24h", ended(false)),
        figure("batch.jobs.active", cluster.jobs.iter().filter(|job| job.ended_well().is_none()).count()),
        figure("batch.pods.count", pods.len()),
        figure("batch.pods.succeeded_24h", succeeded),
        figure("batch.pods.failed_24h", failed),
        figure("batch.pods.pending", in_phase("Pending")),
        figure("batch.pods.oomkilled_24h", count(&|pod| pod.fate == Fate::OutOfMemory)),
        figure("batch.pods.crash_looping", count(&|pod| pod.fate == Fate::Crashes)),
        figure("batch.containers.restarts", pods.iter().map(|pod| pod.restarts).sum::<usize>()),
        figure("batch.containers.count", count(&|pod| pod.node().is_some())),
        figure("batch.success_rate_pct", 100.0 * succeeded as f64 / all),
        figure("batch.failure_rate_pct", 100.0 * failed as f64 / all),
        figure("batch.cronjobs.suspended", (0..CRON_JOBS).filter(|cron_job| is_suspended(*cron_job)).count()),
        figure("batch.usage.cpu_cores", used(|pod| pod.used().cpu_milli) / 1e3),
        figure("batch.usage.memory_bytes", used(|pod| pod.used().memory_mib << 20)),
        figure("batch.usage.disk_bytes", running.len() * DISK_BYTES),
        figure("batch.network.rx_bytes", running.len() * RX_BYTES),
        figure("batch.network.tx_bytes", running.len() * TX_BYTES),
        figure("batch.network.rx_errors", 0.0),
        figure("batch.network.tx_errors", running.len()),
    ]
}
