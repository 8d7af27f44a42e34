//! WeChat's paths, the order in which it checks, and the edge between HTTP and the rest.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::calls::{Call, masked};
use super::clock::Moment;
use super::codes::{Order, Target};
use super::reply::{Answer, No, Painted, Yes, answer, no, ok, rid};
use super::trouble::Trouble;
use super::{Pretend, World, control, picture, safety};

/// WeChat itself takes some 1 MiB; nothing here needs more.
const LARGEST_BODY: usize = 1 << 20;

/// Every path of WeChat's that is answered.
const PATHS: [&str; 14] = [
    "/cgi-bin/token",
    "/cgi-bin/stable_token",
    "/wxa/getwxacode",
    "/wxa/getwxacodeunlimit",
    "/cgi-bin/wxaapp/createwxaqrcode",
    "/sns/jscode2session",
    "/wxa/checksession",
    "/wxa/resetusersessionkey",
    "/wxa/msg_sec_check",
    "/cgi-bin/clear_quota",
    "/cgi-bin/clear_quota/v2",
    "/cgi-bin/openapi/quota/get",
    "/cgi-bin/openapi/quota/clear",
    "/cgi-bin/openapi/rid/get",
];

pub(super) fn router(pretend: Pretend) -> Router {
    let wechat = PATHS
        .iter()
        .fold(Router::new(), |router, path| router.route(path, axum::routing::any(serve)));
    wechat.merge(control::router()).fallback(unknown).with_state(pretend)
}

async fn unknown() -> Response {
    let text = "The pretend WeChat does not know this path. GET /pretend/ lists what it knows.\n";
    (StatusCode::NOT_FOUND, text).into_response()
}

/// One call, as it came in.
struct Incoming {
    method: Method,
    path: String,
    query: Map<String, Value>,
    body: Bytes,
    from: IpAddr,
}

/// What an endpoint decided under the lock. Painting takes long and happens after.
enum Decision {
    Done(Result<Yes, No>),
    Paint(Box<Order>, Option<usize>),
}

async fn serve(State(pretend): State<Pretend>, request: Request) -> Response {
    let Some(incoming) = read(request).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let (trouble, rid) = note(&pretend, &incoming);
    if let Some(trouble) = trouble.as_ref().filter(|trouble| trouble.delay_ms > 0) {
        tokio::time::sleep(Duration::from_millis(trouble.delay_ms)).await;
    }
    let mut warnings = Vec::new();
    let spoilt = trouble.as_ref().and_then(|trouble| spoil(trouble, &incoming.path, &rid));
    let answer = match spoilt {
        Some(answer) => answer,
        None => {
            let outcome = match decide(&pretend, &incoming, &mut warnings) {
                Decision::Done(outcome) => outcome,
                Decision::Paint(order, num_used) => painted(*order, num_used).await,
            };
            answer(&incoming.path, outcome, &rid)
        }
    };
    pretend.world().calls.answered(&rid, answer.status, answer.errcode, warnings);
    send(answer, trouble.is_some_and(|trouble| trouble.cut))
}

/// Writes the call down as it comes in, and says what trouble awaits it.
fn note(pretend: &Pretend, incoming: &Incoming) -> (Option<Trouble>, String) {
    let now = pretend.0.clock.now();
    let mut world = pretend.world();
    let rid = rid(now, &mut world.dice);
    let trouble = world.troubles.next(&incoming.path);
    world.calls.add(Call {
        at: now.as_secs(),
        method: incoming.method.to_string(),
        path: incoming.path.clone(),
        query: masked(Value::Object(incoming.query.clone())),
        body: serde_json::from_slice(&incoming.body).map_or(Value::Null, masked),
        status: 0,
        errcode: 0,
        rid: rid.clone(),
        trouble: trouble.is_some(),
        warnings: Vec::new(),
    });
    (trouble, rid)
}

async fn read(request: Request) -> Option<Incoming> {
    let from = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |info| info.0.ip());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    let query = pairs.map(|pairs| pairs.0).unwrap_or_default();
    let query = query.into_iter().map(|(name, value)| (name, value.into())).collect();
    let body = axum::body::to_bytes(request.into_body(), LARGEST_BODY).await.ok()?;
    Some(Incoming { method, path, query, body, from })
}

/// What ordered trouble answers in place of WeChat; `None` if the call takes its course.
fn spoil(trouble: &Trouble, path: &str, rid: &str) -> Option<Answer> {
    if let Some(errcode) = trouble.errcode {
        let text = trouble.errmsg.as_deref().unwrap_or(match errcode {
            -1 => "system error",
            45009 => super::quotas::DAY_TEXT,
            45011 => super::quotas::MINUTE_TEXT,
            _ => "trouble on order",
        });
        return Some(answer(path, Err(no(errcode, text)), rid));
    }
    if trouble.status.is_none() && trouble.body.is_none() {
        return None;
    }
    Some(Answer {
        status: trouble.status.unwrap_or(200),
        headers: vec![("content-type", "text/html".to_owned())],
        body: trouble.body.clone().unwrap_or_default().into(),
        errcode: 0,
    })
}

