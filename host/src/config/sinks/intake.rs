//! What the file says of an intake over HTTP, whatever it speaks.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use url::Url;

use crate::config::credentials::{Credentials, credential_named};
use crate::config::file::{Text, TimeoutsSection};
use crate::config::network::{http_url, timeouts, url_hint};
use crate::config::secrets::Missing;
use crate::config::{ConfigError, Environment};
use crate::model::Name;
use crate::policy::{AddressRule, Allowed, Credential, Redirects, Upstream};

/// An intake over HTTP.
#[derive(Clone, Debug)]
pub struct IntakePlan {
    /// Where it lives and how it authenticates; its name is the sink's.
    pub upstream: Upstream,
    /// Sent with every request; no secret is among them.
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    /// Why nothing is sent to it, where its secret is not where it should be; points wait until it is.
    pub withheld: Option<String>,
}

/// The keys that all sections of intakes have.
pub(super) struct IntakeKeys<'a> {
    /// The sink's.
    pub name: &'static str,
    /// What the key of its URL is called, and that key.
    pub url: (&'static str, Option<&'a Text>),
    pub credential: Option<&'a Name>,
    pub headers: &'a BTreeMap<String, Text>,
    pub allow_addresses: &'a [AddressRule],
    pub timeouts: &'a TimeoutsSection,
}

/// Headers that the host sets itself.
const OF_THE_HOST: [&str; 10] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
    "user-agent",
    "x-prometheus-remote-write-version",
];

impl IntakeKeys<'_> {
    fn place(&self) -> String {
        format!("[sink.{}]", self.name)
    }

    /// The intake that they describe.
    pub fn plan(&self, credentials: &Credentials, environment: Environment<'_>) -> Result<IntakePlan, ConfigError> {
        let place = self.place();
        let (key, text) = self.url;
        let url = text.and_then(|text| text.read(environment)).ok_or_else(|| ConfigError::Hinted {
            place: place.clone(),
            what: format!("it has no {key}"),
            hint: url_hint(&place, key, text),
        })?;
        let credential = match self.credential {
            None => Ok(None),
            Some(wanted) => credential_named(&place, wanted, credentials)?.clone().map(Some),
        };
        self.plan_at(http_url(&place, key, &url)?, credential, environment)
    }

    /// The intake at a URL, with a credential that comes from elsewhere. One that nobody has written anywhere is an error; one that is not
    /// where it was said to be, as a store does not answer, must not cost a cycle its points.
    pub fn plan_at(
        &self,
        mut url: Url,
        credential: Result<Option<Credential>, Missing>,
        environment: Environment<'_>,
    ) -> Result<IntakePlan, ConfigError> {
        let (credential, withheld) = match credential {
            Ok(credential) => (credential, None),
            Err(missing) if missing.is_unset => return Err(missing.at(&self.place())),
            Err(missing) => (None, Some(format!("{}; {}", missing.what, missing.hint))),
        };
        let query = url.query_pairs().into_owned().collect();
        url.set_query(None);
        Ok(IntakePlan {
            upstream: Upstream {
                name: Name::lossy(self.name),
                base_url: url,
                credential,
                allowed: Allowed::new(self.allow_addresses.to_vec()),
                redirects: Redirects::default(),
                timeouts: timeouts(self.timeouts),
                is_conditional: false,
            },
            query,
            headers: self.headers(environment)?,
            withheld,
        })
    }

    fn headers(&self, environment: Environment<'_>) -> Result<Vec<(String, String)>, ConfigError> {
        let place = self.place();
        let error = |what: String, hint: String| ConfigError::Hinted { place: place.clone(), what, hint };
        let mut headers = Vec::new();
        for (name, text) in self.headers {
            let lower = name.to_ascii_lowercase();
            if lower == "authorization" {
                return Err(error(
                    "headers hold authorization, and a secret belongs into a [credential.NAME]".into(),
                    format!("write credential = \"NAME\" under {place}, and kind and env under [credential.NAME]"),
                ));
            }
            if OF_THE_HOST.contains(&lower.as_str()) {
                let hint = format!("take {name:?} out of headers under {place}");
                return Err(error(format!("header {name:?} is the host's to set"), hint));
            }
            let value = text.read(environment).ok_or_else(|| {
                let variable = text.variable().unwrap_or_default();
                let hint = format!("set {variable}, or take {name:?} out of headers under {place}");
                error(format!("header {name:?}: environment variable {variable} is not set"), hint)
            })?;
            if HeaderName::from_bytes(name.as_bytes()).is_err() || HeaderValue::from_str(&value).is_err() {
                let hint = format!("write it as in headers = {{ x-scope-orgid = \"team\" }} under {place}");
                return Err(error(format!("header {name:?} cannot be sent: not the text of a header"), hint));
            }
            headers.push((lower, value));
        }
        Ok(headers)
    }
}
