//! `host run-all`: what the CronJob runs.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::exit::{self, FailOn, Usage};
use super::options::{Format, Global, check_memory, parse_duration, parse_name, parse_time, plan_with_secrets};
use super::{output, progress};
use crate::app::{CycleOptions, run_cycle};
use crate::clock;
use crate::config::{Overrides, Plan, SinkPlan};
use crate::model::{CycleSummary, Name};
use crate::report::{Report, cycle_text, points_text};

/// Run every collector once, all at once, and deliver what they emit
///
/// A collector that hangs, leaks or crashes is ended at its limit; the others finish, and what it had emitted before is
/// kept. The report is printed on stdout when all is over, progress on stderr.
#[derive(Debug, Args)]
#[command(after_long_help = exit::TABLE)]
pub(super) struct RunAll {
    /// Run only these collectors
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = parse_name)]
    only: Vec<Name>,
    /// Leave these collectors out
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = parse_name)]
    skip: Vec<Name>,
    /// Deliver nothing and remember nothing; print the points
    #[arg(long)]
    dry_run: bool,
    /// How many collectors run at once [default: all, at most 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// How long the whole cycle may take, delivery included [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    deadline: Option<Duration>,
    /// Which faults of collectors make the exit code
    #[arg(long, value_enum, default_value_t)]
    fail_on: FailOn,
    /// The instant that all collectors take for now, to look at a past one
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    now: Option<Timestamp>,
    /// The scheduled time that the points carry [default: the time in HOST_JOB_NAME, the name of a CronJob's Job, else the
    /// start floored to the schedule]
    #[arg(long, value_name = "TIME", value_parser = parse_time, env = "HOST_SLOT")]
    slot: Option<Timestamp>,
}

impl RunAll {
    pub async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let plan = plan_with_secrets(&Overrides {
            jobs: self.jobs.map(|jobs| jobs as usize),
            deadline: self.deadline,
            only: self.only,
            skip: self.skip,
            ..global.overrides()
        })
        .await?;
        if plan.collectors.is_empty() {
            let what = "there is no collector to run".to_owned();
            return Err(Usage { what, hint: "`just build-guests` builds those of this repository".into() }.into());
        }
        if plan.sinks.is_empty() && !self.dry_run {
            let what = "there is no sink to deliver to".to_owned();
            let hint = "set DD_API_KEY, or write [sink.stdout] into host.toml; --dry-run only looks".into();
            return Err(Usage { what, hint }.into());
        }
        let has_stdout_sink = plan.sinks.iter().any(|sink| matches!(sink, SinkPlan::Stdout)) && !self.dry_run;
        let options = CycleOptions {
            now: self.now,
            slot: self.slot.or_else(|| clock::slot_of_job(&std::env::var("HOST_JOB_NAME").ok()?)),
            delivers: !self.dry_run,
            records: !self.dry_run,
            stand_ins: None,
        };
        let summary = cycle(plan, options).await?;
        let text = report(&summary, global.format)?;
        if has_stdout_sink {
            // Points are the result there, and a report among them would be no line of JSON.
            eprint!("{text}");
        } else {
            output::print(&text)?;
        }
        Ok(exit::of_cycle(&summary, self.fail_on))
    }
}

/// Runs a cycle and shows it while it goes on.
pub(super) async fn cycle(plan: Plan, options: CycleOptions) -> anyhow::Result<CycleSummary> {
    check_memory(&plan)?;
    let (events, shown) = mpsc::unbounded_channel();
    let progress = tokio::spawn(progress::show(shown));
    let summary = run_cycle(plan, options, events).await;
    progress.await?;
    summary
}

fn report(summary: &CycleSummary, format: Format) -> anyhow::Result<String> {
    Ok(match format {
        Format::Json => format!("{}\n", serde_json::to_string_pretty(&Report::of(summary))?),
        Format::Text => {
            let values = summary.runs.iter().filter_map(|run| run.values.as_deref());
            let points: Vec<_> = values.flatten().cloned().collect();
            let points = if points.is_empty() { String::new() } else { format!("{}\n", points_text(&points)) };
            format!("{points}{}", cycle_text(summary))
        }
    })
}