fn decide(pretend: &Pretend, incoming: &Incoming, warnings: &mut Vec<String>) -> Decision {
    let now = pretend.0.clock.now();
    let world = &mut *pretend.world();
    let outcome = match incoming.path.as_str() {
        "/cgi-bin/token" => plain_token(pretend, world, incoming, now),
        "/cgi-bin/stable_token" => stable_token(pretend, world, incoming, now),
        "/sns/jscode2session" => code2session(pretend, world, incoming, now),
        "/cgi-bin/clear_quota/v2" => clear_by_secret(pretend, world, incoming, now),
        "/wxa/getwxacode" | "/wxa/getwxacodeunlimit" | "/cgi-bin/wxaapp/createwxaqrcode" => {
            match code(pretend, world, incoming, now, warnings) {
                Ok((order, num_used)) => return Decision::Paint(Box::new(order), num_used),
                Err(no) => Err(no),
            }
        }
        _ => with_token(pretend, world, incoming, now),
    };
    Decision::Done(outcome)
}

impl Incoming {
    fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name)?.as_str().filter(|value| !value.is_empty())
    }

    fn post(&self) -> Result<(), No> {
        if self.method == Method::POST { Ok(()) } else { Err(no(43002, "require POST method")) }
    }

    /// The body as a JSON object; forms and the like are refused.
    fn json(&self) -> Result<Map<String, Value>, No> {
        self.post()?;
        if self.body.is_empty() {
            return Err(no(44002, "empty post data"));
        }
        serde_json::from_slice(&self.body).map_err(|_| no(47001, "data format error"))
    }
}

/// What is wrong with the credentials, in WeChat's order: the appid first of all.
fn check_credentials(
    pretend: &Pretend,
    world: &World,
    from: IpAddr,
    appid: Option<&str>,
    secret: Option<&str>,
    before_secret: impl FnOnce() -> Result<(), No>,
) -> Result<(), No> {
    let appid = appid.ok_or_else(|| no(41002, "appid missing"))?;
    if appid != pretend.0.appid {
        return Err(no(40013, "invalid appid"));
    }
    before_secret()?;
    let secret = secret.ok_or_else(|| no(41004, "appsecret missing"))?;
    world.account.check_address(from)?;
    if secret != pretend.0.secret {
        return Err(no(40125, "invalid appsecret"));
    }
    Ok(())
}

fn grant_type(wanted: &str, given: Option<&str>) -> Result<(), No> {
    if given == Some(wanted) { Ok(()) } else { Err(no(40002, "invalid grant_type")) }
}

fn plain_token(
    pretend: &Pretend,
    world: &mut World,
    incoming: &Incoming,
    now: Moment,
) -> Result<Yes, No> {
    let (appid, secret) = (incoming.query("appid"), incoming.query("secret"));
    check_credentials(pretend, world, incoming.from, appid, secret, || {
        grant_type("client_credential", incoming.query("grant_type"))
    })?;
    world.account.check_token_taking()?;
    world.quotas.spend(&incoming.path, now)?;
    Ok(world.tokens.plain(now, &mut world.dice))
}

fn stable_token(
    pretend: &Pretend,
    world: &mut World,
    incoming: &Incoming,
    now: Moment,
) -> Result<Yes, No> {
    let body = incoming.json()?;
    let text = |name: &str| match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => Err(no(47001, "data format error")),
    };
    let given = text("grant_type")?;
    check_credentials(pretend, world, incoming.from, text("appid")?, text("secret")?, || {
        grant_type("client_credential", given)
    })?;
    let force = match body.get("force_refresh") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(force)) => *force,
        Some(_) => return Err(no(47001, "data format error")),
    };
    world.account.check_token_taking()?;
    world.quotas.spend(&incoming.path, now)?;
    world.tokens.stable(force, now, &mut world.dice)
}

/// It reads the query alone, so that a POST with everything in its body gets 41002. That a wrong
/// `grant_type` is refused here as at the token, after the appid, is assumed.
fn code2session(
    pretend: &Pretend,
    world: &mut World,
    incoming: &Incoming,
    now: Moment,
) -> Result<Yes, No> {
    let (appid, secret) = (incoming.query("appid"), incoming.query("secret"));
    check_credentials(pretend, world, incoming.from, appid, secret, || {
        grant_type("authorization_code", incoming.query("grant_type"))
    })?;
    let js_code = incoming.query("js_code").ok_or_else(|| no(41008, "missing code"))?;
    world.quotas.spend(&incoming.path, now)?;
    world.people.exchange(&pretend.0.appid, js_code, now, &mut world.dice)
}

fn clear_by_secret(
    pretend: &Pretend,
    world: &mut World,
    incoming: &Incoming,
    now: Moment,
) -> Result<Yes, No> {
    let body = incoming.json()?;
    let text = |name| body.get(name).and_then(Value::as_str);
    let secret = text("appsecret");
    check_credentials(pretend, world, incoming.from, text("appid"), secret, || Ok(()))?;
    world.quotas.clear(None, now).map(|()| ok())
}

