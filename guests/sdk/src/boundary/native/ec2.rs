//! EC2 as requests to the world's upstream `ec2`: a path for each call (`/instances`), the rows of `collector_sdk::ec2` as JSON
//! (`{"rows": […], "next_token": …}`). Status 403 stands for a missing right, 503 for being asked to slow down.

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::ec2::{Error, ErrorKind, Instance, InstanceTypes, Page, Snapshot, SpotPrice, Utilization, Volume};
use crate::http::{self, Request};
use crate::testing::world::with_world;

pub async fn ec2_region() -> Result<String, Error> {
    ask(Request::get("ec2", "/region"))
}

pub async fn ec2_instances(next_token: Option<String>) -> Result<Page<Instance>, Error> {
    ask(with_token(Request::get("ec2", "/instances"), next_token))
}

pub async fn ec2_volumes(next_token: Option<String>) -> Result<Page<Volume>, Error> {
    ask(with_token(Request::get("ec2", "/volumes"), next_token))
}

pub async fn ec2_snapshots(next_token: Option<String>) -> Result<Page<Snapshot>, Error> {
    ask(with_token(Request::get("ec2", "/snapshots"), next_token))
}

pub async fn ec2_types(names: Vec<String>) -> Result<InstanceTypes, Error> {
    ask(Request::get("ec2", "/types").query("names", names.join(",")))
}

pub async fn ec2_spot_prices(types: Vec<String>, next_token: Option<String>) -> Result<Page<SpotPrice>, Error> {
    ask(with_token(Request::get("ec2", "/spot-prices").query("types", types.join(",")), next_token))
}

pub async fn ec2_utilizations(
    instance_ids: Vec<String>,
    start: Timestamp,
    end: Timestamp,
    period_s: u32,
) -> Result<Vec<Utilization>, Error> {
    let request = Request::get("ec2", "/utilizations").query("start", start).query("end", end);
    ask(request.query("period_s", period_s).query("instances", instance_ids.join(",")))
}

fn with_token(request: Request, token: Option<String>) -> Request {
    match token {
        Some(token) => request.query("next_token", token),
        None => request,
    }
}

fn ask<T: DeserializeOwned>(request: Request) -> Result<T, Error> {
    let label = request.path().to_owned();
    let answer = with_world(|world| world.answer(request)).map_err(|error| Error {
        kind: match error.kind {
            http::ErrorKind::Denied | http::ErrorKind::Redirected => ErrorKind::Denied,
            http::ErrorKind::Limit => ErrorKind::Limit,
            http::ErrorKind::Unreachable => ErrorKind::Unreachable,
            http::ErrorKind::Timeout => ErrorKind::Timeout,
            http::ErrorKind::Broken => ErrorKind::Broken,
            http::ErrorKind::Credential => ErrorKind::Credential,
        },
        message: error.message,
    })?;
    let error = |kind, what: String| Error { kind, message: format!("{label}: {what}") };
    match answer.status {
        200..=299 => serde_json::from_slice(&answer.body).map_err(|e| error(ErrorKind::Broken, e.to_string())),
        403 => Err(error(ErrorKind::Forbidden, "the credentials lack a right".into())),
        503 => Err(error(ErrorKind::Throttled, "asked to slow down".into())),
        status => Err(error(ErrorKind::Broken, format!("answered {status}"))),
    }
}
