//! Secrets by reference: an environment variable, a file, or a store that is asked before the plan is made.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use crate::model::Secret;
use crate::policy::{Allowed, Timeouts};

use super::capabilities::{self, Ec2Plan, KubernetesPlan};
use super::file::{File, SecretSource, VaultSection};
use super::network::{NetworkPlan, base_url, timeouts};
use super::{ConfigError, Environment};

/// Why a secret is not there, and the line that would mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub what: String,
    pub hint: String,
    /// Nobody has written it anywhere: what can do without it does. A place that was named and gives nothing is another thing.
    pub is_unset: bool,
}

/// A service that keeps secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretStore {
    /// AWS Secrets Manager.
    Aws,
    /// The cluster.
    Kubernetes,
    /// Vault's key-value store, of either version.
    Vault,
}

/// A secret that is kept in a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredSecret {
    pub store: SecretStore,
    /// Name or ARN; `namespace/name`; path.
    pub name: String,
    /// A key of it, where it is a JSON object or has several.
    pub key: Option<String>,
}

/// What the stores answered: the secret, or why there is none.
#[derive(Clone, Debug)]
pub enum StoredSecrets {
    /// Nobody asked them: whoever only looks at the plan takes it that all is there.
    NotAsked,
    Asked(BTreeMap<StoredSecret, Result<Secret, String>>),
}

/// The secrets that a configuration keeps in stores, and how to ask those.
#[derive(Clone, Debug)]
pub struct SecretsPlan {
    pub secrets: BTreeSet<StoredSecret>,
    pub aws: Ec2Plan,
    pub kubernetes: KubernetesPlan,
    pub vault: Result<VaultPlan, String>,
    pub network: NetworkPlan,
}

/// How Vault is asked.
#[derive(Clone, Debug)]
pub struct VaultPlan {
    pub address: Url,
    pub namespace: Option<String>,
    pub login: VaultLogin,
    pub allowed: Allowed,
    pub timeouts: Timeouts,
}

/// How the host says to Vault who it is.
#[derive(Clone, Debug)]
pub enum VaultLogin {
    Token(Secret),
    /// With the pod's service account: the role, where that way in is mounted, and the file with the account's token.
    Kubernetes {
        role: String,
        mount: String,
        token: PathBuf,
    },
}

impl Missing {
    /// As an error of the configuration, where nothing can be done without it.
    pub fn at(self, place: &str) -> ConfigError {
        ConfigError::Hinted { place: place.into(), what: self.what, hint: self.hint }
    }
}

impl StoredSecret {
    /// The secret of a store that a source names, if it names one.
    fn of(source: &SecretSource) -> Option<StoredSecret> {
        let SecretSource { aws, kubernetes, vault, key, .. } = source;
        let named = [(SecretStore::Aws, aws), (SecretStore::Kubernetes, kubernetes), (SecretStore::Vault, vault)];
        let (store, name) = named.into_iter().find_map(|(store, name)| Some((store, name.clone()?)))?;
        Some(StoredSecret { store, name, key: key.clone() })
    }

    /// For messages: `AWS secret dev/datadog, key DD_API_KEY`.
    pub fn describe(&self) -> String {
        let store = match self.store {
            SecretStore::Aws => "AWS secret",
            SecretStore::Kubernetes => "Kubernetes secret",
            SecretStore::Vault => "Vault path",
        };
        let key = self.key.as_ref().map(|key| format!(", key {key}")).unwrap_or_default();
        format!("{store} {}{key}", self.name)
    }
}

