//! A secret is in no guest's memory, no log, no report, no error and no file.

use std::fs;
use std::path::Path;

use base64::Engine as _;

use crate::evil::{Evil, Seen};
use crate::intake::Intake;
use crate::site::{Site, run_of};

const SECRET: &str = "hunter2-S3cr3t+/value";
const API_KEY: &str = "dd-K3y-that-n0body-sees";

/// Every form in which the secret could show up.
fn forms() -> Vec<Vec<u8>> {
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD_NO_PAD.encode(text).into_bytes();
    vec![
        SECRET.into(),
        base64(SECRET),
        base64(&format!("api:{SECRET}")),
        SECRET.replace('+', "%2B").replace('/', "%2F").into_bytes(),
        API_KEY.into(),
        // The beginning of a key is as much of a leak as the whole.
        SECRET.as_bytes()[..12].to_vec(),
        API_KEY.as_bytes()[..12].to_vec(),
    ]
}

#[track_caller]
fn assert_clean(what: &str, bytes: &[u8]) {
    for form in forms() {
        let found = bytes.windows(form.len()).any(|window| window == form);
        assert!(!found, "{what} holds {:?}", String::from_utf8_lossy(&form));
    }
}

pub fn files_under(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_under(&path, found) } else { found.push(path) }
    }
}

fn site(evil: &Evil, intake: &Intake, credential: &str, act: &str, path: &str) -> Site {
    Site::new()
        .guest("hostile")
        .env("TOKEN", SECRET)
        .env("DD_API_KEY", API_KEY)
        .config(&format!("{}credential = 'evil'", evil.config()))
        .config(&format!("[credential.evil]\n{credential}\nenv = 'TOKEN'"))
        .config(&intake.config())
        .config(&format!("[collector.hostile]\nattempts = 1\nsettings = {{ act = '{act}', path = '{path}' }}"))
}

/// All that a cycle writes, and all that it sends to anybody but the upstream that the secret is for.
#[track_caller]
fn assert_nothing_leaks(site: &Site, evil: &Evil, intake: &Intake) {
    for format in ["text", "json"] {
        let called = site.call(&["run-all", "-vv", "--format", format]);
        assert!(!called.stdout.is_empty(), "{called:#?}");
        assert_clean("stdout", called.stdout.as_bytes());
        assert_clean("stderr", called.stderr.as_bytes());
    }
    for args in [&["list"][..], &["check"], &["inspect", "components/hostile.wasm"], &["run", "hostile", "-vv"]] {
        let called = site.call(args);
        assert_clean(&format!("{args:?}"), format!("{}{}", called.stdout, called.stderr).as_bytes());
    }
    let mut files = Vec::new();
    files_under(&site.dir.path().join("state"), &mut files);
    assert!(files.iter().any(|path| path.ends_with("state.db")), "{files:?}");
    for file in files {
        assert_clean(&file.display().to_string(), &fs::read(&file).unwrap());
    }
    for request in intake.requests() {
        assert_clean("a payload", &request.unpacked);
    }
    for seen in evil.seen() {
        assert_clean("a request's target", seen.target.as_bytes());
        assert_clean("a request's body", &seen.body);
    }
}

#[test]
fn a_guest_that_dumps_its_whole_memory_finds_no_secret_in_it() {
    for credential in ["kind = 'bearer'", "kind = 'basic'\nuser = 'api'", "kind = 'header'\nheader = 'X-Api-Key'"] {
        let (evil, intake) = (Evil::start(), Intake::start());
        // The upstream echoes the credential, so the host has the secret in the very answer that it hands over.
        let site = site(&evil, &intake, credential, "dump", "/echo");
        let report = site.call(&["run-all", "--format", "json"]).json();
        assert_eq!(run_of(&report, "hostile")["outcome"], "emitted", "{report:#}");
        let seen = evil.seen();
        let echoed = seen.iter().find(|seen| seen.target == "/echo").unwrap();
        let sent = forms().iter().any(|form| echoed.head.as_bytes().windows(form.len()).any(|w| w == form));
        assert!(sent, "the credential was not sent: {}", echoed.head);
        let dump: Vec<u8> = seen.iter().filter(|s| s.target == "/dump").flat_map(|s| s.body.clone()).collect();
        assert!(dump.len() >= 1 << 20, "{} bytes", dump.len());
        assert!(dump.windows(10).any(|w| w == b"[redacted]"), "the echo never was in memory");
        assert_clean("the guest's memory", &dump);
        assert_nothing_leaks(&site, &evil, &intake);
    }
}

