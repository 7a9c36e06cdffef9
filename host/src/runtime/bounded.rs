//! A future with an end: an instant, or a word from outside. The clock is looked at before every poll, so that a guest that
//! spins is not given another turn after its deadline.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::clock;

/// How a bounded future ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended<T> {
    Done(T),
    /// The instant passed.
    Deadline,
    /// Somebody said stop.
    Cancelled,
}

/// Runs `future` to its end, to `deadline`, or until `stop` is cancelled; drops it then.
pub(super) async fn bounded<F: Future>(future: F, deadline: Instant, stop: &CancellationToken) -> Ended<F::Output> {
    let bounded = Bounded {
        future: Box::pin(future),
        sleep: Box::pin(sleep_until(deadline.into())),
        stop: Box::pin(stop.cancelled()),
        token: stop,
        deadline,
    };
    bounded.await
}

struct Bounded<'a, F> {
    future: Pin<Box<F>>,
    sleep: Pin<Box<Sleep>>,
    stop: Pin<Box<WaitForCancellationFuture<'a>>>,
    token: &'a CancellationToken,
    deadline: Instant,
}

impl<F: Future> Future for Bounded<'_, F> {
    type Output = Ended<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended<F::Output>> {
        if self.token.is_cancelled() {
            return Poll::Ready(Ended::Cancelled);
        }
        if clock::instant() >= self.deadline {
            return Poll::Ready(Ended::Deadline);
        }
        if let Poll::Ready(output) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Ended::Done(output));
        }
        // Both are polled for their wakers: a guest that only waits is woken by them.
        if self.stop.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ended::Cancelled);
        }
        self.sleep.as_mut().poll(cx).map(|()| Ended::Deadline)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_future_ends_by_itself_by_the_clock_or_by_a_word() {
        let stop = CancellationToken::new();
        let soon = || clock::instant() + Duration::from_millis(20);
        let later = || clock::instant() + Duration::from_secs(60);
        assert_eq!(bounded(async { 7 }, later(), &stop).await, Ended::Done(7));
        assert_eq!(bounded(std::future::pending::<()>(), soon(), &stop).await, Ended::Deadline);
        let spinning = async {
            loop {
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(bounded::<_>(spinning, soon(), &stop).await, Ended::<()>::Deadline);
        let saying = stop.clone();
        tokio::spawn(async move { saying.cancel() });
        assert_eq!(bounded(std::future::pending::<()>(), later(), &stop).await, Ended::Cancelled);
    }
}
