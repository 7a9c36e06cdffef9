//! Names that resolve to one address and then to another: what was checked is what is connected, for the whole cycle.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use host::catalog;
use host::clock;
use host::egress::{Egress, Lookup, Network};
use host::limits::{ByteSize, Limits};
use host::model::{Blame, Name, Reason, Redactor};
use host::policy::{Allowed, Grant, Redirects, Timeouts, Upstream};
use host::runtime::{Attempt, AttemptResult, Metering, Options, Runtime};
use tokio_util::sync::CancellationToken;

use crate::evil::Evil;
use crate::site::built;

/// A name server that answers so, one after the other, and then goes on with the last.
fn name_server(answers: &'static [&'static str]) -> (Lookup, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let lookup: Lookup = Arc::new(move |_| {
        let n = count.fetch_add(1, Ordering::Relaxed).min(answers.len() - 1);
        let address: IpAddr = answers[n].parse().unwrap();
        Box::pin(async move { Ok(vec![address]) })
    });
    (lookup, asked)
}

/// Lets the hostile guest ask `http://name.test` for a path several times, each over a connection of its own.
async fn ask(lookup: Lookup, port: u16, path: &str, times: usize) -> AttemptResult {
    let name = Name::new("evil").unwrap();
    let upstream = Upstream {
        name: name.clone(),
        base_url: format!("http://name.test:{port}").parse().unwrap(),
        credential: None,
        allowed: Allowed::new(vec!["loopback".parse().unwrap()]),
        redirects: Redirects::default(),
        timeouts: Timeouts::default(),
        is_conditional: false,
    };
    let network = Network::new(lookup, None).unwrap();
    let egress = Egress::new(&BTreeMap::from([(name.clone(), upstream)]), &network, &Redactor::default());
    let runtime = Arc::new(
        Runtime::start(&Options {
            cache: None,
            slots: 1,
            memory_max: ByteSize::mib(64),
            table_elements_max: 20_000,
            instances_max: 32,
            threads: 1,
            metering: Metering::Full,
        })
        .unwrap(),
    );
    let component = catalog::read(&built("hostile")).unwrap();
    let settings = [("act", "fetch-in-turn"), ("path", path), ("number", &times.to_string())];
    let settings: BTreeMap<String, String> =
        settings.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let loaded = runtime.load(&component, &settings).await.unwrap();
    let attempt = Attempt {
        collector: Name::new("hostile").unwrap(),
        settings: Arc::new(settings),
        grants: vec![Grant { upstream: name, methods: vec!["GET".into()], paths: vec!["/".into()] }],
        limits: Limits::default(),
        egress: Arc::new(egress),
        kubernetes: host::model::KubernetesAsked::default(),
        capabilities: std::sync::Arc::default(),
        journal: None,
        now: jiff::Timestamp::UNIX_EPOCH,
        deadline: clock::instant() + Duration::from_secs(10),
        ends_with_cycle: false,
        stop: CancellationToken::new(),
    };
    runtime.attempt(&loaded, attempt).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_re_resolves_to_a_private_address_is_still_the_address_that_was_checked() {
    let evil = tokio::task::spawn_blocking(Evil::start).await.unwrap();
    let (lookup, asked) = name_server(&["127.0.0.1", "169.254.169.254"]);
    let result = ask(lookup, evil.address.port(), "/close", 3).await;
    assert_eq!((result.fault, result.points.len()), (None, 3));
    assert_eq!((evil.count("/close"), evil.connections()), (3, 3));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    tokio::task::spawn_blocking(move || drop(evil)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_resolves_to_an_address_that_is_not_granted_is_not_connected() {
    for (address, class) in [("169.254.169.254", "metadata"), ("10.0.0.1", "private"), ("::ffff:10.0.0.1", "private")] {
        let answers: &'static [&'static str] = vec![address].leak();
        let (lookup, _) = name_server(answers);
        let result = ask(lookup, 80, "/ok", 1).await;
        let fault = result.fault.unwrap();
        assert_eq!((fault.reason, fault.blame), (Reason::Denied, Blame::Settings), "{fault}");
        assert!(fault.message.contains(&format!("name.test is {address}, a {class} address")), "{fault}");
    }
}
