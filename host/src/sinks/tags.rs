//! Tags as pairs: what Datadog calls a tag, others call an attribute or a label, and want each key once.

use std::collections::BTreeMap;

use crate::model::TagSet;

/// Keys and values, sorted by key. The key ends at the first colon; the values of a key that comes twice are joined by a comma, which
/// no tag of a collector can hold.
pub(super) fn pairs(tags: &TagSet) -> BTreeMap<&str, String> {
    let mut pairs: BTreeMap<&str, String> = BTreeMap::new();
    for tag in tags.iter() {
        let (key, value) = tag.split_once(':').unwrap_or((tag, ""));
        pairs
            .entry(key)
            .and_modify(|values| {
                values.push(',');
                values.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    pairs
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
