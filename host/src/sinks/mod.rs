//! Destinations of points. A sink encodes, asks, and says what became of the points; when to try again is delivery's.

mod datadog;
mod descriptions;
mod intake;
mod otlp;
mod payload;
mod stdout;
mod tags;
mod verdict;

use std::time::Instant;

use jiff::SignedDuration;

use crate::config::SinkPlan;
use crate::egress::Network;
use crate::model::{Redactor, Sample};

pub use datadog::Datadog;
pub use descriptions::Descriptions;
pub use otlp::Otlp;
pub use payload::Payload;
pub use stdout::Stdout;
pub use verdict::{Sent, Verdict};

/// A destination.
pub enum Sink {
    Datadog(Box<Datadog>),
    Otlp(Box<Otlp>),
    Stdout(Stdout),
}

impl Sink {
    /// The sink that the plan describes; some tell their intake what series mean.
    pub fn new(plan: &SinkPlan, descriptions: &Descriptions, network: &Network, redactor: &Redactor) -> Sink {
        match plan {
            SinkPlan::Datadog(plan) => Sink::Datadog(Box::new(Datadog::new(plan, network, redactor))),
            SinkPlan::Otlp(plan) => Sink::Otlp(Box::new(Otlp::new(plan, descriptions, network, redactor))),
            SinkPlan::Stdout => Sink::Stdout(Stdout),
        }
    }

    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Sink::Datadog(_) => "datadog",
            Sink::Otlp(_) => "otlp",
            Sink::Stdout(_) => "stdout",
        }
    }

    /// How old points may be that it takes.
    pub fn age_max(&self) -> Option<SignedDuration> {
        match self {
            Sink::Datadog(_) => Some(datadog::AGE_MAX),
            Sink::Otlp(_) | Sink::Stdout(_) => None,
        }
    }

    /// Asks whether it would take points, without sending any.
    ///
    /// # Errors
    /// Why it would not.
    pub async fn validate(&self, deadline: Instant) -> Result<(), String> {
        match self {
            Sink::Datadog(datadog) => datadog.validate(deadline).await,
            Sink::Otlp(otlp) => otlp.validate(deadline).await,
            Sink::Stdout(_) => Ok(()),
        }
    }

    /// Payloads that hold all of the samples, in order, each within the sink's limits. Computes; it asks nobody.
    pub fn encode(&self, samples: &[Sample]) -> Vec<Payload> {
        match self {
            Sink::Datadog(_) => datadog::encode(samples),
            Sink::Otlp(otlp) => otlp.encode(samples),
            Sink::Stdout(_) => vec![stdout::encode(samples)],
        }
    }

    /// Sends a payload once, not beyond `deadline`.
    pub async fn send(&self, payload: &Payload, deadline: Instant) -> Sent {
        let Some(body) = payload.body.clone() else { return Verdict::TooLarge.into() };
        match self {
            Sink::Datadog(datadog) => datadog.send(body, deadline).await,
            Sink::Otlp(otlp) => otlp.send(body, deadline).await,
            Sink::Stdout(stdout) => stdout.send(&body).into(),
        }
    }
}
