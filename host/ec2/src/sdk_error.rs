//! Errors of the SDK as errors of this crate.

use std::error::Error as StdError;

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};

use crate::{Error, ErrorKind};

impl Error {
    pub(crate) fn of<E, R>(action: &str, error: &SdkError<E, R>) -> Error
    where
        E: ProvideErrorMetadata + StdError + 'static,
        R: std::fmt::Debug,
    {
        // What this crate itself said on the way.
        if let Some(own) = causes(error).find_map(|cause| cause.downcast_ref::<Error>()) {
            return Error::new(own.kind, format!("{action}: {own}"));
        }
        let (kind, what) = match error {
            SdkError::ServiceError(_) => {
                let code = error.code().unwrap_or("an error without a code");
                (kind_of(code), format!("{code}: {}", error.message().unwrap_or_default()))
            }
            SdkError::TimeoutError(_) => (ErrorKind::Timeout, "no answer in time".into()),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => {
                (ErrorKind::Timeout, "no connection in time".into())
            }
            SdkError::DispatchFailure(failure) if failure.is_io() => (ErrorKind::Unreachable, context(error)),
            // Credentials are looked for when a request is made.
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => (ErrorKind::Credential, context(error)),
            _ => (ErrorKind::Broken, context(error)),
        };
        Error::new(kind, format!("{action}: {what}"))
    }
}

/// The error with its causes, on one line.
fn context<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + StdError + 'static,
    R: std::fmt::Debug,
{
    let causes: Vec<String> = causes(error).map(ToString::to_string).collect();
    match causes.is_empty() {
        true => error.to_string(),
        false => causes.join(": "),
    }
}

/// What caused an error, the nearest first.
fn causes(error: &dyn StdError) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |cause: &&(dyn StdError + 'static)| (*cause).source())
}

/// By the code: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
fn kind_of(code: &str) -> ErrorKind {
    match code {
        "UnauthorizedOperation"
        | "AuthFailure"
        | "AccessDenied"
        | "AccessDeniedException"
        | "OptInRequired"
        | "Blocked"
        | "InvalidClientTokenId"
        | "ExpiredToken"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "PendingVerification" => ErrorKind::Forbidden,
        "RequestLimitExceeded" | "Throttling" | "ThrottlingException" | "Client.RequestLimitExceeded" => {
            ErrorKind::Throttled
        }
        _ => ErrorKind::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_whose_mistake_it_is() {
        assert_eq!(kind_of("UnauthorizedOperation"), ErrorKind::Forbidden);
        assert_eq!(kind_of("RequestLimitExceeded"), ErrorKind::Throttled);
        assert_eq!(kind_of("InternalError"), ErrorKind::Broken);
    }
}
