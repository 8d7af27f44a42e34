//! A connection as a phone would make it: TLS 1.2 or newer, and the whole chain from the server, for phones fetch nothing.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, SupportedProtocolVersion,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::{TLS12, TLS13},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use webpki::EndEntityCert;

use super::{Finding, Todo, todo};
use crate::world::Timestamp;

/// Whose certificates count.
#[derive(Debug, Clone)]
pub enum Roots {
    /// Those of this machine, which are much like a phone's.
    Machine,
    /// These alone, in DER.
    These(Vec<CertificateDer<'static>>),
}

impl Roots {
    fn store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        let certificates = match self {
            Self::Machine => rustls_native_certs::load_native_certs().certs,
            Self::These(certificates) => certificates.clone(),
        };
        store.add_parsable_certificates(certificates);
        store
    }
}

/// How long before its end a certificate is told of.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// Whether phones can connect, and how.
pub(super) async fn look(
    host: &str,
    address: SocketAddr,
    roots: &Roots,
    now: Timestamp,
) -> (Finding, Option<TlsStream<TcpStream>>) {
    let both = match Client::new(roots, &[&TLS13, &TLS12], now) {
        Ok(client) => client,
        Err(why) => return (Finding::skipped("tls", why), None),
    };
    let stream = match both.connect(host, address).await {
        Ok(stream) => stream,
        Err(error) => return (both.named(&error, host), None),
    };
    let version = stream.get_ref().1.protocol_version();
    let version =
        if version == Some(rustls::ProtocolVersion::TLSv1_3) { "TLS 1.3" } else { "TLS 1.2" };
    if both.ends_within(SOON, host) {
        let said =
            format!("{version}, but the certificate ends within {} days", SOON.as_secs() / 86_400);
        return (Finding::warning("tls", said, renew()), Some(stream));
    }
    if version == "TLS 1.3" {
        let old = Client::new(roots, &[&TLS12], now);
        if let Ok(old) = old
            && old.connect(host, address).await.is_err()
        {
            let said = "TLS 1.3 alone; WeChat on older phones knows TLS 1.2 alone";
            return (Finding::warning("tls", said, allow_12()), Some(stream));
        }
    }
    (Finding::ok("tls", format!("{version}, the certificate's chain is whole")), Some(stream))
}

fn renew() -> Todo {
    todo(
        "Renew it, and see that it renews by itself (certbot renew, acme.sh, caddy).",
        "请续期，并确认自动续期有效（certbot renew、acme.sh、caddy）。",
    )
}

fn allow_12() -> Todo {
    todo(
        "Allow TLS 1.2 and 1.3: in nginx `ssl_protocols TLSv1.2 TLSv1.3;`. WeChat demands 1.2 or newer.",
        "请同时启用 TLS 1.2 和 1.3：nginx 写 `ssl_protocols TLSv1.2 TLSv1.3;`。微信要求不低于 1.2。",
    )
}

/// One way to connect, which remembers the chain that it was shown.
struct Client {
    verifier: Arc<Verifier>,
    config: Arc<ClientConfig>,
}

impl Client {
    fn new(
        roots: &Roots,
        versions: &[&'static SupportedProtocolVersion],
        now: Timestamp,
    ) -> Result<Self, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let trusted =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots.store()), provider.clone())
                .build()
                .map_err(|_| {
                    "this machine has no certificates to compare with; install ca-certificates"
                        .to_owned()
                })?;
        let seconds = u64::try_from(now.seconds()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let verifier = Arc::new(Verifier { trusted, now, shown: Mutex::default() });
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_no_client_auth();
        Ok(Self { verifier, config: Arc::new(config) })
    }

    async fn connect(&self, host: &str, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TcpStream::connect(address).await?;
        TlsConnector::from(self.config.clone()).connect(name, stream).await
    }

    fn ends_within(&self, span: Duration, host: &str) -> bool {
        let Ok(name) = ServerName::try_from(host.to_owned()) else { return false };
        let shown = self.verifier.shown();
        let Some((own, rest)) = shown.split_first() else { return false };
        let then =
            UnixTime::since_unix_epoch(Duration::from_secs(self.verifier.now.as_secs()) + span);
        let verified = self.verifier.trusted.verify_server_cert(own, rest, &name, &[], then);
        matches!(verified, Err(Error::InvalidCertificate(error)) if is_expired(&error))
    }

    /// A failed handshake under the name of what is wrong.
    fn named(&self, error: &io::Error, host: &str) -> Finding {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        let shown = self.verifier.shown();
        let broken = |said: String, todo: Todo| Finding::broken("tls", said, todo);
        let full_chain = || {
            todo(
                "Serve the full chain: in nginx `ssl_certificate` names fullchain.pem, not cert.pem. Phones fetch nothing that is missing.",
                "请提供完整证书链：nginx 的 `ssl_certificate` 应指向 fullchain.pem 而非 cert.pem。手机不会自行补全。",
            )
        };
        match inner {
            Some(Error::InvalidCertificate(error)) if is_expired(error) => {
                broken("the certificate has ended".to_owned(), renew())
            }
            Some(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => broken(
                format!("the certificate is not for {host}"),
                todo(
                    format!("Get one for {host}, and see that the proxy serves it for this name."),
                    format!("请为 {host} 申请证书，并确认代理为该域名使用它。"),
                ),
            ),
            // Whatever else is wrong with it: `openssl req -x509` makes authorities, which no server can be.
            Some(Error::InvalidCertificate(_)) if is_self_signed(&shown) => broken(
                "the certificate is signed by itself".to_owned(),
                todo(
                    "Get one that phones trust, for example from Let's Encrypt.",
                    "请使用手机信任的证书，例如 Let's Encrypt。",
                ),
            ),
            Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                let said = format!(
                    "the server shows {} certificate(s), and phones know no issuer of the last: the chain is not whole",
                    shown.len()
                );
                broken(said, full_chain())
            }
            Some(Error::InvalidCertificate(error)) => {
                broken(format!("the certificate cannot be trusted: {error}"), full_chain())
            }
            Some(
                Error::AlertReceived(AlertDescription::ProtocolVersion)
                | Error::PeerIncompatible(_),
            ) => broken("the server speaks neither TLS 1.2 nor 1.3".to_owned(), allow_12()),
            _ => broken(
                format!("no TLS connection: {error}"),
                todo(
                    "See that the proxy serves https on this port, for this name.",
                    "请确认代理在该端口、该域名上提供 https。",
                ),
            ),
        }
    }
}

fn is_expired(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Expired | CertificateError::ExpiredContext { .. })
}

fn is_self_signed(shown: &[CertificateDer<'_>]) -> bool {
    let [only] = shown else { return false };
    EndEntityCert::try_from(only).is_ok_and(|own| own.issuer() == own.subject())
}

/// Judges as a phone would, and remembers what it was shown.
#[derive(Debug)]
struct Verifier {
    trusted: Arc<WebPkiServerVerifier>,
    now: UnixTime,
    shown: Mutex<Vec<CertificateDer<'static>>>,
}

impl Verifier {
    fn shown(&self) -> Vec<CertificateDer<'static>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = [std::slice::from_ref(end_entity), intermediates].concat();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) =
            shown.into_iter().map(CertificateDer::into_owned).collect();
        self.trusted.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            self.now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trusted.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trusted.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trusted.supported_verify_schemes()
    }
}
