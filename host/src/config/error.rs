//! What can be wrong with a configuration, with the place and the line to write.

use std::path::Path;

/// A configuration that cannot become a plan. Exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: {source}")]
    Read { path: String, source: std::io::Error },
    /// `place` is `file:line` where a line is known.
    #[error("{place}: {what}")]
    Invalid { place: String, what: String },
    #[error("{place}: {what}")]
    Hinted { place: String, what: String, hint: String },
}

impl ConfigError {
    /// The line to write, where one is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            ConfigError::Hinted { hint, .. } => Some(hint),
            ConfigError::Read { .. } | ConfigError::Invalid { .. } => None,
        }
    }

    /// What was wrong and the line to write, for tests.
    #[cfg(test)]
    pub(super) fn text_and_hint(&self) -> String {
        format!("{self}\n{}", self.hint().unwrap_or_default())
    }

    /// From the TOML reader's error: its line, and the nearest known key where one is unknown.
    pub(super) fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
        let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
        // A span at the beginning of a line counts the lines before it only.
        let line = match (line, error.span()) {
            (Some(n), Some(span)) if span.start > 0 && text[..span.start].ends_with('\n') => Some(n + 1),
            (line, _) => line,
        };
        let place = match line {
            Some(line) => format!("{}:{line}", path.display()),
            None => path.display().to_string(),
        };
        ConfigError::Invalid { place, what: with_nearest(error.message()) }
    }
}

/// Turns serde's "unknown field `x`, expected one of `a`, `b`" into a sentence with the nearest known key.
fn with_nearest(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field ") else { return message.to_owned() };
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let Some(unknown) = quoted.next() else { return message.to_owned() };
    let known: Vec<&str> = quoted.collect();
    match nearest(unknown, known.iter().copied()) {
        Some(near) => format!("unknown key `{unknown}`; did you mean `{near}`?"),
        None => format!("unknown key `{unknown}`; known here are: {}", known.join(", ")),
    }
}

/// The known word that is most like the unknown one, if any is like it at all.
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.75;
    let similarity = |word: &str| strsim::jaro_winkler(unknown, word);
    let best = known.into_iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    (similarity(best) >= ALIKE).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not_offered() {
        assert_eq!(nearest("githb", ["github", "wandb"]), Some("github"));
        assert_eq!(nearest("zzz", ["github", "wandb"]), None);
        assert_eq!(nearest("x", []), None);
    }
}
