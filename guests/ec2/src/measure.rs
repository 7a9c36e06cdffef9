//! What instances, volumes and snapshots amount to: pure, rows in, a sheet out. Every formula stands here.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use collector_sdk::ec2::{Instance, InstanceType, Snapshot, SpotPrice, Utilization, Volume};
use collector_sdk::{Fault, Sheet, Timestamp};

use crate::api::{ListPrices, is_price, read_platform, start_of_hour};

/// The series that are measured on instances.
const INSTANCES: [&str; 14] = [
    "ec2.instances.total",
    "ec2.instances.running",
    "ec2.instances.stopped",
    "ec2.instances.spot",
    "ec2.instances.ondemand",
    "ec2.instances.gpu_instances",
    "ec2.instances.gpu_count",
    "ec2.instances.cpu_count",
    IDLE,
    AVG_AGE,
    OLDEST_AGE,
    HOURLY,
    MONTHLY,
    SAVINGS,
];
const IDLE: &str = "ec2.instances.idle";
const AVG_AGE: &str = "ec2.instances.avg_age_days";
const OLDEST_AGE: &str = "ec2.instances.oldest_age_days";
const HOURLY: &str = "ec2.cost.running_hourly_estimate";
const MONTHLY: &str = "ec2.cost.monthly_estimate";
const SAVINGS: &str = "ec2.cost.spot_savings_pct";

const VOLUMES: [&str; 4] =
    ["ec2.ebs.volumes.total", "ec2.ebs.volumes.attached", "ec2.ebs.volumes.unattached", "ec2.ebs.volumes.size_gb"];
const SNAPSHOTS: [&str; 2] = ["ec2.ebs.snapshots.total", "ec2.ebs.snapshots.size_gb"];

const IDLE_BELOW_PERCENT: f64 = 10.0;
const DAY_SECONDS: f64 = 86_400.0;
const MONTH_HOURS: f64 = 730.0;
/// A gap's reason is cut where it is too long: so many fit.
const REASONS_SHOWN: usize = 3;

/// A figure, or what one instance adds to it; else why it cannot be known.
type Known<'a, T = f64> = Result<T, Lack<'a>>;

#[derive(Clone, Debug)]
enum Lack<'a> {
    /// The group that would tell was lost.
    Lost(&'a Fault),
    /// The group does not have it.
    Missing(String),
}

/// Names the region on every point, and each fault once, however many series it cost.
pub fn name_region(mut sheet: Sheet, region: &str) -> Sheet {
    for point in &mut sheet.points {
        point.tags.push(format!("region:{region}"));
    }
    sheet.faults.dedup();
    sheet
}

/// Without the instances, nothing that is measured on them has a value.
pub fn lose_instances(fault: &Fault) -> Sheet {
    let mut sheet = Sheet::default();
    sheet.lost(&INSTANCES, fault);
    sheet
}

/// How many and how old, in every state.
pub fn measure_instances(instances: &[Instance], now: Timestamp) -> Sheet {
    let mut sheet = Sheet::default();
    let spot = instances.iter().filter(|instance| is_spot(instance)).count();
    let stopped = instances.iter().filter(|instance| instance.state == "stopped").count();
    sheet.count("ec2.instances.total", instances.len());
    sheet.count("ec2.instances.running", instances.iter().filter(|instance| is_running(instance)).count());
    sheet.count("ec2.instances.stopped", stopped);
    sheet.count("ec2.instances.spot", spot);
    sheet.count("ec2.instances.ondemand", instances.len().saturating_sub(spot));

    let launches = instances.iter().filter_map(|instance| instance.launch_time);
    // What was launched after the cycle began is new, not of a negative age.
    let age_days = |launch| (now.duration_since(launch).as_secs_f64() / DAY_SECONDS).max(0.0);
    let ages: Vec<f64> = launches.map(age_days).collect();
    sheet.put_or_gap(AVG_AGE, mean(&ages), "no instance has a launch time");
    sheet.put_or_gap(OLDEST_AGE, ages.iter().copied().reduce(f64::max), "no instance has a launch time");
    sheet
}

