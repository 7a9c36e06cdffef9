//! `host demo`: real collectors and real HTTP on loopback, without a network or a credential.

mod ec2;
mod intake;
mod server;
mod upstreams;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;

use super::exit::Usage;
use super::options::{Format, Global};
use super::{output, run_all};
use crate::app::CycleOptions;
use crate::config::{Overrides, Plan};
use crate::model::{CycleSummary, Reason, RunSummary};
use crate::report::{Report, cycle_text};

use intake::Intake;
use upstreams::Upstreams;

/// Show a whole cycle, with a collector that hangs on purpose; needs no network and no credentials
///
/// Upstreams are served on loopback from the collectors' own fixtures, and a Datadog intake checks and counts what arrives.
#[derive(Debug, Args)]
pub(super) struct Demo {}

/// The collector that hangs, in the components folder.
const HANGS: &str = "demo/hangs.wasm";

/// How long the one that hangs is given.
const HANGS_DEADLINE: &str = "2s";

/// What the demo's upstreams and intake take for a credential.
const TOKEN: &str = "demo-token-of-no-value";

impl Demo {
    pub async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let components = components(global)?;
        let upstreams = Arc::new(Upstreams::read()?);
        let intake = Arc::new(Intake::new(upstreams.now(), TOKEN));
        let (asked, taken) = (upstreams.clone(), intake.clone());
        let upstream_address = server::start(move |request| asked.answer(request)).await?;
        let intake_address = server::start(move |request| taken.answer(request)).await?;

        let dir = Scratch::new()?;
        let config = dir.0.join("host.toml");
        fs::write(&config, configuration(&upstreams, &upstream_address, &intake_address))?;
        let overrides = Overrides {
            config: Some(config),
            components: Some(components),
            // Its own, so that the demo's cycles are not taken for real ones.
            state: Some(global.state.as_ref().map_or_else(|| dir.0.join("state"), |state| state.join("demo"))),
            only: upstreams.collectors().chain(["hangs"]).filter_map(|name| name.parse().ok()).collect(),
            ..Overrides::default()
        };
        let environment: BTreeMap<&str, &str> = BTreeMap::from([("TOKEN", TOKEN)]);
        let plan = Plan::build(&overrides, &|name| environment.get(name).map(|value| (*value).to_owned()))?;
        let options = CycleOptions {
            now: Some(upstreams.now()),
            slot: None,
            delivers: true,
            records: true,
            stand_ins: Some(upstreams.stand_ins()?),
        };
        let summary = run_all::cycle(plan, options).await?;
        match global.format {
            Format::Json => output::print_json(&Report::of(&summary))?,
            Format::Text => output::print(&cycle_text(&summary))?,
        }
        let shown = shown(&summary, &intake, &upstreams);
        eprintln!("\n{}", shown.as_ref().unwrap_or_else(|wrong| wrong));
        Ok(if shown.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The components folder; every collector of the demo is in it.
fn components(global: &Global) -> Result<PathBuf, Usage> {
    let dir = global.components.clone().unwrap_or_else(|| "components".into());
    if dir.join(HANGS).exists() {
        return Ok(dir);
    }
    Err(Usage {
        what: format!("{} is not there", dir.join(HANGS).display()),
        hint: "`./just demo` builds everything that the demo needs".into(),
    })
}

fn configuration(upstreams: &Upstreams, upstream_address: &str, intake_address: &str) -> String {
    let mut text = format!(
        "[cycle]\ndeadline = \"60s\"\n\
         [collector.hangs]\ncomponent = \"{HANGS}\"\nlimits = {{ deadline = \"{HANGS_DEADLINE}\", fuel = 1_000_000_000_000 }}\n\
         [kubernetes]\nserver = \"http://{upstream_address}/kubernetes\"\n\
         [sink.datadog]\nbase_url = \"http://{intake_address}\"\nallow_addresses = [\"loopback\"]\napi_key = {{ env = \"TOKEN\" }}\n"
    );
    for name in upstreams.collectors() {
        for upstream in upstreams.upstreams_of(name) {
            text.push_str(&format!(
                "[upstream.{upstream}]\nbase_url = \"http://{upstream_address}/{upstream}\"\n\
                 allow_addresses = [\"loopback\"]\n[credential.{upstream}]\nkind = \"bearer\"\nenv = \"TOKEN\"\n"
            ));
        }
        text.push_str(&format!("[collector.{name}.settings]\n"));
        for (key, value) in upstreams.settings(name) {
            text.push_str(&format!("{key} = {value}\n"));
        }
    }
    text
}

/// The line that says what was shown; else what was not as it should be.
fn shown(summary: &CycleSummary, intake: &Intake, upstreams: &Upstreams) -> Result<String, String> {
    let (hangs, others): (Vec<&RunSummary>, Vec<_>) =
        summary.runs.iter().partition(|run| run.collector.as_str() == "hangs");
    let [hangs] = hangs.as_slice() else { return Err("the collector that hangs did not run".into()) };
    let reason = hangs.fault.as_ref().map(|fault| fault.reason);
    if (hangs.points, reason) != (1, Some(Reason::Deadline)) {
        return Err(format!("`hangs` was to emit a point and end at its deadline, and was {}", hangs.outcome));
    }
    if let Some(run) = others.iter().find(|run| !run.outcome.is_well()) {
        return Err(format!("{} was to be well, and was {}", run.collector, run.outcome));
    }
    if let Some(wrong) = intake.wrong() {
        return Err(format!("the intake refused a payload: {wrong}"));
    }
    let delivered: u64 = summary.sinks.iter().map(|sink| sink.delivered).sum();
    if delivered != intake.points() {
        return Err(format!("{delivered} points were delivered, and {} arrived", intake.points()));
    }
    let slowest = others.iter().map(|run| run.duration_ms).max().unwrap_or_default();
    Ok(format!(
        "Shown: {} collectors asked {} questions over real HTTP and gave {} points within {slowest} ms; `hangs` never came \
         back, was ended {HANGS_DEADLINE} later with its point kept, and nobody waited for it; all {} points arrived, checked and \
         counted.",
        others.len(),
        upstreams.answered(),
        others.iter().map(|run| run.points).sum::<usize>(),
        intake.points(),
    ))
}

/// A folder that goes with the demo.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Scratch> {
        let dir = std::env::temp_dir().join(format!("collector-host-demo-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        Ok(Scratch(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(dir: &Path) {
    // What is left lies in the folder for temporary files, which somebody else clears.
    drop(fs::remove_dir_all(dir));
}
