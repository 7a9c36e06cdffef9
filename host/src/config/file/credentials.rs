//! The sections of credentials, typed, and where their secrets are kept.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Id, Text};

/// `[credential.NAME]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialSection {
    pub kind: CredentialKind,
    /// Where the secret is kept: exactly one of these, as in [`SecretSource`].
    pub env: Option<String>,
    pub file: Option<PathBuf>,
    pub aws: Option<String>,
    pub kubernetes: Option<String>,
    pub vault: Option<String>,
    pub key: Option<String>,
    /// The header's name, for `kind = "header"`.
    pub header: Option<String>,
    /// The user's name, for `kind = "basic"`.
    pub user: Option<String>,
    /// For `kind = "github_app"`, whose secret is the App's private key: its client id or number.
    pub app: Option<Id>,
    /// The number of the App's installation.
    pub installation: Option<Id>,
    /// Where tokens are asked for, where that is not the `base_url` of the upstream.
    pub api_url: Option<Text>,
    /// What tokens are cut down to.
    pub repositories: Option<Vec<String>>,
    pub permissions: Option<BTreeMap<String, String>>,
    /// For `kind = "aws_sigv4"`, whose secret is the secret access key, where it is not the SDK's chain that has one.
    pub region: Option<Text>,
    pub service: Option<Text>,
    pub access_key_id: Option<Text>,
    pub session_token: Option<SecretSource>,
}

/// How a credential is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    Bearer,
    Header,
    Basic,
    GithubApp,
    #[serde(rename = "aws_sigv4")]
    AwsSigV4,
}

/// Where a secret is kept: exactly one place, and with a store, perhaps a key of what it holds under that name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretSource {
    /// An environment variable; where it is not set, the file that the variable with `_FILE` after its name names.
    pub env: Option<String>,
    pub file: Option<PathBuf>,
    /// A secret of AWS Secrets Manager, by name or ARN.
    pub aws: Option<String>,
    /// A secret of the cluster: `namespace/name`.
    pub kubernetes: Option<String>,
    /// A path of Vault's key-value store, as its API has it: `secret/data/collectors`.
    pub vault: Option<String>,
    /// A key of the secret, where that is a JSON object or has several.
    pub key: Option<String>,
}

impl CredentialSection {
    /// Where the secret is kept.
    pub fn source(&self) -> SecretSource {
        SecretSource {
            env: self.env.clone(),
            file: self.file.clone(),
            aws: self.aws.clone(),
            kubernetes: self.kubernetes.clone(),
            vault: self.vault.clone(),
            key: self.key.clone(),
        }
    }

    /// Where all of its secrets are kept.
    pub fn sources(&self) -> impl Iterator<Item = SecretSource> {
        std::iter::once(self.source()).chain(self.session_token.clone())
    }

    /// A key that only other kinds have. The ones of `header` and `basic` may be left of what is known without a file.
    pub fn foreign_key(&self) -> Option<&'static str> {
        use CredentialKind::{AwsSigV4, Basic, Bearer, GithubApp, Header};
        let keys: [(&str, bool, &[CredentialKind]); 11] = [
            ("header", self.header.is_some(), &[Bearer, Header, Basic]),
            ("user", self.user.is_some(), &[Bearer, Header, Basic]),
            ("app", self.app.is_some(), &[GithubApp]),
            ("installation", self.installation.is_some(), &[GithubApp]),
            ("api_url", self.api_url.is_some(), &[GithubApp]),
            ("repositories", self.repositories.is_some(), &[GithubApp]),
            ("permissions", self.permissions.is_some(), &[GithubApp]),
            ("region", self.region.is_some(), &[AwsSigV4]),
            ("service", self.service.is_some(), &[AwsSigV4]),
            ("access_key_id", self.access_key_id.is_some(), &[AwsSigV4]),
            ("session_token", self.session_token.is_some(), &[AwsSigV4]),
        ];
        keys.into_iter().find(|(_, is_there, kinds)| *is_there && !kinds.contains(&self.kind)).map(|(key, ..)| key)
    }
}

impl CredentialKind {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            CredentialKind::Bearer => "bearer",
            CredentialKind::Header => "header",
            CredentialKind::Basic => "basic",
            CredentialKind::GithubApp => "github_app",
            CredentialKind::AwsSigV4 => "aws_sigv4",
        }
    }

    /// Whether a value of `kind` is one whose section shares no key with those of other kinds.
    pub(super) fn stands_alone(kind: &toml::Value) -> bool {
        [CredentialKind::GithubApp, CredentialKind::AwsSigV4].iter().any(|own| kind.as_str() == Some(own.word()))
    }
}

impl SecretSource {
    /// An environment variable.
    pub fn variable(name: &str) -> SecretSource {
        SecretSource { env: Some(name.into()), ..SecretSource::default() }
    }

    /// Whether no place is named.
    pub fn is_empty(&self) -> bool {
        let SecretSource { env, file, aws, kubernetes, vault, key } = self;
        file.is_none() && [env, aws, kubernetes, vault, key].iter().all(|named| named.is_none())
    }
}
