//! Every sink end to end: what arrives is what was emitted, whatever the others do.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::intake::{Answer, Intake, Request};
use crate::protocol::{self, DATADOG, OTLP, Protocol, REMOTE_WRITE};
use crate::received::{self, Point, as_prometheus, exposition, lines, remote_write, without_time};
use crate::site::{Called, Site};

/// Points of a cycle: five and the host's own.
const POINTS: u64 = 15;

fn site() -> Site {
    Site::new()
        .guest("hostile")
        .env("DD_ENV", "test")
        .config("[cycle]\ndeadline = '4s'\ndelivery_reserve = '2s'")
        .config("[upstream.evil]\nbase_url = 'http://127.0.0.1:9'")
}

fn pushgateway_sink(intake: &Intake) -> String {
    format!("[sink.pushgateway]\nurl = 'http://{}'\nallow_addresses = ['loopback']\n", intake.address)
}

/// A file that a sink has written.
fn read(site: &Site, file: &str) -> String {
    std::fs::read_to_string(site.dir.path().join(file)).unwrap()
}

fn cycle(site: &Site, now: &str) -> Called {
    site.call(&["run-all", "--format", "json", "--now", now])
}

/// The report, wherever it is: on stderr where points are on stdout.
fn report(called: &Called) -> Value {
    let text = if called.stdout.contains("\"schema\"") { &called.stdout } else { &called.stderr };
    let start = text.find("{\n  \"schema\"").unwrap_or_else(|| panic!("{called:#?}"));
    serde_json::Deserializer::from_str(&text[start..]).into_iter().next().unwrap().unwrap()
}

fn sink(report: &Value, name: &str) -> Value {
    let sinks = report["sinks"].as_array().unwrap();
    sinks.iter().find(|sink| sink["sink"] == name).unwrap_or_else(|| panic!("{report:#}")).clone()
}

/// All that an intake has taken, request by request.
fn taken(intake: &Intake, read: fn(&Request) -> Vec<Point>) -> Vec<Point> {
    received::sorted(intake.requests().iter().flat_map(read).collect())
}

#[test]
fn what_arrives_is_what_was_emitted_whatever_it_is_written_in() {
    let [datadog, otlp, write, gateway] = [(); 4].map(|()| Intake::start());
    let site = site()
        .env("DD_API_KEY", "the-api-key")
        .config("[sink.stdout]\n[sink.textfile]\npath = 'host.prom'\n[sink.jsonl]\npath = 'points.jsonl'")
        .config(&datadog.config())
        .config(&(OTLP.config)(&otlp))
        .config(&(REMOTE_WRITE.config)(&write))
        .config(&pushgateway_sink(&gateway));
    let called = cycle(&site, "2025-10-24T12:00:00Z");
    assert_eq!(called.code, 0, "{called:#?}");
    let emitted = lines(&called.stdout);
    assert_eq!(emitted.len() as u64, POINTS);
    assert_eq!(DATADOG.taken(&datadog), emitted);
    assert_eq!(OTLP.taken(&otlp), emitted);
    assert_eq!(REMOTE_WRITE.taken(&write), as_prometheus(&emitted));
    let snapshot = without_time(&as_prometheus(&emitted));
    assert_eq!(taken(&gateway, received::pushgateway), snapshot);
    assert_eq!(exposition(&read(&site, "host.prom")), snapshot);
    assert_eq!(lines(&read(&site, "points.jsonl")), emitted);
    assert!(otlp.requests().iter().all(|request| request.target == "POST /otlp/v1/metrics"));
    assert!(write.requests().iter().all(|request| request.target == "POST /api/v1/write?a=b"));
    let pushes = gateway.requests();
    assert_eq!((pushes.len(), pushes[0].target.as_str()), (1, "PUT /metrics/job/collector-host"));
    let help = "# HELP hostile_value A number from 0 upwards, told apart by its tag.\n# TYPE hostile_value gauge\n";
    assert!(read(&site, "host.prom").contains(help));
}

