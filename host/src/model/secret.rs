//! Secrets, and taking them out of text.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use memchr::memmem::Finder;

/// A secret value. It cannot be printed, logged or serialized; [`Secret::reveal`] is the only way to its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    pub fn new(text: impl Into<Arc<str>>) -> Secret {
        Secret(text.into())
    }

    /// The secret itself. Whoever calls this puts it on the wire and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Takes known secrets out of bytes: answers before a guest sees them, and every text that the host writes.
#[derive(Clone, Default)]
pub struct Redactor(Arc<[Finder<'static>]>);

/// What stands where a secret stood.
const REDACTED: &[u8] = b"[redacted]";

/// Shorter secrets are not looked for: they would be found in half of all words.
const SECRET_BYTES_MIN: usize = 6;

impl Redactor {
    /// Looks for these secrets, as they are and in the forms that answers echo them in: percent-encoded, JSON-escaped and
    /// Base64 (alone, and behind a user name as Basic authentication sends it).
    pub fn new<'a>(secrets: impl IntoIterator<Item = (Option<&'a str>, &'a Secret)>) -> Redactor {
        let mut forms: Vec<Vec<u8>> = Vec::new();
        for (user, secret) in secrets {
            let text = secret.reveal();
            if text.len() < SECRET_BYTES_MIN {
                continue;
            }
            let base64 = |text: &str| base64::engine::general_purpose::STANDARD_NO_PAD.encode(text).into_bytes();
            forms.push(text.into());
            forms.push(base64(text));
            forms.push(url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().into());
            forms.push(serde_json::to_string(text).map(|t| t[1..t.len() - 1].into()).unwrap_or_default());
            forms.extend(user.map(|user| base64(&format!("{user}:{text}"))));
        }
        // The longest first, so that a form inside another one does not leave the rest of it standing.
        forms.sort_by_key(|form| (std::cmp::Reverse(form.len()), form.clone()));
        forms.dedup();
        forms.retain(|form| form.len() >= SECRET_BYTES_MIN);
        Redactor(forms.into_iter().map(|form| Finder::new(&form).into_owned()).collect())
    }

    /// Whether a secret is too short to be looked for.
    pub fn is_too_short(secret: &Secret) -> bool {
        secret.reveal().len() < SECRET_BYTES_MIN
    }

    /// The bytes without secrets; the same allocation where there was none.
    pub fn scrub(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        for finder in self.0.iter() {
            let mut at = match finder.find(&bytes) {
                Some(first) => first,
                None => continue,
            };
            let mut clean = Vec::with_capacity(bytes.len());
            let mut rest = 0;
            loop {
                clean.extend_from_slice(&bytes[rest..at]);
                clean.extend_from_slice(REDACTED);
                rest = at + finder.needle().len();
                match finder.find(&bytes[rest..]) {
                    Some(next) => at = rest + next,
                    None => break,
                }
            }
            clean.extend_from_slice(&bytes[rest..]);
            bytes = clean;
        }
        bytes
    }

    /// The text without secrets.
    pub fn scrub_text(&self, text: impl Into<String>) -> String {
        let bytes = self.scrub(text.into().into_bytes());
        String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} forms)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_form_that_an_answer_echoes_it_in() {
        let secret = Secret::new("hunter2+/\"x");
        let redactor = Redactor::new([(Some("api"), &secret)]);
        let base64 = base64::engine::general_purpose::STANDARD.encode("api:hunter2+/\"x");
        for echoed in [
            "hunter2+/\"x".to_owned(),
            "a hunter2+/\"x b hunter2+/\"x".to_owned(),
            "hunter2%2B%2F%22x".to_owned(),
            "hunter2+/\\\"x".to_owned(),
            format!("Basic {base64}"),
        ] {
            let clean = redactor.scrub_text(echoed.clone());
            assert!(clean.contains("[redacted]") && !clean.contains("hunter2"), "{echoed} became {clean}");
            assert!(!clean.contains(base64.trim_end_matches('=')), "{clean}");
        }
    }

    #[test]
    fn what_holds_no_secret_stays_as_it_is() {
        let redactor = Redactor::new([(None, &Secret::new("hunter2")), (None, &Secret::new("abc"))]);
        assert_eq!(redactor.scrub_text("hunter, abc, 2"), "hunter, abc, 2");
        assert_eq!(redactor.scrub_text("hunter2hunter2x"), "[redacted][redacted]x");
        assert!(Redactor::is_too_short(&Secret::new("abc")));
    }

    #[test]
    fn a_secret_cannot_be_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[secret]");
    }
}
