//! The real binary: called in a folder of its own, watched, its report read.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde::Deserialize;

use super::time;
use super::world::World;

/// A folder to run one collector in.
pub struct Place {
    dir: PathBuf,
    components: PathBuf,
    collector: &'static str,
    environment: &'static [(&'static str, &'static str)],
}

/// What the report says of the run, and what the process held.
#[derive(Debug, Deserialize)]
pub struct Run {
    pub outcome: String,
    pub message: Option<String>,
    pub points: usize,
    pub gaps: Vec<Gap>,
    pub duration_ms: u64,
    pub fuel_used: u64,
    pub memory_peak_bytes: u64,
    pub http: Http,
    pub values: Vec<Point>,
    #[serde(skip)]
    pub process_bytes: u64,
}

#[derive(Debug, Deserialize)]
pub struct Gap {
    pub series: String,
    pub reason: String,
}

#[derive(Debug, Deserialize)]
pub struct Http {
    pub requests: u64,
    pub bytes: u64,
}

#[derive(Debug, Deserialize)]
pub struct Point {
    pub series: String,
    pub value: f64,
}

#[derive(Deserialize)]
struct Report {
    runs: Vec<Run>,
    host_faults: Vec<String>,
}

impl Place {
    pub fn new(name: &str, components: &Path, world: &World, address: &str) -> Place {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("worlds").join(name);
        drop(fs::remove_dir_all(&dir));
        fs::create_dir_all(&dir).expect("a folder");
        let plan = (world.plan)(address);
        fs::write(dir.join("host.toml"), &plan).expect("a configuration");
        fs::write(dir.join("before.toml"), plan + "[limits]\nfuel = 100_000_000_000\n").expect("a configuration");
        let World { collector, environment, .. } = world;
        Place { dir, components: components.to_owned(), collector, environment }
    }

    /// Compiles the component, by a run that does not count. Where the state is to remember it, it is no dry run, and
    /// has more than enough fuel: what is measured is what comes after it.
    pub fn warm_up(&self, is_remembered: bool) -> Result<(), String> {
        if !is_remembered {
            return self.run().map(drop);
        }
        let (status, _) = self.call(&["--config", "before.toml"])?;
        if status.success() { Ok(()) } else { Err(format!("the cycle before was not well: {}", self.said())) }
    }

    /// A dry run.
    pub fn run(&self) -> Result<Run, String> {
        let (_, process_bytes) = self.call(&["--dry-run", "--format", "json"])?;
        let report = fs::read(self.dir.join("stdout")).map_err(|e| e.to_string())?;
        let report: Report =
            serde_json::from_slice(&report).map_err(|e| format!("no report ({e}): {}", self.said()))?;
        if let [fault, ..] = report.host_faults.as_slice() {
            return Err(fault.clone());
        }
        let [run] = <[Run; 1]>::try_from(report.runs).map_err(|runs| format!("{} runs", runs.len()))?;
        Ok(Run { process_bytes, ..run })
    }

    /// Calls it, and gives how it ended and the most memory that it held.
    fn call(&self, options: &[&str]) -> Result<(ExitStatus, u64), String> {
        let file = |name: &str| File::create(self.dir.join(name)).map_err(|e| e.to_string());
        let mut command = Command::new(env!("CARGO_BIN_EXE_host"));
        command.args(["run-all", "--only", self.collector, "--now", &time::seconds_ago(0)]).args(options);
        command.arg("--components").arg(&self.components).current_dir(&self.dir);
        command.env_clear().env("HOST_STATE", self.dir.join("state")).env("HOME", &self.dir);
        command.envs(self.environment.iter().copied()).stdout(file("stdout")?).stderr(file("stderr")?);
        let mut child = command.spawn().map_err(|e| e.to_string())?;
        let mut peak = 0;
        loop {
            if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
                return Ok((status, peak));
            }
            peak = peak.max(peak_bytes(child.id()));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it said of the collector, else its last line.
    fn said(&self) -> String {
        let said = fs::read_to_string(self.dir.join("stderr")).unwrap_or_default();
        let of_collector = said.lines().find(|line| line.starts_with(&format!("{}: ", self.collector)));
        of_collector.or(said.lines().last()).unwrap_or_default().to_owned()
    }
}

/// The most that a process has held; 0 where it is gone.
fn peak_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) << 10
}
