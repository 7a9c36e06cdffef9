//! `kind = "aws_sigv4"`: a server that works every signature out for itself, by the published algorithm:
//! https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use jiff::Timestamp;
use serde_json::Value;

use crate::evil::{Evil, Said, Seen};
use crate::site::{Site, run_of};

const KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SESSION: &str = "session-token-0123456789/abcdefghijklmnopqrstuvwxyz+0123456789==";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// All but unreserved characters as `%XX`.
fn encode(text: &[u8], also: &[u8]) -> String {
    let encode = |byte: &u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
        byte if also.contains(byte) => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.iter().map(encode).collect()
}

fn decode(text: &str) -> Vec<u8> {
    let (mut bytes, mut out) = (text.bytes(), Vec::new());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    out
}

/// What the header `authorization` says: credential, signed headers, signature.
fn claims(seen: &Seen) -> Option<BTreeMap<String, String>> {
    let all = seen.header("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
    all.split(", ").map(|part| part.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()))).collect()
}

/// The signature that a request must have which claims so.
fn signature_of(seen: &Seen, secret: &str) -> Option<String> {
    let claims = claims(seen)?;
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (encode(&decode(key), b""), encode(&decode(value), b"")))
        .collect();
    pairs.sort();
    let query: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    let names = &claims["SignedHeaders"];
    let lines: Option<Vec<String>> =
        names.split(';').map(|name| Some(format!("{name}:{}\n", seen.header(name)?))).collect();
    let request = [
        seen.method(),
        &encode(path.as_bytes(), b"/"),
        &query.join("&"),
        &lines?.concat(),
        names,
        &hex(digest(&SHA256, &seen.body).as_ref()),
    ]
    .join("\n");
    let scope = claims["Credential"].split_once('/')?.1;
    let to_sign =
        ["AWS4-HMAC-SHA256", seen.header("x-amz-date")?, scope, &hex(digest(&SHA256, request.as_bytes()).as_ref())]
            .join("\n");
    let key = scope.split('/').fold(format!("AWS4{secret}").into_bytes(), |key, part| mac(&key, part));
    Some(hex(&mac(&key, &to_sign)))
}

/// 403 for a request that is not signed as it must be; for others whatever the path says.
fn check(seen: &Seen, service: &str, session: Option<&str>) -> Said {
    let refuse = |why: &str| Some((403, String::new(), why.as_bytes().to_vec()));
    let (Some(claims), Some(right)) = (claims(seen), signature_of(seen, SECRET)) else { return refuse("unsigned") };
    let today = Timestamp::try_from(SystemTime::now()).unwrap();
    let date: String = seen.header("x-amz-date").unwrap_or_default().chars().take(8).collect();
    let scope = format!("{KEY_ID}/{}/eu-west-1/{service}/aws4_request", today.strftime("%Y%m%d"));
    let names = match session {
        Some(_) => "host;x-amz-date;x-amz-security-token",
        None => "host;x-amz-date",
    };
    match () {
        () if claims["Signature"] != right => refuse("the signature does not match"),
        () if claims["SignedHeaders"] != names || seen.header("x-amz-security-token") != session => refuse("headers"),
        () if claims["Credential"] != scope || !scope.contains(&date) => refuse("scope"),
        () => None,
    }
}

const CHAIN: &str = "[credential.evil]\nkind = 'aws_sigv4'\nservice = 'execute-api'\n";

/// A site whose upstream checks signatures, and whose collector plays an act.
fn site(evil: &Evil, credential: &str, act: &str, path: &str) -> Site {
    Site::new()
        .guest("hostile")
        .config(&format!("{}credential = 'evil'", evil.config()))
        .config(credential)
        .config(&format!(
            "[collector.hostile]\nattempts = 1\nsettings = {{ act = '{act}', number = 3, path = '{path}' }}"
        ))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", "/nonexistent")
}

fn of_environment(site: Site) -> Site {
    site.env("AWS_REGION", "eu-west-1")
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_SESSION_TOKEN", SESSION)
}

fn status(run: &Value) -> f64 {
    let values = run["values"].as_array().unwrap();
    values.iter().find(|value| value["series"] == "hostile.status").unwrap()["value"].as_f64().unwrap()
}

#[test]
fn what_this_server_works_out_is_what_aws_publishes() {
    let credential = "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";
    let seen = |target: &str, method: &str, headers: &str, signed: &str, body: &str| Seen {
        target: target.into(),
        head: format!(
            "{method} {target} HTTP/1.1\r\nHost:example.amazonaws.com\r\nX-Amz-Date:20150830T123600Z\r\n{headers}\
             Authorization:AWS4-HMAC-SHA256 {credential}, SignedHeaders={signed}, Signature=x\r\n\r\n"
        ),
        body: body.into(),
    };
    let vanilla = seen("/", "GET", "", "host;x-amz-date", "");
    let signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    assert_eq!(signature_of(&vanilla, SECRET).unwrap(), signature);
    assert_ne!(signature_of(&vanilla, "other").unwrap(), signature);
    // get-vanilla-query-order-encoded
    let query = seen("/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", "GET", "", "host;x-amz-date", "");
    let signature = "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac";
    assert_eq!(signature_of(&query, SECRET).unwrap(), signature);
    // post-x-www-form-urlencoded
    let headers = "Content-Type:application/x-www-form-urlencoded\r\nContent-Length:13\r\n\
         x-amz-content-sha256:9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e\r\n";
    let signed = "content-length;content-type;host;x-amz-content-sha256;x-amz-date";
    let post = seen("/", "POST", headers, signed, "Param1=value1");
    let signature = "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b";
    assert_eq!(signature_of(&post, SECRET).unwrap(), signature);
}

