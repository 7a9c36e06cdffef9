//! `kind = "github_app"`: tokens of an installation, with a GitHub that checks signatures, hands tokens out and takes them back.

use std::fs;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::SystemTime;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::evil::{Evil, Said, Seen};
use crate::intake::Intake;
use crate::secrets::files_under;
use crate::site::{Site, run_of};

const TOKENS: &str = "/app/installations/77/access_tokens";

/// Making one takes longer than a test.
static KEYS: LazyLock<[KeyPair; 2]> = LazyLock::new(|| [(); 2].map(|()| KeyPair::generate(KeySize::Rsa2048).unwrap()));

/// What GitHub does.
#[derive(Clone)]
struct Github {
    /// By how much its clock is ahead.
    ahead: SignedDuration,
    token_life: SignedDuration,
    /// How often a token is taken before it is refused.
    uses_max: usize,
    /// Instead of a token: status, headers, body.
    refusal: Option<(u16, &'static str, &'static str)>,
}

impl Default for Github {
    fn default() -> Github {
        Github {
            ahead: SignedDuration::ZERO,
            token_life: SignedDuration::from_hours(1),
            uses_max: usize::MAX,
            refusal: None,
        }
    }
}

/// What it remembers: the tokens that it has handed out, and how often each was used.
type Issued = Arc<Mutex<Vec<(String, usize)>>>;

impl Github {
    fn start(self) -> (Evil, Issued) {
        let issued = Issued::default();
        let book = issued.clone();
        (Evil::saying(move |seen| self.says(seen, &mut book.lock().unwrap())), issued)
    }

    fn now(&self) -> Timestamp {
        Timestamp::try_from(SystemTime::now()).unwrap() + self.ahead
    }

    fn says(&self, seen: &Seen, issued: &mut Vec<(String, usize)>) -> Said {
        let bearer = seen.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let date = format!("date: {}\r\n", self.now().strftime("%a, %d %b %Y %H:%M:%S GMT"));
        if seen.target == TOKENS && seen.method() == "POST" {
            if let Err(why) = self.check(bearer) {
                return Some((401, date, json!({ "message": format!("{why} in {bearer}") }).to_string().into()));
            }
            if let Some((status, headers, body)) = self.refusal {
                return Some((status, format!("{date}{headers}"), body.into()));
            }
            // As long as they are nowadays.
            let token = format!("ghs_77_{}.{}", issued.len(), "eyJhbGciOiJSUzI1NiJ9".repeat(20));
            issued.push((token.clone(), 0));
            let expires_at = (self.now() + self.token_life).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            return Some((201, date, json!({ "token": token, "expires_at": expires_at }).to_string().into()));
        }
        let Some((_, uses)) = issued.iter_mut().find(|(token, _)| token == bearer).filter(|(_, n)| *n < self.uses_max)
        else {
            return Some((401, date, json!({ "message": "Bad credentials" }).to_string().into()));
        };
        *uses += 1;
        None
    }

