//! A certificate from an authority (ACME, RFC 8555), proved by TLS-ALPN-01 (RFC 8737): on port 443 alone, with no other
//! listener and no file to serve.

use std::{path::PathBuf, sync::Arc};

use futures_util::StreamExt as _;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use rustls_acme::{AcmeConfig, EventOk, caches::DirCache};

use super::{Keeping, Tls, provider};
use crate::{config::Settings, metrics::Ends};

/// How TLS ends with such a certificate, and what orders and renews it for as long as it is polled.
///
/// # Errors
/// What is wrong with the settings.
pub fn of(settings: &Settings, ends: Ends) -> Result<(Tls, Keeping), String> {
    let acme = &settings.acme;
    let contact = (!acme.contact.is_empty()).then(|| acme.contact.clone());
    let mut config = AcmeConfig::new_with_provider([settings.host()], provider())
        .contact(contact)
        .directory(&acme.directory)
        .cache(DirCache::new(PathBuf::from(&acme.folder)));
    if !acme.root.is_empty() {
        config = config.client_tls_config(trusting(&acme.root)?);
    }
    let mut state = config.state();
    let mut tls = Tls::with(state.resolver(), ends).map_err(|error| error.to_string())?;
    tls.challenge = Some(state.challenge_rustls_config_with_provider(provider()));
    let keeping = async move {
        while let Some(event) = state.next().await {
            match event {
                Ok(EventOk::DeployedNewCert) => {
                    tracing::info!(name: "acme.certificate_renewed", "the authority gave a certificate");
                }
                Ok(EventOk::DeployedCachedCert) => {
                    tracing::info!(name: "acme.certificate_kept", "the certificate of before is still good");
                }
                Ok(kept) => tracing::debug!(name: "acme.cached", ?kept, "kept for the next start"),
                Err(error) => {
                    tracing::error!(name: "acme.failed", %error, "no certificate; the port must be reachable as 443 of public_url's host. It is tried again");
                }
            }
        }
    };
    Ok((tls, Box::pin(keeping)))
}

/// A client that trusts the authority of this file and no other.
fn trusting(root: &str) -> Result<Arc<ClientConfig>, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("acme.root = {root:?}: {why}");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(root).map_err(|error| wrong(&error))? {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
