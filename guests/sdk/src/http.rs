//! Requests to upstreams. The host finds the upstream, authenticates, repeats, limits; here is only what is asked.

use std::fmt::Display;
use std::time::Duration;

use futures::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fault::{Blame, Fault, Reason};

/// A request to an upstream of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub(crate) upstream: String,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) repeatable: bool,
    pub(crate) timeout: Option<Duration>,
}

impl Request {
    /// `GET path`. Path segments that come from settings or answers go through [`segment`].
    pub fn get(upstream: &str, path: impl Into<String>) -> Request {
        Request::new("GET", upstream, path)
    }

    /// `POST path`.
    pub fn post(upstream: &str, path: impl Into<String>) -> Request {
        Request::new("POST", upstream, path)
    }

    fn new(method: &'static str, upstream: &str, path: impl Into<String>) -> Request {
        Request {
            upstream: upstream.into(),
            method,
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            repeatable: method == "GET",
            timeout: None,
        }
    }

    /// Adds a query parameter, unencoded.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl Display) -> Request {
        self.query.push((name.into(), value.to_string()));
        self
    }

    /// Adds a header. The host refuses those that it owns.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets a JSON body and its content type.
    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Request {
        // Serializing into memory fails only where a type's own `Serialize` does; the upstream then sees an empty body.
        self.body = Some(serde_json::to_vec(body).unwrap_or_default());
        self.header("content-type", "application/json")
    }

    /// Sets a body as it is.
    #[must_use]
    pub fn bytes(mut self, body: Vec<u8>) -> Request {
        self.body = Some(body);
        self
    }

    /// Says that asking twice does no harm, so that the host may send it again where no answer came.
    #[must_use]
    pub fn repeatable(mut self) -> Request {
        self.repeatable = true;
        self
    }

    /// Shortens the time for the whole exchange; the host's own limit still holds.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Request {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it and gives the answer, whatever its status.
    ///
    /// # Errors
    /// Where there is no answer: not granted, over a limit, unreachable, timed out, broken off.
    pub async fn send(self) -> Result<Response, Fault> {
        let label = format!("{} {} {}", self.upstream, self.method, self.path);
        match crate::boundary::send(self).await {
            Ok(answer) => Ok(Response { label, ..answer }),
            Err(error) => Err(error.into_fault().while_asking(&label)),
        }
    }

    /// Sends it and gives the answer if its status is 2xx.
    ///
    /// # Errors
    /// As [`send`](Request::send), and for every other status (see [`Response::ok`]).
    pub async fn fetch(self) -> Result<Response, Fault> {
        self.send().await?.ok()
    }
}

/// Sends requests with at most `at_once` in flight; the answers come in the order of the requests.
pub async fn fetch_all(requests: impl IntoIterator<Item = Request>, at_once: usize) -> Vec<Result<Response, Fault>> {
    futures::stream::iter(requests.into_iter().map(Request::fetch)).buffered(at_once.max(1)).collect().await
}

/// An upstream's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// What was asked, for messages: `github GET /repos/acme/rocket`.
    pub label: String,
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Decompressed.
    pub body: Vec<u8>,
}

impl Response {
    /// The first value of a header; its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The answer itself if its status is 2xx.
    ///
    /// # Errors
    /// 401 and 403 are `unauthorized` (429, and a 403 that carries `retry-after` or an exhausted `x-ratelimit-remaining` or
    /// speaks of a rate limit, are `rate-limited`), 404 is `not-found`, everything else `upstream-error`. The message carries the status and the
    /// beginning of the body, which is where upstreams say what was wrong.
    pub fn ok(self) -> Result<Response, Fault> {
        let reason = match self.status {
            200..=299 => return Ok(self),
            429 => Reason::RateLimited,
            403 if self.is_rate_limited() => Reason::RateLimited,
            401 | 403 => Reason::Unauthorized,
            404 => Reason::NotFound,
            _ => Reason::UpstreamError,
        };
        Err(Fault::new(reason, format!("{} answered {}{}", self.label, self.status, self.excerpt())))
    }

