//! The manifest of a collector: what it emits and what it asks for. `collector.toml`, carried in its component.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Name;
use crate::limits::LimitsPatch;

/// The contract that this host speaks: the version of the WIT package `collector:host`.
pub const CONTRACT: ContractVersion = ContractVersion { major: 0, minor: 1, patch: 0 };

/// A version of the contract. Before 1.0, every minor version is a contract of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContractVersion {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

/// What a collector emits and asks for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub name: Name,
    /// The collector's own version; any text.
    pub version: String,
    /// The contract it was built for, as text; [`Manifest::contract`] reads it.
    contract: String,
    #[serde(default)]
    pub description: String,
    /// Collectors that must have ended, well or not, before this one begins.
    #[serde(default)]
    pub after: Vec<Name>,
    /// Limits that it needs and that differ from the defaults.
    #[serde(default)]
    pub limits: LimitsPatch,
    #[serde(default, rename = "upstream")]
    pub upstreams: Vec<Asked>,
    /// What it reads of the cluster's API.
    #[serde(default)]
    pub kubernetes: Option<KubernetesAsked>,
    #[serde(default)]
    pub settings: BTreeMap<String, SettingDecl>,
    #[serde(default)]
    pub series: Vec<Series>,
}

/// What it asks of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    pub name: Name,
    pub methods: Vec<String>,
    /// Path prefixes, by whole segments; `{key}` stands for a setting.
    pub paths: Vec<String>,
    /// The name of the credential that it needs there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Name>,
    /// Whether it can also do without.
    #[serde(default)]
    pub credential_optional: bool,
}

/// What it asks of the cluster's API: lists, and what else may be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesAsked {
    pub resources: Vec<KubernetesResource>,
    /// Logs of containers (`pods/log`).
    #[serde(default)]
    pub logs: bool,
    /// The kubelets' summaries (`nodes/proxy`).
    #[serde(default)]
    pub summary: bool,
}

/// What can be listed. The words of `wit/kubernetes.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KubernetesResource {
    Pods,
    Nodes,
    Events,
    Deployments,
    Jobs,
    #[serde(rename = "cronjobs")]
    CronJobs,
    PodMetrics,
}

impl KubernetesResource {
    /// API group and version as they stand in a path, the group as in an RBAC rule, and the plural.
    pub fn parts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            KubernetesResource::Pods => ("api/v1", "", "pods"),
            KubernetesResource::Nodes => ("api/v1", "", "nodes"),
            KubernetesResource::Events => ("api/v1", "", "events"),
            KubernetesResource::Deployments => ("apis/apps/v1", "apps", "deployments"),
            KubernetesResource::Jobs => ("apis/batch/v1", "batch", "jobs"),
            KubernetesResource::CronJobs => ("apis/batch/v1", "batch", "cronjobs"),
            KubernetesResource::PodMetrics => ("apis/metrics.k8s.io/v1beta1", "metrics.k8s.io", "pods"),
        }
    }
}

/// A setting of the collector.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingDecl {
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub kind: SettingKind,
    #[serde(default)]
    pub default: Option<toml::Value>,
    /// Whether the collector cannot run without a value.
    #[serde(default)]
    pub required: bool,
}

/// What a setting's value may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettingKind {
    #[default]
    Text,
    Integer,
    Number,
    Boolean,
}

/// What a point of a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// How things are at the moment; totals of a window are gauges too.
    Gauge,
    /// How many since the last cycle.
    Count,
}

/// A series that the collector may emit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    pub name: String,
    pub kind: Kind,
    pub unit: String,
    pub description: String,
    /// The keys that its points' tags may have.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The setting without which the series does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_with: Option<String>,
}

