//! Amazon EC2 and the CPU of its instances, through the host's AWS credentials. Lists are whole: the pages are turned here.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use crate::fault::Fault;

/// An instance, of any state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Instance {
    pub id: String,
    /// `g6.12xlarge`
    pub instance_type: String,
    /// `pending`, `running`, `shutting-down`, `terminated`, `stopping`, `stopped`
    pub state: String,
    /// `spot`, `scheduled`, `capacity-block`, …; none is on-demand.
    pub lifecycle: Option<String>,
    pub launch_time: Option<Timestamp>,
    pub availability_zone: Option<String>,
    /// `Linux/UNIX`, `Windows`, …
    pub platform: Option<String>,
    pub tenancy: Option<String>,
    /// `CpuOptions`, where the answer has them.
    pub cores: Option<u32>,
    pub threads_per_core: Option<u32>,
}

/// An EBS volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Volume {
    pub id: String,
    /// GiB
    pub size: u32,
    pub attachments: u32,
}

/// A snapshot that this account owns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Snapshot {
    pub id: String,
    /// GiB of the volume that it is of, not of what is stored.
    pub volume_size: u32,
}

/// What a type has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceType {
    pub name: String,
    pub default_vcpus: Option<u32>,
    /// None where the type has no GPU; 0 where it has a part of one.
    pub gpus: Option<u32>,
}

/// The price of a type in a zone.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpotPrice {
    pub instance_type: String,
    pub availability_zone: String,
    /// `Linux/UNIX`, …
    pub product: String,
    /// US dollars an hour.
    pub price: f64,
    /// Since when.
    pub time: Timestamp,
}

/// The CPU utilization of an instance.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Utilization {
    pub instance_id: String,
    /// Percent, the average of each period, in no order.
    pub averages: Vec<f64>,
}

/// What [`types`] answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceTypes {
    pub rows: Vec<InstanceType>,
    /// Names that the service refuses: they cost the others nothing.
    pub refused: Vec<String>,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page<T> {
    pub rows: Vec<T>,
    #[serde(default)]
    pub next_token: Option<String>,
}

/// Types of which [`types`] and [`spot_prices`] take so many in a request.
const TYPES_AT_ONCE: usize = 100;
/// Instances of which [`utilizations`] takes so many in a request.
const INSTANCES_AT_ONCE: usize = 500;

/// The region that the others speak of: `us-east-1`.
///
/// # Errors
/// Where the host knows none.
pub async fn region() -> Result<String, Fault> {
    crate::boundary::ec2_region().await.map_err(|fault| fault.while_asking("ec2 region"))
}

/// Instances of every state.
///
/// # Errors
/// Where a page cannot be had: a list that broke off is not given in part. So with the other lists.
pub async fn instances() -> Result<Vec<Instance>, Fault> {
    turn_pages("ec2 instances", crate::boundary::ec2_instances).await
}

/// Volumes of every state.
///
/// # Errors
/// As [`instances`].
pub async fn volumes() -> Result<Vec<Volume>, Fault> {
    turn_pages("ec2 volumes", crate::boundary::ec2_volumes).await
}

/// Snapshots that this account owns.
///
/// # Errors
/// As [`instances`].
pub async fn snapshots() -> Result<Vec<Snapshot>, Fault> {
    turn_pages("ec2 snapshots", crate::boundary::ec2_snapshots).await
}

/// What types have, however many; those that the service refuses stand beside the others.
///
/// # Errors
/// As [`instances`].
pub async fn types(names: &[String]) -> Result<InstanceTypes, Fault> {
    let mut all = InstanceTypes::default();
    for names in names.chunks(TYPES_AT_ONCE) {
        let some = crate::boundary::ec2_types(names.to_vec()).await.map_err(|fault| fault.while_asking("ec2 types"))?;
        all.rows.extend(some.rows);
        all.refused.extend(some.refused);
    }
    Ok(all)
}

/// The spot prices in force of these types, in every zone.
///
/// # Errors
/// As [`instances`].
pub async fn spot_prices(types: &[String]) -> Result<Vec<SpotPrice>, Fault> {
    let mut all = Vec::new();
    for types in types.chunks(TYPES_AT_ONCE) {
        let ask = |token| crate::boundary::ec2_spot_prices(types.to_vec(), token);
        all.extend(turn_pages("ec2 spot prices", ask).await?);
    }
    Ok(all)
}

/// CPU utilization from `start` to `end`, averaged over each `period`. An instance without data has no averages.
///
/// # Errors
/// As [`instances`].
pub async fn utilizations(
    instance_ids: &[String],
    start: Timestamp,
    end: Timestamp,
    period: Duration,
) -> Result<Vec<Utilization>, Fault> {
    let period_s = u32::try_from(period.as_secs()).unwrap_or(u32::MAX);
    let mut all = Vec::new();
    for ids in instance_ids.chunks(INSTANCES_AT_ONCE) {
        let some = crate::boundary::ec2_utilizations(ids.to_vec(), start, end, period_s).await;
        all.extend(some.map_err(|fault| fault.while_asking("ec2 CPU utilization"))?);
    }
    Ok(all)
}

async fn turn_pages<T, F>(what: &str, mut ask: impl FnMut(Option<String>) -> F) -> Result<Vec<T>, Fault>
where
    F: Future<Output = Result<Page<T>, Fault>>,
{
    let (mut rows, mut token, mut seen) = (Vec::new(), None, HashSet::new());
    loop {
        // A page may be empty and still not be the last.
        let page = ask(token.clone()).await.map_err(|fault| fault.while_asking(what))?;
        rows.extend(page.rows);
        let next = page.next_token.filter(|next| !next.is_empty());
        match next {
            Some(next) if !seen.insert(next.clone()) => {
                return Err(Fault::bad_answer(format!("{what}: the pages go in a circle")));
            }
            Some(next) => token = Some(next),
            None => return Ok(rows),
        }
    }
}
