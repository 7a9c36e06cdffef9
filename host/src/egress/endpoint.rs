//! One upstream and whoever may ask it: repeats what may be repeated, waits when asked to, lets no secret through.

use std::sync::OnceLock;
use std::time::Instant;

use tokio::time::{sleep, sleep_until};

use super::credential::Authority;
use super::exchange::Exchange;
use super::gate::Gate;
use super::repeat::{self, Next};
use super::resolve::Resolver;
use super::{Answer, Ask, Bounds, Failure, FailureKind, Meter, Network, Pacing};
use crate::clock;
use crate::model::Redactor;
use crate::policy::Upstream;

/// An upstream that can be asked. All that it takes is made with the first request.
pub struct Endpoint {
    upstream: Upstream,
    network: Network,
    redactor: Redactor,
    made: OnceLock<Result<Made, Failure>>,
    gate: Gate,
    /// Where its grants stand in the configuration, for messages.
    section: String,
}

/// What requests are made with.
struct Made {
    client: reqwest::Client,
    resolver: Resolver,
    authority: Authority,
}

impl Endpoint {
    /// An endpoint for an upstream of the plan.
    pub fn new(upstream: Upstream, network: Network, redactor: Redactor) -> Endpoint {
        let section = format!("upstream.{}", upstream.name);
        Endpoint { upstream, network, redactor, made: OnceLock::new(), gate: Gate::default(), section }
    }

    /// The same, of another section of the configuration: a sink's.
    #[must_use]
    pub fn of_section(mut self, section: &str) -> Endpoint {
        self.section = section.into();
        self
    }

    /// Asks, again where that may help, and gives the answer.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn send(&self, ask: &Ask, bounds: &Bounds, meter: &Meter, pacing: Pacing) -> Result<Answer, Failure> {
        let Made { client, resolver, authority } = self.made()?;
        let (upstream, section) = (&self.upstream, self.section.as_str());
        let is_repeatable = ask.repeatable || matches!(ask.method.as_str(), "GET" | "HEAD");
        let (mut tries, mut is_renewed) = (0, false);
        loop {
            tries += 1;
            if pacing.throttles_max > 0
                && let Some(opens) = self.gate.opens(&ask.path)
            {
                if opens >= bounds.deadline {
                    return Ok(told_to_wait(opens));
                }
                sleep_until(opens.into()).await;
            }
            let proof = match authority.proof(bounds.deadline).await {
                Ok(proof) => proof,
                Err(instead) => return self.cleaned(instead),
            };
            let exchange = Exchange { client, resolver, upstream, proof: &proof, meter, section };
            let result = exchange.run(ask, bounds).await;
            if let Ok(answer) = &result {
                self.gate.learn(&ask.path, answer, clock::wall());
            }
            if result.as_ref().is_ok_and(repeat::is_throttled) {
                meter.count_throttled();
            }
            // A token that was withdrawn before its end: nothing came of the request, whatever it is.
            let is_refused = result.as_ref().is_ok_and(|answer| answer.status == 401);
            if is_refused && !is_renewed && authority.has_another_than(&proof) {
                is_renewed = true;
                tries -= 1;
                continue;
            }
            let next = repeat::next(pacing, tries, is_repeatable, result.as_ref(), clock::wall(), fastrand::f64());
            let pause = match next {
                Next::Done => return self.cleaned(result),
                Next::Again { pause } | Next::Throttled { pause } => pause,
            };
            // A pause that ends with nobody there is not begun: the answer says why.
            if clock::instant() + pause >= bounds.deadline {
                return self.cleaned(result);
            }
            sleep(pause).await;
        }
    }

    /// Asks for the credential that requests would go with, where that has to be asked for; nothing is asked of the upstream itself.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn authenticate(&self, deadline: Instant) -> Result<(), Failure> {
        let Made { authority, .. } = self.made()?;
        let instead = match authority.proof(deadline).await {
            Ok(_) => return Ok(()),
            Err(instead) => self.cleaned(instead)?,
        };
        Err(Failure::new(FailureKind::Broken, String::from_utf8_lossy(&instead.body)))
    }

    /// Where it lives and what it may take.
    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    fn made(&self) -> Result<&Made, Failure> {
        self.made.get_or_init(|| self.make()).as_ref().map_err(Clone::clone)
    }

    fn make(&self) -> Result<Made, Failure> {
        let Endpoint { upstream, network, redactor, section, .. } = self;
        let resolver = network.resolver(upstream, section);
        let unreachable = |what| Failure::new(FailureKind::Unreachable, what);
        let client = network.client(upstream, resolver.clone()).map_err(unreachable)?;
        Ok(Made { client, resolver, authority: Authority::of(upstream, network, redactor, section)? })
    }

    fn cleaned(&self, result: Result<Answer, Failure>) -> Result<Answer, Failure> {
        match result {
            Ok(answer) => Ok(Answer {
                status: answer.status,
                headers: answer
                    .headers
                    .into_iter()
                    .map(|(name, value)| (name, self.redactor.scrub_text(value)))
                    .collect(),
                body: self.redactor.scrub(answer.body),
            }),
            Err(failure) => Err(Failure { kind: failure.kind, message: self.redactor.scrub_text(failure.message) }),
        }
    }
}

/// What the upstream would answer, as it has said before: not before this instant.
fn told_to_wait(opens: Instant) -> Answer {
    let seconds = opens.saturating_duration_since(clock::instant()).as_secs() + 1;
    Answer { status: 429, headers: vec![("retry-after".into(), seconds.to_string())], body: Vec::new() }
}
