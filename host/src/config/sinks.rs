//! Sinks of the file, validated.

use url::Url;

use crate::model::Secret;
use crate::policy::{Allowed, Timeouts};

use super::file::{DatadogSection, File, SecretSource};
use super::upstreams::{base_url, timeouts};
use super::{ConfigError, Environment, secrets};

/// A destination of points.
#[derive(Clone, Debug)]
pub enum SinkPlan {
    Datadog(Box<DatadogPlan>),
    /// Points as lines of JSON on stdout.
    Stdout,
}

impl SinkPlan {
    /// Its name in reports and in the spool.
    pub fn name(&self) -> &'static str {
        match self {
            SinkPlan::Datadog(_) => "datadog",
            SinkPlan::Stdout => "stdout",
        }
    }
}

/// Datadog's intake, or one that speaks like it.
#[derive(Clone, Debug)]
pub struct DatadogPlan {
    /// `https://api.<site>`.
    pub base_url: Url,
    pub api_key: Secret,
    /// For reading values back; without it nothing is.
    pub app_key: Option<Secret>,
    pub allowed: Allowed,
    pub timeouts: Timeouts,
}

/// Without a section there is a Datadog sink where `DD_API_KEY` is set: what every Datadog tool does.
pub(super) fn build(file: &File, environment: Environment<'_>) -> Result<Vec<SinkPlan>, ConfigError> {
    let mut sinks = Vec::new();
    let implied = environment("DD_API_KEY").is_some_and(|key| !key.trim().is_empty());
    let section = file.sink.datadog.clone().or_else(|| implied.then(DatadogSection::default));
    if let Some(section) = section.filter(|section| section.enabled != Some(false)) {
        sinks.push(SinkPlan::Datadog(Box::new(datadog(&section, environment)?)));
    }
    if file.sink.stdout.as_ref().is_some_and(|section| section.enabled != Some(false)) {
        sinks.push(SinkPlan::Stdout);
    }
    Ok(sinks)
}

fn datadog(section: &DatadogSection, environment: Environment<'_>) -> Result<DatadogPlan, ConfigError> {
    const PLACE: &str = "[sink.datadog]";
    let site = section.site.as_ref().and_then(|text| text.read(environment)).or_else(|| environment("DD_SITE"));
    let site = site.filter(|site| !site.is_empty()).unwrap_or_else(|| "datadoghq.com".into());
    let url = section.base_url.as_ref().and_then(|text| text.read(environment));
    let url = url.unwrap_or_else(|| format!("https://api.{site}"));
    let source = section.api_key.clone().unwrap_or_else(|| SecretSource { env: Some("DD_API_KEY".into()), file: None });
    let api_key = secrets::read("[sink.datadog] api_key", source.env.as_deref(), source.file.as_deref(), environment)?
        .map_err(|missing| ConfigError::Hinted { place: PLACE.into(), what: missing.what, hint: missing.hint })?;
    let source = section.app_key.clone().unwrap_or_else(|| SecretSource { env: Some("DD_APP_KEY".into()), file: None });
    let app_key = secrets::read("[sink.datadog] app_key", source.env.as_deref(), source.file.as_deref(), environment)?;
    Ok(DatadogPlan {
        base_url: base_url(PLACE, &url)?,
        api_key,
        app_key: app_key.ok(),
        allowed: Allowed::new(section.allow_addresses.clone()),
        timeouts: timeouts(&section.timeouts),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn sinks(text: &str, environment: &[(&str, &str)]) -> Result<Vec<SinkPlan>, String> {
        let file = File::read(Path::new("host.toml"), text).map_err(|e| e.text_and_hint())?;
        let read = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        build(&file, &read).map_err(|e| e.text_and_hint())
    }

    #[test]
    fn a_key_in_the_environment_is_enough_for_datadog() {
        let all = sinks("", &[("DD_API_KEY", "k"), ("DD_SITE", "datadoghq.eu")]).unwrap();
        let [SinkPlan::Datadog(datadog)] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!(datadog.base_url.as_str(), "https://api.datadoghq.eu/");
        assert!(sinks("", &[]).unwrap().is_empty());
        assert!(sinks("[sink.datadog]\nenabled = false", &[("DD_API_KEY", "k")]).unwrap().is_empty());
    }

    #[test]
    fn a_section_without_a_key_is_an_error_that_names_the_variable() {
        let error = sinks("[sink.datadog]\nsite = 'datadoghq.com'", &[]).unwrap_err();
        assert!(error.contains("set DD_API_KEY"), "{error}");
    }

    #[test]
    fn several_sinks_stand_side_by_side() {
        let all = sinks("[sink.stdout]\n[sink.datadog]\nbase_url = 'http://127.0.0.1:1'", &[("DD_API_KEY", "k")]);
        assert_eq!(all.unwrap().len(), 2);
    }
}
