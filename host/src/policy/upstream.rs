//! What the plan says of an upstream: where it lives, whom it lets in, what it may take.

use std::time::Duration;

use url::Url;

use super::{Allowed, Credential};
use crate::model::Name;

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
    /// Whether its answers may be remembered, to be asked for again with a condition.
    pub is_conditional: bool,
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
