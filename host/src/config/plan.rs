//! The plan: the configuration after validation. Immutable; everything below the command line takes only this.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::SignedDuration;

use crate::catalog;
use crate::limits::{ByteSize, MemoryBudget, Wall};
use crate::model::{Blame, Fault, Name, Reason, Redactor, Secret};
use crate::policy::{Credential, Upstream, capability_of};

use super::capabilities::{self, Ec2Plan, KubernetesPlan};
use super::collectors::{CollectorPlan, Context};
use super::file::File;
use super::network::NetworkPlan;
use super::secrets::{SecretsPlan, StoredSecrets};
use super::sinks::{self, SinkPlan};
use super::{ConfigError, Environment, credentials, nearest, order, upstreams};

/// All that a cycle needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    pub cycle: CyclePlan,
    /// Sorted by name.
    pub collectors: Vec<CollectorPlan>,
    pub upstreams: BTreeMap<Name, Upstream>,
    pub sinks: Vec<SinkPlan>,
    pub spool: SpoolPlan,
    pub cache: CachePlan,
    pub kubernetes: KubernetesPlan,
    pub ec2: Ec2Plan,
    /// Tags on every point, `key:value`.
    pub tags: Vec<String>,
    pub network: NetworkPlan,
    /// Knows every secret of the plan.
    pub redactor: Redactor,
    pub state_dir: PathBuf,
    /// What the caps come to, where the container's limit is known.
    pub memory: Option<MemoryBudget>,
    /// What is odd but does not stop anything.
    pub warnings: Vec<String>,
}

/// How long a cycle takes and how much of it runs at once.
#[derive(Clone, Copy, Debug)]
pub struct CyclePlan {
    pub deadline: Duration,
    pub delivery_reserve: Duration,
    /// How often cycles are started.
    pub schedule: Duration,
    pub jobs: usize,
    /// After how many runs in a row that came to nothing a collector is left alone for a while; 0 for never.
    pub pause_after: u32,
}

/// The points that wait on disk.
#[derive(Clone, Debug)]
pub struct SpoolPlan {
    pub folder: PathBuf,
    /// Names of the sinks that they wait for.
    pub sinks: Vec<String>,
    pub bytes_max: ByteSize,
    pub age_max: SignedDuration,
}

/// The bounds of the answers that are remembered; 0 bytes remember nothing.
#[derive(Clone, Copy, Debug)]
pub struct CachePlan {
    pub bytes_max: ByteSize,
    pub age_max: SignedDuration,
}

/// What the command line sets.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The configuration file; without one, `host.toml` in the working folder if it is there.
    pub config: Option<PathBuf>,
    pub components: Option<PathBuf>,
    pub state: Option<PathBuf>,
    pub jobs: Option<usize>,
    pub deadline: Option<Duration>,
    pub only: Vec<Name>,
    pub skip: Vec<Name>,
    /// Settings of the collectors that run.
    pub settings: BTreeMap<String, String>,
    /// The deadline of each collector that runs; the cycle's is then long enough for it.
    pub collector_deadline: Option<Duration>,
    /// A component file to plan instead of a folder's.
    pub component: Option<PathBuf>,
}

const CONFIG_FILE: &str = "host.toml";
const COMPONENTS_DIR: &str = "components";

impl Plan {
    /// Reads the configuration and the components and makes a plan of them.
    ///
    /// # Errors
    /// Where the configuration cannot be what is meant. What is wrong with one collector is that collector's fault, in
    /// [`CollectorPlan::ready`].
    pub fn build(overrides: &Overrides, environment: Environment<'_>) -> Result<Plan, ConfigError> {
        Plan::build_with(overrides, &StoredSecrets::NotAsked, environment)
    }

