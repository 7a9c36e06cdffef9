//! What becomes of the sections of sinks.

use std::path::Path;

use super::*;
use crate::config::credentials::credentials;
use crate::policy::Upstream;

fn sinks(text: &str, environment: &[(&str, &str)]) -> Result<Vec<SinkPlan>, String> {
    let file = File::read(Path::new("host.toml"), text).map_err(|e| e.text_and_hint())?;
    let read = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
    let credentials = credentials(&file, &StoredSecrets::NotAsked, &read).map_err(|e| e.text_and_hint())?;
    build(&file, &credentials, &StoredSecrets::NotAsked, &read).map_err(|e| e.text_and_hint())
}

#[test]
fn a_key_in_the_environment_is_enough_for_datadog() {
    let all = sinks("", &[("DD_API_KEY", "k"), ("DD_SITE", "datadoghq.eu")]).unwrap();
    let [SinkPlan::Datadog(datadog)] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(datadog.intake.upstream.base_url.as_str(), "https://api.datadoghq.eu/");
    assert!(sinks("", &[]).unwrap().is_empty());
    assert!(sinks("[sink.datadog]\nenabled = false", &[("DD_API_KEY", "k")]).unwrap().is_empty());
}

#[test]
fn a_section_without_a_key_is_an_error_that_names_the_variable() {
    let error = sinks("[sink.datadog]\nsite = 'datadoghq.com'", &[]).unwrap_err();
    assert!(error.contains("set DD_API_KEY"), "{error}");
}

#[test]
fn several_sinks_stand_side_by_side() {
    let text = "[sink.stdout]\n[sink.datadog]\nbase_url = 'http://127.0.0.1:1'\n[sink.otlp]\nendpoint = 'http://a'\n\
                [sink.remote_write]\nurl = 'http://b'\n[sink.pushgateway]\nurl = 'http://c'\n[sink.textfile]\npath = '/d'\n\
                [sink.jsonl]\npath = '/e'";
    let all = sinks(text, &[("DD_API_KEY", "k")]).unwrap();
    let names = ["datadog", "otlp", "remote_write", "pushgateway", "textfile", "jsonl", "stdout"];
    assert_eq!(all.iter().map(SinkPlan::name).collect::<Vec<_>>(), names);
}

#[test]
fn an_intake_has_its_url_query_credential_and_headers() {
    let text = "[sink.otlp]\nendpoint = { env = 'ENDPOINT' }\ncredential = 'otlp'\nheaders = { X-Scope-OrgID = { env = 'TEAM' } }\n\
                allow_addresses = ['private']\ntimeouts = { whole = '7s' }\n[credential.otlp]\nkind = 'basic'\nuser = 'u'\nenv = 'TOKEN'";
    let environment = [("ENDPOINT", "https://x.example/otlp?a=b%20c"), ("TEAM", "infra"), ("TOKEN", "hunter22")];
    let all = sinks(text, &environment).unwrap();
    let [SinkPlan::Otlp(intake)] = all.as_slice() else { panic!("{all:?}") };
    let Upstream { name, base_url, credential, timeouts, .. } = &intake.upstream;
    assert_eq!((name.as_str(), base_url.as_str()), ("otlp", "https://x.example/otlp"));
    assert_eq!(intake.query, [("a".to_owned(), "b c".to_owned())]);
    assert_eq!(intake.headers, [("x-scope-orgid".to_owned(), "infra".to_owned())]);
    assert_eq!(credential, &Some(Credential::Basic { user: "u".into(), secret: Secret::new("hunter22") }));
    assert_eq!(timeouts.whole, std::time::Duration::from_secs(7));
    assert_eq!(all[0].secrets(), [(Some("u"), &Secret::new("hunter22"))]);
    assert!(!format!("{all:?}").contains("hunter22"));
}

