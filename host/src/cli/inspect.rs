//! `host inspect`: what a component says of itself, what it imports, and what it would be granted.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::list::word;
use super::options::{Format, Global, plan};
use super::output;
use crate::catalog;
use crate::config::{CollectorPlan, Overrides};
use crate::limits::Limits;
use crate::model::{Asked, KubernetesAsked, Manifest, Series};
use crate::policy::capability_of;

/// Print a component's manifest, digest, imports, and what it would be granted
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The component's file
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
}

/// A component, as `--format json` prints it.
#[derive(Debug, Serialize)]
struct Card<'a> {
    file: String,
    digest: String,
    bytes: usize,
    collector: &'a str,
    version: &'a str,
    contract: String,
    description: &'a str,
    after: Vec<&'a str>,
    imports: &'a [String],
    upstreams: &'a [Asked],
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes: Option<&'a KubernetesAsked>,
    settings: Vec<Setting<'a>>,
    limits: Vec<Limit>,
    series: &'a [Series],
    granted: Vec<Granted<'a>>,
    credentials: Vec<(&'a str, &'static str)>,
    /// Why it could not run under this plan.
    problem: Option<&'a str>,
    hint: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Setting<'a> {
    key: &'a str,
    kind: &'static str,
    required: bool,
    default: Option<String>,
    /// What it would have under this plan.
    value: Option<&'a str>,
    description: &'a str,
}

#[derive(Debug, Serialize)]
struct Limit {
    key: &'static str,
    value: String,
}

#[derive(Debug, Serialize)]
struct Granted<'a> {
    upstream: &'a str,
    base_url: Option<String>,
    methods: &'a [String],
    paths: &'a [String],
}

impl Inspect {
    pub fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let component = catalog::read(&self.file)?;
        let overrides = Overrides { component: Some(self.file), ..global.overrides() };
        let plan = plan(&overrides)?;
        let Some(collector) = plan.collectors.first() else {
            anyhow::bail!("the plan has no collector for {}", component.path.display());
        };
        let granted = granted(collector, &plan.upstreams);
        let card = card(&component, &component.manifest, collector, granted);
        match global.format {
            Format::Json => output::print_json(&card)?,
            Format::Text => output::print(&text(&card)?)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn granted<'a>(
    collector: &'a CollectorPlan,
    upstreams: &std::collections::BTreeMap<crate::model::Name, crate::policy::Upstream>,
) -> Vec<Granted<'a>> {
    let grants = collector.ready.as_ref().map(|ready| ready.grants.as_slice()).unwrap_or_default();
    let base_url = |name: &crate::model::Name| upstreams.get(name).map(|upstream| upstream.base_url.to_string());
    let granted = |grant: &'a crate::policy::Grant| Granted {
        upstream: grant.upstream.as_str(),
        base_url: base_url(&grant.upstream),
        methods: &grant.methods,
        paths: &grant.paths,
    };
    grants.iter().map(granted).collect()
}

fn card<'a>(
    component: &'a catalog::ComponentFile,
    manifest: &'a Manifest,
    collector: &'a CollectorPlan,
    granted: Vec<Granted<'a>>,
) -> Card<'a> {
    let fault = collector.ready.as_ref().err();
    let values = collector.ready.as_ref().ok().map(|ready| &ready.settings);
    let setting = |(key, declared): (&'a String, &'a crate::model::SettingDecl)| Setting {
        key,
        kind: declared.kind.noun(),
        required: declared.required,
        default: declared.default.as_ref().map(ToString::to_string),
        value: values.and_then(|all| all.get(key)).map(String::as_str),
        description: &declared.description,
    };
    Card {
        file: component.path.display().to_string(),
        digest: component.digest.to_string(),
        bytes: component.bytes.len(),
        collector: manifest.name.as_str(),
        version: &manifest.version,
        contract: manifest.contract().map(|contract| contract.to_string()).unwrap_or_default(),
        description: &manifest.description,
        after: manifest.after.iter().map(|name| name.as_str()).collect(),
        imports: &component.imports,
        upstreams: &manifest.upstreams,
        kubernetes: manifest.kubernetes.as_ref(),
        settings: manifest.settings.iter().map(setting).collect(),
        limits: limits(&collector.limits),
        series: &manifest.series,
        granted,
        credentials: collector.credentials.iter().map(|(name, state)| (name.as_str(), word(state))).collect(),
        problem: fault.map(|fault| fault.message.as_str()),
        hint: fault.and_then(|fault| fault.hint.as_deref()),
    }
}

