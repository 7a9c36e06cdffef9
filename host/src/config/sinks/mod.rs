//! Sinks of the file, validated.

mod intake;

use std::collections::BTreeMap;

use crate::model::Secret;
use crate::policy::Credential;

use super::file::{DatadogSection, File, OtlpSection, SecretSource};
use super::secrets::{self, StoredSecrets};
use super::upstreams::{Credentials, base_url};
use super::{ConfigError, Environment};

use intake::IntakeKeys;
pub use intake::IntakePlan;

/// A destination of points.
#[derive(Clone, Debug)]
pub enum SinkPlan {
    Datadog(Box<DatadogPlan>),
    /// OTLP over HTTP.
    Otlp(Box<IntakePlan>),
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

impl SinkPlan {
    /// Its name in reports and in the spool.
    pub fn name(&self) -> &'static str {
        match self {
            SinkPlan::Datadog(_) => "datadog",
            SinkPlan::Otlp(_) => "otlp",
            SinkPlan::Stdout => "stdout",
        }
    }

    /// Where the points go, for people.
    pub fn place(&self) -> String {
        match self {
            SinkPlan::Datadog(datadog) => datadog.intake.upstream.base_url.to_string(),
            SinkPlan::Otlp(intake) => intake.upstream.base_url.to_string(),
            SinkPlan::Stdout => "lines of JSON".into(),
        }
    }

    /// Its secrets, and the user names that are sent with them.
    pub fn secrets(&self) -> Vec<(Option<&str>, &Secret)> {
        let app_key = match self {
            SinkPlan::Datadog(datadog) => datadog.app_key.as_ref(),
            _ => None,
        };
        let credential = self.intake().and_then(|intake| intake.upstream.credential.as_ref()).map(Credential::secret);
        credential.into_iter().chain(app_key.map(|secret| (None, secret))).collect()
    }

    /// The intake that it speaks to, where it speaks HTTP.
    fn intake(&self) -> Option<&IntakePlan> {
        match self {
            SinkPlan::Datadog(datadog) => Some(&datadog.intake),
            SinkPlan::Otlp(intake) => Some(intake),
            SinkPlan::Stdout => None,
        }
    }
}

/// Without a section there is a Datadog sink where `DD_API_KEY` is set: what every Datadog tool does.
pub(super) fn build(
    file: &File,
    credentials: &Credentials,
    stored: &StoredSecrets,
    environment: Environment<'_>,
) -> Result<Vec<SinkPlan>, ConfigError> {
    let mut sinks = Vec::new();
    let implied = environment("DD_API_KEY").is_some_and(|key| !key.trim().is_empty());
    let section = file.sink.datadog.clone().or_else(|| implied.then(DatadogSection::default));
    if let Some(section) = section.filter(|section| section.enabled != Some(false)) {
        sinks.push(SinkPlan::Datadog(Box::new(datadog(&section, stored, environment)?)));
    }
    if let Some(section) = file.sink.otlp.as_ref().filter(|section| section.enabled != Some(false)) {
        sinks.push(SinkPlan::Otlp(Box::new(otlp(section, credentials, environment)?)));
    }
    if file.sink.stdout.as_ref().is_some_and(|section| section.enabled != Some(false)) {
        sinks.push(SinkPlan::Stdout);
    }
    Ok(sinks)
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
    let secret =
        secrets::read("[sink.datadog] api_key", &source, stored, environment)?.map_err(|missing| missing.at(PLACE))?;
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
    let api_key = Credential::Header { name: "DD-API-KEY".into(), secret };
    let intake = keys.plan_at(base_url(PLACE, "base_url", &url)?, Some(api_key), environment)?;
    Ok(DatadogPlan { intake, app_key: app_key.ok() })
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

#[cfg(test)]
mod tests;
