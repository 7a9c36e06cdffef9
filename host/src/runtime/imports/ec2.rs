//! `ec2`: the host's EC2 client, a call at a time.

use std::sync::Arc;

use wasmtime::component::{Accessor, HasSelf};

use super::State;
use super::quota::{Exceeded, Quota};
use super::wit::ec2::{
    Ec2Error, ErrorKind, Host, HostWithStore, Instance, InstancePage, InstanceType, InstanceTypes, Snapshot,
    SnapshotPage, SpotPrice, SpotPricePage, Utilization, Volume, VolumePage,
};
use crate::capability::{self, Capabilities, Ec2ErrorKind, Ec2Observer, Ec2Traffic};

/// Names of types, and instances, of one call: what the services take.
const TYPES_MAX: usize = 100;
const INSTANCES_MAX: usize = 500;

/// An attempt's side of EC2.
struct Desk {
    capabilities: Arc<Capabilities>,
    quota: Quota,
}

impl Desk {
    async fn ask<A, F>(
        &self,
        request_bytes: usize,
        call: impl FnOnce(Arc<Capabilities>, Ec2Traffic) -> F,
    ) -> Result<A, Ec2Error>
    where
        A: Send + 'static,
        F: Future<Output = Result<A, capability::Ec2Error>> + Send + 'static,
    {
        let _slot = self.quota.enter(request_bytes)?;
        let traffic = Ec2Traffic::new(self.quota.clone());
        let until = self.quota.deadline();
        let call = tokio::time::timeout_at(until.into(), call(self.capabilities.clone(), traffic));
        match self.quota.on_control(call).await {
            Some(Ok(answered)) => answered.map_err(error_to_wit),
            Some(Err(_)) | None => Err(error(ErrorKind::Timeout, "the attempt's time was up".into())),
        }
    }
}

/// The SDK asks again, and for pages, by itself: what it does is counted where it does it.
impl Ec2Observer for Quota {
    fn request(&self) -> Result<(), String> {
        self.count_request().map_err(|Exceeded(message)| message)?;
        self.meter().count_request();
        Ok(())
    }

    fn received(&self, piece_bytes: usize, answer_bytes: u64) -> Result<(), String> {
        self.meter().count_bytes(piece_bytes);
        let counted = self.check_body(answer_bytes).and_then(|()| self.count_body(piece_bytes));
        counted.map_err(|Exceeded(message)| message)
    }

    fn throttled(&self) {
        self.meter().count_throttled();
    }
}

impl Host for State {}

impl State {
    fn ec2(&self) -> Desk {
        Desk { capabilities: self.capabilities.clone(), quota: self.quota.clone() }
    }
}

fn desk<T: Send + 'static>(accessor: &Accessor<T, HasSelf<State>>) -> Desk {
    accessor.with(|mut access| access.get().ec2())
}

