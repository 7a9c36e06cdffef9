//! Sinks of the file, validated.

mod intake;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::model::Secret;
use crate::policy::Credential;

use super::credentials::Credentials;
use super::file::{
    DatadogSection, File, JsonlSection, OtlpSection, PushgatewaySection, RemoteWriteSection, SecretSource,
    TextfileSection,
};
use super::network::base_url;
use super::secrets::{self, StoredSecrets};
use super::{ConfigError, Environment};

use intake::IntakeKeys;
pub use intake::IntakePlan;

/// A destination of points.
#[derive(Clone, Debug)]
pub enum SinkPlan {
    Datadog(Box<DatadogPlan>),
    /// OTLP over HTTP.
    Otlp(Box<IntakePlan>),
    /// Prometheus remote write.
    RemoteWrite(Box<RemoteWritePlan>),
    /// Prometheus' Pushgateway.
    Pushgateway(Box<PushgatewayPlan>),
    /// A file in Prometheus' text format, replaced as a whole.
    Textfile(PathBuf),
    /// Points as lines of JSON, appended to a file.
    Jsonl(PathBuf),
    /// Points as lines of JSON on stdout.
    Stdout,
}

/// Datadog's intake, or one that speaks like it.
#[derive(Clone, Debug)]
pub struct DatadogPlan {
    /// `https://api.<site>`, with the key.
    pub intake: IntakePlan,
    /// For reading values back; without it nothing is.
    pub app_key: Option<Secret>,
}

/// A receiver of remote write.
#[derive(Clone, Debug)]
pub struct RemoteWritePlan {
    /// Without the path.
    pub intake: IntakePlan,
    /// As it was written.
    pub path: String,
    /// 1 or 2.
    pub version: u8,
}

/// A Pushgateway.
#[derive(Clone, Debug)]
pub struct PushgatewayPlan {
    pub intake: IntakePlan,
    /// The group that is replaced.
    pub job: String,
}

impl SinkPlan {
    /// Its name in reports and in the spool.
    pub fn name(&self) -> &'static str {
        match self {
            SinkPlan::Datadog(_) => "datadog",
            SinkPlan::Otlp(_) => "otlp",
            SinkPlan::RemoteWrite(_) => "remote_write",
            SinkPlan::Pushgateway(_) => "pushgateway",
            SinkPlan::Textfile(_) => "textfile",
            SinkPlan::Jsonl(_) => "jsonl",
            SinkPlan::Stdout => "stdout",
        }
    }

    /// Where the points go, for people.
    pub fn place(&self) -> String {
        match self {
            SinkPlan::Datadog(datadog) => datadog.intake.upstream.base_url.to_string(),
            SinkPlan::Otlp(intake) => intake.upstream.base_url.to_string(),
            SinkPlan::RemoteWrite(write) => {
                format!("{}{}", write.intake.upstream.base_url.origin().ascii_serialization(), write.path)
            }
            SinkPlan::Pushgateway(gateway) => gateway.intake.upstream.base_url.to_string(),
            SinkPlan::Textfile(path) | SinkPlan::Jsonl(path) => path.display().to_string(),
            SinkPlan::Stdout => "lines of JSON".into(),
        }
    }

    /// Its secrets, and the user names that are sent with them.
    pub fn secrets(&self) -> Vec<(Option<&str>, &Secret)> {
        let app_key = match self {
            SinkPlan::Datadog(datadog) => datadog.app_key.as_ref(),
            _ => None,
        };
        let credential = self.intake().and_then(|intake| intake.upstream.credential.as_ref()).map(Credential::secrets);
        credential.into_iter().flatten().chain(app_key.map(|secret| (None, secret))).collect()
    }

    /// Why nothing is sent to it for now, where its secret is not where it should be.
    pub fn withheld(&self) -> Option<&str> {
        self.intake()?.withheld.as_deref()
    }

    /// The intake that it speaks to, where it speaks HTTP.
    fn intake(&self) -> Option<&IntakePlan> {
        match self {
            SinkPlan::Datadog(datadog) => Some(&datadog.intake),
            SinkPlan::Otlp(intake) => Some(intake),
            SinkPlan::RemoteWrite(write) => Some(&write.intake),
            SinkPlan::Pushgateway(gateway) => Some(&gateway.intake),
            SinkPlan::Textfile(_) | SinkPlan::Jsonl(_) | SinkPlan::Stdout => None,
        }
    }
}