#[test]
fn a_sink_that_is_down_gets_everything_in_the_next_cycle_and_the_others_do_not_wait_for_it() {
    for place in 0..protocol::ALL.len() {
        let down = protocol::ALL[place].name;
        let intakes = protocol::ALL.map(|_| Intake::start());
        let mut site = site()
            .env("DD_API_KEY", "the-api-key")
            .config("[sink.stdout]\n[sink.textfile]\npath = 'host.prom'")
            .replace_config("deadline = '4s'\ndelivery_reserve = '2s'", "deadline = '2s'\ndelivery_reserve = '1500ms'");
        for (protocol, intake) in protocol::ALL.iter().zip(&intakes) {
            site = site.config(&(protocol.config)(intake));
        }
        intakes[place].answer(&vec![Answer::Status(503, ""); 50]);
        let first = cycle(&site, "2025-10-24T12:00:00Z");
        assert_eq!(first.code, 5, "{down}: {first:#?}");
        for Protocol { name, .. } in protocol::ALL {
            let sink = sink(&report(&first), name);
            let counts = (sink["delivered"].as_u64().unwrap(), sink["deferred"].as_u64().unwrap());
            assert_eq!(counts, if name == down { (0, POINTS) } else { (POINTS, 0) }, "{down} is down: {sink:#}");
        }
        intakes[place].answer(&[]);
        let second = cycle(&site, "2025-10-24T12:15:00Z");
        assert_eq!(second.code, 0, "{down}: {second:#?}");
        let emitted = lines(&format!("{}{}", first.stdout, second.stdout));
        for (protocol, intake) in protocol::ALL.iter().zip(&intakes) {
            let name = protocol.name;
            let meant = if name == "remote_write" { as_prometheus(&emitted) } else { emitted.clone() };
            assert_eq!(protocol.taken(intake), meant, "{down} was down: {name}");
        }
    }
}

#[test]
fn a_snapshot_holds_the_newest_slot_whole_and_what_it_missed_is_given_up() {
    let gateway = Intake::start();
    let site = site()
        .config("[sink.stdout]\n[sink.textfile]\npath = 'host.prom'")
        .config(&pushgateway_sink(&gateway))
        .replace_config("deadline = '4s'\ndelivery_reserve = '2s'", "deadline = '2s'\ndelivery_reserve = '1500ms'");
    gateway.answer(&vec![Answer::Status(503, ""); 50]);
    assert_eq!(cycle(&site, "2025-10-24T12:00:00Z").code, 5);
    gateway.answer(&[]);
    let second = cycle(&site, "2025-10-24T12:15:00Z");
    assert_eq!(second.code, 5, "{second:#?}");
    let (pushgateway, textfile) = (sink(&report(&second), "pushgateway"), sink(&report(&second), "textfile"));
    assert_eq!((pushgateway["delivered"].as_u64(), pushgateway["given_up"].as_u64()), (Some(POINTS), Some(POINTS)));
    assert_eq!(pushgateway["reasons"]["given_up"]["superseded by a later slot"], POINTS, "{pushgateway:#}");
    assert_eq!((textfile["delivered"].as_u64(), textfile["given_up"].as_u64()), (Some(POINTS), Some(0)));
    let emitted = without_time(&as_prometheus(&lines(&second.stdout)));
    assert_eq!(taken(&gateway, received::pushgateway), emitted);
    assert_eq!(exposition(&read(&site, "host.prom")), emitted);
    // A repeated cycle with half of the collectors replaces nothing by half.
    let site = site.config("[collector.again]\ncomponent = 'hostile.wasm'\nsettings = { number = 2 }");
    let third = site.call(&["run-all", "--format", "json", "--now", "2025-10-24T12:20:00Z", "--only", "again"]);
    assert_eq!(third.code, 0, "{third:#?}");
    let whole = exposition(&read(&site, "host.prom"));
    assert!(emitted.iter().all(|point| whole.contains(point)), "{whole:#?}");
    assert_eq!(whole.len() as u64, 2 * POINTS - 3);
    assert_eq!(gateway.requests().last().map(received::pushgateway), Some(whole));
}