    /// Who asks for a token: a signature of the first key, for the App, made now.
    fn check(&self, jwt: &str) -> Result<(), String> {
        let (signed, signature) = jwt.rsplit_once('.').ok_or("no token")?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|e| e.to_string())?;
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, KEYS[0].public_key().as_ref());
        public.verify(signed.as_bytes(), &signature).map_err(|_| "a wrong signature")?;
        let part = |n: usize| -> Value {
            let text = URL_SAFE_NO_PAD.decode(signed.split('.').nth(n).unwrap()).unwrap();
            serde_json::from_slice(&text).unwrap()
        };
        let (header, claims, now) = (part(0), part(1), self.now().as_second());
        assert_eq!((&header["alg"], &claims["iss"]), (&json!("RS256"), &json!("Iv1.app")));
        let (iat, exp) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
        match iat <= now && now < exp && exp <= now + 600 {
            true => Ok(()),
            false => Err("iat or exp are not of now".into()),
        }
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|n| &text[n..text.len().min(n + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The key as GitHub gives it: PKCS#1, which PKCS#8 wraps in 26 bytes.
fn private_key(place: usize) -> String {
    let der: Pkcs8V1Der<'_> = KEYS[place].as_der().unwrap();
    pem("RSA PRIVATE KEY", &der.as_ref()[26..])
}

const CREDENTIAL: &str =
    "[credential.evil]\nkind = 'github_app'\napp = 'Iv1.app'\ninstallation = 77\nenv = 'PRIVATE_KEY'\n";

/// A site whose upstream is that GitHub, and whose collector plays an act.
fn site(github: &Evil, act: &str, number: usize, path: &str) -> Site {
    Site::new()
        .guest("hostile")
        .config(&format!("{}credential = 'evil'", github.config()))
        .config(CREDENTIAL)
        .config(&format!(
            "[collector.hostile]\nattempts = 1\nsettings = {{ act = '{act}', number = {number}, path = '{path}' }}"
        ))
        .env("PRIVATE_KEY", &private_key(0))
}

fn outcome(run: &Value) -> (&str, u64) {
    (run["outcome"].as_str().unwrap(), run["points"].as_u64().unwrap())
}

#[test]
fn a_token_is_asked_for_once_however_many_ask_and_counts_for_none_of_them() {
    let (github, _) = Github::default().start();
    let second = "[collector.second]\ncomponent = 'hostile.wasm'\nsettings = { act = 'fetch-many', number = 10, path = '/wait' }";
    let report = site(&github, "fetch-many", 10, "/wait").config(second).report(&[]);
    for name in ["hostile", "second"] {
        let run = run_of(&report, name);
        assert_eq!((outcome(run), &run["http"]["requests"]), (("emitted", 10), &json!(10)), "{run:#}");
    }
    assert_eq!(github.count(TOKENS), 1);
    let asked = github.seen().into_iter().find(|seen| seen.target == TOKENS).unwrap();
    assert_eq!(asked.header("accept"), Some("application/vnd.github+json"));
    assert!(asked.header("user-agent").unwrap().starts_with("collector-host/"));
    assert_eq!(asked.body, b"{}");
}

#[test]
fn a_token_is_cut_down_to_what_the_plan_says_and_asked_for_where_it_says() {
    let (api, issued) = Github::default().start();
    let book = issued.clone();
    let upstream = Evil::saying(move |seen| Github::default().says(seen, &mut book.lock().unwrap()));
    let more = format!(
        "{CREDENTIAL}api_url = 'http://{}'\nrepositories = ['rocket']\npermissions = {{ actions = 'read' }}\n",
        api.address
    );
    let report = site(&upstream, "fetch-in-turn", 2, "/ok").replace_config(CREDENTIAL, &more).report(&[]);
    assert_eq!(outcome(run_of(&report, "hostile")), ("emitted", 2), "{report:#}");
    assert_eq!((api.seen().len(), upstream.seen().len()), (1, 2));
    let wishes: Value = serde_json::from_slice(&api.seen()[0].body).unwrap();
    assert_eq!(wishes, json!({ "repositories": ["rocket"], "permissions": { "actions": "read" } }));
}

#[test]
fn a_sink_and_an_upstream_share_a_token() {
    let (github, _) = Github::default().start();
    let address = github.address;
    let shared = format!("{CREDENTIAL}api_url = 'http://{address}'\n");
    let sink = format!(
        "[sink.pushgateway]\nurl = 'http://{address}/push'\ncredential = 'evil'\nallow_addresses = ['loopback']"
    );
    let site = site(&github, "fetch", 1, "/ok").replace_config(CREDENTIAL, &shared).config(&sink);
    let called = site.call(&["run-all", "--format", "json"]);
    assert_eq!(called.code, 0, "{called:#?}");
    assert!(github.seen().iter().any(|seen| seen.target.starts_with("/push/metrics/job/")), "{called:#?}");
    assert_eq!(github.count(TOKENS), 1);
}

#[test]
fn a_token_that_was_withdrawn_is_replaced_and_the_request_sent_again() {
    let (github, issued) = Github { uses_max: 3, ..Github::default() }.start();
    let report = site(&github, "fetch-in-turn", 5, "/ok").report(&[]);
    let run = run_of(&report, "hostile");
    assert_eq!((outcome(run), &run["http"]["requests"]), (("emitted", 5), &json!(6)), "{run:#}");
    let uses: Vec<usize> = issued.lock().unwrap().iter().map(|(_, uses)| *uses).collect();
    assert_eq!(uses, [3, 2]);
}

#[test]
fn an_upstream_that_refuses_every_token_makes_the_host_ask_for_one_more_and_no_further() {
    let (github, _) = Github { uses_max: 0, ..Github::default() }.start();
    let run = site(&github, "fetch-many", 20, "/ok").report(&[]);
    let run = run_of(&run, "hostile");
    assert_eq!((run["reason"].as_str(), run["blame"].as_str()), (Some("unauthorized"), Some("settings")), "{run:#}");
    assert_eq!(github.count(TOKENS), 2);
}

#[test]
fn a_token_with_less_than_five_minutes_left_is_renewed_first() {
    for (minutes, tokens) in [(4, 3), (6, 1)] {
        let (github, _) = Github { token_life: SignedDuration::from_mins(minutes), ..Github::default() }.start();
        let report = site(&github, "fetch-in-turn", 3, "/ok").report(&[]);
        assert_eq!(outcome(run_of(&report, "hostile")), ("emitted", 3), "{report:#}");
        assert_eq!(github.count(TOKENS), tokens);
    }
}

#[test]
fn a_clock_that_is_off_costs_one_request_and_no_token() {
    for hours in [-2, 2] {
        let (github, _) = Github { ahead: SignedDuration::from_hours(hours), ..Github::default() }.start();
        let report = site(&github, "fetch-in-turn", 4, "/ok").report(&[]);
        assert_eq!(outcome(run_of(&report, "hostile")), ("emitted", 4), "{report:#}");
        assert_eq!(github.count(TOKENS), 2, "refused, and given");
    }
}

#[test]
fn no_guest_and_nothing_that_is_written_holds_token_signature_or_key() {
    // An echo, and a refusal that echoes the App's signature.
    for (key, path) in [(0, "/echo"), (1, "/ok")] {
        let ((github, issued), intake) = (Github::default().start(), Intake::start());
        let site = site(&github, "dump", 1, path).env("PRIVATE_KEY", &private_key(key)).config(&intake.config());
        let site = site.env("DD_API_KEY", "dd-key-0123456789");
        let called = site.call(&["run-all", "-vv", "--format", "json"]);
        let seen = github.seen();
        let bearer = |seen: &Seen| seen.header("authorization").unwrap().replace("Bearer ", "");
        let mut secrets: Vec<String> = seen.iter().map(bearer).collect();
        assert!(secrets.iter().any(|secret| secret.len() > 300), "{called:#?}");
        secrets.extend(private_key(key).lines().filter(|line| line.len() == 64).map(str::to_owned));
        secrets.extend(issued.lock().unwrap().iter().map(|(token, _)| token[..40].to_owned()));
        let assert_clean = |what: &str, bytes: &[u8]| {
            for secret in &secrets {
                let start = &secret.as_bytes()[..40];
                assert!(!bytes.windows(start.len()).any(|window| window == start), "{what} holds {secret}");
            }
        };
        let dump: Vec<u8> = seen.iter().filter(|s| s.target == "/dump").flat_map(|s| s.body.clone()).collect();
        match key {
            0 => assert!(dump.windows(10).any(|window| window == b"[redacted]"), "the echo never was in memory"),
            _ => assert!(
                called.stdout.contains("[redacted]") && called.stdout.contains("[credential.evil]"),
                "{called:#?}"
            ),
        }
        assert_clean("the guest's memory", &dump);
        assert_clean("stdout", called.stdout.as_bytes());
        assert_clean("stderr", called.stderr.as_bytes());
        for request in intake.requests() {
            assert_clean("a payload", &request.unpacked);
        }
        let mut files = Vec::new();
        files_under(&site.dir.path().join("state"), &mut files);
        assert!(files.iter().any(|path| path.ends_with("state.db")), "{files:?}");
        for file in files {
            assert_clean(&file.display().to_string(), &fs::read(&file).unwrap());
        }
    }
}

#[test]
fn a_refusal_names_the_section_and_what_to_change_and_stands() {
    let refused = |status, body| Github { refusal: Some((status, "", body)), ..Github::default() };
    for (github, key, says) in [
        (Github::default(), 1, "app and private key must be of one App"),
        (refused(404, r#"{"message": "Not Found"}"#), 0, "no installation 77 (404: Not Found)"),
        (refused(403, r#"{"message": "This installation has been suspended"}"#), 0, "look whether it is suspended"),
        (
            refused(422, r#"{"message": "The permissions requested are not granted"}"#),
            0,
            "only permissions and repositories",
        ),
    ] {
        let (github, _) = github.start();
        let site = site(&github, "fetch-many", 20, "/ok").env("PRIVATE_KEY", &private_key(key));
        let report = site.config("[collector.well]\ncomponent = 'hostile.wasm'").report(&[]);
        let run = run_of(&report, "hostile");
        assert_eq!((run["reason"].as_str(), run["blame"].as_str()), (Some("credential"), Some("settings")), "{run:#}");
        let message = run["message"].as_str().unwrap();
        assert!(message.contains("[credential.evil]: ") && message.contains(says), "{message}");
        assert_eq!(run_of(&report, "well")["outcome"], "emitted");
        assert_eq!((github.count(TOKENS), github.seen().len()), (1, 1));
    }
}

#[test]
fn what_may_pass_is_asked_for_again_and_blamed_on_github() {
    for (refusal, reason, requests) in [
        ((503, "", "busy"), "upstream-error", 3),
        ((500, "", "broken"), "upstream-error", 1),
        ((429, "retry-after: 3600\r\n", r#"{"message": "slow down"}"#), "rate-limited", 1),
    ] {
        let (github, _) = Github { refusal: Some(refusal), ..Github::default() }.start();
        let report = site(&github, "fetch-in-turn", 1, "/ok").report(&[]);
        let run = run_of(&report, "hostile");
        assert_eq!((run["reason"].as_str(), run["blame"].as_str()), (Some(reason), Some("upstream")), "{run:#}");
        assert!(run["message"].as_str().unwrap().contains("[credential.evil]: "), "{run:#}");
        assert_eq!(github.count(TOKENS), requests);
    }
}

#[test]
fn check_asks_for_a_token_where_it_may_ask_and_says_what_is_refused() {
    let suspended = Github { refusal: Some((403, "", r#"{"message": "suspended"}"#)), ..Github::default() };
    for (github, code, says) in [
        (Github::default(), 0, "ok    upstream evil: its credential was given"),
        (
            suspended,
            2,
            "MEND  upstream evil: [credential.evil]: GitHub gives installation 77 no token (403: suspended)",
        ),
    ] {
        let (github, _) = github.start();
        let site = site(&github, "fetch", 1, "/ok").config("[sink.jsonl]\npath = 'points.jsonl'");
        let called = site.call(&["check"]);
        assert!(called.code == 0 && github.seen().is_empty(), "{called:#?}");
        let called = site.call(&["check", "--online"]);
        assert!(called.code == code && called.stdout.contains(says), "{called:#?}");
        assert_eq!((github.count(TOKENS), github.seen().len()), (1, 1));
    }
}

#[test]
fn the_upstreams_network_policy_holds_for_its_tokens_too() {
    let (github, _) = Github::default().start();
    let site = site(&github, "fetch", 1, "/ok").replace_config("['loopback']", "['private']");
    let report = site.report(&[]);
    let run = run_of(&report, "hostile");
    assert_eq!(run["reason"], "denied", "{run:#}");
    assert!(run["message"].as_str().unwrap().contains("under [upstream.evil]"), "{run:#}");
    assert!(github.seen().is_empty());
}

#[test]
fn a_key_that_cannot_be_read_faults_its_collector_alone_and_check_says_so() {
    let (github, _) = Github::default().start();
    let site = site(&github, "fetch", 1, "/ok").env("PRIVATE_KEY", "hunter2-is-no-key");
    let site = site.config("[sink.jsonl]\npath = 'points.jsonl'");
    let report = site.report(&[]);
    let run = run_of(&report, "hostile");
    assert_eq!((run["reason"].as_str(), run["blame"].as_str()), (Some("credential"), Some("settings")), "{run:#}");
    assert!(
        run["message"].as_str().unwrap().contains("the private key of [credential.evil] cannot be read"),
        "{run:#}"
    );
    let called = site.call(&["check"]);
    assert_eq!(called.code, 2, "{called:#?}");
    assert!(called.stdout.contains("MEND  collector hostile") && called.stdout.contains(".pem"), "{called:#?}");
    assert!(!format!("{report}{called:?}").contains("hunter2"));
    assert!(github.seen().is_empty());
    // The same with a key that can be.
    let called = site.env("PRIVATE_KEY", &private_key(0).replace('\n', "\\n")).call(&["check"]);
    assert!(called.code == 0 && called.stdout.contains("ok    collector hostile"), "{called:#?}");
}
