//! Tells sites that a login has ended (OpenID Connect Back-Channel Logout 1.0), until they have heard it or for a day.
//!
//! It is the one place where saoma calls an address that an operator wrote for somebody else, so it calls carefully: the
//! address it resolved is the address it connects to, redirects are not followed, and what only this machine or the
//! cloud's own network answers is never asked (threats.md row 48).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use futures_util::future::join_all;
use reqwest::{Client, redirect};
use tokio::time::timeout;
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
    let entry = audit::Entry::new(app.world.now(), what).at_site(site.id.clone()).with(detail);
    app.store.audit(entry).await
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
    let found = timeout(PATIENCE, tokio::net::lookup_host((bare, port))).await;
    let found = found.map_err(|_| "no name server tells its address in time")?;
    let found = found.map_err(|error| error.to_string())?;
    let allowed: Vec<SocketAddr> =
        found.filter(|address| may_call(address.ip(), private)).collect();
    let why = match (allowed.is_empty(), private) {
        (false, _) => return Ok((host.to_owned(), allowed)),
        (true, false) => "its address is private; set backchannel_private = true if that is meant",
        (true, true) => {
            "its address is one of the network's or the cloud's own, which saoma never calls"
        }
    };
    Err(why.to_owned())
}

/// Where clouds answer their machines with credentials, besides link-local addresses: Alibaba Cloud, Azure, AWS over IPv6.
const CLOUDS: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Whether an address may be called; private ones only where the operator said so, link-local ones and those of clouds
/// never.
fn may_call(ip: IpAddr, private: bool) -> bool {
    match behind(ip) {
        ip if CLOUDS.contains(&ip) => false,
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let never = ip.is_link_local() || ip.is_multicast() || a == 0 || a >= 240;
            let shared = a == 100 && b & 0xc0 == 64;
            let special = matches!((a, b, c), (192, 0, 0) | (198, 18..=19, _));
            let inside = ip.is_private() || ip.is_loopback() || shared || special;
            !never && (private || !inside)
        }
        IpAddr::V6(ip) => {
            let [first, ..] = ip.segments();
            let never = ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified();
            let inside = ip.is_loopback() || ip.is_unique_local() || first & 0xffc0 == 0xfec0;
            !never && (private || !inside)
        }
    }
}

/// The IPv4 address that an IPv6 one leads to: mapped, compatible, by NAT64 (RFC 6052) or 6to4 (RFC 3056).
fn behind(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip.to_canonical() else { return ip.to_canonical() };
    let low = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)).into();
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, a, b] if a > 0 => low(a, b),
        [0x64, 0xff9b, 0, 0, 0, 0, a, b] | [0x2002, a, b, ..] => low(a, b),
        // NAT64 of a network's own (RFC 8215) may lead anywhere inside it.
        [0x64, 0xff9b, 1, ..] => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_may_not_be_called_is_not_even_among_the_addresses() {
        for (url, private, found) in [
            ("http://127.0.0.1:9/logout", false, Err("set backchannel_private = true")),
            ("http://127.0.0.1:9/logout", true, Ok("127.0.0.1:9")),
            ("https://[::1]/logout", true, Ok("[::1]:443")),
            ("https://169.254.169.254/logout", false, Err("is private")),
            ("https://169.254.169.254/logout", true, Err("never calls")),
            ("https://93.184.216.34/logout", false, Ok("93.184.216.34:443")),
        ] {
            match (resolve(&Url::parse(url).unwrap(), private).await, found) {
                (Ok((_, addresses)), Ok(found)) => assert_eq!(addresses, [found.parse().unwrap()]),
                (Err(why), Err(found)) => assert!(why.contains(found), "{url} {private}: {why}"),
                (said, _) => panic!("{url} {private}: {said:?}"),
            }
        }
    }

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
            "::10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::5",
            "2002:a00:1::1",
            "198.18.0.1",
            "fec0::1",
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
            "240.0.0.1",
            "100.100.100.200",
            "fd00:ec2::254",
            "168.63.129.16",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(!may(never, true), "{never}");
        }
    }
}
