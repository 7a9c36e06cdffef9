//! Collects the EC2 instances, volumes and snapshots of one region: ask, measure, emit.

mod api;
mod measure;

use collector_sdk::futures::join;
use collector_sdk::{Collector, Fault, Sheet, emit, now};

/// The collector `ec2`.
pub struct Ec2;

// Each group is emitted as soon as it is there: what one has said is kept when the deadline ends another.
impl Collector for Ec2 {
    async fn collect() -> Result<(), Fault> {
        let region = api::find_region().await?;
        let volumes = async { say(&region, measure::measure_volumes(&api::list_volumes().await)) };
        let snapshots = async { say(&region, measure::measure_snapshots(&api::list_snapshots().await)) };
        let (instances, volumes, snapshots) = join!(collect_instances(&region), volumes, snapshots);
        instances.and(volumes).and(snapshots)
    }
}

async fn collect_instances(region: &str) -> Result<(), Fault> {
    let instances = match api::list_instances().await {
        Ok(instances) => instances,
        Err(fault) => return say(region, measure::lose_instances(&fault)),
    };
    let counted = say(region, measure::measure_instances(&instances, now()));
    let settled = measure::select_settled(&instances, now());
    let spot = measure::select_running_spot(&instances);

    let types = async { say(region, measure::measure_types(&instances, &api::list_types(&instances).await)) };
    let idle = async { say(region, measure::measure_idle(&settled, &api::read_utilizations(&settled, now()).await)) };
    let costs = async {
        let (list_prices, spot_prices) = (api::ListPrices::read(), api::list_spot_prices(&spot).await);
        say(region, measure::measure_costs(&instances, region, &list_prices, &spot_prices))
    };
    let (types, idle, costs) = join!(types, idle, costs);
    counted.and(types).and(idle).and(costs)
}

fn say(region: &str, sheet: Sheet) -> Result<(), Fault> {
    emit(measure::name_region(sheet, region))
}

collector_sdk::export!(Ec2);
