//! The demo's EC2: the rows of a fixture. It takes the place of the AWS SDK, which speaks to Amazon alone.

use anyhow::Context;
use collector_sdk::ec2;
use collector_sdk::testing::Case;
use serde::de::DeserializeOwned;

use crate::capability::Ec2World;

/// Everything that the fixture's exchanges answer.
pub(super) fn world(case: &Case) -> anyhow::Result<Ec2World> {
    let types: ec2::InstanceTypes = answer(case, "/types")?;
    let utilizations: Vec<ec2::Utilization> = answer(case, "/utilizations")?;
    let utilization = |u: ec2::Utilization| host_ec2::Utilization { instance_id: u.instance_id, averages: u.averages };
    Ok(Ec2World {
        region: answer(case, "/region")?,
        instances: rows(case, "/instances", instance)?,
        volumes: rows(case, "/volumes", |v: ec2::Volume| host_ec2::Volume {
            id: v.id,
            size: v.size,
            attachments: v.attachments,
        })?,
        snapshots: rows(case, "/snapshots", |s: ec2::Snapshot| host_ec2::Snapshot {
            id: s.id,
            volume_size: s.volume_size,
        })?,
        types: types.rows.into_iter().map(instance_type).collect(),
        spot_prices: rows(case, "/spot-prices", spot_price)?,
        utilizations: utilizations.into_iter().map(utilization).collect(),
    })
}

fn rows<T: DeserializeOwned, R>(case: &Case, path: &str, row: impl Fn(T) -> R) -> anyhow::Result<Vec<R>> {
    let page: ec2::Page<T> = answer(case, path)?;
    Ok(page.rows.into_iter().map(row).collect())
}

fn answer<T: DeserializeOwned>(case: &Case, path: &str) -> anyhow::Result<T> {
    let exchange = case.exchanges.iter().find(|exchange| exchange.upstream == "ec2" && exchange.path == path);
    let exchange = exchange.with_context(|| format!("the fixture of ec2 has no {path}"))?;
    serde_json::from_slice(&exchange.answer_parts().1).with_context(|| format!("the fixture of ec2: {path}"))
}

fn instance(row: ec2::Instance) -> host_ec2::Instance {
    host_ec2::Instance {
        id: row.id,
        instance_type: row.instance_type,
        state: row.state,
        lifecycle: row.lifecycle,
        launch_time_ms: row.launch_time.map(|time| time.as_millisecond()),
        availability_zone: row.availability_zone,
        platform: row.platform,
        tenancy: row.tenancy,
        cores: row.cores,
        threads_per_core: row.threads_per_core,
    }
}

fn instance_type(row: ec2::InstanceType) -> host_ec2::InstanceType {
    host_ec2::InstanceType { name: row.name, default_vcpus: row.default_vcpus, gpus: row.gpus }
}

fn spot_price(row: ec2::SpotPrice) -> host_ec2::SpotPrice {
    host_ec2::SpotPrice {
        instance_type: row.instance_type,
        availability_zone: row.availability_zone,
        product: row.product,
        price: row.price,
        time_ms: row.time.as_millisecond(),
    }
}
