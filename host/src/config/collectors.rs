//! Collectors of the plan: a component, its settings, limits and grants; or the fault that keeps it from running.
//!
//! Whatever depends on a component faults its collector alone: a file that is swapped for a bad one must not take the others
//! with it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::catalog::{ComponentFile, Digest};
use crate::limits::Limits;
use crate::model::{Asked, Blame, Fault, Manifest, Name, Reason};
use crate::policy::{Grant, ImportDenied, check_import, encode_segment, normal_path};

use super::file::{CollectorSection, File, Value};
use super::upstreams::Known;
use super::{Environment, nearest};

/// A collector of the plan.
#[derive(Clone, Debug)]
pub struct CollectorPlan {
    pub name: Name,
    pub path: PathBuf,
    /// None where the file could not be read.
    pub digest: Option<Digest>,
    pub manifest: Option<Arc<Manifest>>,
    /// Collectors that must have ended before; only those that are in the plan.
    pub after: Vec<Name>,
    /// How often it is tried in a cycle.
    pub attempts: u32,
    pub limits: Limits,
    /// The credentials that it names, and whether they are there.
    pub credentials: Vec<(Name, CredentialState)>,
    /// All that an attempt needs, or why there can be none.
    pub ready: Result<Ready, Fault>,
}

/// What an attempt needs.
#[derive(Clone, Debug)]
pub struct Ready {
    pub component: ComponentFile,
    /// Every setting that has a value, as text.
    pub settings: BTreeMap<String, String>,
    pub grants: Vec<Grant>,
    /// Tags on its points, `key:value`.
    pub tags: Vec<String>,
}

/// Whether a credential is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialState {
    Set,
    /// Missing, and the collector can do without.
    Absent,
    /// Missing.
    Missing {
        what: String,
        hint: String,
    },
}

/// Everything that collectors are planned from.
pub(super) struct Context<'a> {
    pub file: &'a File,
    pub upstreams: &'a BTreeMap<Name, Known>,
    pub environment: Environment<'a>,
    /// Settings of the command line: `--set key=value`.
    pub settings: &'a BTreeMap<String, String>,
}

