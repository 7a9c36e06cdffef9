//! The epoch's clock: an OS thread of its own, so that no amount of work on a runtime holds it up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::Engine;

use crate::clock;

/// How often guests are asked to let others run. Measured: with 1 ms, spinning guests delay a timer by 3 ms at most.
const TICK: Duration = Duration::from_millis(1);

/// Ticks until it is dropped.
pub(super) struct Ticker {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub fn start(engine: &Engine) -> std::io::Result<Ticker> {
        let stopped = Arc::new(AtomicBool::new(false));
        let (is_over, engine) = (stopped.clone(), engine.weak());
        let tick = move || {
            let mut next = clock::instant() + TICK;
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(next.saturating_duration_since(clock::instant()));
                // Ticks that were missed are not made up for: one is as good as ten.
                next = (next + TICK).max(clock::instant());
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => break,
                }
            }
        };
        let thread = std::thread::Builder::new().name("epoch".into()).spawn(tick)?;
        Ok(Ticker { stopped, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It wakes within a tick; if it panicked there is nothing left to stop.
            drop(thread.join());
        }
    }
}
