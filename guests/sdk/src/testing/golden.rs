//! Runs every fixture of a crate and compares its text with the golden one.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Case, World, run};
use crate::Collector;

/// Runs `fixtures/*.json` of the crate in `crate_dir`; each must give the text in the `.txt` beside it, ask for every
/// answer that the fixture has, and say something about every series that the manifest declares.
///
/// With `UPDATE_GOLDEN=1` in the environment it writes the texts instead of comparing them.
///
/// # Panics
/// Where a fixture cannot be read or departs from its golden text; the message shows every departure of every fixture.
pub fn golden<C: Collector>(crate_dir: &str) {
    let dir = Path::new(crate_dir);
    let manifest = read(&dir.join("collector.toml"));
    let mut cases: Vec<PathBuf> = match fs::read_dir(dir.join("fixtures")) {
        Ok(entries) => entries.filter_map(|e| e.ok().map(|e| e.path())).collect(),
        Err(e) => panic!("{}/fixtures: {e}", dir.display()),
    };
    cases.retain(|path| path.extension().is_some_and(|e| e == "json"));
    cases.sort();
    assert!(!cases.is_empty(), "{}/fixtures holds no case", dir.display());

    let update = std::env::var_os("UPDATE_GOLDEN").is_some_and(|v| v == "1");
    let mut wrong = Vec::new();
    for path in cases {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let case: Case = match serde_json::from_str(&read(&path)) {
            Ok(case) => case,
            Err(e) => {
                wrong.push(format!("{name}: not a case: {e}"));
                continue;
            }
        };
        let outcome = run::<C>(World::of_case(&manifest, &case));
        wrong.extend(outcome.left.iter().map(|left| format!("{name}: nobody asked for {left}")));
        // A collector that can say anything says something of every series.
        if outcome.fault.is_none() || !outcome.points.is_empty() {
            wrong.extend(outcome.forgotten().iter().map(|s| format!("{name}: neither point nor gap: {s}")));
        }
        let actual = outcome.text();
        let golden = path.with_extension("txt");
        if update {
            fs::write(&golden, &actual).unwrap_or_else(|e| panic!("{}: {e}", golden.display()));
        } else {
            let expected = fs::read_to_string(&golden).unwrap_or_default();
            wrong.extend(differences(&expected, &actual).map(|d| format!("{name}: {d}")));
        }
    }
    assert!(
        wrong.is_empty(),
        "fixtures depart from their golden text (UPDATE_GOLDEN=1 writes it anew):\n{}",
        wrong.join("\n")
    );
}

/// The lines that only one of the texts has, in order. Sections are sorted, so no better diff is needed.
fn differences<'a>(expected: &'a str, actual: &'a str) -> impl Iterator<Item = String> + 'a {
    let missing = expected.lines().filter(move |l| !actual.lines().any(|a| a == *l)).map(|l| format!("- {l}"));
    let added = actual.lines().filter(move |l| !expected.lines().any(|e| e == *l)).map(|l| format!("+ {l}"));
    missing.chain(added)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, emit, now, settings};

    const MANIFEST: &str = r#"
        [settings.greeting]
        default = "hello"
        [[series]]
        name = "probe.length"
        [[series]]
        name = "probe.forgotten"
    "#;

    struct Probe;

    impl Collector for Probe {
        async fn collect() -> Result<(), Fault> {
            let answer = crate::http::Request::get("probe", "/length").query("page", 1).fetch().await?;
            let mut sheet = crate::Sheet::default();
            sheet.count("probe.length", answer.body.len() + settings::text("greeting")?.len());
            crate::log::info(format!("at {}", now()));
            emit(sheet)
        }
    }

    fn case(answer: &str) -> Case {
        let text = format!(
            r#"{{"about": "x", "now": "2025-10-24T12:00:00Z", "exchanges": [
                {{"upstream": "probe", "path": "/length", "query": {{"page": "1"}}, {answer}}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_case_answers_and_the_text_holds_everything() {
        let outcome = run::<Probe>(World::of_case(MANIFEST, &case(r#""text": "abc""#)));
        assert_eq!(
            outcome.text(),
            "points (1)\n  probe.length 8\nrequests (1)\n  probe GET /length?page=1\nlog (1)\n  Info: at 2025-10-24T12:00:00Z\n"
        );
        assert_eq!(outcome.forgotten(), ["probe.forgotten"]);
    }

    #[test]
    fn an_answer_that_is_an_error_or_used_up_becomes_a_fault() {
        let outcome = run::<Probe>(World::of_case(MANIFEST, &case(r#""error": "timeout""#)));
        assert_eq!(outcome.fault.unwrap().reason, crate::Reason::Timeout);
        let mut none = case(r#""json": {}"#);
        none.exchanges.clear();
        assert_eq!(run::<Probe>(World::of_case(MANIFEST, &none)).fault.unwrap().reason, crate::Reason::Denied);
    }

    #[test]
    fn a_fixture_may_hold_json_inside_a_text() {
        let outcome =
            run::<Probe>(World::of_case(MANIFEST, &case(r#""json": {"a": {"$text": {"b": [{"$text": 1}]}}}"#)));
        // {"a":"{\"b\":[\"1\"]}"} and "hello"
        assert_eq!(outcome.value("probe.length"), Some(23.0 + 5.0));
        let outcome = run::<Probe>(World::of_case(MANIFEST, &case(r#""json": null"#)));
        assert_eq!(outcome.value("probe.length"), Some(4.0 + 5.0));
    }

    #[test]
    fn differences_name_lines_of_both_sides() {
        let d: Vec<_> = differences("a\nb\n", "b\nc\n").collect();
        assert_eq!(d, ["- a", "+ c"]);
    }
}
