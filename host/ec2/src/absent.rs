//! No SDK: every call says so.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::{
    Error, ErrorKind, Instance, InstanceTypes, Keys, Options, Page, Scope, Snapshot, SpotPrice, ToSign, Traffic,
    Utilization, Volume,
};

/// A client that nobody can have.
#[derive(Clone, Debug)]
pub enum Client {}

impl Client {
    /// # Errors
    /// Always.
    #[expect(clippy::unused_async, reason = "the other client's connects")]
    pub async fn connect(_options: &Options) -> Result<Client, Error> {
        Err(absent())
    }

    pub fn region(&self) -> &str {
        match *self {}
    }

    pub async fn instances(&self, _next_token: Option<String>, _traffic: &Traffic) -> Result<Page<Instance>, Error> {
        match *self {}
    }

    pub async fn volumes(&self, _next_token: Option<String>, _traffic: &Traffic) -> Result<Page<Volume>, Error> {
        match *self {}
    }

    pub async fn snapshots(&self, _next_token: Option<String>, _traffic: &Traffic) -> Result<Page<Snapshot>, Error> {
        match *self {}
    }

    pub async fn types(&self, _names: &[String], _traffic: &Traffic) -> Result<InstanceTypes, Error> {
        match *self {}
    }

    pub async fn spot_prices(
        &self,
        _types: &[String],
        _next_token: Option<String>,
        _traffic: &Traffic,
    ) -> Result<Page<SpotPrice>, Error> {
        match *self {}
    }

    pub async fn utilizations(
        &self,
        _instance_ids: &[String],
        _start_ms: i64,
        _end_ms: i64,
        _period_s: i32,
        _traffic: &Traffic,
    ) -> Result<Vec<Utilization>, Error> {
        match *self {}
    }
}

/// # Errors
/// Always.
#[expect(clippy::unused_async, reason = "the other one asks")]
pub async fn secrets(_options: &Options, _names: &[String]) -> Result<BTreeMap<String, Result<String, String>>, Error> {
    Err(absent())
}

/// # Errors
/// Always.
#[expect(clippy::unused_async, reason = "the other one asks")]
pub async fn find_region(_written: Option<&str>) -> Result<String, Error> {
    Err(absent())
}

/// # Errors
/// Always.
#[expect(clippy::unused_async, reason = "the other one asks")]
pub async fn find_keys(_region: &str) -> Result<Keys, Error> {
    Err(absent())
}

/// # Errors
/// Always.
pub fn sign(
    _request: ToSign<'_>,
    _scope: Scope<'_>,
    _keys: &Keys,
    _at: SystemTime,
) -> Result<Vec<(String, String)>, Error> {
    Err(absent())
}

fn absent() -> Error {
    Error::new(ErrorKind::Credential, "this host was built without AWS (cargo feature ec2)")
}
