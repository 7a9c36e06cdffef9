//! Rows that are written down here, and what they amount to.

use std::time::Duration;

use collector_sdk::Reason;
use proptest::prelude::*;

use super::*;

const REGION: &str = "us-east-1";

fn now() -> Timestamp {
    "2025-10-24T12:00:00Z".parse().unwrap()
}

fn ago(seconds: u64) -> Option<Timestamp> {
    Some(now() - Duration::from_secs(seconds))
}

/// An on-demand instance that was launched two days ago.
fn instance(id: &str, instance_type: &str, state: &str) -> Instance {
    Instance {
        id: id.into(),
        instance_type: instance_type.into(),
        state: state.into(),
        launch_time: ago(2 * 86_400),
        availability_zone: Some("us-east-1a".into()),
        platform: Some("Linux/UNIX".into()),
        tenancy: Some("default".into()),
        ..Instance::default()
    }
}

fn running(id: &str, instance_type: &str) -> Instance {
    instance(id, instance_type, "running")
}

fn spot(id: &str, instance_type: &str) -> Instance {
    Instance { lifecycle: Some("spot".into()), ..running(id, instance_type) }
}

fn described(name: &str, vcpus: u32, gpus: Option<u32>) -> InstanceType {
    InstanceType { name: name.into(), default_vcpus: Some(vcpus), gpus }
}

fn price(zone: &str, instance_type: &str, product: &str, usd: f64, age_days: u64) -> SpotPrice {
    SpotPrice {
        instance_type: instance_type.into(),
        availability_zone: zone.into(),
        product: product.into(),
        price: usd,
        time: now() - Duration::from_hours(24 * age_days),
    }
}

fn list_prices() -> Result<ListPrices, Fault> {
    let text = "us-east-1,m5.large,0.1\nus-east-1,g5.xlarge,1.0\nus-east-1,m5.large,0.2,Windows\n\
                us-east-1-bos-1,m5.large,0.15\ncn-north-1,m5.large,0.12";
    Ok(ListPrices::parse(text).unwrap())
}

fn costs(instances: &[Instance], prices: Vec<SpotPrice>) -> Sheet {
    measure_costs(instances, REGION, &list_prices(), &Ok(prices))
}

fn value(sheet: &Sheet, series: &str) -> Option<f64> {
    sheet.points.iter().find(|point| point.series == series).map(|point| point.value)
}

fn gap<'a>(sheet: &'a Sheet, series: &str) -> Option<&'a str> {
    sheet.gaps.iter().find(|gap| gap.series == series).map(|gap| gap.reason.as_str())
}

fn fault() -> Fault {
    Fault::new(Reason::RateLimited, "ec2 types: asked to slow down")
}

#[test]
fn all_that_is_not_spot_is_on_demand_whatever_its_state() {
    let block = Instance { lifecycle: Some("capacity-block".into()), ..instance("a", "p5.48xlarge", "terminated") };
    let ended = Instance { state: "shutting-down".into(), ..spot("b", "g5.xlarge") };
    let sheet = measure_instances(&[block, ended, instance("c", "m5.large", "stopped"), running("d", "x")], now());
    let counts: Vec<Option<f64>> = INSTANCES[..5].iter().map(|series| value(&sheet, series)).collect();
    assert_eq!(counts, [Some(4.0), Some(1.0), Some(1.0), Some(1.0), Some(3.0)]);
}

#[test]
fn an_instance_without_a_launch_time_has_no_age_and_one_from_after_now_is_new() {
    let unknown = Instance { launch_time: None, ..running("a", "m5.large") };
    let early = Instance { launch_time: now().checked_add(Duration::from_secs(60)).ok(), ..running("b", "m5.large") };
    let sheet = measure_instances(&[unknown.clone(), early, running("c", "m5.large")], now());
    assert_eq!((value(&sheet, AVG_AGE), value(&sheet, OLDEST_AGE)), (Some(1.0), Some(2.0)));
    let sheet = measure_instances(&[unknown], now());
    assert_eq!((value(&sheet, AVG_AGE), value(&sheet, OLDEST_AGE)), (None, None));
}

