//! An intake that takes what all sinks send, remembers it, and answers as it is told.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::received;

/// The intake; it ends with its value.
pub struct Intake {
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Shared {
    /// Answers to come, the next at the front; what a real intake says when there are none.
    answers: Vec<Answer>,
    /// That were taken.
    requests: Vec<Request>,
    /// All.
    asked: Vec<Request>,
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16, &'static str),
    /// With these header lines.
    Headed(u16, &'static str),
    /// With these header lines and this body.
    Whole(u16, String, Vec<u8>),
    /// With the request's credential as its body.
    Echo(u16),
    /// Takes what came, and is cut off before it says so.
    TakenAndCut,
    /// Takes what came, and is cut off in the middle of saying so.
    TakenAndTorn,
    Cut,
    Never,
    /// As a real one does, byte by byte, over some 300 ms.
    Slow,
    /// As a real one does.
    Usual,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Request {
    /// In lower case.
    pub head: String,
    /// Method, path and query, as they came.
    pub target: String,
    pub sent_bytes: usize,
    pub unpacked: Vec<u8>,
}

impl Intake {
    pub fn start() -> Intake {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let book = shared.clone();
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let book = book.clone();
                tokio::spawn(async move { drop(serve(stream, &book).await) });
            }
        });
        Intake { address, shared, _runtime: runtime }
    }

    /// The sink's section in the configuration.
    pub fn config(&self) -> String {
        format!("[sink.datadog]\nbase_url = 'http://{}'\nallow_addresses = ['loopback']\n", self.address)
    }

    /// Answers the next requests so.
    pub fn answer(&self, answers: &[Answer]) {
        self.shared.lock().unwrap().answers = answers.to_vec();
    }

    /// Those that were taken.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().unwrap().requests.clone()
    }

    /// All that came, taken or not.
    pub fn asked(&self) -> Vec<Request> {
        self.shared.lock().unwrap().asked.clone()
    }

    /// Every series of Datadog's that was taken.
    pub fn series(&self) -> Vec<Value> {
        let requests = self.requests().into_iter().filter(|request| request.target == "POST /api/v2/series");
        let requests: Vec<Request> = requests.collect();
        let parsed = requests.iter().map(|request| serde_json::from_slice::<Value>(&request.unpacked).unwrap());
        parsed.flat_map(|payload| payload["series"].as_array().unwrap().clone()).collect()
    }
}

async fn serve(mut stream: TcpStream, shared: &Mutex<Shared>) -> std::io::Result<()> {
    loop {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let target = head.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let head = head.to_lowercase();
        let length = head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        let length = length.unwrap_or(0);
        while bytes.len() < end + length {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
        }
        let body = &bytes[end..end + length];
        let mut unpacked = Vec::new();
        if head.contains("content-encoding: gzip") {
            GzDecoder::new(body).read_to_end(&mut unpacked).unwrap();
        } else if head.contains("content-encoding: snappy") {
            unpacked = snap::raw::Decoder::new().decompress_vec(body).unwrap();
        } else {
            unpacked = body.to_vec();
        }
        let request = Request { head, target, sent_bytes: length, unpacked };
        let (answer, is_slow) = {
            let mut shared = shared.lock().unwrap();
            let told = if shared.answers.is_empty() { Answer::Usual } else { shared.answers.remove(0) };
            let is_slow = matches!(told, Answer::Slow);
            let answer = if matches!(told, Answer::Usual | Answer::Slow) { usual(&request) } else { told };
            let takes = matches!(
                answer,
                Answer::Status(200..=299, _)
                    | Answer::Headed(200..=299, _)
                    | Answer::Whole(200..=299, ..)
                    | Answer::TakenAndCut
                    | Answer::TakenAndTorn
            );
            shared.asked.push(request.clone());
            if takes && !request.target.starts_with("GET ") {
                shared.requests.push(request);
            }
            (answer, is_slow)
        };
        let text = match answer {
            Answer::Status(status, body) => answer_text(status, "", body.as_bytes()),
            Answer::Headed(status, headers) => answer_text(status, headers, b""),
            Answer::Whole(status, headers, body) => answer_text(status, &headers, &body),
            Answer::Echo(status) => {
                let head = String::from_utf8_lossy(&bytes[..end]);
                let credential = head.lines().find(|line| line.to_lowercase().starts_with("authorization")).unwrap();
                answer_text(status, "", credential.as_bytes())
            }
            Answer::TakenAndTorn => {
                stream.write_all(b"HTTP/1.1 202 X\r\ncontent-length: 100\r\n\r\n{").await?;
                return Ok(());
            }
            Answer::Cut | Answer::TakenAndCut => return Ok(()),
            Answer::Usual | Answer::Slow => unreachable!("it is what a real one says by now"),
            Answer::Never => std::future::pending().await,
        };
        for piece in text.chunks(if is_slow { 1 } else { usize::MAX }) {
            stream.write_all(piece).await?;
            if is_slow {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
    }
}

fn answer_text(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// What a real one says: Datadog, a receiver of OTLP, one of remote write 2.0, a Pushgateway.
fn usual(request: &Request) -> Answer {
    if request.head.contains("proto=io.prometheus.write.v2.request") {
        let written = received::remote_write(request).len();
        return Answer::Whole(204, format!("x-prometheus-remote-write-samples-written: {written}\r\n"), Vec::new());
    }
    match request.target.as_str() {
        "POST /api/v2/series" => Answer::Status(202, "{\"errors\":[]}"),
        _ => Answer::Status(200, ""),
    }
}
