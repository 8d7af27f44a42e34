//! TLS by saoma itself, where no proxy ends it: a certificate out of files, read again when they change.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use x509_parser::parse_x509_certificate;

use crate::{app::SharedApp, config::Settings, metrics::Ends, world::World};

#[cfg(feature = "acme")]
pub mod acme;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// What keeps a certificate fresh, for as long as it is polled.
pub type Keeping = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a listener needs to end TLS.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    /// For the authority that asks whether this is the server of its name (RFC 8737).
    challenge: Option<Arc<ServerConfig>>,
}

impl Tls {
    /// Ends TLS with this certificate, and notes when what is served ends.
    ///
    /// # Errors
    /// If the machine's cryptography cannot do TLS 1.2 and 1.3.
    pub fn with(
        certificate: Arc<dyn ResolvesServerCert>,
        ends: Ends,
    ) -> Result<Self, rustls::Error> {
        let noting = Noting { certificate, ends, noted: Mutex::default() };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(noting));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), challenge: None })
    }

    /// The encrypted side of a connection; none where an authority only asked who we are.
    ///
    /// # Errors
    /// If the peer speaks no TLS, or none that we do.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
        let started = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let asks = |name: &[u8]| {
            let hello = started.client_hello();
            hello.alpn().is_some_and(|mut names| names.any(|asked| asked == name))
        };
        if let Some(challenge) = &self.challenge
            && asks(b"acme-tls/1")
        {
            started.into_stream(challenge.clone()).await?;
            return Ok(None);
        }
        started.into_stream(self.config.clone()).await.map(Some)
    }
}

/// Notes of what is served when it ends, wherever it comes from: files that nobody renews, an authority that gives nothing.
#[derive(Debug)]
struct Noting {
    certificate: Arc<dyn ResolvesServerCert>,
    ends: Ends,
    /// Of which it is noted: it is read once, and not whenever somebody connects.
    noted: Mutex<Option<Arc<CertifiedKey>>>,
}

impl ResolvesServerCert for Noting {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let served = self.certificate.resolve(hello)?;
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.as_ref().is_some_and(|noted| Arc::ptr_eq(noted, &served)) {
            return Some(served);
        }
        // What cannot be read is no certificate, and nobody connects.
        if let Some(Ok((_, read))) = served.cert.first().map(|own| parse_x509_certificate(own)) {
            self.ends.at(read.validity().not_after.timestamp());
        }
        *noted = Some(served.clone());
        Some(served)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A certificate and its key, out of PEM files.
#[derive(Debug)]
pub struct Files {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

/// What the settings say of TLS: how it ends here, and what keeps its certificate fresh for as long as it is polled.
///
/// # Errors
/// What is wrong with the certificate.
pub fn of(app: &SharedApp) -> Result<(Option<Tls>, Keeping), String> {
    let (settings, ends) = (&app.settings, app.metrics.certificate());
    #[cfg(feature = "acme")]
    if settings.acme.on {
        return acme::of(settings, ends).map(|(tls, keeping)| (Some(tls), keeping));
    }
    let Some(files) = files(settings)? else {
        return Ok((None, Box::pin(std::future::pending())));
    };
    let files = Arc::new(files);
    let tls = Tls::with(files.clone(), ends).map_err(|error| error.to_string())?;
    let app = app.clone();
    Ok((Some(tls), Box::pin(async move { files.keep_fresh(&app.world).await })))
}

/// Whether a server could end TLS by these settings.
///
/// # Errors
/// What is wrong with the certificate.
pub fn check(settings: &Settings) -> Result<(), String> {
    #[cfg(feature = "acme")]
    if settings.acme.on {
        return acme::of(settings, Ends::default()).map(drop);
    }
    files(settings).map(drop)
}

fn files(settings: &Settings) -> Result<Option<Files>, String> {
    let tls = &settings.tls;
    if tls.cert.is_empty() {
        return Ok(None);
    }
    let files = Files::open(&tls.cert, &tls.key);
    files.map(Some).map_err(|error| format!("tls.cert, tls.key: {error}"))
}

/// Why files hold no certificate that can be served.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Files {
    /// Reads them.
    ///
    /// # Errors
    /// What is wrong with them, and in which.
    pub fn open(cert: &str, key: &str) -> Result<Self, Error> {
        let (cert, key) = (PathBuf::from(cert), PathBuf::from(key));
        let current = RwLock::new(Arc::new(read(&cert, &key)?));
        Ok(Self { cert, key, current })
    }

