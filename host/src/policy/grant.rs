//! A grant: what a manifest asks of an upstream and the plan allows.

use crate::model::Name;

use super::path::{is_under, normal_path};

/// What a collector may do at one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub upstream: Name,
    /// In upper case.
    pub methods: Vec<String>,
    /// Path prefixes with the settings filled in.
    pub paths: Vec<String>,
}

/// Why a request is refused before it is made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Denied {
    #[error("no grant for upstream {upstream}; granted are: {granted}")]
    Upstream { upstream: String, granted: String },
    #[error("upstream {upstream}: method {method:?} is not granted; granted are: {granted}")]
    Method { upstream: Name, method: String, granted: String },
    #[error("upstream {upstream}: path {path:?} is refused: {why}")]
    Path { upstream: Name, path: String, why: super::PathError },
    #[error("upstream {upstream}: path {path:?} is not granted; granted are: {granted}")]
    Prefix { upstream: Name, path: String, granted: String },
    #[error("upstream {upstream}: header {name:?} is the host's")]
    Header { upstream: Name, name: String },
}

impl Grant {
    /// The grant that covers a request, if one does.
    ///
    /// # Errors
    /// What is not granted.
    pub fn find<'a, 'h>(
        grants: &'a [Grant],
        upstream: &str,
        method: &str,
        path: &str,
        headers: impl IntoIterator<Item = &'h str>,
    ) -> Result<&'a Grant, Denied> {
        let Some(grant) = grants.iter().find(|grant| grant.upstream.as_str() == upstream) else {
            let granted = list(grants.iter().map(|grant| grant.upstream.as_str()));
            return Err(Denied::Upstream { upstream: excerpt(upstream), granted });
        };
        let name = || grant.upstream.clone();
        if !grant.methods.iter().any(|granted| granted == method) {
            let granted = list(grant.methods.iter().map(String::as_str));
            return Err(Denied::Method { upstream: name(), method: excerpt(method), granted });
        }
        normal_path(path).map_err(|why| Denied::Path { upstream: name(), path: excerpt(path), why })?;
        if !grant.paths.iter().any(|prefix| is_under(path, prefix)) {
            let granted = list(grant.paths.iter().map(String::as_str));
            return Err(Denied::Prefix { upstream: name(), path: excerpt(path), granted });
        }
        match headers.into_iter().find(|header| header_is_the_hosts(header)) {
            Some(header) => Err(Denied::Header { upstream: name(), name: excerpt(header) }),
            None => Ok(grant),
        }
    }
}

/// Whether only the host sets this header: routing, framing, identity.
pub fn header_is_the_hosts(name: &str) -> bool {
    const HOSTS: [&str; 15] = [
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
    ];
    let name = name.to_ascii_lowercase();
    HOSTS.contains(&name.as_str()) || name.starts_with("proxy-") || name.starts_with("x-forwarded-")
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let items: Vec<&str> = items.collect();
    if items.is_empty() { "none".into() } else { items.join(", ") }
}

/// What a guest wrote, cut to a length that fits a message.
fn excerpt(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants() -> Vec<Grant> {
        vec![Grant {
            upstream: Name::new("github").unwrap(),
            methods: vec!["GET".into()],
            paths: vec!["/repos/acme/rocket".into(), "/graphql".into()],
        }]
    }

    fn find(upstream: &str, method: &str, path: &str, header: &str) -> Result<(), String> {
        Grant::find(&grants(), upstream, method, path, [header]).map(drop).map_err(|denied| denied.to_string())
    }

    #[test]
    fn what_is_granted_is_found() {
        assert_eq!(find("github", "GET", "/repos/acme/rocket/pulls", "accept"), Ok(()));
        assert_eq!(find("github", "GET", "/graphql", "accept"), Ok(()));
    }

    #[test]
    fn everything_else_is_refused_with_what_is_granted() {
        for (upstream, method, path, header, says) in [
            ("gitlab", "GET", "/x", "accept", "no grant for upstream gitlab; granted are: github"),
            ("github", "DELETE", "/graphql", "accept", "\"DELETE\" is not granted; granted are: GET"),
            ("github", "get", "/graphql", "accept", "\"get\" is not granted"),
            ("github", "GET", "/repos/acme/other", "accept", "granted are: /repos/acme/rocket, /graphql"),
            ("github", "GET", "/repos/acme/rocket/../other", "accept", "`..` segment"),
            ("github", "GET", "/graphql", "Authorization", "header \"Authorization\" is the host's"),
            ("github", "GET", "/graphql", "X-Forwarded-For", "is the host's"),
        ] {
            let refused = find(upstream, method, path, header).unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
        assert_eq!(
            Grant::find(&[], "x", "GET", "/", []).unwrap_err().to_string(),
            "no grant for upstream x; granted are: none"
        );
    }
}