/// GPUs and vCPUs, in every state: a stopped instance still has them.
pub fn measure_types(instances: &[Instance], types: &Result<Vec<InstanceType>, Fault>) -> Sheet {
    let types = Types::of(types);
    let has_gpu = |instance| types.find(instance).map(|found| if found.gpus.is_some() { 1.0 } else { 0.0 });
    // A type with a part of a GPU has 0 of them.
    let gpus = |instance| types.find(instance).map(|found| found.gpus.map_or(0.0, f64::from));
    let vcpus = |instance| read_own_vcpus(instance).map_or_else(|| types.find_vcpus(instance), Ok);

    let mut sheet = Sheet::default();
    put(&mut sheet, "ec2.instances.gpu_instances", add_up(instances.iter().map(has_gpu)));
    put(&mut sheet, "ec2.instances.gpu_count", add_up(instances.iter().map(gpus)));
    put(&mut sheet, "ec2.instances.cpu_count", add_up(instances.iter().map(vcpus)));
    sheet
}

/// The running instances that were launched an hour ago or earlier: only they can be idle.
pub fn select_settled(instances: &[Instance], now: Timestamp) -> Vec<&Instance> {
    let is_settled = |launch| launch <= start_of_hour(now);
    instances.iter().filter(|instance| is_running(instance) && instance.launch_time.is_some_and(is_settled)).collect()
}

/// How many of the settled instances were idle in every five minutes of the last hour that there is an average of.
pub fn measure_idle(settled: &[&Instance], utilizations: &Result<Vec<Utilization>, Fault>) -> Sheet {
    let mut sheet = Sheet::default();
    match utilizations {
        Ok(rows) => {
            let mut averages: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
            for row in rows {
                averages.entry(&row.instance_id).or_default().extend(&row.averages);
            }
            let is_idle = |averages: &Vec<f64>| {
                !averages.is_empty() && averages.iter().all(|percent| *percent < IDLE_BELOW_PERCENT)
            };
            let idle = settled.iter().filter(|instance| averages.get(instance.id.as_str()).is_some_and(is_idle));
            sheet.count(IDLE, idle.count());
        }
        Err(fault) => sheet.lost(&[IDLE], fault),
    }
    sheet
}

/// The instances that are paid for at spot prices now.
pub fn select_running_spot(instances: &[Instance]) -> Vec<&Instance> {
    instances.iter().filter(|instance| is_running(instance) && is_spot(instance)).collect()
}

/// What the running instances cost: spot instances at spot prices, all others at list prices.
pub fn measure_costs(
    instances: &[Instance],
    region: &str,
    list: &Result<ListPrices, Fault>,
    spot: &Result<Vec<SpotPrice>, Fault>,
) -> Sheet {
    let spot = SpotPrices::of(spot, region);
    let list_price = |instance| find_list_price(list, instance, region);
    let price = |instance| if is_spot(instance) { spot.find(instance) } else { list_price(instance) };
    let hourly = add_up(instances.iter().filter(|instance| is_running(instance)).map(price));
    let running_spot = select_running_spot(instances);
    let paid = add_up(running_spot.iter().map(|instance| spot.find(instance)));
    let listed = add_up(running_spot.iter().map(|instance| list_price(instance)));

    let mut sheet = Sheet::default();
    put(&mut sheet, MONTHLY, hourly.clone().map(|usd| MONTH_HOURS * usd));
    put(&mut sheet, HOURLY, hourly);
    match paid.and_then(|paid| Ok((paid, listed?))) {
        _ if running_spot.is_empty() => sheet.gap(SAVINGS, "no spot instance is running"),
        Ok((_, listed)) if listed <= 0.0 => sheet.gap(SAVINGS, "the running spot instances cost nothing at list price"),
        known => put(&mut sheet, SAVINGS, known.map(|(paid, listed)| 100.0 * (listed - paid) / listed)),
    }
    sheet
}

