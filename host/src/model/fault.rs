//! A fault: a collector attempt gone wrong, whose mistake it was, and a short stable word for why.

use std::fmt;

use serde::Serialize;

/// Whose mistake a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// The collector's own.
    Guest,
    /// The host's, or the machine's that it runs on.
    Host,
    /// The service that was asked.
    Upstream,
    /// What the operator wrote: a setting, a credential, a grant, a file in the components folder.
    Settings,
}

/// Why, in one stable word. The words stand in reports and tags: none is ever renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Wall time, host calls included.
    Deadline,
    /// The CPU budget.
    Fuel,
    /// Linear memory.
    Memory,
    /// Table elements, tables, memories or instances.
    Resources,
    /// Recursion without end.
    StackOverflow,
    /// The collector gave up: panic, abort, exit.
    Panic,
    /// Any other trap.
    Trap,
    /// One call handed the host more than it takes.
    HostcallFuel,
    /// A ceiling that the import answers with an error: requests, bodies, points, …
    Limit,
    /// The collector broke its own manifest.
    Contract,
    /// No connection: name, route, port, TLS.
    Unreachable,
    /// Not connected, or not answered, in time.
    Timeout,
    /// 5xx, broken off, or an answer that says it failed.
    UpstreamError,
    /// Asked to slow down, for longer than the attempt can wait.
    RateLimited,
    /// 401, 403.
    Unauthorized,
    /// 404.
    NotFound,
    /// An answer that cannot be read.
    BadAnswer,
    /// The host refused a request: not granted.
    Denied,
    /// A credential that is missing or cannot be read.
    Credential,
    /// A setting that is missing or makes no sense.
    Setting,
    /// The file is not a component: empty, cut off, a directory.
    BadComponent,
    /// A component, but not a collector: no manifest, another world.
    NotACollector,
    /// Made for a newer contract than this host knows.
    NewerContract,
    /// Imports something that the plan does not grant.
    ImportDenied,
    /// SIGTERM or SIGINT.
    Cancelled,
    /// The cycle's time was up.
    CycleDeadline,
    /// Left alone for a while: it came to nothing many times in a row.
    Paused,
    /// The host's own mistake.
    HostBug,
    /// Anything else that a collector says.
    Other,
}

impl Reason {
    /// The word as it stands in reports: `upstream-error`.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Deadline => "deadline",
            Reason::Fuel => "fuel",
            Reason::Memory => "memory",
            Reason::Resources => "resources",
            Reason::StackOverflow => "stack-overflow",
            Reason::Panic => "panic",
            Reason::Trap => "trap",
            Reason::HostcallFuel => "hostcall-fuel",
            Reason::Limit => "limit",
            Reason::Contract => "contract",
            Reason::Unreachable => "unreachable",
            Reason::Timeout => "timeout",
            Reason::UpstreamError => "upstream-error",
            Reason::RateLimited => "rate-limited",
            Reason::Unauthorized => "unauthorized",
            Reason::NotFound => "not-found",
            Reason::BadAnswer => "bad-answer",
            Reason::Denied => "denied",
            Reason::Credential => "credential",
            Reason::Setting => "setting",
            Reason::BadComponent => "bad-component",
            Reason::NotACollector => "not-a-collector",
            Reason::NewerContract => "newer-contract",
            Reason::ImportDenied => "import-denied",
            Reason::Cancelled => "cancelled",
            Reason::CycleDeadline => "cycle-deadline",
            Reason::Paused => "paused",
            Reason::HostBug => "host-bug",
            Reason::Other => "other",
        }
    }

    /// Whether the same attempt a moment later may well succeed.
    pub fn is_retryable(self) -> bool {
        matches!(self, Reason::Unreachable | Reason::Timeout | Reason::UpstreamError | Reason::BadAnswer)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Blame::Guest => "guest",
            Blame::Host => "host",
            Blame::Upstream => "upstream",
            Blame::Settings => "settings",
        })
    }
}

/// A collector attempt gone wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub blame: Blame,
    pub reason: Reason,
    /// What happened, on one line.
    pub message: String,
    /// The line to write or the command to run, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Fault {
    pub fn new(blame: Blame, reason: Reason, message: impl Into<String>) -> Fault {
        Fault { blame, reason, message: message.into(), hint: None }
    }

    /// The same fault with the line that would mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.reason, self.blame, self.message)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_that_are_serialized() {
        for reason in [Reason::Deadline, Reason::HostcallFuel, Reason::NotACollector, Reason::UpstreamError] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.word());
        }
    }
}
