//! Rows as EC2 and CloudWatch write them.

use super::fleet::{Fleet, Instance, InstanceType, PRODUCTS, ZONES, is_attached, snapshot_size, volume_size};
use crate::server::Pairs;
use crate::time::minutes_ago;

const TAGS: [(&str, &str); 6] = [
    ("Name", "research-worker-spot-us-east-1"),
    ("aws:autoscaling:groupName", "eks-research-worker-spot-20250919144212"),
    ("eks:cluster-name", "research"),
    ("k8s.io/cluster-autoscaler/enabled", "true"),
    ("karpenter.sh/nodepool", "general"),
    ("cost-center", "ml-platform"),
];

fn tags() -> String {
    TAGS.map(|(key, value)| format!("<item><key>{key}</key><value>{value}</value></item>")).concat()
}

/// A reservation with one instance: some 4 KB.
pub fn instance(fleet: &Fleet, instance: &Instance) -> String {
    let (id, kind, tags) = (instance.id(), fleet.type_of(instance), tags());
    let (zone, at, n) = (ZONES[instance.zone], minutes_ago(instance.launched_minutes), instance.number);
    let code =
        [("running", 16), ("terminated", 48), ("stopped", 80)].into_iter().find(|(state, _)| *state == instance.state);
    let (state, code) = code.unwrap_or(("pending", 0));
    let lifecycle = if instance.is_spot {
        format!("<instanceLifecycle>spot</instanceLifecycle><spotInstanceRequestId>sir-{n:08x}</spotInstanceRequestId>")
    } else {
        String::new()
    };
    // EC2 tells no more cores of one that is gone.
    let cores = if instance.state == "terminated" {
        String::new()
    } else {
        format!("<cpuOptions><coreCount>{}</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>", kind.vcpus / 2)
    };
    let (a, b) = (n / 256, n % 256);
    let ip = format!("10.42.{a}.{b}");
    let dns = format!("ip-10-42-{a}-{b}.ec2.internal");
    let group =
        "<item><groupId>sg-0d6b6cb8a1b2c3d4e</groupId><groupName>eks-cluster-sg-research-1182391</groupName></item>";
    let name = &kind.name;
    format!(
        "<item><reservationId>r-{n:017x}</reservationId><ownerId>751442549699</ownerId><groupSet/><instancesSet><item>\
         <instanceId>{id}</instanceId><imageId>ami-0f1a5f5ada0e7da53</imageId>\
         <instanceState><code>{code}</code><name>{state}</name></instanceState><privateDnsName>{dns}</privateDnsName>\
         <dnsName/><reason/><keyName>research</keyName><amiLaunchIndex>0</amiLaunchIndex><productCodes/>\
         <instanceType>{name}</instanceType><launchTime>{at}</launchTime><placement>\
         <availabilityZone>{zone}</availabilityZone>\
         <groupName/><tenancy>default</tenancy></placement><monitoring><state>disabled</state></monitoring>\
         <subnetId>subnet-0bb1c79de3a1b2c3d</subnetId><vpcId>vpc-0a1b2c3d4e5f60718</vpcId>\
         <privateIpAddress>{ip}</privateIpAddress>\
         <sourceDestCheck>true</sourceDestCheck><groupSet>{group}</groupSet><architecture>x86_64</architecture>\
         <rootDeviceType>ebs</rootDeviceType><rootDeviceName>/dev/xvda</rootDeviceName><blockDeviceMapping><item>\
         <deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-{n:017x}</volumeId><status>attached</status>\
         <attachTime>{at}</attachTime>\
         <deleteOnTermination>true</deleteOnTermination></ebs></item></blockDeviceMapping>\
         <virtualizationType>hvm</virtualizationType><clientToken>fleet-7f0c8a4e-{n:08x}</clientToken>\
         <tagSet>{tags}</tagSet>\
         <hypervisor>xen</hypervisor><networkInterfaceSet><item><networkInterfaceId>eni-{n:017x}</networkInterfaceId>\
         <subnetId>subnet-0bb1c79de3a1b2c3d</subnetId><vpcId>vpc-0a1b2c3d4e5f60718</vpcId><description/>\
         <ownerId>751442549699</ownerId>\
         <status>in-use</status><macAddress>0e:49:61:0f:{a:02x}:{b:02x}</macAddress>\
         <privateIpAddress>{ip}</privateIpAddress>\
         <privateDnsName>{dns}</privateDnsName><sourceDestCheck>true</sourceDestCheck><groupSet>{group}</groupSet>\
         <attachment>\
         <attachmentId>eni-attach-{n:017x}</attachmentId><deviceIndex>0</deviceIndex>\
         <networkCardIndex>0</networkCardIndex>\
         <status>attached</status><attachTime>{at}</attachTime><deleteOnTermination>true</deleteOnTermination>\
         </attachment>\
         <privateIpAddressesSet><item><privateIpAddress>{ip}</privateIpAddress><privateDnsName>{dns}</privateDnsName>\
         <primary>true</primary></item></privateIpAddressesSet><ipv6AddressesSet/>\
         <interfaceType>interface</interfaceType></item>\
         </networkInterfaceSet><iamInstanceProfile><arn>arn:aws:iam::751442549699:instance-profile/research</arn>\
         <id>AIPA257HFPUBRVEXAMPLE</id></iamInstanceProfile><ebsOptimized>true</ebsOptimized>\
         <enaSupport>true</enaSupport>{lifecycle}{cores}\
         <capacityReservationSpecification><capacityReservationPreference>open</capacityReservationPreference>\
         </capacityReservationSpecification><hibernationOptions><configured>false</configured></hibernationOptions>\
         <metadataOptions><state>applied</state><httpTokens>required</httpTokens>\
         <httpPutResponseHopLimit>2</httpPutResponseHopLimit>\
         <httpEndpoint>enabled</httpEndpoint><instanceMetadataTags>disabled</instanceMetadataTags></metadataOptions>\
         <enclaveOptions><enabled>false</enabled></enclaveOptions><bootMode>uefi-preferred</bootMode>\
         <platformDetails>Linux/UNIX</platformDetails><usageOperation>RunInstances</usageOperation>\
         <usageOperationUpdateTime>{at}</usageOperationUpdateTime><maintenanceOptions>\
         <autoRecovery>default</autoRecovery>\
         </maintenanceOptions></item></instancesSet></item>"
    )
}

