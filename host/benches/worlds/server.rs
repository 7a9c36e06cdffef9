//! An HTTP server on loopback that plays an upstream.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// Answers requests.
pub trait Upstream: Send + Sync + 'static {
    /// None for what the upstream is not expected to be asked.
    fn answer(&self, request: &Request) -> Option<Answer>;
}

/// A request as it came.
#[derive(Debug)]
pub struct Request {
    pub path: String,
    pub query: Pairs,
    pub body: Bytes,
}

/// Names with values, decoded.
#[derive(Debug)]
pub struct Pairs(Vec<(String, String)>);

/// Of status 200.
pub struct Answer {
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Pairs {
    /// Reads `name=value&…`.
    pub fn read(text: &[u8]) -> Pairs {
        Pairs(url::form_urlencoded::parse(text).map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    pub fn number(&self, name: &str) -> Option<usize> {
        self.get(name)?.parse().ok()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Request {
    /// The path, and how the body begins.
    fn describe(&self) -> String {
        const SHOWN_BYTES: usize = 80;
        let body = self.body.get(..SHOWN_BYTES).unwrap_or(&self.body);
        format!("{} {}", self.path, String::from_utf8_lossy(body)).trim_end().to_owned()
    }

    /// The body, where it is JSON; else null.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Answer {
    pub fn json(body: impl ToString) -> Answer {
        Answer::of("application/json", body.to_string())
    }

    pub fn of(content_type: &str, body: String) -> Answer {
        Answer { headers: vec![("content-type", content_type.into())], body: body.into() }
    }

    pub fn with(mut self, header: &'static str, value: String) -> Answer {
        self.headers.push((header, value));
        self
    }
}

/// A running server.
pub struct Server {
    pub address: String,
    unserved: Arc<Mutex<Vec<String>>>,
    _runtime: Runtime,
}

impl Server {
    pub fn start(upstream: Arc<dyn Upstream>) -> Server {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let unserved = Arc::new(Mutex::new(Vec::new()));
        let keeping = unserved.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, upstream.clone(), keeping.clone()));
            }
        });
        Server { address, unserved, _runtime: runtime }
    }

    /// Requests that the upstream has no answer to.
    pub fn unserved(&self) -> Vec<String> {
        self.unserved.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(stream: TcpStream, upstream: Arc<dyn Upstream>, unserved: Arc<Mutex<Vec<String>>>) {
    let answering = service_fn(async |request: hyper::Request<Incoming>| {
        let request = read(request).await;
        let answer = upstream.answer(&request);
        if answer.is_none() {
            unserved.lock().unwrap_or_else(PoisonError::into_inner).push(request.describe());
        }
        Ok::<_, Infallible>(write(answer))
    });
    // A client that hangs up has its reasons.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), answering).await);
}

async fn read(request: hyper::Request<Incoming>) -> Request {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let query = Pairs::read(head.uri.query().unwrap_or_default().as_bytes());
    Request { path: head.uri.path().to_owned(), query, body }
}

fn write(answer: Option<Answer>) -> hyper::Response<Full<Bytes>> {
    let status = if answer.is_some() { 200 } else { 404 };
    let Answer { headers, body } = answer.unwrap_or_else(|| Answer::json("null"));
    let mut response = hyper::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Full::new(body)).expect("an answer")
}

/// Rows that are joined with commas.
pub fn join(rows: &[impl AsRef<str>]) -> String {
    let mut joined = String::with_capacity(rows.iter().map(|row| row.as_ref().len() + 1).sum());
    for row in rows {
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(row.as_ref());
    }
    joined
}

/// So many rows from that one on, and where the next page begins, if there is one.
pub fn page<T>(rows: &[T], start: usize, size: usize) -> (&[T], Option<usize>) {
    let start = start.min(rows.len());
    let end = rows.len().min(start.saturating_add(size));
    (&rows[start..end], (end < rows.len()).then_some(end))
}
