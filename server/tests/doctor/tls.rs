//! What is wrong with the certificate, seen as a phone sees it.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    version::{TLS12, TLS13},
};
use saoma::doctor::{Roots, Verdict, text};
use tokio::{
    io::{AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use crate::stage::Patient;

/// A server's certificate with all that stands above it.
struct Chain {
    root: CertificateDer<'static>,
    between: CertificateDer<'static>,
    own: CertificateDer<'static>,
    key: KeyPair,
}

impl Chain {
    fn of(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let authority = |name: &str| {
            let mut params = CertificateParams::new(vec![]).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let root =
            CertifiedIssuer::self_signed(authority("root"), KeyPair::generate().unwrap()).unwrap();
        let between =
            CertifiedIssuer::signed_by(authority("between"), KeyPair::generate().unwrap(), &root)
                .unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        change(&mut params);
        let own = params.signed_by(&key, &between).unwrap();
        Self {
            root: root.der().clone(),
            between: between.der().clone(),
            own: own.der().clone(),
            key,
        }
    }
}

/// A saoma behind a proxy that ends TLS with these certificates.
async fn secured(
    shown: Vec<CertificateDer<'static>>,
    key: &KeyPair,
    versions: &[&'static SupportedProtocolVersion],
    root: CertificateDer<'static>,
) -> Patient {
    secured_with(shown, key, versions, root, &[]).await
}

/// The same by other settings.
async fn secured_with(
    shown: Vec<CertificateDer<'static>>,
    key: &KeyPair,
    versions: &[&'static SupportedProtocolVersion],
    root: CertificateDer<'static>,
    more: &[(&str, &str)],
) -> Patient {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(shown, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let public_url = format!("https://localhost:{}", proxy.local_addr().unwrap().port());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let behind = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (client, _) = proxy.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut server = TcpStream::connect(behind).await.unwrap();
                // Either side may hang up.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    let mut patient = Patient::behind(&public_url, listener, more).await;
    patient.roots = Roots::These(vec![root]);
    patient
}

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

#[tokio::test]
async fn a_whole_chain() {
    let chain = Chain::of("localhost", |_| {});
    let patient = secured(vec![chain.own, chain.between], &chain.key, BOTH, chain.root).await;
    let found = patient.findings().await;
    for check in ["tls", "websocket"] {
        let finding = found.iter().find(|finding| finding.check == check).unwrap();
        assert_eq!(finding.verdict, Verdict::Ok, "{}", text(&found));
    }
}

#[tokio::test]
async fn a_proxy_that_saoma_does_not_know() {
    let chain = Chain::of("localhost", |_| {});
    let shown = vec![chain.own, chain.between];
    let patient = secured(shown.clone(), &chain.key, BOTH, chain.root.clone()).await;
    let warned = patient.warned("trusted_proxies").await;
    assert!(warned.todo.unwrap().en.contains("request.refused"), "{}", warned.said);

    let known = [("SAOMA_TRUSTED_PROXIES", "127.0.0.1")];
    let patient = secured_with(shown, &chain.key, BOTH, chain.root, &known).await;
    let found = patient.findings().await;
    let proxy = found.iter().find(|finding| finding.check == "trusted_proxies").unwrap();
    assert_eq!(proxy.verdict, Verdict::Ok, "{}", text(&found));
}

#[tokio::test]
async fn a_chain_without_its_middle() {
    let chain = Chain::of("localhost", |_| {});
    let patient = secured(vec![chain.own], &chain.key, BOTH, chain.root).await;
    let found = patient.broken("tls").await;
    assert!(
        found.said.contains("shows 1 certificate(s)") && found.said.contains("chain is not whole"),
        "{}",
        found.said
    );
    assert!(found.todo.unwrap().zh.contains("fullchain.pem"));
}

#[tokio::test]
async fn a_certificate_signed_by_itself() {
    // As `openssl req -x509` makes it, it is an authority too.
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let own = params.self_signed(&key).unwrap();
        let root = Chain::of("localhost", |_| {}).root;
        let patient = secured(vec![own.der().clone()], &key, BOTH, root).await;
        let found = patient.broken("tls").await;
        assert!(found.said.contains("signed by itself"), "{}", found.said);
        assert!(found.todo.unwrap().en.contains("that phones trust"));
    }
}

#[tokio::test]
async fn a_certificate_that_has_ended_or_soon_will() {
    let chain = Chain::of("localhost", |params| params.not_after = date_time_ymd(2020, 1, 1));
    let patient = secured(vec![chain.own, chain.between], &chain.key, BOTH, chain.root).await;
    let found = patient.broken("tls").await;
    assert!(found.said.contains("has ended") && found.todo.unwrap().en.contains("certbot"));

    let soon = saoma::world::World::real().now().seconds() + 5 * 86_400;
    let chain = Chain::of("localhost", |params| {
        params.not_after = time::OffsetDateTime::from_unix_timestamp(soon).unwrap();
    });
    let patient = secured(vec![chain.own, chain.between], &chain.key, BOTH, chain.root).await;
    assert!(patient.warned("tls").await.said.contains("ends within 14 days"));
}

#[tokio::test]
async fn a_certificate_for_another_name() {
    let chain = Chain::of("www.example.com", |_| {});
    let patient = secured(vec![chain.own, chain.between], &chain.key, BOTH, chain.root).await;
    assert!(patient.broken("tls").await.said.contains("not for localhost"));
}

#[tokio::test]
async fn tls_too_new_for_old_phones_and_too_old_for_wechat() {
    let chain = Chain::of("localhost", |_| {});
    let patient = secured(vec![chain.own, chain.between], &chain.key, &[&TLS13], chain.root).await;
    assert!(patient.warned("tls").await.said.contains("TLS 1.3 alone"));

    // What a server says that speaks nothing newer than TLS 1.1: alert 70, protocol_version (RFC 5246 section 7.2).
    let old = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = old.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = old.accept().await.unwrap();
            client.write_all(&[21, 3, 2, 0, 2, 2, 70]).await.unwrap();
        }
    });
    let mut patient = Patient::healthy().await;
    patient.with(|settings| settings.public_url = format!("https://localhost:{port}"));
    let found = patient.broken("tls").await;
    assert!(found.said.contains("neither TLS 1.2 nor 1.3"), "{}", found.said);
    assert!(found.todo.unwrap().en.contains("ssl_protocols"));
}

#[tokio::test]
async fn plain_http_where_https_should_be() {
    let mut patient = Patient::healthy().await;
    let url = patient.settings.public_url.replace("http://127.0.0.1", "https://localhost");
    patient.with(|settings| settings.public_url = url);
    assert!(patient.broken("tls").await.todo.unwrap().en.contains("https on this port"));
}
