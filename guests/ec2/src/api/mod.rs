//! What EC2 is asked, each group for itself, and the rows that it answers with. [`prices`] has what EC2 does not tell.

mod prices;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use collector_sdk::ec2::{self, Instance, InstanceType, Snapshot, SpotPrice, Utilization, Volume};
use collector_sdk::{Fault, Timestamp};

pub use self::prices::{ListPrices, is_price, read_platform};

/// CloudWatch has an average of every five minutes without detailed monitoring too.
const UTILIZATION_PERIOD: Duration = Duration::from_mins(5);

/// The region that everything is asked of. Every point names it, so without it there is nothing to say.
///
/// # Errors
/// Where the host knows none.
pub async fn find_region() -> Result<String, Fault> {
    let region = ec2::region().await?;
    if region.is_empty() { Err(Fault::setting("ec2 region: the host's answer is empty")) } else { Ok(region) }
}

/// Instances of every state, each once.
///
/// # Errors
/// Where the list cannot be had to its end. So with the others.
pub async fn list_instances() -> Result<Vec<Instance>, Fault> {
    Ok(keep_once(ec2::instances().await?, |instance| &instance.id))
}

/// Volumes of every state, each once.
///
/// # Errors
/// As [`list_instances`].
pub async fn list_volumes() -> Result<Vec<Volume>, Fault> {
    Ok(keep_once(ec2::volumes().await?, |volume| &volume.id))
}

/// Snapshots of the account, each once.
///
/// # Errors
/// As [`list_instances`].
pub async fn list_snapshots() -> Result<Vec<Snapshot>, Fault> {
    Ok(keep_once(ec2::snapshots().await?, |snapshot| &snapshot.id))
}

/// What the types of these instances have. A type that EC2 refuses is not among them.
///
/// # Errors
/// As [`list_instances`].
pub async fn list_types(instances: &[Instance]) -> Result<Vec<InstanceType>, Fault> {
    Ok(ec2::types(&name_types(instances)).await?.rows)
}

/// The spot prices of these instances' types in every zone.
///
/// # Errors
/// As [`list_instances`].
pub async fn list_spot_prices(instances: &[&Instance]) -> Result<Vec<SpotPrice>, Fault> {
    ec2::spot_prices(&name_types(instances.iter().copied())).await
}

/// The CPU utilization of these instances in the last hour, in averages of five minutes.
///
/// # Errors
/// As [`list_instances`].
pub async fn read_utilizations(instances: &[&Instance], now: Timestamp) -> Result<Vec<Utilization>, Fault> {
    let named = instances.iter().filter(|instance| !instance.id.is_empty());
    let ids: Vec<String> = named.map(|instance| instance.id.clone()).collect();
    ec2::utilizations(&ids, start_of_hour(now), now, UTILIZATION_PERIOD).await
}

/// The instant at which the hour that ends now begins. The instant belongs to the hour.
pub fn start_of_hour(now: Timestamp) -> Timestamp {
    now.checked_sub(Duration::from_hours(1)).unwrap_or(Timestamp::MIN)
}

/// Every type once, in order: nothing is asked twice, and the same world is asked the same.
fn name_types<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> Vec<String> {
    let names: BTreeSet<&str> = instances.into_iter().map(|instance| instance.instance_type.as_str()).collect();
    names.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// A row that a page boundary repeats is there once. A row without an id repeats nothing.
fn keep_once<T>(mut rows: Vec<T>, id: impl Fn(&T) -> &str) -> Vec<T> {
    let mut seen = BTreeSet::new();
    rows.retain(|row| id(row).is_empty() || seen.insert(id(row).to_owned()));
    rows
}
