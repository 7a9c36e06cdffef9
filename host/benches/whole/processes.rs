//! The binary: how soon it is done, how much it holds, and a thousand collectors at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use host::runtime::Metering;
use jiff::SignedDuration;
use tokio::task::JoinSet;

use super::figures::{Sample, Table, resident_mib};
use super::server::Server;
use super::stage::{Stage, target_dir};

/// A folder to run the binary in.
pub struct Place {
    dir: PathBuf,
}

impl Place {
    pub fn new(name: &str, config: &str) -> Place {
        let dir = target_dir().join("tmp/bench").join(name);
        drop(fs::remove_dir_all(&dir));
        fs::create_dir_all(dir.join("components")).expect("a folder");
        fs::copy(target_dir().join("wasm32-wasip2/guest/hostile.wasm"), dir.join("components/hostile.wasm"))
            .expect("the guest");
        fs::write(dir.join("host.toml"), config).expect("a configuration");
        Place { dir }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_host"));
        command.args(args).current_dir(&self.dir).env_clear().env("HOST_STATE", self.dir.join("state"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// A cycle that delivers, and reports as JSON.
    pub fn delivering(&self) -> Command {
        let mut command = self.command(&["run-all", "--format", "json"]);
        // A slot of its own, whole seconds from every other one: that of a cycle before would write that cycle's values again.
        static CYCLES: AtomicI64 = AtomicI64::new(0);
        let slot = jiff::Timestamp::now() + SignedDuration::from_secs(10 * CYCLES.fetch_add(1, Ordering::Relaxed));
        command.env("DD_API_KEY", "key").env("HOST_SLOT", slot.to_string());
        command
    }

    pub fn configure(&self, config: &str) {
        fs::write(self.dir.join("host.toml"), config).expect("a configuration");
    }

    pub fn forget_spool(&self) {
        drop(fs::remove_dir_all(self.dir.join("state/spool")));
    }

    pub fn forget(&self) {
        drop(fs::remove_dir_all(self.dir.join("state")));
    }
}

/// The wall time of a call in milliseconds.
fn wall_ms(command: &mut Command) -> f64 {
    let started = Instant::now();
    let status = command.status().expect("the binary");
    let wall = started.elapsed();
    assert!(status.success(), "{command:?}: {status}");
    wall.as_secs_f64() * 1e3
}

/// The most that a process holds while it runs, in MiB.
fn peak_mib(command: &mut Command) -> f64 {
    let mut child = command.spawn().expect("the binary");
    let mut peak: f64 = 0.0;
    while child.try_wait().expect("a child").is_none() {
        peak = peak.max(resident_mib(child.id()));
        std::thread::sleep(Duration::from_millis(1));
    }
    peak
}

pub fn start(table: &mut Table) {
    let config = "[upstream.evil]\nbase_url = 'http://127.0.0.1:9'";
    let place = Place::new("start", config);
    let run = ["run", "hostile", "--set", "act=well"];
    let cold: Vec<f64> = (0..10)
        .map(|_| {
            place.forget();
            wall_ms(&mut place.command(&run))
        })
        .collect();
    table.median("`host run`, cold (compiles the component)", "ms", &Sample::new(cold), None);
    let warm: Vec<f64> = (0..50).map(|_| wall_ms(&mut place.command(&run))).collect();
    table.median("`host run`, warm", "ms", &Sample::new(warm), Some(15.0));
    let version: Vec<f64> = (0..50).map(|_| wall_ms(&mut place.command(&["--version"]))).collect();
    table.median("`host --version`, for comparison", "ms", &Sample::new(version), None);
}

pub fn memory(table: &mut Table) {
    let components = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").join("components");
    let place = Place::new("memory", "");
    let folder = components.display().to_string();
    let demo = ["demo", "--components", folder.as_str()];
    let cold = peak_mib(&mut place.command(&demo));
    table.figure(
        "resident, all collectors of the plan, compiling them (`host demo`, its servers included)",
        "MiB",
        cold,
        None,
    );
    let warm: Vec<f64> = (0..5).map(|_| peak_mib(&mut place.command(&demo))).collect();
    table.median("resident, all collectors of the plan", "MiB", &Sample::new(warm), Some(64.0));

    let server = Server::start();
    let control = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let before = resident_mib(std::process::id());
    let held = control.block_on(async {
        let stage = Arc::new(Stage::new(1000, Metering::Full, &format!("http://{}", server.address)));
        let ready = stage.act("fetch", 1).await;
        let mut all = JoinSet::new();
        for _ in 0..1000 {
            let (stage, ready) = (stage.clone(), ready.clone());
            all.spawn(async move { stage.play(&ready, Duration::from_secs(5)).await });
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        let held = resident_mib(std::process::id());
        all.join_all().await;
        held
    });
    table.figure(
        "resident, 1,000 live guests, each with a request in flight (both ends of it)",
        "MiB",
        held - before,
        None,
    );
}

pub fn a_thousand_collectors(table: &mut Table) {
    let server = Server::start();
    let mut config = format!(
        "[upstream.evil]\nbase_url = 'http://{}'\nallow_addresses = ['loopback']\n[collector.hostile]\nenabled = false\n",
        server.address
    );
    for n in 0..1000 {
        config.push_str(&format!(
            "[collector.wait-{n}]\ncomponent = 'hostile.wasm'\nsettings = {{ act = 'fetch', path = '/wait' }}\n"
        ));
    }
    let place = Place::new("thousand", &config);
    let run = ["run-all", "--dry-run", "--jobs", "1000", "--format", "json"];
    // Once for the cache.
    let _first = wall_ms(&mut place.command(&run));
    let wall: Vec<f64> = (0..10).map(|_| wall_ms(&mut place.command(&run))).collect();
    table.median("1,000 collectors that each wait 100 ms, whole process", "ms", &Sample::new(wall), Some(300.0));
}
