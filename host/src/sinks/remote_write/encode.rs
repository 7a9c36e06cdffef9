//! Samples to requests of remote write, 2.0 and 1.0, none over the limits.
//!
//! A count since the last cycle is no counter of Prometheus, which only grows: it goes as a gauge.

use bytes::Bytes;
use foldhash::fast::RandomState;
use indexmap::IndexSet;
use prost::Message;

use super::proto::{
    Label, Metadata, MetricType, OldTimeSeries, Request, Sample as ProtoSample, TimeSeries, WriteRequest,
};
use crate::model::Sample;
use crate::sinks::Descriptions;
use crate::sinks::payload::{self, Payload};
use crate::sinks::prometheus::{Labels, NAME, metric_name};

/// A request before it is packed.
pub(super) const RAW_BYTES_MAX: usize = 4 << 20;

/// Samples of a request: what Prometheus itself sends at once (config.go, `MaxSamplesPerSend`), and receivers are made for.
pub(super) const SAMPLES_MAX: usize = 2_000;

/// Cuts samples into requests of 2.0, in order.
pub(super) fn new(samples: &[Sample], descriptions: &Descriptions) -> Vec<Payload> {
    of_version(2, payload::cut(samples, &|rest| join_new(rest, descriptions), &pack))
}

/// Cuts samples into requests of 1.0, in order.
pub(super) fn old(samples: &[Sample]) -> Vec<Payload> {
    of_version(1, payload::cut(samples, &join_old, &pack))
}

/// A request of 2.0 without series.
pub(super) fn nothing_new() -> Bytes {
    let (symbols, timeseries) = (vec![String::new()], Vec::new());
    pack(&Request { symbols, timeseries }.encode_to_vec()).unwrap_or_default()
}

/// A request of 1.0 without series.
pub(super) fn nothing_old() -> Bytes {
    pack(&WriteRequest::default().encode_to_vec()).unwrap_or_default()
}

fn of_version(version: u8, payloads: Vec<Payload>) -> Vec<Payload> {
    payloads.into_iter().map(|payload| Payload { version, ..payload }).collect()
}

/// In Snappy's block format; none where it is over the limit.
fn pack(raw: &[u8]) -> Option<Bytes> {
    let packed = (raw.len() <= RAW_BYTES_MAX).then(|| snap::raw::Encoder::new().compress_vec(raw));
    packed?.ok().map(Bytes::from)
}

/// What a message or a text of so many bytes takes inside another one, at most: its tag and its length come before it.
fn framed(bytes: usize) -> usize {
    const TAG_AND_LENGTH_BYTES_MAX: usize = 6;
    TAG_AND_LENGTH_BYTES_MAX + bytes
}

/// The texts of a request, each once.
struct Symbols {
    all: IndexSet<String, RandomState>,
    /// What they take in the request, at most.
    bytes: usize,
}

impl Symbols {
    /// With the empty text, which is always the first.
    fn new() -> Symbols {
        let mut symbols = Symbols { all: IndexSet::default(), bytes: 0 };
        symbols.place("");
        symbols
    }

    fn place(&mut self, text: &str) -> u32 {
        if let Some(place) = self.all.get_index_of(text) {
            return place as u32;
        }
        self.bytes += framed(text.len());
        self.all.insert_full(text.to_owned()).0 as u32
    }
}

fn join_new(samples: &[Sample], descriptions: &Descriptions) -> (Vec<u8>, usize) {
    let mut symbols = Symbols::new();
    let mut timeseries = Vec::new();
    let mut bytes = 0;
    for sample in samples.iter().take(SAMPLES_MAX) {
        let symbols_before = symbols.all.len();
        let series = series(sample, descriptions, &mut symbols);
        let more = framed(series.encoded_len());
        if !timeseries.is_empty() && symbols.bytes + bytes + more > RAW_BYTES_MAX {
            symbols.all.truncate(symbols_before);
            break;
        }
        bytes += more;
        timeseries.push(series);
    }
    let taken = timeseries.len();
    (Request { symbols: symbols.all.into_iter().collect(), timeseries }.encode_to_vec(), taken)
}

