//! A value that is asked for when somebody needs it: once for all who need it then, and again before it ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, ready};
use tokio::time::timeout_at;

use super::Instead;
use crate::clock;
use crate::egress::{Failure, FailureKind};

/// A value and the asking for it. Clones share both.
pub(super) struct Renewed<T>(Arc<Mutex<State<T>>>);

/// A value, and when the next one is asked for.
pub(super) struct Fresh<T> {
    pub value: T,
    /// None where it never ends.
    pub renew_at: Option<Instant>,
}

/// What is done to get one.
pub(super) type Work<T> = BoxFuture<'static, Result<Fresh<T>, Instead>>;

struct State<T> {
    held: Option<Fresh<T>>,
    asking: Option<Asking<T>>,
    /// Why there is none as long as nobody changes the configuration.
    refusal: Option<Failure>,
    /// When one was last replaced as it was refused.
    replaced: Option<Instant>,
}

type Asking<T> = Shared<BoxFuture<'static, Result<T, Instead>>>;

/// A value has ended for whoever asks when so much is left of it: the request that it goes with takes its time.
pub(super) const LEFT_MIN: Duration = Duration::from_secs(300);

/// An upstream that refuses every value must not make the host ask for one after the other.
const REPLACED_AGAIN_AFTER: Duration = Duration::from_secs(300);

impl<T> Clone for Renewed<T> {
    fn clone(&self) -> Renewed<T> {
        Renewed(self.0.clone())
    }
}

impl<T> Default for Renewed<T> {
    fn default() -> Renewed<T> {
        Renewed(Arc::new(Mutex::new(State { held: None, asking: None, refusal: None, replaced: None })))
    }
}

impl<T: Clone + PartialEq + Send + Sync + 'static> Renewed<T> {
    /// The value; `ask` begins to ask for one, where there is none and nobody is asking. That goes on whoever waits for it: a
    /// collector that is ended does not take it from the others.
    ///
    /// # Errors
    /// What whoever asks gets instead.
    pub async fn get(&self, deadline: Instant, ask: impl FnOnce() -> Work<T>) -> Result<T, Instead> {
        let asking = self.held_or_asking(ask);
        let late = |_| Err(Err(Failure::new(FailureKind::Timeout, "the credential was still being asked for")));
        timeout_at(deadline.into(), asking).await.unwrap_or_else(late)
    }

    /// Whether whoever was refused with this value may come again with another one, which is then asked for.
    pub fn replace(&self, refused: &T) -> bool {
        let mut state = self.lock();
        // Somebody else has seen to it.
        if state.held.as_ref().is_none_or(|held| held.value != *refused) {
            return true;
        }
        let now = clock::instant();
        if state.replaced.is_some_and(|last| now.saturating_duration_since(last) < REPLACED_AGAIN_AFTER) {
            return false;
        }
        state.replaced = Some(now);
        state.held = None;
        true
    }

    fn held_or_asking(&self, ask: impl FnOnce() -> Work<T>) -> Asking<T> {
        let mut state = self.lock();
        let now = clock::instant();
        let held = state.held.as_ref().filter(|held| held.renew_at.is_none_or(|renew_at| now < renew_at));
        let known = match (held, &state.refusal) {
            (Some(held), _) => Some(Ok(held.value.clone())),
            (None, Some(refusal)) => Some(Err(Err(refusal.clone()))),
            (None, None) => None,
        };
        if let Some(known) = known {
            return ready(known).boxed().shared();
        }
        let begin = || {
            let (this, work) = (self.clone(), ask());
            let task = tokio::spawn(async move { this.keep(work.await) });
            let gone = |_| Err(Err(Failure::new(FailureKind::Broken, "the host gave up asking for the credential")));
            task.map(move |joined| joined.unwrap_or_else(gone)).boxed().shared()
        };
        state.asking.get_or_insert_with(begin).clone()
    }

    fn keep(&self, result: Result<Fresh<T>, Instead>) -> Result<T, Instead> {
        let mut state = self.lock();
        state.asking = None;
        match result {
            Ok(fresh) => Ok(state.held.insert(fresh).value.clone()),
            Err(instead) => {
                // Asking again would be refused again.
                state.refusal =
                    instead.as_ref().err().filter(|failure| failure.kind == FailureKind::Credential).cloned();
                Err(instead)
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Gives 1, 2, 3, …, each after a moment.
    struct Source {
        asked: Arc<AtomicU32>,
        renewed: Renewed<u32>,
        ends_in: Option<Duration>,
    }

    impl Source {
        fn new(ends_in: Option<Duration>) -> Source {
            Source { asked: Arc::default(), renewed: Renewed::default(), ends_in }
        }

        async fn get(&self) -> Result<u32, Instead> {
            self.get_within(Duration::from_secs(60)).await
        }

        async fn get_within(&self, time: Duration) -> Result<u32, Instead> {
            let (asked, ends_in) = (self.asked.clone(), self.ends_in);
            let ask = || {
                let work = async move {
                    let value = asked.fetch_add(1, Ordering::Relaxed) + 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok(Fresh { value, renew_at: ends_in.map(|left| clock::instant() + left) })
                };
                work.boxed()
            };
            self.renewed.get(clock::instant() + time, ask).await
        }
    }

    #[tokio::test]
    async fn all_who_ask_at_once_share_one_asking_and_a_value_that_has_ended_is_asked_for_anew() {
        let source = Source::new(None);
        let all = futures::future::join_all((0..50).map(|_| source.get())).await;
        assert!(all.into_iter().all(|value| value == Ok(1)));
        assert_eq!(source.get().await, Ok(1));
        let ending = Source::new(Some(Duration::ZERO));
        assert_eq!((ending.get().await, ending.get().await), (Ok(1), Ok(2)));
    }

    #[tokio::test]
    async fn whoever_goes_away_does_not_take_the_asking_from_the_others() {
        let source = Source::new(None);
        let late = source.get_within(Duration::from_millis(1)).await.unwrap_err().unwrap_err();
        assert_eq!(late.kind, FailureKind::Timeout);
        assert_eq!(source.get().await, Ok(1));
    }

    #[tokio::test]
    async fn a_refused_value_is_replaced_once_for_all_who_were_refused_with_it() {
        let source = Source::new(None);
        assert_eq!(source.get().await, Ok(1));
        assert!(source.renewed.replace(&1) && source.renewed.replace(&1));
        assert_eq!(source.get().await, Ok(2));
        // Too late for the second one, and it is too soon for a third.
        assert!(source.renewed.replace(&1) && !source.renewed.replace(&2));
        assert_eq!(source.get().await, Ok(2));
    }

    #[tokio::test]
    async fn a_refusal_stands_and_a_failure_does_not() {
        let renewed: Renewed<u32> = Renewed::default();
        let deadline = || clock::instant() + Duration::from_secs(60);
        let failing = |kind| move || async move { Err(Err(Failure::new(kind, "no"))) }.boxed();
        let giving = || async { Ok(Fresh { value: 7, renew_at: None }) }.boxed();
        assert!(renewed.get(deadline(), failing(FailureKind::Broken)).await.is_err());
        assert_eq!(renewed.get(deadline(), giving).await, Ok(7));
        assert!(renewed.replace(&7));
        assert!(renewed.get(deadline(), failing(FailureKind::Credential)).await.is_err());
        assert!(renewed.get(deadline(), giving).await.is_err());
    }
}