#[test]
fn a_snapshot_is_never_cut() {
    let gateway = Intake::start();
    gateway.answer(&[Answer::Status(413, "")]);
    let called = cycle(&site().config(&pushgateway_sink(&gateway)), "2025-10-24T12:00:00Z");
    let sink = sink(&called.json(), "pushgateway");
    assert_eq!((called.code, sink["reasons"]["rejected"]["too large"].as_u64()), (5, Some(POINTS)), "{sink:#}");
    assert_eq!(gateway.asked().len(), 1);
}

#[test]
fn a_label_of_the_pushgateway_keeps_its_point() {
    let gateway = Intake::start();
    let site = site().config(&pushgateway_sink(&gateway)).config("job = 'a/b'\n[tags]\njob = 'mine'");
    assert_eq!(cycle(&site, "2025-10-24T12:00:00Z").code, 0);
    let pushes = gateway.requests();
    assert_eq!(pushes[0].target, "PUT /metrics/job@base64/YS9i");
    let points = received::pushgateway(&pushes[0]);
    assert!(points.iter().all(|point| point.labels["exported_job"] == "mine" && !point.labels.contains_key("job")));
}

#[test]
fn a_file_that_cannot_be_written_holds_its_points_and_nobody_elses() {
    let site = site()
        .config("[sink.stdout]\n[sink.textfile]\npath = 'later/host.prom'\n[sink.jsonl]\npath = 'later/points.jsonl'");
    let first = cycle(&site, "2025-10-24T12:00:00Z");
    assert_eq!(first.code, 5, "{first:#?}");
    for name in ["textfile", "jsonl"] {
        let sink = sink(&report(&first), name);
        assert_eq!(sink["deferred"], POINTS, "{sink:#}");
        assert!(sink["reasons"]["deferred"].to_string().contains("held: later/"), "{sink:#}");
    }
    std::fs::create_dir(site.dir.path().join("later")).unwrap();
    let second = cycle(&site, "2025-10-24T12:00:00Z");
    assert_eq!(second.code, 0, "{second:#?}");
    let emitted = lines(&format!("{}{}", first.stdout, second.stdout));
    assert_eq!(lines(&read(&site, "later/points.jsonl")), emitted);
    let once = without_time(&as_prometheus(&lines(&second.stdout)));
    assert_eq!(exposition(&read(&site, "later/host.prom")), once);
}

#[test]
fn lines_of_a_host_that_is_killed_at_any_instant_are_whole_and_none_is_missing() {
    const KILLS: i64 = 40;
    const EMITTED: usize = 20;
    let site = site()
        .config("[sink.jsonl]\npath = 'points.jsonl'")
        .config(&format!("[collector.hostile.settings]\nact = 'emit-and-say'\nnumber = {EMITTED}"))
        .replace_config("[cycle]", "[cycle]\nschedule = '1s'");
    let begin: jiff::Timestamp = "2025-10-24T12:00:00Z".parse().unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let mut told: BTreeSet<(i64, usize)> = BTreeSet::new();
    for n in 0..KILLS {
        let now = begin + jiff::SignedDuration::from_secs(n);
        let mut host = site.start(&["run-all", "--now", &now.to_string()]);
        std::thread::sleep(Duration::from_micros(random.u64(..120_000)));
        host.kill().unwrap();
        let stderr = String::from_utf8_lossy(&host.wait_with_output().unwrap().stderr).into_owned();
        let said = stderr.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.split_once("taken "));
        told.extend(said.map(|(_, number)| (now.as_millisecond(), number.split(' ').next().unwrap().parse().unwrap())));
        // As if it had been killed in the middle of a line.
        if n % 4 == 0 {
            let mut file =
                std::fs::File::options().create(true).append(true).open(site.dir.path().join("points.jsonl"));
            std::io::Write::write_all(file.as_mut().unwrap(), b"{\"series\":\"hostile.va").unwrap();
        }
    }
    let last = begin + jiff::SignedDuration::from_secs(KILLS);
    assert_eq!(cycle(&site, &last.to_string()).code, 0);
    // Every line is read, so every line is whole; one may be there twice.
    let values = lines(&read(&site, "points.jsonl")).into_iter().filter(|point| point.name == "hostile.value");
    let there: BTreeSet<(i64, usize)> = values.map(|point| (point.time_ms, point.value as usize)).collect();
    assert!(!told.is_empty() && told.is_subset(&there), "{:?}", told.difference(&there));
}

