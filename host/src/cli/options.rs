//! Options that every command takes, and how they become a plan.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};

use super::exit::Usage;
use crate::capability::ask_stores;
use crate::config::{ConfigError, Overrides, Plan, SecretsPlan};
use crate::model::Name;

/// Options before or after any command.
#[derive(Clone, Debug, Args)]
pub(super) struct Global {
    /// The configuration file [default: host.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "HOST_CONFIG")]
    pub config: Option<PathBuf>,
    /// The folder with the collectors' .wasm files [default: components]
    #[arg(long, global = true, value_name = "DIR", env = "HOST_COMPONENTS")]
    pub components: Option<PathBuf>,
    /// The folder for the state: history, compiled components [default: ~/.local/state/collector-host]
    #[arg(long, global = true, value_name = "DIR", env = "HOST_STATE")]
    pub state: Option<PathBuf>,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Says more on stderr; twice says everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// How results are printed on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

impl Global {
    /// What the command line says of the plan.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            config: self.config.clone(),
            components: self.components.clone(),
            state: self.state.clone(),
            ..Overrides::default()
        }
    }
}

/// Makes the plan of the process' own environment, to be looked at: stores of secrets are not asked.
pub(super) fn plan(overrides: &Overrides) -> Result<Plan, ConfigError> {
    warned(Plan::build(overrides, &variable)?)
}

/// Makes the plan of the process' own environment, to be run: stores of secrets are asked first.
pub(super) async fn plan_with_secrets(overrides: &Overrides) -> anyhow::Result<Plan> {
    let needed = SecretsPlan::read(overrides, &variable)?;
    let stored = ask_stores(&needed).await?;
    Ok(warned(Plan::build_with(overrides, &stored, &variable)?)?)
}

/// The process' environment.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn warned(plan: Plan) -> Result<Plan, ConfigError> {
    for warning in &plan.warnings {
        tracing::info!("{warning}");
    }
    Ok(plan)
}

/// Refuses a plan whose caps do not fit into the container's memory.
pub(super) fn check_memory(plan: &Plan) -> Result<(), Usage> {
    let Some(memory) = plan.memory.as_ref().filter(|memory| !memory.fits()) else { return Ok(()) };
    let hint = match memory.jobs_that_fit() {
        0 => "raise the container's memory, or lower memory and response_buffer under [limits]".into(),
        jobs => format!("--jobs {jobs} fits; or raise the container's memory, or lower memory under [limits]"),
    };
    Err(Usage { what: format!("the limits of all that runs at once do not fit into memory:\n{memory}"), hint })
}

/// A collector's name.
pub(super) fn parse_name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|e| e.to_string())
}

/// A duration as people write it: `90s`, `10m`, `1h 30m`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write it as in 90s, 10m or 1h30m");
    let duration: SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(duration).ok().filter(|d| !d.is_zero()).ok_or_else(wrong)
}

/// A time in RFC 3339.
pub(super) fn parse_time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|e| format!("write it as in 2025-10-24T12:00:00Z: {e}"))
}

/// `key=value`.
pub(super) fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as in org=acme")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// Settings of the command line, the last one of a key.
pub(super) fn settings(pairs: &[(String, String)]) -> BTreeMap<String, String> {
    pairs.iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_settings_read_as_people_write_them() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "90", "-5s", "0s", "soon"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_setting("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(parse_setting("a").is_err());
    }
}
