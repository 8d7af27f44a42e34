//! The domains of made-up addresses: nobody may receive mail there.
//!
//! Applications send password resets and invitations to the address of an account. Whoever receives mail at the domain of
//! made-up ones could take over every account, so there must be no mail server, and nobody who may put one there.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{RData, RecordType},
};

use super::{Finding, todo};
use crate::{config::Settings, site::Site};

/// Whose word counts on names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dns {
    /// The name servers of this machine.
    Machine,
    /// This one alone.
    At(SocketAddr),
}

/// How long a name server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Top-level domains that lead nowhere and that nobody can register (RFC 2606 section 2, RFC 6761; `internal` is ICANN's).
const NOBODYS: [&str; 5] = ["invalid", "example", "test", "localhost", "internal"];

const CHECK: &str = "email_domain";

/// Looks at the domain of each site's made-up addresses.
pub(super) async fn look(settings: &Settings, sites: &[Site], dns: Dns) -> Vec<Finding> {
    let chosen = |site: &Site| Some(site.email.split_once('@')?.1.to_owned());
    let chosen: BTreeSet<String> = sites.iter().filter_map(chosen).collect();
    // Sites that have chosen none have theirs at the public host, where it could be a mail domain.
    let usual = sites.iter().any(|site| site.email.is_empty());
    let usual = settings.mail_domain().filter(|_| usual);
    let domains: BTreeSet<String> = chosen.iter().cloned().chain(usual).collect();
    if domains.is_empty() {
        return vec![Finding::skipped(CHECK, "no site has made-up addresses where mail could go")];
    }
    let Ok(resolver) = resolver(dns) else {
        return vec![Finding::skipped(CHECK, "this machine names no name server")];
    };
    let mut found = Vec::new();
    for domain in domains {
        let reached = reached(&resolver, &domain).await;
        let mut names = vec![domain.clone()];
        if let Reached::Host(host) = &reached {
            names.push(host.clone());
        }
        let finding = match reached {
            // saoma itself answers there, so there is a machine.
            Reached::Itself if !chosen.contains(&domain) => {
                Finding::ok(CHECK, format!("no mail server is named for {domain}"))
            }
            reached => judge(&domain, settings.owns(&domain), reached),
        };
        found.push(finding.naming(names));
    }
    found
}

/// Where mail to a domain goes.
enum Reached {
    /// To this host: there is an MX record.
    Host(String),
    /// To the machine of that name, for want of an MX record (RFC 5321 section 5.1).
    Itself,
    /// Nowhere, and the domain says so (RFC 7505).
    Refused,
    /// Nowhere: there is no such name, or it has no address.
    Nowhere,
    /// Nobody knows: the name servers do not answer.
    Unknown(String),
}

fn judge(domain: &str, owned: bool, reached: Reached) -> Finding {
    let close = |said: String| {
        Finding::warning(
            CHECK,
            said,
            todo(
                format!(
                    "Who receives mail there could reset the password of every such account. Give made-up addresses a sub-domain of their own, and add the record `MX 0 .` to it, which refuses all mail: {domain}. MX 0 ."
                ),
                format!(
                    "能在该域名收信的人可以重置这些账号的密码。请为虚构邮箱使用单独的子域名，并添加拒收一切邮件的记录：{domain}. MX 0 ."
                ),
            ),
        )
    };
    let reserved = domain.rsplit('.').next().is_some_and(|top| NOBODYS.contains(&top));
    match reached {
        Reached::Host(host) => close(format!("mail to {domain} is received by {host}")),
        Reached::Itself => {
            close(format!("{domain} has no MX record, but an address, so that mail is tried there"))
        }
        Reached::Refused => Finding::ok(CHECK, format!("{domain} refuses all mail")),
        Reached::Nowhere if owned || reserved => {
            Finding::ok(CHECK, format!("no mail reaches {domain}"))
        }
        Reached::Nowhere => Finding::warning(
            CHECK,
            format!("no mail reaches {domain}, but it is not known to be yours"),
            todo(
                "Somebody may register it and receive mail for every such account. Use a domain below yours; if it is yours, write it in owned_domains.",
                "他人可能注册该域名并接收这些账号的邮件。请使用自己域名的子域；若它属于你，请写入 owned_domains。",
            ),
        ),
        Reached::Unknown(why) => Finding::skipped(CHECK, format!("{domain}: {why}")),
    }
}

async fn reached(resolver: &TokioResolver, domain: &str) -> Reached {
    // With the last dot the name stands as it is, and no search domain is tried.
    let name = format!("{domain}.");
    let records = match resolver.lookup(name.as_str(), RecordType::MX).await {
        Ok(found) => found,
        Err(error) if error.is_no_records_found() => return without_mx(resolver, &name).await,
        Err(error) => return unknown(&error),
    };
    let hosts = records.answers().iter().filter_map(|record| match &record.data {
        RData::MX(mx) => Some(mx.exchange.to_utf8()),
        _ => None,
    });
    let mut hosts: Vec<_> = hosts.map(|host| host.trim_end_matches('.').to_owned()).collect();
    hosts.retain(|host| !host.is_empty());
    hosts.into_iter().next().map_or(Reached::Refused, Reached::Host)
}

async fn without_mx(resolver: &TokioResolver, name: &str) -> Reached {
    match resolver.lookup_ip(name).await {
        Ok(addresses) if addresses.iter().next().is_some() => Reached::Itself,
        Ok(_) => Reached::Nowhere,
        Err(error) if error.is_no_records_found() => Reached::Nowhere,
        Err(error) => unknown(&error),
    }
}

fn unknown(error: &NetError) -> Reached {
    Reached::Unknown(format!("the name servers do not say ({error})"))
}

fn resolver(dns: Dns) -> Result<TokioResolver, NetError> {
    let mut builder = match dns {
        Dns::Machine => TokioResolver::builder_tokio()?,
        Dns::At(address) => {
            let mut connection = ConnectionConfig::udp();
            connection.port = address.port();
            let server = NameServerConfig::new(address.ip(), true, vec![connection]);
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    let options = builder.options_mut();
    options.timeout = PATIENCE;
    options.attempts = 1;
    builder.build()
}
