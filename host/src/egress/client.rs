//! Makes clients: TLS once for all, a resolver for each endpoint, nothing that a client does by itself.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::redirect;
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::credential::Shared;
use super::resolve::{Lookup, Resolver};
use crate::policy::{Timeouts, Upstream};

/// What all connections of a cycle share: certificates, a way to look names up, and the credentials that are asked for.
#[derive(Clone)]
pub struct Network {
    lookup: Lookup,
    extra_roots: Arc<[CertificateDer<'static>]>,
    tls: Arc<OnceLock<Result<ClientConfig, String>>>,
    shared: Shared,
}

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
#[error("[network] ca_file {path}: {what}")]
pub struct NetworkError {
    path: String,
    what: String,
}

impl Network {
    /// Certificates of the system, and those of `ca_file` beside them. The system's are read when a connection needs them:
    /// that takes longer than all the rest of a start.
    ///
    /// # Errors
    /// Where the file cannot be read or holds no certificate.
    pub fn new(lookup: Lookup, ca_file: Option<&Path>) -> Result<Network, NetworkError> {
        let error = |path: &Path, what: String| NetworkError { path: path.display().to_string(), what };
        let extra_roots: Vec<CertificateDer<'static>> = match ca_file {
            None => Vec::new(),
            Some(path) => CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect)
                .map_err(|e| error(path, e.to_string()))?,
        };
        match ca_file {
            Some(path) if extra_roots.is_empty() => Err(error(path, "holds no certificate".into())),
            _ => {
                Ok(Network { lookup, extra_roots: extra_roots.into(), tls: Arc::default(), shared: Shared::default() })
            }
        }
    }

    /// A client for one endpoint. It follows nothing, repeats nothing, and asks no proxy: all that is decided here.
    pub(super) fn client(&self, upstream: &Upstream, resolver: Resolver) -> Result<reqwest::Client, String> {
        const IDLE: Duration = Duration::from_secs(30);
        let Timeouts { connect, .. } = upstream.timeouts;
        let needs_tls = upstream.base_url.scheme() == "https" || upstream.redirects.hops_max > 0;
        let tls = if needs_tls { self.tls()? } else { tls_that_trusts_nobody()? };
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Arc::new(resolver))
            .connect_timeout(connect)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .pool_idle_timeout(IDLE)
            // A connection lives for seconds, and every wait for it has a timeout.
            .tcp_keepalive(None)
            .tcp_keepalive_interval(None)
            .tcp_keepalive_retries(None)
            .build()
            .map_err(|e| format!("no HTTP client: {e}"))
    }

    pub(super) fn resolver(&self, upstream: &Upstream, section: &str) -> Resolver {
        Resolver::new(self.lookup.clone(), upstream.allowed.clone(), section)
    }

    /// Credentials that endpoints have in common.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The same for endpoints where credentials are asked for, which are themselves among what is shared.
    pub(super) fn for_credentials(&self) -> Network {
        Network { shared: Shared::default(), ..self.clone() }
    }

    fn tls(&self) -> Result<ClientConfig, String> {
        self.tls.get_or_init(|| tls_of_the_system(&self.extra_roots)).clone()
    }
}

fn tls_of_the_system(extra_roots: &[CertificateDer<'static>]) -> Result<ClientConfig, String> {
    let provider = provider();
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra_roots.iter().cloned(), provider)
        .map_err(|e| format!("no certificates of the system: {e}; [network] ca_file names a file of them"))?;
    let mut config = ClientConfig::builder_with_provider(self::provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("no TLS: {e}"))?
        .dangerous() // the name of the method; the verifier is the platform's
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// For endpoints without TLS: reading the system's certificates would be the longest part of a start.
fn tls_that_trusts_nobody() -> Result<ClientConfig, String> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("no TLS: {e}"))?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth())
}

/// The provider that main installed, else the one that it would have.
fn provider() -> Arc<CryptoProvider> {
    let default = || Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    CryptoProvider::get_default().cloned().unwrap_or_else(default)
}
