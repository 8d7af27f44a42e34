//! The authorization request: read, checked, and kept where it may not stand in a URL.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Answer, OauthError};
use crate::{
    app::App,
    error::{Code, Error},
    grant::{self, Request, ResponseMode, Scope, Scopes},
    secret::{Hashed, Secret},
    site::Site,
    store::Login,
};

/// `state` and `nonce` are kept for a ticket's life and handed back; no application needs more.
const LONGEST: usize = 2048;

/// The most that a request kept here may hold in all; an `id_token_hint` is the longest of its parts.
const LONGEST_KEPT: usize = 16 * 1024;

/// How long a pushed request can be begun and its page be loaded again.
pub const PUSHED_LIFE: Duration = Duration::from_secs(600);

/// What a request is called that saoma itself keeps (RFC 9126 section 2.2).
const PUSHED: &str = "urn:ietf:params:oauth:request_uri:";

/// The parameters that mean something here; others are passed over (RFC 6749 section 3.1).
pub const PARAMETERS: [&str; 17] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "max_age",
    "id_token_hint",
    "ui_locales",
    "login_hint",
    "claims",
    "request",
    "request_uri",
];

/// The parameters of an authorization request (OIDC Core 3.1.2.1).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Params {
    values: BTreeMap<String, String>,
    /// Those that came twice, which is an error whatever they are (RFC 6749 section 3.1).
    twice: Vec<String>,
}

impl Params {
    /// Reads them; one without a value counts as left out.
    pub fn read(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut params = Self::default();
        let known = |name: &str| PARAMETERS.contains(&name);
        for (name, value) in
            pairs.into_iter().filter(|(name, value)| known(name) && !value.is_empty())
        {
            if params.values.insert(name.clone(), value).is_some() {
                params.twice.push(name);
            }
        }
        params
    }

    /// One of them, if it came once: of two redirect addresses neither may be trusted, of two sites neither be named.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.values.get(name).map(String::as_str);
        value.filter(|_| !self.twice.iter().any(|twice| twice == name))
    }

    /// One without which there is nobody to answer.
    fn needed(&self, name: &str) -> Result<&str, Error> {
        let why = if self.values.contains_key(name) { "came twice" } else { "is missing" };
        self.get(name).ok_or_else(|| Error::invalid(format!("{name} {why}")))
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(ToOwned::to_owned)
    }
}

/// Keeps a request whose parameters shall not stand in a URL, and says under which `request_uri` it is found.
///
/// # Errors
/// If it is too long, or cannot be kept now.
pub async fn push(app: &App, params: &Params) -> Result<String, Error> {
    let name = keep(app, params, PUSHED_LIFE).await?;
    Ok(format!("{PUSHED}{}", name.reveal()))
}

/// Keeps what a browser carries on with in a moment, if it is no longer than it may be, and says under which name.
pub(super) async fn keep(
    app: &App,
    what: &impl Serialize,
    life: Duration,
) -> Result<Secret, Error> {
    let json = serde_json::to_vec(what).map_err(|error| Error::invalid(error.to_string()))?;
    if json.len() > LONGEST_KEPT {
        return Err(Error::invalid("the request is too long"));
    }
    let name = Secret::new(&app.world);
    let now = app.world.now();
    app.tickets.keep(name.hashed(), Bytes::from(json), now, now + life).await?;
    Ok(name)
}

/// The request that was meant: the one pushed before, where `request_uri` names one, else the one that came.
///
/// # Errors
/// [`Code::RequestOver`] if it is not there any more, or another site's.
pub async fn pushed(app: &App, params: Params) -> Result<Params, Error> {
    let Some(name) = params.get("request_uri").and_then(|uri| uri.strip_prefix(PUSHED)) else {
        return Ok(params);
    };
    let kept = app.tickets.kept(Hashed::of(name), app.world.now()).await?;
    let kept: Option<Params> = kept.and_then(|json| serde_json::from_slice(&json).ok());
    let of_site = |kept: &Params| kept.values.get("client_id") == params.values.get("client_id");
    kept.filter(of_site).ok_or_else(|| Code::RequestOver.into())
}

/// An authorization request that may go on.
pub struct Authorize {
    /// Who asks.
    pub site: Arc<Site>,
    /// What for.
    pub request: Request,
    /// How the person is to be asked.
    pub prompt: Prompt,
    /// How old a sign-in may be that is used again.
    pub max_age: Option<Duration>,
    /// In which languages the site would like the person to be spoken to.
    pub lang: Option<String>,
}

