//! Tells sites that a login has ended (OpenID Connect Back-Channel Logout 1.0), until they have heard it or for a day.
//!
//! It is the one place where saoma calls an address that an operator wrote for somebody else, so it calls carefully: the
//! address it resolved is the address it connects to, redirects are not followed, and what only this machine or the
//! cloud's own network answers is never asked (threats.md row 48).

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures_util::future::join_all;
use reqwest::{Client, redirect};
use url::Url;

use crate::{
    app::App,
    audit, oidc,
    site::Site,
    store::{self, Logout},
};

/// How long a site may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait after each try that failed; after the last, nothing more is tried.
const AGAIN: [Duration; 6] = [
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(3 * 3600),
    Duration::from_secs(20 * 3600),
];

/// How long one node keeps a logout to itself while it tells the site.
const HELD: Duration = Duration::from_secs(60);

/// Tells every site that is to be told now; says how many logouts it looked at.
///
/// # Errors
/// If the store does not answer.
pub async fn round(app: &App) -> Result<usize, store::Error> {
    let now = app.world.now();
    let due = app.store.take_logouts(now, now + HELD).await?;
    let settled = join_all(due.iter().map(|logout| settle(app, logout))).await;
    settled.into_iter().collect::<Result<(), _>>().map(|()| due.len())
}

async fn settle(app: &App, logout: &Logout) -> Result<(), store::Error> {
    let site = app.sites.get(&logout.site).filter(|site| !site.backchannel_logout_uri.is_empty());
    let Some(site) = site else {
        return app.store.settle_logout(logout.id, None).await;
    };
    let (what, again) = match tell(app, &site, logout).await {
        Ok(()) => {
            app.metrics.told_of_logout("told");
            ("logout.told", None)
        }
        Err(why) => {
            let wait = usize::try_from(logout.tries).ok().and_then(|tries| AGAIN.get(tries));
            tracing::warn!(name: "logout.untold", site = site.id, tries = logout.tries + 1, why,
                "a site could not be told of a logout");
            app.metrics.told_of_logout(if wait.is_some() { "failed" } else { "given_up" });
            ("logout.given_up", wait.map(|wait| app.world.now() + *wait))
        }
    };
    app.store.settle_logout(logout.id, again).await?;
    if again.is_some() {
        return Ok(());
    }
    let detail = serde_json::json!({ "login": logout.login, "tries": logout.tries + 1 });
    let (at, site) = (app.world.now(), Some(site.id.clone()));
    app.store
        .audit(audit::Entry {
            at,
            what: what.to_owned(),
            person: None,
            site,
            address: None,
            detail,
        })
        .await
}

/// One try.
async fn tell(app: &App, site: &Site, logout: &Logout) -> Result<(), String> {
    let said = |error: &dyn std::error::Error| error.to_string();
    let url = Url::parse(&site.backchannel_logout_uri).map_err(|error| said(&error))?;
    let private = site.backchannel_private || app.settings.is_loopback();
    let (host, addresses) = resolve(&url, private).await?;
    let token = oidc::logout_token(app, site, logout).map_err(|error| said(&error))?;
    let client = Client::builder()
        .timeout(PATIENCE)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .resolve_to_addrs(&host, &addresses)
        .build()
        .map_err(|error| said(&error))?;
    let sent = client.post(url).form(&[("logout_token", token)]).send().await;
    // The error's own words would repeat the address, which may hold a secret in its path.
    let status = sent.map_err(|error| said(&error.without_url()))?.status();
    if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
}

/// The addresses of a URL's host that may be called.
async fn resolve(url: &Url, private: bool) -> Result<(String, Vec<SocketAddr>), String> {
    let host = url.host_str().ok_or("backchannel_logout_uri has no host")?;
    let port = url.port_or_known_default().ok_or("backchannel_logout_uri has no port")?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((bare, port)).await.map_err(|error| error.to_string())?;
    let allowed: Vec<SocketAddr> =
        found.filter(|address| may_call(address.ip(), private)).collect();
    if allowed.is_empty() {
        return Err(
            "its address is private; set backchannel_private = true if that is meant".to_owned()
        );
    }
    Ok((host.to_owned(), allowed))
}

/// Whether an address may be called; private ones only where the operator said so, link-local ones never: there clouds
/// answer with credentials.
fn may_call(ip: IpAddr, private: bool) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let never = ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || a == 0;
            let inside = ip.is_private() || ip.is_loopback() || (a == 100 && b & 0xc0 == 64);
            !never && (private || !inside)
        }
        IpAddr::V6(ip) => {
            let never = ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified();
            let inside = ip.is_loopback() || ip.is_unique_local();
            !never && (private || !inside)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_inside_answers_is_not_called() {
        let may = |ip: &str, private| may_call(ip.parse().unwrap(), private);
        for public in ["93.184.216.34", "2606:2800:220:1::1"] {
            assert!(may(public, false), "{public}");
        }
        for inside in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!may(inside, false) && may(inside, true), "{inside}");
        }
        for never in [
            "169.254.169.254",
            "fe80::1",
            "::ffff:169.254.169.254",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ] {
            assert!(!may(never, true), "{never}");
        }
    }
}
