//! The sections of sinks, typed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::model::Name;
use crate::policy::AddressRule;

use super::{SecretSource, Text, TimeoutsSection};

/// `[sink.…]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SinkSections {
    pub datadog: Option<DatadogSection>,
    pub otlp: Option<OtlpSection>,
    pub remote_write: Option<RemoteWriteSection>,
    pub pushgateway: Option<PushgatewaySection>,
    pub textfile: Option<TextfileSection>,
    pub jsonl: Option<JsonlSection>,
    pub stdout: Option<StdoutSection>,
}

/// `[sink.datadog]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatadogSection {
    pub enabled: Option<bool>,
    /// `datadoghq.com`, `datadoghq.eu`, …
    pub site: Option<Text>,
    /// Instead of a site: an intake of another address.
    pub base_url: Option<Text>,
    pub api_key: Option<SecretSource>,
    /// For reading values back (`last_values`); `DD_APP_KEY` where the key is absent.
    pub app_key: Option<SecretSource>,
    pub allow_addresses: Vec<AddressRule>,
    pub timeouts: TimeoutsSection,
}

/// `[sink.otlp]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpSection {
    pub enabled: Option<bool>,
    /// `/v1/metrics` is appended to it.
    pub endpoint: Option<Text>,
    /// The name of a `[credential.NAME]`.
    pub credential: Option<Name>,
    /// Sent with every request.
    pub headers: BTreeMap<String, Text>,
    pub allow_addresses: Vec<AddressRule>,
    pub timeouts: TimeoutsSection,
}

/// `[sink.remote_write]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteWriteSection {
    pub enabled: Option<bool>,
    /// As it is: nothing is appended.
    pub url: Option<Text>,
    /// 2, or 1 for a receiver that knows no newer one.
    pub version: Option<u8>,
    pub credential: Option<Name>,
    pub headers: BTreeMap<String, Text>,
    pub allow_addresses: Vec<AddressRule>,
    pub timeouts: TimeoutsSection,
}

/// `[sink.pushgateway]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PushgatewaySection {
    pub enabled: Option<bool>,
    /// `/metrics/job/JOB` is appended to it.
    pub url: Option<Text>,
    /// The group that is replaced.
    pub job: Option<Text>,
    pub credential: Option<Name>,
    pub headers: BTreeMap<String, Text>,
    pub allow_addresses: Vec<AddressRule>,
    pub timeouts: TimeoutsSection,
}

/// `[sink.textfile]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextfileSection {
    pub enabled: Option<bool>,
    /// Replaced as a whole; node_exporter reads what ends in `.prom`.
    pub path: Option<PathBuf>,
}

/// `[sink.jsonl]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JsonlSection {
    pub enabled: Option<bool>,
    /// Appended to.
    pub path: Option<PathBuf>,
}

/// `[sink.stdout]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StdoutSection {
    pub enabled: Option<bool>,
}
