//! What may be asked for with a condition, what may be kept for that, and what a 304 makes of it. Pure.
//!
//! RFC 9110, section 13 (conditional requests), and RFC 9111 (caching), as a private cache that gives nothing without asking: a
//! remembered answer is used only where the upstream has just said that it still holds, so no rule about freshness is needed.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{Answer, Ask, user_agent};
use crate::policy::{Credential, Upstream};
use crate::store::{AnswerKey, Salt};

/// Headers by which a guest makes a request conditional, or partial, itself: then it wants the answer as the upstream gives it.
const CONDITIONS: [&str; 6] =
    ["if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "range"];

/// Not kept: a cookie is a secret that nobody has told the host.
const NOT_KEPT: [&str; 2] = ["set-cookie", "set-cookie2"];

/// A resource that changes twice within its time's precision looks unchanged: its time is relied on only where it was older
/// than this when it was sent (RFC 9110, section 8.8.2.2; the span is RFC 7232's, which does not trust the clocks either).
const SETTLED_AFTER: Duration = Duration::from_secs(60);

/// The header that asks for an answer only where it is another one by now.
pub(super) type Condition = (HeaderName, HeaderValue);

/// Whether the host may ask this with a condition of its own, and keep the answer.
pub(super) fn may_be_asked(ask: &Ask) -> bool {
    let is_own_condition = |name: &str| CONDITIONS.iter().any(|own| name.eq_ignore_ascii_case(own));
    ask.method == "GET"
        && ask.body.is_empty()
        && !ask.headers.iter().any(|(name, _)| is_own_condition(name))
        && !forbids_keeping(&ask.headers)
}

/// Whether the answer may be kept to be asked for again: it can be named, and nobody forbids it.
pub(super) fn may_be_kept(answer: &Answer) -> bool {
    let varies_by_all = items(&answer.headers, "vary").any(|item| item == "*");
    answer.status == 200 && !varies_by_all && !forbids_keeping(&answer.headers) && condition(&answer.headers).is_some()
}

/// What tells an answer apart: all that was sent to get it, the credential too, so that no two collectors and no two credentials
/// share one, and whatever `Vary` names is in it. A salted hash: none of it can be read back. None where nobody knows the credential
/// before it is asked for: GitHub gives other ETags with each token, and keys of AWS' chain may be another account's by then.
pub(super) fn key(salt: &Salt, upstream: &Upstream, url: &Url, ask: &Ask) -> Option<AnswerKey> {
    let credential = credential_parts(upstream.credential.as_ref())?;
    let mut hash = Sha256::new_with_prefix(salt);
    // With its length before it, so that no two lists of fields are the same bytes.
    let mut field = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    field(upstream.name.as_str());
    credential.into_iter().for_each(&mut field);
    field(url.as_str());
    field(&user_agent(&ask.agent));
    for (name, value) in &ask.headers {
        field(&name.to_ascii_lowercase());
        field(value);
    }
    Some(hash.finalize().into())
}

/// Kind, name and secret.
fn credential_parts(credential: Option<&Credential>) -> Option<[&str; 3]> {
    Some(match credential {
        None => ["none", "", ""],
        Some(Credential::Bearer(secret)) => ["bearer", "", secret.reveal()],
        Some(Credential::Header { name, secret }) => ["header", name, secret.reveal()],
        Some(Credential::Basic { user, secret }) => ["basic", user, secret.reveal()],
        Some(Credential::GithubApp(_) | Credential::AwsSigV4(_)) => return None,
    })
}

/// The condition under which an answer with these headers is to be given anew: by its ETag, else by its time.
pub(super) fn condition(headers: &[(String, String)]) -> Option<Condition> {
    if let Some(tag) = first(headers, "etag") {
        return Some((IF_NONE_MATCH, HeaderValue::from_str(tag).ok()?));
    }
    let modified = first(headers, "last-modified")?;
    let age = time(first(headers, "date")?)?.duration_since(time(modified)?);
    let is_settled = Duration::try_from(age).is_ok_and(|age| age >= SETTLED_AFTER);
    is_settled.then_some((IF_MODIFIED_SINCE, HeaderValue::from_str(modified).ok()?))
}

/// The headers that are kept of an answer.
pub(super) fn kept_headers(headers: &[(String, String)]) -> Vec<(String, String)> {
    headers.iter().filter(|(name, _)| !NOT_KEPT.contains(&name.as_str())).cloned().collect()
}

/// Whether a 304 speaks of the answer that was kept with these headers: it names no other one (RFC 9111, section 4.3.4).
pub(super) fn confirms(kept: &[(String, String)], fresh: &[(String, String)]) -> bool {
    // Compared weakly, as If-None-Match is.
    let opaque = |headers| first(headers, "etag").map(|tag| tag.trim_start_matches("W/"));
    opaque(fresh).is_none_or(|tag| opaque(kept) == Some(tag))
}

/// The headers of a kept answer as a 304 refreshes them: what it brings takes the place of what was there (RFC 9111, section
/// 3.2). Those that describe the transfer are in neither.
pub(super) fn merged(kept: &[(String, String)], fresh: &[(String, String)]) -> Vec<(String, String)> {
    let stays = |(name, _): &&(String, String)| first(fresh, name).is_none();
    kept.iter().filter(stays).chain(fresh).cloned().collect()
}

fn forbids_keeping(headers: &[(String, String)]) -> bool {
    items(headers, "cache-control").any(|item| item.eq_ignore_ascii_case("no-store"))
}

/// The items of a header that is a list, of all its lines.
fn items<'a>(headers: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name));
    lines.flat_map(|(_, value)| value.split(',')).map(str::trim)
}

