//! Tokens of a GitHub App's installation: asked for with a signature of the App, kept in memory for their hour.
//!
//! Formats: https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
//! and https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::renewed::{Fresh, LEFT_MIN, Renewed, Work};
use super::{Instead, secret_value};
use crate::clock;
use crate::egress::repeat::is_throttled;
use crate::egress::{Answer, Ask, Bounds, Buffer, Endpoint, Failure, FailureKind, Meter, Network, Pacing, retry_after};
use crate::limits::ByteSize;
use crate::model::{Redactor, Secret, SigningKey, SigningKeyError};
use crate::policy::{GithubApp, Upstream};

/// An installation, and the token that it has now.
pub(in crate::egress) struct Installation {
    app: GithubApp,
    /// Where tokens are asked for.
    api: Endpoint,
    redactor: Redactor,
    /// `Bearer …`
    authorization: Renewed<HeaderValue>,
}

/// For one token, repetitions and pauses included.
const TIME: Duration = Duration::from_secs(60);

/// The repositories that a token was cut down to come with it, 500 at most, each of some kilobytes.
const ANSWER_BYTES_MAX: ByteSize = ByteSize::mib(8);

/// GitHub refuses signatures of the future, and clocks are never quite the same.
const SIGNED_BEFORE: SignedDuration = SignedDuration::from_secs(60);

/// At most ten minutes, by GitHub's clock.
const SIGNED_FOR: SignedDuration = SignedDuration::from_mins(9);

/// A clock that is further off than this may be why a signature is refused.
const CLOCK_OFF: SignedDuration = SignedDuration::from_secs(30);

/// What GitHub says of an error is a line of the report.
const WORDS_CHARS_MAX: usize = 200;

/// A token, of all that comes with it.
#[derive(Deserialize)]
struct Granted {
    token: String,
    expires_at: Timestamp,
}

impl Installation {
    /// The one that an upstream's credential names. `section` is the upstream's, for what its addresses are granted by.
    pub fn new(
        app: &GithubApp,
        upstream: &Upstream,
        network: &Network,
        redactor: &Redactor,
        section: &str,
    ) -> Installation {
        let base_url = app.api_url.clone().unwrap_or_else(|| upstream.base_url.clone());
        let at = Upstream { base_url, credential: None, ..upstream.clone() };
        // Nothing is taken out of its answers, as the token is in there; nothing of them leaves this module but in failures,
        // which the asking endpoint scrubs.
        let api = Endpoint::new(at, network.for_credentials(), Redactor::default()).of_section(section);
        Installation { app: app.clone(), api, redactor: redactor.clone(), authorization: Renewed::default() }
    }

    /// Whether its tokens serve for both, and are asked for in the same way.
    pub fn is_the_same(&self, other: &Installation) -> bool {
        let (a, b) = (self.api.upstream(), other.api.upstream());
        self.app == other.app
            && (&a.base_url, &a.allowed, &a.redirects, a.timeouts)
                == (&b.base_url, &b.allowed, &b.redirects, b.timeouts)
            && self.redactor.is_the_same(&other.redactor)
    }

    /// `Bearer …`, with a token that is good for five minutes more.
    ///
    /// # Errors
    /// That GitHub asks to wait, or why there is no token.
    pub async fn authorization(self: &Arc<Self>, deadline: Instant) -> Result<HeaderValue, Instead> {
        self.authorization.get(deadline, || self.work()).await
    }

    /// Whether there is another token for whoever was refused with this one.
    pub fn replace(&self, refused: &HeaderValue) -> bool {
        self.authorization.replace(refused)
    }

    fn work(self: &Arc<Self>) -> Work<HeaderValue> {
        let this = self.clone();
        async move { this.ask().await }.boxed()
    }

