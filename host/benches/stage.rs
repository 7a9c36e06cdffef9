//! What the benchmarks have in common: the hostile guest in a runtime of its own, and attempts of its acts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use host::capability::Capabilities;
use host::catalog::{self, ComponentFile};
use host::clock;
use host::egress::{Egress, Network, system_lookup};
use host::limits::{ByteSize, Limits};
use host::model::{KubernetesAsked, Name, Redactor};
use host::policy::{Allowed, Grant, Redirects, Timeouts, Upstream};
use host::runtime::{Attempt, AttemptResult, Cache, Loaded, Metering, Options, Runtime};
use tokio_util::sync::CancellationToken;

/// A runtime with the hostile guest.
pub struct Stage {
    pub runtime: Arc<Runtime>,
    pub component: ComponentFile,
    egress: Arc<Egress>,
    capabilities: Arc<Capabilities>,
}

/// The folder that cargo builds into.
pub fn target_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target folder").to_owned()
}

pub fn hostile() -> ComponentFile {
    let path = target_dir().join("wasm32-wasip2/guest/hostile.wasm");
    catalog::read(&path).unwrap_or_else(|e| panic!("{e}: run `./just build-guests` first"))
}

impl Stage {
    /// Call it on a tokio runtime: connections are made there.
    pub fn new(slots: usize, metering: Metering, upstream: &str) -> Stage {
        let cache = Cache::open(&target_dir().join("tmp/compiled")).expect("a cache");
        let runtime = Runtime::start(&Options {
            cache: Some(cache),
            slots,
            memory_max: ByteSize::mib(1024),
            table_elements_max: 20_000,
            instances_max: 32,
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            metering,
        });
        let name = Name::new("evil").expect("a name");
        let upstream = Upstream {
            name: name.clone(),
            base_url: upstream.parse().expect("a URL"),
            credential: None,
            allowed: Allowed::new(vec!["loopback".parse().expect("a class")]),
            redirects: Redirects::default(),
            timeouts: Timeouts::default(),
            is_conditional: false,
        };
        let network = Network::new(system_lookup(BTreeMap::new()), None).expect("a network");
        let egress = Egress::new(&BTreeMap::from([(name, upstream)]), &network, &Redactor::default());
        Stage {
            runtime: Arc::new(runtime.expect("a runtime")),
            component: hostile(),
            egress: Arc::new(egress),
            capabilities: Arc::default(),
        }
    }

    /// The guest, ready to play an act.
    pub async fn act(&self, act: &str, number: usize) -> (Loaded, Arc<BTreeMap<String, String>>) {
        let pairs = [("act", act.to_owned()), ("number", number.to_string()), ("path", "/never".to_owned())];
        let settings: BTreeMap<String, String> = pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        let loaded = self.runtime.load(&self.component, &settings).await.expect("the guest");
        (loaded, Arc::new(settings))
    }

    /// Plays an act once, with limits that let it.
    pub async fn play(
        &self,
        (loaded, settings): &(Loaded, Arc<BTreeMap<String, String>>),
        deadline: Duration,
    ) -> AttemptResult {
        let name = Name::new("evil").expect("a name");
        let attempt = Attempt {
            collector: Name::new("hostile").expect("a name"),
            settings: settings.clone(),
            grants: vec![Grant { upstream: name, methods: vec!["GET".into()], paths: vec!["/".into()] }],
            limits: Limits {
                fuel: u64::MAX / 2,
                memory: ByteSize::mib(1024),
                points: 10_000_000,
                series: 10_000_000,
                requests: 10_000,
                requests_at_once: 10_000,
                ..Limits::default()
            },
            egress: self.egress.clone(),
            kubernetes: KubernetesAsked::default(),
            capabilities: self.capabilities.clone(),
            journal: None,
            now: jiff::Timestamp::UNIX_EPOCH,
            deadline: clock::instant() + deadline,
            ends_with_cycle: false,
            stop: CancellationToken::new(),
        };
        self.runtime.attempt(loaded, attempt).await
    }
}
