//! `http`: what a guest asks for, held against its grants and bounds, and sent by the egress.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wasmtime::component::{Accessor, HasSelf};

use super::State;
use super::quota::{Exceeded, Quota};
use super::wit::http::{ErrorKind, Host, HostWithStore, HttpError, Request, Response};
use crate::egress::{Ask, Egress, Failure, FailureKind, Pacing};
use crate::model::Name;
use crate::policy::Grant;

/// An attempt's side of HTTP. Clones are the same attempt's.
#[derive(Clone)]
pub(in crate::runtime) struct Web {
    pub collector: Name,
    pub grants: Arc<[Grant]>,
    pub egress: Arc<Egress>,
    pub quota: Quota,
}

impl Web {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let _slot = self.quota.admit(request_bytes(&request))?;
        let headers = request.headers.iter().map(|(name, _)| name.as_str());
        let grant = Grant::find(&self.grants, &request.upstream, &request.method, &request.path, headers)
            .map_err(|denied| error(ErrorKind::Denied, denied))?;
        let missing = || error(ErrorKind::Denied, format!("upstream {} is not in the plan", grant.upstream));
        let endpoint = self.egress.endpoint(&grant.upstream).ok_or_else(missing)?;
        let ask = Ask {
            method: request.method,
            path: request.path,
            query: request.query,
            headers: request.headers,
            body: Bytes::from(request.body.unwrap_or_default()),
            repeatable: request.repeatable,
            timeout: request.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
            agent: self.collector.to_string(),
            paths: grant.paths.clone(),
        };
        let (bounds, meter) = (self.quota.bounds(), self.quota.meter().clone());
        let exchange = async move { endpoint.send(&ask, &bounds, &meter, Pacing::PATIENT).await };
        let answer = match self.quota.on_control(exchange).await {
            Some(answer) => answer.map_err(failure_to_wit)?,
            None => return Err(error(ErrorKind::Broken, "the host gave the exchange up")),
        };
        self.quota.count_body(answer.body.len())?;
        Ok(Response { status: answer.status, headers: answer.headers, body: answer.body })
    }
}

/// All that the guest may choose of a request.
fn request_bytes(request: &Request) -> usize {
    let pair = |(name, value): &(String, String)| name.len() + value.len();
    request.body.as_ref().map_or(0, Vec::len)
        + request.path.len()
        + request.headers.iter().chain(&request.query).map(pair).sum::<usize>()
}

impl Host for State {}

impl<T: Send + 'static> HostWithStore<T> for HasSelf<State> {
    async fn send(accessor: &Accessor<T, Self>, request: Request) -> wasmtime::Result<Result<Response, HttpError>> {
        let web = accessor.with(|mut access| access.get().web.clone());
        Ok(web.send(request).await)
    }
}

fn error(kind: ErrorKind, message: impl ToString) -> HttpError {
    HttpError { kind, message: message.to_string() }
}

impl From<Exceeded> for HttpError {
    fn from(Exceeded(message): Exceeded) -> HttpError {
        HttpError { kind: ErrorKind::Limit, message }
    }
}

fn failure_to_wit(failure: Failure) -> HttpError {
    let kind = match failure.kind {
        FailureKind::Denied => ErrorKind::Denied,
        FailureKind::Redirected => ErrorKind::Redirected,
        FailureKind::Limit => ErrorKind::Limit,
        FailureKind::Unreachable => ErrorKind::Unreachable,
        FailureKind::Timeout => ErrorKind::Timeout,
        FailureKind::Broken => ErrorKind::Broken,
        FailureKind::Credential => ErrorKind::Credential,
    };
    error(kind, failure.message)
}
