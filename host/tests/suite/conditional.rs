//! What upstreams have answered before is asked for again with a condition, and given where they say that it still holds.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use host::clock;
use host::egress::{Answer, Ask, Bounds, Buffer, Egress, Meter, Network, Pacing, system_lookup};
use host::limits::ByteSize;
use host::model::{Name, Redactor, Transfer};
use host::policy::{Allowed, Redirects, Timeouts, Upstream};
use host::store::{Answers, AnswersOptions};
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};
use tokio::runtime::Runtime;

use crate::evil::{Evil, Seen, TAGGED};
use crate::intake::Intake;
use crate::site::{Called, Site, run_of};

const SECRET: &str = "hunter2-S3cr3t+/value";

/// A guest that asks for `/tagged/MOOD`, with a credential.
fn site(evil: &Evil, intake: &Intake, act: &str, mood: &str) -> Site {
    Site::new()
        .guest("hostile")
        .env("TOKEN", SECRET)
        .env("DD_API_KEY", "the-api-key")
        .config(&format!("{}credential = 'evil'", evil.config()))
        .config("[credential.evil]\nkind = 'bearer'\nenv = 'TOKEN'")
        .config(&intake.config())
        .config(&format!("[collector.hostile.settings]\nact = '{act}'\npath = '/tagged/{mood}'"))
}

#[track_caller]
fn cycle(site: &Site) -> Called {
    let called = site.call(&["run-all", "--format", "json"]);
    assert_eq!(called.code, 0, "{called:#?}");
    called
}

/// Requests, those of them that were not modified, and bytes received.
fn http(called: &Called) -> (u64, u64, u64) {
    let report = called.json();
    let http = &run_of(&report, "hostile")["http"];
    let count = |key: &str| http[key].as_u64().unwrap();
    (count("requests"), count("not_modified"), count("bytes"))
}

fn is_conditional(seen: &Seen) -> bool {
    let head = seen.head.to_lowercase();
    head.contains("if-none-match:") || head.contains("if-modified-since:")
}

/// Whether each request so far had a condition.
fn conditions(evil: &Evil) -> Vec<bool> {
    evil.seen().iter().map(is_conditional).collect()
}

fn file(site: &Site) -> std::path::PathBuf {
    site.dir.path().join("state/answers.db")
}

/// What the guest has emitted, by cycle.
fn values(intake: &Intake, series: &str) -> Vec<Value> {
    let all = intake.series();
    all.iter().filter(|s| s["metric"] == series).map(|s| s["points"][0]["value"].clone()).collect()
}

#[test]
fn what_still_holds_is_given_as_if_it_had_been_sent() {
    let (evil, intake) = (Evil::start(), Intake::start());
    let site = site(&evil, &intake, "fetch", "plain");
    let bytes = TAGGED.len() as u64 * 100;
    assert_eq!(http(&cycle(&site)), (1, 0, bytes));
    assert_eq!(http(&cycle(&site)), (1, 1, 0));
    assert_eq!(http(&cycle(&site)), (1, 1, 0));
    assert_eq!(conditions(&evil), [false, true, true]);
    assert!(evil.seen()[2].head.contains("if-none-match: W/\"v1\""), "{}", evil.seen()[2].head);
    assert_eq!(values(&intake, "hostile.bytes"), vec![Value::from(bytes as f64); 3]);
    assert_eq!(values(&intake, "hostile.status"), vec![Value::from(200.0); 3]);
    let table = site.call(&["run-all"]).stdout;
    assert!(table.contains("1 (1 not modified)"), "{table}");
}

#[test]
fn the_body_of_a_remembered_answer_is_in_the_guests_memory_and_a_secret_that_it_echoed_is_not_on_the_disk() {
    let (evil, intake) = (Evil::start(), Intake::start());
    let site = site(&evil, &intake, "dump", "echo");
    cycle(&site);
    let before = evil.seen().len();
    cycle(&site);
    assert!(is_conditional(&evil.seen()[before]));
    let dump: Vec<u8> = evil.seen()[before..].iter().flat_map(|seen| seen.body.clone()).collect();
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(&dump, TAGGED) && holds(&dump, "[redacted]"));
    assert!(!holds(&dump, SECRET));
    // In the body as it stands there, and in the file as it is.
    let bodies = bodies(&file(&site));
    assert_eq!(bodies.len(), 1);
    assert!(holds(&bodies[0], TAGGED) && holds(&bodies[0], "[redacted]") && !holds(&bodies[0], SECRET));
    for name in ["answers.db", "state.db"] {
        let bytes = fs::read(site.dir.path().join("state").join(name)).unwrap();
        assert!(!holds(&bytes, SECRET) && !holds(&bytes, "session=1"), "{name}");
    }
}