#[test]
fn a_part_of_a_gpu_makes_a_gpu_instance_with_none_and_other_accelerators_make_none() {
    let instances = [running("a", "g6f.large"), instance("b", "g5.12xlarge", "stopped"), running("c", "inf2.xlarge")];
    let types =
        [described("g6f.large", 2, Some(0)), described("g5.12xlarge", 48, Some(4)), described("inf2.xlarge", 4, None)];
    let sheet = measure_types(&instances, &Ok(types.to_vec()));
    assert_eq!(value(&sheet, "ec2.instances.gpu_instances"), Some(2.0));
    assert_eq!(value(&sheet, "ec2.instances.gpu_count"), Some(4.0));
    assert_eq!(value(&sheet, "ec2.instances.cpu_count"), Some(54.0));
}

#[test]
fn an_instances_own_cores_go_before_the_default_of_its_type() {
    let cpus = |cores, threads_per_core| {
        let own = Instance { cores, threads_per_core, ..running("a", "m5.large") };
        value(&measure_types(&[own], &Ok(vec![described("m5.large", 2, None)])), "ec2.instances.cpu_count")
    };
    assert_eq!(cpus(Some(1), Some(1)), Some(1.0));
    assert_eq!(cpus(Some(1), None), Some(2.0));
    assert_eq!(cpus(Some(0), Some(2)), Some(2.0));
    assert_eq!(cpus(Some(u32::MAX), Some(u32::MAX)), Some(f64::from(u32::MAX) * f64::from(u32::MAX)));
}

#[test]
fn a_type_that_is_not_described_costs_only_what_needs_it() {
    let own = Instance { cores: Some(2), threads_per_core: Some(2), ..running("a", "p2.xlarge") };
    let sheet = measure_types(std::slice::from_ref(&own), &Ok(vec![]));
    assert_eq!(gap(&sheet, "ec2.instances.gpu_count"), Some("EC2 does not describe the type p2.xlarge"));
    assert_eq!(value(&sheet, "ec2.instances.cpu_count"), Some(4.0));

    let silent = InstanceType { default_vcpus: None, ..described("x1.new", 0, Some(1)) };
    let sheet = measure_types(&[own, running("b", "x1.new")], &Ok(vec![described("p2.xlarge", 4, Some(1)), silent]));
    assert_eq!(value(&sheet, "ec2.instances.gpu_count"), Some(2.0));
    assert_eq!(gap(&sheet, "ec2.instances.cpu_count"), Some("EC2 tells no vCPUs of the type x1.new"));
}

#[test]
fn lost_types_cost_no_vcpus_that_the_instances_tell_and_are_one_fault() {
    let own = Instance { cores: Some(2), threads_per_core: Some(2), ..running("a", "p2.xlarge") };
    let sheet = name_region(measure_types(&[own], &Err(fault())), REGION);
    assert_eq!(value(&sheet, "ec2.instances.cpu_count"), Some(4.0));
    assert_eq!((sheet.gaps.len(), sheet.faults), (2, vec![fault()]));
}

#[test]
fn only_what_runs_for_an_hour_can_be_idle() {
    let launched = |id: &str, launch_time, state: &str| Instance { launch_time, ..instance(id, "m5.large", state) };
    let instances = [
        launched("at-the-hour", ago(3600), "running"),
        launched("younger", ago(3599), "running"),
        launched("unknown", None, "running"),
        launched("stopped", ago(7200), "stopped"),
    ];
    let settled = select_settled(&instances, now());
    assert_eq!(settled.iter().map(|instance| instance.id.as_str()).collect::<Vec<_>>(), ["at-the-hour"]);
}

