//! The configuration file, typed. Every key there is stands here; any other is refused with the nearest one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::limits::{ByteSize, LimitsPatch, Wall};
use crate::model::Name;
use crate::policy::AddressRule;

use super::ConfigError;

mod credentials;
mod sinks;

pub use credentials::{CredentialKind, CredentialSection, SecretSource};
pub use sinks::{
    DatadogSection, JsonlSection, OtlpSection, PushgatewaySection, RemoteWriteSection, SinkSections, TextfileSection,
};

/// What is known without a file.
const DEFAULTS: &str = include_str!("defaults.toml");

/// The file's sections.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    pub cycle: CycleSection,
    pub limits: LimitsPatch,
    /// Tags on every point.
    pub tags: BTreeMap<String, Text>,
    pub network: NetworkSection,
    pub collector: BTreeMap<Name, CollectorSection>,
    pub upstream: BTreeMap<Name, UpstreamSection>,
    pub credential: BTreeMap<Name, CredentialSection>,
    pub sink: SinkSections,
    pub spool: SpoolSection,
    pub cache: CacheSection,
    pub secrets: SecretsSection,
    pub kubernetes: KubernetesSection,
    pub ec2: Ec2Section,
    pub last_values: LastValuesSection,
    pub workloads: WorkloadsSection,
}

/// `[cycle]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CycleSection {
    /// Wall time of the whole cycle.
    pub deadline: Option<Wall>,
    /// The part of it that is kept for delivery.
    pub delivery_reserve: Option<Wall>,
    /// How often cycles are started: points carry the start floored to it.
    pub schedule: Option<Wall>,
    /// After how many runs in a row that came to nothing a collector is left alone for a while; 0 for never.
    pub pause_after: Option<u32>,
    /// How many collectors run at once.
    pub jobs: Option<usize>,
    /// The container's memory, where the control group does not say.
    pub container_memory: Option<ByteSize>,
}

/// `[spool]`: points on disk until every sink has taken them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolSection {
    /// What it may take on the disk; beyond it the oldest points are given up, and counted.
    pub bytes: Option<ByteSize>,
    /// How old points may get in it.
    pub age: Option<Wall>,
}

/// `[cache]`: answers of upstreams that are asked for again with a condition.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSection {
    /// What they may take on the disk; beyond it the least recently used are forgotten. 0 remembers nothing.
    pub bytes: Option<ByteSize>,
    /// How long one is kept that nobody asks for.
    pub age: Option<Wall>,
}

/// `[network]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSection {
    /// Certificates (PEM) that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Fixed addresses of names, as in /etc/hosts.
    pub hosts: BTreeMap<String, Vec<std::net::IpAddr>>,
}

/// `[collector.NAME]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CollectorSection {
    pub enabled: Option<bool>,
    /// The component's file in the components folder, where it is not the one that carries this name. So one component can
    /// run several times with different settings.
    pub component: Option<PathBuf>,
    pub settings: BTreeMap<String, Value>,
    pub limits: LimitsPatch,
    /// More collectors that must have ended before.
    pub after: Vec<Name>,
    /// Tags on its points.
    pub tags: BTreeMap<String, Text>,
    /// How often it is tried in a cycle.
    pub attempts: Option<u32>,
    /// WASI packages that it may import although nothing is behind them: `wasi:filesystem`, `wasi:sockets`.
    pub imports: Vec<String>,
}

/// `[upstream.NAME]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamSection {
    pub base_url: Option<Text>,
    /// The name of a `[credential.NAME]`.
    pub credential: Option<Name>,
    /// The collectors that may use it; all, where the key is absent.
    pub collectors: Option<Vec<Name>>,
    /// The methods that may be granted; all, where the key is absent.
    pub methods: Option<Vec<String>>,
    /// Addresses beyond public ones: `loopback`, `private`, `link-local`, `metadata`, or networks.
    pub allow_addresses: Vec<AddressRule>,
    /// How many redirects are followed.
    pub redirects: Option<u32>,
    /// Hosts other than its own that a redirect may lead to.
    pub redirect_hosts: Vec<String>,
    pub timeouts: TimeoutsSection,
    /// Whether its answers are remembered and asked for again with a condition; true, where the key is absent.
    pub conditional: Option<bool>,
}

/// `[upstream.NAME.timeouts]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsSection {
    pub connect: Option<Wall>,
    pub first_byte: Option<Wall>,
    pub between_bytes: Option<Wall>,
    pub whole: Option<Wall>,
}

/// `[kubernetes]`: the cluster that collectors read. In a pod its service account, elsewhere the kubeconfig.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KubernetesSection {
    /// The collectors that may import it.
    pub collectors: Vec<Name>,
    /// A kubeconfig other than KUBECONFIG's or ~/.kube/config.
    pub kubeconfig: Option<PathBuf>,
    /// A context of it other than its current one.
    pub context: Option<String>,
    /// Instead: an API server that wants no credentials, such as `kubectl proxy`.
    pub server: Option<Text>,
    /// The longest that one answer may take.
    pub timeout: Option<Wall>,
}