/// All remembered bodies, unpacked.
fn bodies(path: &Path) -> Vec<Vec<u8>> {
    let url = format!("sqlite://{}", path.display());
    let packed: Vec<Vec<u8>> = Runtime::new().unwrap().block_on(async {
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let bodies = sqlx::query_scalar("SELECT body FROM bodies").fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        bodies
    });
    let unpack = |packed: &Vec<u8>| {
        let mut body = Vec::new();
        GzDecoder::new(packed.as_slice()).read_to_end(&mut body).unwrap();
        body
    };
    packed.iter().map(unpack).collect()
}

#[test]
fn another_credential_gets_nothing_of_it() {
    let (evil, intake) = (Evil::start(), Intake::start());
    let site = site(&evil, &intake, "fetch", "plain");
    cycle(&site);
    let site = site.env("TOKEN", "another-t0ken-0123456789");
    cycle(&site);
    let site = site.env("TOKEN", SECRET);
    cycle(&site);
    assert_eq!(conditions(&evil), [false, false, true]);
}

#[test]
fn two_collectors_that_ask_the_same_share_nothing() {
    let (evil, intake) = (Evil::start(), Intake::start());
    let site = site(&evil, &intake, "fetch", "plain");
    cycle(&site);
    let second = "[collector.second]\ncomponent = 'hostile.wasm'\nsettings = { act = 'fetch', path = '/tagged/plain' }";
    cycle(&site.config(second));
    let seen = evil.seen();
    let of_second: Vec<&Seen> = seen.iter().filter(|seen| seen.head.contains("(second)")).collect();
    assert_eq!((seen.len(), of_second.len()), (3, 1));
    assert!(!is_conditional(of_second[0]) && conditions(&evil).contains(&true));
}

#[test]
fn what_may_not_be_kept_is_asked_for_as_if_for_the_first_time() {
    for mood in ["no-store", "vary-all", "moved", "endless"] {
        let (evil, intake) = (Evil::start(), Intake::start());
        let site = site(&evil, &intake, "fetch", mood)
            .replace_config("credential = 'evil'", "redirects = 1\ncredential = 'evil'");
        for _ in 0..2 {
            assert_eq!(http(&cycle(&site)).1, 0, "{mood}");
        }
        assert!(!conditions(&evil).contains(&true), "{mood}");
        assert!(!file(&site).exists(), "{mood}");
    }
}

#[test]
fn a_condition_does_not_go_where_a_redirect_leads() {
    let (evil, intake) = (Evil::start(), Intake::start());
    let site = site(&evil, &intake, "fetch", "moves")
        .replace_config("credential = 'evil'", "redirects = 1\ncredential = 'evil'");
    for _ in 0..3 {
        cycle(&site);
    }
    // By the redirect the answer is another one's: it is not remembered any more.
    assert_eq!(conditions(&evil), [false, true, false, false]);
    assert_eq!(values(&intake, "hostile.status"), vec![Value::from(200.0); 3]);
}

#[test]
fn the_operator_turns_it_off_for_an_upstream_or_for_all() {
    let (evil, intake) = (Evil::start(), Intake::start());
    let site = site(&evil, &intake, "fetch", "plain");
    cycle(&site);
    let without = site.replace_config("credential = 'evil'\n", "credential = 'evil'\nconditional = false\n");
    cycle(&without);
    assert!(file(&without).exists());
    let off = without.replace_config("conditional = false", "conditional = true").config("[cache]\nbytes = 0");
    cycle(&off);
    assert_eq!(conditions(&evil), [false, false, false]);
    assert!(!file(&off).exists());
}

#[test]
fn what_nobody_has_asked_for_within_the_age_is_asked_for_anew() {
    let (evil, intake) = (Evil::start(), Intake::start());
    let site = site(&evil, &intake, "fetch", "plain").config("[cache]\nage = '1h'");
    for time in ["12:00", "12:50", "13:40", "14:41"] {
        let called = site.call(&["run-all", "--now", &format!("2025-10-24T{time}:00Z")]);
        assert_eq!(called.code, 0, "{called:#?}");
    }
    assert_eq!(conditions(&evil), [false, true, true, false]);
}