    /// By its headers, or, for GitHub's secondary limits, by what it says.
    fn is_rate_limited(&self) -> bool {
        let says_so = || self.excerpt().to_ascii_lowercase().contains("rate limit");
        self.header("retry-after").is_some() || self.header("x-ratelimit-remaining") == Some("0") || says_so()
    }

    /// The first words of a body, on one line, with what an upstream says of an error: `: Not Found`.
    fn excerpt(&self) -> String {
        const SHOWN_CHARS: usize = 160;
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(4 * SHOWN_CHARS)]);
        let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.chars().count() {
            0 => String::new(),
            n if n > SHOWN_CHARS => format!(": {}…", line.chars().take(SHOWN_CHARS).collect::<String>()),
            _ => format!(": {line}"),
        }
    }

    /// The body as JSON of the expected shape.
    ///
    /// # Errors
    /// `bad-answer` with the place where the body departs from the shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.body)
            .map_err(|e| Fault::bad_answer(format!("{} answered JSON of another shape: {e}", self.label)))
    }
}

/// Why there is no answer, in the host's words (`wit/http.wit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    Denied,
    Redirected,
    Limit,
    Unreachable,
    Timeout,
    Broken,
    Credential,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub kind: ErrorKind,
    pub message: String,
}

impl Error {
    pub(crate) fn into_fault(self) -> Fault {
        let reason = match self.kind {
            ErrorKind::Denied => Reason::Denied,
            ErrorKind::Redirected => {
                return Fault { blame: Blame::Upstream, reason: Reason::Denied, message: self.message };
            }
            ErrorKind::Limit => Reason::Limit,
            ErrorKind::Unreachable => Reason::Unreachable,
            ErrorKind::Timeout => Reason::Timeout,
            ErrorKind::Broken => Reason::UpstreamError,
            ErrorKind::Credential => Reason::Credential,
        };
        Fault::new(reason, self.message)
    }
}

/// Percent-encodes one segment of a path (RFC 3986: all but unreserved characters).
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
        Response {
            label: "github GET /x".into(),
            status,
            headers: headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            body: body.into(),
        }
    }

    #[test]
    fn a_status_becomes_the_fault_that_names_the_remedy() {
        let reason = |status, headers: &[(&str, &str)]| answer(status, headers, "").ok().unwrap_err().reason;
        assert_eq!(reason(401, &[]), Reason::Unauthorized);
        assert_eq!(reason(403, &[]), Reason::Unauthorized);
        assert_eq!(reason(403, &[("x-ratelimit-remaining", "0")]), Reason::RateLimited);
        assert_eq!(reason(403, &[("retry-after", "60")]), Reason::RateLimited);
        let says = answer(403, &[], "You have exceeded a secondary rate limit.").ok().unwrap_err();
        assert_eq!(says.reason, Reason::RateLimited);
        assert_eq!(reason(429, &[]), Reason::RateLimited);
        assert_eq!(reason(404, &[]), Reason::NotFound);
        assert_eq!(reason(502, &[]), Reason::UpstreamError);
        assert_eq!(reason(302, &[]), Reason::UpstreamError);
        assert!(answer(204, &[], "").ok().is_ok());
    }

    #[test]
    fn an_error_message_holds_the_beginning_of_the_body_on_one_line() {
        let fault = answer(500, &[], &format!("first\n second {}", "x".repeat(9000))).ok().unwrap_err();
        assert!(fault.message.starts_with("github GET /x answered 500: first second xxx"), "{}", fault.message);
        assert!(fault.message.chars().count() < 220 && fault.message.ends_with('…'), "{}", fault.message);
    }

    #[test]
    fn a_segment_cannot_leave_its_place_in_the_path() {
        assert_eq!(segment("a/../b?c#d e%"), "a%2F..%2Fb%3Fc%23d%20e%25");
        assert_eq!(segment("Az9-._~"), "Az9-._~");
    }
}
