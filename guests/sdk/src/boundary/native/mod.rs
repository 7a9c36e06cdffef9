//! The boundary outside a component: the testing world of this thread.
//!
//! What is no HTTP in a component is a request here too, to an upstream that is named as the import: `kubernetes`, `ec2`,
//! `last-values`, `workloads`. So the same fixtures, simulated upstreams and golden texts hold for all of them.

mod ec2;
mod kubernetes;
mod last_values;
mod workloads;

use jiff::Timestamp;

use crate::http::{Error, Request, Response};
use crate::log::Level;
use crate::testing::world::with_world;
use crate::{Fault, Gap, Point};

pub use self::ec2::*;
pub use self::kubernetes::*;
pub use self::last_values::*;
pub use self::workloads::*;

/// What the world answers to what is no HTTP in a component.
fn answer(request: Request) -> Result<Response, Fault> {
    with_world(|world| world.answer(request)).map_err(Error::into_fault)
}

pub async fn send(request: Request) -> Result<Response, Error> {
    with_world(|world| world.answer(request))
}

pub fn emit(points: Vec<Point>) -> Result<(), String> {
    with_world(|world| world.emit(points))
}

pub fn gap(gap: Gap) -> Result<(), String> {
    with_world(|world| world.gap(gap))
}

pub fn setting(key: &str) -> Option<String> {
    with_world(|world| world.setting(key))
}

pub fn log(level: Level, message: &str) {
    with_world(|world| world.log(level, message));
}

pub fn now() -> Timestamp {
    with_world(|world| world.now())
}