#[test]
fn an_error_that_echoes_the_secret_is_scrubbed_everywhere() {
    for path in ["/echo-error", "/unauthorized", "/garbage", "/to-ok", "/never"] {
        let (evil, intake) = (Evil::start(), Intake::start());
        let site = site(&evil, &intake, "kind = 'bearer'", "fetch-in-turn", path)
            .config("[collector.hostile.limits]\ndeadline = '1s'");
        assert_nothing_leaks(&site, &evil, &intake);
    }
}

#[test]
fn a_credential_goes_to_its_own_upstream_only() {
    let (evil, other, intake) = (Evil::start(), Evil::start(), Intake::start());
    let redirect = format!("/to-host/{}", other.address.port());
    let site = site(&evil, &intake, "kind = 'bearer'", "fetch", &redirect).replace_config(
        "allow_addresses = ['loopback']\ncredential",
        "allow_addresses = ['loopback']\nredirects = 1\nredirect_hosts = ['127.0.0.1']\ncredential",
    );
    let report = site.report(&[]);
    assert_eq!(run_of(&report, "hostile")["outcome"], "emitted", "{report:#}");
    let seen = other.seen();
    assert_eq!(seen.len(), 1);
    assert!(!seen[0].head.to_lowercase().contains("authorization"), "{}", seen[0].head);
    assert_clean("a request to another host", seen[0].head.as_bytes());
}

#[test]
fn a_missing_credential_faults_its_collector_alone_with_the_line_to_write() {
    let site = Site::new().guest("collector-github").env("GITHUB_ORG", "acme").env("GITHUB_REPO", "rocket");
    let report = site.report(&[]);
    let run = run_of(&report, "github");
    assert_eq!((run["reason"].as_str(), run["blame"].as_str()), (Some("credential"), Some("settings")));
    assert!(run["hint"].as_str().unwrap().contains("set GITHUB_TOKEN"), "{run:#}");
}

/// A site whose credential comes from a store that the evil server plays.
fn stored(evil: &Evil, source: &str) -> Site {
    let address = evil.address;
    Site::new()
        .guest("hostile")
        .config(&format!("{}credential = 'evil'\n[credential.evil]\nkind = 'bearer'\n{source}", evil.config()))
        .config(&format!("[secrets.vault]\naddress = 'http://{address}'\nallow_addresses = ['loopback']"))
        .config(&format!("[secrets.aws]\nregion = 'us-east-1'\nendpoint_url = 'http://{address}/aws'"))
        .config(&format!("[kubernetes]\nserver = 'http://{address}'"))
        .config("[collector.hostile.settings]\nact = 'fetch'\npath = '/ok'")
        .env("VAULT_TOKEN", "vault-token-0123456789")
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "aws-access-0123456789")
}

#[test]
fn a_credential_comes_from_the_store_that_keeps_it() {
    for (source, secret) in [
        ("vault = 'secret/data/app'\nkey = 'TOKEN'", "vault-secret-0123456789"),
        ("vault = 'old/app'", "vault-secret-0123456789"),
        ("kubernetes = 'ml/app'\nkey = 'TOKEN'", "cluster-secret-0123456789"),
        ("aws = 'dev/app'\nkey = 'TOKEN'", "aws-secret-0123456789"),
    ] {
        let evil = Evil::start();
        let called = stored(&evil, source).call(&["run-all", "--dry-run", "--format", "json"]);
        assert_eq!(called.code, 0, "{source}: {called:#?}");
        let asked = evil.seen().into_iter().find(|seen| seen.target == "/ok").unwrap();
        assert!(asked.head.contains(&format!("authorization: Bearer {secret}")), "{source}: {}", asked.head);
        assert!(!called.stdout.contains(secret) && !called.stderr.contains(secret));
        // Whoever only looks asks no store.
        let before = evil.seen().len();
        assert_eq!(stored(&evil, source).call(&["list"]).code, 0);
        assert_eq!(evil.seen().len(), before);
    }
}