impl Context<'_> {
    /// Plans one collector from its component file, or from the fault that reading it gave.
    pub fn plan(&self, name: Name, path: PathBuf, component: Result<ComponentFile, Fault>) -> CollectorPlan {
        let none = CollectorSection::default();
        let section = self.file.collector.get(&name).unwrap_or(&none);
        let manifest = component.as_ref().ok().map(|c| c.manifest.clone());
        let limits = Limits::default().with(&self.file.limits);
        let limits = match &manifest {
            Some(manifest) => limits.lowered(&manifest.limits),
            None => limits,
        };
        let mut after = manifest.as_ref().map(|m| m.after.clone()).unwrap_or_default();
        after.extend(section.after.iter().cloned());
        CollectorPlan {
            digest: component.as_ref().ok().map(|c| c.digest),
            credentials: manifest.as_ref().map(|m| self.credentials(m)).unwrap_or_default(),
            manifest,
            after,
            attempts: section.attempts.unwrap_or(2).max(1),
            limits: limits.with(&section.limits),
            ready: component.and_then(|component| self.ready(&name, section, component)),
            name,
            path,
        }
    }

    fn ready(&self, name: &Name, section: &CollectorSection, component: ComponentFile) -> Result<Ready, Fault> {
        let manifest = component.manifest.clone();
        let granted = self.granted_imports(name, &manifest.name, section);
        for import in &component.imports {
            check_import(import, &granted).map_err(|denied| import_fault(name, &denied))?;
        }
        let settings = self.settings_of(name, section, &manifest)?;
        self.check_limits(name, section, &manifest)?;
        let mut grants = Vec::new();
        for asked in &manifest.upstreams {
            grants.push(self.grant(name, &manifest, asked, &settings)?);
        }
        let tag = |(key, text): (&String, &super::file::Text)| Some(format!("{key}:{}", text.read(self.environment)?));
        let tags = section.tags.iter().filter_map(tag).collect();
        Ok(Ready { component, settings, grants, tags })
    }

    /// What it may import beyond what everybody may: by its own section, and by those of the capabilities.
    fn granted_imports(&self, name: &Name, component: &Name, section: &CollectorSection) -> Vec<String> {
        let file = self.file;
        let capabilities = [
            ("kubernetes", &file.kubernetes.collectors),
            ("ec2", &file.ec2.collectors),
            ("last-values", &file.last_values.collectors),
            ("workloads", &file.workloads.collectors),
        ];
        let open =
            capabilities.iter().filter(|(_, collectors)| collectors.contains(name) || collectors.contains(component));
        section.imports.iter().cloned().chain(open.map(|(import, _)| (*import).to_owned())).collect()
    }

    fn settings_of(
        &self,
        name: &Name,
        section: &CollectorSection,
        manifest: &Manifest,
    ) -> Result<BTreeMap<String, String>, Fault> {
        let place = format!("[collector.{name}.settings]");
        let known = || manifest.settings.keys().map(String::as_str);
        if let Some(unknown) = section.settings.keys().find(|key| !manifest.settings.contains_key(*key)) {
            let hint = match nearest(unknown, known()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("it has: {}", known().collect::<Vec<_>>().join(", ")),
            };
            return Err(setting_fault(format!("{place}: it has no setting {unknown:?}")).hint(hint));
        }
        let mut settings = BTreeMap::new();
        for (key, declared) in &manifest.settings {
            let wrong = |what: &str| {
                setting_fault(format!("{place}: {key} must be {}, not {what}", declared.kind.noun()))
                    .hint(format!("write {key} = … under {place}: {}", declared.description))
            };
            let from_text = |text: String| {
                if declared.kind.reads(&text) { Ok(text) } else { Err(wrong(&format!("{text:?}"))) }
            };
            let from_value = |value: &toml::Value| {
                if declared.kind.takes(value) { Ok(as_text(value)) } else { Err(wrong(value.type_str())) }
            };
            let written = match section.settings.get(key) {
                Some(Value::Literal(value)) => Some(from_value(value)?),
                Some(Value::Environment { variable, default }) => {
                    match (self.environment)(variable).filter(|text| !text.is_empty()) {
                        Some(text) => Some(from_text(text)?),
                        None => default.as_ref().map(from_value).transpose()?,
                    }
                }
                Some(Value::File(path)) => {
                    let text = std::fs::read_to_string(path).map_err(|e| {
                        setting_fault(format!("{place}: {key}: {}: {e}", path.display()))
                            .hint(format!("make the file readable, or name another one in {key} = {{ file = … }}"))
                    })?;
                    Some(from_text(text)?)
                }
                None => None,
            };
            let commanded = self.settings.get(key).cloned().map(from_text).transpose()?;
            let value = commanded.or(written).or_else(|| declared.default.as_ref().map(as_text));
            match value {
                Some(value) => drop(settings.insert(key.clone(), value)),
                None if declared.required => {
                    let variable = match section.settings.get(key) {
                        Some(Value::Environment { variable, .. }) => format!("set {variable}, or "),
                        _ => String::new(),
                    };
                    return Err(setting_fault(format!("setting {key} of {name} has no value"))
                        .hint(format!("{variable}write {key} = … under {place}: {}", declared.description)));
                }
                None => {}
            }
        }
        Ok(settings)
    }

    /// A manifest may ask for less than the plan's limits; more is the operator's to give.
    fn check_limits(&self, name: &Name, section: &CollectorSection, manifest: &Manifest) -> Result<(), Fault> {
        let plan = Limits::default().with(&self.file.limits);
        match plan.exceeded_by(&manifest.limits, &section.limits) {
            None => Ok(()),
            Some((key, asked)) => Err(Fault::new(
                Blame::Settings,
                Reason::Limit,
                format!("{name} asks for {key} = {asked}, more than the plan's limit"),
            )
            .hint(format!("write {key} = \"{asked}\" under [collector.{name}.limits], or less"))),
        }
    }

    fn grant(
        &self,
        name: &Name,
        manifest: &Manifest,
        asked: &Asked,
        settings: &BTreeMap<String, String>,
    ) -> Result<Grant, Fault> {
        let upstream = &asked.name;
        let place = format!("[upstream.{upstream}]");
        let denied = |what: String| Fault::new(Blame::Settings, Reason::Denied, what);
        let known = self.upstreams.get(upstream).ok_or_else(|| {
            denied(format!("{name} asks for upstream {upstream}, which the plan does not have"))
                .hint(format!("write base_url = \"https://…\" under {place}"))
        })?;
        if let Some(allowed) = &known.collectors
            && !allowed.contains(name)
            && !allowed.contains(&manifest.name)
        {
            let line: Vec<String> = allowed.iter().chain([name]).map(|collector| format!("\"{collector}\"")).collect();
            return Err(denied(format!("collector {name} may not use upstream {upstream}"))
                .hint(format!("write collectors = [{}] under {place}", line.join(", "))));
        }
        if let Err(missing) = &known.upstream {
            return Err(setting_fault(missing.what.clone()).hint(missing.hint.clone()));
        }
        if let Some(Err(missing)) = &known.credential
            && !(asked.credential_optional && missing.is_unset)
        {
            return Err(Fault::new(
                Blame::Settings,
                Reason::Credential,
                format!("upstream {upstream} needs a credential, and {}", missing.what),
            )
            .hint(missing.hint.clone()));
        }
        let methods: Vec<String> = asked.methods.iter().map(|m| m.to_ascii_uppercase()).collect();
        if let Some(allowed) = &known.methods
            && let Some(method) = methods.iter().find(|method| !allowed.contains(*method))
        {
            return Err(denied(format!("collector {name} may not {method} at upstream {upstream}"))
                .hint(format!("add \"{method}\" to methods under {place}")));
        }
        let fill = |path: &String| fill(path, settings);
        let paths = asked.paths.iter().map(fill).filter(|path| normal_path(path).is_ok()).collect();
        Ok(Grant { upstream: upstream.clone(), methods, paths })
    }

    fn credentials(&self, manifest: &Manifest) -> Vec<(Name, CredentialState)> {
        let state = |asked: &Asked| {
            let name = asked.credential.clone()?;
            let state = match self.upstreams.get(&asked.name).and_then(|known| known.credential.as_ref()) {
                Some(Ok(())) => CredentialState::Set,
                Some(Err(missing)) if asked.credential_optional && missing.is_unset => CredentialState::Absent,
                None if asked.credential_optional => CredentialState::Absent,
                Some(Err(missing)) => {
                    CredentialState::Missing { what: missing.what.clone(), hint: missing.hint.clone() }
                }
                None => CredentialState::Missing {
                    what: format!("upstream {} names no credential", asked.name),
                    hint: format!("write credential = \"{name}\" under [upstream.{}]", asked.name),
                },
            };
            Some((name, state))
        };
        manifest.upstreams.iter().filter_map(state).collect()
    }
}