/// `list pods, jobs; logs`
fn of_cluster(asked: &KubernetesAsked) -> String {
    let lists: Vec<String> = asked
        .resources
        .iter()
        .map(|resource| match resource.parts() {
            (_, "", plural) => plural.to_owned(),
            (_, group, plural) => format!("{plural}.{group}"),
        })
        .collect();
    let rest = [(asked.logs, "; logs of containers"), (asked.summary, "; summaries of nodes")];
    let rest: String = rest.into_iter().filter(|(is_asked, _)| *is_asked).map(|(_, what)| what).collect();
    format!("list {}{rest}", lists.join(", "))
}

fn limits(limits: &Limits) -> Vec<Limit> {
    limits.values().into_iter().map(|(key, value)| Limit { key, value }).collect()
}

fn text(card: &Card<'_>) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "{} {}: {}", card.collector, card.version, card.description)?;
    writeln!(text, "  file      {} ({} bytes)", card.file, card.bytes)?;
    writeln!(text, "  digest    {}", card.digest)?;
    writeln!(text, "  contract  {}", card.contract)?;
    if !card.after.is_empty() {
        writeln!(text, "  after     {}", card.after.join(", "))?;
    }
    writeln!(text, "\nimports ({})", card.imports.len())?;
    for import in card.imports {
        writeln!(text, "  {import}")?;
    }
    writeln!(text, "\nasks for")?;
    for asked in card.upstreams {
        let credential = match (&asked.credential, asked.credential_optional) {
            (Some(name), true) => format!(", with credential {name} if there is one"),
            (Some(name), false) => format!(", with credential {name}"),
            (None, _) => String::new(),
        };
        writeln!(text, "  {} {} {}{credential}", asked.name, asked.methods.join(","), asked.paths.join(" "))?;
    }
    if let Some(asked) = card.kubernetes {
        writeln!(text, "  of the cluster's API: {}", of_cluster(asked))?;
    }
    writeln!(text, "\nwould be granted")?;
    for capability in card.imports.iter().filter_map(|import| capability_of(import)).filter(|_| card.problem.is_none())
    {
        writeln!(text, "  import {capability}")?;
    }
    for granted in &card.granted {
        let base_url = granted.base_url.as_deref().unwrap_or("?");
        let (methods, paths) = (granted.methods.join(","), granted.paths.join(" "));
        writeln!(text, "  {} at {base_url} {methods} {paths}", granted.upstream)?;
    }
    for (name, state) in &card.credentials {
        writeln!(text, "  credential {name}: {state}")?;
    }
    if let Some(problem) = card.problem {
        writeln!(text, "  nothing: {problem}")?;
    }
    if let Some(hint) = card.hint {
        writeln!(text, "  hint: {hint}")?;
    }
    writeln!(text, "\nsettings ({})", card.settings.len())?;
    for setting in &card.settings {
        let value = match (setting.value, setting.required) {
            (Some(value), _) => format!("= {value:?}"),
            (None, true) => "(required, not set)".into(),
            (None, false) => "(not set)".into(),
        };
        writeln!(text, "  {} {value}  {}", setting.key, setting.description)?;
    }
    writeln!(text, "\nlimits")?;
    for limit in &card.limits {
        writeln!(text, "  {:<18}{}", limit.key, limit.value)?;
    }
    writeln!(text, "\nseries ({})", card.series.len())?;
    for series in card.series {
        let tags = if series.tags.is_empty() { String::new() } else { format!(" {{{}}}", series.tags.join(",")) };
        let only = series.only_with.as_ref().map(|key| format!(" (only with setting {key})")).unwrap_or_default();
        writeln!(text, "  {}{tags} [{}]{only}  {}", series.name, series.unit, series.description)?;
    }
    Ok(text)
}
