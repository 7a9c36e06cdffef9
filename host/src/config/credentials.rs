//! Credentials of the file, validated: each there, or missing for those that need it.

use std::collections::BTreeMap;

use crate::model::{Name, Secret, SigningKey};
use crate::policy::{AwsKeys, AwsSigV4, Credential, GithubApp};

use super::file::{CredentialKind, CredentialSection, File, Id, Text};
use super::network::base_url;
use super::secrets::{self, Missing, StoredSecrets};
use super::{ConfigError, Environment, nearest};

/// The credentials of the file by name, each there or missing.
pub(super) type Credentials = BTreeMap<Name, Result<Credential, Missing>>;

/// Every `[credential.NAME]`.
pub(super) fn credentials(
    file: &File,
    stored: &StoredSecrets,
    environment: Environment<'_>,
) -> Result<Credentials, ConfigError> {
    let read = |(name, section): (&Name, &CredentialSection)| {
        let credential = match (Reader { name, section, stored, environment }).credential() {
            Ok(credential) => Ok(credential),
            Err(Trouble::Missing(missing)) => Err(missing),
            Err(Trouble::Error(error)) => return Err(error),
        };
        Ok((name.clone(), credential))
    };
    file.credential.iter().map(read).collect()
}

/// The credential that `place` names, there or missing.
pub(super) fn credential_named<'a>(
    place: &str,
    wanted: &Name,
    credentials: &'a Credentials,
) -> Result<&'a Result<Credential, Missing>, ConfigError> {
    credentials.get(wanted).ok_or_else(|| ConfigError::Hinted {
        place: place.into(),
        what: format!("there is no [credential.{wanted}]"),
        hint: match nearest(wanted.as_str(), credentials.keys().map(Name::as_str)) {
            Some(near) => format!("did you mean credential = \"{near}\"?"),
            None => format!("add [credential.{wanted}] with kind = \"bearer\" and env = \"VARIABLE\""),
        },
    })
}

/// One section, and everything that its keys may name.
struct Reader<'a> {
    name: &'a Name,
    section: &'a CredentialSection,
    stored: &'a StoredSecrets,
    environment: Environment<'a>,
}

/// Why there is no credential.
enum Trouble {
    /// What is written cannot be meant.
    Error(ConfigError),
    /// Something is not there, which costs only who needs it.
    Missing(Missing),
}

impl From<ConfigError> for Trouble {
    fn from(error: ConfigError) -> Trouble {
        Trouble::Error(error)
    }
}

impl From<Missing> for Trouble {
    fn from(missing: Missing) -> Trouble {
        Trouble::Missing(missing)
    }
}

