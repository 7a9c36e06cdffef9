//! Points as lines of JSON on stdout.

use std::io::{self, Write};

use serde::Serialize;

use super::{Payload, Verdict};
use crate::model::{Kind, Sample, TagSet};

/// The process' stdout.
pub struct Stdout;

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

impl Stdout {
    pub(super) fn send(&self, lines: &[u8]) -> Verdict {
        let mut out = io::stdout().lock();
        match out.write_all(lines).and_then(|()| out.flush()) {
            Ok(()) => Verdict::Delivered,
            // Whoever read it is gone, and does not come back.
            Err(e) => Verdict::Rejected { reason: format!("stdout: {}", e.kind()) },
        }
    }
}

pub(super) fn encode(samples: &[Sample]) -> Payload {
    let mut lines = Vec::new();
    for sample in samples {
        let Sample { series, kind, unit, value, tags, time } = sample;
        let line = Line { series, value: *value, time: *time, kind: *kind, unit, tags };
        // Serializing plain values into memory cannot fail.
        drop(serde_json::to_writer(&mut lines, &line));
        lines.push(b'\n');
    }
    Payload { samples: 0..samples.len(), body: Some(lines.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_line_of_json() {
        let sample = Sample {
            series: "a.b".into(),
            kind: Kind::Gauge,
            unit: "count".into(),
            value: 1.5,
            tags: TagSet::new(["env:x"]),
            time: "2025-10-24T12:00:00Z".parse().unwrap(),
        };
        let payload = encode(&[sample.clone(), sample]);
        assert_eq!(payload.samples, 0..2);
        let text = String::from_utf8(payload.body.unwrap().to_vec()).unwrap();
        let line = r#"{"series":"a.b","value":1.5,"time":"2025-10-24T12:00:00Z","kind":"gauge","unit":"count","tags":["env:x"]}"#;
        assert_eq!(text, format!("{line}\n{line}\n"));
    }
}
