//! What is no HTTP upstream: the cluster's API, EC2, last values, workloads.

use serde_json::Value;

use crate::evil::{EC2_BUSY, EC2_PAGE, Evil};
use crate::site::{Called, Site};

const ALL: &str = "[kubernetes]\ncollectors = ['greedy']\n[ec2]\ncollectors = ['greedy']\n\
     [last_values]\ncollectors = ['greedy']\n[workloads]\ncollectors = ['greedy']";

/// A credential of the host, in the variable X.
const SECRET: &str =
    "[upstream.x]\nbase_url = 'http://127.0.0.1:9'\ncredential = 'x'\n[credential.x]\nkind = 'bearer'\nenv = 'X'";

fn site() -> Site {
    Site::new().guest("greedy")
}

/// Plays an act with a server for a cluster.
fn played(act: &str, server: &str, limits: &str) -> Value {
    let site = site().config(&ALL.replace("[ec2]", &format!("server = '{server}'\n[ec2]")));
    let site = site.config(&format!("[collector.greedy]\nsettings = {{ act = '{act}' }}\nlimits = {{ {limits} }}"));
    run_of(&site.call(&["run-all", "--dry-run", "--format", "json"]), "greedy")
}

fn run_of(called: &Called, name: &str) -> Value {
    let report = called.json();
    let runs = report["runs"].as_array().unwrap();
    runs.iter().find(|run| run["collector"] == name).unwrap_or_else(|| panic!("{called:#?}")).clone()
}

fn values(run: &Value) -> Vec<(String, f64)> {
    let point = |point: &Value| {
        let tags: Vec<&str> = point["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        (format!("{}{{{}}}", point["series"].as_str().unwrap(), tags.join(",")), point["value"].as_f64().unwrap())
    };
    run["values"].as_array().unwrap().iter().map(point).collect()
}

#[track_caller]
fn assert_fault(run: &Value, reason: &str, says: &str) {
    assert_eq!(run["reason"], reason, "{run:#}");
    assert!(run["message"].as_str().unwrap().contains(says), "{run:#}");
}

#[test]
fn a_capability_that_is_not_granted_is_refused_with_the_line_that_grants_it() {
    let run = run_of(&site().call(&["run-all", "--dry-run", "--format", "json"]), "greedy");
    assert_fault(&run, "import-denied", "which is not granted");
    let hint = run["hint"].as_str().unwrap();
    assert!(hint.starts_with("add \"greedy\" to collectors under ["), "{hint}");
}

#[test]
fn a_list_of_the_cluster_is_read_page_by_page() {
    let evil = Evil::start();
    let run = played("pods", &format!("http://{}", evil.address), "");
    assert_eq!(values(&run), [("greedy.count{}".into(), 3.0)]);
    assert_eq!(run["http"]["requests"], 2);
    assert!(evil.seen().iter().all(|seen| seen.head.contains("user-agent: collector-host/")));
}

#[test]
fn a_token_that_grew_too_old_begins_the_list_anew() {
    let evil = Evil::start();
    let run = played("pods", &format!("http://{}/expired", evil.address), "");
    assert_eq!(values(&run), [("greedy.count{}".into(), 3.0)]);
    assert_eq!(run["http"]["requests"], 4);
}

#[test]
fn what_the_cluster_refuses_says_what_it_said() {
    let evil = Evil::start();
    let run = played("pods", &format!("http://{}/forbidden", evil.address), "");
    assert_fault(&run, "unauthorized", "pods is forbidden: User \"h\" cannot list");
    assert_fault(&played("pods", "http://127.0.0.1:9", ""), "unreachable", "GET /api/v1/pods");
}

#[test]
fn a_cluster_that_does_not_answer_or_answers_too_much_is_ended() {
    let evil = Evil::start();
    let run = played("pods", &format!("http://{}/hangs", evil.address), "deadline = '1s'");
    assert_fault(&run, "deadline", "while it waited");
    assert_eq!(run["blame"], "upstream");
    let run = played("pods", &format!("http://{}/huge", evil.address), "");
    assert_fault(&run, "limit", "response_body (16 MiB)");
}

#[test]
fn what_the_manifest_does_not_ask_for_is_not_read() {
    let evil = Evil::start();
    for (act, says) in [("nodes", "do not name nodes"), ("logs", "logs = true"), ("summary", "summary = true")] {
        assert_fault(&played(act, &format!("http://{}", evil.address), ""), "denied", says);
    }
    assert!(evil.seen().is_empty());
}

#[test]
fn a_secret_of_the_host_that_stands_in_the_cluster_does_not_reach_the_guest() {
    let evil = Evil::start();
    let leaky = format!("http://{}/leaky", evil.address);
    // Nothing of the host's: the guest sees what the cluster said.
    assert_eq!(values(&played("secrets", &leaky, "")), [("greedy.count{}".into(), 1.0)]);
    let config = ALL.replace("[ec2]", &format!("server = '{leaky}'\n[ec2]"));
    let site = site().config(&config).config(SECRET).env("X", "demo-secret-0123456789");
    let site = site.config("[collector.greedy.settings]\nact = 'secrets'");
    let run = run_of(&site.call(&["run-all", "--dry-run", "--format", "json"]), "greedy");
    assert_eq!(values(&run), [("greedy.count{}".into(), 0.0)]);
}

#[test]
fn without_credentials_ec2_says_so_and_nobody_waits() {
    let site = site().config(ALL).config("[collector.greedy.settings]\nact = 'instances'");
    let site = site.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nonexistent");
    let called = site.call(&["run-all", "--dry-run", "--format", "json"]);
    assert_fault(&run_of(&called, "greedy"), "credential", "no AWS region is set");
}

/// Plays the act `instances` with a server for EC2.
fn instances_of(server: &str, limits: &str) -> Value {
    let section = format!("[ec2]\nregion = 'us-east-1'\nendpoint_url = '{server}'");
    let site = site().config(&ALL.replace("[ec2]", &section));
    let site = site.config(&format!("[collector.greedy]\nsettings = {{ act = 'instances' }}\nlimits = {{ {limits} }}"));
    let site = site.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "ec2-secret-0123456789");
    run_of(&site.call(&["run-all", "--dry-run", "--format", "json"]), "greedy")
}

