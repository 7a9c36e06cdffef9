//! An upstream that does everything that an upstream should not, one path for each.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A gibibyte of zeros: one gzip member of 32 MiB, 32 times.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&vec![0; 32 << 20]).unwrap();
    gzip.finish().unwrap().repeat(32)
});

/// The server; it ends with its value.
pub struct Evil {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    _runtime: tokio::runtime::Runtime,
}

/// A request as it came in.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// With the query.
    pub target: String,
    /// The lines of the head.
    pub head: String,
    pub body: Vec<u8>,
}

/// What a test's own server says: status, lines of the head, body. None leaves it to the evil one.
pub type Said = Option<(u16, String, Vec<u8>)>;

impl Seen {
    pub fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    /// A header's value; its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }
}

impl Evil {
    pub fn start() -> Evil {
        Evil::saying(|_| None)
    }

    /// One that first asks a function what to say.
    pub fn saying(says: impl Fn(&Seen) -> Said + Send + Sync + 'static) -> Evil {
        let says: Arc<dyn Fn(&Seen) -> Said + Send + Sync> = Arc::new(says);
        LazyLock::force(&BOMB);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let book = seen.clone();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let (book, says) = (book.clone(), says.clone());
                tokio::spawn(async move {
                    // Whatever goes wrong on this side is the client gone away.
                    drop(serve(stream, &book, &*says).await);
                });
            }
        });
        Evil { address, seen, connections, _runtime: runtime }
    }

    /// The upstream's section in the configuration.
    pub fn config(&self) -> String {
        format!("[upstream.evil]\nbase_url = 'http://{}'\nallow_addresses = ['loopback']\n", self.address)
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many requests there were for a path.
    pub fn count(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.target.split('?').next() == Some(path)).count()
    }
}

