//! The pretend WeChat's own controls, below `/pretend/`.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Pretend;
use super::account::{Ban, Confirmation};
use super::people;
use super::phone::{Closed, How};
use super::quotas::Limit;
use super::trouble::Trouble;

const HELP: &str = include_str!("help.txt");

/// A JSON body, whatever its Content-Type says: `curl -d` says it is a form.
struct Said<T>(T);

impl<T: DeserializeOwned> FromRequest<Pretend> for Said<T> {
    type Rejection = Response;
    async fn from_request(request: Request, state: &Pretend) -> Result<Self, Response> {
        let body =
            Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        serde_json::from_slice(&body).map(Said).map_err(|error| {
            (StatusCode::BAD_REQUEST, format!("{error}\nGET /pretend/ says what is understood.\n"))
                .into_response()
        })
    }
}

pub(super) fn router() -> Router<Pretend> {
    Router::new()
        .route("/pretend/", get(async || HELP))
        .route("/pretend/js_code", post(js_code))
        .route("/pretend/open", post(open))
        .route("/pretend/trouble", post(trouble).delete(calm))
        .route("/pretend/forget_tokens", post(forget_tokens))
        .route("/pretend/publish", post(publish))
        .route("/pretend/clock", post(clock))
        .route("/pretend/account", post(account))
        .route("/pretend/limit", post(limit))
        .route("/pretend/calls", get(calls))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum UnionId {
    /// The person's own, always the same.
    Own(bool),
    Named(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsCode {
    person: String,
    unionid: Option<UnionId>,
}

impl JsCode {
    fn draw(&self, pretend: &Pretend) -> String {
        let own = || people::unionid(&self.person);
        let unionid = match &self.unionid {
            None | Some(UnionId::Own(false)) => None,
            Some(UnionId::Own(true)) => Some(own()),
            Some(UnionId::Named(name)) => Some(name.clone()),
        };
        pretend.js_code(&self.person, unionid.as_deref())
    }
}

async fn js_code(State(pretend): State<Pretend>, Said(wanted): Said<JsCode>) -> Json<Value> {
    Json(json!({"js_code": wanted.draw(&pretend)}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    text: String,
    how: How,
    /// Whose phone it is; somebody's who is no member, where it is left out.
    #[serde(default)]
    person: String,
}

async fn open(State(pretend): State<Pretend>, Said(wanted): Said<Open>) -> Response {
    match pretend.phone(&wanted.person).open(&wanted.text, wanted.how) {
        Ok(arrival) => Json(arrival).into_response(),
        Err(closed) => {
            let status = match closed {
                Closed::NoSuchCode => StatusCode::NOT_FOUND,
                Closed::NotPublished | Closed::NotAMember => StatusCode::FORBIDDEN,
            };
            (status, Json(json!({ "closed": closed }))).into_response()
        }
    }
}

async fn trouble(State(pretend): State<Pretend>, Said(trouble): Said<Trouble>) -> StatusCode {
    pretend.trouble(trouble);
    StatusCode::NO_CONTENT
}

async fn calm(State(pretend): State<Pretend>) -> StatusCode {
    pretend.calm();
    StatusCode::NO_CONTENT
}

async fn forget_tokens(State(pretend): State<Pretend>) -> StatusCode {
    pretend.forget_tokens();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publish {
    pages: Vec<String>,
}

async fn publish(State(pretend): State<Pretend>, Said(wanted): Said<Publish>) -> StatusCode {
    pretend.publish(wanted.pages);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clock {
    advance_s: u64,
}

async fn clock(State(pretend): State<Pretend>, Said(wanted): Said<Clock>) -> StatusCode {
    pretend.advance(Duration::from_secs(wanted.advance_s));
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitOf {
    path: String,
    minute: Option<u32>,
    day: Option<u32>,
}

async fn limit(State(pretend): State<Pretend>, Said(wanted): Said<LimitOf>) -> StatusCode {
    let LimitOf { path, minute, day } = wanted;
    pretend.limit(&path, Limit { minute, day });
    StatusCode::NO_CONTENT
}

/// The whole state of the account: what is left out is without fault again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct AccountIs {
    ip_list: Option<Vec<IpAddr>>,
    secret_frozen: bool,
    confirmation: Option<i64>,
    banned: Option<i64>,
    unauthorized: bool,
    strict_token_form: bool,
    members: Option<Vec<String>>,
    risky_persons: Vec<String>,
    codes_used: usize,
}

async fn account(State(pretend): State<Pretend>, Said(wanted): Said<AccountIs>) -> Response {
    let confirmation = match wanted.confirmation {
        None => None,
        Some(89503) => Some(Confirmation::Waiting),
        Some(89506) => Some(Confirmation::RefusedForADay),
        Some(89507) => Some(Confirmation::RefusedForAnHour),
        Some(_) => return unprocessable("confirmation is 89503, 89506 or 89507\n"),
    };
    let banned = match wanted.banned {
        None => None,
        Some(50002) => Some(Ban::Limited),
        Some(50004) => Some(Ban::NoTokens),
        Some(50007) => Some(Ban::Frozen),
        Some(_) => return unprocessable("banned is 50002, 50004 or 50007\n"),
    };
    pretend.account(|account| {
        account.ip_list = wanted.ip_list;
        account.secret_frozen = wanted.secret_frozen;
        account.confirmation = confirmation;
        account.banned = banned;
        account.unauthorized = wanted.unauthorized;
        account.strict_token_form = wanted.strict_token_form;
        account.members = wanted.members;
    });
    pretend.risky_persons(wanted.risky_persons);
    pretend.codes_used(wanted.codes_used);
    StatusCode::NO_CONTENT.into_response()
}

fn unprocessable(text: &'static str) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, text).into_response()
}

async fn calls(State(pretend): State<Pretend>) -> Json<Value> {
    Json(json!({"calls": pretend.calls()}))
}
