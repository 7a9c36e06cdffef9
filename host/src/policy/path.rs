//! Paths of requests: one spelling for each, so that a prefix means what it says.

/// Why a path is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PathError {
    #[error("it does not begin with `/`")]
    Relative,
    #[error("it holds a character that must be percent-encoded")]
    Unencoded,
    #[error("it holds a `.` or `..` segment, or one that is encoded")]
    Dots,
    #[error("it holds an encoded `/` or `\\`, or an empty segment")]
    Slashes,
    #[error("it holds a `%` that encodes nothing")]
    Percent,
}

/// Checks that a path has only one reading: absolute, no dot segments, no empty ones, nothing encoded that would change how
/// a server splits it (RFC 3986, sections 3.3 and 5.2.4).
///
/// # Errors
/// What is wrong with it.
pub fn normal_path(path: &str) -> Result<(), PathError> {
    let Some(rest) = path.strip_prefix('/') else { return Err(PathError::Relative) };
    let encodable = |b: u8| b <= b' ' || b >= 0x7f || b"\"#<>?\\^`{|}".contains(&b);
    if path.bytes().any(encodable) {
        return Err(PathError::Unencoded);
    }
    let last = rest.split('/').count() - 1;
    for (n, segment) in rest.split('/').enumerate() {
        let decoded = decode(segment).ok_or(PathError::Percent)?;
        match decoded.as_slice() {
            b"." | b".." => return Err(PathError::Dots),
            // A trailing slash is a path of its own; an empty segment elsewhere is dropped by some servers.
            b"" if n != last => return Err(PathError::Slashes),
            bytes if bytes.iter().any(|b| matches!(b, b'/' | b'\\' | 0)) => return Err(PathError::Slashes),
            _ => {}
        }
    }
    Ok(())
}

fn decode(segment: &str) -> Option<Vec<u8>> {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digit = |b: Option<u8>| b.and_then(|b| (b as char).to_digit(16));
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    Some(decoded)
}

/// Whether a path lies under a prefix, by whole segments: `/repos/a` holds `/repos/a` and `/repos/a/b`, not `/repos/ab`.
pub fn is_under(path: &str, prefix: &str) -> bool {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Percent-encodes one segment of a path: all but unreserved characters (RFC 3986, section 2.3).
pub fn encode_segment(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_has_only_one_reading() {
        for good in ["/", "/repos/acme/rocket", "/a/", "/a%20b", "/repos/x/commits/main@{u}".trim_end_matches("@{u}")] {
            assert_eq!(normal_path(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", PathError::Relative),
            ("repos", PathError::Relative),
            ("/a?b", PathError::Unencoded),
            ("/a#b", PathError::Unencoded),
            ("/a b", PathError::Unencoded),
            ("/a\\b", PathError::Unencoded),
            ("/a\r\nhost: x", PathError::Unencoded),
            ("/a/../b", PathError::Dots),
            ("/a/%2e%2E/b", PathError::Dots),
            ("/./a", PathError::Dots),
            ("//a", PathError::Slashes),
            ("/a%2fb", PathError::Slashes),
            ("/a%5Cb", PathError::Slashes),
            ("/a%00", PathError::Slashes),
            ("/a%2", PathError::Percent),
            ("/a%zz", PathError::Percent),
        ] {
            assert_eq!(normal_path(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        assert!(is_under("/repos/acme", "/repos/acme") && is_under("/repos/acme/x", "/repos/acme"));
        assert!(is_under("/x", "/") && is_under("/", "/") && is_under("/repos/acme/", "/repos/acme/"));
        assert!(!is_under("/repos/acmee", "/repos/acme") && !is_under("/repo", "/repos"));
    }

    proptest! {
        #[test]
        fn a_normal_path_stays_under_its_prefix_however_a_url_parser_reads_it(path in "/[a-z./%0-9A-F]{0,20}") {
            let url = url::Url::parse(&format!("http://host/base{path}")).unwrap();
            if normal_path(&path).is_ok() {
                prop_assert!(is_under(url.path(), "/base"), "{path} became {url}");
            }
        }
    }
}