pub fn volume(number: usize) -> String {
    let (size, at, tags) = (volume_size(number), minutes_ago(number * 31 % 300_000), tags());
    let (status, attached) = if is_attached(number) {
        let attached = format!(
            "<item><volumeId>vol-{number:017x}</volumeId><instanceId>i-{number:017x}</instanceId>\
             <device>/dev/xvda</device>\
             <status>attached</status><attachTime>{at}</attachTime><deleteOnTermination>true</deleteOnTermination>\
             </item>"
        );
        ("in-use", attached)
    } else {
        ("available", String::new())
    };
    format!(
        "<item><volumeId>vol-{number:017x}</volumeId><size>{size}</size><snapshotId>snap-0a1b2c3d4e5f60718</snapshotId>\
         <availabilityZone>us-east-1a</availabilityZone><status>{status}</status><createTime>{at}</createTime>\
         <attachmentSet>{attached}</attachmentSet><tagSet>{tags}</tagSet><volumeType>gp3</volumeType><iops>3000</iops>\
         <throughput>125</throughput><encrypted>true</encrypted><multiAttachEnabled>false</multiAttachEnabled></item>"
    )
}

pub fn snapshot(number: usize) -> String {
    let (size, at, tags) = (snapshot_size(number), minutes_ago(number * 41 % 500_000), tags());
    format!(
        "<item><snapshotId>snap-{number:017x}</snapshotId><volumeId>vol-{number:017x}</volumeId>\
         <status>completed</status>\
         <startTime>{at}</startTime><progress>100%</progress><ownerId>751442549699</ownerId>\
         <volumeSize>{size}</volumeSize>\
         <description>Created by CreateImage(i-{number:017x}) for ami-{number:017x}</description>\
         <tagSet>{tags}</tagSet>\
         <encrypted>true</encrypted><storageTier>standard</storageTier></item>"
    )
}

