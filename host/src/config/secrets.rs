//! Secrets by reference: an environment variable or a file.

use std::path::Path;

use crate::model::Secret;

use super::{ConfigError, Environment};

/// Why a secret is not there, and the line that would mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub what: String,
    pub hint: String,
}

impl Missing {
    /// As an error of the configuration, where nothing can be done without it.
    pub fn at(self, place: &str) -> ConfigError {
        ConfigError::Hinted { place: place.into(), what: self.what, hint: self.hint }
    }
}

/// Reads a secret from the one source that is named. `section` is where it stands, for hints: `[credential.github]`.
pub(super) fn read(
    section: &str,
    env: Option<&str>,
    file: Option<&Path>,
    environment: Environment<'_>,
) -> Result<Result<Secret, Missing>, ConfigError> {
    let missing = |what: String, hint: String| Ok(Err(Missing { what, hint }));
    match (env, file) {
        (Some(_), Some(_)) | (None, None) => Err(ConfigError::Hinted {
            place: section.into(),
            what: "a secret comes from one place".into(),
            hint: format!("write either env = \"VARIABLE\" or file = \"/path\" under {section}"),
        }),
        (Some(variable), None) => match environment(variable).filter(|value| !value.trim().is_empty()) {
            Some(value) => Ok(Ok(Secret::new(value.trim()))),
            None => missing(
                format!("environment variable {variable} is not set"),
                format!("set {variable}, or write file = \"/path/of/the/secret\" under {section}"),
            ),
        },
        (None, Some(path)) => match std::fs::read_to_string(path) {
            Ok(text) if !text.trim().is_empty() => Ok(Ok(Secret::new(text.trim()))),
            Ok(_) => missing(
                format!("file {} is empty", path.display()),
                format!("write the secret into {}", path.display()),
            ),
            Err(e) => missing(
                format!("file {}: {e}", path.display()),
                format!("make {} readable, or name another file under {section}", path.display()),
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_without_the_line_break_around_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2\n").unwrap();
        let environment = |name: &str| (name == "SET").then(|| "hunter3\n".to_owned());
        let read = |env, file| read("[credential.x]", env, file, &environment).unwrap();
        assert_eq!(read(None, Some(file.path())).unwrap().reveal(), "hunter2");
        assert_eq!(read(Some("SET"), None).unwrap().reveal(), "hunter3");
        let missing = read(Some("UNSET"), None).unwrap_err();
        assert!(missing.what.contains("UNSET") && missing.hint.contains("[credential.x]"), "{missing:?}");
        assert!(read(None, Some(Path::new("/none"))).unwrap_err().what.contains("/none"));
    }

    #[test]
    fn two_sources_or_none_are_an_error() {
        let none = |_: &str| None;
        assert!(read("[credential.x]", None, None, &none).is_err());
        assert!(read("[credential.x]", Some("A"), Some(Path::new("b")), &none).is_err());
    }
}