impl<T: Send + 'static> HostWithStore<T> for HasSelf<State> {
    async fn region(accessor: &Accessor<T, Self>) -> wasmtime::Result<Result<String, Ec2Error>> {
        Ok(desk(accessor).ask(0, |c, _| async move { c.ec2.region().await }).await)
    }

    async fn instances(
        accessor: &Accessor<T, Self>,
        token: Option<String>,
    ) -> wasmtime::Result<Result<InstancePage, Ec2Error>> {
        let page = desk(accessor).ask(bytes(&token), |c, t| async move { c.ec2.instances(token, &t).await }).await;
        Ok(page.map(|page| InstancePage {
            rows: page.rows.into_iter().map(instance).collect(),
            next_token: page.next_token,
        }))
    }

    async fn volumes(
        accessor: &Accessor<T, Self>,
        token: Option<String>,
    ) -> wasmtime::Result<Result<VolumePage, Ec2Error>> {
        let page = desk(accessor).ask(bytes(&token), |c, t| async move { c.ec2.volumes(token, &t).await }).await;
        let row = |row: host_ec2::Volume| Volume { id: row.id, size: row.size, attachments: row.attachments };
        Ok(page.map(|page| VolumePage { rows: page.rows.into_iter().map(row).collect(), next_token: page.next_token }))
    }

    async fn snapshots(
        accessor: &Accessor<T, Self>,
        token: Option<String>,
    ) -> wasmtime::Result<Result<SnapshotPage, Ec2Error>> {
        let page = desk(accessor).ask(bytes(&token), |c, t| async move { c.ec2.snapshots(token, &t).await }).await;
        let row = |row: host_ec2::Snapshot| Snapshot { id: row.id, volume_size: row.volume_size };
        Ok(page
            .map(|page| SnapshotPage { rows: page.rows.into_iter().map(row).collect(), next_token: page.next_token }))
    }

    async fn types(
        accessor: &Accessor<T, Self>,
        names: Vec<String>,
    ) -> wasmtime::Result<Result<InstanceTypes, Ec2Error>> {
        if names.len() > TYPES_MAX {
            return Ok(Err(error(ErrorKind::Limit, format!("{} types at once, more than {TYPES_MAX}", names.len()))));
        }
        let size = names.iter().map(String::len).sum();
        let types = desk(accessor).ask(size, |c, t| async move { c.ec2.types(&names, &t).await }).await;
        let row = |row: host_ec2::InstanceType| InstanceType {
            name: row.name,
            default_vcpus: row.default_vcpus,
            gpus: row.gpus,
        };
        Ok(types.map(|types| InstanceTypes { rows: types.rows.into_iter().map(row).collect(), refused: types.refused }))
    }

    async fn spot_prices(
        accessor: &Accessor<T, Self>,
        types: Vec<String>,
        token: Option<String>,
    ) -> wasmtime::Result<Result<SpotPricePage, Ec2Error>> {
        if types.len() > TYPES_MAX {
            return Ok(Err(error(ErrorKind::Limit, format!("{} types at once, more than {TYPES_MAX}", types.len()))));
        }
        let size = types.iter().map(String::len).sum::<usize>() + bytes(&token);
        let page = desk(accessor).ask(size, |c, t| async move { c.ec2.spot_prices(&types, token, &t).await }).await;
        let row = |row: host_ec2::SpotPrice| SpotPrice {
            instance_type: row.instance_type,
            availability_zone: row.availability_zone,
            product: row.product,
            price: row.price,
            time_ms: row.time_ms,
        };
        Ok(page
            .map(|page| SpotPricePage { rows: page.rows.into_iter().map(row).collect(), next_token: page.next_token }))
    }

    async fn utilizations(
        accessor: &Accessor<T, Self>,
        ids: Vec<String>,
        start_ms: i64,
        end_ms: i64,
        period_s: u32,
    ) -> wasmtime::Result<Result<Vec<Utilization>, Ec2Error>> {
        if ids.len() > INSTANCES_MAX {
            let what = format!("{} instances at once, more than {INSTANCES_MAX}", ids.len());
            return Ok(Err(error(ErrorKind::Limit, what)));
        }
        let period_s = i32::try_from(period_s).unwrap_or(i32::MAX);
        let size = ids.iter().map(String::len).sum();
        let ask = |c: Arc<Capabilities>, t: Ec2Traffic| async move {
            c.ec2.utilizations(&ids, start_ms, end_ms, period_s, &t).await
        };
        let rows = desk(accessor).ask(size, ask).await;
        let row = |row: host_ec2::Utilization| Utilization { instance_id: row.instance_id, averages: row.averages };
        Ok(rows.map(|rows| rows.into_iter().map(row).collect()))
    }
}

fn bytes(token: &Option<String>) -> usize {
    token.as_ref().map_or(0, String::len)
}

fn instance(row: host_ec2::Instance) -> Instance {
    Instance {
        id: row.id,
        instance_type: row.instance_type,
        state: row.state,
        lifecycle: row.lifecycle,
        launch_time_ms: row.launch_time_ms,
        availability_zone: row.availability_zone,
        platform: row.platform,
        tenancy: row.tenancy,
        cores: row.cores,
        threads_per_core: row.threads_per_core,
    }
}

fn error(kind: ErrorKind, message: String) -> Ec2Error {
    Ec2Error { kind, message }
}

impl From<Exceeded> for Ec2Error {
    fn from(Exceeded(message): Exceeded) -> Ec2Error {
        error(ErrorKind::Limit, message)
    }
}

fn error_to_wit(problem: capability::Ec2Error) -> Ec2Error {
    let kind = match problem.kind {
        Ec2ErrorKind::Forbidden => ErrorKind::Forbidden,
        Ec2ErrorKind::Throttled => ErrorKind::Throttled,
        Ec2ErrorKind::Unreachable => ErrorKind::Unreachable,
        Ec2ErrorKind::Timeout => ErrorKind::Timeout,
        Ec2ErrorKind::Broken => ErrorKind::Broken,
        Ec2ErrorKind::Limit => ErrorKind::Limit,
        Ec2ErrorKind::Credential => ErrorKind::Credential,
    };
    error(kind, problem.message)
}
