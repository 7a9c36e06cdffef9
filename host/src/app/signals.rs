//! SIGTERM and SIGINT: the first one ends the attempts, a second one the process.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::model::Event;

/// What the shell expects of a process that SIGINT ended.
const EXIT_INTERRUPTED: i32 = 130;

/// Listens until it is dropped.
pub(super) struct Listening(JoinHandle<()>);

impl Listening {
    /// The first signal cancels `stop` and is told as an event.
    pub fn start(stop: CancellationToken, events: mpsc::UnboundedSender<Event>) -> Listening {
        Listening(tokio::spawn(listen(stop, events)))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(stop: CancellationToken, events: mpsc::UnboundedSender<Event>) {
    let signal = next().await;
    drop(events.send(Event::Interrupted { signal }));
    stop.cancel();
    next().await;
    std::process::exit(EXIT_INTERRUPTED);
}

#[cfg(unix)]
async fn next() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        },
        // Without handlers the signals end the process, as they always do.
        _ => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn next() -> &'static str {
    match tokio::signal::ctrl_c().await {
        Ok(()) => "Ctrl-C",
        Err(_) => std::future::pending().await,
    }
}