    async fn ask(&self) -> Result<Fresh<HeaderValue>, Instead> {
        let unreadable = |why| Err(self.failure(FailureKind::Credential, format!("the private key: {why}")));
        let key = SigningKey::read(&self.app.key).map_err(unreadable)?;
        let now = clock::wall();
        let mut answer = self.post(&key, now).await?;
        // A signature says when it was made; where this machine's clock is off, GitHub says what time it is.
        if answer.status == 401
            && let Some(there) = answer.date().filter(|there| clock_is_off(now, *there))
        {
            answer = self.post(&key, there).await?;
        }
        match answer.status {
            200..=299 => self.granted(&answer).map_err(Err),
            _ if is_throttled(&answer) => Err(Ok(self.told_to_wait(&answer))),
            _ => Err(Err(self.refused(&answer))),
        }
    }

    async fn post(&self, key: &SigningKey, now: Timestamp) -> Result<Answer, Instead> {
        let unsigned = |why| Err(self.failure(FailureKind::Credential, format!("the private key: {why}")));
        let jwt = signed_claims(&self.app.app, key, now).map_err(unsigned)?;
        self.redactor.learn(&jwt);
        let path = format!("/app/installations/{}/access_tokens", self.app.installation);
        let ask = Ask {
            method: "POST".into(),
            headers: [
                ("authorization", format!("Bearer {}", jwt.reveal())),
                ("accept", "application/vnd.github+json".into()),
                ("content-type", "application/json".into()),
                ("x-github-api-version", "2022-11-28".into()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
            body: wishes(&self.app),
            // One token more than is needed does no harm.
            repeatable: true,
            agent: "credentials".into(),
            paths: vec![path.clone()],
            path,
            ..Ask::default()
        };
        let bounds = Bounds {
            deadline: clock::instant() + TIME,
            body_bytes_max: ANSWER_BYTES_MAX.0,
            header_bytes_max: ANSWER_BYTES_MAX.0,
            buffer: Buffer::new(ANSWER_BYTES_MAX),
        };
        let sent = self.api.send(&ask, &bounds, &Meter::default(), Pacing::PATIENT).await;
        sent.map_err(|failure| Err(self.failure(failure.kind, format!("no installation token: {}", failure.message))))
    }

    fn granted(&self, answer: &Answer) -> Result<Fresh<HeaderValue>, Failure> {
        let unreadable =
            || self.failure(FailureKind::Broken, "GitHub answered without a token that can be read".into());
        let Granted { token, expires_at } = serde_json::from_slice(&answer.body).map_err(|_| unreadable())?;
        let value = secret_value(&format!("Bearer {token}")).filter(|_| !token.is_empty()).ok_or_else(unreadable)?;
        self.redactor.learn(&Secret::new(token));
        let left = expires_at.duration_since(answer.date().unwrap_or_else(clock::wall));
        Ok(Fresh { value, renew_at: Some(clock::instant() + good_for(left)) })
    }

    /// In the place of the upstream's answer: the one that it would give.
    fn told_to_wait(&self, answer: &Answer) -> Answer {
        let seconds = retry_after(answer, clock::wall()).map_or(60, |wait| wait.as_secs() + 1);
        let text =
            format!("{}: GitHub gives no installation token for now{}", self.place(), words(answer, &self.redactor));
        let headers = [("content-type", "text/plain".to_owned()), ("retry-after", seconds.to_string())];
        Answer {
            status: 429,
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            body: text.into_bytes(),
        }
    }

    /// What GitHub means, and what to change.
    fn refused(&self, answer: &Answer) -> Failure {
        let (status, place, installation) = (answer.status, self.place(), &self.app.installation);
        let said = format!("{status}{}", words(answer, &self.redactor));
        let what = match status {
            401 => format!(
                "GitHub refuses the App's signature ({said}): app and private key must be of one App{}",
                clock_words(clock::wall(), answer.date())
            ),
            403 => format!("GitHub gives installation {installation} no token ({said}): look whether it is suspended"),
            404 => format!(
                "the App has no installation {installation} ({said}): write the number at the end of the address of the \
                 installation's settings as installation under {place}; for GitHub Enterprise Server, api_url = \
                 \"https://HOST/api/v3\""
            ),
            422 => format!(
                "GitHub gives no such token ({said}): write under {place} only permissions and repositories that \
                 installation {installation} has"
            ),
            _ => return self.failure(FailureKind::Broken, format!("no installation token: GitHub answered {said}")),
        };
        self.failure(FailureKind::Credential, what)
    }

    fn failure(&self, kind: FailureKind, what: String) -> Failure {
        Failure::new(kind, format!("{}: {what}", self.place()))
    }

    fn place(&self) -> String {
        format!("[credential.{}]", self.app.name)
    }
}

/// A JSON web token that says which App asks (RFC 7515, RFC 7519).
fn signed_claims(app: &str, key: &SigningKey, now: Timestamp) -> Result<Secret, SigningKeyError> {
    let header = json!({ "alg": "RS256", "typ": "JWT" });
    let (from, until) = ((now - SIGNED_BEFORE).as_second(), (now + SIGNED_FOR).as_second());
    let claims = json!({ "iat": from, "exp": until, "iss": app });
    let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = URL_SAFE_NO_PAD.encode(key.sign_rs256(signed.as_bytes())?);
    Ok(Secret::new(format!("{signed}.{signature}")))
}

/// What the token is cut down to; nothing where it is to be all that the installation has.
fn wishes(app: &GithubApp) -> Bytes {
    let mut wishes = Map::new();
    if !app.repositories.is_empty() {
        wishes.insert("repositories".into(), json!(app.repositories));
    }
    if !app.permissions.is_empty() {
        wishes.insert("permissions".into(), json!(app.permissions));
    }
    Value::Object(wishes).to_string().into()
}

/// How long a token serves that is good for so long.
fn good_for(left: SignedDuration) -> Duration {
    Duration::try_from(left).unwrap_or_default().saturating_sub(LEFT_MIN)
}

fn clock_is_off(here: Timestamp, there: Timestamp) -> bool {
    here.duration_since(there).abs() > CLOCK_OFF
}

fn clock_words(here: Timestamp, there: Option<Timestamp>) -> String {
    let Some(there) = there.filter(|there| clock_is_off(here, *there)) else { return String::new() };
    let ahead = here.duration_since(there).as_secs();
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    format!("; this machine's clock is {} s {direction} GitHub's", ahead.abs())
}

/// What GitHub says beside the status: `: Bad credentials`. Scrubbed before it is cut, as half a secret is not found any more.
fn words(answer: &Answer, redactor: &Redactor) -> String {
    let parsed: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = redactor.scrub_text(parsed["message"].as_str().unwrap_or_default());
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().filter(|c| !c.is_control()).take(WORDS_CHARS_MAX).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_token_serves_until_five_minutes_before_its_end() {
        assert_eq!(good_for(SignedDuration::from_mins(60)), Duration::from_secs(55 * 60));
        assert_eq!(good_for(SignedDuration::from_mins(5)), Duration::ZERO);
        assert_eq!(good_for(SignedDuration::from_mins(-60)), Duration::ZERO);
    }

    #[test]
    fn a_clock_that_is_off_is_said_to_be() {
        let noon = at("2025-10-24T12:00:00Z");
        assert_eq!(clock_words(noon, Some(at("2025-10-24T12:00:30Z"))), "");
        assert_eq!(clock_words(noon, None), "");
        let ahead = clock_words(noon, Some(at("2025-10-24T11:00:00Z")));
        assert_eq!(ahead, "; this machine's clock is 3600 s ahead of GitHub's");
        assert!(clock_words(noon, Some(at("2025-10-24T12:01:00Z"))).contains("60 s behind"));
    }

    #[test]
    fn what_github_says_is_a_line() {
        let token = format!("ghs_{}", "y".repeat(300));
        let redactor = Redactor::new([(None, &Secret::new(token.as_str()))]);
        let words = |body: &str| words(&Answer { status: 403, headers: Vec::new(), body: body.into() }, &redactor);
        assert_eq!(words(r#"{"message": "Bad\n credentials", "status": "401"}"#), ": Bad credentials");
        assert_eq!(words("<html>"), "");
        assert_eq!(words(&json!({ "message": "x".repeat(9000) }).to_string()).len(), WORDS_CHARS_MAX + 2);
        assert_eq!(words(&json!({ "message": token }).to_string()), ": [redacted]");
    }
}
