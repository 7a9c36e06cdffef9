//! One exchange: a request, its redirects if they are allowed, and the whole answer, each part within its time.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode, Version};
use tokio::time::timeout;
use url::Url;

use super::conditional::Condition;
use super::credential::Proof;
use super::resolve::Resolver;
use super::{Answer, Ask, Bounds, Failure, FailureKind, Meter, body, user_agent};
use crate::clock;
use crate::limits::ByteSize;
use crate::policy::{Upstream, is_under, normal_path};

/// Everything that an exchange with one endpoint needs.
pub(super) struct Exchange<'a> {
    pub client: &'a reqwest::Client,
    pub resolver: &'a Resolver,
    pub upstream: &'a Upstream,
    /// Goes with requests to the upstream itself.
    pub proof: &'a Proof,
    pub meter: &'a Meter,
    /// Where it stands in the configuration.
    pub section: &'a str,
}

/// An answer, and how it came.
pub(super) struct Exchanged {
    pub answer: Answer,
    /// The upstream itself gave it, without a redirect.
    pub is_direct: bool,
    /// Its end was marked: it is known to have come whole.
    pub is_whole: bool,
}

impl Exchanged {
    /// An answer that the host gives in the upstream's place.
    pub fn of_host(answer: Answer) -> Exchanged {
        Exchanged { answer, is_direct: false, is_whole: false }
    }
}

impl Exchange<'_> {
    /// Sends the request, with a condition if there is one, and reads the answer, within the endpoint's time for the whole.
    pub async fn run(&self, ask: &Ask, condition: Option<&Condition>, bounds: &Bounds) -> Result<Exchanged, Failure> {
        let times = self.upstream.timeouts;
        let whole = times.whole.min(ask.timeout.unwrap_or(times.whole));
        let left = bounds.deadline.saturating_duration_since(clock::instant());
        match timeout(whole.min(left), self.follow(ask, condition, bounds)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(FailureKind::Timeout, format!("no whole answer within {:?}", whole.min(left)))),
        }
    }

    async fn follow(&self, ask: &Ask, condition: Option<&Condition>, bounds: &Bounds) -> Result<Exchanged, Failure> {
        let mut url = first_url(self.upstream, ask);
        let mut method = Method::from_bytes(ask.method.as_bytes())
            .map_err(|_| Failure::new(FailureKind::Denied, format!("{:?} is no method", ask.method)))?;
        let mut hops = 0;
        loop {
            // The condition is of the answer that was asked for, not of what a redirect leads to.
            let response = self.send(&url, &method, ask, condition.filter(|_| hops == 0)).await?;
            let Some(target) = redirect_target(&response, &url) else {
                let is_whole = has_marked_end(&response);
                let answer = self.read(response, bounds).await?;
                return Ok(Exchanged { answer, is_direct: hops == 0, is_whole });
            };
            hops += 1;
            self.check_hop(&response, &target, hops, ask)?;
            // RFC 9110, section 15.4: after 303, and by custom after 301 and 302, a POST becomes a GET.
            let keeps_method = matches!(response.status().as_u16(), 307 | 308) || method != Method::POST;
            if !keeps_method {
                method = Method::GET;
            }
            url = target;
        }
    }

    async fn send(
        &self,
        url: &Url,
        method: &Method,
        ask: &Ask,
        condition: Option<&Condition>,
    ) -> Result<Response, Failure> {
        // An address instead of a name never reaches the resolver.
        let address = match url.host() {
            Some(url::Host::Ipv4(v4)) => Some(v4.into()),
            Some(url::Host::Ipv6(v6)) => Some(v6.into()),
            _ => None,
        };
        if let Some(address) = address {
            let refused = |e: super::resolve::Refused| Failure::new(FailureKind::Denied, e.to_string());
            self.resolver.check(url.host_str().unwrap_or_default(), address).map_err(refused)?;
        }
        let is_own = self.is_own(url);
        let mut request = self.client.request(method.clone(), url.clone()).headers(headers(ask, is_own)?);
        if let Some((name, value)) = condition {
            request = request.header(name, value);
        }
        if *method != Method::GET && *method != Method::HEAD && is_own {
            request = request.body(ask.body.clone());
        }
        let mut request = request.build().map_err(|e| Failure::from_client(e, &place(url)))?;
        if is_own {
            self.proof.put_on(&mut request)?;
        }
        let first_byte = self.upstream.timeouts.first_byte;
        self.meter.count_request();
        match timeout(first_byte, self.client.execute(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(e)) => Err(Failure::from_client(e, &place(url))),
            Err(_) => {
                let what = format!("{}: no answer within {first_byte:?}", place(url));
                Err(Failure::new(FailureKind::Timeout, what))
            }
        }
    }

    async fn read(&self, mut response: Response, bounds: &Bounds) -> Result<Answer, Failure> {
        const OF_THE_TRANSFER: [&str; 5] =
            ["connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding"];
        let size: usize = response.headers().iter().map(|(n, v)| n.as_str().len() + v.len()).sum();
        if size as u64 > bounds.header_bytes_max {
            return Err(Failure::limit("response_headers", ByteSize(bounds.header_bytes_max)));
        }
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let all = response.headers().iter().filter(|(name, _)| !OF_THE_TRANSFER.contains(&name.as_str()));
        let headers = all.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let status = response.status().as_u16();
        // It has none, whatever its headers say of the one that it stands for (RFC 9110, section 15.4.5).
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Answer { status, headers, body: Vec::new() });
        }
        let between_bytes = self.upstream.timeouts.between_bytes;
        let body = body::read(&mut response, between_bytes, bounds, self.meter).await?;
        Ok(Answer { status, headers, body })
    }

    /// Whether a URL is the upstream's own: same scheme, host and port.
    fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.upstream.base_url.origin()
    }

    fn check_hop(&self, response: &Response, target: &Url, hops: u32, ask: &Ask) -> Result<(), Failure> {
        let (name, allowed) = (&self.upstream.name, &self.upstream.redirects);
        let refuse = |why: String| {
            let (status, place) = (response.status().as_u16(), place(target));
            Err(Failure::new(FailureKind::Redirected, format!("answered {status}, a redirect to {place}: {why}")))
        };
        if hops > allowed.hops_max {
            return refuse(match allowed.hops_max {
                0 if self.section.starts_with("sink.") => "nothing is sent to where it leads".into(),
                0 => format!("the plan allows none (redirects = 1 under [upstream.{name}] would)"),
                max => format!("the plan allows {max}"),
            });
        }
        let is_downgrade = self.upstream.base_url.scheme() == "https" && target.scheme() != "https";
        if !matches!(target.scheme(), "http" | "https") || is_downgrade {
            return refuse(format!("scheme {}", target.scheme()));
        }
        if self.is_own(target) {
            let base = self.upstream.base_url.path().trim_end_matches('/');
            let path = target.path().strip_prefix(base).unwrap_or(target.path());
            let is_granted = normal_path(path).is_ok() && ask.paths.iter().any(|prefix| is_under(path, prefix));
            return if is_granted { Ok(()) } else { refuse("that path is not granted".into()) };
        }
        let host = target.host_str().unwrap_or_default();
        if allowed.hosts.iter().any(|allowed| allowed == host) {
            return Ok(());
        }
        refuse(format!("to add the host, write redirect_hosts = [\"{host}\"] under [upstream.{name}]"))
    }
}

