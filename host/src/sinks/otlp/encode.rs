//! Samples to `ExportMetricsServiceRequest`s, none over the limit: a gauge is a Gauge, a count a Sum of deltas.

use std::borrow::Cow;

use indexmap::IndexMap;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::unit::ucum;
use crate::model::{Kind, Sample, TagSet};
use crate::sinks::payload::{self, Payload};
use crate::sinks::{Descriptions, tags};

/// A payload before it is packed: the limit of gRPC, which receivers take over for HTTP.
pub(super) const RAW_BYTES_MAX: usize = 4 << 20;

/// How this host is called among services.
const SERVICE: &str = "collector-host";

/// What tells metrics of one payload apart.
type Key<'a> = (&'a str, Kind, &'a str);

/// Cuts samples into payloads, in order.
pub(super) fn encode(samples: &[Sample], descriptions: &Descriptions) -> Vec<Payload> {
    let pack = |raw: &[u8]| (raw.len() <= RAW_BYTES_MAX).then(|| payload::gzip(raw)).flatten();
    payload::cut(samples, &|rest| join(rest, descriptions), &pack)
}

/// As many of the samples as fit, as one request; at least one. Also how many those are.
fn join(samples: &[Sample], descriptions: &Descriptions) -> (Vec<u8>, usize) {
    let mut metrics: IndexMap<Key<'_>, Vec<NumberDataPoint>> = IndexMap::new();
    // The three messages around the metrics may each get a longer length.
    let mut bytes = request(Vec::new()).encoded_len() + 3 * LENGTH_BYTES_MAX;
    let mut taken = 0;
    for sample in samples {
        let key = (&*sample.series, sample.kind, &*sample.unit);
        let point = point(sample);
        let mut more = framed(point.encoded_len());
        if !metrics.contains_key(&key) {
            more += framed(metric(key, Vec::new(), descriptions).encoded_len() + LENGTH_BYTES_MAX);
        }
        if taken > 0 && bytes + more > RAW_BYTES_MAX {
            break;
        }
        bytes += more;
        metrics.entry(key).or_default().push(point);
        taken += 1;
    }
    let metrics = metrics.into_iter().map(|(key, points)| metric(key, points, descriptions)).collect();
    (request(metrics).encode_to_vec(), taken)
}

const LENGTH_BYTES_MAX: usize = 5;

/// What a message of so many bytes takes inside another one, at most: its tag and its length come before it.
fn framed(bytes: usize) -> usize {
    1 + LENGTH_BYTES_MAX + bytes
}

fn request(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let resource = Resource { attributes: vec![attribute("service.name", SERVICE.into())], ..Resource::default() };
    let scope = InstrumentationScope { name: SERVICE.into(), ..InstrumentationScope::default() };
    let scope_metrics = ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() };
    let resource_metrics =
        ResourceMetrics { resource: Some(resource), scope_metrics: vec![scope_metrics], schema_url: String::new() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource_metrics] }
}

fn metric((name, kind, unit): Key<'_>, data_points: Vec<NumberDataPoint>, descriptions: &Descriptions) -> Metric {
    let data = match kind {
        Kind::Gauge => metric::Data::Gauge(Gauge { data_points }),
        Kind::Count => metric::Data::Sum(Sum {
            data_points,
            aggregation_temporality: AggregationTemporality::Delta.into(),
            is_monotonic: true,
        }),
    };
    Metric {
        name: name.into(),
        description: descriptions.of_series(name).into(),
        unit: ucum(unit).into_owned(),
        metadata: Vec::new(),
        data: Some(data),
    }
}

fn point(sample: &Sample) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(&sample.tags),
        // When the cycle before was is not known here, and "it may be omitted when the start time is truly unknown"
        // (metrics.proto); a start that is the end would say that the delta is of no time at all.
        start_time_unix_nano: 0,
        time_unix_nano: u64::try_from(sample.time.as_nanosecond()).unwrap_or_default(),
        exemplars: Vec::new(),
        flags: 0,
        value: Some(number_data_point::Value::AsDouble(sample.value)),
    }
}

fn attributes(tags: &TagSet) -> Vec<KeyValue> {
    tags::pairs(tags).into_iter().map(|(key, value)| attribute(key, value)).collect()
}