#[test]
fn idle_is_every_average_under_ten_percent_and_no_data_is_not_idle() {
    let idle = |averages: &[&[f64]]| {
        let rows = averages.iter().map(|a| Utilization { instance_id: "a".into(), averages: a.to_vec() });
        let stranger = Utilization { instance_id: "b".into(), averages: vec![1.0] };
        let rows = rows.chain([stranger]).collect();
        value(&measure_idle(&[&running("a", "m5.large")], &Ok(rows)), IDLE)
    };
    assert_eq!(idle(&[&[9.99, 0.0]]), Some(1.0));
    assert_eq!(idle(&[&[0.1, 10.0, 0.1]]), Some(0.0));
    assert_eq!(idle(&[&[0.1], &[99.0]]), Some(0.0));
    assert_eq!(idle(&[&[]]), Some(0.0));
    assert_eq!(idle(&[]), Some(0.0));
    assert_eq!(idle(&[&[f64::NAN]]), Some(0.0));
}

#[test]
fn a_spot_price_is_that_of_the_zone_the_type_and_the_platform() {
    let prices = vec![
        price("us-east-1a", "m5.large", "Linux/UNIX (Amazon VPC)", 0.04, 80),
        price("us-east-1a", "m5.large", "Linux/UNIX", 0.05, 3),
        price("us-east-1a", "m5.large", "Linux/UNIX", 0.06, 4),
        price("us-east-1b", "m5.large", "Linux/UNIX", 0.03, 1),
        price("us-east-1a", "m5.large", "Windows (Amazon VPC)", 0.09, 1),
        price("us-east-1a", "m5.large", "Red Hat Enterprise Linux", 0.11, 1),
        price("", "m5.large", "Linux/UNIX", 0.01, 1),
    ];
    let paid = |change: &dyn Fn(&mut Instance)| {
        let mut instance = spot("a", "m5.large");
        change(&mut instance);
        value(&costs(&[instance], prices.clone()), HOURLY)
    };
    assert_eq!(paid(&|_| {}), Some(0.05));
    assert_eq!(paid(&|i| i.platform = None), Some(0.05));
    assert_eq!(paid(&|i| i.availability_zone = Some("us-east-1b".into())), Some(0.03));
    assert_eq!(paid(&|i| i.platform = Some("windows".into())), Some(0.09));
    assert_eq!(paid(&|i| i.platform = Some("Red Hat Enterprise Linux".into())), Some(0.11));
    assert_eq!(paid(&|i| i.platform = Some("Red Hat Enterprise Linux with HA".into())), None);
    assert_eq!(paid(&|i| i.availability_zone = Some("us-east-1c".into())), None);
    assert_eq!(paid(&|i| i.availability_zone = None), None);
    assert_eq!(paid(&|i| i.availability_zone = Some(String::new())), None);
    assert_eq!(paid(&|i| i.instance_type = "m5.xlarge".into()), None);
}

#[test]
fn a_newest_spot_price_that_is_none_does_not_fall_back_on_an_older_one() {
    for usd in [-0.01, f64::NAN, f64::INFINITY, 1e300] {
        let prices = vec![
            price("us-east-1a", "m5.large", "Linux/UNIX", 0.05, 2),
            price("us-east-1a", "m5.large", "Linux/UNIX", usd, 1),
        ];
        let sheet = costs(&[spot("a", "m5.large")], prices);
        assert_eq!(gap(&sheet, HOURLY), Some("no spot price of m5.large (Linux/UNIX) in us-east-1a"), "{usd}");
    }
}

#[test]
fn costs_are_those_of_what_runs() {
    let prices = vec![price("us-east-1a", "g5.xlarge", "Linux/UNIX", 0.25, 1)];
    let stopped = instance("d", "not.listed", "stopped");
    let sheet = costs(&[running("a", "m5.large"), spot("b", "g5.xlarge"), stopped], prices);
    assert_eq!(value(&sheet, HOURLY), Some(0.1 + 0.25));
    assert_eq!(value(&sheet, MONTHLY), Some(730.0 * (0.1 + 0.25)));
    assert_eq!(value(&sheet, SAVINGS), Some(75.0));
}

#[test]
fn nothing_that_runs_costs_nothing_and_saves_no_percentage() {
    let sheet = measure_costs(&[instance("a", "m5.large", "stopped")], REGION, &list_prices(), &Ok(vec![]));
    assert_eq!(value(&sheet, HOURLY).map(f64::to_bits), Some(0.0_f64.to_bits()));
    assert_eq!(value(&sheet, MONTHLY), Some(0.0));
    assert_eq!(gap(&sheet, SAVINGS), Some("no spot instance is running"));
}

