//! A run, read from its node in a listing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use collector_sdk::{Fault, log, time};
use serde_json::Value;
use serde_json::value::RawValue;

use super::json::{parse, read_text};
use super::{Numbers, Run, State};

/// Reads a node of the listing `what`, and of its summary these keys. Whatever else of it cannot be read is empty.
///
/// # Errors
/// Where the run cannot be told from others.
pub(super) fn read(what: &str, node: &Value, summary_keys: &[&str]) -> Result<Run, Fault> {
    let id = read_text(&node["id"]).or_else(|| read_text(&node["name"]));
    let id = id.ok_or_else(|| Fault::bad_answer("a run has no id"))?;
    let time = |field: &str| node[field].as_str().and_then(time::parse);
    let created_at = time("createdAt");
    if created_at.is_none() {
        log::warn(format!("{what}: run {id} has no createdAt that can be read"));
    }
    let numbers = |field: &str| {
        read_numbers(&node[field]).unwrap_or_else(|| {
            log::warn(format!("{what}: run {id} has {field} that cannot be read"));
            Numbers::new()
        })
    };
    let (mut summary, system) = (numbers("summaryMetrics"), numbers("systemMetrics"));
    summary.retain(|key, _| summary_keys.contains(&key.as_str()));
    Ok(Run {
        display_name: read_text(&node["displayName"]),
        state: read_state(&node["state"]),
        sweep: read_text(&node["sweepName"]),
        created_at,
        heartbeat_at: time("heartbeatAt"),
        summary,
        system,
        id,
    })
}

fn read_state(field: &Value) -> State {
    match field.as_str() {
        Some("running") => State::Running,
        Some("finished") => State::Finished,
        Some("failed") => State::Failed,
        Some("crashed") => State::Crashed,
        _ => State::Other,
    }
}

/// The finite numbers of a field that holds a JSON object as text; what else is in there is passed over.
fn read_numbers(field: &Value) -> Option<Numbers> {
    let text = field.as_str().map_or_else(|| field.to_string().into(), Cow::Borrowed);
    // Where a writer encoded the object twice, the text holds a text.
    let inner = if text.trim_start().starts_with('"') { parse::<String>(&text) } else { None };
    // Each value as raw text: one that no f64 can hold, such as 1e999, must not cost the others.
    let object: Option<BTreeMap<String, Box<RawValue>>> = parse(inner.as_deref().unwrap_or(&text))?;
    let finite = |json: &RawValue| json.get().parse().ok().filter(|number: &f64| number.is_finite());
    Some(object.unwrap_or_default().into_iter().filter_map(|(key, json)| Some((key, finite(&json)?))).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn one_bad_key_of_a_summary_does_not_cost_the_others() {
        for text in [
            r#"{"good": 2.5, "bad": NaN}"#,
            r#"{"good": 2.5, "bad": [Infinity, {"x": -Infinity}], "worse": 1e999}"#,
            r#"{"good": 2.5, "bad": "2.5", "worse": true, "none": null, "\ud83d": 1}"#,
            "{\"good\": 2.5, \"bad\": \"a\u{1}b\nc \\\" NaN\"}",
            r#""{\"good\": 2.5, \"bad\": NaN}""#,
        ] {
            let numbers = read_numbers(&json!(text)).unwrap_or_default();
            assert_eq!(
                (numbers.get("good"), numbers.get("bad"), numbers.get("worse")),
                (Some(&2.5), None, None),
                "{text}"
            );
        }
        let fields = [json!(null), json!("null"), json!("{}"), json!({"good": 1}), json!("{"), json!("")];
        let read = fields.map(|field| read_numbers(&field).map(|numbers| numbers.len()));
        assert_eq!(read, [Some(0), Some(0), Some(0), Some(1), None, None]);
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_to_be_looked_at(
            text in "(\\PC|[\\[\\]{}\",:\\\\uNaIn0-9+.e-]|\\\\u[dD][0-9a-f]{3}){0,40}"
        ) {
            prop_assert!(read_numbers(&json!(text)).unwrap_or_default().values().all(|number| number.is_finite()));
        }
    }
}
