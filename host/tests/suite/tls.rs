//! TLS: whom the host believes.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::site::{Site, run_of};

/// A server with a certificate for one name, and the authority that signed it.
struct Server {
    address: SocketAddr,
    authority_pem: String,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start(name: &str) -> Server {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not believe the certificate goes away here.
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut request = [0; 4096];
                    drop(stream.read(&mut request).await);
                    drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecure").await);
                    drop(stream.shutdown().await);
                });
            }
        });
        Server { address, authority_pem: authority.pem(), _runtime: runtime }
    }

    /// A site that asks this server by a name.
    fn site(&self, name: &str) -> Site {
        let port = self.address.port();
        let site = Site::new().guest("hostile").config(&format!(
            "[upstream.evil]\nbase_url = 'https://{name}:{port}'\nallow_addresses = ['loopback']\n\
             [network.hosts]\n'{name}' = ['127.0.0.1']\n[collector.hostile]\nattempts = 1\nsettings = {{ act = 'fetch' }}"
        ));
        fs::write(site.dir.path().join("authority.pem"), &self.authority_pem).unwrap();
        site
    }
}

#[test]
fn a_certificate_of_an_authority_in_ca_file_is_believed() {
    let server = Server::start("api.internal");
    let report = server.site("api.internal").config("[network]\nca_file = 'authority.pem'").report(&[]);
    let values = run_of(&report, "hostile")["values"].to_string();
    assert!(values.contains("\"hostile.bytes\",\"value\":6.0"), "{report:#}");
}

#[test]
fn a_certificate_of_nobody_or_for_somebody_else_is_not_believed() {
    let server = Server::start("api.internal");
    let unknown = server.site("api.internal").report(&[]);
    let other = server.site("api.other").config("[network]\nca_file = 'authority.pem'").report(&[]);
    for report in [unknown, other] {
        let run = run_of(&report, "hostile");
        assert_eq!((run["reason"].as_str(), run["blame"].as_str()), (Some("unreachable"), Some("upstream")), "{run:#}");
        assert!(run["message"].as_str().unwrap().contains("certificate"), "{run:#}");
    }
}

#[test]
fn a_ca_file_that_is_none_is_an_error() {
    let server = Server::start("api.internal");
    for (text, says) in
        [("no certificate here", "holds no certificate"), ("-----BEGIN CERTIFICATE-----\nx", "authority.pem")]
    {
        let site = server.site("api.internal").config("[network]\nca_file = 'authority.pem'");
        fs::write(site.dir.path().join("authority.pem"), text).unwrap();
        let called = site.call(&["run-all", "--dry-run"]);
        assert!(called.code != 0 && called.stderr.contains(says), "{called:#?}");
    }
}
