//! `host spool`: what waits to be delivered.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::options::{Format, Global, variable};
use super::output;
use crate::app::spool_options;
use crate::clock;
use crate::config::SpoolPlan;
use crate::report::{lines_of, plain_table};
use crate::spool::{Spool, Waiting};

/// Show the points that are on disk and how many of them wait for each sink
///
/// Changes nothing and needs no lock, so it can be asked while a cycle is at work. The next `host run-all` sends what waits
/// before anything else. Segments in which nothing waits stay for two hours: a repeated slot writes the values of the first time.
#[derive(Debug, Args)]
pub(super) struct ShowSpool {}

/// What `--format json` prints.
#[derive(Debug, Serialize)]
struct Shown {
    folder: String,
    segments: Vec<Waiting>,
    /// Files that cannot be read, a line each.
    problems: Vec<String>,
}

impl ShowSpool {
    pub fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let plan = SpoolPlan::read(&global.overrides(), &variable)?;
        let options = spool_options(&plan, Timestamp::default(), "", clock::wall());
        let spool = Spool::look(options.clone());
        let folder = options.folder.display().to_string();
        let shown = Shown { folder, segments: spool.waiting(), problems: spool.problems() };
        match global.format {
            Format::Json => output::print_json(&shown)?,
            Format::Text => output::print(&text(&shown, &options.sinks))?,
        }
        Ok(if shown.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn text(shown: &Shown, sinks: &[String]) -> String {
    let left = |segment: &Waiting, sink: &String| segment.points.get(sink).copied().unwrap_or_default();
    let sum = |sink: &String| shown.segments.iter().map(|segment| left(segment, sink)).sum::<u64>();
    let mut text = format!("{}: {} segments", shown.folder, shown.segments.len());
    for sink in sinks {
        text.push_str(&format!(", {} points wait for {sink}", sum(sink)));
    }
    text.push('\n');
    if !shown.segments.is_empty() {
        let mut table = plain_table(["SEGMENT", "SIZE", "WAITING"]);
        for segment in &shown.segments {
            let waiting: Vec<String> = sinks.iter().map(|sink| format!("{sink} {}", left(segment, sink))).collect();
            table.add_row([segment.segment.clone(), segment.bytes.to_string(), waiting.join(", ")]);
        }
        text.push_str(&format!("\n{}", lines_of(&table)));
    }
    for problem in &shown.problems {
        text.push_str(&format!("\n{problem}\n"));
    }
    text
}
