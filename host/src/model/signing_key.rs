//! A private RSA key, as PEM from where secrets are kept, and what is signed with it.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::Secret;

/// A private RSA key of 2048 to 8192 bits.
pub struct SigningKey(KeyPair);

/// Why a text is no such key. It shows nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    #[error("it is no PEM of a private key, which begins with -----BEGIN RSA PRIVATE KEY----- and has several lines")]
    NoPem,
    #[error("it is a private key of another kind than RSA")]
    NotRsa,
    #[error("it is no RSA key of 2048 to 8192 bits, or it is damaged")]
    Damaged,
    #[error("nothing could be signed with it")]
    Signature,
}

impl SigningKey {
    /// Reads PEM: PKCS#1 or PKCS#8, its line breaks also as the two characters `\n`, as people write them into variables.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(pem: &Secret) -> Result<SigningKey, SigningKeyError> {
        let text = pem.reveal().replace("\\r", "").replace("\\n", "\n");
        // The reader's own error would show a line of the key.
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| SigningKeyError::NoPem)?;
        let pair = match &key {
            PrivateKeyDer::Pkcs1(key) => KeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
            _ => return Err(SigningKeyError::NotRsa),
        };
        pair.map(SigningKey).map_err(|_| SigningKeyError::Damaged)
    }

    /// The signature of a message: RSASSA-PKCS1-v1_5 with SHA-256, which JSON web tokens call RS256 (RFC 7518, section 3.3).
    ///
    /// # Errors
    /// `Signature`.
    pub fn sign_rs256(&self, message: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        let signed = self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
        signed.map(|()| signature).map_err(|_| SigningKeyError::Signature)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use base64::Engine as _;

    use super::*;

    fn pem(label: &str, der: &[u8]) -> String {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<&str> = (0..text.len()).step_by(64).map(|n| &text[n..text.len().min(n + 64)]).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    }

    #[test]
    fn a_key_is_read_in_every_form_that_it_is_given_in_and_signs_for_its_public_half() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        // PKCS#8 wraps PKCS#1 in 26 bytes: version, algorithm, and the length of what follows.
        let pkcs1 = pem("RSA PRIVATE KEY", &pkcs8.as_ref()[26..]);
        let pkcs8 = pem("PRIVATE KEY", pkcs8.as_ref());
        let forms = [pkcs1.clone(), pkcs8.clone(), pkcs1.replace('\n', "\\n"), pkcs8.replace('\n', "\r\n")];
        for form in forms.iter().map(|form| form.trim()) {
            let signature = SigningKey::read(&Secret::new(form)).unwrap().sign_rs256(b"message").unwrap();
            let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
            assert!(public.verify(b"message", &signature).is_ok());
            assert!(public.verify(b"messagf", &signature).is_err());
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_a_word_of_it() {
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for (text, error) in [
            ("hunter22", SigningKeyError::NoPem),
            ("-----BEGIN RSA PRIVATE KEY hunter22\nx", SigningKeyError::NoPem),
            ("-----BEGIN RSA PRIVATE KEY-----\nhunter22=x\n-----END RSA PRIVATE KEY-----", SigningKeyError::NoPem),
            (&pem("RSA PRIVATE KEY", b"hunter22"), SigningKeyError::Damaged),
            (&pem("EC PRIVATE KEY", b"hunter22"), SigningKeyError::NotRsa),
            (&other, SigningKeyError::Damaged),
        ] {
            let found = SigningKey::read(&Secret::new(text)).unwrap_err();
            assert_eq!(found, error, "{text}");
            assert!(!found.to_string().contains("hunter22"));
        }
    }
}
