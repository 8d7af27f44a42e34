//! A server that ends TLS by itself: a whole sign-in with its WebSocket, a renewed certificate, and no way in without TLS.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{process::Process, support::until};

fn writes_certificate(folder: &std::path::Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["login.example.com".to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()
}

/// What a server answers to these bytes over TLS, until it hangs up or has said `until`.
async fn says(
    host: &str,
    root: &CertificateDer<'static>,
    bytes: &str,
    until: &str,
) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect((host, 8080)).await?;
    let name = ServerName::try_from("login.example.com").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(bytes.as_bytes()).await?;
    let mut said = Vec::new();
    let mut piece = [0; 4096];
    while !String::from_utf8_lossy(&said).contains(until) {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(n) => said.extend_from_slice(&piece[..n]),
        }
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn a_page_and_its_socket_go_over_tls_and_a_new_certificate_needs_no_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = writes_certificate(folder.path());
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let more = format!("[tls]\ncert = \"{}\"\nkey = \"{}\"", cert.display(), key.display());
    let saoma = Process::starts_at("info", &more, "https://login.example.com").await;
    let host = saoma.host();

    let get = "GET /login HTTP/1.1\r\nhost: login.example.com\r\nconnection: close\r\n\r\n";
    let page = says(&host, &first, get, "</html>").await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("strict-transport-security"), "{page}");
    let cookie = page.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.starts_with("__Host-") && cookie.contains("Secure"), "{cookie}");
    let ticket = page.split("ticket=\"").nth(1).unwrap().split('"').next().unwrap();
    let upgrade = format!(
        "GET /api/tickets/{ticket}/ws HTTP/1.1\r\nhost: login.example.com\r\norigin: https://login.example.com\r\ncookie: {}\r\n\
         upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        cookie.split(';').next().unwrap()
    );
    let socket = says(&host, &first, &upgrade, "waiting").await.unwrap();
    assert!(socket.contains("101") && socket.contains("\"state\":\"waiting\""), "{socket}");

    let metrics = reqwest::get(format!("{}/metrics", saoma.operators())).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    // What rcgen makes ends at the end of 4095.
    assert!(metrics.contains("\nsaoma_tls_not_after_seconds 67090118400"), "{metrics}");

    // Plain http on that port gets nothing.
    let mut plain = TcpStream::connect((host.as_str(), 8080)).await.unwrap();
    plain.write_all(get.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1 200"));

    // Nor does the health check need it.
    let healthy = saoma.saoma(&["healthcheck"]);
    assert!(healthy.status.success(), "{healthy:?}");

    let second = writes_certificate(folder.path());
    until(|| saoma.log().contains("tls.certificate_renewed")).await;
    assert!(
        says(&host, &first, get, "</html>").await.is_err(),
        "the old one is not served any more"
    );
    assert!(says(&host, &second, get, "</html>").await.unwrap().starts_with("HTTP/1.1 200"));
}
