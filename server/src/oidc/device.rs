//! The device grant (RFC 8628): a terminal or a television shows digits, a person types them into the mini program, and
//! the device asks again and again whether they have.
//!
//! Its ticket is a ticket as every other; the device code is the ticket id. It opens no page, and no browser may skip it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use serde::Serialize;

use super::{OauthError, Tokens, described, token};
use crate::{
    app::App,
    error::Code,
    grant::{Request, Scope, Scopes},
    login::{self, Opener, Standing},
    secret::{Hashed, Secret},
    site::Site,
    ticket::{Browser, Kind, Owner, Verdict},
};

/// How the token endpoint calls this grant.
pub const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// How long a device waits between two questions (RFC 8628 section 3.2), and how much longer after each that came too early
/// (section 3.5).
const INTERVAL: Duration = Duration::from_secs(5);

/// The longest that a device is made to wait: each interval is counted by itself, and there must be an end to them.
const LONGEST: Duration = Duration::from_secs(60);

/// How much of that the way from the device to here may eat: questions are counted as they arrive.
const SLACK: Duration = Duration::from_secs(1);

/// What a device is told at the beginning (RFC 8628 section 3.2).
///
/// There is no `verification_uri_complete`: an address that carries the digits can be sent to somebody else, who then has
/// nothing left to compare (section 5.4).
#[derive(Serialize, JsonSchema)]
pub struct Device {
    device_code: String,
    /// Eight digits; what stands between them does not count.
    user_code: String,
    verification_uri: String,
    expires_in: u64,
    interval: u64,
}

/// A device of this site begins.
///
/// # Errors
/// `unauthorized_client` if the site's devices may not, `invalid_scope`, and what stands in the way of a ticket.
pub async fn device(
    app: &App,
    site: &Site,
    scope: Option<&str>,
    browser: Browser,
) -> Result<Device, OauthError> {
    check_allowed(site)?;
    let scopes = Scopes::parse(scope.filter(|scope| !scope.is_empty()).unwrap_or("openid"));
    if !scopes.has(Scope::Openid) {
        return Err(OauthError::new("invalid_scope", "scope must contain openid"));
    }
    let request = Request { scopes, ..Request::bare(&site.id, "") };
    let address = browser.address;
    let opening = login::open(app, site, request, Opener::Device, Kind::Device, browser).await?;
    let (digits, expires_in) = login::digits_of_device(app, &opening, address).await?;
    let (first, last) = digits.split_at_checked(4).unwrap_or((&digits, ""));
    Ok(Device {
        device_code: opening.ticket.reveal().to_owned(),
        user_code: format!("{first}-{last}"),
        verification_uri: format!("{}/device", app.settings.public_url),
        expires_in,
        interval: INTERVAL.as_secs(),
    })
}

fn check_allowed(site: &Site) -> Result<(), OauthError> {
    let why = "this client may not use the device grant; set device = true in its [[site]]";
    if site.device { Ok(()) } else { Err(OauthError::new("unauthorized_client", why)) }
}

/// A device asks whether it is signed in.
///
/// # Errors
/// `authorization_pending`, `slow_down`, `access_denied`, `expired_token` (RFC 8628 section 3.5), `invalid_grant` for a code
/// that is unknown, another site's or used.
pub async fn device_asks(
    app: &App,
    site: &Site,
    device_code: &Secret,
) -> Result<Tokens, OauthError> {
    check_allowed(site)?;
    let id = device_code.hashed();
    let standing = match login::find(app, id).await {
        Err(error) if error.code == Code::NoSuchTicket => return Err(unknown()),
        found => found?,
    };
    // The id of a page's ticket is no device code.
    let of_site = match &standing {
        Standing::Living(seen) => &seen.ticket.request.site,
        Standing::Decided(decided) => &decided.decision.request.site,
    };
    if *standing.owner() != Owner::Device || *of_site != site.id {
        return Err(unknown());
    }
    match standing {
        Standing::Decided(decided) => match decided.decision.verdict {
            Verdict::Approved { .. } => {
                token::give(app, site, app.keys.derive("code", id).hashed(), &decided).await
            }
            Verdict::Denied(why) => Err(OauthError::new("access_denied", described(why))),
        },
        Standing::Living(seen) if seen.ticket.is_expired(app.world.now()) => {
            Err(OauthError::new("expired_token", "nobody typed the digits in time; begin anew"))
        }
        Standing::Living(_) => Err(wait(app, id).await?),
    }
}

fn unknown() -> OauthError {
    OauthError::new("invalid_grant", "the device code is unknown or has been used")
}

/// What a device is told that must ask again: whether it asked too early, each time of which makes its interval longer.
async fn wait(app: &App, id: Hashed) -> Result<OauthError, OauthError> {
    let now = app.world.now();
    let life = app.settings.ticket.device_life * 2;
    let early = format!("device:early:{}", name(id));
    let times = app.tickets.count(&early, 0, life, now).await?;
    if asked(app, id, times).await? == 1 {
        return Ok(OauthError::new("authorization_pending", "nobody has decided on a phone yet"));
    }
    let times = app.tickets.count(&early, 1, life, now).await?;
    // From now on the longer interval counts.
    asked(app, id, times).await?;
    Ok(OauthError::new("slow_down", "that was too early; wait five seconds more each time"))
}

fn name(id: Hashed) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// Counts a question into the interval that runs.
async fn asked(app: &App, id: Hashed, too_early: u32) -> Result<u32, OauthError> {
    let interval = interval(too_early);
    let what = format!("device:{}:{}", interval.as_secs(), name(id));
    Ok(app.tickets.count(&what, 1, interval.saturating_sub(SLACK), app.world.now()).await?)
}

/// How long a device waits that asked too early so many times.
fn interval(too_early: u32) -> Duration {
    (INTERVAL * too_early.saturating_add(1)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn who_asks_too_early_without_end_is_counted_in_a_few_intervals() {
        assert_eq!([0, 1, 2].map(interval).map(|it| it.as_secs()), [5, 10, 15]);
        let intervals: BTreeSet<_> = (0..10_000).chain([u32::MAX]).map(interval).collect();
        assert_eq!((intervals.len(), intervals.last()), (12, Some(&LONGEST)));
    }
}
