//! Why there is no answer.

/// What kept an answer from coming. The words of `wit/http.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The address is not granted.
    Denied,
    /// The answer was a redirect that the plan does not allow.
    Redirected,
    /// A ceiling of the attempt.
    Limit,
    /// No connection: name, route, TLS.
    Unreachable,
    /// Not connected, or not answered, in time. Asked again it would take as long again.
    Timeout,
    /// Broke off, or was not HTTP.
    Broken,
    /// The credential that the endpoint needs cannot be had.
    Credential,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub kind: FailureKind,
    /// One line for a person, without a secret.
    pub message: String,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into() }
    }

    pub(super) fn limit(key: &str, bound: impl std::fmt::Display) -> Failure {
        Failure::new(FailureKind::Limit, format!("the answer is larger than {key} ({bound})"))
    }

    /// From the client's error. `what` was being done; its URL is left out, as a URL may say more than a person may see.
    pub(super) fn from_client(error: reqwest::Error, what: &str) -> Failure {
        let error = error.without_url();
        let chain = causes(&error);
        let kind = match () {
            () if chain.iter().any(|cause| cause.is::<super::resolve::Refused>()) => FailureKind::Denied,
            () if error.is_timeout() => FailureKind::Timeout,
            () if error.is_connect() => FailureKind::Unreachable,
            () => FailureKind::Broken,
        };
        // The outermost texts only say that sending failed; the innermost say why.
        let texts: Vec<String> = chain.iter().rev().map(ToString::to_string).collect();
        let reason = texts.first().cloned().unwrap_or_else(|| error.to_string());
        Failure::new(kind, format!("{what}: {reason}"))
    }
}

fn causes<'a>(error: &'a (dyn std::error::Error + 'static)) -> Vec<&'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source()).collect()
}
