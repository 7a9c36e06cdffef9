//! Destinations of points. A sink encodes, asks, and says what became of the points; when to try again is delivery's.

mod datadog;
mod stdout;
mod verdict;

use std::time::Instant;

use crate::config::SinkPlan;
use crate::egress::Network;
use crate::model::{Redactor, Sample};

pub use datadog::Datadog;
pub use stdout::Stdout;
pub use verdict::{Pushed, Verdict};

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
            SinkPlan::Stdout => Sink::Stdout(Stdout::new()),
        }
    }

    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Sink::Datadog(_) => "datadog",
            Sink::Stdout(_) => "stdout",
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

    /// Pushes samples once. The parts cover all of them, in order; no push goes on beyond `deadline`.
    pub async fn push(&self, samples: &[Sample], deadline: Instant) -> Vec<Pushed> {
        match self {
            Sink::Datadog(datadog) => datadog.push(samples, deadline).await,
            Sink::Stdout(stdout) => vec![stdout.push(samples)],
        }
    }
}