/// How many volumes, attached or not, and their size.
pub fn measure_volumes(volumes: &Result<Vec<Volume>, Fault>) -> Sheet {
    let mut sheet = Sheet::default();
    match volumes {
        Ok(volumes) => {
            let attached = volumes.iter().filter(|volume| volume.attachments > 0).count();
            sheet.count("ec2.ebs.volumes.total", volumes.len());
            sheet.count("ec2.ebs.volumes.attached", attached);
            sheet.count("ec2.ebs.volumes.unattached", volumes.len().saturating_sub(attached));
            sheet.put("ec2.ebs.volumes.size_gb", volumes.iter().fold(0.0, |sum, volume| sum + f64::from(volume.size)));
        }
        Err(fault) => sheet.lost(&VOLUMES, fault),
    }
    sheet
}

/// How many snapshots, and the size of the volumes that they are of.
pub fn measure_snapshots(snapshots: &Result<Vec<Snapshot>, Fault>) -> Sheet {
    let mut sheet = Sheet::default();
    match snapshots {
        Ok(snapshots) => {
            let size_gb = snapshots.iter().fold(0.0, |sum, snapshot| sum + f64::from(snapshot.volume_size));
            sheet.count("ec2.ebs.snapshots.total", snapshots.len());
            sheet.put("ec2.ebs.snapshots.size_gb", size_gb);
        }
        Err(fault) => sheet.lost(&SNAPSHOTS, fault),
    }
    sheet
}

/// The types that EC2 described, by name.
struct Types<'a>(Known<'a, BTreeMap<&'a str, &'a InstanceType>>);

impl<'a> Types<'a> {
    fn of(types: &'a Result<Vec<InstanceType>, Fault>) -> Types<'a> {
        let by_name = |rows: &'a Vec<InstanceType>| rows.iter().map(|row| (row.name.as_str(), row)).collect();
        Types(types.as_ref().map(by_name).map_err(Lack::Lost))
    }

    fn find(&self, instance: &Instance) -> Known<'a, &'a InstanceType> {
        let name = &instance.instance_type;
        let found = self.0.as_ref().map_err(Lack::clone)?.get(name.as_str());
        found.copied().ok_or_else(|| Lack::Missing(format!("EC2 does not describe the type {name}")))
    }

    fn find_vcpus(&self, instance: &Instance) -> Known<'a> {
        let found = self.find(instance)?;
        let missing = || Lack::Missing(format!("EC2 tells no vCPUs of the type {}", found.name));
        found.default_vcpus.map(f64::from).ok_or_else(missing)
    }
}

/// The newest spot price for each zone, type and platform.
struct SpotPrices<'a> {
    newest: Known<'a, BTreeMap<(&'a str, &'a str, String), &'a SpotPrice>>,
    region: &'a str,
}

impl<'a> SpotPrices<'a> {
    fn of(prices: &'a Result<Vec<SpotPrice>, Fault>, region: &'a str) -> SpotPrices<'a> {
        let select_newest = |rows: &'a Vec<SpotPrice>| {
            let mut newest: BTreeMap<_, &SpotPrice> = BTreeMap::new();
            for row in rows {
                let key = (row.availability_zone.as_str(), row.instance_type.as_str(), read_platform(&row.product));
                let kept = newest.entry(key).or_insert(row);
                // Of two prices since the same instant it is the higher one, in whatever order they come.
                if row.time.cmp(&kept.time).then(row.price.total_cmp(&kept.price)).is_gt() {
                    *kept = row;
                }
            }
            newest
        };
        SpotPrices { newest: prices.as_ref().map(select_newest).map_err(Lack::Lost), region }
    }

    fn find(&self, instance: &Instance) -> Known<'a> {
        // In China, EC2 is paid for in yuan: karpenter-provider-aws, pkg/providers/pricing/pricing.go, `currency`.
        if self.region.starts_with("cn-") {
            return Err(Lack::Missing(format!("spot prices in {} are in yuan", self.region)));
        }
        let name = &instance.instance_type;
        let Some(zone) = instance.availability_zone.as_deref().filter(|zone| !zone.is_empty()) else {
            return Err(Lack::Missing(format!(
                "no zone of the spot instance {} ({name}), and so no price",
                instance.id
            )));
        };
        let key = (zone, name.as_str(), read_platform(tell_platform(instance)));
        let newest = self.newest.as_ref().map_err(Lack::clone)?.get(&key).map(|row| row.price);
        let missing = || Lack::Missing(format!("no spot price of {name} ({}) in {zone}", tell_platform(instance)));
        newest.filter(|price| is_price(*price)).ok_or_else(missing)
    }
}