#[test]
fn the_url_of_remote_write_is_taken_as_it_is() {
    let text = "[sink.remote_write]\nurl = 'http://a:9090/api/v1/write/?x=1'\nversion = 1";
    let all = sinks(text, &[]).unwrap();
    let [SinkPlan::RemoteWrite(write)] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((write.path.as_str(), write.version), ("/api/v1/write/", 1));
    assert_eq!(write.intake.upstream.base_url.as_str(), "http://a:9090/");
    assert_eq!(all[0].place(), "http://a:9090/api/v1/write/");
}

#[test]
fn what_cannot_be_is_an_error_with_the_line_to_write() {
    let otlp = |text: &str| format!("[sink.otlp]\nendpoint = 'http://a'\n{text}");
    for (text, says) in [
        (
            "[sink.otlp]".to_owned(),
            vec!["[sink.otlp]: it has no endpoint", "write endpoint = \"https://…\" under [sink.otlp]"],
        ),
        ("[sink.otlp]\nendpoint = { env = 'NONE' }".into(), vec!["set NONE, or write endpoint"]),
        ("[sink.otlp]\nendpoint = 'a'".into(), vec!["endpoint is not a URL", "endpoint = \"https://api.example.com\""]),
        ("[sink.otlp]\nendpoint = 'http://u:hunter22@a'".into(), vec!["belong into a [credential.NAME]"]),
        ("[sink.otlp]\nurl = 'http://a'".into(), vec!["host.toml:2: unknown key `url`", "endpoint"]),
        (otlp("credential = 'otlp'"), vec!["there is no [credential.otlp]", "add [credential.otlp] with kind"]),
        (otlp("credential = 'githb'"), vec!["did you mean credential = \"github\"?"]),
        (otlp("credential = 'x'\n[credential.x]\nkind = 'bearer'\nenv = 'NONE'"), vec!["NONE is not set", "set NONE"]),
        (
            otlp("headers = { Authorization = 'Bearer hunter22' }"),
            vec!["write credential = \"NAME\" under [sink.otlp]"],
        ),
        (
            otlp("headers = { Content-Type = 'x' }"),
            vec!["is the host's to set", "take \"Content-Type\" out of headers"],
        ),
        (otlp("headers = { x = { env = 'NONE' } }"), vec!["header \"x\"", "set NONE"]),
        (otlp("headers = { 'a b' = 'x' }"), vec!["not the text of a header"]),
        ("[sink.remote_write]".into(), vec!["[sink.remote_write]: it has no url", "write url = \"https://…\""]),
        ("[sink.remote_write]\nurl = 'http://a'\nversion = 3".into(), vec!["no version 3", "write version = 2"]),
        ("[sink.pushgateway]\njob = 'x'".into(), vec!["[sink.pushgateway]: it has no url", "write url = "]),
        (
            "[sink.pushgateway]\nurl = 'http://a'\njob = ''".into(),
            vec!["job is empty", "write job = \"collector-host\""],
        ),
        (
            "[sink.textfile]".into(),
            vec!["[sink.textfile]: it has no path", "write path = ", ".prom\" under [sink.textfile]"],
        ),
        ("[sink.jsonl]\npath = '/'".into(), vec!["[sink.jsonl]: path names no file", "under [sink.jsonl]"]),
    ] {
        let error = sinks(&text, &[]).unwrap_err();
        assert!(says.iter().all(|part| error.contains(part)) && !error.contains("hunter22"), "{text}: {error}");
    }
}

#[test]
fn the_names_of_sinks_are_known_without_what_they_need() {
    let text = "[sink.jsonl]\npath = 'a'\n[sink.datadog]\n[sink.stdout]\n[sink.textfile]\npath = 'a'\n[sink.otlp]\nendpoint = 'http://a'\n\
                [sink.remote_write]\nurl = 'http://a'\n[sink.pushgateway]\nurl = 'http://a'\nenabled = false";
    let all = sinks(text, &[("DD_API_KEY", "k")]).unwrap();
    let file = File::read(Path::new("host.toml"), text).unwrap();
    let known = names(&file, &|_| None);
    assert_eq!(known, all.iter().map(SinkPlan::name).collect::<Vec<_>>());
    assert_eq!(known, ["datadog", "otlp", "remote_write", "textfile", "jsonl", "stdout"]);
}
