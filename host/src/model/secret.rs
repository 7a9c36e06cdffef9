//! Secrets, and taking them out of text.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

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

/// Takes known secrets out of bytes: answers before a guest sees them, and every text that the host writes. Clones learn together.
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<Forms>>);

/// What is looked for, the longest first, so that a form inside another one does not leave the rest of it standing.
type Forms = Arc<[Finder<'static>]>;

/// What stands where a secret stood.
const REDACTED: &[u8] = b"[redacted]";

/// Shorter secrets are not looked for: they would be found in half of all words.
const SECRET_BYTES_MIN: usize = 6;

impl Redactor {
    /// Looks for these secrets, as they are and in the forms that answers echo them in: percent-encoded, JSON-escaped and
    /// Base64 (alone, and behind a user name as Basic authentication sends it).
    pub fn new<'a>(secrets: impl IntoIterator<Item = (Option<&'a str>, &'a Secret)>) -> Redactor {
        let finders = secrets.into_iter().flat_map(|(user, secret)| forms(user, secret)).map(finder).collect();
        Redactor(Arc::new(RwLock::new(sorted(finders))))
    }

    /// Looks for one more from now on: a token that was handed out while the host is at work.
    pub fn learn(&self, secret: &Secret) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let new = forms(None, secret).into_iter().map(finder);
        *known = sorted(known.iter().cloned().chain(new).collect());
    }

    /// Whether what one learns the other one knows.
    pub fn is_the_same(&self, other: &Redactor) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn forms(&self) -> Forms {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a secret is too short to be looked for.
    pub fn is_too_short(secret: &Secret) -> bool {
        secret.reveal().len() < SECRET_BYTES_MIN
    }

    /// The bytes without secrets; the same allocation where there was none.
    pub fn scrub(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        for finder in self.forms().iter() {
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
        write!(f, "Redactor({} forms)", self.forms().len())
    }
}

/// The forms of a secret that answers echo; none where it is too short.
fn forms(user: Option<&str>, secret: &Secret) -> Vec<Vec<u8>> {
    let text = secret.reveal();
    if text.len() < SECRET_BYTES_MIN {
        return Vec::new();
    }
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD_NO_PAD.encode(text).into_bytes();
    let mut forms = vec![
        text.into(),
        base64(text),
        url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().into(),
        serde_json::to_string(text).map(|t| t[1..t.len() - 1].into()).unwrap_or_default(),
    ];
    forms.extend(user.map(|user| base64(&format!("{user}:{text}"))));
    forms.retain(|form| form.len() >= SECRET_BYTES_MIN);
    forms
}

fn finder(form: Vec<u8>) -> Finder<'static> {
    Finder::new(&form).into_owned()
}

fn sorted(mut finders: Vec<Finder<'static>>) -> Forms {
    finders.sort_by(|a, b| b.needle().len().cmp(&a.needle().len()).then_with(|| a.needle().cmp(b.needle())));
    finders.dedup_by(|a, b| a.needle() == b.needle());
    finders.into()
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
    fn a_secret_that_is_learnt_later_is_taken_out_by_all_clones() {
        let redactor = Redactor::new([(None, &Secret::new("hunter2"))]);
        let clone = redactor.clone();
        let token = format!("ghs_1234_{}", "eyJ0eXAi.".repeat(60));
        redactor.learn(&Secret::new(token.as_str()));
        let forms = clone.forms().len();
        redactor.learn(&Secret::new(token.as_str()));
        assert_eq!(clone.forms().len(), forms);
        assert_eq!(clone.scrub_text(format!("hunter2 {token}!")), "[redacted] [redacted]!");
        // A longer one that begins with a shorter one leaves nothing of it.
        clone.learn(&Secret::new("hunter2-and-more"));
        assert_eq!(redactor.scrub_text("hunter2-and-more"), "[redacted]");
    }

    #[test]
    fn a_secret_cannot_be_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[secret]");
    }
}
