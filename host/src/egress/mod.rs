//! HTTP to the outside: the only maker of clients.
//!
//! - A name is resolved once in a cycle; every address is checked; the connection goes to the checked address and no other.
//! - Redirects are off unless the plan allows them, and then every hop is checked like a first request.
//! - The credential is put on after all decisions are taken, and taken out of whatever the answer echoes. Where it is a token, that
//!   is asked for before the first request that needs it, under the same rules.
//! - An upstream that says that a limit is used up is not asked by anybody before it said.
//! - An upstream is asked whether what it has answered before still holds; what is remembered is given only where it says so.
//! - Connect, first byte, between bytes, whole: every timeout is the host's. Bodies are counted while they are read.

mod answer;
mod body;
mod client;
mod conditional;
mod credential;
mod endpoint;
mod exchange;
mod failure;
mod gate;
mod meter;
mod recall;
mod repeat;
mod resolve;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock;
use crate::model::{Name, Redactor};
use crate::policy::Upstream;
use crate::store::Answers;

pub use answer::{Answer, Ask, Bounds};
pub use client::{Network, NetworkError};
pub use endpoint::Endpoint;
pub use failure::{Failure, FailureKind};
pub use meter::{Buffer, Held, Meter};
pub use repeat::{Pacing, retry_after};
pub use resolve::{Lookup, system_lookup};

/// The User-Agent of whoever asks: `collector-host/0.1.0 (github)`.
pub fn user_agent(who: &str) -> String {
    format!("collector-host/{} ({who})", env!("CARGO_PKG_VERSION"))
}

/// The upstreams of a cycle.
pub struct Egress {
    endpoints: BTreeMap<Name, Arc<Endpoint>>,
    redactor: Redactor,
}

impl Egress {
    /// One endpoint for each upstream of the plan. Nothing is resolved or connected yet.
    pub fn new(upstreams: &BTreeMap<Name, Upstream>, network: &Network, redactor: &Redactor) -> Egress {
        Egress::remembering(None, upstreams, network, redactor)
    }

    /// The same, with what the upstreams have answered before.
    pub fn remembering(
        answers: Option<&Answers>,
        upstreams: &BTreeMap<Name, Upstream>,
        network: &Network,
        redactor: &Redactor,
    ) -> Egress {
        let endpoint = |upstream: &Upstream| {
            Arc::new(Endpoint::new(upstream.clone(), network.clone(), redactor.clone()).remembering(answers))
        };
        Egress {
            endpoints: upstreams.iter().map(|(name, upstream)| (name.clone(), endpoint(upstream))).collect(),
            redactor: redactor.clone(),
        }
    }

    /// The endpoint of an upstream.
    pub fn endpoint(&self, upstream: &Name) -> Option<Arc<Endpoint>> {
        self.endpoints.get(upstream).cloned()
    }

    /// Takes the plan's secrets out of text.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }
}
