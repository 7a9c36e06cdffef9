//! Names and labels as Prometheus has them.
//!
//! The data model: https://prometheus.io/docs/concepts/data_model/. Names of any UTF-8 are newer than most receivers, so series and tags
//! become names of the old alphabet.

use std::collections::BTreeMap;

use super::tags;
use crate::model::TagSet;

/// Labels of a series, by name.
pub(super) type Labels = BTreeMap<String, String>;

/// The label that holds a metric's name.
pub(super) const NAME: &str = "__name__";

/// A series' name: `[a-zA-Z_:][a-zA-Z0-9_:]*`, everything else becomes `_`.
pub(super) fn metric_name(series: &str) -> String {
    in_alphabet(series, |c| c == ':')
}

/// Tags as labels: sorted, each name once, none empty.
pub(super) fn labels(tags: &TagSet) -> Labels {
    let mut labels = Labels::new();
    for (key, value) in tags::pairs(tags) {
        if !value.is_empty() {
            add(&mut labels, label_name(key), value);
        }
    }
    labels
}

/// Adds a label; the values of a name that comes twice are joined by a comma.
pub(super) fn add(labels: &mut Labels, name: String, value: String) {
    labels
        .entry(name)
        .and_modify(|values| {
            values.push(',');
            values.push_str(&value);
        })
        .or_insert(value);
}

/// A tag's key: `[a-zA-Z_][a-zA-Z0-9_]*`. Names that begin with `__` are reserved for the system.
fn label_name(key: &str) -> String {
    match in_alphabet(key, |_| false) {
        name if name.starts_with("__") => format!("tag{name}"),
        name => name,
    }
}

fn in_alphabet(text: &str, and: impl Fn(char) -> bool) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || and(c) { c } else { '_' };
    let name: String = text.chars().map(plain).collect();
    match name.chars().next() {
        Some(c) if !c.is_ascii_digit() => name,
        _ => format!("_{name}"),
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
        let labels: Vec<String> = labels(&tags).iter().map(|(name, value)| format!("{name}={value}")).collect();
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
            for (name, value) in labels(&TagSet::new([tag.as_str()])) {
                prop_assert!(is_name(&name, false) && !name.starts_with("__") && !value.is_empty());
            }
        }
    }
}