fn series(sample: &Sample, descriptions: &Descriptions, symbols: &mut Symbols) -> TimeSeries {
    let metadata = Metadata {
        r#type: MetricType::Gauge.into(),
        help_ref: symbols.place(descriptions.of_series(&sample.series)),
        unit_ref: symbols.place(&sample.unit),
    };
    let labels = all_labels(sample);
    let labels_refs = labels.iter().flat_map(|(name, value)| [symbols.place(name), symbols.place(value)]).collect();
    TimeSeries { labels_refs, samples: vec![value(sample)], metadata: Some(metadata) }
}

fn join_old(samples: &[Sample]) -> (Vec<u8>, usize) {
    let mut timeseries = Vec::new();
    let mut bytes = 0;
    for sample in samples.iter().take(SAMPLES_MAX) {
        let label = |(name, value): (&str, &str)| Label { name: name.into(), value: value.into() };
        let labels = all_labels(sample).iter().map(label).collect();
        let series = OldTimeSeries { labels, samples: vec![value(sample)] };
        let more = framed(series.encoded_len());
        if !timeseries.is_empty() && bytes + more > RAW_BYTES_MAX {
            break;
        }
        bytes += more;
        timeseries.push(series);
    }
    let taken = timeseries.len();
    (WriteRequest { timeseries }.encode_to_vec(), taken)
}

/// The labels of a sample and its name, sorted.
fn all_labels(sample: &Sample) -> Labels<'_> {
    let mut labels = Labels::of(&sample.tags);
    labels.add(NAME.into(), metric_name(&sample.series));
    labels
}