async fn serve(
    mut stream: TcpStream,
    book: &Mutex<Vec<Seen>>,
    says: &(dyn Fn(&Seen) -> Said + Send + Sync),
) -> std::io::Result<()> {
    loop {
        let seen = read(&mut stream).await?;
        let path = seen.target.split('?').next().unwrap_or_default().to_owned();
        let times = {
            let mut book = book.lock().unwrap();
            book.push(seen.clone());
            book.iter().filter(|s| s.target.split('?').next() == Some(&path)).count()
        };
        match says(&seen) {
            Some((status, headers, body)) => reply(&mut stream, status, &headers, &body).await?,
            None => answer(&mut stream, &path, &seen, times).await?,
        }
    }
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = bytes.split_off(end);
    while body.len() < length.unwrap_or(0) {
        if stream.read_buf(&mut body).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    Ok(Seen { target, head, body })
}

async fn answer(stream: &mut TcpStream, path: &str, seen: &Seen, times: usize) -> std::io::Result<()> {
    match path {
        "/never" => std::future::pending().await,
        "/drip" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await?;
            loop {
                stream.write_all(b"x").await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        "/stall" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").await?;
            std::future::pending().await
        }
        "/huge" => flood(stream, "content-length: 5368709120\r\n", |block| block.to_vec()).await,
        "/endless" => {
            let chunk = |block: &[u8]| [format!("{:x}\r\n", block.len()).as_bytes(), block, b"\r\n"].concat();
            flood(stream, "transfer-encoding: chunked\r\n", chunk).await
        }
        "/bomb" => reply(stream, 200, "content-encoding: gzip\r\n", &BOMB).await,
        "/many-headers" => {
            let headers: String = (0..90).map(|n| format!("x-{n}: {}\r\n", "y".repeat(1000))).collect();
            reply(stream, 200, &headers, b"").await
        }
        "/endless-headers" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                stream.write_all(format!("x: {}\r\n", "y".repeat(1000)).as_bytes()).await?;
            }
        }
        "/to-metadata" => reply(stream, 302, "location: http://169.254.169.254/latest/meta-data/\r\n", b"").await,
        "/to-ok" => reply(stream, 302, "location: /ok\r\n", b"").await,
        "/to-itself" => reply(stream, 307, "location: /to-itself\r\n", b"").await,
        "/echo" => reply(stream, 200, "x-echo: yes\r\n", seen.head.as_bytes()).await,
        "/wait" => {
            tokio::time::sleep(Duration::from_millis(100)).await;
            reply(stream, 200, "", b"waited").await
        }
        "/flaky" if times <= 2 => reply(stream, 503, "", b"not yet").await,
        "/down" => reply(stream, 502, "", b"bad gateway").await,
        "/throttle" if times <= 1 => reply(stream, 429, "retry-after: 1\r\n", b"slow down").await,
        "/throttle-long" => reply(stream, 429, "retry-after: 3600\r\n", b"slow down").await,
        "/unauthorized" => reply(stream, 401, "", b"who are you").await,
        "/close" => {
            reply(stream, 200, "connection: close\r\n", b"bye").await?;
            stream.shutdown().await?;
            Err(std::io::ErrorKind::ConnectionAborted.into())
        }
        "/cut" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this").await?;
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
        "/garbage" => {
            stream.write_all(b"220 smtp.example.com ESMTP\r\n").await?;
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
        "/echo-error" => reply(stream, 500, "", seen.head.as_bytes()).await,
        _ if path.starts_with("/to-host/") => {
            let port = path.trim_start_matches("/to-host/");
            reply(stream, 302, &format!("location: http://127.0.0.1:{port}/ok\r\n"), b"").await
        }
        _ if path.starts_with("/tagged/") => tagged(stream, path.trim_start_matches("/tagged/"), seen).await,
        // An API server of Kubernetes, in several moods.
        "/api/v1/pods" | "/expired/api/v1/pods" => {
            let (status, body) = match (seen.target.contains("continue=next"), path, times) {
                (false, ..) => (200, r#"{"metadata": {"continue": "next"}, "items": [{"a": 1}, {"a": 2}]}"#),
                (true, "/expired/api/v1/pods", 2) => (410, r#"{"kind": "Status", "message": "the token is too old"}"#),
                (true, ..) => (200, r#"{"metadata": {}, "items": [{"a": 3}]}"#),
            };
            reply(stream, status, "", body.as_bytes()).await
        }
        "/forbidden/api/v1/pods" => {
            reply(stream, 403, "", br#"{"kind": "Status", "message": "pods is forbidden: User \"h\" cannot list"}"#)
                .await
        }
        "/leaky/api/v1/pods" => {
            reply(stream, 200, "", br#"{"metadata": {}, "items": [{"note": "the key is demo-secret-0123456789"}]}"#)
                .await
        }
        "/hangs/api/v1/pods" => std::future::pending().await,
        "/huge/api/v1/pods" => flood(stream, "content-length: 5368709120\r\n", |block| block.to_vec()).await,
        "/last-one" => {
            let headers = if times == 1 { "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 1\r\n" } else { "" };
            reply(stream, 200, headers, b"ok").await
        }
        "/used-up" => reply(stream, 429, "retry-after: 3600\r\n", b"").await,
        // Stores of secrets: Vault's (both versions, and its login), the cluster's, AWS'.
        "/v1/secret/data/app" if seen.head.contains("x-vault-token: vault-token-0123456789") => {
            reply(stream, 200, "", br#"{"data": {"data": {"TOKEN": "vault-secret-0123456789"}, "metadata": {}}}"#).await
        }
        "/v1/old/app" => reply(stream, 200, "", br#"{"data": {"TOKEN": "vault-secret-0123456789"}}"#).await,
        "/v1/secret/data/app" => reply(stream, 403, "", br#"{"errors": ["permission denied"]}"#).await,
        "/v1/secret/data/nothing" => reply(stream, 404, "", br#"{"errors": []}"#).await,
        "/api/v1/namespaces/ml/secrets/app" => {
            reply(stream, 200, "", br#"{"data": {"TOKEN": "Y2x1c3Rlci1zZWNyZXQtMDEyMzQ1Njc4OQ=="}}"#).await
        }
        "/aws/" => {
            let one = r#"{"ARN": "arn:aws:secretsmanager:us-east-1:1:secret:dev/app-AbCdEf", "Name": "dev/app",
                "SecretString": "{\"TOKEN\": \"aws-secret-0123456789\", \"OTHER\": \"x\"}"}"#;
            let error =
                r#"{"SecretId": "dev/none", "ErrorCode": "ResourceNotFoundException", "Message": "no such secret"}"#;
            let body = format!(r#"{{"SecretValues": [{one}], "Errors": [{error}]}}"#);
            reply(stream, 200, "content-type: application/x-amz-json-1.1\r\n", body.as_bytes()).await
        }
        // EC2, in several moods.
        "/ec2/" => {
            let body = match times {
                1 => return reply(stream, 503, "", EC2_BUSY).await,
                2 => EC2_PAGE.replace("<!--token-->", "<nextToken>t</nextToken>"),
                _ => EC2_PAGE.to_owned(),
            };
            reply(stream, 200, "", body.as_bytes()).await
        }
        "/ec2-huge/" => flood(stream, "content-length: 5368709120\r\n", |block| block.to_vec()).await,
        // Datadog's query interface.
        "/api/v2/query/scalar" => {
            let columns = r#"[{"type": "number", "name": "q0", "values": [7.5]}, {"type": "number", "name": "q1", "values": [null]}]"#;
            let body = format!(r#"{{"data": {{"type": "scalar_response", "attributes": {{"columns": {columns}}}}}}}"#);
            reply(stream, 200, "", body.as_bytes()).await
        }
        "/api/v2/series" => reply(stream, 202, "", b"{}").await,
        "/77777" => reply(stream, 200, "", &vec![b'x'; 77_777]).await,
        "/megabyte" => reply(stream, 200, "", &vec![b'x'; 1 << 20]).await,
        // All but the last byte, so that several of them are surely read at once.
        "/held-megabyte" => {
            let body = vec![b'x'; 1 << 20];
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len() + 1);
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await?;
            tokio::time::sleep(Duration::from_millis(400)).await;
            stream.write_all(b"x").await
        }
        _ => reply(stream, 200, "", b"ok").await,
    }
}

/// What a tagged answer says.
pub const TAGGED: &str = "This is the tagged body, version one. ";

/// Answers that can be asked for again with a condition, in several moods.
async fn tagged(stream: &mut TcpStream, mood: &str, seen: &Seen) -> std::io::Result<()> {
    let head = seen.head.to_lowercase();
    let is_conditional = head.contains("if-none-match: ") || head.contains("if-modified-since: ");
    let body = match mood {
        "echo" => format!("{TAGGED}{}", seen.head),
        "megabyte" => TAGGED.repeat((1 << 20) / TAGGED.len()),
        _ => TAGGED.repeat(100),
    };
    let headers = match mood {
        "no-store" => "etag: \"v1\"\r\ncache-control: private, no-store\r\n",
        "vary-all" => "etag: \"v1\"\r\nvary: *\r\n",
        "dated" => "last-modified: Fri, 24 Oct 2025 11:00:00 GMT\r\ndate: Fri, 24 Oct 2025 12:00:00 GMT\r\n",
        "moved" => return reply(stream, 302, "location: /tagged/plain\r\netag: \"v1\"\r\n", b"").await,
        "chunked" if !is_conditional => {
            let head = "HTTP/1.1 200 OK\r\netag: \"v1\"\r\ntransfer-encoding: chunked\r\n\r\n";
            let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
            return stream.write_all(&[head, &chunk].concat().into_bytes()).await;
        }
        // Whether it was cut off, nobody can tell.
        "endless" => {
            let head = "HTTP/1.1 200 OK\r\netag: \"v1\"\r\nconnection: close\r\n\r\n";
            stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
            return stream.shutdown().await;
        }
        _ => "etag: W/\"v1\"\r\nx-from: the first answer\r\nset-cookie: session=1\r\n",
    };
    if !is_conditional {
        return reply(stream, 200, headers, body.as_bytes()).await;
    }
    if mood == "moves" {
        return reply(stream, 302, "location: /tagged/plain\r\n", b"").await;
    }
    // As if it described the body that it does not have.
    let fresh = match mood {
        "other" => "etag: \"v2\"\r\n",
        "last-one" => "etag: \"v1\"\r\nx-ratelimit-remaining: 0\r\nx-ratelimit-reset: 1\r\n",
        _ => "etag: W/\"v1\"\r\ncontent-encoding: gzip\r\nx-fresh: yes\r\n",
    };
    stream.write_all(format!("HTTP/1.1 304 Not Modified\r\n{fresh}\r\n").as_bytes()).await
}

pub const EC2_BUSY: &[u8] =
    b"<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>slower</Message></Error></Errors></Response>";
pub const EC2_PAGE: &str = "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>i-1</instanceId>\
     </item></instancesSet></item></reservationSet><!--token--></DescribeInstancesResponse>";

async fn flood(stream: &mut TcpStream, header: &str, frame: impl Fn(&[u8]) -> Vec<u8>) -> std::io::Result<()> {
    stream.write_all(format!("HTTP/1.1 200 OK\r\n{header}\r\n").as_bytes()).await?;
    let block = frame(&[b'x'; 1 << 16]);
    loop {
        stream.write_all(&block).await?;
    }
}

async fn reply(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).await
}
