//! `wit/ec2.wit`.

use jiff::Timestamp;

use super::bindings::collector::host::ec2 as wit;
use crate::ec2::{
    Error, ErrorKind, Instance, InstanceType, InstanceTypes, Page, Snapshot, SpotPrice, Utilization, Volume,
};

pub async fn ec2_region() -> Result<String, Error> {
    wit::region().await.map_err(error)
}

pub async fn ec2_instances(next_token: Option<String>) -> Result<Page<Instance>, Error> {
    let page = wit::instances(next_token).await.map_err(error)?;
    Ok(Page { rows: page.rows.into_iter().map(instance).collect(), next_token: page.next_token })
}

pub async fn ec2_volumes(next_token: Option<String>) -> Result<Page<Volume>, Error> {
    let page = wit::volumes(next_token).await.map_err(error)?;
    let volume = |v: wit::Volume| Volume { id: v.id, size: v.size, attachments: v.attachments };
    Ok(Page { rows: page.rows.into_iter().map(volume).collect(), next_token: page.next_token })
}

pub async fn ec2_snapshots(next_token: Option<String>) -> Result<Page<Snapshot>, Error> {
    let page = wit::snapshots(next_token).await.map_err(error)?;
    let snapshot = |s: wit::Snapshot| Snapshot { id: s.id, volume_size: s.volume_size };
    Ok(Page { rows: page.rows.into_iter().map(snapshot).collect(), next_token: page.next_token })
}

pub async fn ec2_types(names: Vec<String>) -> Result<InstanceTypes, Error> {
    let types = wit::types(names).await.map_err(error)?;
    let row = |t: wit::InstanceType| InstanceType { name: t.name, default_vcpus: t.default_vcpus, gpus: t.gpus };
    Ok(InstanceTypes { rows: types.rows.into_iter().map(row).collect(), refused: types.refused })
}

pub async fn ec2_spot_prices(types: Vec<String>, next_token: Option<String>) -> Result<Page<SpotPrice>, Error> {
    let page = wit::spot_prices(types, next_token).await.map_err(error)?;
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
) -> Result<Vec<Utilization>, Error> {
    let rows = wit::utilizations(instance_ids, start.as_millisecond(), end.as_millisecond(), period_s).await;
    let row = |u: wit::Utilization| Utilization { instance_id: u.instance_id, averages: u.averages };
    Ok(rows.map_err(error)?.into_iter().map(row).collect())
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

fn error(error: wit::Ec2Error) -> Error {
    let kind = match error.kind {
        wit::ErrorKind::Denied => ErrorKind::Denied,
        wit::ErrorKind::Limit => ErrorKind::Limit,
        wit::ErrorKind::Forbidden => ErrorKind::Forbidden,
        wit::ErrorKind::Throttled => ErrorKind::Throttled,
        wit::ErrorKind::Unreachable => ErrorKind::Unreachable,
        wit::ErrorKind::Timeout => ErrorKind::Timeout,
        wit::ErrorKind::Broken => ErrorKind::Broken,
        wit::ErrorKind::Credential => ErrorKind::Credential,
    };
    Error { kind, message: error.message }
}