#[test]
fn check_looks_at_every_sink_without_sending_a_point() {
    let [otlp, write, gateway] = [(); 3].map(|()| Intake::start());
    let site = site()
        .config("[sink.textfile]\npath = 'none/host.prom'\n[sink.jsonl]\npath = 'points.jsonl'")
        .config(&(OTLP.config)(&otlp))
        .config(&(REMOTE_WRITE.config)(&write))
        .config(&pushgateway_sink(&gateway));
    let finding = |called: &Called, name: &str| {
        let all = called.json();
        all.as_array().unwrap().iter().find(|finding| finding["what"] == format!("sink {name}")).unwrap().clone()
    };
    let offline = site.call(&["check", "--format", "json"]);
    assert_eq!(offline.code, 2, "{offline:#?}");
    let textfile = finding(&offline, "textfile");
    assert_eq!(textfile["hint"], "make it writable, or write another path under [sink.textfile]", "{textfile:#}");
    assert!(["otlp", "remote_write", "pushgateway", "jsonl"].iter().all(|name| finding(&offline, name)["ok"] == true));
    assert_eq!((otlp.asked().len(), write.asked().len(), gateway.asked().len()), (0, 0, 0));

    let site = site.replace_config("none/host.prom", "host.prom");
    let online = site.call(&["check", "--online", "--format", "json"]);
    assert_eq!(online.code, 0, "{online:#?}");
    assert!(otlp.asked().iter().all(|request| received::otlp(request).is_empty()));
    assert!(write.asked().iter().all(|request| remote_write(request).is_empty()));
    assert_eq!(gateway.asked()[0].target, "GET /-/ready");
    assert!(!site.dir.path().join("host.prom").exists() && !site.dir.path().join("points.jsonl").exists());

    // A receiver of 1.0 is well too; a key that is not taken is not.
    write.answer(&[Answer::Status(415, "")]);
    otlp.answer(&[Answer::Status(401, "who are you")]);
    let online = site.call(&["check", "--online", "--format", "json"]);
    assert_eq!((online.code, finding(&online, "remote_write")["ok"].as_bool()), (2, Some(true)), "{online:#?}");
    let refused = finding(&online, "otlp");
    assert!(refused["detail"].as_str().unwrap().ends_with("401 who are you"), "{refused:#}");
}

#[test]
fn a_receiver_of_1_0_is_spoken_to_in_1_0_from_its_first_answer_on() {
    const UNREAD: &str = "unsupported remote write version";
    for refusal in [Answer::Status(415, ""), Answer::Status(400, UNREAD), Answer::Status(204, "")] {
        let intake = Intake::start();
        intake.answer(std::slice::from_ref(&refusal));
        let site = site()
            .config("[sink.stdout]")
            .config(&(REMOTE_WRITE.config)(&intake))
            .config("[limits]\npoints = 10_000\n[collector.hostile.settings]\nnumber = 6_000");
        let called = cycle(&site, "2025-10-24T12:00:00Z");
        assert_eq!(called.code, 0, "{refusal:?}: {}", called.stderr);
        let asked = intake.asked();
        let is_new = |request: &Request| request.head.contains("version: 2.0.0");
        assert_eq!(asked.iter().filter(|request| is_new(request)).count(), 1, "{refusal:?}");
        let old: Vec<Point> = asked.iter().filter(|request| !is_new(request)).flat_map(remote_write).collect();
        assert_eq!(received::sorted(old), as_prometheus(&lines(&called.stdout)), "{refusal:?}");
        let delivered = sink(&report(&called), "remote_write")["delivered"].as_u64();
        assert_eq!(delivered, Some(6_000 + POINTS - 5), "{refusal:?}");
    }
}

#[test]
fn version_1_is_spoken_where_the_plan_says_so() {
    let intake = Intake::start();
    let site = site().config("[sink.stdout]").config(&format!("{}version = 1", (REMOTE_WRITE.config)(&intake)));
    let called = cycle(&site, "2025-10-24T12:00:00Z");
    assert_eq!(called.code, 0, "{called:#?}");
    assert!(intake.asked().iter().all(|request| request.head.contains("remote-write-version: 0.1.0")));
    assert_eq!(REMOTE_WRITE.taken(&intake), as_prometheus(&lines(&called.stdout)));
}