/// The first value of a header; its name in lower case.
fn first<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

fn time(text: &str) -> Option<Timestamp> {
    Some(jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::{Name, Secret};
    use crate::policy::{Allowed, AwsSigV4, Redirects, Timeouts};

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn ask(headers: &[(&str, &str)]) -> Ask {
        Ask { method: "GET".into(), path: "/x".into(), headers: pairs(headers), agent: "a".into(), ..Ask::default() }
    }

    fn answer(status: u16, headers: &[(&str, &str)]) -> Answer {
        Answer { status, headers: pairs(headers), body: Vec::new() }
    }

    fn upstream(credential: Option<Credential>) -> Upstream {
        Upstream {
            name: Name::new("a").unwrap(),
            base_url: "http://a".parse().unwrap(),
            credential,
            allowed: Allowed::default(),
            redirects: Redirects::default(),
            timeouts: Timeouts::default(),
            is_conditional: true,
        }
    }

    #[test]
    fn only_a_get_that_leaves_conditions_to_the_host_is_asked_with_one() {
        assert!(may_be_asked(&ask(&[("accept", "x"), ("cache-control", "no-cache, max-age=0")])));
        for header in [
            ("If-None-Match", "\"1\""),
            ("if-modified-since", "x"),
            ("If-Match", "*"),
            ("if-unmodified-since", "x"),
            ("If-Range", "x"),
            ("Range", "bytes=0-1"),
            ("Cache-Control", "max-age=0, No-Store"),
        ] {
            assert!(!may_be_asked(&ask(&[header])), "{header:?}");
        }
        assert!(!may_be_asked(&Ask { method: "HEAD".into(), ..ask(&[]) }));
        assert!(!may_be_asked(&Ask { method: "POST".into(), ..ask(&[]) }));
        assert!(!may_be_asked(&Ask { body: Bytes::from("x"), ..ask(&[]) }));
    }

    #[test]
    fn only_a_200_that_can_be_named_and_that_nobody_forbids_is_kept() {
        let tag = ("etag", "W/\"1\"");
        assert!(may_be_kept(&answer(
            200,
            &[tag, ("cache-control", "private, max-age=60, s-maxage=60"), ("vary", "Accept")]
        )));
        for status in [201, 203, 204, 206, 301, 304, 404, 500] {
            assert!(!may_be_kept(&answer(status, &[tag])), "{status}");
        }
        for header in [("cache-control", "max-age=60,no-store"), ("cache-control", "NO-STORE"), ("vary", "accept, *")] {
            assert!(!may_be_kept(&answer(200, &[tag, ("cache-control", "private"), header])), "{header:?}");
        }
        assert!(!may_be_kept(&answer(200, &[])));
        assert!(!may_be_kept(&answer(200, &[("etag", "\"line\nbreak\"")])));
    }

    #[test]
    fn a_time_is_a_condition_only_where_it_had_long_passed() {
        let modified = ("last-modified", "Fri, 24 Oct 2025 12:00:00 GMT");
        let date = |date| condition(&pairs(&[modified, ("date", date)]));
        let (name, value) = date("Fri, 24 Oct 2025 12:01:00 GMT").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("if-modified-since", modified.1));
        for too_soon in ["Fri, 24 Oct 2025 12:00:59 GMT", "Fri, 24 Oct 2025 11:00:00 GMT", "today"] {
            assert_eq!(date(too_soon), None, "{too_soon}");
        }
        assert_eq!(condition(&pairs(&[modified])), None);
        let (name, value) = condition(&pairs(&[modified, ("etag", "\"1\"")])).unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("if-none-match", "\"1\""));
    }

    #[test]
    fn whatever_is_sent_makes_another_key() {
        let bearer = |secret: &str| Some(Credential::Bearer(Secret::new(secret)));
        let header = |name: &str| Some(Credential::Header { name: name.into(), secret: Secret::new("one") });
        let basic = |user: &str| Some(Credential::Basic { user: user.into(), secret: Secret::new("one") });
        let of = |salt: u8, credential: Option<Credential>, url: &str, ask: &Ask| {
            key(&[salt; 32], &upstream(credential), &url.parse().unwrap(), ask)
        };
        let url = "http://a/x?n=1";
        let other_agent = Ask { agent: "b".into(), ..ask(&[]) };
        let keys = [
            of(1, None, url, &ask(&[])),
            of(2, None, url, &ask(&[])),
            of(1, bearer("one"), url, &ask(&[])),
            of(1, bearer("two"), url, &ask(&[])),
            of(1, header("x-a"), url, &ask(&[])),
            of(1, header("x-b"), url, &ask(&[])),
            of(1, basic("a"), url, &ask(&[])),
            of(1, basic("b"), url, &ask(&[])),
            of(1, None, "http://a/x?n=2", &ask(&[])),
            of(1, None, "http://b/x?n=1", &ask(&[])),
            of(1, None, url, &other_agent),
            of(1, None, url, &ask(&[("accept", "a")])),
            of(1, None, url, &ask(&[("accept", "b")])),
            of(1, None, url, &ask(&[("accept", "a"), ("b", "")])),
            of(1, None, url, &ask(&[("accep", "ta")])),
            key(
                &[1; 32],
                &Upstream { name: Name::new("b").unwrap(), ..upstream(None) },
                &url.parse().unwrap(),
                &ask(&[]),
            ),
        ];
        let all: std::collections::HashSet<AnswerKey> = keys.into_iter().flatten().collect();
        assert_eq!(all.len(), keys.len());
        assert_eq!(of(1, bearer("one"), url, &ask(&[])), keys[2]);
        assert_eq!(of(1, None, url, &ask(&[("Accept", "a")])), keys[11]);
    }

    #[test]
    fn an_answer_to_a_credential_that_is_asked_for_has_no_key() {
        let sigv4 = AwsSigV4 { name: Name::new("x").unwrap(), region: None, service: "aps".into(), keys: None };
        let upstream = upstream(Some(Credential::AwsSigV4(Box::new(sigv4))));
        assert_eq!(key(&[1; 32], &upstream, &"http://a/x".parse().unwrap(), &ask(&[])), None);
    }

    #[test]
    fn a_304_replaces_the_headers_that_it_brings_and_leaves_the_others() {
        let kept = pairs(&[("etag", "\"1\""), ("link", "a"), ("link", "b"), ("date", "old"), ("x-left", "1")]);
        let fresh = pairs(&[("date", "new"), ("link", "c"), ("x-ratelimit-remaining", "7")]);
        let expected =
            [("etag", "\"1\""), ("x-left", "1"), ("date", "new"), ("link", "c"), ("x-ratelimit-remaining", "7")];
        assert_eq!(merged(&kept, &fresh), pairs(&expected));
    }

    #[test]
    fn a_304_that_names_another_answer_confirms_nothing() {
        let kept = pairs(&[("etag", "W/\"1\"")]);
        for (fresh, holds) in [(&[][..], true), (&[("etag", "\"1\"")], true), (&[("etag", "W/\"2\"")], false)] {
            assert_eq!(confirms(&kept, &pairs(fresh)), holds, "{fresh:?}");
        }
        assert!(!confirms(&pairs(&[("last-modified", "x")]), &pairs(&[("etag", "\"1\"")])));
    }

    #[test]
    fn a_cookie_is_not_kept() {
        assert_eq!(kept_headers(&pairs(&[("set-cookie", "s=1"), ("etag", "\"1\"")])), pairs(&[("etag", "\"1\"")]));
    }
}