#[test]
fn a_list_price_is_never_that_of_another_place_platform_or_tenancy() {
    let listed = |change: &dyn Fn(&mut Instance)| {
        let mut instance = running("a", "m5.large");
        change(&mut instance);
        let sheet = costs(&[instance], vec![]);
        value(&sheet, HOURLY).ok_or_else(|| gap(&sheet, MONTHLY).unwrap().to_owned())
    };
    let lacks = |what: &str| Err(format!("no list price of m5.large {what}"));
    assert_eq!(listed(&|i| i.platform = Some("Windows".into())), Ok(0.2));
    assert_eq!(listed(&|i| i.platform = Some("SUSE Linux".into())), lacks("(SUSE Linux) in us-east-1"));
    assert_eq!(listed(&|i| i.tenancy = Some("dedicated".into())), lacks("with tenancy dedicated"));
    assert_eq!(listed(&|i| i.tenancy = None), Ok(0.1));
    assert_eq!(listed(&|i| i.availability_zone = None), Ok(0.1));
    assert_eq!(listed(&|i| i.availability_zone = Some("us-east-1-bos-1a".into())), Ok(0.15));
    let in_wavelength = listed(&|i| i.availability_zone = Some("us-east-1-wl1-bos-wlz-1".into()));
    assert_eq!(in_wavelength, lacks("(Linux/UNIX) in us-east-1-wl1-bos-wlz-1"));

    let sheet = measure_costs(&[running("a", "m5.large")], "eu-west-1", &list_prices(), &Ok(vec![]));
    assert_eq!(gap(&sheet, HOURLY), Some("no list price of m5.large (Linux/UNIX) in eu-west-1"));
}

#[test]
fn spot_prices_in_yuan_are_no_dollars() {
    let here = |instance| Instance { availability_zone: Some("cn-north-1a".into()), ..instance };
    let prices = || Ok(vec![price("cn-north-1a", "m5.large", "Linux/UNIX", 0.3, 1)]);
    let sheet = measure_costs(&[here(spot("a", "m5.large"))], "cn-north-1", &list_prices(), &prices());
    assert_eq!(gap(&sheet, SAVINGS), Some("spot prices in cn-north-1 are in yuan"));
    let sheet = measure_costs(&[here(running("a", "m5.large"))], "cn-north-1", &list_prices(), &prices());
    assert_eq!(value(&sheet, HOURLY), Some(0.12));
}

#[test]
fn a_gap_names_what_is_missing_each_once_and_counts_what_has_no_room() {
    let reason = |names: &[&str]| {
        let instances: Vec<Instance> = names.iter().map(|name| running("a", name)).collect();
        gap(&costs(&instances, vec![]), HOURLY).unwrap().to_owned()
    };
    let lack = |name: &str| format!("no list price of {name} (Linux/UNIX) in us-east-1");
    assert_eq!(reason(&["m9.new", "m9.new"]), lack("m9.new"));
    let three = [lack("a"), lack("b"), lack("c")].join("; ");
    assert_eq!(reason(&["c", "b", "m5.large", "a"]), three);
    assert_eq!(reason(&["c", "b", "e", "a", "d"]), format!("{three} (and 2 more)"));
}

#[test]
fn lost_prices_cost_only_the_figures_that_need_them() {
    let instances = [running("a", "m5.large"), spot("b", "g5.xlarge")];
    let prices = Ok(vec![price("us-east-1a", "g5.xlarge", "Linux/UNIX", 0.25, 1)]);
    let no_list = name_region(measure_costs(&instances, REGION, &Err(fault()), &prices), REGION);
    let no_spot = name_region(measure_costs(&instances, REGION, &list_prices(), &Err(fault())), REGION);
    for sheet in [no_list, no_spot] {
        assert_eq!((sheet.points.len(), sheet.gaps.len(), sheet.faults.len()), (0, 3, 1));
    }
    let only_spot = measure_costs(&instances[1..], REGION, &Err(fault()), &prices);
    assert_eq!((value(&only_spot, HOURLY), gap(&only_spot, SAVINGS).is_some()), (Some(0.25), true));
    let only_listed = measure_costs(&instances[..1], REGION, &list_prices(), &Ok(vec![]));
    assert_eq!((value(&only_listed, HOURLY), only_listed.faults.len()), (Some(0.1), 0));
}

