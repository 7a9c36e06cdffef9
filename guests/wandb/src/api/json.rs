//! JSON as W&B hands it on: what Python's `json` writes and takes for it.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

/// Reads JSON and almost-JSON; none where it is neither, or of another shape.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&clean(text))).ok()
}

/// A text that says something.
pub(super) fn read_text(field: &Value) -> Option<String> {
    field.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Makes JSON of almost-JSON: bare words such as `NaN` and `-Infinity` become null, raw control characters in strings
/// are escaped, and halves of surrogate pairs, which no Rust string can hold, are replaced.
fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let (mut rest, mut is_in_string) = (text, false);
    while let Some(first) = rest.chars().next() {
        let is_word = !is_in_string && is_bare(first);
        let length = match first {
            '\\' if is_in_string => find_escape_end(rest),
            _ if is_word => rest.find(|c| !is_bare(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        rest = after;
        match first {
            '"' => {
                is_in_string = !is_in_string;
                cleaned.push(first);
            }
            '\\' if is_half_a_pair(token) => cleaned.push(char::REPLACEMENT_CHARACTER),
            _ if is_in_string && first.is_control() => cleaned.push_str(&format!("\\u{:04x}", u32::from(first))),
            _ if is_word && serde_json::from_str::<&RawValue>(token).is_err() => cleaned.push_str("null"),
            _ => cleaned.push_str(token),
        }
    }
    cleaned
}

/// What numbers and words such as `true` consist of.
fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_')
}

/// Where the escape ends with which a text begins. Both halves of a surrogate pair are one.
fn find_escape_end(text: &str) -> usize {
    const UNIT_BYTES: usize = r"\u0000".len();
    match (read_unit(text), text.get(UNIT_BYTES..).and_then(read_unit)) {
        (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 2 * UNIT_BYTES,
        (Some(_), _) => UNIT_BYTES,
        (None, _) => text.chars().take(2).map(char::len_utf8).sum(),
    }
}

fn is_half_a_pair(escape: &str) -> bool {
    escape.len() == r"\u0000".len() && matches!(read_unit(escape), Some(0xd800..=0xdfff))
}

/// The UTF-16 code unit of an escape such as `\u00e9` with which a text begins.
fn read_unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix(r"\u")?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn a_whole_surrogate_pair_is_the_character_it_stands_for_whatever_else_is_cleaned() {
        let read = parse(r#"{"\ud83d\ude00": NaN, "\ud83d": 1, "\ude00\ud83d\n": 2, "\\ud83d": 3}"#);
        assert_eq!(read, Some(json!({"😀": null, "\u{fffd}": 1, "\u{fffd}\u{fffd}\n": 2, "\\ud83d": 3})));
    }

    /// A JSON document, and the same as a sloppy writer puts it: with NaN for each null and raw control characters.
    fn document() -> impl Strategy<Value = (Value, String)> {
        let leaf = prop_oneof![
            Just((Value::Null, "NaN".to_owned())),
            any::<i32>().prop_map(|n| (json!(n), n.to_string())),
            "[a-zN\"\\\\\u{1}\n é]{0,6}".prop_map(|text| {
                let raw = text.replace('\\', "\\\\").replace('"', "\\\"");
                (json!(text), format!("\"{raw}\""))
            }),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop::collection::vec(("[a-z/ ]{1,6}", inner), 0..4).prop_map(|fields| {
                let text: Vec<String> = fields.iter().map(|(key, (_, text))| format!("\"{key}\": {text}")).collect();
                let json = fields.into_iter().map(|(key, (json, _))| (key, json)).collect::<Map<_, _>>();
                (Value::Object(json), format!("{{{}}}", text.join(", ")))
            })
        })
    }

    proptest! {
        #[test]
        fn cleaning_makes_json_of_a_sloppy_document_and_leaves_json_alone((json, sloppy) in document()) {
            prop_assert_eq!(serde_json::from_str::<Value>(&clean(&sloppy)).ok(), Some(json.clone()));
            prop_assert_eq!(clean(&json.to_string()), json.to_string());
        }
    }
}