impl SecretsPlan {
    /// What a file keeps in stores.
    pub(super) fn of(file: &File, environment: Environment<'_>) -> Result<SecretsPlan, ConfigError> {
        let of_credentials = file.credential.values().flat_map(|section| section.sources());
        let of_sinks = file.sink.datadog.iter().flat_map(|section| [section.api_key.clone(), section.app_key.clone()]);
        let all = of_credentials.chain(of_sinks.flatten());
        let aws = &file.secrets.aws;
        Ok(SecretsPlan {
            secrets: all.filter_map(|source| StoredSecret::of(&source)).collect(),
            aws: Ec2Plan {
                region: aws.region.as_ref().and_then(|text| text.read(environment)),
                endpoint_url: aws.endpoint_url.as_ref().and_then(|text| text.read(environment)),
                timeout: aws.timeout.map_or(STORE_TIMEOUT, |wall| wall.0),
            },
            kubernetes: capabilities::kubernetes(file, environment)?,
            vault: vault(&file.secrets.vault, environment)?,
            network: NetworkPlan::of(file),
        })
    }
}

/// The token of a pod's service account, as Kubernetes mounts it.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// A store that does not answer must not hold the cycle for long.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);

fn vault(section: &VaultSection, environment: Environment<'_>) -> Result<Result<VaultPlan, String>, ConfigError> {
    const PLACE: &str = "[secrets.vault]";
    let text = |text: &Option<super::file::Text>, variable: &str| {
        let written = text.as_ref().and_then(|text| text.read(environment));
        written.or_else(|| environment(variable)).filter(|text| !text.is_empty())
    };
    let Some(address) = text(&section.address, "VAULT_ADDR") else {
        return Ok(Err(format!("nobody says where Vault is: set VAULT_ADDR, or write address = … under {PLACE}")));
    };
    let login = match section.kubernetes_role.as_ref().and_then(|role| role.read(environment)) {
        Some(role) => {
            let mount = section.kubernetes_mount.as_ref().and_then(|mount| mount.read(environment));
            let token = section.kubernetes_token.clone().unwrap_or_else(|| SERVICE_ACCOUNT_TOKEN.into());
            Ok(VaultLogin::Kubernetes { role, mount: mount.unwrap_or_else(|| "kubernetes".into()), token })
        }
        None => {
            let source = section.token.clone().unwrap_or_else(|| SecretSource::variable("VAULT_TOKEN"));
            let token = read(&format!("{PLACE} token"), &source, &StoredSecrets::Asked(BTreeMap::new()), environment)?;
            token.map(VaultLogin::Token).map_err(|missing| format!("{}: {}", missing.what, missing.hint))
        }
    };
    let address = base_url(PLACE, "address", &address)?;
    Ok(login.map(|login| VaultPlan {
        address,
        namespace: text(&section.namespace, "VAULT_NAMESPACE"),
        login,
        allowed: Allowed::new(section.allow_addresses.clone()),
        timeouts: Timeouts { whole: STORE_TIMEOUT, ..timeouts(&section.timeouts) },
    }))
}

/// Reads a secret from the one place that is named. `section` is where it stands, for hints: `[credential.github]`.
pub(super) fn read(
    section: &str,
    source: &SecretSource,
    stored: &StoredSecrets,
    environment: Environment<'_>,
) -> Result<Result<Secret, Missing>, ConfigError> {
    let SecretSource { env, file, aws, kubernetes, vault, key: _ } = source;
    let places = [env.is_some(), file.is_some(), aws.is_some(), kubernetes.is_some(), vault.is_some()];
    if places.iter().filter(|is_named| **is_named).count() != 1 {
        return Err(ConfigError::Hinted {
            place: section.into(),
            what: "a secret comes from one place".into(),
            hint: format!(
                "write one of env = \"VARIABLE\", file = \"/path\", aws = \"name\", kubernetes = \"namespace/name\" or \
                 vault = \"path\" under {section}"
            ),
        });
    }
    Ok(match (env, file, StoredSecret::of(source)) {
        (Some(variable), ..) => of_variable(section, variable, environment),
        (_, Some(path), _) => of_file(section, path),
        (.., Some(secret)) => of_store(section, &secret, stored),
        _ => unreachable_place(section),
    })
}

/// Ruled out above.
fn unreachable_place(section: &str) -> Result<Secret, Missing> {
    Err(Missing {
        what: "the secret has no place".into(),
        hint: format!("write env = \"VARIABLE\" under {section}"),
        is_unset: true,
    })
}

