//! Where PostgreSQL is, and how far it is trusted.

use std::{net::IpAddr, path::Path, str::FromStr as _, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

use crate::store::Error;

/// Reads `postgres://user:password@host:port/database`, with libpq's parameters. Two of them are read here:
/// `sslmode`, which is `verify-full` unless the host is this machine (then `disable`), and `sslrootcert`, a file of
/// certificates in the place of the machine's. A certificate is always verified: there is no half way.
pub(super) fn parse(url: &str) -> Result<(Config, Option<ClientConfig>), Error> {
    if is_cut_short(url) {
        return Err(Error::Unusable(
            "the password holds what ends it in a URL: write it percent-encoded (/ is %2F, @ is %40, ? is %3F, # is %23)"
                .to_owned(),
        ));
    }
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut mode, mut roots, mut rest) = (None, None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value.to_owned()),
            Some(("sslrootcert", value)) => roots = Some(decoded(value)),
            _ => rest.push(pair),
        }
    }
    let plain =
        if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    // What tokio-postgres says of a URL names the part that is wrong, and not its value.
    let mut config = Config::from_str(&plain)
        .map_err(|error| Error::Unusable(format!("the URL cannot be used: {}", cause(&error))))?;
    if config.get_dbname().is_none() {
        return Err(Error::Unusable(
            "the URL names no database: postgres://user:password@host/database".to_owned(),
        ));
    }
    let here = config.get_hosts().iter().all(is_here);
    let tls = match mode.as_deref() {
        Some("disable") => false,
        Some("require" | "verify-ca" | "verify-full") => true,
        None => !here,
        Some(other) => {
            return Err(Error::Unusable(format!("sslmode={other}: write disable or verify-full")));
        }
    };
    config.ssl_mode(if tls { SslMode::Require } else { SslMode::Disable });
    let tls = if tls { Some(client(roots.as_deref())?) } else { None };
    Ok((config, tls))
}

/// Whether a password is not encoded: half of it would be taken for the host, and looked up.
fn is_cut_short(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let path = after.split('?').next().unwrap_or_default();
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    let is_port = port.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit());
    let no_host = !authority.contains('@') && !is_port && after.contains('@');
    let no_path = after.starts_with('?') && after.contains('@');
    authority.matches('@').count() > 1 || path.contains('@') || no_host || no_path
}

fn cause(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn decoded(text: &str) -> String {
    url::form_urlencoded::parse(format!("v={text}").as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn client(roots: Option<&str>) -> Result<ClientConfig, Error> {
    let mut store = RootCertStore::empty();
    let certificates = match roots {
        None => rustls_native_certs::load_native_certs().certs,
        Some(file) => CertificateDer::pem_file_iter(Path::new(file))
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| Error::Unusable(format!("sslrootcert={file}: {error}")))?,
    };
    store.add_parsable_certificates(certificates);
    if store.is_empty() {
        let whose = roots.unwrap_or("this machine's store of certificates");
        return Err(Error::Unusable(format!(
            "{whose} holds no certificate to trust; install ca-certificates, or give sslrootcert"
        )));
    }
    let versions = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Unusable(error.to_string()))?;
    Ok(versions.with_root_certificates(store).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(url: &str) -> bool {
        parse(url).unwrap().1.is_some()
    }

    fn refused(url: &str) -> String {
        parse(url).unwrap_err().to_string()
    }

    #[test]
    fn whoever_is_not_this_machine_is_spoken_to_by_tls() {
        for here in ["127.0.0.1", "[::1]:5433", "localhost", "%2Frun%2Fpostgresql"] {
            assert!(!tls(&format!("postgres://saoma@{here}/saoma")), "{here}");
        }
        assert!(tls("postgres://saoma:secret@db.example.com/saoma"));
        assert!(tls("postgres://saoma@127.0.0.1,db.example.com/saoma"), "one of them is elsewhere");
        assert!(tls("postgres://saoma@127.0.0.1/saoma?sslmode=require"));
        assert!(!tls("postgres://saoma@db.example.com/saoma?sslmode=disable&connect_timeout=2"));
    }

    #[test]
    fn a_password_that_is_not_encoded_is_not_looked_up_as_a_host() {
        for password in ["p@w/x", "p@w", "p/w", "p?w", "p#w", "p@w?x"] {
            let said = refused(&format!("postgres://saoma:{password}@127.0.0.1/saoma"));
            assert!(said.contains("percent-encoded"), "{password}: {said}");
        }
        for good in [
            "postgres://saoma:p%40w%2Fx@127.0.0.1/saoma",
            "postgres://saoma@[::1]:5433,127.0.0.1:5434/saoma",
            "postgres://saoma@127.0.0.1/saoma?sslmode=disable&application_name=a@b",
            "postgres://[::1]/saoma?user=a%40b",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for url in [
            "postgres://saoma:hush-hush@db.example.com/saoma?sslmode=prefer",
            "postgres://saoma:hush-hush@db.example.com",
            "postgres://saoma:hush-hush@db.example.com:port/saoma",
            "postgres://saoma:hush-hush@db.example.com/saoma?sslrootcert=/nowhere.pem",
            "postgres://saoma:hush-hush@db.example.com/saoma?colour=red",
        ] {
            let said = refused(url);
            assert!(!said.contains("hush"), "{said}");
        }
        assert!(refused("postgres://a@db.example.com/a?sslmode=prefer").contains("sslmode=prefer"));
        assert!(refused("postgres://a@db.example.com").contains("names no database"));
    }
}
