//! Exit codes: one table.

use std::process::ExitCode;

use clap::ValueEnum;

use crate::config::ConfigError;
use crate::model::CycleSummary;

/// The table, as `--help` and README.md show it.
pub(super) const TABLE: &str = "\
Exit codes:
  0  all well
  1  the host itself failed (its state, its runtime)
  2  usage or configuration
  3  some collectors faulted (see --fail-on)
  4  all collectors faulted (see --fail-on)
  5  points were not delivered
Where several apply: 1 before 5 before 4 before 3. After a second Ctrl-C: 130.";

const HOST: u8 = 1;
const USAGE: u8 = 2;
const SOME_FAULTED: u8 = 3;
const ALL_FAULTED: u8 = 4;
const UNDELIVERED: u8 = 5;

/// Which faults of collectors make the exit code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    /// One faulted collector is enough.
    #[default]
    Any,
    /// Only when all have faulted.
    All,
    /// Never.
    Never,
}

/// The exit code of a cycle.
pub(super) fn of_cycle(summary: &CycleSummary, fail_on: FailOn) -> ExitCode {
    ExitCode::from(code(summary, fail_on))
}

/// The exit code of an error.
pub fn of_error(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(if error.is::<ConfigError>() || error.is::<Usage>() { USAGE } else { HOST })
}

/// Something about the call or the configuration that only shows when everything is put together.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(super) struct Usage {
    pub what: String,
    pub hint: String,
}

fn code(summary: &CycleSummary, fail_on: FailOn) -> u8 {
    let faulted = summary.runs.iter().filter(|run| !run.outcome.is_well()).count();
    let undelivered = summary.sinks.iter().any(|sink| sink.undelivered() > 0);
    match (faulted, fail_on) {
        _ if !summary.host_faults.is_empty() => HOST,
        _ if undelivered => UNDELIVERED,
        (0, _) | (_, FailOn::Never) => 0,
        (n, _) if n == summary.runs.len() => ALL_FAULTED,
        (_, FailOn::Any) => SOME_FAULTED,
        (_, FailOn::All) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CycleOutcome, Name, Outcome, RunSummary, SinkSummary};

    fn cycle(outcomes: &[Outcome], deferred: u64, host_faults: &[&str]) -> CycleSummary {
        let run =
            |outcome: &Outcome| RunSummary { outcome: *outcome, ..RunSummary::new(Name::new("x").unwrap(), None) };
        let sink = SinkSummary {
            sink: "datadog".into(),
            deferred: [("x".to_owned(), deferred)].into(),
            ..SinkSummary::default()
        };
        CycleSummary {
            id: "x".into(),
            slot: jiff::Timestamp::UNIX_EPOCH,
            start: jiff::Timestamp::UNIX_EPOCH,
            duration_ms: 0,
            outcome: CycleOutcome::Well,
            runs: outcomes.iter().map(run).collect(),
            sinks: vec![sink],
            compared_with: None,
            host_faults: host_faults.iter().map(|f| (*f).to_owned()).collect(),
        }
    }

    #[test]
    fn the_table_holds() {
        use FailOn::{All, Any, Never};
        use Outcome::{Emitted, Empty, Fault, Partial};
        for (outcomes, deferred, host, fail_on, expected) in [
            (&[Emitted, Empty][..], 0, &[][..], Any, 0),
            (&[Emitted, Fault], 0, &[], Any, 3),
            (&[Emitted, Partial], 0, &[], Any, 3),
            (&[Emitted, Fault], 0, &[], All, 0),
            (&[Partial, Fault], 0, &[], Any, 4),
            (&[Partial, Fault], 0, &[], All, 4),
            (&[Partial, Fault], 0, &[], Never, 0),
            (&[Emitted], 1, &[], Never, 5),
            (&[Fault], 1, &[], Any, 5),
            (&[Fault], 1, &["state"], Any, 1),
            (&[], 0, &[], Any, 0),
        ] {
            assert_eq!(code(&cycle(outcomes, deferred, host), fail_on), expected, "{outcomes:?} {fail_on:?}");
        }
    }

    #[test]
    fn a_configuration_is_the_users_and_everything_else_the_hosts() {
        let config = ConfigError::Invalid { place: "x".into(), what: "y".into() };
        assert_eq!(of_error(&config.into()), ExitCode::from(2));
        assert_eq!(of_error(&anyhow::anyhow!("x")), ExitCode::from(1));
    }
}
