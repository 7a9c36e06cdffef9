//! One upstream and whoever may ask it: repeats what may be repeated, waits when asked to, lets no secret through.

use std::sync::OnceLock;
use std::time::Instant;

use tokio::time::{sleep, sleep_until};

use super::conditional::{self, Condition};
use super::credential::Authority;
use super::exchange::{Exchange, Exchanged, first_url};
use super::gate::Gate;
use super::recall::{Recall, Remembered};
use super::repeat::{self, Next};
use super::resolve::Resolver;
use super::{Answer, Ask, Bounds, Failure, FailureKind, Meter, Network, Pacing};
use crate::clock;
use crate::model::Redactor;
use crate::policy::Upstream;
use crate::store::Answers;

/// An upstream that can be asked. All that it takes is made with the first request.
pub struct Endpoint {
    upstream: Upstream,
    network: Network,
    redactor: Redactor,
    made: OnceLock<Result<Made, Failure>>,
    gate: Gate,
    /// What it has answered before.
    answers: Option<Answers>,
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
        let (made, gate, answers) = (OnceLock::new(), Gate::default(), None);
        Endpoint { upstream, network, redactor, made, gate, answers, section }
    }

    /// The same, remembering its answers where the plan allows it.
    #[must_use]
    pub fn remembering(mut self, answers: Option<&Answers>) -> Endpoint {
        self.answers = answers.filter(|_| self.upstream.is_conditional).cloned();
        self
    }

    /// The same, of another section of the configuration: a sink's.
    #[must_use]
    pub fn of_section(mut self, section: &str) -> Endpoint {
        self.section = section.into();
        self
    }

    /// Asks, again where that may help, and gives the answer; where the upstream says that what it has answered before still
    /// holds, that.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn send(&self, ask: &Ask, bounds: &Bounds, meter: &Meter, pacing: Pacing) -> Result<Answer, Failure> {
        let Some(recall) = self.recall(ask) else {
            let exchanged = self.exchange(ask, None, bounds, meter, pacing).await;
            return self.cleaned(exchanged.map(|exchanged| exchanged.answer));
        };
        let remembered = recall.find().await;
        let condition = remembered.as_ref().map(|remembered| &remembered.condition);
        let mut exchanged = self.exchange(ask, condition, bounds, meter, pacing).await;
        if let (Some(remembered), Ok(told)) = (&remembered, &exchanged)
            && told.is_direct
            && told.answer.status == 304
        {
            if let Some(answer) = recall.revive(remembered, &told.answer.headers, bounds).await? {
                let answer = self.cleaned(Ok(answer))?;
                recall.confirm(&answer);
                return Ok(answer);
            }
            exchanged = self.exchange(ask, None, bounds, meter, pacing).await;
        }
        self.learn(&recall, remembered.as_ref(), exchanged)
    }

    /// The place of the answer among those that are remembered, where it may have one.
    fn recall(&self, ask: &Ask) -> Option<Recall<'_>> {
        let answers = self.answers.as_ref().filter(|_| conditional::may_be_asked(ask))?;
        let key = conditional::key(answers.salt(), &self.upstream, &first_url(&self.upstream, ask), ask)?;
        Some(Recall { answers, key })
    }

    /// Gives the answer, and keeps it, without secrets, where it may be kept.
    fn learn(
        &self,
        recall: &Recall<'_>,
        remembered: Option<&Remembered>,
        exchanged: Result<Exchanged, Failure>,
    ) -> Result<Answer, Failure> {
        let came_well = exchanged.as_ref().is_ok_and(|exchanged| exchanged.is_direct && exchanged.is_whole);
        let answer = self.cleaned(exchanged.map(|exchanged| exchanged.answer))?;
        if came_well && conditional::may_be_kept(&answer) {
            recall.keep(&answer);
        } else if answer.status == 200 && remembered.is_some() {
            // Another answer stands there by now.
            recall.forget();
        }
        Ok(answer)
    }

    /// Asks, again where that may help.
    async fn exchange(
        &self,
        ask: &Ask,
        condition: Option<&Condition>,
        bounds: &Bounds,
        meter: &Meter,
        pacing: Pacing,
    ) -> Result<Exchanged, Failure> {
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
                Err(instead) => return instead.map(Exchanged::of_host),
            };
            let exchange = Exchange { client, resolver, upstream, proof: &proof, meter, section };
            let result = exchange.run(ask, condition, bounds).await;
            let answer = result.as_ref().map(|exchanged| &exchanged.answer);
            if let Ok(answer) = answer {
                self.note(ask, answer, meter);
            }
            // A token that was withdrawn before its end: nothing came of the request, whatever it is.
            let is_refused = answer.is_ok_and(|answer| answer.status == 401);
            if is_refused && !is_renewed && authority.has_another_than(&proof) {
                is_renewed = true;
                tries -= 1;
                continue;
            }
            let pause = match repeat::next(pacing, tries, is_repeatable, answer, clock::wall(), fastrand::f64()) {
                Next::Done => return result,
                Next::Again { pause } | Next::Throttled { pause } => pause,
            };
            // A pause that ends with nobody there is not begun: the answer says why.
            if clock::instant() + pause >= bounds.deadline {
                return result;
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

    /// Learns from an answer what it says of asking.
    fn note(&self, ask: &Ask, answer: &Answer, meter: &Meter) {
        self.gate.learn(&ask.path, answer, clock::wall());
        if repeat::is_throttled(answer) {
            meter.count_throttled();
        }
        if answer.status == 304 {
            meter.count_not_modified();
        }
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
fn told_to_wait(opens: Instant) -> Exchanged {
    let seconds = opens.saturating_duration_since(clock::instant()).as_secs() + 1;
    let headers = vec![("retry-after".into(), seconds.to_string())];
    Exchanged::of_host(Answer { status: 429, headers, body: Vec::new() })
}
