//! From file and environment to the plan: the configuration after validation, immutable, all that is below takes.

mod capabilities;
mod collectors;
mod credentials;
mod error;
mod file;
mod network;
mod order;
mod plan;
mod secrets;
mod sinks;
mod upstreams;

#[cfg(test)]
mod tests;

pub use capabilities::{Ec2Plan, KubernetesPlan};
pub use collectors::{CollectorPlan, CredentialState, Ready};
pub use error::{ConfigError, nearest};
pub use file::File;
pub use network::NetworkPlan;
pub use plan::{CachePlan, CyclePlan, Overrides, Plan, SpoolPlan};
pub use secrets::{SecretStore, SecretsPlan, StoredSecret, StoredSecrets, VaultLogin, VaultPlan};
pub use sinks::{DatadogPlan, IntakePlan, PushgatewayPlan, RemoteWritePlan, SinkPlan};

/// How the environment is read: a function, so that tests have one of their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;