/// Why a text is not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("{0}")]
    Toml(String),
    #[error("contract {0:?} is not a version such as \"0.1.0\"")]
    Contract(String),
    #[error("series {0:?} is not a name: a to z, digits, `_` and `.`, beginning with a letter, under 200 bytes")]
    SeriesName(String),
    #[error("{what} {name:?} stands there twice")]
    Twice { what: &'static str, name: String },
    #[error("upstream {upstream}: path {path:?} must begin with `/` and name only declared settings")]
    Path { upstream: Name, path: String },
    #[error("setting {key:?}: the default is not {expected}")]
    Default { key: String, expected: &'static str },
    #[error("series {series:?} exists only with setting {setting:?}, which is not declared")]
    OnlyWith { series: String, setting: String },
}

impl Manifest {
    /// Reads the text of `collector.toml`.
    ///
    /// # Errors
    /// Where it is not TOML of this shape, or contradicts itself.
    pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
        let manifest: Manifest =
            toml::from_str(text).map_err(|e| ManifestError::Toml(e.to_string().trim_end().into()))?;
        manifest.contract()?;
        manifest.check_series()?;
        manifest.check_upstreams()?;
        for (key, setting) in &manifest.settings {
            let wrong = setting.default.as_ref().is_some_and(|value| !setting.kind.takes(value));
            if wrong {
                return Err(ManifestError::Default { key: key.clone(), expected: setting.kind.noun() });
            }
        }
        Ok(manifest)
    }

    /// The contract it was built for.
    ///
    /// # Errors
    /// Where the text is not a version.
    pub fn contract(&self) -> Result<ContractVersion, ManifestError> {
        self.contract.parse().map_err(|()| ManifestError::Contract(self.contract.clone()))
    }

    /// The series that exist under these settings.
    pub fn series_with<'a>(&'a self, settings: &'a BTreeMap<String, String>) -> impl Iterator<Item = &'a Series> {
        let is_set = |key: &String| settings.get(key).is_some_and(|value| !value.is_empty());
        self.series.iter().filter(move |series| series.only_with.as_ref().is_none_or(is_set))
    }

    fn check_series(&self) -> Result<(), ManifestError> {
        let mut seen = BTreeSet::new();
        for series in &self.series {
            let is_first = |b: u8| b.is_ascii_lowercase();
            let is_other = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.';
            let name = series.name.as_bytes();
            // Datadog cuts names at 200 bytes; every other intake takes these too.
            if name.len() >= 200 || !name.first().copied().is_some_and(is_first) || !name.iter().copied().all(is_other)
            {
                return Err(ManifestError::SeriesName(series.name.clone()));
            }
            if !seen.insert(&series.name) {
                return Err(ManifestError::Twice { what: "series", name: series.name.clone() });
            }
            if let Some(setting) = series.only_with.as_ref().filter(|key| !self.settings.contains_key(*key)) {
                return Err(ManifestError::OnlyWith { series: series.name.clone(), setting: setting.clone() });
            }
        }
        Ok(())
    }

    fn check_upstreams(&self) -> Result<(), ManifestError> {
        let mut seen = BTreeSet::new();
        for upstream in &self.upstreams {
            if !seen.insert(&upstream.name) {
                return Err(ManifestError::Twice { what: "upstream", name: upstream.name.to_string() });
            }
            for path in &upstream.paths {
                let named = settings_in(path);
                let known = named.is_some_and(|keys| keys.iter().all(|key| self.settings.contains_key(*key)));
                if !path.starts_with('/') || !known {
                    return Err(ManifestError::Path { upstream: upstream.name.clone(), path: path.clone() });
                }
            }
        }
        Ok(())
    }
}

/// The settings that a path prefix names in braces; none where a brace does not match.
fn settings_in(path: &str) -> Option<Vec<&str>> {
    let mut keys = Vec::new();
    let mut rest = path;
    while let Some(open) = rest.find(['{', '}']) {
        let after = rest[open..].strip_prefix('{')?;
        let close = after.find(['{', '}']).filter(|at| after[*at..].starts_with('}'))?;
        keys.push(&after[..close]);
        rest = &after[close + 1..];
    }
    Some(keys)
}

impl ContractVersion {
    /// Whether a component of this version is newer than the host.
    pub fn is_newer(self) -> bool {
        (self.major, self.minor) > (CONTRACT.major, CONTRACT.minor)
            || (self.major, self.minor) == (CONTRACT.major, CONTRACT.minor) && self.patch > CONTRACT.patch
    }

    /// Whether this host can run a component of this version.
    pub fn is_spoken(self) -> bool {
        !self.is_newer() && self.major == CONTRACT.major && (self.major > 0 || self.minor == CONTRACT.minor)
    }
}

impl FromStr for ContractVersion {
    type Err = ();

