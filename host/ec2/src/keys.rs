//! Keys of an account, and what is signed with them.

use std::fmt;
use std::time::SystemTime;

/// Keys of an AWS account; temporary ones have a session token and an end.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: Option<String>,
    pub expires: Option<SystemTime>,
}

/// Without the secrets.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Keys { access_key_id, expires, .. } = self;
        f.debug_struct("Keys").field("access_key_id", access_key_id).field("expires", expires).finish_non_exhaustive()
    }
}

/// What a signature holds for.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// `us-east-1`
    pub region: &'a str,
    /// As AWS calls it in signatures: `aps`.
    pub service: &'a str,
}

/// A request that is to be signed.
#[derive(Clone, Copy, Debug)]
pub struct ToSign<'a> {
    pub method: &'a str,
    /// Whole, as it is sent.
    pub url: &'a str,
    /// Headers that are signed beside `host` and those that the signature adds. None of the latter may be among them.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}
