//! `host check`: whether everything is there for a cycle, without running one.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::options::{Format, Global, check_memory, plan_with_secrets};
use super::output;
use crate::clock;
use crate::config::Plan;
use crate::egress::{Egress, Network, system_lookup};
use crate::policy::Credential;
use crate::sinks::{Descriptions, Sink};
use crate::store::Store;

/// Check configuration, components, credentials, sinks, memory and state, and say what to mend
///
/// Runs no collector. Exit code 0 where a cycle could run with all of them, 2 where something is to be mended.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Also ask the sinks whether they take the key, and for the tokens and keys that upstreams are asked with
    #[arg(long)]
    online: bool,
}

/// Whoever is asked has so long.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// One thing that was checked.
#[derive(Debug, Serialize)]
struct Finding {
    /// `collector github`, `upstream github`, `sink datadog`, `memory`, `state`.
    what: String,
    ok: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Check {
    pub async fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let plan = plan_with_secrets(&global.overrides()).await?;
        let mut findings = collectors(&plan);
        let network = Network::new(system_lookup(plan.network.hosts.clone()), plan.network.ca_file.as_deref())?;
        if self.online {
            findings.extend(credentials(&plan, &network).await);
        }
        findings.extend(self.sinks(&plan, &network).await);
        findings.push(memory(&plan));
        findings.push(state(&plan).await);
        let is_well = findings.iter().all(|finding| finding.ok);
        match global.format {
            Format::Json => output::print_json(&findings)?,
            Format::Text => output::print(&text(&findings))?,
        }
        Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(2) })
    }

    async fn sinks(&self, plan: &Plan, network: &Network) -> Vec<Finding> {
        let mut findings = Vec::new();
        for sink_plan in &plan.sinks {
            let sink = Sink::new(sink_plan, &Descriptions::default(), network, &plan.redactor);
            let place = sink_plan.place();
            let what = format!("sink {}", sink.name());
            let deadline = clock::instant() + ANSWER_WITHIN;
            let answer = match sink_plan.withheld() {
                Some(why) => Err(why.to_owned()),
                None if self.online || sink.is_local() => sink.validate(deadline).await,
                None => Ok(()),
            };
            findings.push(match answer {
                Ok(()) => Finding { what, ok: true, detail: place, hint: None },
                Err(why) => {
                    let hint = match sink.is_local() {
                        true => Some(format!("make it writable, or write another path under [sink.{}]", sink.name())),
                        false => Some(format!("look at [sink.{}], and at its key", sink.name())),
                    };
                    Finding { what, ok: false, detail: format!("{place}: {why}"), hint }
                }
            });
        }
        if findings.is_empty() {
            findings.push(Finding {
                what: "sinks".into(),
                ok: false,
                detail: "there is none".into(),
                hint: Some("set DD_API_KEY, or write [sink.stdout] into host.toml".into()),
            });
        }
        findings
    }
}

/// What upstreams are asked with, where that is itself asked for.
async fn credentials(plan: &Plan, network: &Network) -> Vec<Finding> {
    let egress = Egress::new(&plan.upstreams, network, &plan.redactor);
    let mut findings = Vec::new();
    for (name, upstream) in &plan.upstreams {
        let is_asked_for = upstream.credential.as_ref().is_some_and(Credential::is_asked_for);
        let Some(endpoint) = egress.endpoint(name).filter(|_| is_asked_for) else { continue };
        let answer = endpoint.authenticate(clock::instant() + ANSWER_WITHIN).await;
        let (ok, detail) = match answer {
            Ok(()) => (true, "its credential was given".into()),
            Err(why) => (false, why.message),
        };
        findings.push(Finding { what: format!("upstream {name}"), ok, detail, hint: None });
    }
    findings
}

fn collectors(plan: &Plan) -> Vec<Finding> {
    let finding = |collector: &crate::config::CollectorPlan| {
        let what = format!("collector {}", collector.name);
        match &collector.ready {
            Ok(ready) => {
                let series = ready.component.manifest.series_with(&ready.settings).count();
                let detail = format!("{series} series, {}", collector.path.display());
                Finding { what, ok: true, detail, hint: None }
            }
            Err(fault) => Finding { what, ok: false, detail: fault.message.clone(), hint: fault.hint.clone() },
        }
    };
    let mut findings: Vec<Finding> = plan.collectors.iter().map(finding).collect();
    if findings.is_empty() {
        let hint = Some("`just build-guests` builds those of this repository".into());
        findings.push(Finding { what: "collectors".into(), ok: false, detail: "there is none".into(), hint });
    }
    findings
}

fn memory(plan: &Plan) -> Finding {
    let what = "memory".to_owned();
    match (check_memory(plan), &plan.memory) {
        (Err(usage), _) => Finding { what, ok: false, detail: usage.what, hint: Some(usage.hint) },
        (Ok(()), None) => Finding { what, ok: true, detail: "no limit is set on this process".into(), hint: None },
        (Ok(()), Some(memory)) => {
            let detail = format!("at most {} are needed at once", memory.needed());
            Finding { what, ok: true, detail, hint: None }
        }
    }
}

async fn state(plan: &Plan) -> Finding {
    let what = "state".to_owned();
    let place = plan.state_dir.display().to_string();
    match Store::open(&plan.state_dir).await {
        Ok(store) => {
            store.close().await;
            Finding { what, ok: true, detail: place, hint: None }
        }
        Err(e) => {
            let hint = Some("--state DIR names another folder; a damaged file can be moved away".into());
            Finding { what, ok: false, detail: e.to_string(), hint }
        }
    }
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = if finding.ok { "ok  " } else { "MEND" };
        text.push_str(&format!("{mark}  {}: {}\n", finding.what, finding.detail));
        if let Some(hint) = &finding.hint {
            text.push_str(&format!("      hint: {hint}\n"));
        }
    }
    text
}