    /// Reads them again whenever they change, for as long as it is polled. Connections that stand keep theirs; files that
    /// cannot be used change nothing.
    pub async fn keep_fresh(&self, world: &World) {
        let changed = || [&self.cert, &self.key].map(|path| modified(path));
        let mut seen = changed();
        loop {
            world.sleep_until(world.now() + LOOK).await;
            let now = changed();
            if now == seen {
                continue;
            }
            // Of the two files one may be written before the other: what does not fit together is looked at again.
            match read(&self.cert, &self.key) {
                Ok(fresh) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                    seen = now;
                    tracing::info!(name: "tls.certificate_renewed", "new connections get the new certificate");
                }
                Err(error) => {
                    tracing::error!(name: "tls.certificate_refused", %error, "the certificate before it stays in force");
                }
            }
        }
    }
}

impl ResolvesServerCert for Files {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|file| file.modified()).ok()
}

fn read(cert: &Path, key: &Path) -> Result<CertifiedKey, Error> {
    let wrong =
        |path: &Path, why: &dyn std::fmt::Display| Error(format!("{}: {why}", path.display()));
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(cert).map_err(|error| wrong(cert, &error))?.collect();
    let chain = chain.map_err(|error| wrong(cert, &error))?;
    if chain.is_empty() {
        return Err(wrong(
            cert,
            &"there is no certificate in it; it must be PEM, the server's own first",
        ));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    CertifiedKey::from_der(chain, secret, &provider())
        .map_err(|error| wrong(key, &format!("it is not the key of {}: {error}", cert.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Timestamp;

    fn writes(folder: &Path, name: &str) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    }

    fn opens(folder: &Path) -> Result<Files, Error> {
        let path = |name: &str| folder.join(name).display().to_string();
        Files::open(&path("cert.pem"), &path("key.pem"))
    }

    #[tokio::test]
    async fn a_renewed_certificate_is_taken_over_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        writes(folder.path(), "one.example");
        let files = opens(folder.path()).unwrap();
        let world = World::held(Timestamp::from_millis(0), 1);
        let served = || files.current.read().unwrap().cert.clone();
        let first = served();
        let mut keeping = std::pin::pin!(files.keep_fresh(&world));
        let passes = |seconds: u64| {
            // The file's own time moves on, as it does between two renewals.
            let file = std::fs::File::options().append(true).open(folder.path().join("cert.pem"));
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            file.unwrap().set_modified(at).unwrap();
            world.advance(LOOK);
        };
        assert!(futures_util::poll!(keeping.as_mut()).is_pending());
        std::fs::write(folder.path().join("cert.pem"), "half of a certif").unwrap();
        passes(100);
        assert!(futures_util::poll!(keeping.as_mut()).is_pending());
        assert_eq!(served(), first);
        writes(folder.path(), "two.example");
        passes(200);
        assert!(futures_util::poll!(keeping.as_mut()).is_pending());
        assert_ne!(served(), first);
    }

    #[test]
    fn what_cannot_be_served_says_which_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(opens(folder.path()).unwrap_err().to_string().contains("cert.pem"));
        writes(folder.path(), "one.example");
        let key = std::fs::read(folder.path().join("key.pem")).unwrap();
        writes(folder.path(), "two.example");
        std::fs::write(folder.path().join("key.pem"), key).unwrap();
        let said = opens(folder.path()).unwrap_err().to_string();
        assert!(said.contains("key.pem: it is not the key of"), "{said}");
        std::fs::write(folder.path().join("cert.pem"), "").unwrap();
        assert!(opens(folder.path()).unwrap_err().to_string().contains("no certificate in it"));
    }
}
