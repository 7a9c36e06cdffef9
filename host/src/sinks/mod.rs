//! Destinations of points. A sink encodes, asks, and says what became of the points; when to try again is delivery's.

mod datadog;
mod payload;
mod stdout;
mod verdict;

use std::time::Instant;

use jiff::SignedDuration;

use crate::config::SinkPlan;
use crate::egress::Network;
use crate::model::{Redactor, Sample};

pub use datadog::Datadog;
pub use payload::Payload;
pub use stdout::Stdout;
pub use verdict::{Sent, Verdict};

/// A destination.
pub enum Sink {
    Datadog(Box<Datadog>),
    Stdout(Stdout),
}

impl Sink {
    /// The sink that the plan describes.
    pub fn new(plan: &SinkPlan, network: &Network, redactor: &Redactor) -> Sink {
        match plan {
            SinkPlan::Datadog(plan) => Sink::Datadog(Box::new(Datadog::new(plan, network, redactor))),
            SinkPlan::Stdout => Sink::Stdout(Stdout),
        }
    }

    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Sink::Datadog(_) => "datadog",
            Sink::Stdout(_) => "stdout",
        }
    }

    /// How old points may be that it takes.
    pub fn age_max(&self) -> Option<SignedDuration> {
        match self {
            Sink::Datadog(_) => Some(datadog::AGE_MAX),
            Sink::Stdout(_) => None,
        }
    }

    /// Asks whether it would take points, without sending any.
    ///
    /// # Errors
    /// Why it would not.
    pub async fn validate(&self, deadline: Instant) -> Result<(), String> {
        match self {
            Sink::Datadog(datadog) => datadog.validate(deadline).await,
            Sink::Stdout(_) => Ok(()),
        }
    }

    /// Payloads that hold all of the samples, in order, each within the sink's limits. Computes; it asks nobody.
    pub fn encode(&self, samples: &[Sample]) -> Vec<Payload> {
        match self {
            Sink::Datadog(_) => datadog::encode(samples),
            Sink::Stdout(_) => vec![stdout::encode(samples)],
        }
    }

    /// Sends a payload once, not beyond `deadline`.
    pub async fn send(&self, payload: &Payload, deadline: Instant) -> Sent {
        let Some(body) = payload.body.clone() else { return Verdict::TooLarge.into() };
        match self {
            Sink::Datadog(datadog) => datadog.send(body, deadline).await,
            Sink::Stdout(stdout) => stdout.send(&body).into(),
        }
    }
}