#[test]
fn a_partial_success_is_counted_and_never_sent_again() {
    use opentelemetry_proto::tonic::collector::metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
    };
    use prost::Message as _;
    let partial = ExportMetricsPartialSuccess { rejected_data_points: 2, error_message: "two are too old".into() };
    let body = ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let intake = Intake::start();
    intake.answer(&[Answer::Whole(200, "content-type: application/x-protobuf\r\n".into(), body)]);
    let site = site().config(&(OTLP.config)(&intake));
    let called = cycle(&site, "2025-10-24T12:00:00Z");
    assert_eq!(called.code, 5, "{called:#?}");
    let otlp = sink(&called.json(), "otlp");
    let counts = (otlp["delivered"].as_u64(), otlp["rejected"].as_u64(), otlp["deferred"].as_u64());
    assert_eq!(counts, (Some(POINTS - 2), Some(2), Some(0)), "{otlp:#}");
    assert_eq!(otlp["reasons"]["rejected"]["partial success: two are too old"], 2, "{otlp:#}");
    let before = OTLP.taken(&intake).len() as u64;
    assert_eq!(cycle(&site, "2025-10-24T12:15:00Z").code, 0);
    assert_eq!((before, OTLP.taken(&intake).len() as u64), (POINTS, 2 * POINTS));
}

#[test]
fn each_protocol_says_itself_what_is_sent_again() {
    let status = |status| Answer::Status(status, "why");
    let cases = [
        (OTLP, status(503), "delivered"),
        (OTLP, Answer::Headed(429, "retry-after: 0\r\n"), "delivered"),
        (OTLP, Answer::Cut, "delivered"),
        (OTLP, status(500), "rejected"),
        (OTLP, status(404), "deferred"),
        (OTLP, status(413), "delivered"),
        (REMOTE_WRITE, status(500), "delivered"),
        (REMOTE_WRITE, Answer::Status(400, "out of order sample"), "rejected"),
        (REMOTE_WRITE, status(401), "deferred"),
    ];
    for (protocol, answer, fate) in cases {
        let (name, intake) = (protocol.name, Intake::start());
        intake.answer(std::slice::from_ref(&answer));
        let called = cycle(&site().config(&(protocol.config)(&intake)), "2025-10-24T12:00:00Z");
        let sink = sink(&called.json(), name);
        assert!(sink[fate].as_u64() > Some(0), "{name} {answer:?}: {sink:#}");
        let sum: u64 =
            ["delivered", "rejected", "deferred", "given_up"].iter().map(|key| sink[key].as_u64().unwrap()).sum();
        assert_eq!(
            (sum, called.code),
            (POINTS, if fate == "delivered" { 0 } else { 5 }),
            "{name} {answer:?}: {sink:#}"
        );
    }
}

#[test]
fn a_credential_and_headers_go_to_their_intake_and_nowhere_else() {
    const SECRET: &str = "hunter2-S3cr3t+/value";
    let intake = Intake::start();
    intake.answer(&[Answer::Echo(400)]);
    let site = site()
        .env("TOKEN", SECRET)
        .config(&(OTLP.config)(&intake))
        .config("credential = 'store'\nheaders = { X-Scope-OrgID = 'infra' }")
        .config("[credential.store]\nkind = 'bearer'\nenv = 'TOKEN'");
    let called = cycle(&site, "2025-10-24T12:00:00Z");
    assert_eq!(called.code, 5, "{called:#?}");
    let head = &intake.asked()[0].head;
    assert!(head.contains(&format!("authorization: bearer {}", SECRET.to_lowercase())), "{head}");
    assert!(head.contains("x-scope-orgid: infra") && head.contains("user-agent: collector-host/"), "{head}");
    let said = format!("{}{}", called.stdout, called.stderr);
    assert!(said.contains("[redacted]") && !said.contains(SECRET), "{said}");
}
