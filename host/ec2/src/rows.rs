//! Rows: what is kept of EC2's answers.

/// A page of a list; a page may be empty and still not be the last.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub rows: Vec<T>,
    pub next_token: Option<String>,
}

/// An instance.
#[derive(Clone, Debug, Default)]
pub struct Instance {
    pub id: String,
    pub instance_type: String,
    pub state: String,
    /// None is on-demand.
    pub lifecycle: Option<String>,
    /// Milliseconds since 1970.
    pub launch_time_ms: Option<i64>,
    pub availability_zone: Option<String>,
    pub platform: Option<String>,
    pub tenancy: Option<String>,
    pub cores: Option<u32>,
    pub threads_per_core: Option<u32>,
}

/// An EBS volume.
#[derive(Clone, Debug)]
pub struct Volume {
    pub id: String,
    /// GiB
    pub size: u32,
    pub attachments: u32,
}

/// A snapshot.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub id: String,
    /// GiB
    pub volume_size: u32,
}

/// What a type has.
#[derive(Clone, Debug)]
pub struct InstanceType {
    pub name: String,
    pub default_vcpus: Option<u32>,
    /// None where the type has no GPU; 0 where it has a part of one.
    pub gpus: Option<u32>,
}

/// Types, and the names that EC2 refuses.
#[derive(Clone, Debug, Default)]
pub struct InstanceTypes {
    pub rows: Vec<InstanceType>,
    pub refused: Vec<String>,
}

/// The price of a type in a zone.
#[derive(Clone, Debug)]
pub struct SpotPrice {
    pub instance_type: String,
    pub availability_zone: String,
    pub product: String,
    /// US dollars an hour.
    pub price: f64,
    /// Milliseconds since 1970.
    pub time_ms: i64,
}

/// The CPU utilization of an instance.
#[derive(Clone, Debug)]
pub struct Utilization {
    pub instance_id: String,
    /// Percent, one for each period that has data.
    pub averages: Vec<f64>,
}