impl Reader<'_> {
    fn credential(&self) -> Result<Credential, Trouble> {
        let kind = self.section.kind;
        if let Some(key) = self.section.foreign_key() {
            let what = format!("kind = \"{}\" has no key {key}", kind.word());
            let hint = format!("take {key} out of {}", self.place());
            return Err(ConfigError::Hinted { place: self.place(), what, hint }.into());
        }
        Ok(match kind {
            CredentialKind::Bearer => Credential::Bearer(self.one_line()?),
            CredentialKind::Header => Credential::Header {
                name: self.needed("header", self.section.header.clone())?,
                secret: self.one_line()?,
            },
            CredentialKind::Basic => {
                Credential::Basic { user: self.needed("user", self.section.user.clone())?, secret: self.one_line()? }
            }
            CredentialKind::GithubApp => Credential::GithubApp(Box::new(self.github_app()?)),
            CredentialKind::AwsSigV4 => Credential::AwsSigV4(Box::new(self.aws_sigv4()?)),
        })
    }

    fn github_app(&self) -> Result<GithubApp, Trouble> {
        let Id(app) = self.needed("app", self.section.app.clone())?;
        let Id(installation) = self.needed("installation", self.section.installation.clone())?;
        let api_url = match &self.section.api_url {
            None => None,
            Some(text) => Some(base_url(&self.place(), "api_url", &self.text("api_url", text)?)?),
        };
        Ok(GithubApp {
            name: self.name.clone(),
            app: self.text("app", &app)?,
            installation: self.installation(&installation)?,
            key: self.signing_key()?,
            api_url,
            repositories: self.section.repositories.clone().unwrap_or_default(),
            permissions: self.section.permissions.clone().unwrap_or_default(),
        })
    }

    fn installation(&self, text: &Text) -> Result<String, Missing> {
        let number = self.text("installation", text)?;
        match number.bytes().all(|byte| byte.is_ascii_digit()) {
            true => Ok(number),
            false => Err(Missing {
                what: format!("installation of {} is no number", self.place()),
                hint: format!(
                    "write installation = 12345678 under {}: the number at the end of the address of the installation's settings",
                    self.place()
                ),
                is_unset: false,
            }),
        }
    }

    /// The App's private key; it is read here so that a bad one is known before a cycle runs.
    fn signing_key(&self) -> Result<Secret, Trouble> {
        let secret = self.secret()?;
        // Nobody has asked the store yet.
        if matches!(self.stored, StoredSecrets::NotAsked) && secret.reveal().is_empty() {
            return Ok(secret);
        }
        match SigningKey::read(&secret) {
            Ok(_) => Ok(secret),
            Err(why) => Err(Trouble::Missing(Missing {
                what: format!("the private key of {} cannot be read: {why}", self.place()),
                hint: format!(
                    "make a private key in the App's settings on GitHub, and keep its .pem file as it is where {} says",
                    self.place()
                ),
                is_unset: false,
            })),
        }
    }

    fn aws_sigv4(&self) -> Result<AwsSigV4, Trouble> {
        let service = self.needed("service", self.section.service.clone())?;
        let region = match &self.section.region {
            None => None,
            Some(text) => Some(self.text("region", text)?),
        };
        Ok(AwsSigV4 {
            name: self.name.clone(),
            region,
            service: self.text("service", &service)?,
            keys: self.aws_keys()?,
        })
    }

    /// Keys of the file's own; none where they come by the SDK's chain.
    fn aws_keys(&self) -> Result<Option<AwsKeys>, Trouble> {
        let CredentialSection { access_key_id, session_token, .. } = self.section;
        if access_key_id.is_none() && session_token.is_none() && self.section.source().is_empty() {
            return Ok(None);
        }
        let access_key_id = self.needed("access_key_id", access_key_id.clone())?;
        let session_token = match session_token {
            None => None,
            Some(source) => {
                let place = format!("{} session_token", self.place());
                let token = secrets::read(&place, source, self.stored, self.environment)??;
                Some(self.checked(token)?)
            }
        };
        Ok(Some(AwsKeys {
            access_key_id: self.text("access_key_id", &access_key_id)?,
            secret_access_key: self.one_line()?,
            session_token,
        }))
    }

    fn place(&self) -> String {
        format!("[credential.{}]", self.name)
    }

    fn secret(&self) -> Result<Secret, Trouble> {
        Ok(secrets::read(&self.place(), &self.section.source(), self.stored, self.environment)??)
    }

    fn one_line(&self) -> Result<Secret, Trouble> {
        Ok(self.checked(self.secret()?)?)
    }

    /// A secret that a header can carry: a line break would end the header and begin another one.
    fn checked(&self, secret: Secret) -> Result<Secret, Missing> {
        match secret.reveal().chars().any(char::is_control) {
            false => Ok(secret),
            true => Err(Missing {
                what: "the secret holds a control character".into(),
                hint: format!("write the secret of {} as one line", self.place()),
                is_unset: false,
            }),
        }
    }

    fn text(&self, key: &str, text: &Text) -> Result<String, Missing> {
        let read = text.read(self.environment).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        read.ok_or_else(|| {
            let line = format!("write {key} = \"…\" under {}", self.place());
            Missing {
                what: format!("{} has no {key}", self.place()),
                hint: match text.variable() {
                    Some(variable) => format!("set {variable}, or {line}"),
                    None => line,
                },
                is_unset: text.variable().is_some(),
            }
        })
    }

    fn needed<T>(&self, key: &str, value: Option<T>) -> Result<T, ConfigError> {
        value.ok_or_else(|| ConfigError::Hinted {
            place: self.place(),
            what: format!("kind = \"{}\" needs {key}", self.section.kind.word()),
            hint: format!("write {key} = \"…\" under {}", self.place()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use base64::Engine as _;

    use super::*;

    const APP: &str =
        "[credential.a]\nkind = 'github_app'\napp = 12\ninstallation = { env = 'INSTALLATION' }\nenv = 'KEY'\n";

    fn read(text: &str, environment: Environment<'_>) -> Result<Result<Credential, Missing>, String> {
        let file = File::read(Path::new("host.toml"), text).map_err(|e| e.text_and_hint())?;
        let all = credentials(&file, &StoredSecrets::NotAsked, environment).map_err(|e| e.text_and_hint())?;
        Ok(all["a"].clone())
    }

    fn pem() -> String {
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
        format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----")
    }

    #[test]
    fn an_app_has_its_key_or_says_what_is_wrong_with_it() {
        let pem = pem();
        let written = pem.replace('\n', "\\n");
        let environment = |key: &str, installation: &str| {
            let (key, installation) = (key.to_owned(), installation.to_owned());
            move |name: &str| match name {
                "KEY" => Some(key.clone()).filter(|key| !key.is_empty()),
                "INSTALLATION" => Some(installation.clone()).filter(|number| !number.is_empty()),
                _ => None,
            }
        };
        for key in [&pem, &written] {
            let Credential::GithubApp(app) = read(APP, &environment(key, "34")).unwrap().unwrap() else { panic!() };
            assert_eq!((app.name.as_str(), app.app.as_str(), app.installation.as_str()), ("a", "12", "34"));
            assert_eq!((app.key.reveal(), app.api_url.as_ref()), (key.as_str(), None));
            assert!(!format!("{app:?}").contains("BEGIN"));
        }
        for (key, installation, what, hint, is_unset) in [
            ("", "34", "KEY is not set", "set KEY", true),
            (pem.as_str(), "", "has no installation", "set INSTALLATION, or write installation", true),
            (&pem, "acme", "installation of [credential.a] is no number", "write installation = 12345678", false),
            (
                "hunter22",
                "34",
                "the private key of [credential.a] cannot be read",
                "private key in the App's settings",
                false,
            ),
        ] {
            let missing = read(APP, &environment(key, installation)).unwrap().unwrap_err();
            assert!(missing.what.contains(what) && missing.hint.contains(hint), "{missing:?}");
            assert!(!missing.what.contains("hunter22"));
            assert_eq!(missing.is_unset, is_unset, "{missing:?}");
        }
        // Whoever only looks has no key of a store.
        let stored = APP.replace("env = 'KEY'", "vault = 'secret/data/app'");
        assert!(read(&stored, &environment("", "34")).unwrap().is_ok());
    }

    #[test]
    fn keys_of_aws_are_those_of_the_file_or_the_chains() {
        let environment = |name: &str| match name {
            "SECRET" => Some("hunter22".to_owned()),
            "SESSION" => Some("hunter33".to_owned()),
            _ => None,
        };
        let base = "[credential.a]\nkind = 'aws_sigv4'\nservice = 'aps'\n";
        let sigv4 = |more: &str| match read(&format!("{base}{more}"), &environment).unwrap().unwrap() {
            Credential::AwsSigV4(sigv4) => *sigv4,
            other => panic!("{other:?}"),
        };
        let chain = sigv4("");
        assert_eq!((chain.region, chain.service.as_str(), chain.keys), (None, "aps", None));
        let own =
            sigv4("region = 'eu-west-1'\naccess_key_id = 'AKID'\nenv = 'SECRET'\nsession_token = { env = 'SESSION' }");
        assert_eq!(own.region.as_deref(), Some("eu-west-1"));
        let credential = Credential::AwsSigV4(Box::new(own));
        let secrets: Vec<&str> = credential.secrets().into_iter().map(|(_, secret)| secret.reveal()).collect();
        assert_eq!(secrets, ["hunter22", "hunter33"]);
        let missing = read(&format!("{base}access_key_id = 'A'\nenv = 'NONE'"), &environment).unwrap().unwrap_err();
        assert!(missing.hint.contains("set NONE"), "{missing:?}");
    }

    #[test]
    fn what_cannot_be_is_an_error_with_the_line_to_write() {
        let environment = |name: &str| (name == "TOKEN").then(|| "hunter22".to_owned());
        for (text, says) in [
            ("kind = 'header'\nenv = 'TOKEN'", "write header = \"…\" under [credential.a]"),
            ("kind = 'basic'\nenv = 'TOKEN'", "kind = \"basic\" needs user"),
            ("kind = 'bearer'", "write one of env"),
            ("kind = 'bearer'\nenv = 'TOKEN'\napp = 1", "kind = \"bearer\" has no key app"),
            ("kind = 'github_app'\nenv = 'TOKEN'", "kind = \"github_app\" needs app"),
            ("kind = 'github_app'\napp = 'x'\nenv = 'TOKEN'", "kind = \"github_app\" needs installation"),
            ("kind = 'github_app'\napp = 'x'\ninstallation = 1", "write one of env"),
            ("kind = 'github_app'\napp = 'x'\ninstallation = 1\nenv = 'TOKEN'\napi_url = 'x'", "api_url is not a URL"),
            ("kind = 'github_app'\napp = 'x'\ninstallation = 1\nenv = 'TOKEN'\nuser = 'x'", "has no key user"),
            ("kind = 'aws_sigv4'", "kind = \"aws_sigv4\" needs service"),
            ("kind = 'aws_sigv4'\nservice = 'es'\nenv = 'TOKEN'", "kind = \"aws_sigv4\" needs access_key_id"),
            ("kind = 'aws_sigv4'\nservice = 'es'\naccess_key_id = 'x'", "write one of env"),
        ] {
            let error = read(&format!("[credential.a]\n{text}"), &environment).unwrap_err();
            assert!(error.contains(says) && !error.contains("hunter22"), "{text}: {error}");
        }
    }
}
