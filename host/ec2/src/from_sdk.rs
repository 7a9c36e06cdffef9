//! The SDK's rows as rows of this crate.

use aws_sdk_ec2::types;

use crate::{Instance, InstanceType, Snapshot, SpotPrice, Volume};

fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

impl From<types::Instance> for Instance {
    fn from(row: types::Instance) -> Instance {
        let cpu = row.cpu_options.as_ref();
        let placement = row.placement.as_ref();
        Instance {
            id: row.instance_id.unwrap_or_default(),
            instance_type: row.instance_type.map(|t| t.as_str().to_owned()).unwrap_or_default(),
            state: row.state.and_then(|s| s.name).map(|n| n.as_str().to_owned()).unwrap_or_default(),
            lifecycle: row.instance_lifecycle.map(|l| l.as_str().to_owned()),
            launch_time_ms: row.launch_time.and_then(|t| t.to_millis().ok()),
            availability_zone: placement.and_then(|p| p.availability_zone.clone()),
            platform: row.platform_details,
            tenancy: placement.and_then(|p| p.tenancy.as_ref()).map(|t| t.as_str().to_owned()),
            cores: cpu.and_then(|c| c.core_count).map(count),
            threads_per_core: cpu.and_then(|c| c.threads_per_core).map(count),
        }
    }
}

impl From<types::Volume> for Volume {
    fn from(row: types::Volume) -> Volume {
        let attachments = row.attachments.unwrap_or_default().len();
        Volume {
            id: row.volume_id.unwrap_or_default(),
            size: row.size.map(count).unwrap_or_default(),
            attachments: u32::try_from(attachments).unwrap_or(u32::MAX),
        }
    }
}

impl From<types::Snapshot> for Snapshot {
    fn from(row: types::Snapshot) -> Snapshot {
        Snapshot {
            id: row.snapshot_id.unwrap_or_default(),
            volume_size: row.volume_size.map(count).unwrap_or_default(),
        }
    }
}

impl From<types::InstanceTypeInfo> for InstanceType {
    fn from(row: types::InstanceTypeInfo) -> InstanceType {
        let gpus = row.gpu_info.map(|info| {
            info.gpus.unwrap_or_default().iter().filter_map(|gpu| gpu.count).map(count).fold(0, u32::saturating_add)
        });
        InstanceType {
            name: row.instance_type.map(|t| t.as_str().to_owned()).unwrap_or_default(),
            default_vcpus: row.v_cpu_info.and_then(|info| info.default_v_cpus).map(count),
            gpus,
        }
    }
}

/// A price; none where the row lacks what makes it one.
pub(crate) fn spot_price(row: types::SpotPrice) -> Option<SpotPrice> {
    Some(SpotPrice {
        instance_type: row.instance_type?.as_str().to_owned(),
        availability_zone: row.availability_zone?,
        product: row.product_description?.as_str().to_owned(),
        price: row.spot_price?.parse().ok().filter(|price: &f64| price.is_finite())?,
        time_ms: row.timestamp?.to_millis().ok()?,
    })
}
