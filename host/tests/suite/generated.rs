//! Generated text is up to date: the README's tables, and each collector's README.
//!
//! `./just generate` (UPDATE_GENERATED=1) writes them anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use host::app::own_manifest;
use host::limits::Limits;
use host::model::{KubernetesAsked, Manifest};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The manifests of all collectors, by their folders' names.
fn manifests() -> Vec<Manifest> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root().join("guests")).unwrap() {
        let path = entry.unwrap().path().join("collector.toml");
        if let Ok(text) = fs::read_to_string(&path) {
            all.push(Manifest::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display())));
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(all.len() >= 3, "{} collectors were found", all.len());
    all
}

/// Compares a file with what it should be, or writes it.
fn check(path: &Path, expected: &str) -> Option<String> {
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(path, expected).unwrap();
        return None;
    }
    let is_current = fs::read_to_string(path).is_ok_and(|actual| actual == expected);
    (!is_current).then(|| format!("{} is stale: run `./just generate`", path.display()))
}

/// The text with what stands between the marks of a section replaced.
fn with_section(text: &str, section: &str, content: &str) -> String {
    let (begin, end) = (format!("<!-- generated: {section} -->\n"), "<!-- end -->");
    let start = text.find(&begin).unwrap_or_else(|| panic!("no section {section}")) + begin.len();
    let stop = start + text[start..].find(end).unwrap_or_else(|| panic!("section {section} does not end"));
    format!("{}{content}{}", &text[..start], &text[stop..])
}

fn collectors_table() -> String {
    let mut text = String::from("| collector | series | asks | needs | about |\n|---|---|---|---|---|\n");
    for manifest in manifests() {
        let mut upstreams: Vec<&str> = manifest.upstreams.iter().map(|asked| asked.name.as_str()).collect();
        upstreams.extend(manifest.kubernetes.as_ref().map(|_| "the cluster's API"));
        let needs = manifest.upstreams.iter().filter_map(|asked| {
            let name = asked.credential.as_ref()?;
            Some(if asked.credential_optional { format!("`{name}` (optional)") } else { format!("`{name}`") })
        });
        let settings = manifest.settings.iter().filter(|(_, s)| s.required).map(|(key, _)| format!("`{key}`"));
        let needs: Vec<String> = needs.chain(settings).collect();
        let (optional, always): (Vec<_>, Vec<_>) = manifest.series.iter().partition(|s| s.only_with.is_some());
        let count = match optional.len() {
            0 => always.len().to_string(),
            n => format!("{} and {n} on request", always.len()),
        };
        let _ = writeln!(
            text,
            "| [{name}](guests/{name}/README.md) | {count} | {} | {} | {} |",
            upstreams.join(", "),
            needs.join(", "),
            manifest.description,
            name = manifest.name,
        );
    }
    text
}

fn limits_table() -> String {
    let rows: String = Limits::table().iter().map(|limit| format!("{limit}\n")).collect();
    format!("| key | default | why, and what ends an attempt that reaches it |\n|---|---|---|\n{rows}")
}

fn own_series_table() -> String {
    let rows = own_manifest().unwrap().series.into_iter();
    let rows: String = rows.map(|s| format!("| `{}` | {} | {} |\n", s.name, s.unit, s.description)).collect();
    format!("| series | unit | meaning |\n|---|---|---|\n{rows}")
}

fn readme_of(manifest: &Manifest) -> String {
    let mut text = format!(
        "<!-- Generated from collector.toml by `./just generate`. -->\n\n# {}\n\n{}\n\n",
        manifest.name, manifest.description
    );
    if !manifest.upstreams.is_empty() {
        text.push_str("## Asks\n\n| upstream | methods | paths | credential |\n|---|---|---|---|\n");
    }
    for asked in &manifest.upstreams {
        let credential = match (&asked.credential, asked.credential_optional) {
            (Some(name), true) => format!("`{name}`, if there is one"),
            (Some(name), false) => format!("`{name}`"),
            (None, _) => "none".into(),
        };
        let paths: Vec<String> = asked.paths.iter().map(|path| format!("`{path}`")).collect();
        let _ =
            writeln!(text, "| `{}` | {} | {} | {credential} |", asked.name, asked.methods.join(", "), paths.join(", "));
    }
    if let Some(asked) = &manifest.kubernetes {
        text.push_str(&rights_text(asked));
    }
    let _ = write!(
        text,
        "\n## Settings\n\nUnder `[collector.{}.settings]`.\n\n| key | kind | default | meaning |\n|---|---|---|---|\n",
        manifest.name
    );
    for (key, setting) in &manifest.settings {
        let default = match (&setting.default, setting.required) {
            (Some(value), _) => format!("`{value}`"),
            (None, true) => "required".into(),
            (None, false) => "not set".into(),
        };
        let _ = writeln!(text, "| `{key}` | {} | {default} | {} |", setting.kind.noun(), setting.description);
    }
    let _ = write!(text, "\n## Series ({})\n\n| series | unit | meaning |\n|---|---|---|\n", manifest.series.len());
    for series in &manifest.series {
        let tags = if series.tags.is_empty() { String::new() } else { format!(" by {}", series.tags.join(", ")) };
        let only = series.only_with.as_ref().map(|key| format!(" Only with setting `{key}`.")).unwrap_or_default();
        let _ = writeln!(text, "| `{}`{tags} | {} | {}{only} |", series.name, series.unit, series.description);
    }
    text
}

/// The rights that a service account needs for it, as the rules of a ClusterRole.
fn rights_text(asked: &KubernetesAsked) -> String {
    let mut rules: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for resource in &asked.resources {
        let (_, group, plural) = resource.parts();
        rules.entry(group).or_default().push(plural);
    }
    let mut text = String::from(
        "## Rights in the cluster\n\nThe rules of a ClusterRole. A right that is missing costs only the series that need it.\n\n```yaml\n",
    );
    for (group, plurals) in rules {
        let _ = writeln!(
            text,
            "- apiGroups: [\"{group}\"]\n  resources: [{}]\n  verbs: [\"list\"]",
            plurals.iter().map(|plural| format!("\"{plural}\"")).collect::<Vec<_>>().join(", ")
        );
    }
    for (is_asked, resource) in [(asked.logs, "pods/log"), (asked.summary, "nodes/proxy")] {
        if is_asked {
            let _ = writeln!(text, "- apiGroups: [\"\"]\n  resources: [\"{resource}\"]\n  verbs: [\"get\"]");
        }
    }
    text.push_str("```\n");
    text
}

#[test]
fn generated_text_is_up_to_date() {
    let readme = root().join("README.md");
    let mut text = fs::read_to_string(&readme).unwrap();
    for (section, content) in
        [("collectors", collectors_table()), ("limits", limits_table()), ("own series", own_series_table())]
    {
        text = with_section(&text, section, &content);
    }
    let mut stale: Vec<String> = check(&readme, &text).into_iter().collect();
    for manifest in manifests() {
        let path = root().join("guests").join(manifest.name.as_str()).join("README.md");
        stale.extend(check(&path, &readme_of(&manifest)));
    }
    assert!(stale.is_empty(), "{}", stale.join("\n"));
}
