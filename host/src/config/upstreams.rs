//! Upstreams of the file, validated.

use std::collections::BTreeMap;

use crate::model::Name;
use crate::policy::{Allowed, Redirects, Upstream};

use super::credentials::{Credentials, credential_named};
use super::file::{File, UpstreamSection};
use super::network::{base_url, timeouts, url_hint};
use super::secrets::Missing;
use super::{ConfigError, Environment};

/// An upstream of the plan, and what the file says of who may use it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// None where the file does not say where it lives; then the hint.
    pub upstream: Result<Upstream, Missing>,
    /// The credential's state: none needed, there, or missing.
    pub credential: Option<Result<(), Missing>>,
    pub collectors: Option<Vec<Name>>,
    pub methods: Option<Vec<String>>,
}

pub(super) fn build(
    file: &File,
    credentials: &Credentials,
    environment: Environment<'_>,
) -> Result<BTreeMap<Name, Known>, ConfigError> {
    let known = |(name, section): (&Name, &UpstreamSection)| {
        Ok((name.clone(), upstream(name, section, credentials, environment)?))
    };
    file.upstream.iter().map(known).collect()
}

fn upstream(
    name: &Name,
    section: &UpstreamSection,
    credentials: &Credentials,
    environment: Environment<'_>,
) -> Result<Known, ConfigError> {
    let place = format!("[upstream.{name}]");
    let credential = match &section.credential {
        None => None,
        Some(wanted) => Some(credential_named(&place, wanted, credentials)?),
    };
    let text = section.base_url.as_ref().and_then(|text| text.read(environment));
    let upstream = match text {
        None => Err(Missing {
            what: format!("the plan does not say where upstream {name} lives"),
            hint: url_hint(&place, "base_url", section.base_url.as_ref()),
            is_unset: true,
        }),
        Some(text) => Ok(Upstream {
            name: name.clone(),
            base_url: base_url(&place, "base_url", &text)?,
            credential: credential.and_then(|credential| credential.clone().ok()),
            allowed: Allowed::new(section.allow_addresses.clone()),
            redirects: Redirects { hops_max: section.redirects.unwrap_or(0), hosts: section.redirect_hosts.clone() },
            timeouts: timeouts(&section.timeouts),
            is_conditional: section.conditional.unwrap_or(true),
        }),
    };
    Ok(Known {
        upstream,
        credential: credential.map(|credential| credential.as_ref().map(drop).map_err(Clone::clone)),
        collectors: section.collectors.clone(),
        methods: section.methods.as_ref().map(|all| all.iter().map(|m| m.to_ascii_uppercase()).collect()),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::credentials::credentials;
    use crate::config::secrets::StoredSecrets;
    use crate::policy::Credential;

    fn known(text: &str) -> Result<BTreeMap<Name, Known>, String> {
        let environment = |name: &str| (name == "TOKEN").then(|| "hunter22".to_owned());
        let file = File::read(Path::new("host.toml"), text).map_err(|e| e.text_and_hint())?;
        let credentials = credentials(&file, &StoredSecrets::NotAsked, &environment).map_err(|e| e.text_and_hint())?;
        build(&file, &credentials, &environment).map_err(|e| e.text_and_hint())
    }

    #[test]
    fn an_upstream_has_its_credential_or_says_what_is_missing() {
        let all = known(
            "[upstream.a]\nbase_url = 'http://a'\ncredential = 'a'\n[credential.a]\nkind = 'header'\nheader = 'X-Key'\nenv = 'TOKEN'\n\
             [upstream.b]\nbase_url = 'http://b'\ncredential = 'b'\n[credential.b]\nkind = 'bearer'\nenv = 'NONE'",
        )
        .unwrap();
        let a = all["a"].upstream.as_ref().unwrap();
        assert_eq!(
            a.credential,
            Some(Credential::Header { name: "X-Key".into(), secret: crate::model::Secret::new("hunter22") })
        );
        let b = &all["b"];
        assert!(b.upstream.as_ref().unwrap().credential.is_none());
        assert!(b.credential.as_ref().unwrap().as_ref().unwrap_err().hint.contains("set NONE"));
        let skypilot = all["skypilot"].upstream.as_ref().unwrap_err();
        assert!(skypilot.hint.contains("SKYPILOT_API_SERVER_ENDPOINT"), "{skypilot:?}");
    }

    #[test]
    fn what_cannot_be_is_an_error_with_the_line_to_write() {
        for (text, says) in [
            ("[upstream.a]\nbase_url = 'ftp://a'", "scheme ftp"),
            ("[upstream.a]\nbase_url = 'a'", "is not a URL"),
            ("[upstream.a]\nbase_url = 'http://u:hunter22@a'", "belong into a [credential.NAME]"),
            ("[upstream.a]\nbase_url = 'http://a?b=c'", "query"),
            ("[upstream.a]\nbase_url = 'http://a'\ncredential = 'githb'", "did you mean credential = \"github\"?"),
        ] {
            let error = known(text).unwrap_err();
            assert!(error.contains(says) && !error.contains("hunter22"), "{text}: {error}");
        }
    }
}