#[test]
fn what_the_sdk_asks_by_itself_is_counted() {
    let evil = Evil::start();
    let run = instances_of(&format!("http://{}/ec2", evil.address), "");
    assert_eq!(values(&run), [("greedy.count{}".into(), 2.0)]);
    // Refused once, then two pages.
    let sizes = EC2_BUSY.len() + 2 * EC2_PAGE.len() - "<!--token-->".len() + "<nextToken>t</nextToken>".len();
    let http = &run["http"];
    assert_eq!(
        (&http["requests"], &http["throttled"], &http["bytes"]),
        (&3.into(), &1.into(), &sizes.into()),
        "{http}"
    );
    assert_eq!(evil.seen().len(), 3);
}

#[test]
fn an_answer_of_ec2_and_their_number_are_bounded() {
    let evil = Evil::start();
    let run = instances_of(&format!("http://{}/ec2-huge", evil.address), "");
    assert_fault(&run, "limit", "DescribeInstances: a larger answer than response_body (16 MiB)");
    assert!(run["http"]["bytes"].as_u64().unwrap() < 17 << 20, "{run:#}");
    let evil = Evil::start();
    let run = instances_of(&format!("http://{}/ec2", evil.address), "requests = 2");
    assert_fault(&run, "limit", "more requests in the attempt than requests (2)");
    assert_eq!(evil.seen().len(), 2);
}

#[test]
fn reports_of_workloads_are_bounded_and_those_before_stand() {
    let evil = Evil::start();
    let config = "[collector.greedy]\nsettings = { act = 'runs', number = 200 }\nlimits = { reports = 120 }";
    let site = site().config(ALL).config(config).config(&datadog(&evil)).env("DD_API_KEY", "api-key-0123456789");
    let run = run_of(&site.call(&["run-all", "--format", "json"]), "greedy");
    assert_fault(&run, "limit", "more reports of workloads than reports (120)");
    assert_eq!((run["outcome"].as_str(), run["points"].as_u64()), (Some("partial"), Some(1)));
    // Two calls of fifty were taken.
    assert_eq!(rows(&site, "workload_runs"), 100);
}

