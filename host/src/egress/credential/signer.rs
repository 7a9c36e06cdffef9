//! Signature Version 4: keys of the plan or of AWS' own chain, and a signature for every try of a request.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures::FutureExt as _;
use host_ec2::{Error, ErrorKind, Keys, Scope, ToSign};
use reqwest::header::{HeaderName, HeaderValue};
use tokio::time::timeout;

use super::Instead;
use super::renewed::{Fresh, LEFT_MIN, Renewed};
use crate::clock;
use crate::egress::{Failure, FailureKind};
use crate::model::{Redactor, Secret};
use crate::policy::{AwsKeys, AwsSigV4};

/// Who has the keys of a credential.
pub(in crate::egress) struct Signer {
    sigv4: AwsSigV4,
    redactor: Redactor,
    signing: Renewed<Arc<Signing>>,
}

/// What signs requests until the keys end.
#[derive(PartialEq)]
pub(in crate::egress) struct Signing {
    /// Of its section, for messages.
    place: String,
    keys: Keys,
    region: String,
    service: String,
}

/// The chain asks several services in turn.
const TIME: Duration = Duration::from_secs(20);

/// Set by the signature; nobody else's is signed.
const OF_THE_SIGNATURE: [&str; 3] = ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];

impl Signer {
    pub fn new(sigv4: &AwsSigV4, redactor: &Redactor) -> Signer {
        Signer { sigv4: sigv4.clone(), redactor: redactor.clone(), signing: Renewed::default() }
    }

    pub fn is_the_same(&self, other: &Signer) -> bool {
        self.sigv4 == other.sigv4 && self.redactor.is_the_same(&other.redactor)
    }

    /// What signs requests now.
    ///
    /// # Errors
    /// Why there are no keys.
    pub async fn signing(self: &Arc<Self>, deadline: Instant) -> Result<Arc<Signing>, Instead> {
        let this = self.clone();
        self.signing.get(deadline, || async move { this.find().await.map_err(Err) }.boxed()).await
    }

    async fn find(&self) -> Result<Fresh<Arc<Signing>>, Failure> {
        let found = timeout(TIME, self.region_and_keys()).await;
        let late = || Error::new(ErrorKind::Timeout, format!("no AWS keys within {TIME:?}"));
        let (region, keys) = found.unwrap_or_else(|_| Err(late())).map_err(|e| self.failure(&e))?;
        for secret in std::iter::once(&keys.secret_access_key).chain(&keys.session_token) {
            self.redactor.learn(&Secret::new(secret.as_str()));
        }
        let renew_at = keys.expires.map(|end| {
            let left = end.duration_since(SystemTime::from(clock::wall())).unwrap_or_default();
            clock::instant() + left.saturating_sub(LEFT_MIN)
        });
        let signing = Signing { place: self.place(), keys, region, service: self.sigv4.service.clone() };
        Ok(Fresh { value: Arc::new(signing), renew_at })
    }

    async fn region_and_keys(&self) -> Result<(String, Keys), Error> {
        let region = host_ec2::find_region(self.sigv4.region.as_deref()).await?;
        let keys = match &self.sigv4.keys {
            Some(keys) => of_plan(keys),
            None => host_ec2::find_keys(&region).await?,
        };
        Ok((region, keys))
    }

    fn place(&self) -> String {
        format!("[credential.{}]", self.sigv4.name)
    }

    fn failure(&self, error: &Error) -> Failure {
        let (place, kind) = (self.place(), failure_kind(error.kind));
        let hint = match (kind, &self.sigv4.keys) {
            (FailureKind::Credential, None) => format!(
                "; let AWS' own chain find region and keys (AWS_REGION, an IAM role, a profile), or write region, access_key_id and \
                 the place of the secret access key under {place}"
            ),
            (FailureKind::Credential, Some(_)) => format!("; write region = \"us-east-1\" under {place}"),
            _ => String::new(),
        };
        Failure::new(kind, format!("{place}: {error}{hint}"))
    }
}

