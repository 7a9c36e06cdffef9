//! The one "now" of a cycle, and times as upstreams write them.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de};

/// The start of the cycle: the same instant for all collectors of a cycle, and for the whole attempt. Windows and ages are
/// measured from it.
pub fn now() -> Timestamp {
    crate::boundary::now()
}

/// A time in RFC 3339, with or without fractional seconds; without a zone it is UTC, as upstreams that leave it out mean.
pub fn parse(text: &str) -> Option<Timestamp> {
    text.parse().or_else(|_| format!("{text}Z").parse()).ok()
}

/// For fields that must hold a time: `#[serde(deserialize_with = "time::required")]`.
///
/// # Errors
/// Where it is missing, null or no time.
pub fn required<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).ok_or_else(|| no_time(&text))
}

/// For fields that may be null; with `#[serde(default)]` they may be missing too.
///
/// # Errors
/// Where it holds a text that is no time.
pub fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    parse(&text).map(Some).ok_or_else(|| no_time(&text))
}

/// For fields without which a row still counts: whatever is no time is none.
///
/// # Errors
/// Never for what is JSON.
pub fn if_readable<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(serde_json::Value::deserialize(from)?.as_str().and_then(parse))
}

fn no_time<E: de::Error>(text: &str) -> E {
    E::custom(format!("{text:?} is not a time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_however_upstreams_write_it() {
        let noon: Timestamp = "2025-10-24T12:00:00Z".parse().unwrap();
        for text in
            ["2025-10-24T12:00:00Z", "2025-10-24T12:00:00", "2025-10-24T14:00:00.000+02:00", "2025-10-24 12:00:00"]
        {
            assert_eq!(parse(text), Some(noon), "{text}");
        }
        assert_eq!((parse(""), parse("soon"), parse("2025-10-24")), (None, None, None));
    }

    #[test]
    fn a_field_may_be_required_optional_or_whatever_it_is() {
        #[derive(Deserialize)]
        struct Row {
            #[serde(deserialize_with = "required")]
            created: Timestamp,
            #[serde(default, deserialize_with = "optional")]
            closed: Option<Timestamp>,
            #[serde(default, deserialize_with = "if_readable")]
            updated: Option<Timestamp>,
        }
        let row: Row = serde_json::from_str(r#"{"created": "2025-10-24T12:00:00", "updated": 7}"#).unwrap();
        assert_eq!((row.created.as_second(), row.closed, row.updated), (1_761_307_200, None, None));
        assert!(serde_json::from_str::<Row>(r#"{"created": null}"#).is_err());
        assert!(serde_json::from_str::<Row>(r#"{"created": "2025-10-24T12:00:00", "closed": "x"}"#).is_err());
    }
}