fn check_token(world: &World, incoming: &Incoming, now: Moment) -> Result<(), No> {
    // The token counts in the query alone.
    let token = incoming.query("access_token").ok_or_else(|| no(41001, "access_token missing"))?;
    world.tokens.judge(token, now, world.account.strict_token_form)?;
    world.account.check_token_use()
}

fn code(
    pretend: &Pretend,
    world: &mut World,
    incoming: &Incoming,
    now: Moment,
    warnings: &mut Vec<String>,
) -> Result<(Order, Option<usize>), No> {
    check_token(world, incoming, now)?;
    let body = incoming.json()?;
    world.quotas.spend(&incoming.path, now)?;
    let phone_url = pretend.0.phone_url.as_deref();
    let target = Target { appid: &pretend.0.appid, phone_url };
    let mut order = match incoming.path.as_str() {
        "/wxa/getwxacodeunlimit" => world.codes.unlimited(&body, &target)?,
        "/wxa/getwxacode" => world.codes.round(&body, &target)?,
        _ => world.codes.square(&body, &target)?,
    };
    warnings.append(&mut order.warnings);
    let num_used = world.codes.count(&order)?;
    Ok((order, num_used))
}

async fn painted(order: Order, num_used: Option<usize>) -> Result<Yes, No> {
    let Order { drawn, look, file_name, .. } = order;
    let picture = tokio::task::spawn_blocking(move || picture::paint(&drawn.text, &look)).await;
    let (bytes, content_type) = picture.ok().flatten().ok_or_else(|| no(-1, "system error"))?;
    Ok(Yes::Picture(Painted { bytes, content_type, file_name, num_used }))
}

/// Everything else that wants a token.
fn with_token(
    pretend: &Pretend,
    world: &mut World,
    incoming: &Incoming,
    now: Moment,
) -> Result<Yes, No> {
    check_token(world, incoming, now)?;
    let path = incoming.path.as_str();
    if matches!(path, "/wxa/checksession" | "/wxa/resetusersessionkey") {
        world.quotas.spend(path, now)?;
        let given = |name| incoming.query(name).unwrap_or_default();
        let openid = given("openid");
        world.people.check(openid, given("signature"), given("sig_method"))?;
        return Ok(if path == "/wxa/checksession" {
            ok()
        } else {
            world.people.reset(openid, &mut world.dice)
        });
    }
    let body = incoming.json()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    match path {
        "/wxa/msg_sec_check" => {
            world.quotas.spend(path, now)?;
            let trace = world.dice.u64(..);
            safety::check(&body, &world.people, now, trace)
        }
        "/cgi-bin/clear_quota" if text("appid") != pretend.0.appid => {
            Err(no(40013, "invalid appid"))
        }
        "/cgi-bin/clear_quota" => world.quotas.clear(None, now).map(|()| ok()),
        "/cgi-bin/openapi/quota/clear" => {
            known(text("cgi_path"))?;
            world.quotas.clear(Some(text("cgi_path")), now).map(|()| ok())
        }
        "/cgi-bin/openapi/quota/get" => {
            known(text("cgi_path"))?;
            let (limit, used) = world.quotas.today(text("cgi_path"), now);
            let quota = json!({
                "daily_limit": limit, "used": used, "remain": limit.saturating_sub(used),
            });
            Ok(Yes::Json(json!({"errcode": 0, "errmsg": "ok", "quota": quota})))
        }
        _ => remembered(world, text("rid"), incoming.from),
    }
}

/// WeChat tells of no quota below `/sns`.
fn known(cgi_path: &str) -> Result<(), No> {
    if cgi_path.starts_with("/sns/") {
        Err(no(76022, "could not use this cgi_path, no permission"))
    } else if PATHS.contains(&cgi_path) {
        Ok(())
    } else {
        Err(no(76021, "cgi_path not found, please check"))
    }
}

fn remembered(world: &World, rid: &str, from: IpAddr) -> Result<Yes, No> {
    if rid.is_empty() {
        return Err(no(76002, "rid is invalid"));
    }
    let call = world.calls.by_rid(rid).ok_or_else(|| no(76001, "rid not found"))?;
    let request = json!({
        "invoke_time": call.at, "cost_in_ms": 1, "request_url": format!("{} {}", call.path, call.query),
        "request_body": call.body.to_string(), "response_body": json!({"errcode": call.errcode}).to_string(),
        "client_ip": from.to_string(),
    });
    Ok(Yes::Json(json!({"errcode": 0, "errmsg": "ok", "request": request})))
}

fn send(answer: Answer, cut: bool) -> Response {
    let Answer { status, headers, body, .. } = answer;
    let length = body.len();
    let body = if cut { torn(body) } else { Body::from(body) };
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name_of(name), value);
        }
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn name_of(name: &str) -> header::HeaderName {
    header::HeaderName::try_from(name).unwrap_or(header::WARNING)
}

/// Half of the body, and then the connection is gone.
fn torn(body: Bytes) -> Body {
    let half = body.slice(..body.len() / 2);
    let gone = std::io::Error::other("cut on order");
    Body::from_stream(futures_util::stream::iter([Ok(half), Err(gone)]))
}
