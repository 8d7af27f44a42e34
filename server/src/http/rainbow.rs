//! The rainbow protocol's one address, and the page that it sends browsers to.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{RawQuery, State, rejection::BytesRejection},
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{
    caller::{Caller, Piece},
    pages,
    reply::error_page,
};
use crate::{
    app::SharedApp,
    oidc::rainbow::{self, Refused, Sent},
    secret::Secret,
};

/// Every answer is 200 and JSON; `code` says whether it went well.
pub(super) async fn connect(
    State(app): State<SharedApp>,
    caller: Caller,
    RawQuery(query): RawQuery,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let answered = async {
        let body = body.map_err(|refused| Refused::Wrong(refused.body_text()))?;
        let mut params = read(query.unwrap_or_default().as_bytes(), &body)?;
        let mut take = |name: &str| params.remove(name).filter(|value| !value.is_empty());
        let act = take("act");
        let sent = Sent {
            appid: take("appid").unwrap_or_default(),
            appkey: take("appkey").map(Secret::from),
            kind: take("type").unwrap_or_default(),
            redirect_uri: take("redirect_uri").unwrap_or_default(),
            state: take("state"),
            code: take("code").map(Secret::from),
        };
        match act.as_deref() {
            Some("login") => {
                let url = rainbow::login(&app, sent).await?;
                Ok(json!({ "code": 0, "msg": "succ", "type": "wx", "url": url }))
            }
            Some("callback") => rainbow::callback(&app, sent).await,
            _ => {
                Err(Refused::wrong("act 只能是 login 或 callback", "act must be login or callback"))
            }
        }
    };
    let answer = answered.await.unwrap_or_else(|refused| {
        if matches!(refused, Refused::Key) {
            app.limits.guessed_wrong(caller.address, app.world.now());
        }
        said(refused)
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}

fn said(refused: Refused) -> Value {
    let (code, msg) = match refused {
        Refused::Key => (
            -1,
            "appid 不存在、appkey 不对，或者这个站点没有开启彩虹聚合登录 / unknown appid, wrong appkey, or the bridge is off for this site"
                .to_owned(),
        ),
        Refused::NotYet => (2, "还没有人登录 / nobody has signed in yet".to_owned()),
        Refused::Wrong(msg) => (-1, msg),
    };
    json!({ "code": code, "msg": msg })
}

/// Query and form together; what comes twice in two ways is neither.
fn read(query: &[u8], form: &[u8]) -> Result<BTreeMap<String, String>, Refused> {
    let mut params: BTreeMap<String, String> = BTreeMap::new();
    let pairs = form_urlencoded::parse(query).chain(form_urlencoded::parse(form));
    for (name, value) in pairs.map(|(name, value)| (name.into_owned(), value.into_owned())) {
        if params.get(&name).is_some_and(|first| *first != value) {
            return Err(Refused::wrong(
                format!("{name} 出现了两次，而且不一样"),
                format!("{name} came twice"),
            ));
        }
        params.insert(name, value);
    }
    Ok(params)
}

/// The page with the code, for the browser that a site sent.
pub(super) async fn page(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(name): Piece,
) -> Response {
    let shown = async {
        let authorize = rainbow::begun(&app, &Secret::from(name)).await?;
        pages::show_code(&app, &caller, authorize).await
    };
    match shown.await {
        Ok(response) => response,
        Err(error) => error_page(caller.lang, &error),
    }
}