/// `[ec2]`: region and account come by the AWS SDK's chain where nothing is written here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ec2Section {
    /// The collectors that may import it.
    pub collectors: Vec<Name>,
    pub region: Option<Text>,
    /// Instead of AWS' own endpoints.
    pub endpoint_url: Option<Text>,
    /// The longest that one answer may take.
    pub timeout: Option<Wall>,
}

/// `[last_values]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LastValuesSection {
    /// The collectors that may import it.
    pub collectors: Vec<Name>,
}

/// `[workloads]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkloadsSection {
    /// The collectors that may import it.
    pub collectors: Vec<Name>,
}

/// `[secrets.…]`: the stores that secrets come from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretsSection {
    pub aws: AwsSecretsSection,
    pub vault: VaultSection,
}

/// `[secrets.aws]`: region and account come by the AWS SDK's chain where nothing is written here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsSecretsSection {
    pub region: Option<Text>,
    /// Instead of AWS' own endpoint.
    pub endpoint_url: Option<Text>,
    /// The longest that one answer may take.
    pub timeout: Option<Wall>,
}

/// `[secrets.vault]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VaultSection {
    /// `https://vault.internal:8200`; `VAULT_ADDR` where the key is absent.
    pub address: Option<Text>,
    /// `VAULT_NAMESPACE` where the key is absent.
    pub namespace: Option<Text>,
    /// `VAULT_TOKEN` where neither this nor a role is written.
    pub token: Option<SecretSource>,
    /// Instead of a token: the role that this pod's service account logs in with.
    pub kubernetes_role: Option<Text>,
    /// Where that login is mounted.
    pub kubernetes_mount: Option<Text>,
    /// The file with the service account's token, where it is not the one that every pod has: a projected one for Vault's audience.
    pub kubernetes_token: Option<PathBuf>,
    pub allow_addresses: Vec<AddressRule>,
    pub timeouts: TimeoutsSection,
}

/// A text, or the environment variable that holds it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct Text(pub Value);

/// A text that people also write as a number; or the environment variable that holds it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct Id(pub Text);

/// A value, the environment variable that holds it, or the file that holds a text.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub enum Value {
    Literal(toml::Value),
    Environment { variable: String, default: Option<toml::Value> },
    File(PathBuf),
}

impl TryFrom<toml::Value> for Value {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Value, String> {
        let toml::Value::Table(mut table) = value else { return Ok(Value::Literal(value)) };
        let default = table.remove("default");
        match (table.remove("env"), table.remove("file"), table.keys().next()) {
            (Some(toml::Value::String(variable)), None, None) => Ok(Value::Environment { variable, default }),
            (None, Some(toml::Value::String(path)), None) if default.is_none() => Ok(Value::File(path.into())),
            _ => {
                Err("a table here is { env = \"VARIABLE\" }, with a default if you like, or { file = \"PATH\" }".into())
            }
        }
    }
}

impl TryFrom<toml::Value> for Id {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Id, String> {
        match value {
            toml::Value::Integer(number) => Ok(Id(Text(Value::Literal(number.to_string().into())))),
            other => {
                Text::try_from(other).map(Id).map_err(|_| "expected a text, a number or { env = \"VARIABLE\" }".into())
            }
        }
    }
}

impl TryFrom<toml::Value> for Text {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Text, String> {
        let value = Value::try_from(value)?;
        match &value {
            Value::Literal(toml::Value::String(_)) => Ok(Text(value)),
            Value::Environment { default: None | Some(toml::Value::String(_)), .. } => Ok(Text(value)),
            _ => Err("expected a text or { env = \"VARIABLE\" }".into()),
        }
    }
}

impl Text {
    /// The text; none where the variable is not set and there is no default.
    pub fn read(&self, environment: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let literal = |value: &toml::Value| value.as_str().map(str::to_owned);
        match &self.0 {
            Value::Literal(value) => literal(value),
            Value::Environment { variable, default } => {
                environment(variable).filter(|value| !value.is_empty()).or_else(|| default.as_ref().and_then(literal))
            }
            // Refused when it was read.
            Value::File(_) => None,
        }
    }

    /// The variable that would set it, for hints.
    pub fn variable(&self) -> Option<&str> {
        match &self.0 {
            Value::Literal(_) | Value::File(_) => None,
            Value::Environment { variable, .. } => Some(variable),
        }
    }
}

impl File {
    /// What is known without a file.
    ///
    /// # Errors
    /// Never, unless this program was built with broken defaults.
    pub fn built_in() -> Result<File, ConfigError> {
        parse(Path::new("the built-in defaults"), DEFAULTS)
    }