/// What `prompt` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prompt {
    /// A scan, unless this browser may skip it.
    #[default]
    Ordinary,
    /// No page at all.
    None,
    /// A scan in any case: login, consent and select_account all mean a phone.
    Scan,
}

/// Why an authorization request ends at once.
#[derive(Debug)]
pub enum Failure {
    /// The redirect address cannot be trusted: the person is told on saoma's own page (RFC 6749 section 4.1.2.1).
    Page(Error),
    /// The site is told: its own server of the error, a browser that came with the request by an answer.
    Refused(OauthError, Answer),
}

/// Refuses what is too long to be kept, and control characters: RFC 6749 (appendix A.5) has none of them, and PostgreSQL
/// keeps no NUL, which would be noticed when somebody taps.
///
/// # Errors
/// What to say of it.
pub fn check_kept(values: &[Option<&str>]) -> Result<(), String> {
    let values = || values.iter().flatten();
    if values().any(|text| text.len() > LONGEST) {
        return Err(format!("state and nonce may have {LONGEST} bytes at most"));
    }
    if values().any(|text| text.contains(char::is_control)) {
        return Err("state and nonce may have no control characters".to_owned());
    }
    Ok(())
}

/// Checks an authorization request.
///
/// # Errors
/// A page where the redirect address is not to be trusted, else an answer to the site.
pub fn authorize(app: &App, params: &Params) -> Result<Authorize, Failure> {
    let id = params.needed("client_id").map_err(Failure::Page)?;
    let site = super::client(app, id).ok_or_else(|| Failure::Page(Code::UnknownSite.into()))?;
    let redirect_uri = params.needed("redirect_uri").map_err(Failure::Page)?.to_owned();
    if !site.allows_redirect(&redirect_uri) {
        let code = Code::RedirectUriNotRegistered;
        return Err(Failure::Page(Error::unregistered(code, &redirect_uri)));
    }
    check_kept(&[params.get("state")]).map_err(|why| Failure::Page(Error::invalid(why)))?;
    let mode = match params.get("response_mode") {
        None | Some("query") => Ok(ResponseMode::Query),
        Some("form_post") => Ok(ResponseMode::FormPost),
        Some(_) => Err(OauthError::invalid("response_mode must be query or form_post")),
    };
    let answer_mode = mode.as_ref().copied().unwrap_or_default();
    let checked = mode.and_then(|mode| check(app, &site, params, redirect_uri.clone(), mode));
    checked
        .map(|(request, prompt, max_age)| {
            let lang = params.text("ui_locales");
            Authorize { site, request, prompt, max_age, lang }
        })
        .map_err(|refused| {
            let answer = Answer::new(app, redirect_uri, answer_mode, params.get("state"));
            let answer = answer.error(refused.error, &refused.description);
            Failure::Refused(refused, answer)
        })
}

fn check(
    app: &App,
    site: &Site,
    params: &Params,
    redirect_uri: String,
    response_mode: ResponseMode,
) -> Result<(Request, Prompt, Option<Duration>), OauthError> {
    if let Some(name) = params.twice.first() {
        return Err(OauthError::invalid(format!("{name} came twice")));
    }
    // Never fetched: what stands there could be anybody's address (threats.md row 48).
    if params.get("request").is_some() {
        let why = "request objects are not supported";
        return Err(OauthError::new("request_not_supported", why));
    }
    if params.get("request_uri").is_some() {
        let why = "request_uri is not supported, but for one that /oauth2/par gave";
        return Err(OauthError::new("request_uri_not_supported", why));
    }
    match params.get("response_type") {
        Some("code") => {}
        Some(_) => {
            return Err(OauthError::new("unsupported_response_type", "response_type must be code"));
        }
        None => return Err(OauthError::invalid("response_type is missing")),
    }
    let scopes = Scopes::parse(params.get("scope").unwrap_or_default());
    if !scopes.has(Scope::Openid) {
        return Err(OauthError::new("invalid_scope", "scope must contain openid"));
    }
    check_kept(&[params.get("nonce")]).map_err(OauthError::invalid)?;
    let (challenge, method) = (params.get("code_challenge"), params.get("code_challenge_method"));
    let code_challenge = grant::check_pkce(site, false, challenge, method)
        .map_err(|error| OauthError::invalid(error.to_string()))?;
    let max_age = match params.get("max_age").map(str::parse) {
        None => None,
        Some(Ok(seconds)) => Some(Duration::from_secs(seconds)),
        Some(Err(_)) => return Err(OauthError::invalid("max_age must be a number of seconds")),
    };
    let prompt = match prompt(params.get("prompt").unwrap_or_default())? {
        // OIDC Core 3.1.2.1: no sign-in is young enough.
        Prompt::Ordinary if max_age == Some(Duration::ZERO) => Prompt::Scan,
        prompt => prompt,
    };
    let expects = match params.get("id_token_hint") {
        None => None,
        Some(hint) => Some(hinted(app, site, hint).ok_or_else(|| {
            OauthError::invalid("id_token_hint is no id_token that was made here for this client")
        })?),
    };
    let request = Request {
        site: site.id.clone(),
        redirect_uri,
        scopes,
        state: params.text("state"),
        nonce: params.text("nonce"),
        code_challenge,
        response_mode,
        expects,
        link: None,
    };
    Ok((request, prompt, max_age))
}

