//! Destinations of points. A sink encodes, asks, and says what became of the points; when to try again is delivery's.

mod datadog;
mod descriptions;
mod exposition;
mod files;
mod intake;
mod jsonl;
mod lines;
mod otlp;
mod payload;
mod prometheus;
mod pushgateway;
mod remote_write;
#[cfg(test)]
mod samples;
mod stdout;
mod tags;
mod textfile;
mod verdict;

use std::time::Instant;

use jiff::SignedDuration;

use crate::config::SinkPlan;
use crate::egress::Network;
use crate::model::{Redactor, Sample};

pub use datadog::Datadog;
pub use descriptions::Descriptions;
pub use jsonl::Jsonl;
pub use otlp::Otlp;
pub use payload::Payload;
pub use pushgateway::Pushgateway;
pub use remote_write::RemoteWrite;
pub use stdout::Stdout;
pub use textfile::Textfile;
pub use verdict::{Sent, Verdict};

/// A destination.
pub enum Sink {
    Datadog(Box<Datadog>),
    Otlp(Box<Otlp>),
    RemoteWrite(Box<RemoteWrite>),
    Pushgateway(Box<Pushgateway>),
    Textfile(Textfile),
    Jsonl(Jsonl),
    Stdout(Stdout),
}

/// Why a point is not in a text that has its name and labels already.
const LEFT_OUT: &str = "another point has the same name and labels in Prometheus' alphabet";

impl Sink {
    /// The sink that the plan describes; some tell their intake what series mean.
    pub fn new(plan: &SinkPlan, descriptions: &Descriptions, network: &Network, redactor: &Redactor) -> Sink {
        match plan {
            SinkPlan::Datadog(plan) => Sink::Datadog(Box::new(Datadog::new(plan, network, redactor))),
            SinkPlan::Otlp(plan) => Sink::Otlp(Box::new(Otlp::new(plan, descriptions, network, redactor))),
            SinkPlan::RemoteWrite(plan) => {
                Sink::RemoteWrite(Box::new(RemoteWrite::new(plan, descriptions, network, redactor)))
            }
            SinkPlan::Pushgateway(plan) => {
                Sink::Pushgateway(Box::new(Pushgateway::new(plan, descriptions, network, redactor)))
            }
            SinkPlan::Textfile(path) => Sink::Textfile(Textfile::new(path, descriptions)),
            SinkPlan::Jsonl(path) => Sink::Jsonl(Jsonl::new(path)),
            SinkPlan::Stdout => Sink::Stdout(Stdout),
        }
    }

    /// Its name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Sink::Datadog(_) => "datadog",
            Sink::Otlp(_) => "otlp",
            Sink::RemoteWrite(_) => "remote_write",
            Sink::Pushgateway(_) => "pushgateway",
            Sink::Textfile(_) => "textfile",
            Sink::Jsonl(_) => "jsonl",
            Sink::Stdout(_) => "stdout",
        }
    }

    /// How old points may be that it takes.
    pub fn age_max(&self) -> Option<SignedDuration> {
        match self {
            Sink::Datadog(_) => Some(datadog::AGE_MAX),
            Sink::Otlp(_) | Sink::RemoteWrite(_) | Sink::Pushgateway(_) => None,
            Sink::Textfile(_) | Sink::Jsonl(_) | Sink::Stdout(_) => None,
        }
    }

    /// Whether it always holds one slot, whole: what it is given replaces what it held before.
    pub fn is_snapshot(&self) -> bool {
        matches!(self, Sink::Pushgateway(_) | Sink::Textfile(_))
    }

    /// Whether nobody beyond this machine is asked.
    pub fn is_local(&self) -> bool {
        matches!(self, Sink::Textfile(_) | Sink::Jsonl(_) | Sink::Stdout(_))
    }

    /// Asks whether it would take points, without sending any.
    ///
    /// # Errors
    /// Why it would not.
    pub async fn validate(&self, deadline: Instant) -> Result<(), String> {
        match self {
            Sink::Datadog(datadog) => datadog.validate(deadline).await,
            Sink::Otlp(otlp) => otlp.validate(deadline).await,
            Sink::RemoteWrite(receiver) => receiver.validate(deadline).await,
            Sink::Pushgateway(gateway) => gateway.validate(deadline).await,
            Sink::Textfile(file) => file.validate(),
            Sink::Jsonl(file) => file.validate(),
            Sink::Stdout(_) => Ok(()),
        }
    }

    /// Payloads that hold all of the samples, in order, each within the sink's limits; one payload where it is a snapshot. Computes; it asks
    /// nobody.
    pub fn encode(&self, samples: &[Sample]) -> Vec<Payload> {
        match self {
            Sink::Datadog(_) => datadog::encode(samples),
            Sink::Otlp(otlp) => otlp.encode(samples),
            Sink::RemoteWrite(receiver) => receiver.encode(samples),
            Sink::Pushgateway(gateway) => vec![gateway.encode(samples)],
            Sink::Textfile(file) => vec![file.encode(samples)],
            Sink::Jsonl(_) | Sink::Stdout(_) => vec![lines::encode(samples)],
        }
    }

    /// Sends a payload once, not beyond `deadline`.
    pub async fn send(&self, payload: &Payload, deadline: Instant) -> Sent {
        let Some(body) = payload.body.clone() else { return Verdict::TooLarge.into() };
        let sent = match self {
            Sink::Datadog(datadog) => datadog.send(body, deadline).await,
            Sink::Otlp(otlp) => otlp.send(body, deadline).await,
            Sink::RemoteWrite(receiver) => receiver.send(payload, body, deadline).await,
            Sink::Pushgateway(gateway) => gateway.send(body, deadline).await,
            Sink::Textfile(file) => file.send(body).await.into(),
            Sink::Jsonl(file) => file.send(body).await.into(),
            Sink::Stdout(stdout) => stdout.send(&body).into(),
        };
        match (sent.verdict, payload.left_out) {
            (Verdict::Delivered, rejected @ 1..) => {
                Sent { verdict: Verdict::DeliveredInPart { rejected, reason: LEFT_OUT.into() }, ..sent }
            }
            (verdict, _) => Sent { verdict, ..sent },
        }
    }
}
