//! What there is: types, instances, volumes, snapshots.

/// On-demand prices: those that the collector has built in.
const PRICES: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../guests/ec2/src/prices.csv"));

const INSTANCES: usize = 5_000;
pub const VOLUMES: usize = 6_000;
pub const SNAPSHOTS: usize = 8_000;
/// Platforms that spot prices are of, and what they cost beside Linux.
pub const PRODUCTS: [(&str, f64); 4] =
    [("Linux/UNIX", 1.0), ("Red Hat Enterprise Linux", 1.4), ("SUSE Linux", 1.2), ("Windows", 2.1)];
pub const ZONES: [&str; 6] = ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d", "us-east-1e", "us-east-1f"];

/// Families without GPUs that have all of these sizes, with their vCPUs.
const FAMILIES: [&str; 6] = ["m5", "r5", "m6i", "c6i", "r6i", "m7i"];
const SIZES: [(&str, usize); 8] = [
    ("large", 2),
    ("xlarge", 4),
    ("2xlarge", 8),
    ("4xlarge", 16),
    ("8xlarge", 32),
    ("12xlarge", 48),
    ("16xlarge", 64),
    ("24xlarge", 96),
];
/// Types with GPUs: name, vCPUs, GPUs.
const GPU_TYPES: [(&str, usize, usize); 12] = [
    ("g5.xlarge", 4, 1),
    ("g5.2xlarge", 8, 1),
    ("g5.4xlarge", 16, 1),
    ("g5.8xlarge", 32, 1),
    ("g5.12xlarge", 48, 4),
    ("g5.16xlarge", 64, 1),
    ("g5.24xlarge", 96, 4),
    ("g5.48xlarge", 192, 8),
    ("g6.xlarge", 4, 1),
    ("g6.12xlarge", 48, 4),
    ("g6.48xlarge", 192, 8),
    ("p4d.24xlarge", 96, 8),
];

pub struct Fleet {
    pub types: Vec<InstanceType>,
    pub instances: Vec<Instance>,
}

pub struct InstanceType {
    pub name: String,
    pub vcpus: usize,
    pub gpus: usize,
    /// US dollars an hour.
    pub list_price: f64,
}

pub struct Instance {
    pub number: usize,
    /// Its place among the types.
    pub kind: usize,
    pub zone: usize,
    pub is_spot: bool,
    pub state: &'static str,
    pub launched_minutes: usize,
}

impl Fleet {
    pub fn large() -> Fleet {
        let plain =
            FAMILIES.iter().flat_map(|family| SIZES.map(|(size, vcpus)| (format!("{family}.{size}"), vcpus, 0)));
        let with_gpus = GPU_TYPES.map(|(name, vcpus, gpus)| (name.to_owned(), vcpus, gpus));
        let types = plain.chain(with_gpus);
        let types: Vec<InstanceType> = types.map(|(name, vcpus, gpus)| InstanceType::of(name, vcpus, gpus)).collect();
        let instances = (0..INSTANCES).map(|number| Instance::of(number, types.len())).collect();
        Fleet { types, instances }
    }

    pub fn find(&self, instance_id: &str) -> Option<&Instance> {
        let number = usize::from_str_radix(instance_id.strip_prefix("i-")?, 16).ok()?;
        self.instances.get(number)
    }

    pub fn type_of(&self, instance: &Instance) -> &InstanceType {
        &self.types[instance.kind]
    }
}

impl InstanceType {
    fn of(name: String, vcpus: usize, gpus: usize) -> InstanceType {
        let price =
            PRICES.lines().find_map(|line| line.strip_prefix("us-east-1,")?.strip_prefix(&name)?.strip_prefix(','));
        let list_price =
            price.and_then(|price| price.parse().ok()).unwrap_or_else(|| panic!("no list price of {name}"));
        InstanceType { name, vcpus, gpus, list_price }
    }

    /// US dollars an hour, to the six places that EC2 gives.
    pub fn spot_price(&self, zone: usize) -> f64 {
        ((self.list_price * 0.35 + 0.001 * zone as f64) * 1e6).round() / 1e6
    }
}

impl Instance {
    fn of(number: usize, types: usize) -> Instance {
        let state = match number % 10 {
            8 => "stopped",
            9 => "terminated",
            _ => "running",
        };
        let (kind, zone) = (number * 7 % types, number / 3 % ZONES.len());
        Instance {
            number,
            kind,
            zone,
            is_spot: number.is_multiple_of(3),
            state,
            launched_minutes: 20 + number * 37 % 400_000,
        }
    }

    pub fn id(&self) -> String {
        format!("i-{:017x}", self.number)
    }

    pub fn is_running(&self) -> bool {
        self.state == "running"
    }

    /// Whether its CPU had next to nothing to do.
    pub fn is_bored(&self) -> bool {
        self.number.is_multiple_of(7)
    }
}

/// GiB
pub fn volume_size(number: usize) -> usize {
    8 + number % 500
}

/// Every fourth is attached to nothing.
pub fn is_attached(volume: usize) -> bool {
    !volume.is_multiple_of(4)
}

/// GiB of the volume that it is of.
pub fn snapshot_size(number: usize) -> usize {
    volume_size(number * 3)
}