fn prompt(words: &str) -> Result<Prompt, OauthError> {
    let words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
    let scans = ["login", "consent", "select_account"];
    match words.as_slice() {
        ["none"] => Ok(Prompt::None),
        words if words.contains(&"none") => {
            Err(OauthError::invalid("prompt=none goes with no other"))
        }
        words if words.iter().any(|word| scans.contains(word)) => Ok(Prompt::Scan),
        _ => Ok(Prompt::Ordinary),
    }
}

/// Whom an `id_token_hint` names: an id_token that these keys signed for this site, however old (OIDC Core 3.1.2.1).
fn hinted(app: &App, site: &Site, hint: &str) -> Option<String> {
    let claims = super::logout::read_hint(app, hint)?;
    (claims.site == site.id).then_some(claims.sub)
}

/// Whether this browser may skip the scan for what a site asks: a living login there or in its group that a phone approved
/// in this browser, young enough, of the person asked for, and with everything granted that is asked for. What was approved
/// at a site that asks for little opens none that asks for more: there it might have been a raised risk.
pub fn may_skip<'a>(app: &App, authorize: &Authorize, logins: &'a [Login]) -> Option<&'a Login> {
    if authorize.prompt == Prompt::Scan {
        return None;
    }
    let now = app.world.now();
    let request = &authorize.request;
    let asked = &authorize.site;
    let of_group = |login: &&Login| {
        let site = app.sites.get(&login.site);
        site.is_some_and(|site| site.group() == asked.group() && site.risk >= asked.risk)
    };
    let young = |login: &&Login| authorize.max_age.is_none_or(|age| now.since(login.since) <= age);
    let granted = |login: &&Login| request.scopes.within(&login.scopes);
    let expected = |login: &&Login| request.expects.as_ref().is_none_or(|sub| *sub == login.sub);
    logins.iter().find(|login| of_group(login) && young(login) && granted(login) && expected(login))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::read(url::form_urlencoded::parse(query.as_bytes()).into_owned())
    }

    #[test]
    fn a_parameter_that_came_twice_has_no_value_at_all() {
        let twice = params("client_id=a&redirect_uri=x&redirect_uri=y&other=1&other=2");
        let both = params("redirect_uri=x&state=s&redirect_uri=y&state=t");
        assert_eq!((both.get("redirect_uri"), both.get("state")), (None, None));
        assert_eq!((twice.get("client_id"), twice.get("redirect_uri")), (Some("a"), None));
        assert_eq!(twice.twice, ["redirect_uri"]);
    }

    #[test]
    fn a_parameter_without_a_value_was_not_sent() {
        let empty = params("client_id=a&state=&state=s&resource=1&resource=2");
        assert_eq!((empty.get("state"), empty.twice.len()), (Some("s"), 0));
    }

    #[test]
    fn what_a_database_might_refuse_is_refused_before_anybody_scans() {
        for bad in ["\0", "a\nb", "\u{7f}", &"x".repeat(LONGEST + 1)] {
            assert!(check_kept(&[None, Some(bad)]).is_err(), "{bad:?}");
        }
        for good in ["", "a b~", "页面", "\u{1f600}", &"x".repeat(LONGEST)] {
            assert!(check_kept(&[Some(good)]).is_ok(), "{good:?}");
        }
    }
}
