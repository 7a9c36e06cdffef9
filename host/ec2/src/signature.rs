//! Keys by the SDK's chain, and Signature Version 4 for requests that no SDK makes.
//!
//! The algorithm: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

use std::error::Error as StdError;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningParams, SigningSettings,
    UriPathNormalizationMode,
};
use aws_sigv4::sign::v4;

use crate::client::{credentials, region};
use crate::{Error, ErrorKind, Keys, Scope, ToSign};

/// The region that is written, else the SDK's chain's.
///
/// # Errors
/// `credential` where there is none.
pub async fn find_region(written: Option<&str>) -> Result<String, Error> {
    Ok(region(written).await?.to_string())
}

/// Keys by the SDK's chain; asked for anew every time.
///
/// # Errors
/// `timeout`, else `credential`: nobody has any, or whoever should give them does not.
pub async fn find_keys(region: &str) -> Result<Keys, Error> {
    let chain = credentials(aws_config::Region::new(region.to_owned())).await;
    let found = chain.provide_credentials().await.map_err(|e| of_credentials(&e))?;
    Ok(Keys {
        access_key_id: found.access_key_id().to_owned(),
        secret_access_key: found.secret_access_key().to_owned(),
        session_token: found.session_token().map(str::to_owned),
        expires: found.expiry(),
    })
}

/// The headers that sign a request: `x-amz-date`, `authorization`, and as it is needed `x-amz-security-token` and
/// `x-amz-content-sha256`.
///
/// # Errors
/// `credential` where a part of it cannot stand in a header.
pub fn sign(
    request: ToSign<'_>,
    scope: Scope<'_>,
    keys: &Keys,
    at: SystemTime,
) -> Result<Vec<(String, String)>, Error> {
    let wrong = |e: &(dyn StdError + 'static)| {
        Error::new(ErrorKind::Credential, format!("the request cannot be signed: {}", chain_of(e)))
    };
    let Keys { access_key_id, secret_access_key, session_token, expires } = keys.clone();
    let identity = Credentials::new(access_key_id, secret_access_key, session_token, expires, "host").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(at)
        .settings(settings(scope.service))
        .build()
        .map_err(|e| wrong(&e))?;
    let ToSign { method, url, headers, body } = request;
    let signable = SignableRequest::new(method, url, headers.iter().copied(), SignableBody::Bytes(body));
    let params = SigningParams::V4(params);
    let signed = aws_sigv4::http_request::sign(signable.map_err(|e| wrong(&e))?, &params).map_err(|e| wrong(&e))?;
    let (instructions, _signature) = signed.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// S3 takes paths as they are, and wants to be told the body's hash; so does OpenSearch without servers.
fn settings(service: &str) -> SigningSettings {
    let mut settings = SigningSettings::default();
    if matches!(service, "s3" | "aoss") {
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    if service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    settings
}

fn of_credentials(error: &CredentialsError) -> Error {
    match error {
        CredentialsError::ProviderTimedOut(_) => Error::new(ErrorKind::Timeout, "no AWS keys in time"),
        CredentialsError::CredentialsNotLoaded(_) => Error::new(
            ErrorKind::Credential,
            "nobody has AWS keys: neither environment, profile, web identity (IRSA), container nor instance metadata",
        ),
        _ => Error::new(ErrorKind::Credential, format!("no AWS keys: {}", chain_of(error))),
    }
}

/// An error with its causes, on one line.
fn chain_of(error: &(dyn StdError + 'static)) -> String {
    let all = std::iter::successors(Some(error), |error| (*error).source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Those of AWS' test suite for signatures, at 2015-08-30T12:36:00Z.
    fn signed(request: ToSign<'_>, service: &str, session_token: Option<&str>) -> Vec<(String, String)> {
        let keys = Keys {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: session_token.map(str::to_owned),
            expires: None,
        };
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        sign(request, Scope { region: "us-east-1", service }, &keys, at).unwrap()
    }

    fn authorization(headers: &[(String, String)]) -> &str {
        &headers.iter().find(|(name, _)| name == "authorization").unwrap().1
    }

    fn get(url: &str) -> ToSign<'_> {
        ToSign { method: "GET", url, headers: &[], body: b"" }
    }

    #[test]
    fn the_vectors_that_aws_publishes_come_out() {
        const SCOPE: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, ";
        let vanilla = signed(get("https://example.amazonaws.com/"), "service", None);
        assert!(vanilla.contains(&("x-amz-date".into(), "20150830T123600Z".into())));
        let signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        assert_eq!(authorization(&vanilla), format!("{SCOPE}SignedHeaders=host;x-amz-date, Signature={signature}"));
        // get-vanilla-query-order-encoded
        let query =
            signed(get("https://example.amazonaws.com/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1"), "service", None);
        let signature = "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac";
        assert_eq!(authorization(&query), format!("{SCOPE}SignedHeaders=host;x-amz-date, Signature={signature}"));
        // get-vanilla-with-session-token
        let token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
        let session = signed(get("https://example.amazonaws.com/"), "service", Some(token));
        assert!(session.contains(&("x-amz-security-token".into(), token.into())));
        let signature = "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8";
        let signed_headers = "SignedHeaders=host;x-amz-date;x-amz-security-token";
        assert_eq!(authorization(&session), format!("{SCOPE}{signed_headers}, Signature={signature}"));
    }

    #[test]
    fn body_headers_and_port_are_signed_and_only_some_services_are_told_the_hash() {
        let post = |url, body| ToSign { method: "POST", url, headers: &[("x-amz-meta", "1")], body };
        let sign = |url, body, service| signed(post(url, body), service, None);
        let first = sign("http://a:80/x", b"1", "aps");
        assert!(authorization(&first).contains("SignedHeaders=host;x-amz-date;x-amz-meta,"));
        assert_eq!(authorization(&first), authorization(&sign("http://a/x", b"1", "aps")));
        for other in
            [sign("http://a/x", b"2", "aps"), sign("http://a:81/x", b"1", "aps"), sign("http://a/x", b"1", "es")]
        {
            assert_ne!(authorization(&first), authorization(&other));
        }
        let has_hash = |headers: &[(String, String)]| headers.iter().any(|(name, _)| name == "x-amz-content-sha256");
        assert!(!has_hash(&first) && has_hash(&sign("http://a/x", b"1", "aoss")));
    }

    #[test]
    fn keys_are_not_printed() {
        let keys = Keys {
            access_key_id: "AKID".into(),
            secret_access_key: "hunter22".into(),
            session_token: Some("hunter33".into()),
            expires: None,
        };
        let text = format!("{keys:?}");
        assert!(text.contains("AKID") && !text.contains("hunter"), "{text}");
    }
}
