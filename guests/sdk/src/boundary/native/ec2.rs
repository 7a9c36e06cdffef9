//! EC2 as requests to the world's upstream `ec2`: a path for each call (`/instances`), the rows of `collector_sdk::ec2` as JSON
//! (`{"rows": […], "next_token": …}`). Status 403 stands for a missing right, 503 for being asked to slow down.

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::answer;
use crate::ec2::{Instance, InstanceTypes, Page, Snapshot, SpotPrice, Utilization, Volume};
use crate::fault::{Fault, Reason};
use crate::http::Request;

pub async fn ec2_region() -> Result<String, Fault> {
    ask(Request::get("ec2", "/region"))
}

pub async fn ec2_instances(next_token: Option<String>) -> Result<Page<Instance>, Fault> {
    ask(with_token(Request::get("ec2", "/instances"), next_token))
}

pub async fn ec2_volumes(next_token: Option<String>) -> Result<Page<Volume>, Fault> {
    ask(with_token(Request::get("ec2", "/volumes"), next_token))
}

pub async fn ec2_snapshots(next_token: Option<String>) -> Result<Page<Snapshot>, Fault> {
    ask(with_token(Request::get("ec2", "/snapshots"), next_token))
}

pub async fn ec2_types(names: Vec<String>) -> Result<InstanceTypes, Fault> {
    ask(Request::get("ec2", "/types").query("names", names.join(",")))
}

pub async fn ec2_spot_prices(types: Vec<String>, next_token: Option<String>) -> Result<Page<SpotPrice>, Fault> {
    ask(with_token(Request::get("ec2", "/spot-prices").query("types", types.join(",")), next_token))
}

pub async fn ec2_utilizations(
    instance_ids: Vec<String>,
    start: Timestamp,
    end: Timestamp,
    period_s: u32,
) -> Result<Vec<Utilization>, Fault> {
    let request = Request::get("ec2", "/utilizations").query("start", start).query("end", end);
    ask(request.query("period_s", period_s).query("instances", instance_ids.join(",")))
}

fn with_token(request: Request, token: Option<String>) -> Request {
    match token {
        Some(token) => request.query("next_token", token),
        None => request,
    }
}

fn ask<T: DeserializeOwned>(request: Request) -> Result<T, Fault> {
    let label = request.path().to_owned();
    let answer = answer(request)?;
    let fault = |reason, what: String| Fault::new(reason, format!("{label}: {what}"));
    match answer.status {
        200..=299 => serde_json::from_slice(&answer.body).map_err(|e| fault(Reason::UpstreamError, e.to_string())),
        403 => Err(fault(Reason::Unauthorized, "the credentials lack a right".into())),
        503 => Err(fault(Reason::RateLimited, "asked to slow down".into())),
        status => Err(fault(Reason::UpstreamError, format!("answered {status}"))),
    }
}
