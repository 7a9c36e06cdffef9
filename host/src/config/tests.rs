//! From a folder of components, a file and an environment to a plan, as a whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{Fault, Name, Reason};

use super::{CredentialState, Overrides, Plan};

/// A folder with components, a configuration and an environment.
struct Site {
    dir: tempfile::TempDir,
    environment: BTreeMap<&'static str, &'static str>,
    overrides: Overrides,
}

const GITHUB: &str = r#"
    name = "github"
    version = "1"
    contract = "0.1.0"
    [[upstream]]
    name = "github"
    methods = ["get"]
    paths = ["/repos/{org}/{repo}", "/graphql"]
    credential = "github"
    [settings.org]
    required = true
    description = "the organisation"
    [settings.repo]
    default = "a b"
    [settings.pages]
    kind = "integer"
    default = 3
"#;

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let overrides = Overrides {
            components: Some(dir.path().into()),
            config: Some(dir.path().join("host.toml")),
            state: Some(dir.path().join("state")),
            ..Overrides::default()
        };
        fs::write(dir.path().join("host.toml"), "").unwrap();
        Site { dir, environment: BTreeMap::from([("GITHUB_TOKEN", "token1"), ("GITHUB_ORG", "acme")]), overrides }
    }

    /// A component that says no more than the catalog reads: manifest, imports, and the export that makes it a collector.
    fn component(self, file: &str, manifest: &str, imports: &[&str]) -> Site {
        let imports: String = imports.iter().map(|name| format!("(import {name:?} (instance))")).collect();
        let text = format!(
            "(component {imports} (core module $m (@custom \"collector-manifest\" {manifest:?}) (func (export \"f\")))
               (core instance $i (instantiate $m))
               (func (export \"collect\") (canon lift (core func $i \"f\"))))"
        );
        fs::write(self.path(file), wat::parse_str(text).unwrap()).unwrap();
        self
    }

    fn config(self, text: &str) -> Site {
        fs::write(self.path("host.toml"), text).unwrap();
        self
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn plan(&self) -> Result<Plan, String> {
        let read = |name: &str| self.environment.get(name).map(|value| (*value).to_owned());
        Plan::build(&self.overrides, &read).map_err(|e| e.text_and_hint())
    }

    fn fault_of(&self, name: &str) -> Fault {
        let plan = self.plan().unwrap();
        let collector = plan.collectors.into_iter().find(|c| c.name.as_str() == name).unwrap();
        collector.ready.map(drop).unwrap_err()
    }
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.collectors.iter().map(|c| c.name.as_str()).collect()
}

#[test]
fn a_component_and_an_environment_are_enough() {
    let plan = Site::new().component("github.wasm", GITHUB, &["collector:host/http@0.1.0"]).plan().unwrap();
    let collector = &plan.collectors[0];
    assert_eq!(collector.credentials, [(Name::new("github").unwrap(), CredentialState::Set)]);
    let ready = collector.ready.as_ref().unwrap();
    assert_eq!(ready.settings["org"], "acme");
    assert_eq!(ready.settings["pages"], "3");
    assert_eq!(ready.grants[0].methods, ["GET"]);
    assert_eq!(ready.grants[0].paths, ["/repos/acme/a%20b", "/graphql"]);
    assert_eq!(plan.redactor.scrub_text("x token1"), "x [redacted]");
    assert_eq!((plan.cycle.deadline, plan.cycle.jobs), (Duration::from_secs(600), 1));
}

#[test]
fn what_is_wrong_with_one_collector_faults_it_alone_and_says_the_line_to_write() {
    let site = || Site::new().component("github.wasm", GITHUB, &[]);
    let cases: [(Site, Reason, &str, &str); 8] = [
        (
            site().config("[collector.github.settings]\norgg = 'x'"),
            Reason::Setting,
            "no setting \"orgg\"",
            "did you mean org?",
        ),
        (
            site().config("[collector.github.settings]\npages = 'x'"),
            Reason::Setting,
            "pages must be an integer, not string",
            "write pages",
        ),
        (site().config("[collector.github.settings]\norg = ''\n[collector.githb]"), Reason::Setting, "", ""),
        (
            site().config("[upstream.github]\ncollectors = ['other']"),
            Reason::Denied,
            "may not use upstream github",
            "collectors = [\"other\", \"github\"]",
        ),
        (
            site().config("[upstream.github]\nmethods = ['POST']"),
            Reason::Denied,
            "may not GET",
            "add \"GET\" to methods under [upstream.github]",
        ),
        (
            site().config("[credential.github]\nkind = 'bearer'\nfile = '/none'"),
            Reason::Credential,
            "/none",
            "[credential.github]",
        ),
        (
            Site::new().component("github.wasm", GITHUB, &["wasi:sockets/tcp@0.2.6"]),
            Reason::ImportDenied,
            "imports wasi:sockets/tcp@0.2.6, which is not granted",
            "imports = [\"wasi:sockets\"] under [collector.github]",
        ),
        (
            Site::new().component("github.wasm", &format!("{GITHUB}\n[limits]\nmemory = '1GiB'"), &[]),
            Reason::Limit,
            "asks for memory = 1 GiB",
            "[collector.github.limits]",
        ),
    ];
    for (site, reason, what, hint) in cases {
        if what.is_empty() {
            // An empty text is a value; whether it makes sense is the collector's to say.
            assert!(site.plan().unwrap().collectors.iter().any(|c| c.ready.is_ok()));
            assert!(site.fault_of("githb").hint.unwrap().contains("did you mean [collector.github]?"));
            continue;
        }
        let fault = site.fault_of("github");
        assert_eq!(fault.reason, reason, "{fault}");
        assert!(fault.message.contains(what), "{fault}");
        assert!(fault.hint.as_ref().unwrap().contains(hint), "{fault:?}");
    }
}

#[test]
fn a_required_setting_without_a_value_names_the_variable() {
    let mut site = Site::new().component("github.wasm", GITHUB, &[]);
    site.environment.remove("GITHUB_ORG");
    let fault = site.fault_of("github");
    assert!(fault.hint.unwrap().contains("set GITHUB_ORG, or write org = "), "{}", fault.message);
}

#[test]
fn an_upstream_that_the_plan_does_not_have_is_denied() {
    let manifest = GITHUB.replace("name = \"github\"\n    methods", "name = \"gitlab\"\n    methods");
    let fault = Site::new().component("github.wasm", &manifest, &[]).fault_of("github");
    assert_eq!(fault.reason, Reason::Denied);
    assert!(fault.hint.unwrap().contains("[upstream.gitlab]"));
}

#[test]
fn bad_files_and_second_files_of_a_name_have_a_place_of_their_own() {
    let site = Site::new().component("github.wasm", GITHUB, &[]).component("github2.wasm", GITHUB, &[]);
    fs::write(site.path("empty.wasm"), "").unwrap();
    fs::create_dir(site.path("dir.wasm")).unwrap();
    let plan = site.plan().unwrap();
    assert_eq!(names(&plan), ["dir", "empty", "github", "github2"]);
    assert!(plan.collectors[2].ready.is_ok());
    assert!(site.fault_of("github2").message.contains("is named github"));
}

#[test]
fn one_component_runs_several_times_with_settings_of_its_own() {
    let site = Site::new().component("github.wasm", GITHUB, &[]).config(
        "[collector.infra]\ncomponent = 'github.wasm'\nsettings = { org = 'acme', repo = 'infra' }\ntags = { repo = 'infra' }\n\
         [collector.github]\nenabled = false",
    );
    let plan = site.plan().unwrap();
    assert_eq!(names(&plan), ["infra"]);
    let ready = plan.collectors[0].ready.as_ref().unwrap();
    assert_eq!((ready.settings["repo"].as_str(), ready.tags[0].as_str()), ("infra", "repo:infra"));
}

#[test]
fn only_and_skip_choose_and_refuse_what_is_not_there() {
    let name = |text: &str| Name::new(text).unwrap();
    let mut site = Site::new().component("github.wasm", GITHUB, &[]).component(
        "other.wasm",
        "name = 'other'\nversion = '1'\ncontract = '0.1.0'\nafter = ['github']",
        &[],
    );
    assert_eq!(site.plan().unwrap().collectors[1].after, [name("github")]);
    site.overrides.only = vec![name("other")];
    let plan = site.plan().unwrap();
    assert_eq!((names(&plan), plan.collectors[0].after.len(), plan.warnings.len()), (vec!["other"], 0, 1));
    site.overrides.only = vec![];
    site.overrides.skip = vec![name("othre")];
    assert!(site.plan().unwrap_err().contains("did you mean other?"));
}

#[test]
fn a_circle_faults_those_in_it_and_nobody_else() {
    let manifest =
        |name: &str, after: &str| format!("name = '{name}'\nversion = '1'\ncontract = '0.1.0'\nafter = [{after}]");
    let site = Site::new()
        .component("a.wasm", &manifest("a", "'b'"), &[])
        .component("b.wasm", &manifest("b", "'a'"), &[])
        .component("c.wasm", &manifest("c", "'a'"), &[]);
    let plan = site.plan().unwrap();
    let ready: Vec<bool> = plan.collectors.iter().map(|c| c.ready.is_ok()).collect();
    assert_eq!(ready, [false, false, true]);
    assert!(site.fault_of("a").message.contains("a after b after a"));
}

#[test]
fn a_cycle_without_time_to_collect_and_a_folder_that_is_not_there_are_errors() {
    let mut site = Site::new().config("[cycle]\ndeadline = '10s'\ndelivery_reserve = '10s'");
    assert!(site.plan().unwrap_err().contains("leaves nothing"));
    site.overrides.config = None;
    site.overrides.components = Some("/none".into());
    assert!(site.plan().unwrap_err().contains("just build-guests"));
}

#[test]
fn the_caps_are_held_against_the_containers_memory() {
    let site = Site::new().component("github.wasm", GITHUB, &[]).config("[cycle]\ncontainer_memory = '100MiB'");
    let memory = site.plan().unwrap().memory.unwrap();
    assert!(!memory.fits() && memory.jobs_that_fit() == 0, "{memory}");
}