    fn from_str(text: &str) -> Result<ContractVersion, ()> {
        let mut parts = text.split('.').map(|part| part.parse::<u32>().map_err(drop));
        let mut next = || parts.next().unwrap_or(Ok(0));
        let version = ContractVersion { major: next()?, minor: next()?, patch: next()? };
        if text.split('.').count() <= 3 && text.contains('.') { Ok(version) } else { Err(()) }
    }
}

impl fmt::Display for ContractVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl SettingKind {
    /// Whether the value is of this kind. An integer is a number too.
    pub fn takes(self, value: &toml::Value) -> bool {
        match self {
            SettingKind::Text => value.is_str(),
            SettingKind::Integer => value.is_integer(),
            SettingKind::Number => value.is_integer() || value.is_float(),
            SettingKind::Boolean => value.is_bool(),
        }
    }

    /// Whether the text, from the environment, reads as a value of this kind.
    pub fn reads(self, text: &str) -> bool {
        match self {
            SettingKind::Text => true,
            SettingKind::Integer => text.parse::<i64>().is_ok(),
            SettingKind::Number => text.parse::<f64>().is_ok_and(f64::is_finite),
            SettingKind::Boolean => text.parse::<bool>().is_ok(),
        }
    }

    /// What a value should be, for messages: `an integer`.
    pub fn noun(self) -> &'static str {
        match self {
            SettingKind::Text => "text",
            SettingKind::Integer => "an integer",
            SettingKind::Number => "a number",
            SettingKind::Boolean => "true or false",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        name = "probe"
        version = "1.2.3"
        contract = "0.1.0"
        after = ["github"]
        limits = { deadline = "10s" }
        [[upstream]]
        name = "github"
        methods = ["GET"]
        paths = ["/repos/{org}/{repo}"]
        [settings.org]
        [settings.repo]
        default = "x"
        [[series]]
        name = "probe.up"
        kind = "gauge"
        unit = "count"
        description = "d"
        only_with = "org"
    "#;

    #[test]
    fn a_manifest_reads() {
        let manifest = Manifest::parse(GOOD).unwrap();
        assert_eq!(manifest.contract().unwrap(), CONTRACT);
        assert_eq!(manifest.upstreams[0].paths, ["/repos/{org}/{repo}"]);
        let org = |value: &str| BTreeMap::from([("org".to_owned(), value.to_owned())]);
        assert_eq!(manifest.series_with(&org("acme")).count(), 1);
        assert_eq!(manifest.series_with(&org("")).count() + manifest.series_with(&BTreeMap::new()).count(), 0);
    }

    #[test]
    fn a_manifest_that_contradicts_itself_is_refused() {
        for (from, to, says) in [
            ("probe.up", "Probe.Up", "is not a name"),
            ("{org}", "{orgg}", "declared settings"),
            ("{org}", "{org", "declared settings"),
            ("\"/repos", "\"repos", "begin with `/`"),
            ("only_with = \"org\"", "only_with = \"o\"", "not declared"),
            ("default = \"x\"", "kind = \"integer\"\ndefault = \"x\"", "not an integer"),
            ("contract = \"0.1.0\"", "contract = \"one\"", "not a version"),
            ("version =", "versoin =", "versoin"),
            ("[settings.org]", "[[upstream]]\nname='github'\nmethods=[]\npaths=[]\n[settings.org]", "twice"),
        ] {
            let text = GOOD.replace(from, to);
            let error = Manifest::parse(&text).map(drop).unwrap_err().to_string();
            assert!(error.contains(says), "{to}: {error}");
        }
    }

    #[test]
    fn only_this_contract_is_spoken() {
        let version = |text: &str| text.parse::<ContractVersion>().unwrap();
        assert!(version("0.1.0").is_spoken() && version("0.1").is_spoken());
        for newer in ["0.1.1", "0.2.0", "1.0.0"] {
            assert!(version(newer).is_newer() && !version(newer).is_spoken(), "{newer}");
        }
        assert!(!version("0.0.9").is_newer() && !version("0.0.9").is_spoken());
        for bad in ["", "1", "a.b", "1.2.3.4", "1.-1"] {
            assert!(bad.parse::<ContractVersion>().is_err(), "{bad}");
        }
    }
}