    /// A file's text over the built-in defaults.
    ///
    /// # Errors
    /// Where the text is not TOML or holds what this program does not know; with line and, for a key, the nearest known one.
    pub fn read(path: &Path, text: &str) -> Result<File, ConfigError> {
        // Alone first, so that every error has its line in the file.
        let _alone: File = parse(path, text)?;
        let mut merged: toml::Table = parse(Path::new("the built-in defaults"), DEFAULTS)?;
        merge(&mut merged, parse(path, text)?);
        merged.try_into().map_err(|e: toml::de::Error| ConfigError::Invalid {
            place: path.display().to_string(),
            what: e.message().to_owned(),
        })
    }
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::from_toml(path, text, &error))
}

/// Lays `over` on `base`: tables are joined, everything else is replaced. A table that names its own source of a secret or
/// value replaces the other one whole; so does a credential of a kind that has keys of its own.
fn merge(base: &mut toml::Table, over: toml::Table) {
    if over.get("kind").is_some_and(|kind| CredentialKind::stands_alone(kind) && base.get("kind") != Some(kind)) {
        base.clear();
    }
    let is_source =
        |key: &str, value: &toml::Value| ["env", "file", "aws", "kubernetes", "vault"].contains(&key) && value.is_str();
    if over.iter().any(|(key, value)| is_source(key, value)) && base.iter().any(|(k, v)| is_source(k, v)) {
        base.retain(|key, value| !is_source(key, value) && key != "default");
    }
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) => merge(base, over),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<File, String> {
        File::read(Path::new("host.toml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn a_file_is_laid_over_what_is_known_without_one() {
        let file = read(
            "[upstream.github]\nallow_addresses = ['loopback']\n[credential.github]\nkind = 'bearer'\nfile = '/t'\n\
             [collector.github.settings]\norg = 'acme'",
        )
        .unwrap();
        let github = &file.upstream["github"];
        assert_eq!(github.base_url.as_ref().unwrap().read(&|_| None).unwrap(), "https://api.github.com");
        assert_eq!(github.allow_addresses.len(), 1);
        let credential = &file.credential["github"];
        assert_eq!((credential.env.as_deref(), credential.file.as_deref()), (None, Some(Path::new("/t"))));
        assert_eq!(file.collector["github"].settings["org"], Value::Literal("acme".into()));
        assert!(file.upstream.contains_key("wandb"));
    }

    #[test]
    fn a_credential_of_another_kind_takes_nothing_over_from_the_built_in_one() {
        let file = read(
            "[credential.github]\nkind = 'github_app'\napp = 'Iv1'\ninstallation = 7\nfile = '/k'\n\
             [credential.wandb]\nkind = 'aws_sigv4'\nservice = 'aps'",
        );
        let file = file.unwrap();
        let github = &file.credential["github"];
        assert_eq!((github.env.as_deref(), github.file.as_deref()), (None, Some(Path::new("/k"))));
        assert_eq!(github.installation.as_ref().unwrap().0.read(&|_| None).as_deref(), Some("7"));
        let wandb = &file.credential["wandb"];
        assert_eq!((wandb.env.as_deref(), wandb.user.as_deref()), (None, None));
        // Where the place of the secret may well be the same, it stays.
        let file = read("[credential.wandb]\nkind = 'bearer'").unwrap();
        assert_eq!(file.credential["wandb"].env.as_deref(), Some("WANDB_API_KEY"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one() {
        for (text, says) in [
            ("[cycle]\n\ndeadlin = '3s'", ["host.toml:3", "`deadlin`", "did you mean `deadline`?"]),
            ("[limit]\nfuel = 1", ["host.toml:1", "`limit`", "did you mean `limits`?"]),
            ("[collector.github.limits]\nmemroy = '1MiB'", ["host.toml:2", "`memroy`", "did you mean `memory`?"]),
            ("[upstream.x]\nurl = 'http://x'", ["host.toml:2", "`url`", "known here are"]),
            ("[sink.datadgo]\n", ["host.toml:1", "`datadgo`", "did you mean `datadog`?"]),
        ] {
            let error = read(text).unwrap_err();
            assert!(says.iter().all(|part| error.contains(part)), "{text}: {error}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_with_its_line() {
        for (text, says) in [
            ("[cycle]\ndeadline = 'soon'", "host.toml:2"),
            ("[limits]\nmemory = '64MB'", "is not a size"),
            ("[upstream.x]\nallow_addresses = ['everything']", "is neither loopback"),
            ("[collector.GitHub]", "is not a name"),
            ("[upstream.x]\nbase_url = { envv = 'X' }", "{ env = \"VARIABLE\" }"),
            ("[cycle", "host.toml:1"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_text_may_come_from_the_environment() {
        let text = |toml: &str| Text::try_from(toml.parse::<toml::Table>().unwrap().remove("x").unwrap()).unwrap();
        let environment = |name: &str| (name == "SET").then(|| "value".to_owned());
        assert_eq!(text("x = 'y'").read(&environment).as_deref(), Some("y"));
        assert_eq!(text("x = { env = 'SET' }").read(&environment).as_deref(), Some("value"));
        assert_eq!(text("x = { env = 'UNSET' }").read(&environment), None);
        assert_eq!(text("x = { env = 'UNSET', default = 'd' }").read(&environment).as_deref(), Some("d"));
    }
}
