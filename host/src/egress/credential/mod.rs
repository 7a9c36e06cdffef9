//! What proves to an upstream who the host is: a header of the plan's, a token that is asked for, or a signature of each request.

mod installation;
mod renewed;
mod signer;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use base64::Engine as _;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::{Answer, Failure, FailureKind, Network};
use crate::model::Redactor;
use crate::policy::{Credential, Upstream};

use installation::Installation;
use signer::{Signer, Signing};

/// What whoever asks an upstream gets where there is no credential: that it has to wait, or why there is none.
type Instead = Result<Answer, Failure>;

/// Where an endpoint's proofs come from.
pub(super) enum Authority {
    Nobody,
    Header { name: HeaderName, value: HeaderValue },
    Installation(Arc<Installation>),
    Signer(Arc<Signer>),
}

/// What goes with one try of a request.
pub(super) enum Proof {
    Nothing,
    Header { name: HeaderName, value: HeaderValue },
    Signing(Arc<Signing>),
}

/// Credentials that are asked for, shared by all endpoints of a network that have them in common. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    installations: Vec<Arc<Installation>>,
    signers: Vec<Arc<Signer>>,
}

impl Authority {
    /// The one of an upstream. `section` is where that stands in the configuration.
    ///
    /// # Errors
    /// Where the credential cannot be a header.
    pub fn of(
        upstream: &Upstream,
        network: &Network,
        redactor: &Redactor,
        section: &str,
    ) -> Result<Authority, Failure> {
        let bearer_or_basic = |text: String| header(AUTHORIZATION, &text);
        match &upstream.credential {
            None => Ok(Authority::Nobody),
            Some(Credential::Bearer(secret)) => bearer_or_basic(format!("Bearer {}", secret.reveal())),
            Some(Credential::Basic { user, secret }) => {
                let pair = format!("{user}:{}", secret.reveal());
                bearer_or_basic(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
            }
            Some(Credential::Header { name, secret }) => {
                let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| not_a_header(name))?;
                header(key, secret.reveal())
            }
            Some(Credential::GithubApp(app)) => {
                let installation = Installation::new(app, upstream, network, redactor, section);
                Ok(Authority::Installation(network.shared().installation(installation)))
            }
            Some(Credential::AwsSigV4(sigv4)) => {
                Ok(Authority::Signer(network.shared().signer(Signer::new(sigv4, redactor))))
            }
        }
    }

    /// A proof for one try, asked for where that is needed.
    ///
    /// # Errors
    /// What whoever asks gets instead of an answer of the upstream.
    pub async fn proof(&self, deadline: Instant) -> Result<Proof, Instead> {
        match self {
            Authority::Nobody => Ok(Proof::Nothing),
            Authority::Header { name, value } => Ok(Proof::Header { name: name.clone(), value: value.clone() }),
            Authority::Installation(installation) => {
                let value = installation.authorization(deadline).await?;
                Ok(Proof::Header { name: AUTHORIZATION, value })
            }
            Authority::Signer(signer) => Ok(Proof::Signing(signer.signing(deadline).await?)),
        }
    }

    /// Whether there is another proof for whoever was refused with this one.
    pub fn has_another_than(&self, refused: &Proof) -> bool {
        match (self, refused) {
            (Authority::Installation(installation), Proof::Header { value, .. }) => installation.replace(value),
            _ => false,
        }
    }
}

impl Proof {
    /// Puts it on a request that is otherwise as it will be sent.
    ///
    /// # Errors
    /// Where the request cannot be signed.
    pub fn put_on(&self, request: &mut reqwest::Request) -> Result<(), Failure> {
        match self {
            Proof::Nothing => {}
            Proof::Header { name, value } => drop(request.headers_mut().insert(name, value.clone())),
            Proof::Signing(signing) => signing.sign(request)?,
        }
        Ok(())
    }
}

impl Shared {
    fn installation(&self, wanted: Installation) -> Arc<Installation> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        one_of(&mut known.installations, wanted, Installation::is_the_same)
    }

    fn signer(&self, wanted: Signer) -> Arc<Signer> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        one_of(&mut known.signers, wanted, Signer::is_the_same)
    }
}

/// The one that is the same as the wanted one, else that.
fn one_of<T>(all: &mut Vec<Arc<T>>, wanted: T, is_the_same: fn(&T, &T) -> bool) -> Arc<T> {
    if let Some(known) = all.iter().find(|known| is_the_same(known, &wanted)) {
        return known.clone();
    }
    let wanted = Arc::new(wanted);
    all.push(wanted.clone());
    wanted
}

fn header(name: HeaderName, text: &str) -> Result<Authority, Failure> {
    let value = secret_value(text).ok_or_else(|| not_a_header(name.as_str()))?;
    Ok(Authority::Header { name, value })
}

fn secret_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn not_a_header(name: &str) -> Failure {
    Failure::new(FailureKind::Denied, format!("header {name:?} cannot carry the credential"))
}