/// A section of the file that makes a sink.
enum Section<'a> {
    Datadog(Box<DatadogSection>),
    Otlp(&'a OtlpSection),
    RemoteWrite(&'a RemoteWriteSection),
    Pushgateway(&'a PushgatewaySection),
    Textfile(&'a TextfileSection),
    Jsonl(&'a JsonlSection),
    Stdout,
}

/// The sinks of a file.
pub(super) fn build(
    file: &File,
    credentials: &Credentials,
    stored: &StoredSecrets,
    environment: Environment<'_>,
) -> Result<Vec<SinkPlan>, ConfigError> {
    sections(file, environment).iter().map(|section| section.plan(credentials, stored, environment)).collect()
}

/// The names of the sinks that [`build`] makes, without a look at what they need.
pub(super) fn names(file: &File, environment: Environment<'_>) -> Vec<&'static str> {
    sections(file, environment).iter().map(Section::name).collect()
}

/// Without a section there is a Datadog sink where `DD_API_KEY` is set, or `DD_API_KEY_FILE`: what every Datadog tool does.
fn sections<'a>(file: &'a File, environment: Environment<'_>) -> Vec<Section<'a>> {
    let is_set = |name: &&str| environment(name).is_some_and(|text| !text.trim().is_empty());
    let is_implied = || ["DD_API_KEY", "DD_API_KEY_FILE"].iter().any(is_set);
    let is_on = |enabled: Option<bool>| enabled != Some(false);
    let sink = &file.sink;
    let datadog = sink.datadog.clone().or_else(|| is_implied().then(DatadogSection::default));
    let all = [
        datadog.filter(|section| is_on(section.enabled)).map(|section| Section::Datadog(Box::new(section))),
        sink.otlp.as_ref().filter(|section| is_on(section.enabled)).map(Section::Otlp),
        sink.remote_write.as_ref().filter(|section| is_on(section.enabled)).map(Section::RemoteWrite),
        sink.pushgateway.as_ref().filter(|section| is_on(section.enabled)).map(Section::Pushgateway),
        sink.textfile.as_ref().filter(|section| is_on(section.enabled)).map(Section::Textfile),
        sink.jsonl.as_ref().filter(|section| is_on(section.enabled)).map(Section::Jsonl),
        sink.stdout.as_ref().filter(|section| is_on(section.enabled)).map(|_| Section::Stdout),
    ];
    all.into_iter().flatten().collect()
}

impl Section<'_> {
    fn name(&self) -> &'static str {
        match self {
            Section::Datadog(_) => "datadog",
            Section::Otlp(_) => "otlp",
            Section::RemoteWrite(_) => "remote_write",
            Section::Pushgateway(_) => "pushgateway",
            Section::Textfile(_) => "textfile",
            Section::Jsonl(_) => "jsonl",
            Section::Stdout => "stdout",
        }
    }

    fn plan(
        &self,
        credentials: &Credentials,
        stored: &StoredSecrets,
        environment: Environment<'_>,
    ) -> Result<SinkPlan, ConfigError> {
        Ok(match self {
            Section::Datadog(section) => SinkPlan::Datadog(Box::new(datadog(section, stored, environment)?)),
            Section::Otlp(section) => SinkPlan::Otlp(Box::new(otlp(section, credentials, environment)?)),
            Section::RemoteWrite(section) => {
                SinkPlan::RemoteWrite(Box::new(remote_write(section, credentials, environment)?))
            }
            Section::Pushgateway(section) => {
                SinkPlan::Pushgateway(Box::new(pushgateway(section, credentials, environment)?))
            }
            Section::Textfile(section) => {
                SinkPlan::Textfile(path("textfile", "/var/lib/node_exporter/host.prom", section.path.as_ref())?)
            }
            Section::Jsonl(section) => SinkPlan::Jsonl(path("jsonl", "/var/log/points.jsonl", section.path.as_ref())?),
            Section::Stdout => SinkPlan::Stdout,
        })
    }
}

fn datadog(
    section: &DatadogSection,
    stored: &StoredSecrets,
    environment: Environment<'_>,
) -> Result<DatadogPlan, ConfigError> {
    const PLACE: &str = "[sink.datadog]";
    let site = section.site.as_ref().and_then(|text| text.read(environment)).or_else(|| environment("DD_SITE"));
    let site = site.filter(|site| !site.is_empty()).unwrap_or_else(|| "datadoghq.com".into());
    let url = section.base_url.as_ref().and_then(|text| text.read(environment));
    let url = url.unwrap_or_else(|| format!("https://api.{site}"));
    let source = section.api_key.clone().unwrap_or_else(|| SecretSource::variable("DD_API_KEY"));
    let secret = secrets::read("[sink.datadog] api_key", &source, stored, environment)?;
    let source = section.app_key.clone().unwrap_or_else(|| SecretSource::variable("DD_APP_KEY"));
    let app_key = secrets::read("[sink.datadog] app_key", &source, stored, environment)?;
    let keys = IntakeKeys {
        name: "datadog",
        url: ("base_url", section.base_url.as_ref()),
        credential: None,
        headers: &BTreeMap::new(),
        allow_addresses: &section.allow_addresses,
        timeouts: &section.timeouts,
    };
    let api_key = secret.map(|secret| Some(Credential::Header { name: "DD-API-KEY".into(), secret }));
    let intake = keys.plan_at(base_url(PLACE, "base_url", &url)?, api_key, environment)?;
    let app_key = app_key.ok().filter(|_| intake.withheld.is_none());
    Ok(DatadogPlan { intake, app_key })
}

fn otlp(
    section: &OtlpSection,
    credentials: &Credentials,
    environment: Environment<'_>,
) -> Result<IntakePlan, ConfigError> {
    let keys = IntakeKeys {
        name: "otlp",
        url: ("endpoint", section.endpoint.as_ref()),
        credential: section.credential.as_ref(),
        headers: &section.headers,
        allow_addresses: &section.allow_addresses,
        timeouts: &section.timeouts,
    };
    keys.plan(credentials, environment)
}

fn remote_write(
    section: &RemoteWriteSection,
    credentials: &Credentials,
    environment: Environment<'_>,
) -> Result<RemoteWritePlan, ConfigError> {
    let version = section.version.unwrap_or(2);
    if !(1..=2).contains(&version) {
        return Err(ConfigError::Hinted {
            place: "[sink.remote_write]".into(),
            what: format!("there is no version {version} of remote write"),
            hint: "write version = 2, or version = 1 for a receiver that knows no newer one".into(),
        });
    }
    let keys = IntakeKeys {
        name: "remote_write",
        url: ("url", section.url.as_ref()),
        credential: section.credential.as_ref(),
        headers: &section.headers,
        allow_addresses: &section.allow_addresses,
        timeouts: &section.timeouts,
    };
    let mut intake = keys.plan(credentials, environment)?;
    let path = intake.upstream.base_url.path().to_owned();
    intake.upstream.base_url.set_path("");
    Ok(RemoteWritePlan { intake, path, version })
}

fn pushgateway(
    section: &PushgatewaySection,
    credentials: &Credentials,
    environment: Environment<'_>,
) -> Result<PushgatewayPlan, ConfigError> {
    let job = match &section.job {
        None => "collector-host".into(),
        Some(text) => text.read(environment).unwrap_or_default(),
    };
    if job.is_empty() {
        return Err(ConfigError::Hinted {
            place: "[sink.pushgateway]".into(),
            what: "job is empty".into(),
            hint: "write job = \"collector-host\" under [sink.pushgateway], or leave the key out".into(),
        });
    }
    let keys = IntakeKeys {
        name: "pushgateway",
        url: ("url", section.url.as_ref()),
        credential: section.credential.as_ref(),
        headers: &section.headers,
        allow_addresses: &section.allow_addresses,
        timeouts: &section.timeouts,
    };
    Ok(PushgatewayPlan { intake: keys.plan(credentials, environment)?, job })
}

fn path(sink: &str, example: &str, path: Option<&PathBuf>) -> Result<PathBuf, ConfigError> {
    path.filter(|path| path.file_name().is_some()).cloned().ok_or_else(|| ConfigError::Hinted {
        place: format!("[sink.{sink}]"),
        what: if path.is_some() { "path names no file".into() } else { "it has no path".into() },
        hint: format!("write path = \"{example}\" under [sink.{sink}]"),
    })
}

#[cfg(test)]
mod tests;