pub fn instance_type(kind: &InstanceType) -> String {
    let InstanceType { name, vcpus, gpus, .. } = kind;
    let cores = vcpus / 2;
    let gpus = match gpus {
        0 => String::new(),
        gpus => format!(
            "<gpuInfo><gpus><item><name>A10G</name><manufacturer>NVIDIA</manufacturer><count>{gpus}</count><memoryInfo>\
             <sizeInMiB>24576</sizeInMiB></memoryInfo></item></gpus><totalGpuMemoryInMiB>24576</totalGpuMemoryInMiB>\
             </gpuInfo>"
        ),
    };
    format!(
        "<item><instanceType>{name}</instanceType><currentGeneration>true</currentGeneration>\
         <freeTierEligible>false</freeTierEligible>\
         <supportedUsageClasses><item>on-demand</item><item>spot</item></supportedUsageClasses>\
         <bareMetal>false</bareMetal>\
         <hypervisor>nitro</hypervisor><vCpuInfo><defaultVCpus>{vcpus}</defaultVCpus>\
         <defaultCores>{cores}</defaultCores>\
         <defaultThreadsPerCore>2</defaultThreadsPerCore></vCpuInfo><memoryInfo><sizeInMiB>65536</sizeInMiB>\
         </memoryInfo>{gpus}</item>"
    )
}

/// Of every type in every zone for every platform.
pub fn spot_prices(fleet: &Fleet) -> Vec<String> {
    let write = |kind: &InstanceType, zone: usize, (product, factor): (&str, f64)| {
        let (name, place, price, at) =
            (&kind.name, ZONES[zone], kind.spot_price(zone) * factor, minutes_ago(300 + zone));
        format!(
            "<item><instanceType>{name}</instanceType><productDescription>{product}</productDescription>\
             <spotPrice>{price:.6}</spotPrice><timestamp>{at}</timestamp><availabilityZone>{place}</availabilityZone>\
             </item>"
        )
    };
    let places = |kind| (0..ZONES.len()).flat_map(move |zone| PRODUCTS.map(|product| write(kind, zone, product)));
    fleet.types.iter().flat_map(places).collect()
}

/// GetMetricData: twelve averages for each instance that is asked about.
pub fn metric_data(form: &Pairs, fleet: &Fleet) -> String {
    let results: String = (1..).map_while(|n| metric(form, fleet, n)).collect();
    format!(
        "<GetMetricDataResponse xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/\"><GetMetricDataResult>\
         <MetricDataResults>\
         {results}</MetricDataResults><Messages/></GetMetricDataResult></GetMetricDataResponse>"
    )
}

/// The answer to the so-manieth query; none beyond the last.
fn metric(form: &Pairs, fleet: &Fleet, n: usize) -> Option<String> {
    let query = format!("MetricDataQueries.member.{n}.");
    let id = form.get(&format!("{query}Id"))?;
    let instance = fleet.find(form.get(&format!("{query}MetricStat.Metric.Dimensions.member.1.Value"))?)?;
    let base = if instance.is_bored() { 1.5 } else { 41.5 };
    let average = |n: usize| format!("<member>{:.13}</member>", base + n as f64 / 7.0);
    let time = |n: usize| format!("<member>{}</member>", minutes_ago(5 + 5 * n));
    let (averages, times): (String, String) = ((0..12).map(average).collect(), (0..12).map(time).collect());
    Some(format!(
        "<member><Id>{id}</Id><Label>CPUUtilization</Label><Timestamps>{times}</Timestamps><Values>{averages}</Values>\
         <StatusCode>Complete</StatusCode></member>"
    ))
}