#[test]
fn texts_of_reports_are_bounded_too() {
    let evil = Evil::start();
    let config = "[collector.greedy]\nsettings = { act = 'failures', number = 20 }\nlimits = { report_bytes = '8KiB' }";
    let site = site().config(ALL).config(config).config(&datadog(&evil)).env("DD_API_KEY", "api-key-0123456789");
    let run = run_of(&site.call(&["run-all", "--format", "json"]), "greedy");
    assert_fault(&run, "limit", "larger reports of workloads than report_bytes (8 KiB)");
    assert_eq!(rows(&site, "workload_failures"), 0);
}

#[test]
fn a_failure_is_remembered_once_however_often_it_is_reported_and_without_secrets() {
    let config = |act: &str| format!("[collector.greedy]\nsettings = {{ act = '{act}', number = 3 }}\n");
    let evil = Evil::start();
    let site = site().config(ALL).config(SECRET).env("X", "demo-secret-0123456789").config(&config("failures"));
    let site = site.config(&datadog(&evil)).env("DD_API_KEY", "api-key-0123456789");
    for _ in 0..2 {
        assert_eq!(site.call(&["run-all", "--format", "json"]).code, 0);
    }
    assert_eq!(rows(&site, "workload_failures"), 3);
    let database = std::fs::read(site.dir.path().join("state/state.db")).unwrap();
    let has = |text: &str| database.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("was in the log") && !has("demo-secret-0123456789"));
    // All three are remembered, one of them with its log.
    let site = site.replace_config(&config("failures"), &config("remembered"));
    let run = run_of(&site.call(&["run-all", "--dry-run", "--format", "json"]), "greedy");
    assert_eq!(values(&run), [("greedy.count{}".into(), 301.0)]);
}

fn datadog(evil: &Evil) -> String {
    format!("[sink.datadog]\nbase_url = 'http://{}'\nallow_addresses = ['loopback']", evil.address)
}

/// The rows of a table of the state.
fn rows(site: &Site, table: &str) -> i64 {
    let path = site.dir.path().join("state/state.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use sqlx::{Connection, Row};
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        let count = format!("SELECT COUNT(*) AS n FROM {table}");
        sqlx::query(sqlx::AssertSqlSafe(count)).fetch_one(&mut connection).await.unwrap().get("n")
    })
}

#[test]
fn a_last_value_comes_from_the_cycle_else_the_state_else_one_query_for_all_that_are_left() {
    let evil = Evil::start();
    let site = site().guest("hostile").config(ALL).config(&format!(
        "[collector.hostile]\nsettings = {{ act = 'fetch', path = '/ok' }}\n\
         [upstream.evil]\nbase_url = 'http://{0}'\nallow_addresses = ['loopback']\n\
         {1}\n[tags]\nenv = 'test'\n\
         [collector.greedy]\nafter = ['hostile']",
        evil.address,
        datadog(&evil)
    ));
    let site = site.env("DD_API_KEY", "api-key-0123456789").env("DD_APP_KEY", "app-key-0123456789");
    let series = |called: &Called| {
        let run = run_of(called, "greedy");
        let known: Vec<String> = values(&run).into_iter().map(|(name, value)| format!("{name} {value}")).collect();
        known
    };
    // In one cycle with hostile, whose values are the cycle's; what nobody here has is Datadog's.
    let called = site.call(&["run-all", "--dry-run", "--format", "json"]);
    assert_eq!(
        series(&called),
        [
            "greedy.value{series:greedy.count,source:datadog} 7.5",
            "greedy.value{series:hostile.bytes,source:cycle} 2",
            "greedy.value{series:hostile.status,source:cycle} 200",
        ]
    );
    let asked: Vec<_> = evil.seen().into_iter().filter(|seen| seen.target.contains("scalar")).collect();
    assert_eq!(asked.len(), 1);
    let body = String::from_utf8_lossy(&asked[0].body).into_owned();
    assert!(body.contains("avg:greedy.count{env:test}") && body.contains("avg:nobody.knows{env:test}"), "{body}");
    assert!(!body.contains("hostile.status"), "{body}");
    assert!(asked[0].head.contains("dd-application-key: app-key-0123456789"));
    // Recorded, and then without hostile: the state's.
    assert_eq!(site.call(&["run-all", "--format", "json"]).code, 0);
    let called = site.call(&["run-all", "--dry-run", "--format", "json", "--only", "greedy"]);
    assert!(
        series(&called).contains(&"greedy.value{series:hostile.status,source:store} 200".to_owned()),
        "{called:#?}"
    );
}