fn setting_fault(what: String) -> Fault {
    Fault::new(Blame::Settings, Reason::Setting, what)
}

fn import_fault(name: &Name, denied: &ImportDenied) -> Fault {
    let reason = match denied {
        ImportDenied::Newer { .. } => Reason::NewerContract,
        ImportDenied::Grantable { .. } | ImportDenied::Capability { .. } | ImportDenied::Unknown { .. } => {
            Reason::ImportDenied
        }
    };
    let fault = Fault::new(Blame::Settings, reason, format!("{name} {denied}"));
    match denied {
        ImportDenied::Newer { .. } => fault.hint("update the host, or build the collector for its contract"),
        ImportDenied::Grantable { grant, .. } => {
            fault.hint(format!("write imports = [\"{grant}\"] under [collector.{name}]"))
        }
        ImportDenied::Capability { section, .. } => {
            fault.hint(format!("add \"{name}\" to collectors under [{section}]"))
        }
        ImportDenied::Unknown { .. } => {
            fault.hint("`host inspect` prints what it imports; take the import out of the collector")
        }
    }
}

/// A path prefix with the settings that it names filled in, percent-encoded. Braces were checked with the manifest.
fn fill(path: &str, settings: &BTreeMap<String, String>) -> String {
    let mut parts = path.split(['{', '}']);
    let mut filled = parts.next().unwrap_or_default().to_owned();
    while let (Some(key), Some(text)) = (parts.next(), parts.next()) {
        filled.push_str(&encode_segment(settings.get(key).map(String::as_str).unwrap_or_default()));
        filled.push_str(text);
    }
    filled
}

fn as_text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
