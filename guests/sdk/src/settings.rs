//! The collector's own settings: what the plan says, else the default in `collector.toml`.

use std::str::FromStr;

use crate::Fault;

/// A setting's text, or none where it has neither a value nor a default. An empty value counts as none.
pub fn get(key: &str) -> Option<String> {
    crate::boundary::setting(key).filter(|value| !value.is_empty())
}

/// A setting that must be there.
///
/// # Errors
/// `setting`, where it has neither a value nor a default.
pub fn text(key: &str) -> Result<String, Fault> {
    get(key).ok_or_else(|| Fault::setting(format!("setting {key} is not set")))
}

/// A setting read as a number, or as anything else that parses from text.
///
/// # Errors
/// `setting`, where it is missing or does not parse.
pub fn parsed<T: FromStr>(key: &str) -> Result<T, Fault> {
    let value = text(key)?;
    value.parse().map_err(|_| Fault::setting(format!("setting {key} cannot be {value:?}")))
}
