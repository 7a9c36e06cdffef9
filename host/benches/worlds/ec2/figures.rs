//! What the collector must make of the fleet.

use super::fleet::{Fleet, Instance, SNAPSHOTS, VOLUMES, is_attached, snapshot_size, volume_size};
use crate::world::{Figure, figure};

const HOUR_MINUTES: usize = 60;
const DAY_MINUTES: f64 = 24.0 * 60.0;

pub fn of(fleet: &Fleet) -> Vec<Figure> {
    let all = &fleet.instances;
    let count = |is_meant: fn(&Instance) -> bool| all.iter().filter(|instance| is_meant(instance)).count();
    let in_state = |state: &str| all.iter().filter(|instance| instance.state == state).count();
    let (gpus, vcpus) = (|n: &Instance| fleet.type_of(n).gpus, |n: &Instance| fleet.type_of(n).vcpus);
    let days: Vec<f64> = all.iter().map(|instance| instance.launched_minutes as f64 / DAY_MINUTES).collect();
    let is_idle = |n: &Instance| n.is_running() && n.is_bored() && n.launched_minutes >= HOUR_MINUTES;
    let attached = (0..VOLUMES).filter(|volume| is_attached(*volume)).count();

    let running: Vec<&Instance> = all.iter().filter(|instance| instance.is_running()).collect();
    let list_price = |n: &Instance| fleet.type_of(n).list_price;
    let spot_price = |n: &Instance| fleet.type_of(n).spot_price(n.zone);
    let price = |n: &&Instance| if n.is_spot { spot_price(n) } else { list_price(n) };
    let hourly: f64 = running.iter().map(price).sum();
    let spot = || running.iter().filter(|instance| instance.is_spot);
    let (paid, listed): (f64, f64) = (spot().map(|n| spot_price(n)).sum(), spot().map(|n| list_price(n)).sum());
    vec![
        figure("ec2.instances.total", all.len()),
        figure("ec2.instances.running", running.len()),
        figure("ec2.instances.stopped", in_state("stopped")),
        figure("ec2.instances.spot", count(|instance| instance.is_spot)),
        figure("ec2.instances.ondemand", count(|instance| !instance.is_spot)),
        figure("ec2.instances.gpu_instances", all.iter().filter(|instance| gpus(instance) > 0).count()),
        figure("ec2.instances.gpu_count", all.iter().map(gpus).sum::<usize>()),
        figure("ec2.instances.cpu_count", all.iter().map(vcpus).sum::<usize>()),
        figure("ec2.instances.idle", count(is_idle)),
        figure("ec2.instances.avg_age_days", days.iter().sum::<f64>() / days.len() as f64),
        figure("ec2.instances.oldest_age_days", days.iter().copied().fold(0.0, f64::max)),
        figure("ec2.ebs.volumes.total", VOLUMES),
        figure("ec2.ebs.volumes.attached", attached),
        figure("ec2.ebs.volumes.unattached", VOLUMES - attached),
        figure("ec2.ebs.volumes.size_gb", (0..VOLUMES).map(volume_size).sum::<usize>()),
        figure("ec2.ebs.snapshots.total", SNAPSHOTS),
        figure("ec2.ebs.snapshots.size_gb", (0..SNAPSHOTS).map(snapshot_size).sum::<usize>()),
        figure("ec2.cost.running_hourly_estimate", hourly),
        figure("ec2.cost.monthly_estimate", 730.0 * hourly),
        figure("ec2.cost.spot_savings_pct", 100.0 * (listed - paid) / listed),
    ]
}