impl Signing {
    /// Signs a request as it will be sent: method, path, query, host, body, and every header of AWS' own.
    ///
    /// # Errors
    /// Where it cannot be signed.
    pub fn sign(&self, request: &mut reqwest::Request) -> Result<(), Failure> {
        OF_THE_SIGNATURE.iter().for_each(|name| drop(request.headers_mut().remove(*name)));
        // A plus that means a space is read by some as a plus.
        if let Some(query) = request.url().query().filter(|query| query.contains('+')) {
            let query = query.replace('+', "%20");
            request.url_mut().set_query(Some(&query));
        }
        let of_aws = request.headers().iter().filter(|(name, _)| name.as_str().starts_with("x-amz-"));
        let headers: Vec<(&str, &str)> =
            of_aws.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
        let to_sign = ToSign {
            method: request.method().as_str(),
            url: request.url().as_str(),
            headers: &headers,
            body: request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default(),
        };
        let scope = Scope { region: &self.region, service: &self.service };
        let failure = |what: String| Failure::new(FailureKind::Credential, format!("{}: {what}", self.place));
        let signed = host_ec2::sign(to_sign, scope, &self.keys, clock::wall().into());
        for (name, value) in signed.map_err(|e| failure(e.to_string()))? {
            let unfit = |_| failure(format!("header {name} cannot carry the signature"));
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit(()))?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| unfit(()))?;
            value.set_sensitive(true);
            request.headers_mut().insert(key, value);
        }
        Ok(())
    }
}

fn of_plan(keys: &AwsKeys) -> Keys {
    Keys {
        access_key_id: keys.access_key_id.clone(),
        secret_access_key: keys.secret_access_key.reveal().to_owned(),
        session_token: keys.session_token.as_ref().map(|token| token.reveal().to_owned()),
        expires: None,
    }
}

fn failure_kind(kind: ErrorKind) -> FailureKind {
    match kind {
        ErrorKind::Timeout => FailureKind::Timeout,
        ErrorKind::Unreachable => FailureKind::Unreachable,
        ErrorKind::Throttled | ErrorKind::Broken | ErrorKind::Limit => FailureKind::Broken,
        ErrorKind::Forbidden | ErrorKind::Credential => FailureKind::Credential,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str) -> reqwest::Request {
        reqwest::Request::new(reqwest::Method::GET, url.parse().unwrap())
    }

    fn signing() -> Signing {
        let keys = Keys {
            access_key_id: "AKID".into(),
            secret_access_key: "hunter22".into(),
            session_token: None,
            expires: None,
        };
        Signing { place: "[credential.x]".into(), keys, region: "eu-west-1".into(), service: "aps".into() }
    }

    #[test]
    fn a_space_in_a_query_is_written_in_the_one_way_that_has_one_reading() {
        let mut request = request("http://host/x?a=b+c&d=e%2Bf");
        signing().sign(&mut request).unwrap();
        assert_eq!(request.url().query(), Some("a=b%20c&d=e%2Bf"));
    }

    #[test]
    fn what_a_guest_calls_its_own_signature_is_not_sent() {
        let mut request = request("http://host/x");
        for name in ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "x-amz-target"] {
            request.headers_mut().insert(name, HeaderValue::from_static("guest"));
        }
        signing().sign(&mut request).unwrap();
        let headers = request.headers();
        assert!(headers["x-amz-date"] != "guest" && headers["x-amz-target"] == "guest");
        assert!(!headers.contains_key("x-amz-security-token") && !headers.contains_key("x-amz-content-sha256"));
        let authorization = headers["authorization"].to_str().unwrap();
        assert!(authorization.contains("SignedHeaders=host;x-amz-date;x-amz-target,"), "{authorization}");
        assert!(headers["authorization"].is_sensitive());
    }
}
