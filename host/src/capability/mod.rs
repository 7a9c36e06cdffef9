//! Trusted work that is done for guests, behind interfaces that say little: the cluster's API, EC2, last values, workloads.
//!
//! Nothing here holds a guest to its bounds: that is the imports' business (`runtime`). What is here knows the credentials.

mod ec2;
mod kubernetes;
mod last_values;
mod secrets;
mod workloads;

use std::collections::HashMap;

use jiff::Timestamp;

use crate::config::{Ec2Plan, KubernetesPlan};

pub use ec2::{Ec2, Ec2Error, Ec2ErrorKind, Ec2Observer, Ec2Traffic, Ec2World};
pub use kubernetes::{Cluster, KubernetesError, KubernetesErrorKind, Reading};
pub use last_values::{Asked, LastValues, Source};
pub use secrets::ask_stores;
pub use workloads::Workloads;

/// What a cycle's collectors may be given. What is not granted is not reached, however it is set up.
#[derive(Debug)]
pub struct Capabilities {
    pub kubernetes: Cluster,
    pub ec2: Ec2,
    pub last_values: LastValues,
    pub workloads: Workloads,
}

impl Default for Capabilities {
    /// As without a file and without a state.
    fn default() -> Capabilities {
        Capabilities {
            kubernetes: Cluster::new(&KubernetesPlan::default()),
            ec2: Ec2::new(&Ec2Plan::default()),
            last_values: LastValues::new(Timestamp::UNIX_EPOCH, HashMap::new()),
            workloads: Workloads::default(),
        }
    }
}
