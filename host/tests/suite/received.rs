//! What arrived at an intake, read by messages that are written here once more, so that they err by themselves.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use prost::Message;
use serde_json::Value;

use crate::intake::Request;

/// A point: name, labels, milliseconds since 1970 (0 where the format has no time), value.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub struct Point {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub time_ms: i64,
    pub value: f64,
}

/// Sorted, so that two sets can be compared.
pub fn sorted(mut points: Vec<Point>) -> Vec<Point> {
    points.sort_by(|a, b| a.partial_cmp(b).unwrap());
    points
}

/// Lines of JSON, as the sinks stdout and jsonl write them.
pub fn lines(text: &str) -> Vec<Point> {
    let point = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let tags = line["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap());
        let pair = |tag: &str| tag.split_once(':').map(|(key, value)| (key.to_owned(), value.to_owned())).unwrap();
        Point {
            name: line["series"].as_str().unwrap().into(),
            labels: tags.map(pair).collect(),
            time_ms: line["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond(),
            value: line["value"].as_f64().unwrap(),
        }
    };
    sorted(text.lines().map(point).collect())
}

/// The same points as Prometheus has them.
pub fn as_prometheus(points: &[Point]) -> Vec<Point> {
    sorted(points.iter().map(|point| Point { name: point.name.replace('.', "_"), ..point.clone() }).collect())
}

/// The same points without a time.
pub fn without_time(points: &[Point]) -> Vec<Point> {
    sorted(points.iter().map(|point| Point { time_ms: 0, ..point.clone() }).collect())
}

/// Prometheus' text format: every family has its type before its samples, and stands there once.
pub fn exposition(text: &str) -> Vec<Point> {
    assert!(text.is_empty() || text.ends_with('\n'));
    let (mut points, mut families, mut family) = (Vec::new(), Vec::new(), "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (keyword, name, words) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            assert!(matches!((keyword, words), ("HELP", _) | ("TYPE", "gauge")), "{line}");
            if name != family {
                assert!(!families.contains(&name), "{name} stands there twice");
                families.push(name);
            }
            family = name;
            continue;
        }
        let end = line.find(['{', ' ']).unwrap();
        assert_eq!(&line[..end], family, "{line}");
        let (labels, value) = labels_and_value(&line[end..]);
        points.push(Point { name: family.into(), labels, time_ms: 0, value });
    }
    sorted(points)
}

/// `{a="b",c="d"} 1` or ` 1`.
fn labels_and_value(text: &str) -> (BTreeMap<String, String>, f64) {
    let mut labels = BTreeMap::new();
    let mut rest = text.strip_prefix('{').unwrap_or(text);
    while let Some((name, quoted)) = rest.split_once("=\"") {
        let (mut value, mut chars) = (String::new(), quoted.char_indices());
        let end = loop {
            match chars.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next().unwrap().1 {
                    'n' => '\n',
                    c => c,
                }),
                (_, c) => value.push(c),
            }
        };
        labels.insert(name.trim_start_matches(',').to_owned(), value);
        rest = &quoted[end + 1..];
    }
    // Nothing comes after the value: no time.
    (labels, rest.trim_start_matches('}').strip_prefix(' ').unwrap().parse().unwrap())
}

/// A request of Datadog's.
pub fn datadog(request: &Request) -> Vec<Point> {
    let payload: Value = serde_json::from_slice(&request.unpacked).unwrap();
    let point = |series: &Value| {
        let tags = series["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().split_once(':').unwrap());
        Point {
            name: series["metric"].as_str().unwrap().into(),
            labels: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            time_ms: series["points"][0]["timestamp"].as_i64().unwrap() * 1000,
            value: series["points"][0]["value"].as_f64().unwrap(),
        }
    };
    sorted(payload["series"].as_array().unwrap().iter().map(point).collect())
}

/// A push to a Pushgateway.
pub fn pushgateway(request: &Request) -> Vec<Point> {
    exposition(std::str::from_utf8(&request.unpacked).unwrap())
}

/// A request of OTLP.
pub fn otlp(request: &Request) -> Vec<Point> {
    let mut points = Vec::new();
    let request = ExportMetricsServiceRequest::decode(request.unpacked.as_slice()).unwrap();
    for resource in request.resource_metrics {
        for metric in resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
            let Some(metric::Data::Gauge(gauge)) = metric.data else { panic!("{metric:?}") };
            for point in gauge.data_points {
                let label = |attribute: opentelemetry_proto::tonic::common::v1::KeyValue| match attribute
                    .value
                    .unwrap()
                    .value
                {
                    Some(any_value::Value::StringValue(value)) => (attribute.key, value),
                    other => panic!("{other:?}"),
                };
                let Some(number_data_point::Value::AsDouble(value)) = point.value else { panic!("{point:?}") };
                points.push(Point {
                    name: metric.name.clone(),
                    labels: point.attributes.into_iter().map(label).collect(),
                    time_ms: i64::try_from(point.time_unix_nano).unwrap() / 1_000_000,
                    value,
                });
            }
        }
    }
    sorted(points)
}

/// A request of remote write, of the version that its head names.
pub fn remote_write(request: &Request) -> Vec<Point> {
    let is_new = request.head.contains("proto=io.prometheus.write.v2.request");
    let version = if is_new { "2.0.0" } else { "0.1.0" };
    assert!(request.head.contains(&format!("x-prometheus-remote-write-version: {version}")), "{}", request.head);
    let pairs: Vec<(Vec<(String, String)>, Sample)> = if is_new {
        let New { symbols, series } = New::decode(request.unpacked.as_slice()).unwrap();
        let text = |place: u32| symbols[place as usize].clone();
        let labels = |refs: &[u32]| refs.chunks(2).map(|pair| (text(pair[0]), text(pair[1]))).collect();
        series
            .iter()
            .flat_map(|s| s.samples.iter().map(|sample| (labels(&s.labels), *sample)).collect::<Vec<_>>())
            .collect()
    } else {
        let Old { series } = Old::decode(request.unpacked.as_slice()).unwrap();
        let labels = |all: &[Label]| all.iter().map(|label| (label.name.clone(), label.value.clone())).collect();
        series
            .iter()
            .flat_map(|s| s.samples.iter().map(|sample| (labels(&s.labels), *sample)).collect::<Vec<_>>())
            .collect()
    };
    let point = |(labels, sample): (Vec<(String, String)>, Sample)| {
        assert!(labels.is_sorted(), "{labels:?}");
        let mut labels: BTreeMap<String, String> = labels.into_iter().collect();
        Point { name: labels.remove("__name__").unwrap(), labels, time_ms: sample.time, value: sample.value }
    };
    sorted(pairs.into_iter().map(point).collect())
}

#[derive(Clone, PartialEq, Message)]
struct New {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    series: Vec<NewSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct NewSeries {
    #[prost(uint32, repeated, tag = "1")]
    labels: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Old {
    #[prost(message, repeated, tag = "1")]
    series: Vec<OldSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct OldSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    time: i64,
}