fn of_variable(section: &str, variable: &str, environment: Environment<'_>) -> Result<Secret, Missing> {
    if let Some(value) = environment(variable).filter(|value| !value.trim().is_empty()) {
        return Ok(Secret::new(value.trim()));
    }
    // What many containers' entry points take: the variable's name with _FILE names a file.
    match environment(&format!("{variable}_FILE")).filter(|path| !path.is_empty()) {
        Some(path) => of_file(section, Path::new(&path)),
        None => Err(Missing {
            what: format!("environment variable {variable} is not set"),
            hint: format!("set {variable} or {variable}_FILE, or write file = \"/path/of/the/secret\" under {section}"),
            is_unset: true,
        }),
    }
}

fn of_file(section: &str, path: &Path) -> Result<Secret, Missing> {
    match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(Secret::new(text.trim())),
        Ok(_) => Err(Missing {
            what: format!("file {} is empty", path.display()),
            hint: format!("write the secret into {}", path.display()),
            is_unset: false,
        }),
        Err(e) => Err(Missing {
            what: format!("file {}: {e}", path.display()),
            hint: format!("make {} readable, or name another file under {section}", path.display()),
            is_unset: false,
        }),
    }
}

fn of_store(section: &str, secret: &StoredSecret, stored: &StoredSecrets) -> Result<Secret, Missing> {
    let StoredSecrets::Asked(answers) = stored else { return Ok(Secret::new("")) };
    let answer = answers.get(secret).cloned().unwrap_or_else(|| Err("it was not asked for".into()));
    answer.map_err(|why| Missing {
        what: format!("{}: {why}", secret.describe()),
        hint: format!("make that secret and let the host read it, or name another one under {section}"),
        is_unset: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_source(path: &Path) -> SecretSource {
        SecretSource { file: Some(path.into()), ..SecretSource::default() }
    }

    #[test]
    fn a_secret_is_read_without_the_line_break_around_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2\n").unwrap();
        let path = file.path().display().to_string();
        let environment = |name: &str| match name {
            "SET" => Some("hunter3\n".to_owned()),
            "MOUNTED_FILE" => Some(path.clone()),
            _ => None,
        };
        let read = |source| read("[credential.x]", &source, &StoredSecrets::NotAsked, &environment).unwrap();
        assert_eq!(read(file_source(file.path())).unwrap().reveal(), "hunter2");
        assert_eq!(read(SecretSource::variable("SET")).unwrap().reveal(), "hunter3");
        assert_eq!(read(SecretSource::variable("MOUNTED")).unwrap().reveal(), "hunter2");
        let missing = read(SecretSource::variable("UNSET")).unwrap_err();
        assert!(missing.what.contains("UNSET") && missing.hint.contains("UNSET_FILE"), "{missing:?}");
        assert!(read(file_source(Path::new("/none"))).unwrap_err().what.contains("/none"));
    }

    #[test]
    fn two_places_or_none_are_an_error() {
        let read = |source| read("[credential.x]", &source, &StoredSecrets::NotAsked, &|_| None);
        assert!(read(SecretSource::default()).is_err());
        let two = SecretSource { vault: Some("a".into()), ..SecretSource::variable("B") };
        assert!(read(two).is_err());
    }

    #[test]
    fn what_a_store_says_stands_in_the_reason() {
        let source = SecretSource { aws: Some("dev/x".into()), key: Some("K".into()), ..SecretSource::default() };
        let secret = StoredSecret::of(&source).unwrap();
        let answers = |answer| StoredSecrets::Asked(BTreeMap::from([(secret.clone(), answer)]));
        let read = |stored: &StoredSecrets| read("[credential.x]", &source, stored, &|_| None).unwrap();
        assert_eq!(read(&answers(Ok(Secret::new("hunter2")))).unwrap().reveal(), "hunter2");
        let missing = read(&answers(Err("ResourceNotFoundException".into()))).unwrap_err();
        assert_eq!(missing.what, "AWS secret dev/x, key K: ResourceNotFoundException");
    }
}