/// List prices are those of shared hardware. An instance on dedicated hardware costs more, or nothing beside its host.
fn find_list_price<'a>(list: &'a Result<ListPrices, Fault>, instance: &Instance, region: &str) -> Known<'a> {
    let list = list.as_ref().map_err(Lack::Lost)?;
    let (name, platform, place) = (&instance.instance_type, tell_platform(instance), find_place(instance, region));
    match instance.tenancy.as_deref() {
        None | Some("" | "default") => list
            .find(place, name, platform)
            .ok_or_else(|| Lack::Missing(format!("no list price of {name} ({platform}) in {place}"))),
        Some(tenancy) => Err(Lack::Missing(format!("no list price of {name} with tenancy {tenancy}"))),
    }
}

/// The region, but for an instance in a local zone its zone group, as prices there are others: `us-east-1-bos-1` of the zone
/// `us-east-1-bos-1a`.
fn find_place<'a>(instance: &'a Instance, region: &'a str) -> &'a str {
    let zone = instance.availability_zone.as_deref().unwrap_or_default();
    let is_local = zone.strip_prefix(region).is_some_and(|rest| rest.starts_with('-'));
    if is_local { zone.trim_end_matches(|letter: char| letter.is_ascii_lowercase()) } else { region }
}

fn tell_platform(instance: &Instance) -> &str {
    instance.platform.as_deref().filter(|platform| !platform.is_empty()).unwrap_or("Linux/UNIX")
}

fn is_running(instance: &Instance) -> bool {
    instance.state == "running"
}

fn is_spot(instance: &Instance) -> bool {
    instance.lifecycle.as_deref() == Some("spot")
}

fn read_own_vcpus(instance: &Instance) -> Option<f64> {
    let vcpus = f64::from(instance.cores?) * f64::from(instance.threads_per_core?);
    Some(vcpus).filter(|vcpus| *vcpus > 0.0)
}

/// The sum of all parts; where parts cannot be known, the first reasons and how many others there are.
fn add_up<'a>(parts: impl Iterator<Item = Known<'a>>) -> Known<'a> {
    let (mut sum, mut missing) = (0.0, BTreeSet::new());
    for part in parts {
        match part {
            Ok(part) => sum += part,
            Err(Lack::Missing(what)) => drop(missing.insert(what)),
            Err(lost) => return Err(lost),
        }
    }
    let more = missing.len().saturating_sub(REASONS_SHOWN);
    let shown: Vec<String> = missing.into_iter().take(REASONS_SHOWN).collect();
    match shown.join("; ") {
        _ if shown.is_empty() => Ok(sum),
        shown if more == 0 => Err(Lack::Missing(shown)),
        shown => Err(Lack::Missing(format!("{shown} (and {more} more)"))),
    }
}

fn put(sheet: &mut Sheet, series: &str, figure: Known) {
    match figure {
        Ok(value) => sheet.put(series, value),
        Err(Lack::Lost(fault)) => sheet.lost(&[series], fault),
        Err(Lack::Missing(what)) => sheet.gap(series, what),
    }
}

#[expect(clippy::cast_precision_loss, reason = "no listing has 2^53 instances")]
fn mean(values: &[f64]) -> Option<f64> {
    let sum = values.iter().fold(0.0, |sum, value| sum + value);
    if values.is_empty() { None } else { Some(sum / values.len() as f64) }
}
