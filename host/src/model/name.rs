//! Names of collectors, upstreams, credentials and sinks: they become file names, tags and configuration keys.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A lower-case name: letters, digits, `_` and `-`, beginning with a letter, at most 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Box<str>);

/// What a name may not be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a name: letters a to z, digits, `_` and `-`, beginning with a letter, at most 64 bytes")]
pub struct NameError(String);

impl Name {
    /// The name, if it is one.
    ///
    /// # Errors
    /// Where the text breaks one of the rules above.
    pub fn new(text: impl Into<String>) -> Result<Name, NameError> {
        let text = text.into();
        let is_first = |b: u8| b.is_ascii_lowercase();
        let is_other = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        let ok = text.len() <= 64 && text.bytes().next().is_some_and(is_first) && text.bytes().all(is_other);
        if ok { Ok(Name(text.into())) } else { Err(NameError(text.chars().take(80).collect())) }
    }

    /// A name made of any text: as much of it as can be one.
    pub fn lossy(text: &str) -> Name {
        let stem = text.to_lowercase();
        let plain: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(48).collect();
        match plain.trim_start_matches(|c: char| !c.is_ascii_lowercase()) {
            "" => Name("component".into()),
            plain => Name(plain.into()),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Name, NameError> {
        Name::new(text)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Name, NameError> {
        Name::new(text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0.into()
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_case_and_begins_with_a_letter() {
        for good in ["github", "health_fom", "github-infra", "a", "c2"] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(65);
        for bad in ["", "GitHub", "2c", "-x", "a b", "a/b", "../x", "é", long.as_str()] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn any_text_gives_a_name() {
        for (text, name) in [("GitHub (1)", "github--1-"), ("2", "component"), ("é_a", "a"), ("datadog", "datadog")] {
            let lossy = Name::lossy(text);
            assert_eq!(lossy.as_str(), name);
            assert_eq!(Name::new(name).unwrap(), lossy);
        }
    }
}