#[test]
fn a_secret_that_a_store_does_not_give_faults_its_collector_alone_with_the_line_to_write() {
    for (source, says) in [
        ("vault = 'secret/data/nothing'", "Vault path secret/data/nothing: Vault has nothing there (404)"),
        ("vault = 'secret/data/app'\nkey = 'NONE'", "it has no such key, but TOKEN"),
        ("kubernetes = 'ml/none'", "Kubernetes secret ml/none: "),
        ("aws = 'dev/none'", "AWS secret dev/none: ResourceNotFoundException: no such secret"),
        ("aws = 'dev/app'", "it has several keys, OTHER, TOKEN: write key"),
    ] {
        let evil = Evil::start();
        let site = stored(&evil, source).config(
            "[upstream.other]\nbase_url = 'http://127.0.0.1:9'\n[collector.well]\ncomponent = 'hostile.wasm'\nsettings = { act = 'well' }",
        );
        let report = site.call(&["run-all", "--dry-run", "--format", "json"]).json();
        let run = run_of(&report, "hostile");
        assert_eq!((run["reason"].as_str(), run["blame"].as_str()), (Some("credential"), Some("settings")), "{run:#}");
        assert!(run["message"].as_str().unwrap().contains(says), "{source}: {run:#}");
        assert!(run["hint"].as_str().unwrap().contains("under [credential.evil]"), "{run:#}");
    }
    let evil = Evil::start();
    let site = stored(&evil, "vault = 'secret/data/app'").env("VAULT_TOKEN", "wrong-token-0123456789");
    let report = site.call(&["run-all", "--dry-run", "--format", "json"]).json();
    let message = run_of(&report, "hostile")["message"].clone();
    assert!(message.as_str().unwrap().contains("Vault answered 403: permission denied"), "{message}");
}

