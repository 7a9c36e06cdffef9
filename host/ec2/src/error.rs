//! Errors, in few kinds.

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The credentials lack a right, or are not valid.
    Forbidden,
    /// Asked to slow down, and the SDK's repetitions were not enough.
    Throttled,
    /// No connection.
    Unreachable,
    /// Not answered in time.
    Timeout,
    /// Any other error of the service.
    Broken,
    /// The observer of the call ended it.
    Limit,
    /// No credentials, no region.
    Credential,
}

/// Why there is no answer. The SDK's errors hold no secret: a signature is not part of them.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub kind: ErrorKind,
    pub message: String,
}

impl Error {
    /// An error of a kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into() }
    }
}
