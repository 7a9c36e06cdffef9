//! Names and labels as Prometheus has them.
//!
//! The data model: https://prometheus.io/docs/concepts/data_model/. Names of any UTF-8 are newer than most receivers, so series and tags
//! become names of the old alphabet.

use std::borrow::Cow;

use super::tags;
use crate::model::TagSet;

/// The label that holds a metric's name.
pub(super) const NAME: &str = "__name__";

/// Labels of a series: sorted by name, each name once, no value empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Labels<'a> {
    /// Tags as labels.
    pub fn of(tags: &'a TagSet) -> Labels<'a> {
        let mut labels = Labels::default();
        for (key, value) in tags::pairs(tags) {
            if !value.is_empty() {
                labels.add(label_name(key), value);
            }
        }
        labels
    }

    /// Adds a label; the values of a name that comes twice are joined by a comma.
    pub fn add(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        match self.find(&name) {
            Ok(at) => tags::join(&mut self.0[at].1, &value),
            Err(at) => self.0.insert(at, (name, value)),
        }
    }

    /// Takes a label out.
    pub fn remove(&mut self, name: &str) -> Option<Cow<'a, str>> {
        self.find(name).ok().map(|at| self.0.remove(at).1)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (**other).cmp(name))
    }
}

/// A series' name: `[a-zA-Z_:][a-zA-Z0-9_:]*`, everything else becomes `_`.
pub(super) fn metric_name(series: &str) -> Cow<'_, str> {
    in_alphabet(series, |c| c == ':')
}

/// A tag's key: `[a-zA-Z_][a-zA-Z0-9_]*`. Names that begin with `__` are reserved for the system.
fn label_name(key: &str) -> Cow<'_, str> {
    match in_alphabet(key, |_| false) {
        name if name.starts_with("__") => format!("tag{name}").into(),
        name => name,
    }
}

fn in_alphabet(text: &str, and: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_plain = |c: char| c == '_' || c.is_ascii_alphanumeric() || and(c);
    let name: Cow<'_, str> = match text.chars().all(is_plain) {
        true => text.into(),
        false => text.chars().map(|c| if is_plain(c) { c } else { '_' }).collect(),
    };
    match name.chars().next() {
        Some(c) if !c.is_ascii_digit() => name,
        _ => format!("_{name}").into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_of_the_old_alphabet() {
        for (series, name) in [("github.prs.open", "github_prs_open"), ("a:b-c", "a:b_c"), ("2x", "_2x"), ("é", "_")] {
            assert_eq!(metric_name(series), name);
        }
    }

    #[test]
    fn tags_become_labels() {
        let tags = TagSet::new(["env:x", "n:2", "n:1", "a-b:1", "a.b:2", "__name__:evil", "empty:", "alone", "1:one"]);
        let labels: Vec<String> = Labels::of(&tags).iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(labels, ["_1=one", "a_b=1,2", "env=x", "n=1,2", "tag__name__=evil"]);
    }

    proptest! {
        #[test]
        fn any_text_becomes_a_name(text: String, tag in "[^\n]{1,20}:[^\n]{1,20}") {
            let is_name = |name: &str, colons: bool| {
                name.chars().enumerate().all(|(n, c)| {
                    c == '_' || c.is_ascii_alphabetic() || (n > 0 && c.is_ascii_digit()) || (colons && c == ':')
                }) && !name.is_empty()
            };
            prop_assert!(is_name(&metric_name(&text), true));
            for (name, value) in Labels::of(&TagSet::new([tag.as_str()])).iter() {
                prop_assert!(is_name(name, false) && !name.starts_with("__") && !value.is_empty());
            }
        }
    }
}
