//! What sinks over HTTP speak that take one point after another.

use crate::intake::{Intake, Request};
use crate::received::{self, Point};

/// A protocol.
pub struct Protocol {
    /// Its sink.
    pub name: &'static str,
    /// The sink's section for an intake.
    pub config: fn(&Intake) -> String,
    /// The points of a request.
    pub read: fn(&Request) -> Vec<Point>,
}

pub const DATADOG: Protocol = Protocol { name: "datadog", config: Intake::config, read: received::datadog };
pub const OTLP: Protocol = Protocol { name: "otlp", config: otlp, read: received::otlp };
pub const REMOTE_WRITE: Protocol =
    Protocol { name: "remote_write", config: remote_write, read: received::remote_write };

pub const ALL: [Protocol; 3] = [DATADOG, OTLP, REMOTE_WRITE];

impl Protocol {
    /// All points that an intake has taken.
    pub fn taken(&self, intake: &Intake) -> Vec<Point> {
        received::sorted(intake.requests().iter().flat_map(self.read).collect())
    }
}

fn otlp(intake: &Intake) -> String {
    format!("[sink.otlp]\nendpoint = 'http://{}/otlp'\nallow_addresses = ['loopback']\n", intake.address)
}

fn remote_write(intake: &Intake) -> String {
    format!("[sink.remote_write]\nurl = 'http://{}/api/v1/write?a=b'\nallow_addresses = ['loopback']\n", intake.address)
}
