//! Amazon EC2 and the CPU of its instances, as the host's collectors ask for it: pages of plain rows, errors of few kinds. And what
//! else of AWS the host needs: secrets by name, keys of an account, signatures made with them.
//!
//! The only crate that names the AWS SDKs. Credentials come by the SDK's chain: environment, profile, web identity (IRSA),
//! container, instance metadata. No credential process is started.

#[cfg(not(feature = "aws"))]
mod absent;
#[cfg(feature = "aws")]
mod client;
mod error;
#[cfg(feature = "aws")]
mod from_sdk;
mod keys;
mod rows;
#[cfg(feature = "aws")]
mod sdk_error;
#[cfg(feature = "aws")]
mod secrets;
#[cfg(feature = "aws")]
mod signature;
mod traffic;

use std::time::Duration;

#[cfg(not(feature = "aws"))]
pub use absent::Client;
#[cfg(not(feature = "aws"))]
pub use absent::{find_keys, find_region, secrets, sign};
#[cfg(feature = "aws")]
pub use client::Client;
pub use error::{Error, ErrorKind};
pub use keys::{Keys, Scope, ToSign};
pub use rows::{Instance, InstanceType, InstanceTypes, Page, Snapshot, SpotPrice, Utilization, Volume};
#[cfg(feature = "aws")]
pub use secrets::secrets;
#[cfg(feature = "aws")]
pub use signature::{find_keys, find_region, sign};
pub use traffic::{Observer, Traffic};

/// What the plan says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Else the SDK's chain: `AWS_REGION`, the profile, the instance's metadata.
    pub region: Option<String>,
    /// Instead of AWS' own endpoints.
    pub endpoint_url: Option<String>,
    /// For one request, its repetitions not included.
    pub timeout: Option<Duration>,
}
