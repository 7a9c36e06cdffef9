//! Tags as pairs: what Datadog calls a tag, others call an attribute or a label, and want each key once.

use std::borrow::Cow;

use crate::model::TagSet;

/// Keys and values, sorted by key. The key ends at the first colon; the values of a key that comes twice are joined by a comma, which
/// no tag of a collector can hold.
pub(super) fn pairs<'a>(tags: &'a TagSet) -> Vec<(&'a str, Cow<'a, str>)> {
    let pair = |tag: &'a str| {
        let (key, value) = tag.split_once(':').unwrap_or((tag, ""));
        (key, Cow::from(value))
    };
    let mut pairs: Vec<(&str, Cow<'_, str>)> = tags.iter().map(pair).collect();
    // Sorted by the tag is not sorted by the key: `a-b:1` stands before `a:1`.
    pairs.sort_by_key(|(key, _)| *key);
    pairs.dedup_by(|(key, value), (kept, values)| {
        let is_same = key == kept;
        if is_same {
            join(values, value);
        }
        is_same
    });
    pairs
}

/// Adds a value to those of its key.
pub(super) fn join(values: &mut Cow<'_, str>, value: &str) {
    let values = values.to_mut();
    values.push(',');
    values.push_str(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_cut_at_its_first_colon_and_the_values_of_a_key_are_joined() {
        let tags = TagSet::new(["env:b", "url:http://x:1", "env:a", "env-x:1", "alone", "env:c"]);
        let all: Vec<String> = pairs(&tags).into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(all, ["alone=", "env=a,b,c", "env-x=1", "url=http://x:1"]);
    }
}
