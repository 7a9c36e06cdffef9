//! Prometheus' text format, without times: what holds now.
//!
//! https://prometheus.io/docs/instrumenting/exposition_formats/. Families are sorted by name and their lines by labels, so that two
//! snapshots can be compared. A count since the last cycle is no counter of Prometheus, which only grows: it is a gauge here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use super::prometheus::{Labels, metric_name};
use super::{Descriptions, Payload};
use crate::model::{Sample, TagSet};

/// A name's samples, by their labels as text.
#[derive(Default)]
struct Family<'a> {
    help: &'a str,
    lines: BTreeMap<String, Line<'a>>,
}

struct Line<'a> {
    /// Whose value it is.
    series: &'a str,
    tags: &'a TagSet,
    value: f64,
}

/// All samples as one text. `taken` is a label that the receiver sets itself: where a sample has one, it is called `exported_…`, as
/// Prometheus does with those of a target.
pub(super) fn encode(samples: &[Sample], descriptions: &Descriptions, taken: Option<&str>) -> Payload {
    let mut families: BTreeMap<Cow<'_, str>, Family<'_>> = BTreeMap::new();
    let mut left_out = 0;
    for sample in samples {
        let family = families.entry(metric_name(&sample.series)).or_default();
        if family.help.is_empty() {
            family.help = descriptions.of_series(&sample.series);
        }
        let mut labels = Labels::of(&sample.tags);
        if let Some((name, value)) = taken.and_then(|name| Some((name, labels.remove(name)?))) {
            labels.add(format!("exported_{name}").into(), value);
        }
        let (series, tags, value) = (&*sample.series, &sample.tags, sample.value);
        let line = family.lines.entry(text_of(&labels)).or_insert(Line { series, tags, value });
        if line.series == series && line.tags == tags {
            // A repeated cycle's is the same point once more.
            line.value = value;
        } else {
            // A line can stand there once only, and the first one has it.
            left_out += 1;
        }
    }
    let mut text = String::new();
    for (name, family) in &families {
        write_family(&mut text, name, family);
    }
    Payload { left_out, ..Payload::new(0..samples.len(), Some(text.into())) }
}

fn write_family(text: &mut String, name: &str, family: &Family<'_>) {
    // Writing into memory cannot fail.
    if !family.help.is_empty() {
        let _ = writeln!(text, "# HELP {name} {}", escaped(family.help, false));
    }
    let _ = writeln!(text, "# TYPE {name} gauge");
    for (labels, line) in &family.lines {
        let _ = writeln!(text, "{name}{labels} {}", line.value);
    }
}

/// `{a="b",c="d"}`, or nothing.
fn text_of(labels: &Labels<'_>) -> String {
    let all: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value, true))).collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}

fn escaped(text: &str, quotes: bool) -> String {
    let escape = |c: char| match c {
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        '"' if quotes => "\\\"".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Manifest;
    use crate::sinks::samples::gauge as sample;

    fn text(payload: &Payload) -> String {
        String::from_utf8(payload.body.clone().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn the_text_is_what_prometheus_documents() {
        let manifest = "name = 'a'\nversion = '1'\ncontract = '0.1.0'\n[[series]]\nname = 'a.b'\nkind = 'gauge'\nunit = 'count'\n\
                        description = \"What\\nthe \\\\ is.\"";
        let descriptions = Descriptions::of([&Manifest::parse(manifest).unwrap()]);
        let samples = [
            sample("c", -0.25, &[]),
            sample("a.b", 1e21, &["zone:\"q\"", "job:x"]),
            sample("a.b", 122.0, &["path:C:\\x"]),
        ];
        let payload = encode(&samples, &descriptions, Some("job"));
        let expected = "# HELP a_b What\\nthe \\\\ is.\n# TYPE a_b gauge\n\
                        a_b{exported_job=\"x\",zone=\"\\\"q\\\"\"} 1000000000000000000000\na_b{path=\"C:\\\\x\"} 122\n\
                        # TYPE c gauge\nc -0.25\n";
        assert_eq!((text(&payload).as_str(), payload.samples, payload.left_out), (expected, 0..3, 0));
        assert!(text(&encode(&samples, &descriptions, None)).contains("job=\"x\",zone"));
    }

    #[test]
    fn a_line_stands_once() {
        let again = [sample("a.b", 1.0, &["n:1"]), sample("a.b", 2.0, &["n:1"])];
        let payload = encode(&again, &Descriptions::default(), None);
        assert_eq!((text(&payload).as_str(), payload.left_out), ("# TYPE a_b gauge\na_b{n=\"1\"} 2\n", 0));
        // Two points that Prometheus cannot tell apart.
        let alike = [sample("a.b", 1.0, &["n:1"]), sample("a_b", 2.0, &["n:1"])];
        let payload = encode(&alike, &Descriptions::default(), None);
        assert_eq!((text(&payload).as_str(), payload.left_out), ("# TYPE a_b gauge\na_b{n=\"1\"} 1\n", 1));
    }
}
