//! `host list`: the collectors, and whether each could run.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::options::{Format, Global, plan};
use super::output;
use crate::config::{CollectorPlan, CredentialState};
use crate::report::{lines_of, plain_table};

/// List all collectors with their series and the state of their credentials
#[derive(Debug, Args)]
pub(super) struct List {}

/// A collector, as `--format json` prints it.
#[derive(Debug, Serialize)]
struct Row<'a> {
    collector: &'a str,
    version: Option<&'a str>,
    description: Option<&'a str>,
    digest: Option<String>,
    file: String,
    /// The names of the series that exist under the plan's settings.
    series: Vec<&'a str>,
    /// Those that a setting would add.
    optional_series: Vec<&'a str>,
    credentials: Vec<Credential<'a>>,
    after: Vec<&'a str>,
    ready: bool,
    /// Why it could not run.
    problem: Option<String>,
    hint: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Credential<'a> {
    name: &'a str,
    /// `set`, `absent` (and not needed) or `missing`.
    state: &'static str,
}

impl List {
    pub fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let plan = plan(&global.overrides())?;
        let rows: Vec<Row<'_>> = plan.collectors.iter().map(row).collect();
        match global.format {
            Format::Json => output::print_json(&rows)?,
            Format::Text => output::print(&text(&rows))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn row(collector: &CollectorPlan) -> Row<'_> {
    let manifest = collector.manifest.as_deref();
    let fault = collector.ready.as_ref().err();
    let (series, optional_series) = series(collector);
    Row {
        collector: collector.name.as_str(),
        version: manifest.map(|m| m.version.as_str()),
        description: manifest.map(|m| m.description.as_str()),
        digest: collector.digest.map(|digest| digest.to_string()),
        file: collector.path.display().to_string(),
        series,
        optional_series,
        credentials: collector
            .credentials
            .iter()
            .map(|(name, state)| Credential { name: name.as_str(), state: word(state) })
            .collect(),
        after: collector.after.iter().map(|name| name.as_str()).collect(),
        ready: fault.is_none(),
        problem: fault.map(|fault| fault.message.clone()),
        hint: fault.and_then(|fault| fault.hint.as_deref()),
    }
}

/// The series that exist, and those that a setting would add. Without settings none of the latter exists.
fn series(collector: &CollectorPlan) -> (Vec<&str>, Vec<&str>) {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    let settings = collector.ready.as_ref().map_or(&NONE, |ready| &ready.settings);
    let Some(manifest) = &collector.manifest else { return (Vec::new(), Vec::new()) };
    let exist: Vec<&str> = manifest.series_with(settings).map(|series| series.name.as_str()).collect();
    let all = manifest.series.iter().map(|series| series.name.as_str());
    let optional = all.filter(|name| !exist.contains(name)).collect();
    (exist, optional)
}

pub(super) fn word(state: &CredentialState) -> &'static str {
    match state {
        CredentialState::Set => "set",
        CredentialState::Absent => "absent",
        CredentialState::Missing { .. } => "missing",
    }
}

fn text(rows: &[Row<'_>]) -> String {
    let mut table = plain_table(["COLLECTOR", "VERSION", "SERIES", "CREDENTIALS", "READY", "DIGEST"]);
    for row in rows {
        let credentials: Vec<String> = row.credentials.iter().map(|c| format!("{} {}", c.name, c.state)).collect();
        let digest: String = row.digest.iter().flat_map(|digest| digest.chars().take(19)).collect();
        table.add_row([
            row.collector.to_owned(),
            row.version.unwrap_or("?").to_owned(),
            row.series.len().to_string(),
            if credentials.is_empty() { "none needed".into() } else { credentials.join(", ") },
            if row.ready { "yes".into() } else { "no".into() },
            digest,
        ]);
    }
    let mut text = lines_of(&table);
    for row in rows.iter().filter(|row| !row.ready) {
        text.push_str(&format!("\n{}: {}\n", row.collector, row.problem.as_deref().unwrap_or_default()));
        if let Some(hint) = row.hint {
            text.push_str(&format!("  hint: {hint}\n"));
        }
    }
    text
}