#[test]
fn every_try_is_signed_with_the_keys_of_the_environment() {
    let evil = Evil::saying(|seen| check(seen, "execute-api", Some(SESSION)));
    // Refused twice as busy, then answered.
    let report = of_environment(site(&evil, CHAIN, "fetch", "/flaky")).report(&[]);
    assert_eq!(status(run_of(&report, "hostile")), 200.0, "{report:#}");
    assert_eq!(evil.count("/flaky"), 3);
    for (act, path) in [("fetch-many", "/a%20b/c~d"), ("post", "/x"), ("fetch", "/")] {
        let report = of_environment(site(&evil, CHAIN, act, path)).report(&[]);
        assert_eq!(run_of(&report, "hostile")["reason"], Value::Null, "{act} {path}: {report:#}");
    }
}

#[test]
fn keys_of_the_file_are_used_and_wrong_ones_are_refused() {
    let own = format!("{CHAIN}region = 'eu-west-1'\naccess_key_id = '{KEY_ID}'\nenv = 'KEY'\n");
    for (key, expected) in [(SECRET, 200.0), ("another-key-0123456789", 403.0)] {
        let evil = Evil::saying(|seen| check(seen, "execute-api", None));
        // Those of the environment are somebody else's.
        let site = of_environment(site(&evil, &own, "fetch", "/ok")).env("AWS_ACCESS_KEY_ID", "OTHER").env("KEY", key);
        let report = site.report(&[]);
        assert_eq!(status(run_of(&report, "hostile")), expected, "{report:#}");
    }
}

#[test]
fn a_sink_signs_what_it_sends() {
    let evil = Evil::saying(|seen| check(seen, "aps", Some(SESSION)));
    let sink = format!(
        "[sink.remote_write]\nurl = 'http://{}/workspaces/ws-1/api/v1/remote_write'\ncredential = 'evil'\n\
         allow_addresses = ['loopback']",
        evil.address
    );
    let site = site(&evil, &CHAIN.replace("execute-api", "aps"), "well", "/").config(&sink);
    let called = of_environment(site).call(&["run-all", "--format", "json"]);
    assert_eq!(called.code, 0, "{called:#?}");
    assert!(called.json()["sinks"][0]["delivered"].as_u64().unwrap() > 0, "{called:#?}");
    assert_eq!(evil.seen()[0].method(), "POST");
}

#[test]
fn a_redirect_to_another_host_carries_nothing_and_one_at_home_is_signed_anew() {
    let (evil, other) = (Evil::saying(|seen| check(seen, "execute-api", Some(SESSION))), Evil::start());
    let follow = |path: &str| {
        let site = of_environment(site(&evil, CHAIN, "fetch", path)).replace_config(
            "allow_addresses = ['loopback']\ncredential",
            "allow_addresses = ['loopback']\nredirects = 1\nredirect_hosts = ['127.0.0.1']\ncredential",
        );
        status(run_of(&site.report(&[]), "hostile"))
    };
    assert_eq!(follow(&format!("/to-host/{}", other.address.port())), 200.0);
    let head = other.seen()[0].head.to_lowercase();
    assert!(!head.contains("authorization") && !head.contains("x-amz-"), "{head}");
    assert_eq!((follow("/to-ok"), evil.count("/ok")), (200.0, 1));
}

#[test]
fn no_guest_and_no_report_holds_the_keys() {
    let evil = Evil::saying(|seen| check(seen, "execute-api", Some(SESSION)));
    let called = of_environment(site(&evil, CHAIN, "dump", "/echo")).call(&["run-all", "--dry-run", "-vv"]);
    let seen = evil.seen();
    assert!(seen[0].head.contains(SESSION), "{}", seen[0].head);
    let dump: Vec<u8> = seen.iter().filter(|s| s.target == "/dump").flat_map(|s| s.body.clone()).collect();
    assert!(dump.windows(10).any(|window| window == b"[redacted]"), "the echo never was in memory");
    for secret in [&SECRET[..12], &SESSION[..24]] {
        let is_in = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!is_in(&dump) && !is_in(called.stdout.as_bytes()) && !is_in(called.stderr.as_bytes()), "{called:#?}");
    }
}

#[test]
fn without_keys_the_collector_says_whose_section_to_look_at() {
    let evil = Evil::start();
    for (region, says) in [(None, "no AWS region is set"), (Some("eu-west-1"), "nobody has AWS keys")] {
        let site = site(&evil, CHAIN, "fetch-many", "/ok");
        let report = match region {
            Some(region) => site.env("AWS_REGION", region).report(&[]),
            None => site.report(&[]),
        };
        let run = run_of(&report, "hostile");
        assert_eq!((run["reason"].as_str(), run["blame"].as_str()), (Some("credential"), Some("settings")), "{run:#}");
        let message = run["message"].as_str().unwrap();
        assert!(message.contains("[credential.evil]: ") && message.contains(says), "{message}");
        assert!(message.contains("access_key_id"), "{message}");
    }
    assert!(evil.seen().is_empty());
}