    /// The same, with what the stores of secrets have answered: see [`SecretsPlan::read`].
    ///
    /// # Errors
    /// As [`Plan::build`].
    pub fn build_with(
        overrides: &Overrides,
        stored: &StoredSecrets,
        environment: Environment<'_>,
    ) -> Result<Plan, ConfigError> {
        let file = read_file(overrides.config.as_deref())?;
        let credentials = credentials::credentials(&file, stored, environment)?;
        let known = upstreams::build(&file, &credentials, environment)?;
        let sinks = sinks::build(&file, &credentials, stored, environment)?;
        let context = Context { file: &file, upstreams: &known, environment, settings: &overrides.settings };
        let mut collectors = match &overrides.component {
            Some(path) => vec![plan_one(&context, path)],
            None => plan_folder(&context, &components_dir(overrides, environment))?,
        };
        select(&mut collectors, overrides)?;
        if let Some(deadline) = overrides.collector_deadline {
            collectors.iter_mut().for_each(|collector| collector.limits.deadline = Wall(deadline));
        }
        let warnings = settle_order(&mut collectors);
        let tag = |(key, text): (&String, &super::file::Text)| Some(format!("{key}:{}", text.read(environment)?));
        let upstreams: BTreeMap<Name, Upstream> =
            known.into_iter().filter_map(|(name, known)| Some((name, known.upstream.ok()?))).collect();
        let cycle = cycle(&file, overrides, collectors.len())?;
        let container = file.cycle.container_memory.or_else(container_memory);
        let worst_case = |c: &CollectorPlan| {
            let imports = &c.ready.as_ref().ok()?.component.imports;
            let reports_workloads = imports.iter().any(|import| capability_of(import) == Some("workloads"));
            Some(c.limits.memory_worst_case(reports_workloads))
        };
        let worst_cases = || collectors.iter().filter_map(|c| Some((c.name.as_str(), worst_case(c)?)));
        Ok(Plan {
            memory: container.map(|container| MemoryBudget::new(worst_cases(), cycle.jobs, container)),
            cycle,
            tags: file.tags.iter().filter_map(tag).collect(),
            redactor: redactor(&upstreams, &sinks),
            upstreams,
            sinks,
            spool: spool(&file, overrides, environment),
            cache: cache(&file),
            kubernetes: capabilities::kubernetes(&file, environment)?,
            ec2: capabilities::ec2(&file, environment),
            network: NetworkPlan::of(&file),
            state_dir: state_dir(overrides, environment),
            collectors,
            warnings,
        })
    }
}

impl SpoolPlan {
    /// Reads what the configuration says of the spool: neither components nor secrets are looked at.
    ///
    /// # Errors
    /// Where the configuration cannot be what is meant.
    pub fn read(overrides: &Overrides, environment: Environment<'_>) -> Result<SpoolPlan, ConfigError> {
        Ok(spool(&read_file(overrides.config.as_deref())?, overrides, environment))
    }
}

impl SecretsPlan {
    /// Reads which secrets the configuration keeps in stores.
    ///
    /// # Errors
    /// Where the configuration cannot be what is meant.
    pub fn read(overrides: &Overrides, environment: Environment<'_>) -> Result<SecretsPlan, ConfigError> {
        SecretsPlan::of(&read_file(overrides.config.as_deref())?, environment)
    }
}

