//! Points as lines of JSON.

use serde::Serialize;

use super::Payload;
use crate::model::{Kind, Sample, TagSet};

/// A line: `{"series":"github.prs.open","value":122.0,"time":"2025-10-24T12:00:00Z","kind":"gauge","unit":"count","tags":[]}`
#[derive(Serialize)]
struct Line<'a> {
    series: &'a str,
    value: f64,
    time: jiff::Timestamp,
    kind: Kind,
    unit: &'a str,
    tags: &'a TagSet,
}

/// All samples in one payload, a line each.
pub(super) fn encode(samples: &[Sample]) -> Payload {
    let mut lines = Vec::new();
    for sample in samples {
        let Sample { series, kind, unit, value, tags, time } = sample;
        let line = Line { series, value: *value, time: *time, kind: *kind, unit, tags };
        // Serializing plain values into memory cannot fail.
        drop(serde_json::to_writer(&mut lines, &line));
        lines.push(b'\n');
    }
    Payload::new(0..samples.len(), Some(lines.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::samples::gauge;

    #[test]
    fn a_sample_is_a_line_of_json() {
        let sample = gauge("a.b", 1.5, &["env:x"]);
        let payload = encode(&[sample.clone(), sample]);
        assert_eq!(payload.samples, 0..2);
        let text = String::from_utf8(payload.body.unwrap().to_vec()).unwrap();
        let line = r#"{"series":"a.b","value":1.5,"time":"2025-10-24T12:00:00Z","kind":"gauge","unit":"count","tags":["env:x"]}"#;
        assert_eq!(text, format!("{line}\n{line}\n"));
    }
}