fn value(sample: &Sample) -> ProtoSample {
    ProtoSample { value: sample.value, timestamp: sample.time.as_millisecond() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Manifest;
    use crate::sinks::samples::gauge;

    fn sample(series: &str, value: f64, tags: &[&str]) -> Sample {
        Sample { unit: "byte".into(), ..gauge(series, value, tags) }
    }

    fn described(series: &str) -> Descriptions {
        let manifest = format!(
            "name = 'a'\nversion = '1'\ncontract = '0.1.0'\n[[series]]\nname = '{series}'\nkind = 'gauge'\nunit = 'byte'\n\
             description = 'How much.'"
        );
        Descriptions::of([&Manifest::parse(&manifest).unwrap()])
    }

    fn unpack(payload: &Payload) -> Vec<u8> {
        snap::raw::Decoder::new().decompress_vec(&payload.body.clone().unwrap()).unwrap()
    }

    /// Labels, value and milliseconds.
    type Read = (Vec<(String, String)>, f64, i64);

    /// Every sample of a payload, whichever version it is of.
    fn read(payload: &Payload) -> Vec<Read> {
        let raw = unpack(payload);
        if payload.version == 1 {
            let series = WriteRequest::decode(raw.as_slice()).unwrap().timeseries.into_iter();
            return series
                .map(|series| {
                    let labels = series.labels.into_iter().map(|label| (label.name, label.value)).collect();
                    (labels, series.samples[0].value, series.samples[0].timestamp)
                })
                .collect();
        }
        let Request { symbols, timeseries } = Request::decode(raw.as_slice()).unwrap();
        assert_eq!(symbols[0], "");
        let mut once = symbols.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), symbols.len());
        let text = |place: u32| symbols[place as usize].clone();
        let series = timeseries.into_iter().map(|series| {
            let labels = series.labels_refs.chunks(2).map(|pair| (text(pair[0]), text(pair[1]))).collect();
            (labels, series.samples[0].value, series.samples[0].timestamp)
        });
        series.collect()
    }

    #[test]
    fn a_request_of_2_0_has_symbols_labels_and_metadata() {
        let samples = [sample("a.used", 1.5, &["env:x", "Zone:b"]), sample("a.used", 2.5, &["env:x"])];
        let all = new(&samples, &described("a.used"));
        let request = Request::decode(unpack(&all[0]).as_slice()).unwrap();
        assert_eq!(request.symbols, ["", "How much.", "byte", "Zone", "b", "__name__", "a_used", "env", "x"]);
        let metadata = Some(Metadata { r#type: MetricType::Gauge.into(), help_ref: 1, unit_ref: 2 });
        let of = |labels_refs: &[u32], value| TimeSeries {
            labels_refs: labels_refs.to_vec(),
            samples: vec![ProtoSample { value, timestamp: 1_761_307_200_000 }],
            metadata,
        };
        assert_eq!(request.timeseries, [of(&[3, 4, 5, 6, 7, 8], 1.5), of(&[5, 6, 7, 8], 2.5)]);
    }

    #[test]
    fn a_request_of_1_0_has_labels_and_values() {
        let all = old(&[sample("a.used", 1.5, &["env:x", "Zone:b"])]);
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let labels = vec![label("Zone", "b"), label("__name__", "a_used"), label("env", "x")];
        assert_eq!(read(&all[0]), [(labels, 1.5, 1_761_307_200_000)]);
    }

    /// Field numbers and wire types by hand, from types.proto and remote.proto.
    #[test]
    fn the_bytes_are_those_of_the_protocol() {
        let samples = [sample("a", 1.5, &[])];
        let time = varint(1_761_307_200_000);
        let point = [&[1 << 3 | 1][..], &1.5f64.to_le_bytes(), &[2 << 3], &time].concat();
        // type = GAUGE (2); no help; the unit is the second text.
        let metadata = [1 << 3, 2, 4 << 3, 1];
        let series = [field(1, [2, 3]), field(2, &point), field(5, metadata)].concat();
        let texts = [field(4, ""), field(4, "byte"), field(4, "__name__"), field(4, "a")].concat();
        assert_eq!(unpack(&new(&samples, &Descriptions::default())[0]), [texts, field(5, series)].concat());
        let label = [field(1, "__name__"), field(2, "a")].concat();
        assert_eq!(unpack(&old(&samples)[0]), field(1, [field(1, label), field(2, point)].concat()));
    }

    fn field(number: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let bytes = bytes.as_ref();
        assert!(bytes.len() < 128);
        [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
    }

    fn varint(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 128 {
            bytes.push(number as u8 | 128);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    #[test]
    fn a_sample_that_no_request_can_hold_stands_alone_without_a_body() {
        let long = format!("k:{}", "x".repeat(RAW_BYTES_MAX));
        let samples = [sample("a", 0.0, &[]), sample("b", 0.0, &[&long]), sample("c", 0.0, &[])];
        for all in [new(&samples, &Descriptions::default()), old(&samples)] {
            let shape: Vec<_> = all.iter().map(|p| (p.samples.clone(), p.body.is_some())).collect();
            assert_eq!(shape, [(0..1, true), (1..2, false), (2..3, true)]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn no_request_is_over_a_limit_and_no_sample_is_lost_doubled_or_reordered(
            count in 0usize..5000, tag_bytes in 1usize..6000, series in 1usize..40, seed: u64,
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let samples: Vec<Sample> = (0..count).map(|n| {
                let noise = "x".repeat(random.usize(..tag_bytes));
                sample(&format!("a.{}", random.usize(..series)), n as f64, &[&format!("noise:{noise}{n}")])
            }).collect();
            for all in [new(&samples, &described("a.0")), old(&samples)] {
                let mut seen = Vec::new();
                for payload in all {
                    prop_assert!(unpack(&payload).len() <= RAW_BYTES_MAX && payload.samples.len() <= SAMPLES_MAX);
                    prop_assert_eq!(payload.samples.start, seen.len());
                    seen.extend(read(&payload));
                    prop_assert_eq!(payload.samples.end, seen.len());
                }
                prop_assert_eq!(seen.len(), samples.len());
                for ((labels, value, time), sample) in seen.iter().zip(&samples) {
                    let meant = all_labels(sample).iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>();
                    prop_assert!(labels.is_sorted() && *labels == meant);
                    prop_assert_eq!((*value, *time), (sample.value, sample.time.as_millisecond()));
                }
            }
        }
    }
}
