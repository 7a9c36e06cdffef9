//! A guest's log: lines of the logging import and of stdout and stderr, attributed, bounded, without secrets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tracing::Level;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::limits::ByteSize;
use crate::model::{Name, Redactor};

/// The log of one attempt. Clones write into the same one.
#[derive(Clone)]
pub(super) struct GuestLog(Arc<Mutex<Book>>);

struct Book {
    collector: Name,
    redactor: Redactor,
    bytes_left: u64,
    dropped_bytes: u64,
    /// The beginning of a line of stdout or stderr that has not ended yet.
    open_line: Vec<u8>,
    /// What a panic or abort said: the last lines of stderr.
    last_words: String,
}

/// A longer line is cut: nobody reads it.
const LINE_BYTES_MAX: usize = 4096;

impl GuestLog {
    pub fn new(collector: &Name, max: ByteSize, redactor: &Redactor) -> GuestLog {
        GuestLog(Arc::new(Mutex::new(Book {
            collector: collector.clone(),
            redactor: redactor.clone(),
            bytes_left: max.0,
            dropped_bytes: 0,
            open_line: Vec::new(),
            last_words: String::new(),
        })))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line of the logging import.
    pub fn line(&self, level: Level, message: &str) {
        self.book().line(level, message);
    }

    /// Bytes beyond the limit.
    pub fn dropped_bytes(&self) -> u64 {
        self.book().dropped_bytes
    }

    /// What the guest wrote to stderr at the end: where a panic says why.
    pub fn last_words(&self) -> String {
        let mut book = self.book();
        let rest = std::mem::take(&mut book.open_line);
        book.stdio_line(&rest);
        book.last_words.clone()
    }
}

impl Book {
    fn line(&mut self, level: Level, message: &str) {
        let taken = message.len() as u64;
        if taken > self.bytes_left {
            if self.dropped_bytes == 0 {
                tracing::warn!(target: "collector", collector = %self.collector, "log is full; the rest is dropped");
            }
            // What would fit later would be a log with holes.
            self.bytes_left = 0;
            self.dropped_bytes += taken;
            return;
        }
        self.bytes_left -= taken;
        let end = message.floor_char_boundary(LINE_BYTES_MAX);
        let text: String = message[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = self.redactor.scrub_text(text);
        let collector = &self.collector;
        match level {
            Level::ERROR => tracing::error!(target: "collector", %collector, "{text}"),
            Level::WARN => tracing::warn!(target: "collector", %collector, "{text}"),
            Level::INFO => tracing::info!(target: "collector", %collector, "{text}"),
            _ => tracing::debug!(target: "collector", %collector, "{text}"),
        }
    }

    fn stdio(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            let mut line = std::mem::take(&mut self.open_line);
            line.extend_from_slice(&bytes[..end.min(LINE_BYTES_MAX)]);
            self.stdio_line(&line);
            bytes = &bytes[end + 1..];
        }
        let room = LINE_BYTES_MAX.saturating_sub(self.open_line.len()).min(bytes.len());
        self.open_line.extend_from_slice(&bytes[..room]);
        self.dropped_bytes += (bytes.len() - room) as u64;
    }

    fn stdio_line(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        self.line(Level::DEBUG, text);
        // A panic is two lines: where, and what. A note about backtraces is of no use here.
        if text.contains("panicked at") {
            self.last_words = text.to_owned();
        } else if !text.starts_with("note:") {
            let short = self.last_words.len() < 300;
            let joined = format!("{} {text}", self.last_words);
            self.last_words = if short { joined.trim().to_owned() } else { text.to_owned() };
        }
        self.last_words = self.redactor.scrub_text(std::mem::take(&mut self.last_words));
        let end = self.last_words.floor_char_boundary(600);
        self.last_words.truncate(end);
    }
}

/// Stdout or stderr of a guest.
#[derive(Clone)]
pub(super) struct Stdio(pub GuestLog);

impl IsTerminal for Stdio {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stdio {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this one, which is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stdio {
    async fn ready(&mut self) {}
}

impl OutputStream for Stdio {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.book().stdio(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(LINE_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;

    fn log(max: u64) -> GuestLog {
        let redactor = Redactor::new([(None, &Secret::new("hunter2"))]);
        GuestLog::new(&Name::new("x").unwrap(), ByteSize(max), &redactor)
    }

    #[test]
    fn what_goes_beyond_the_limit_is_dropped_and_counted() {
        let log = log(10);
        log.line(Level::INFO, "12345");
        log.line(Level::INFO, "123456");
        log.line(Level::INFO, "1");
        assert_eq!(log.dropped_bytes(), 7);
    }

    #[test]
    fn the_last_words_are_where_and_what_of_a_panic() {
        let log = log(1000);
        let mut stderr = Stdio(log.clone());
        for piece in ["x\n\nthread 'main' panicked at src/lib.rs:3:\nthe hunter2 sai", "d no\nnote: run with"] {
            OutputStream::write(&mut stderr, Bytes::copy_from_slice(piece.as_bytes())).unwrap();
        }
        assert_eq!(log.last_words(), "thread 'main' panicked at src/lib.rs:3: the [redacted] said no");
    }

    #[test]
    fn a_line_without_an_end_does_not_grow() {
        let log = log(100);
        let mut stdout = Stdio(log.clone());
        for _ in 0..100 {
            OutputStream::write(&mut stdout, Bytes::from(vec![b'x'; 1000])).unwrap();
        }
        assert!(log.book().open_line.len() <= LINE_BYTES_MAX);
    }
}
