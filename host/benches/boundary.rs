//! What it costs to start a guest, to hand points over, and to be held to limits.

#[path = "../tests/hostile/src/json.rs"]
mod json;
mod stage;

use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use host::runtime::Metering;
use stage::Stage;
use tokio::runtime::Runtime;

const LONG: Duration = Duration::from_secs(300);

fn control() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads")
}

/// A whole attempt that does nothing, and the part of it that is instantiation.
fn start(c: &mut Criterion) {
    let control = control();
    let stage = control.block_on(async { Stage::new(4, Metering::Full, "http://127.0.0.1:9") });
    let nothing = control.block_on(stage.act("bench-nothing", 0));
    let mut group = c.benchmark_group("start");
    group.bench_function("instantiate", |b| {
        b.iter_custom(|times| {
            control.block_on(async {
                let mut sum = Duration::ZERO;
                for _ in 0..times {
                    sum += stage.play(&nothing, LONG).await.started_in;
                }
                sum
            })
        });
    });
    group.bench_function("whole attempt of nothing", |b| {
        b.iter(|| control.block_on(stage.play(&nothing, LONG)));
    });
    group.finish();
}

/// Distinct points: one call each, and a thousand a call with one tag and with three.
fn points(c: &mut Criterion) {
    // As many as an attempt may emit by default.
    const POINTS: usize = 10_000;
    let control = control();
    let stage = control.block_on(async { Stage::new(4, Metering::Full, "http://127.0.0.1:9") });
    let mut group = c.benchmark_group("points");
    group.throughput(Throughput::Elements(POINTS as u64));
    for act in ["bench-one-by-one", "bench-batches", "bench-batches-of-three-tags"] {
        let ready = control.block_on(stage.act(act, POINTS));
        group.bench_function(act, |b| {
            b.iter_batched(
                || (),
                |()| {
                    let result = control.block_on(stage.play(&ready, LONG));
                    assert_eq!((result.points.len(), result.fault), (POINTS, None));
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// 10 MB of JSON written and read back: natively, in a guest without limits, in a guest with all of them.
fn json(c: &mut Criterion) {
    const BYTES: usize = 10_000_000;
    let control = control();
    let mut group = c.benchmark_group("json 10 MB");
    group.throughput(Throughput::Bytes(BYTES as u64)).sample_size(20);
    group.bench_function("native", |b| b.iter(|| json::write_and_read(BYTES).expect("JSON")));
    for (name, metering) in [("without limits", Metering::None), ("fuel and epochs", Metering::Full)] {
        let stage = control.block_on(async { Stage::new(4, metering, "http://127.0.0.1:9") });
        let ready = control.block_on(stage.act("bench-json", BYTES));
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| assert_eq!(control.block_on(stage.play(&ready, LONG)).fault, None));
        });
    }
    group.finish();
}

criterion_group!(benches, start, points, json);
criterion_main!(benches);
