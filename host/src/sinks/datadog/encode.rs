//! Samples to payloads of `POST /api/v2/series`, none over the intake's limits.
//!
//! Format and limits: Datadog API v2, "Submit metrics": 512,000 bytes as sent, 5,242,880 decompressed; the Agent adds 10,000
//! points a payload.

use bytes::Bytes;
use serde::Serialize;

use crate::model::{Kind, Sample, TagSet};
use crate::sinks::payload::{self, Payload};

pub(super) const SENT_BYTES_MAX: usize = 512_000;
pub(super) const RAW_BYTES_MAX: usize = 5_242_880;
const POINTS_MAX: usize = 10_000;

const BEFORE: &[u8] = b"{\"series\":[";
const AFTER: &[u8] = b"]}";

#[derive(Serialize)]
struct Series<'a> {
    metric: &'a str,
    /// 1 count, 2 rate, 3 gauge.
    #[serde(rename = "type")]
    kind: u8,
    points: [Point; 1],
    tags: &'a TagSet,
    unit: &'a str,
}

#[derive(Serialize)]
struct Point {
    /// Seconds.
    timestamp: i64,
    value: f64,
}

/// Cuts samples into payloads, in order.
pub(in crate::sinks) fn encode(samples: &[Sample]) -> Vec<Payload> {
    payload::cut(samples, &join, &pack)
}

/// As many of the samples as fit uncompressed, as one body; at least one. Also how many those are.
fn join(samples: &[Sample]) -> (Vec<u8>, usize) {
    let mut raw = BEFORE.to_vec();
    let mut taken = 0;
    for sample in samples.iter().take(POINTS_MAX) {
        let one = series(sample);
        let comma = usize::from(taken > 0);
        if taken > 0 && raw.len() + comma + one.len() + AFTER.len() > RAW_BYTES_MAX {
            break;
        }
        if comma > 0 {
            raw.push(b',');
        }
        raw.extend_from_slice(&one);
        taken += 1;
    }
    raw.extend_from_slice(AFTER);
    (raw, taken)
}

fn series(sample: &Sample) -> Vec<u8> {
    let kind = match sample.kind {
        Kind::Count => 1,
        Kind::Gauge => 3,
    };
    let series = Series {
        metric: &sample.series,
        kind,
        points: [Point { timestamp: sample.time.as_second(), value: sample.value }],
        tags: &sample.tags,
        unit: &sample.unit,
    };
    // Serializing plain values into memory cannot fail.
    serde_json::to_vec(&series).unwrap_or_default()
}

/// The body as it is sent; none where it is over a limit.
fn pack(raw: &[u8]) -> Option<Bytes> {
    let body = (raw.len() <= RAW_BYTES_MAX).then(|| payload::gzip(raw)).flatten();
    body.filter(|body| body.len() <= SENT_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;
    use crate::sinks::samples::gauge;

    fn sample(n: usize, tag_bytes: usize, seed: u64) -> Sample {
        let mut random = fastrand::Rng::with_seed(seed ^ n as u64);
        let noise: String = std::iter::repeat_with(|| random.alphanumeric()).take(tag_bytes).collect();
        gauge(&format!("a.{n}"), n as f64 / 2.0, &[&format!("noise:{noise}")])
    }

    fn unpack(body: &[u8]) -> Vec<u8> {
        let mut raw = Vec::new();
        GzDecoder::new(body).read_to_end(&mut raw).unwrap();
        raw
    }

    #[test]
    fn a_payload_is_what_datadog_documents() {
        let samples = [sample(3, 2, 0)];
        let all = encode(&samples);
        let raw: serde_json::Value = serde_json::from_slice(&unpack(&all[0].body.clone().unwrap())).unwrap();
        let expected = serde_json::json!({"series": [{
            "metric": "a.3", "type": 3, "points": [{"timestamp": 1_761_307_200, "value": 1.5}],
            "tags": [raw["series"][0]["tags"][0]], "unit": "count"}]});
        assert_eq!(raw, expected);
    }

    #[test]
    fn a_sample_that_no_payload_can_hold_stands_alone_without_a_body() {
        let samples = [sample(0, 10, 1), sample(1, 6_000_000, 1), sample(2, 10, 1)];
        let all = encode(&samples);
        let shape: Vec<_> = all.iter().map(|p| (p.samples.len(), p.body.is_some())).collect();
        assert_eq!(shape, [(1, true), (1, false), (1, true)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn no_payload_is_over_a_limit_and_no_sample_is_lost_or_doubled(
            count in 0usize..4000, tag_bytes in 1usize..900, seed: u64,
        ) {
            let samples: Vec<Sample> = (0..count).map(|n| sample(n, tag_bytes, seed)).collect();
            let mut seen = Vec::new();
            for payload in encode(&samples) {
                let body = payload.body.clone().unwrap();
                prop_assert!(body.len() <= SENT_BYTES_MAX);
                let raw = unpack(&body);
                prop_assert!(raw.len() <= RAW_BYTES_MAX);
                let parsed: serde_json::Value = serde_json::from_slice(&raw).unwrap();
                let series = parsed["series"].as_array().unwrap();
                prop_assert_eq!(payload.samples.start, seen.len());
                prop_assert_eq!(series.len(), payload.samples.len());
                seen.extend(series.iter().map(|s| s["metric"].as_str().unwrap().to_owned()));
            }
            let expected: Vec<String> = samples.iter().map(|s| s.series.to_string()).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
