//! A small HTTP server on loopback that answers with a function.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A request, read to its end.
pub(super) struct Request {
    pub method: String,
    pub path: String,
    /// Decoded, in order.
    pub query: Vec<(String, String)>,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

/// An answer.
pub(super) struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Serves until the process ends; gives the address.
pub(super) async fn start(answer: impl Fn(Request) -> Answer + Send + Sync + 'static) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answer = answer.clone();
                async move { Ok::<_, Infallible>(serve(request, &*answer).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A client that goes away is none of the demo's business.
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    Ok(address)
}

async fn serve(
    request: http::Request<hyper::body::Incoming>,
    answer: &(impl Fn(Request) -> Answer + Send + Sync),
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
    let answer = answer(Request {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: query.into_owned().collect(),
        headers: parts.headers,
        body,
    });
    let builder = Response::builder().status(answer.status);
    let builder = answer.headers.iter().fold(builder, |builder, (name, value)| builder.header(name, value));
    let unsayable = || Response::new(Full::from("the answer cannot be written as HTTP"));
    builder.body(Full::from(answer.body)).unwrap_or_else(|_| unsayable())
}