fn read_file(path: Option<&Path>) -> Result<File, ConfigError> {
    let (path, is_asked_for) = match path {
        Some(path) => (path, true),
        None => (Path::new(CONFIG_FILE), false),
    };
    match fs::read_to_string(path) {
        Ok(text) => File::read(path, &text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !is_asked_for => File::built_in(),
        Err(source) => Err(ConfigError::Read { path: path.display().to_string(), source }),
    }
}

fn components_dir(overrides: &Overrides, environment: Environment<'_>) -> PathBuf {
    let from_environment = || environment("HOST_COMPONENTS").map(PathBuf::from);
    overrides.components.clone().or_else(from_environment).unwrap_or_else(|| COMPONENTS_DIR.into())
}

/// `--state`, else `HOST_STATE`, else the folder for state of the XDG base directory specification.
fn state_dir(overrides: &Overrides, environment: Environment<'_>) -> PathBuf {
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = || variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
    let named = overrides.state.clone().or_else(|| variable("HOST_STATE"));
    named.or_else(|| Some(base()?.join("collector-host"))).unwrap_or_else(|| "state".into())
}

fn plan_one(context: &Context<'_>, path: &Path) -> CollectorPlan {
    let component = catalog::read(path);
    let name = match &component {
        Ok(component) => component.manifest.name.clone(),
        Err(_) => name_of_file(path),
    };
    context.plan(name, path.into(), component)
}

/// One collector for every component of the folder, and one for every section that names its component.
fn plan_folder(context: &Context<'_>, dir: &Path) -> Result<Vec<CollectorPlan>, ConfigError> {
    let paths = catalog::find(dir).map_err(|e| ConfigError::Hinted {
        place: dir.display().to_string(),
        what: format!("the components folder cannot be read: {e}"),
        hint: "`just build-guests` makes ./components; --components DIR names another folder".into(),
    })?;
    let read: BTreeMap<PathBuf, _> = paths.into_iter().map(|p| (p.clone(), catalog::read(&p))).collect();
    let mut planned: BTreeMap<Name, CollectorPlan> = BTreeMap::new();
    for (path, component) in &read {
        let (name, component) = match component {
            Ok(c) if !planned.contains_key(&c.manifest.name) => (c.manifest.name.clone(), Ok(c.clone())),
            Ok(c) => (free_name(&planned, path), Err(same_name(c, &planned[&c.manifest.name].path))),
            Err(fault) => (free_name(&planned, path), Err(fault.clone())),
        };
        planned.insert(name.clone(), context.plan(name, path.clone(), component));
    }
    for (name, section) in &context.file.collector {
        if let Some(file) = &section.component {
            let path = dir.join(file);
            let component = read.get(&path).cloned().unwrap_or_else(|| catalog::read(&path));
            planned.insert(name.clone(), context.plan(name.clone(), path, component));
        } else if !planned.contains_key(name) && !built_in_names().contains(name) {
            planned.insert(name.clone(), absent(context, name, dir, &read));
        }
    }
    let is_enabled = |name: &Name| context.file.collector.get(name).is_none_or(|s| s.enabled != Some(false));
    planned.retain(|name, _| is_enabled(name));
    Ok(planned.into_values().collect())
}

/// Collectors that the built-in defaults speak of: no fault where their component is not installed.
fn built_in_names() -> BTreeSet<Name> {
    File::built_in().map(|file| file.collector.into_keys().collect()).unwrap_or_default()
}

/// A section of the file for a collector that is not there.
fn absent(
    context: &Context<'_>,
    name: &Name,
    dir: &Path,
    read: &BTreeMap<PathBuf, Result<catalog::ComponentFile, Fault>>,
) -> CollectorPlan {
    let known = read.values().filter_map(|c| Some(c.as_ref().ok()?.manifest.name.as_str()));
    let hint = match nearest(name.as_str(), known) {
        Some(near) => format!("did you mean [collector.{near}]?"),
        None => format!("put its component there, or take [collector.{name}] out"),
    };
    let what = format!("[collector.{name}]: {} holds no component of that name", dir.display());
    let fault = Fault::new(Blame::Settings, Reason::BadComponent, what).hint(hint);
    context.plan(name.clone(), dir.join(format!("{name}.wasm")), Err(fault))
}

fn same_name(component: &catalog::ComponentFile, first: &Path) -> Fault {
    let what = format!("{} is named {}, as {} is", component.path.display(), component.manifest.name, first.display());
    Fault::new(Blame::Settings, Reason::BadComponent, what)
        .hint("take one of the two files away, or name one with component = \"…\" under a section of its own")
}

/// A name for a file that does not tell its own.
fn name_of_file(path: &Path) -> Name {
    Name::lossy(&path.file_stem().unwrap_or_default().to_string_lossy())
}

fn free_name(taken: &BTreeMap<Name, CollectorPlan>, path: &Path) -> Name {
    let base = name_of_file(path);
    let numbered = |n: usize| Name::new(format!("{base}-{n}")).ok();
    let free = std::iter::once(Some(base.clone())).chain((2..).map(numbered)).flatten();
    free.into_iter().find(|name| !taken.contains_key(name)).unwrap_or(base)
}

/// Keeps what `--only` and `--skip` say.
fn select(collectors: &mut Vec<CollectorPlan>, overrides: &Overrides) -> Result<(), ConfigError> {
    for (option, names) in [("--only", &overrides.only), ("--skip", &overrides.skip)] {
        if let Some(unknown) = names.iter().find(|name| !collectors.iter().any(|c| c.name == **name)) {
            let known = || collectors.iter().map(|c| c.name.as_str());
            return Err(ConfigError::Hinted {
                place: option.into(),
                what: format!("there is no collector {unknown}"),
                hint: match nearest(unknown.as_str(), known()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("there are: {}", known().collect::<Vec<_>>().join(", ")),
                },
            });
        }
    }
    collectors.retain(|c| overrides.only.is_empty() || overrides.only.contains(&c.name));
    collectors.retain(|c| !overrides.skip.contains(&c.name));
    Ok(())
}

/// Drops edges to collectors that do not run, and faults those that wait for each other in a circle.
fn settle_order(collectors: &mut [CollectorPlan]) -> Vec<String> {
    let names: BTreeSet<Name> = collectors.iter().map(|c| c.name.clone()).collect();
    let mut warnings = Vec::new();
    for collector in collectors.iter_mut() {
        let gone = collector.after.iter().filter(|name| !names.contains(*name));
        warnings.extend(gone.map(|gone| format!("{}: comes after {gone}, which does not run", collector.name)));
        collector.after.retain(|name| names.contains(name));
    }
    let edges = |collectors: &[CollectorPlan]| {
        collectors.iter().map(|c| (c.name.clone(), c.after.clone())).collect::<BTreeMap<_, _>>()
    };
    while let Some(circle) = order::circle(&edges(collectors)) {
        let text: Vec<&str> = circle.iter().map(Name::as_str).collect();
        let what = format!("collectors wait for each other: {}", text.join(" after "));
        let fault = Fault::new(Blame::Settings, Reason::Setting, what)
            .hint(format!("take one of these out of `after`, e.g. under [collector.{}]", text[0]));
        for collector in collectors.iter_mut().filter(|c| circle.contains(&c.name)) {
            collector.after.clear();
            collector.ready = Err(fault.clone());
        }
    }
    warnings
}

fn cycle(file: &File, overrides: &Overrides, collectors: usize) -> Result<CyclePlan, ConfigError> {
    const AT_ONCE_MAX: usize = 64;
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let written = overrides.deadline.or(file.cycle.deadline.map(|wall| wall.0)).unwrap_or(minutes(10));
    let deadline = overrides.collector_deadline.map_or(written, |own| written.max(own + minutes(1)));
    let asked = file.cycle.delivery_reserve.map(|wall| wall.0);
    // A short deadline, as in a trial, gets a short reserve.
    let delivery_reserve = asked.unwrap_or(Duration::from_secs(30).min(deadline / 4));
    if delivery_reserve >= deadline {
        return Err(ConfigError::Hinted {
            place: "[cycle]".into(),
            what: format!("delivery_reserve ({delivery_reserve:?}) leaves nothing of the deadline ({deadline:?})"),
            hint: "write a smaller delivery_reserve or a larger deadline under [cycle]".into(),
        });
    }
    let jobs = overrides.jobs.or(file.cycle.jobs).unwrap_or(collectors.min(AT_ONCE_MAX)).max(1);
    let schedule = file.cycle.schedule.map_or(minutes(15), |wall| wall.0);
    const PAUSE_AFTER: u32 = 5;
    // Whoever names a collector wants it to run.
    let pause_after = if overrides.only.is_empty() { file.cycle.pause_after.unwrap_or(PAUSE_AFTER) } else { 0 };
    Ok(CyclePlan { deadline, delivery_reserve, schedule, jobs: jobs.min(collectors.max(1)), pause_after })
}

fn spool(file: &File, overrides: &Overrides, environment: Environment<'_>) -> SpoolPlan {
    let age = file.spool.age.and_then(|wall| SignedDuration::try_from(wall.0).ok());
    SpoolPlan {
        folder: state_dir(overrides, environment).join("spool"),
        sinks: sinks::names(file, environment).into_iter().map(str::to_owned).collect(),
        bytes_max: file.spool.bytes.unwrap_or(ByteSize::mib(256)),
        age_max: age.unwrap_or(SignedDuration::from_hours(24)),
    }
}

fn cache(file: &File) -> CachePlan {
    let age = file.cache.age.and_then(|wall| SignedDuration::try_from(wall.0).ok());
    CachePlan {
        bytes_max: file.cache.bytes.unwrap_or(ByteSize::mib(64)),
        age_max: age.unwrap_or(SignedDuration::from_hours(7 * 24)),
    }
}

fn redactor(upstreams: &BTreeMap<Name, Upstream>, sinks: &[SinkPlan]) -> Redactor {
    let of_upstreams = upstreams.values().filter_map(|u| u.credential.as_ref()).flat_map(Credential::secrets);
    let of_sinks = sinks.iter().flat_map(SinkPlan::secrets);
    let all: Vec<(Option<&str>, &Secret)> = of_upstreams.chain(of_sinks).collect();
    Redactor::new(all)
}

/// The memory limit of this process' control group (v2, then v1); none where there is none.
fn container_memory() -> Option<ByteSize> {
    // Without a limit, v1 gives a number near 2^63.
    const NO_LIMIT: u64 = 1 << 60;
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
        .filter(|bytes| *bytes < NO_LIMIT)
        .map(ByteSize)
}
