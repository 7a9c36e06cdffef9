//! Delivery: from `emit` to acknowledged, the spool alone, encoding alone, a backlog of a million points; and Telegraf beside it.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::read::{GzDecoder, ZlibDecoder};
use host::config::{DatadogPlan, IntakePlan, RemoteWritePlan, SinkPlan};
use host::delivery::Seal;
use host::egress::{Network, system_lookup};
use host::limits::ByteSize;
use host::model::{Kind, Manifest, Name, Point, PointRef, Redactor, Sample as Measured, TagSet};
use host::policy::{Allowed, Redirects, Timeouts, Upstream};
use host::sinks::{Descriptions, Sink};
use host::spool::{Spool, SpoolOptions};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::figures::{Sample, Table, resident_mib};
use super::processes::Place;
use super::stage::target_dir;

const POINTS: usize = 500_000;
const BACKLOG: usize = 1_000_000;
const ROUNDS: usize = 5;

/// Where Telegraf is, or how to have it.
const TELEGRAF: &str = "TELEGRAF names its binary; or GOBIN=~/.cache/collector-host/bench go install -tags 'custom inputs.file outputs.datadog parsers.influx' \
     github.com/influxdata/telegraf/cmd/telegraf@v1.37.2";

pub fn delivery(table: &mut Table) {
    table.median(
        "spool: points written a second, calls of 1,000, on the disk at the end",
        "M",
        &rounds(ROUNDS, spool_write),
        None,
    );
    for plan in [
        SinkPlan::Datadog(Box::new(DatadogPlan { intake: intake_plan(), app_key: None })),
        SinkPlan::Otlp(Box::new(intake_plan())),
        SinkPlan::RemoteWrite(Box::new(RemoteWritePlan { intake: intake_plan(), path: "/".into(), version: 2 })),
    ] {
        let what = format!("{}: points encoded and compressed a second, one thread", plan.name());
        table.median(&what, "M", &rounds(ROUNDS, || encode(&plan)), None);
    }
    let intake = Intake::start();
    let datadog = format!("[sink.datadog]\nbase_url = '{}'\nallow_addresses = ['loopback']\n", intake.url);
    let config = |sinks: &str, points: usize, act: &str| {
        format!(
            "[cycle]\ndeadline = '60s'\n{sinks}\
             [upstream.evil]\nbase_url = 'http://127.0.0.1:9'\n[spool]\nbytes = '1GiB'\n\
             [limits]\npoints = {BACKLOG}\nseries = {BACKLOG}\nmemory = '1GiB'\nfuel = 1_000_000_000_000\n\
             [collector.hostile]\nsettings = {{ act = '{act}', number = {points} }}\n"
        )
    };
    side_by_side(table, &intake, &config(&datadog, POINTS, "points"));
    let others = format!(
        "[sink.otlp]\nendpoint = '{0}'\nallow_addresses = ['loopback']\n\
         [sink.remote_write]\nurl = '{0}/write'\nversion = 1\nallow_addresses = ['loopback']\n",
        intake.url
    );
    for (sinks, count) in [(datadog.clone(), 1), (datadog + &others, 3)] {
        backlog(table, &intake, &config(&sinks, BACKLOG, "points"), &config(&sinks, 0, "empty"), count);
    }
}

fn rounds(count: usize, mut measure: impl FnMut() -> f64) -> Sample {
    Sample::new((0..count).map(|_| measure()).collect())
}

fn points(count: usize) -> Vec<Point> {
    let point = |n: usize| Point {
        series: "hostile.value".into(),
        value: n as f64,
        tags: TagSet::new([format!("n:{n}").as_str(), "region:us-west-2"]),
    };
    (0..count).map(point).collect()
}

/// Millions of points a second into the spool, until they are on the disk.
fn spool_write() -> f64 {
    let folder = target_dir().join("tmp/bench/spool");
    drop(fs::remove_dir_all(&folder));
    let slot = Timestamp::UNIX_EPOCH;
    let spool = Spool::open(SpoolOptions {
        folder,
        sinks: vec!["datadog".into()],
        bytes_max: ByteSize::mib(1024),
        age_max: SignedDuration::from_hours(24),
        slot,
        cycle: "bench".into(),
        now: slot,
    });
    let manifest = "name='hostile'\nversion='1'\ncontract='0.1.0'\n[[series]]\nname='hostile.value'\nkind='gauge'\nunit='count'\ndescription=''";
    let manifest = Manifest::parse(manifest).expect("a manifest");
    let seal = Seal::new(&spool, slot, &["env:bench".into()]);
    let recorder = seal.recorder(&manifest.name, &manifest, &[]);
    let points = points(BACKLOG);
    let started = Instant::now();
    for call in points.chunks(1000) {
        recorder.write(call.iter().map(PointRef::from));
    }
    // A reader gives nothing that is not on the disk.
    drop(spool.reader("datadog").next(1));
    BACKLOG as f64 / started.elapsed().as_secs_f64() / 1e6
}