#[test]
fn a_lost_list_of_instances_costs_every_series_of_instances() {
    let sheet = lose_instances(&fault());
    assert_eq!((sheet.points.len(), sheet.gaps.len(), sheet.faults.len()), (0, 14, 1));
}

#[test]
fn every_point_names_the_region() {
    let sheet = name_region(measure_volumes(&Ok(vec![Volume::default()])), REGION);
    assert!(sheet.points.len() == 4 && sheet.points.iter().all(|point| point.tags == ["region:us-east-1"]));
}

fn any_instance() -> impl Strategy<Value = Instance> {
    let state = prop_oneof![Just("running"), Just("stopped"), Just("terminated"), Just("")];
    let lifecycle = prop_oneof![Just(None), Just(Some("spot")), Just(Some("scheduled"))];
    let instance_type = prop_oneof![Just("m5.large"), Just("g5.xlarge"), Just("p9.huge")];
    (state, lifecycle, instance_type, proptest::option::of(any::<i32>()), any::<Option<u32>>()).prop_map(
        |(state, lifecycle, instance_type, launch_s, cores)| Instance {
            lifecycle: lifecycle.map(str::to_owned),
            launch_time: launch_s.and_then(|s| Timestamp::from_second(i64::from(s)).ok()),
            cores,
            threads_per_core: cores,
            ..instance("a", instance_type, state)
        },
    )
}

proptest! {
    #[test]
    fn parts_make_the_whole_and_a_mean_is_not_over_the_greatest(
        instances in proptest::collection::vec(any_instance(), 0..40),
        attachments in proptest::collection::vec(0_u32..3, 0..40),
    ) {
        let sheet = measure_instances(&instances, now());
        let get = |series: &str| value(&sheet, series).unwrap();
        prop_assert_eq!(get("ec2.instances.spot") + get("ec2.instances.ondemand"), get("ec2.instances.total"));
        prop_assert!(get("ec2.instances.running") + get("ec2.instances.stopped") <= get("ec2.instances.total"));
        if let (Some(mean), Some(oldest)) = (value(&sheet, AVG_AGE), value(&sheet, OLDEST_AGE)) {
            prop_assert!((0.0..=oldest * (1.0 + 1e-12)).contains(&mean));
        }
        let volumes = attachments.iter().map(|n| Volume { attachments: *n, ..Volume::default() }).collect();
        let sheet = measure_volumes(&Ok(volumes));
        let get = |series: &str| value(&sheet, series).unwrap();
        prop_assert_eq!(get("ec2.ebs.volumes.attached") + get("ec2.ebs.volumes.unattached"), get("ec2.ebs.volumes.total"));
    }

    #[test]
    fn whatever_runs_each_cost_is_a_finite_point_or_a_gap(
        instances in proptest::collection::vec(any_instance(), 0..40),
        usd in any::<f64>(),
        lost in any::<bool>(),
    ) {
        let prices = vec![price("us-east-1a", "g5.xlarge", "Linux/UNIX", usd, 1)];
        let sheet = measure_costs(&instances, REGION, &list_prices(), &if lost { Err(fault()) } else { Ok(prices) });
        for series in [HOURLY, MONTHLY, SAVINGS] {
            let said = [value(&sheet, series).is_some(), gap(&sheet, series).is_some()];
            prop_assert_eq!(said.iter().filter(|is| **is).count(), 1);
        }
        prop_assert!(sheet.points.iter().all(|point| point.value.is_finite()));
        if let Some(savings) = value(&sheet, SAVINGS) {
            prop_assert!(savings <= 100.0);
        }
        if let (Some(hourly), Some(monthly)) = (value(&sheet, HOURLY), value(&sheet, MONTHLY)) {
            prop_assert!(hourly >= 0.0 && monthly == 730.0 * hourly);
        }
    }
}