#[test]
fn a_pod_logs_in_to_vault_with_its_service_account_and_what_it_shows_is_seen_nowhere() {
    const ACCOUNT: &str = "the-token-of-the-service-account";
    let login = |seen: &Seen| {
        if seen.target != "/v1/auth/k8s/login" {
            return None;
        }
        let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        assert_eq!((seen.method(), body["jwt"].as_str()), ("POST", Some(ACCOUNT)));
        Some(match body["role"].as_str() {
            Some("host") => (200, String::new(), br#"{"auth": {"client_token": "vault-token-0123456789"}}"#.to_vec()),
            _ => (403, String::new(), format!(r#"{{"errors": ["no such role for {ACCOUNT}"]}}"#).into_bytes()),
        })
    };
    let played = |role: &str| {
        let evil = Evil::saying(login);
        let keys = format!("kubernetes_role = '{role}'\nkubernetes_mount = 'k8s'\nkubernetes_token = 'account'");
        let site = stored(&evil, "vault = 'secret/data/app'\nkey = 'TOKEN'")
            .replace_config("[secrets.vault]", &format!("[secrets.vault]\n{keys}"));
        std::fs::write(site.dir.path().join("account"), format!("{ACCOUNT}\n")).unwrap();
        (site.call(&["run-all", "--dry-run", "--format", "json"]), evil)
    };
    let (called, evil) = played("host");
    assert_eq!(called.code, 0, "{called:#?}");
    let asked = evil.seen().into_iter().find(|seen| seen.target == "/ok").unwrap();
    assert_eq!(asked.header("authorization"), Some("Bearer vault-secret-0123456789"));
    let (refused, _) = played("stranger");
    let message = run_of(&refused.json(), "hostile")["message"].to_string();
    assert!(message.contains("Vault answered 403: no such role for [redacted]"), "{message}");
    assert!(!format!("{refused:?}").contains(ACCOUNT));
}

#[test]
fn without_the_right_to_ask_aws_for_all_at_once_secrets_are_asked_for_one_by_one() {
    let aws = |seen: &Seen| {
        let text = match seen.header("x-amz-target")? {
            "secretsmanager.GetSecretValue" if String::from_utf8_lossy(&seen.body).contains("dev/app") => {
                let secret = r#"{"Name": "dev/app", "ARN": "arn:aws:secretsmanager:us-east-1:1:secret:dev/app-AbCdEf",
                    "SecretString": "aws-secret-0123456789"}"#;
                return Some((200, "content-type: application/x-amz-json-1.1\r\n".into(), secret.into()));
            }
            "secretsmanager.GetSecretValue" => r#"{"__type": "ResourceNotFoundException", "Message": "none such"}"#,
            _ => r#"{"__type": "AccessDeniedException", "Message": "not allowed to batch"}"#,
        };
        Some((400, "content-type: application/x-amz-json-1.1\r\n".into(), text.into()))
    };
    let evil = Evil::saying(aws);
    let site = stored(&evil, "aws = 'dev/app'").config(
        "[upstream.other]\nbase_url = 'http://127.0.0.1:9'\ncollectors = ['other']\ncredential = 'other'\n\
         [credential.other]\nkind = 'bearer'\naws = 'dev/none'\n[collector.other]\ncomponent = 'hostile.wasm'",
    );
    let called = site.call(&["run-all", "--dry-run", "--format", "json"]);
    let asked = evil.seen().into_iter().find(|seen| seen.target == "/ok").unwrap_or_else(|| panic!("{called:#?}"));
    assert_eq!(asked.header("authorization"), Some("Bearer aws-secret-0123456789"));
    let batches =
        evil.seen().iter().filter(|seen| seen.header("x-amz-target").is_some_and(|t| t.contains("Batch"))).count();
    assert_eq!((batches, evil.count("/aws/")), (1, 3));
}

#[test]
fn a_sink_whose_secret_is_not_there_yet_is_held_and_loses_nothing() {
    let (evil, intake) = (Evil::start(), Intake::start());
    let now = ["2025-10-24T12:00:00Z", "2025-10-24T12:15:00Z"];
    let cycle = |site: &Site, now: &str| site.call(&["run-all", "--format", "json", "--now", now]);
    let site = stored(&evil, "env = 'TOKEN'").env("TOKEN", "x").config(&intake.config()).env("DD_API_KEY_FILE", "key");
    let first = cycle(&site, now[0]);
    let sink = first.json()["sinks"][0].clone();
    let held = sink["reasons"]["deferred"].to_string();
    assert_eq!((first.code, sink["delivered"].as_u64()), (5, Some(0)), "{first:#?}");
    assert!(held.contains("held: file key: ") && held.contains("make key readable"), "{sink:#}");
    assert!(intake.asked().is_empty());
    let check = site.call(&["check"]);
    assert!(check.code == 2 && check.stdout.contains("make key readable"), "{check:#?}");
    std::fs::write(site.dir.path().join("key"), "the-api-key\n").unwrap();
    let second = cycle(&site, now[1]);
    let delivered = second.json()["sinks"][0]["delivered"].as_u64();
    assert_eq!((second.code, delivered), (0, Some(2 * sink["deferred"].as_u64().unwrap())), "{second:#?}");
    // A store that does not give it is the same; what nobody has written anywhere is a mistake of the plan.
    let of_vault = "credential = 'otlp'\n[credential.otlp]\nkind = 'bearer'\n";
    let otlp =
        format!("[sink.otlp]\nendpoint = 'http://{}'\nallow_addresses = ['loopback']\n{of_vault}", intake.address);
    let site = stored(&evil, "env = 'TOKEN'").env("TOKEN", "x");
    let called = cycle(&site.config(&format!("{otlp}vault = 'secret/data/nothing'")), now[0]);
    assert!(called.code == 5 && called.stdout.contains("held: Vault path secret/data/nothing: "), "{called:#?}");
    let site = stored(&evil, "env = 'TOKEN'").env("TOKEN", "x");
    let called = cycle(&site.config(&format!("{otlp}env = 'NONE'")), now[0]);
    assert!(called.code == 2 && called.stderr.contains("NONE is not set"), "{called:#?}");
}
