//! A request as it is asked for, the bounds of its answer, and the answer.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;

use super::Buffer;

/// What is asked of an endpoint. Upstream, method, path and headers were decided about before.
#[derive(Clone, Default)]
pub struct Ask {
    /// In upper case.
    pub method: String,
    /// Absolute and normal (see `policy::normal_path`); appended to the endpoint's base URL.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Asking twice does no harm. GET and HEAD always are.
    pub repeatable: bool,
    /// Shortens the endpoint's own time for the whole exchange.
    pub timeout: Option<Duration>,
    /// Who asks, for the User-Agent.
    pub agent: String,
    /// The path prefixes that a redirect may lead to at the endpoint itself.
    pub paths: Vec<String>,
}

/// Without headers and body: they may hold a secret.
impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").field("method", &self.method).field("path", &self.path).finish_non_exhaustive()
    }
}

/// What an answer may be, and until when anybody waits for it.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Whoever asks is gone at this instant: no pause reaches beyond it.
    pub deadline: Instant,
    /// Compressed and decompressed, each.
    pub body_bytes_max: u64,
    pub header_bytes_max: u64,
    /// What all bodies being read may hold together.
    pub buffer: Buffer,
}

/// An upstream's answer, whatever its status, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case; without those that describe the transfer.
    pub headers: Vec<(String, String)>,
    /// Decompressed.
    pub body: Vec<u8>,
}

impl Answer {
    /// What time it is where it comes from: the header `Date` (RFC 9110).
    pub fn date(&self) -> Option<Timestamp> {
        Some(jiff::fmt::rfc2822::parse(self.header("date")?.trim()).ok()?.timestamp())
    }

    /// The first value of a header; its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}
