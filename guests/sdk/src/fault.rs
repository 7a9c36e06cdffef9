//! A fault: why an attempt at collecting went wrong, and whose mistake it was.

use std::fmt;

/// Whose mistake a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The collector's own.
    Guest,
    /// The service that was asked.
    Upstream,
    /// What the operator wrote: a setting, a credential, a grant.
    Settings,
}

/// Why, in one of the stable words of `wit/world.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No connection: name, route, port, TLS.
    Unreachable,
    /// Not connected, or not answered, in time.
    Timeout,
    /// Answered 5xx, broke off, or said in its answer that it failed.
    UpstreamError,
    /// Asked to slow down, for longer than the attempt can wait.
    RateLimited,
    /// 401, 403: the credential is missing, wrong or too weak.
    Unauthorized,
    /// 404: what the settings name is not there.
    NotFound,
    /// An answer that cannot be read.
    BadAnswer,
    /// A credential that is missing or cannot be read.
    Credential,
    /// A setting that is missing or makes no sense.
    Setting,
    /// The host refused a request: not granted.
    Denied,
    /// A ceiling of the attempt was reached.
    Limit,
    /// The collector broke its own manifest.
    Contract,
    /// Anything else.
    Other,
}

impl Reason {
    /// The word as it stands in reports: `upstream-error`.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Unreachable => "unreachable",
            Reason::Timeout => "timeout",
            Reason::UpstreamError => "upstream-error",
            Reason::RateLimited => "rate-limited",
            Reason::Unauthorized => "unauthorized",
            Reason::NotFound => "not-found",
            Reason::BadAnswer => "bad-answer",
            Reason::Credential => "credential",
            Reason::Setting => "setting",
            Reason::Denied => "denied",
            Reason::Limit => "limit",
            Reason::Contract => "contract",
            Reason::Other => "other",
        }
    }

    /// Whose mistake it is as a rule.
    fn usual_blame(self) -> Blame {
        match self {
            Reason::Unreachable | Reason::Timeout | Reason::UpstreamError | Reason::RateLimited | Reason::BadAnswer => {
                Blame::Upstream
            }
            Reason::Unauthorized | Reason::NotFound | Reason::Credential | Reason::Setting | Reason::Denied => {
                Blame::Settings
            }
            Reason::Limit | Reason::Contract | Reason::Other => Blame::Guest,
        }
    }
}

/// Why an attempt went wrong. Its text is for a person and stands in the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub blame: Blame,
    pub reason: Reason,
    pub message: String,
}

impl Fault {
    /// A fault that is blamed as its reason usually is.
    pub fn new(reason: Reason, message: impl Into<String>) -> Fault {
        Fault { blame: reason.usual_blame(), reason, message: message.into() }
    }

    /// The upstream answered, but with something that cannot be what it means.
    pub fn bad_answer(message: impl Into<String>) -> Fault {
        Fault::new(Reason::BadAnswer, message)
    }

    /// A setting is missing or makes no sense.
    pub fn setting(message: impl Into<String>) -> Fault {
        Fault::new(Reason::Setting, message)
    }

    /// The same fault, with what was being done in front of its message.
    #[must_use]
    pub fn while_asking(mut self, what: &str) -> Fault {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