/// An intake that nobody asks.
fn intake_plan() -> IntakePlan {
    let upstream = Upstream {
        name: Name::lossy("sink"),
        base_url: "http://127.0.0.1:9".parse().expect("a URL"),
        credential: None,
        allowed: Allowed::default(),
        redirects: Redirects::default(),
        timeouts: Timeouts::default(),
        is_conditional: false,
    };
    IntakePlan { upstream, query: Vec::new(), headers: Vec::new(), withheld: None }
}

/// Millions of points a second into payloads.
fn encode(plan: &SinkPlan) -> f64 {
    let network = Network::new(system_lookup(Default::default()), None).expect("a network");
    let sink = Sink::new(plan, &Descriptions::default(), &network, &Redactor::default());
    let sample = |point: Point| Measured {
        series: point.series,
        kind: Kind::Gauge,
        unit: "count".into(),
        value: point.value,
        tags: point.tags,
        time: Timestamp::UNIX_EPOCH,
    };
    let samples: Vec<Measured> = points(POINTS).into_iter().map(sample).collect();
    let started = Instant::now();
    let payloads: usize = samples.chunks(10_000).map(|chunk| sink.encode(chunk).len()).sum();
    assert!(payloads >= POINTS / 10_000);
    POINTS as f64 / started.elapsed().as_secs_f64() / 1e6
}

/// The host and Telegraf in turn, the same intake.
fn side_by_side(table: &mut Table, intake: &Intake, config: &str) {
    let place = Place::new("delivery", config);
    let telegraf = Telegraf::find(intake);
    let (mut ours, mut whole, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        place.forget_spool();
        let (process_s, report) = reported(&place);
        let taken = intake.take();
        assert!(taken > POINTS, "{taken} points arrived: {report}");
        let other = telegraf.as_ref().map(|telegraf| telegraf.run(intake));
        // The first round compiles the component.
        if round > 0 {
            ours.push(POINTS as f64 / report["duration_ms"].as_f64().expect("a time"));
            whole.push(POINTS as f64 / process_s / 1e3);
            theirs.extend(other);
        }
    }
    let what = format!("{POINTS} points from emit to acknowledged, durable");
    table.median(&format!("{what}: points a second"), "k", &Sample::new(ours), None);
    table.median(
        "  the whole process, its start and the values' record in the state included",
        "k",
        &Sample::new(whole),
        None,
    );
    match theirs.is_empty() {
        true => table.note("  Telegraf", format!("skipped: it is not here; {TELEGRAF}")),
        false => table.median(
            "  Telegraf 1.37 (file input, Datadog output, zlib; in memory), whole process",
            "k",
            &Sample::new(theirs),
            None,
        ),
    }
}

/// A million points that an earlier cycle left, for so many sinks.
fn backlog(table: &mut Table, intake: &Intake, filling: &str, draining: &str, sinks: usize) {
    let place = Place::new("backlog", filling);
    intake.refuse(true);
    drop(reported(&place));
    intake.refuse(false);
    place.configure(draining);
    let mut child = place.delivering().stdout(Stdio::piped()).spawn().expect("the binary");
    let started = Instant::now();
    let mut peak: f64 = 0.0;
    while child.try_wait().expect("a child").is_none() {
        peak = peak.max(resident_mib(child.id()));
        std::thread::sleep(Duration::from_millis(1));
    }
    let seconds = started.elapsed().as_secs_f64();
    let output = child.wait_with_output().expect("its report");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    let taken: Vec<u64> = (0..sinks).filter_map(|n| report["sinks"][n]["delivered"].as_u64()).collect();
    assert!(taken.len() == sinks && taken.iter().all(|taken| *taken >= BACKLOG as u64), "{report:#}");
    intake.forget();
    let into = if sinks == 1 { String::new() } else { format!(" into {sinks} sinks at once, in each") };
    let rate = taken[0] as f64 / seconds / 1e3;
    table.figure(&format!("a backlog of 1,000,000 points drained{into}: points a second"), "k", rate, None);
    table.figure("  resident while it is drained", "MiB", peak, None);
}