#[test]
fn a_remembered_answer_has_the_limits_of_one_that_is_sent() {
    for (limit, says) in
        [("response_body = '100KiB'", "response_body (100 KiB)"), ("response_total = '100KiB'", "response_total")]
    {
        let (evil, intake) = (Evil::start(), Intake::start());
        let site = site(&evil, &intake, "fetch", "megabyte");
        cycle(&site);
        let limited = site.config(&format!("[collector.hostile.limits]\n{limit}"));
        let called = limited.call(&["run-all", "--format", "json"]);
        let report = called.json();
        let run = run_of(&report, "hostile");
        assert_eq!((run["outcome"].as_str(), run["reason"].as_str()), (Some("fault"), Some("limit")), "{run:#}");
        assert!(run["message"].as_str().unwrap().contains(says), "{run:#}");
        assert_eq!(http(&called), (1, 1, 0));
    }
}

#[test]
fn a_304_that_names_another_answer_is_followed_by_a_request_without_a_condition() {
    let (evil, intake) = (Evil::start(), Intake::start());
    let site = site(&evil, &intake, "fetch", "other");
    cycle(&site);
    assert_eq!(http(&cycle(&site)), (2, 1, TAGGED.len() as u64 * 100));
    assert_eq!(conditions(&evil), [false, true, false]);
    assert_eq!(values(&intake, "hostile.status"), vec![Value::from(200.0); 2]);
}

#[test]
fn a_damaged_file_is_passed_over_said_once_and_begun_anew() {
    let (evil, intake) = (Evil::start(), Intake::start());
    let site = site(&evil, &intake, "fetch-in-turn", "plain");
    cycle(&site);
    let damage = b"no database at all ".repeat(1000);
    fs::write(file(&site), &damage).unwrap();
    let dry = site.call(&["run-all", "--dry-run", "--format", "json"]);
    assert_eq!((dry.code, http(&dry).1), (0, 0), "{dry:#?}");
    assert_eq!(fs::read(file(&site)).unwrap(), damage);
    let called = cycle(&site);
    assert_eq!(http(&called).1, 0);
    assert_eq!(called.stderr.matches("answers.db").count(), 1, "{}", called.stderr);
    assert_eq!(called.json()["host_faults"], Value::Array(vec![]));
    let called = cycle(&site);
    assert_eq!(http(&called).1, 5);
    assert!(!called.stderr.contains("answers.db"), "{}", called.stderr);
}

#[test]
fn a_dry_run_asks_with_conditions_and_leaves_the_file_as_it_is() {
    let (evil, intake) = (Evil::start(), Intake::start());
    let site = site(&evil, &intake, "fetch", "plain");
    let dry = ["run-all", "--dry-run", "--format", "json"];
    assert_eq!(http(&site.call(&dry)).1, 0);
    assert!(!file(&site).exists());
    cycle(&site);
    let before = fs::read(file(&site)).unwrap();
    assert_eq!(http(&site.call(&dry)).1, 1);
    assert_eq!(fs::read(file(&site)).unwrap(), before);
}