/// The URL of a request, before any redirect.
pub(super) fn first_url(upstream: &Upstream, ask: &Ask) -> Url {
    let mut url = upstream.base_url.clone();
    let path = format!("{}{}", url.path().trim_end_matches('/'), ask.path);
    url.set_path(&path);
    if !ask.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&ask.query);
    }
    url
}

/// Whether the end of the body can be told from a broken connection (RFC 9112, section 6.3).
fn has_marked_end(response: &Response) -> bool {
    let names = ["content-length", "transfer-encoding"];
    response.version() >= Version::HTTP_2 || names.iter().any(|name| response.headers().contains_key(*name))
}

/// Where a redirect leads, if the response is one.
fn redirect_target(response: &Response, url: &Url) -> Option<Url> {
    use StatusCode as S;
    let is_redirect = matches!(
        response.status(),
        S::MOVED_PERMANENTLY | S::FOUND | S::SEE_OTHER | S::TEMPORARY_REDIRECT | S::PERMANENT_REDIRECT
    );
    let location = response.headers().get("location")?.to_str().ok()?;
    is_redirect.then(|| url.join(location).ok()).flatten()
}

/// The headers of a request: the guest's own only for the upstream itself, and the host's.
fn headers(ask: &Ask, is_own: bool) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    let denied = |name: &str| Failure::new(FailureKind::Denied, format!("header {name:?} cannot be sent"));
    for (name, value) in ask.headers.iter().filter(|(name, _)| is_own || name.eq_ignore_ascii_case("accept")) {
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| denied(name))?;
        headers.append(key, HeaderValue::from_str(value).map_err(|_| denied(name))?);
    }
    headers.insert("accept-encoding", HeaderValue::from_static("gzip, deflate"));
    let agent = user_agent(&ask.agent);
    headers.insert("user-agent", HeaderValue::from_str(&agent).map_err(|_| denied("user-agent"))?);
    Ok(headers)
}

/// Scheme, host and port of a URL: what a message may say of it.
fn place(url: &Url) -> String {
    url.origin().ascii_serialization()
}