/// A cycle that delivers: seconds of the process, and its report.
fn reported(place: &Place) -> (f64, serde_json::Value) {
    let started = Instant::now();
    let output = place.delivering().stdout(Stdio::piped()).output().expect("the binary");
    let seconds = started.elapsed().as_secs_f64();
    let report = serde_json::from_slice(&output.stdout);
    (seconds, report.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stdout))))
}

/// An intake that takes everything and looks at it later.
struct Intake {
    url: String,
    taken: Arc<Mutex<Vec<Bytes>>>,
    refuses: Arc<AtomicBool>,
    _runtime: Runtime,
}

impl Intake {
    fn start() -> Intake {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (taken, refuses) = (Arc::<Mutex<Vec<Bytes>>>::default(), Arc::<AtomicBool>::default());
        let (keep, refuse) = (taken.clone(), refuses.clone());
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (keep, refuse) = (keep.clone(), refuse.clone());
                let answer = service_fn(move |request: hyper::Request<Incoming>| {
                    let (keep, refuse) = (keep.clone(), refuse.clone());
                    async move {
                        let body = request.into_body().collect().await?.to_bytes();
                        let status = if refuse.load(Ordering::Relaxed) { 401 } else { 202 };
                        if status == 202 {
                            keep.lock().expect("no panic").push(body);
                        }
                        let answer = hyper::Response::builder().status(status).body(Full::new(Bytes::from("{}")));
                        Ok::<_, hyper::Error>(answer.expect("an answer"))
                    }
                });
                tokio::spawn(async move {
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await)
                });
            }
        });
        Intake { url, taken, refuses, _runtime: runtime }
    }

    fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }

    fn forget(&self) {
        self.taken.lock().expect("no panic").clear();
    }

    /// How many of Datadog's points have come since the last time.
    fn take(&self) -> usize {
        let bodies = std::mem::take(&mut *self.taken.lock().expect("no panic"));
        bodies.iter().map(|body| memchr::memmem::find_iter(&unpacked(body), b"\"metric\"").count()).sum()
    }
}

fn unpacked(body: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    let read = match body.starts_with(&[0x1f, 0x8b]) {
        true => GzDecoder::new(body).read_to_end(&mut raw),
        false => ZlibDecoder::new(body).read_to_end(&mut raw),
    };
    read.expect("a whole body");
    raw
}

/// Telegraf with its input and its configuration.
struct Telegraf {
    binary: PathBuf,
    config: PathBuf,
}

impl Telegraf {
    fn find(intake: &Intake) -> Option<Telegraf> {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        let installed = cache.map(|cache| cache.join("collector-host/bench/telegraf"));
        let named = std::env::var_os("TELEGRAF").map(PathBuf::from);
        let binary = named.or(installed).filter(|path| path.is_file())?;
        let folder = target_dir().join("tmp/bench/telegraf");
        fs::create_dir_all(&folder).expect("a folder");
        let input = folder.join("points.influx");
        write_lines(&input).expect("its input");
        let config = folder.join("telegraf.conf");
        let text = format!(
            "[agent]\ninterval = '1s'\nmetric_batch_size = 10000\nmetric_buffer_limit = 600000\nomit_hostname = true\nquiet = true\n\
             [[inputs.file]]\nfiles = [{:?}]\ndata_format = 'influx'\n\
             [[outputs.datadog]]\napikey = 'key'\nurl = '{}/api/v1/series'\ncompression = 'zlib'\n",
            input.display().to_string(),
            intake.url
        );
        fs::write(&config, text).expect("its configuration");
        Some(Telegraf { binary, config })
    }

    /// Thousands of points a second.
    fn run(&self, intake: &Intake) -> f64 {
        let started = Instant::now();
        let status = Command::new(&self.binary)
            .args(["--once", "--config", &self.config.display().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("Telegraf");
        let seconds = started.elapsed().as_secs_f64();
        let taken = intake.take();
        assert!(status.success() && taken == POINTS, "Telegraf: {status}, {taken} points arrived");
        POINTS as f64 / seconds / 1e3
    }
}

fn write_lines(path: &Path) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(fs::File::create(path)?);
    let now = Timestamp::now().as_nanosecond();
    for n in 0..POINTS {
        writeln!(file, "hostile,n={n},env=bench,source=hostile-collector value={n} {now}")?;
    }
    file.flush()
}
