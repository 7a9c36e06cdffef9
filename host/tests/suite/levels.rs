//! The tidy rules: levels of modules, one place for each thing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The files of `host/src` with their module and their text.
fn modules() -> Vec<(String, PathBuf, String)> {
    let src = root().join("host/src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let of = |path: PathBuf| {
        let inside = path.strip_prefix(&src).unwrap();
        let module = inside.components().next().unwrap().as_os_str().to_string_lossy().replace(".rs", "");
        let text = fs::read_to_string(&path).unwrap();
        (module, path, text)
    };
    files.into_iter().map(of).collect()
}

/// The table in ARCHITECTURE.md: `| level | module | holds |`, several modules in one row with commas.
fn levels() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut levels = BTreeMap::new();
    for row in text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if let Ok(level) = cells[1].parse() {
            for module in cells[2].split(',') {
                levels.insert(module.trim().trim_matches('`').to_owned(), level);
            }
        }
    }
    levels
}

#[test]
fn a_module_uses_only_modules_of_lower_levels() {
    let levels = levels();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (module, path, text) in modules().into_iter().filter(|(module, ..)| module != "lib" && module != "main") {
        let level = *levels.get(&module).unwrap_or_else(|| panic!("{module} is not in ARCHITECTURE.md's table"));
        for used in text.split("crate::").skip(1) {
            let used: String = used.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            if used == module || used.is_empty() {
                continue;
            }
            seen += 1;
            if levels.get(&used).is_none_or(|other| *other >= level) {
                wrong.push(format!("{}: {module} (level {level}) uses {used}", path.display()));
            }
        }
    }
    assert!(seen > 100, "only {seen} uses were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_table_exists() {
    let existing: Vec<String> = modules().into_iter().map(|(module, ..)| module).collect();
    for module in levels().keys() {
        assert!(existing.contains(module), "{module} is in ARCHITECTURE.md's table and nowhere else");
    }
}

/// Text that may stand in one place only, and that place.
const ONE_PLACE: [(&str, &[&str]); 5] = [
    ("wasmtime::", &["runtime"]),
    ("wasmtime_wasi::", &["runtime"]),
    ("reqwest::Client", &["egress"]),
    ("Instant::now()", &["clock"]),
    ("Timestamp::now()", &["clock"]),
];

#[test]
fn what_belongs_in_one_place_is_nowhere_else() {
    for (text, places) in ONE_PLACE {
        let users = modules().into_iter().filter(|(_, _, source)| source.contains(text));
        let wrong: Vec<_> =
            users.filter(|(module, ..)| !places.contains(&module.as_str())).map(|(_, p, _)| p).collect();
        assert!(wrong.is_empty(), "{text} stands in {wrong:?}, and belongs into {places:?}");
    }
}

#[test]
fn nothing_gives_up_outside_of_tests() {
    let mut files: Vec<PathBuf> = modules().into_iter().map(|(_, path, _)| path).collect();
    sources(&root().join("guests"), &mut files);
    let mut wrong = Vec::new();
    for path in
        files.into_iter().filter(|p| !p.components().any(|c| c.as_os_str() == "tests" || c.as_os_str() == "testing"))
    {
        if path.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
        for (n, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            let gives_up = [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!("];
            if gives_up.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{}:{}: {}", path.display(), n + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
