//! `wit/ec2.wit`.

use jiff::Timestamp;

use super::bindings::collector::host::ec2 as wit;
use crate::ec2::{Instance, InstanceType, InstanceTypes, Page, Snapshot, SpotPrice, Utilization, Volume};
use crate::fault::{Fault, Reason};

pub async fn ec2_region() -> Result<String, Fault> {
    wit::region().await.map_err(fault)
}

pub async fn ec2_instances(next_token: Option<String>) -> Result<Page<Instance>, Fault> {
    let page = wit::instances(next_token).await.map_err(fault)?;
    Ok(Page { rows: page.rows.into_iter().map(instance).collect(), next_token: page.next_token })
}

pub async fn ec2_volumes(next_token: Option<String>) -> Result<Page<Volume>, Fault> {
    let page = wit::volumes(next_token).await.map_err(fault)?;
    let volume = |v: wit::Volume| Volume { id: v.id, size: v.size, attachments: v.attachments };
    Ok(Page { rows: page.rows.into_iter().map(volume).collect(), next_token: page.next_token })
}

pub async fn ec2_snapshots(next_token: Option<String>) -> Result<Page<Snapshot>, Fault> {
    let page = wit::snapshots(next_token).await.map_err(fault)?;
    let snapshot = |s: wit::Snapshot| Snapshot { id: s.id, volume_size: s.volume_size };
    Ok(Page { rows: page.rows.into_iter().map(snapshot).collect(), next_token: page.next_token })
}

pub async fn ec2_types(names: Vec<String>) -> Result<InstanceTypes, Fault> {
    let types = wit::types(names).await.map_err(fault)?;
    let row = |t: wit::InstanceType| InstanceType { name: t.name, default_vcpus: t.default_vcpus, gpus: t.gpus };
    Ok(InstanceTypes { rows: types.rows.into_iter().map(row).collect(), refused: types.refused })
}

pub async fn ec2_spot_prices(types: Vec<String>, next_token: Option<String>) -> Result<Page<SpotPrice>, Fault> {
    let page = wit::spot_prices(types, next_token).await.map_err(fault)?;
    let price = |p: wit::SpotPrice| SpotPrice {
        instance_type: p.instance_type,
        availability_zone: p.availability_zone,
        product: p.product,
        price: p.price,
        time: Timestamp::from_millisecond(p.time_ms).unwrap_or(Timestamp::UNIX_EPOCH),
    };
    Ok(Page { rows: page.rows.into_iter().map(price).collect(), next_token: page.next_token })
}

pub async fn ec2_utilizations(
    instance_ids: Vec<String>,
    start: Timestamp,
    end: Timestamp,
    period_s: u32,
) -> Result<Vec<Utilization>, Fault> {
    let rows = wit::utilizations(instance_ids, start.as_millisecond(), end.as_millisecond(), period_s).await;
    let row = |u: wit::Utilization| Utilization { instance_id: u.instance_id, averages: u.averages };
    Ok(rows.map_err(fault)?.into_iter().map(row).collect())
}

fn instance(row: wit::Instance) -> Instance {
    Instance {
        id: row.id,
        instance_type: row.instance_type,
        state: row.state,
        lifecycle: row.lifecycle,
        launch_time: row.launch_time_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        availability_zone: row.availability_zone,
        platform: row.platform,
        tenancy: row.tenancy,
        cores: row.cores,
        threads_per_core: row.threads_per_core,
    }
}

fn fault(error: wit::Ec2Error) -> Fault {
    let reason = match error.kind {
        wit::ErrorKind::Denied => Reason::Denied,
        wit::ErrorKind::Limit => Reason::Limit,
        wit::ErrorKind::Forbidden => Reason::Unauthorized,
        wit::ErrorKind::Throttled => Reason::RateLimited,
        wit::ErrorKind::Unreachable => Reason::Unreachable,
        wit::ErrorKind::Timeout => Reason::Timeout,
        wit::ErrorKind::Broken => Reason::UpstreamError,
        wit::ErrorKind::Credential => Reason::Credential,
    };
    Fault::new(reason, error.message)
}