#[test]
fn a_host_that_is_killed_loses_what_it_had_learnt_in_that_cycle_and_nothing_else() {
    let (evil, intake) = (Evil::start(), Intake::start());
    let site = site(&evil, &intake, "fetch", "plain");
    cycle(&site);
    let more = "[collector.more]\ncomponent = 'hostile.wasm'\nsettings = { act = 'fetch', path = '/tagged/more' }\n\
                [collector.hangs]\ncomponent = 'hostile.wasm'\nafter = ['hostile', 'more']\n\
                settings = { act = 'fetch', path = '/never' }";
    let site = site.config(more);
    let mut child = site.start(&["run-all"]);
    let since = Instant::now();
    while evil.count("/never") == 0 {
        assert!(since.elapsed() < Duration::from_secs(20), "it never began");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = evil.seen().len();
    let called = cycle(&site.replace_config("/never", "/ok"));
    assert!(!called.stderr.contains("answers.db"), "{}", called.stderr);
    let asked = |path: &str| evil.seen()[before..].iter().find(|seen| seen.target == path).map(is_conditional);
    assert_eq!((asked("/tagged/plain"), asked("/tagged/more")), (Some(true), Some(false)));
}

/// The host's side of HTTP by itself, over the answers of a folder.
struct Direct {
    runtime: Runtime,
    egress: Egress,
    answers: Answers,
    meter: Meter,
}

impl Direct {
    fn open(evil: &Evil, folder: &Path) -> Direct {
        let runtime = Runtime::new().unwrap();
        let options = AnswersOptions {
            folder: folder.into(),
            bytes_max: ByteSize::mib(1),
            age_max: jiff::SignedDuration::from_hours(1),
            now: clock::wall(),
            records: true,
        };
        let answers = runtime.block_on(Answers::open(options)).unwrap();
        let name = Name::new("evil").unwrap();
        let upstream = Upstream {
            name: name.clone(),
            base_url: format!("http://{}", evil.address).parse().unwrap(),
            credential: None,
            allowed: Allowed::new(vec!["loopback".parse().unwrap()]),
            redirects: Redirects::default(),
            timeouts: Timeouts::default(),
            is_conditional: true,
        };
        let network = Network::new(system_lookup(BTreeMap::new()), None).unwrap();
        let upstreams = BTreeMap::from([(name, upstream)]);
        let egress = Egress::remembering(Some(&answers), &upstreams, &network, &Redactor::default());
        Direct { runtime, egress, answers, meter: Meter::default() }
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let ask = Ask {
            method: "GET".into(),
            path: path.into(),
            headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            ..Ask::default()
        };
        let bounds = Bounds {
            deadline: clock::instant() + Duration::from_secs(10),
            body_bytes_max: 1 << 20,
            header_bytes_max: 1 << 16,
            buffer: Buffer::new(ByteSize::mib(1)),
        };
        let endpoint = self.egress.endpoint(&Name::new("evil").unwrap()).unwrap();
        self.runtime.block_on(endpoint.send(&ask, &bounds, &self.meter, Pacing::PATIENT)).unwrap()
    }

    fn finish(self) -> Transfer {
        self.runtime.block_on(self.answers.finish());
        self.meter.read()
    }
}

#[test]
fn headers_are_those_of_the_first_answer_as_the_304_refreshes_them() {
    let (evil, dir) = (Evil::start(), tempfile::tempdir().unwrap());
    let direct = Direct::open(&evil, dir.path());
    let first = direct.get("/tagged/plain", &[]);
    assert_eq!((first.header("set-cookie"), first.header("x-fresh")), (Some("session=1"), None));
    direct.finish();
    for _ in 0..2 {
        let direct = Direct::open(&evil, dir.path());
        let again = direct.get("/tagged/plain", &[]);
        let header = |name: &str| again.header(name);
        assert_eq!((again.status, &again.body), (200, &first.body));
        assert_eq!((header("x-from"), header("x-fresh")), (Some("the first answer"), Some("yes")));
        assert_eq!((header("set-cookie"), header("content-encoding")), (None, None));
        assert_eq!(direct.finish(), Transfer { requests: 1, not_modified: 1, ..Transfer::default() });
    }
}

#[test]
fn an_answer_in_chunks_is_known_to_have_come_whole() {
    let (evil, dir) = (Evil::start(), tempfile::tempdir().unwrap());
    for not_modified in [0, 1] {
        let direct = Direct::open(&evil, dir.path());
        assert_eq!(direct.get("/tagged/chunked", &[]).body, TAGGED.repeat(100).into_bytes());
        assert_eq!(direct.finish().not_modified, not_modified);
    }
}

#[test]
fn an_answer_without_a_tag_is_asked_for_by_its_time() {
    let (evil, dir) = (Evil::start(), tempfile::tempdir().unwrap());
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let direct = Direct::open(&evil, dir.path());
        bodies.push(direct.get("/tagged/dated", &[]).body);
        direct.finish();
    }
    assert_eq!(bodies[0], bodies[1]);
    assert!(
        evil.seen()[1].head.contains("if-modified-since: Fri, 24 Oct 2025 11:00:00 GMT"),
        "{}",
        evil.seen()[1].head
    );
}

#[test]
fn a_condition_of_the_guests_own_is_answered_as_the_upstream_does_and_not_remembered() {
    let (evil, dir) = (Evil::start(), tempfile::tempdir().unwrap());
    for condition in [("If-None-Match", "\"mine\""), ("range", "bytes=0-5"), ("cache-control", "no-store")] {
        let direct = Direct::open(&evil, dir.path());
        let answer = direct.get("/tagged/plain", &[condition]);
        let expected = if condition.0 == "If-None-Match" { (304, 0) } else { (200, TAGGED.len() * 100) };
        assert_eq!((answer.status, answer.body.len()), expected, "{condition:?}");
        direct.finish();
        assert!(!dir.path().join("answers.db").exists(), "{condition:?}");
    }
    assert!(evil.seen()[0].head.contains("if-none-match: \"mine\""), "{}", evil.seen()[0].head);
}

#[test]
fn the_gate_hears_what_a_304_says_of_the_limit() {
    let (evil, dir) = (Evil::start(), tempfile::tempdir().unwrap());
    let direct = Direct::open(&evil, dir.path());
    direct.get("/tagged/last-one", &[]);
    direct.finish();
    let direct = Direct::open(&evil, dir.path());
    assert_eq!(direct.get("/tagged/last-one", &[]).status, 200);
    let since = Instant::now();
    direct.get("/tagged/plain", &[]);
    assert!(since.elapsed() > Duration::from_millis(900), "{:?}", since.elapsed());
}