fn attribute(key: &str, value: Cow<'_, str>) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.into_owned())) };
    KeyValue { key: key.into(), value: Some(value), key_strindex: 0 }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;
    use crate::sinks::samples::gauge;

    fn sample(series: &str, kind: Kind, value: f64, tags: &[&str]) -> Sample {
        Sample { kind, unit: "seconds".into(), ..gauge(series, value, tags) }
    }

    fn unpack(payload: &Payload) -> Vec<u8> {
        let mut raw = Vec::new();
        GzDecoder::new(&payload.body.clone().unwrap()[..]).read_to_end(&mut raw).unwrap();
        raw
    }

    /// The metrics of a payload.
    fn metrics(payload: &Payload) -> Vec<Metric> {
        let request = ExportMetricsServiceRequest::decode(unpack(payload).as_slice()).unwrap();
        let [resource] = request.resource_metrics.as_slice() else { panic!() };
        assert_eq!(
            resource.resource.as_ref().unwrap().attributes,
            [attribute("service.name", "collector-host".into())]
        );
        let [scope] = resource.scope_metrics.as_slice() else { panic!() };
        scope.metrics.clone()
    }

    fn points(metric: &Metric) -> Vec<NumberDataPoint> {
        match metric.data.clone().unwrap() {
            metric::Data::Gauge(gauge) => gauge.data_points,
            metric::Data::Sum(sum) => sum.data_points,
            other => panic!("{other:?}"),
        }
    }

    fn described(series: &str) -> Descriptions {
        let manifest = format!(
            "name = 'a'\nversion = '1'\ncontract = '0.1.0'\n[[series]]\nname = '{series}'\nkind = 'gauge'\nunit = 'seconds'\n\
             description = 'How long.'"
        );
        Descriptions::of([&crate::model::Manifest::parse(&manifest).unwrap()])
    }

    #[test]
    fn a_gauge_is_a_gauge_and_a_count_a_monotonic_sum_of_deltas() {
        let samples = [
            sample("a.gauge", Kind::Gauge, 1.5, &["env:x", "n:1", "n:2"]),
            sample("a.count", Kind::Count, 3.0, &[]),
            sample("a.gauge", Kind::Gauge, 2.5, &[]),
        ];
        let all = encode(&samples, &described("a.gauge"));
        let [gauge, count] = &metrics(&all[0])[..] else { panic!() };
        assert_eq!((all.len(), all[0].samples.clone()), (1, 0..3));
        assert_eq!(
            (gauge.name.as_str(), gauge.description.as_str(), gauge.unit.as_str()),
            ("a.gauge", "How long.", "s")
        );
        assert_eq!((count.name.as_str(), count.description.as_str()), ("a.count", ""));
        assert!(matches!(gauge.data, Some(metric::Data::Gauge(_))));
        let Some(metric::Data::Sum(sum)) = &count.data else { panic!("{count:?}") };
        assert!(sum.is_monotonic && sum.aggregation_temporality() == AggregationTemporality::Delta);
        let points = points(gauge);
        assert_eq!(points[0].attributes, [attribute("env", "x".into()), attribute("n", "1,2".into())]);
        assert_eq!(points[0].value, Some(number_data_point::Value::AsDouble(1.5)));
        assert_eq!((points[0].start_time_unix_nano, points[0].time_unix_nano), (0, 1_761_307_200_000_000_000));
        assert_eq!(points[1].value, Some(number_data_point::Value::AsDouble(2.5)));
    }

    /// Field numbers and wire types by hand, from metrics.proto.
    #[test]
    fn the_bytes_are_those_of_the_protocol() {
        let all = encode(&[sample("a", Kind::Gauge, 1.5, &["k:v"])], &Descriptions::default());
        let attribute = |key: &str, value: &str| [field(1, key), field(2, field(1, value))].concat();
        let point = [field(7, attribute("k", "v")), fixed(3, 1_761_307_200_000_000_000), fixed(4, 1.5f64.to_bits())];
        // Prost writes fields in the order of their numbers.
        let [attributes, time, value] = point;
        let point = [time, value, attributes].concat();
        let metric = [field(1, "a"), field(3, "s"), field(5, field(1, point))].concat();
        let scope = [field(1, field(1, "collector-host")), field(2, metric)].concat();
        let resource = field(1, attribute("service.name", "collector-host"));
        let request = field(1, [field(1, resource), field(2, scope)].concat());
        assert_eq!(unpack(&all[0]), request);
    }

    fn field(number: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let bytes = bytes.as_ref();
        let length = u8::try_from(bytes.len()).unwrap();
        assert!(length < 128);
        [&[number << 3 | 2, length], bytes].concat()
    }

    fn fixed(number: u8, bits: u64) -> Vec<u8> {
        [&[number << 3 | 1][..], &bits.to_le_bytes()].concat()
    }

    #[test]
    fn a_sample_that_no_payload_can_hold_stands_alone_without_a_body() {
        let long = format!("k:{}", "x".repeat(RAW_BYTES_MAX));
        let samples = [
            sample("a", Kind::Gauge, 0.0, &[]),
            sample("b", Kind::Gauge, 0.0, &[&long]),
            sample("c", Kind::Gauge, 0.0, &[]),
        ];
        let all = encode(&samples, &Descriptions::default());
        let shape: Vec<_> = all.iter().map(|p| (p.samples.clone(), p.body.is_some())).collect();
        assert_eq!(shape, [(0..1, true), (1..2, false), (2..3, true)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn no_payload_is_over_the_limit_and_no_sample_is_lost_doubled_or_reordered(
            count in 0usize..3000, tag_bytes in 1usize..6000, series in 1usize..40, seed: u64,
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let samples: Vec<Sample> = (0..count).map(|n| {
                let noise = "x".repeat(random.usize(..tag_bytes));
                let kind = if random.bool() { Kind::Gauge } else { Kind::Count };
                sample(&format!("a.{}", random.usize(..series)), kind, n as f64, &[&format!("noise:{noise}")])
            }).collect();
            let mut next = 0;
            for payload in encode(&samples, &described("a.0")) {
                prop_assert!(unpack(&payload).len() <= RAW_BYTES_MAX);
                prop_assert_eq!(payload.samples.start, next);
                next = payload.samples.end;
                let mut seen = Vec::new();
                for metric in metrics(&payload) {
                    let points = points(&metric);
                    let places: Vec<usize> = points.iter().map(|point| match point.value {
                        Some(number_data_point::Value::AsDouble(value)) => value as usize,
                        _ => usize::MAX,
                    }).collect();
                    prop_assert!(places.is_sorted());
                    for (place, point) in places.iter().zip(&points) {
                        let sample = &samples[*place];
                        prop_assert_eq!(&*sample.series, metric.name.as_str());
                        prop_assert_eq!(sample.kind == Kind::Count, matches!(metric.data, Some(metric::Data::Sum(_))));
                        prop_assert_eq!(&attributes(&sample.tags), &point.attributes);
                    }
                    seen.extend(places);
                }
                seen.sort_unstable();
                prop_assert_eq!(seen, payload.samples.collect::<Vec<_>>());
            }
            prop_assert_eq!(next, count);
        }
    }
}
