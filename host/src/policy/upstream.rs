//! What the plan says of an upstream: where it lives, how it authenticates, what it may take.

use std::time::Duration;

use url::Url;

use super::Allowed;
use crate::model::{Name, Secret};

/// An upstream as the operator describes it.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub name: Name,
    /// `http` or `https`, with a host, without user, query and fragment; requests' paths are appended to its path.
    pub base_url: Url,
    pub credential: Option<Credential>,
    /// Addresses that it may have beyond public ones.
    pub allowed: Allowed,
    pub redirects: Redirects,
    pub timeouts: Timeouts,
}

/// How the host authenticates at an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(Secret),
    /// A header of its own.
    Header { name: String, secret: Secret },
    /// `Authorization: Basic …` (RFC 7617).
    Basic { user: String, secret: Secret },
}

/// Whether answers that point elsewhere are followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirects {
    /// How many hops; 0 follows none.
    pub hops_max: u32,
    /// Hosts other than the upstream's own that a hop may lead to. The credential does not go with it.
    pub hosts: Vec<String>,
}

/// How long the parts of an exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Name, TCP and TLS.
    pub connect: Duration,
    /// From the request to the answer's headers.
    pub first_byte: Duration,
    /// Between two pieces of the body.
    pub between_bytes: Duration,
    /// The whole exchange, repetitions not included.
    pub whole: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        let s = Duration::from_secs;
        Timeouts { connect: s(5), first_byte: s(30), between_bytes: s(15), whole: s(60) }
    }
}

impl Credential {
    /// The secret, and the user name that is sent with it, for redaction.
    pub fn secret(&self) -> (Option<&str>, &Secret) {
        match self {
            Credential::Bearer(secret) | Credential::Header { secret, .. } => (None, secret),
            Credential::Basic { user, secret } => (Some(user), secret),
        }
    }
}
