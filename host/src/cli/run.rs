//! `host run`: one collector, to look at what it gives.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::exit::{self, FailOn, Usage};
use super::options::{Format, Global, parse_duration, parse_setting, parse_time, plan_with_secrets, settings};
use super::{output, run_all};
use crate::app::CycleOptions;
use crate::config::Overrides;
use crate::model::Name;
use crate::report::{RunReport, cycle_text, points_text};

/// Run one collector and print its points and gaps; delivers nothing unless told to
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  host run github
  host run ./target/wasm32-wasip2/guest/collector_mine.wasm --set org=acme -v
  host run github --now 2025-10-24T12:00:00Z --format json")]
pub(super) struct Run {
    /// A collector of the components folder by its name, or the path of a .wasm file
    #[arg(value_name = "NAME|FILE.wasm")]
    collector: String,
    /// A setting of the collector, before the configuration file's
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, String)>,
    /// How long it may take
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    deadline: Option<Duration>,
    /// The instant that it takes for now, to look at a past one
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    now: Option<Timestamp>,
    /// Deliver the points to the sinks and remember the run
    #[arg(long)]
    push: bool,
}

impl Run {
    pub async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let mut overrides =
            Overrides { collector_deadline: self.deadline, settings: settings(&self.settings), ..global.overrides() };
        match named_file(&self.collector) {
            Some(file) => overrides.component = Some(file),
            None => overrides.only = vec![Name::new(self.collector.as_str()).map_err(usage)?],
        }
        let plan = plan_with_secrets(&overrides).await?;
        if self.push && plan.sinks.is_empty() {
            let what = "there is no sink to push to".to_owned();
            return Err(Usage { what, hint: "set DD_API_KEY, or write [sink.stdout] into host.toml".into() }.into());
        }
        let options =
            CycleOptions { now: self.now, delivers: self.push, records: self.push, ..CycleOptions::default() };
        let summary = run_all::cycle(plan, options).await?;
        match global.format {
            Format::Json => {
                if let Some(run) = summary.runs.first() {
                    output::print_json(&RunReport::of(run))?;
                }
            }
            Format::Text => {
                for run in &summary.runs {
                    if let Some(points) = run.values.as_deref().filter(|points| !points.is_empty()) {
                        output::print(&points_text(points))?;
                    }
                }
                eprint!("\n{}", cycle_text(&summary));
            }
        }
        Ok(exit::of_cycle(&summary, FailOn::Any))
    }
}

/// The file that the argument names: it ends in `.wasm` or has a folder in it.
fn named_file(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let is_path = path.extension().is_some_and(|e| e == "wasm") || path.components().count() > 1;
    is_path.then(|| path.to_owned())
}

fn usage(error: impl std::fmt::Display) -> Usage {
    Usage { what: error.to_string(), hint: "`host list` shows the names; a file ends in .wasm".into() }
}
