//! How the host authenticates at upstreams and sinks.

use std::collections::BTreeMap;

use url::Url;

use crate::model::{Name, Secret};

/// How the host authenticates at an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(Secret),
    /// A header of its own.
    Header { name: String, secret: Secret },
    /// `Authorization: Basic …` (RFC 7617).
    Basic { user: String, secret: Secret },
    /// A token of an hour, which GitHub gives to an installation of an App.
    GithubApp(Box<GithubApp>),
    /// A signature of each request, as AWS' services check it.
    AwsSigV4(Box<AwsSigV4>),
}

/// An installation of a GitHub App.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubApp {
    /// Of its section: `[credential.NAME]`.
    pub name: Name,
    /// The App's client id, or its number.
    pub app: String,
    /// The installation's number, in digits.
    pub installation: String,
    /// The App's private key: PEM.
    pub key: Secret,
    /// Where tokens are asked for; at the upstream itself where there is none.
    pub api_url: Option<Url>,
    /// What tokens are cut down to: names of repositories, without their owner. All that the installation has, where there is none.
    pub repositories: Vec<String>,
    /// `actions = "read"`. All that the installation has, where there is none.
    pub permissions: BTreeMap<String, String>,
}

/// Signature Version 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsSigV4 {
    /// Of its section: `[credential.NAME]`.
    pub name: Name,
    /// Else what the SDK's chain finds.
    pub region: Option<String>,
    /// As AWS calls it in signatures: `aps`, `es`, `execute-api`.
    pub service: String,
    /// Else what the SDK's chain finds: environment, profile, web identity, container, instance metadata.
    pub keys: Option<AwsKeys>,
}

/// Keys of an AWS account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsKeys {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
}

impl Credential {
    /// Whether somebody is asked for what is sent: a token, or keys that sign.
    pub fn is_asked_for(&self) -> bool {
        match self {
            Credential::Bearer(_) | Credential::Header { .. } | Credential::Basic { .. } => false,
            Credential::GithubApp(_) | Credential::AwsSigV4(_) => true,
        }
    }

    /// Its secrets, each with the user name that is sent with it, for redaction.
    pub fn secrets(&self) -> Vec<(Option<&str>, &Secret)> {
        match self {
            Credential::Bearer(secret) | Credential::Header { secret, .. } => vec![(None, secret)],
            Credential::Basic { user, secret } => vec![(Some(user), secret)],
            Credential::GithubApp(app) => vec![(None, &app.key)],
            Credential::AwsSigV4(sigv4) => sigv4.keys.iter().flat_map(AwsKeys::secrets).collect(),
        }
    }
}

impl AwsKeys {
    fn secrets(&self) -> impl Iterator<Item = (Option<&str>, &Secret)> {
        std::iter::once(&self.secret_access_key).chain(&self.session_token).map(|secret| (None, secret))
    }
}
