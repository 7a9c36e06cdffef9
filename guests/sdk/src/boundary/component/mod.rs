//! The boundary of a component: the only use of wit-bindgen.

mod ec2;
mod kubernetes;
mod last_values;
mod workloads;

use jiff::Timestamp;

use self::bindings::collector::host as wit;
use crate::fault::{Blame, Fault, Reason};
use crate::http::{Error, ErrorKind, Request, Response};
use crate::log::Level;
use crate::{Gap, Point};

pub use self::ec2::*;
pub use self::kubernetes::*;
pub use self::last_values::*;
pub use self::workloads::*;

#[allow(unsafe_code, missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        world: "collector",
        path: "../../wit",
        pub_export_macro: true,
        export_macro_name: "export_component",
        default_bindings_module: "collector_sdk::bindings",
    });
}

impl<C: crate::Collector> bindings::Guest for C {
    async fn collect() -> Result<(), wit::faults::Fault> {
        <C as crate::Collector>::collect().await.map_err(fault_to_wit)
    }
}

pub async fn send(request: Request) -> Result<Response, Error> {
    let timeout_ms = request.timeout.map(|t| u32::try_from(t.as_millis()).unwrap_or(u32::MAX));
    let answer = wit::http::send(wit::http::Request {
        upstream: request.upstream,
        method: request.method.into(),
        path: request.path,
        query: request.query,
        headers: request.headers,
        body: request.body,
        repeatable: request.repeatable,
        timeout_ms,
    })
    .await;
    match answer {
        Ok(r) => Ok(Response { label: String::new(), status: r.status, headers: r.headers, body: r.body }),
        Err(e) => Err(Error { kind: error_kind(e.kind), message: e.message }),
    }
}

pub fn emit(points: Vec<Point>) -> Result<(), String> {
    let points: Vec<_> =
        points.into_iter().map(|p| wit::metrics::Point { series: p.series, value: p.value, tags: p.tags }).collect();
    wit::metrics::emit(&points).map_err(|refusal| refusal.message)
}

pub fn gap(gap: Gap) -> Result<(), String> {
    wit::metrics::gap(&gap.series, &gap.reason).map_err(|refusal| refusal.message)
}

pub fn setting(key: &str) -> Option<String> {
    wit::settings::get(key)
}

pub fn log(level: Level, message: &str) {
    let level = match level {
        Level::Debug => wit::logging::Level::Debug,
        Level::Info => wit::logging::Level::Info,
        Level::Warn => wit::logging::Level::Warn,
        Level::Error => wit::logging::Level::Error,
    };
    wit::logging::log(level, message);
}

pub fn now() -> Timestamp {
    // The host's wall clock stands at the cycle's start and within jiff's range.
    Timestamp::try_from(std::time::SystemTime::now()).unwrap_or_default()
}

fn error_kind(kind: wit::http::ErrorKind) -> ErrorKind {
    match kind {
        wit::http::ErrorKind::Denied => ErrorKind::Denied,
        wit::http::ErrorKind::Redirected => ErrorKind::Redirected,
        wit::http::ErrorKind::Limit => ErrorKind::Limit,
        wit::http::ErrorKind::Unreachable => ErrorKind::Unreachable,
        wit::http::ErrorKind::Timeout => ErrorKind::Timeout,
        wit::http::ErrorKind::Broken => ErrorKind::Broken,
        wit::http::ErrorKind::Credential => ErrorKind::Credential,
    }
}

fn fault_to_wit(fault: Fault) -> wit::faults::Fault {
    wit::faults::Fault {
        blame: match fault.blame {
            Blame::Guest => wit::faults::Blame::Guest,
            Blame::Upstream => wit::faults::Blame::Upstream,
            Blame::Settings => wit::faults::Blame::Settings,
        },
        reason: match fault.reason {
            Reason::Unreachable => wit::faults::Reason::Unreachable,
            Reason::Timeout => wit::faults::Reason::Timeout,
            Reason::UpstreamError => wit::faults::Reason::UpstreamError,
            Reason::RateLimited => wit::faults::Reason::RateLimited,
            Reason::Unauthorized => wit::faults::Reason::Unauthorized,
            Reason::NotFound => wit::faults::Reason::NotFound,
            Reason::BadAnswer => wit::faults::Reason::BadAnswer,
            Reason::Credential => wit::faults::Reason::Credential,
            Reason::Setting => wit::faults::Reason::Setting,
            Reason::Denied => wit::faults::Reason::Denied,
            Reason::Limit => wit::faults::Reason::Limit,
            Reason::Contract => wit::faults::Reason::Contract,
            Reason::Other => wit::faults::Reason::Other,
        },
        message: fault.message,
    }
}
