//! wechat-mp-sdk as its users use it, against the pretend WeChat.

use std::env;
use std::path::Path;

use serde_json::{Value, json};
use wechat_mp_sdk::api::qrcode::{QrcodeOptions, UnlimitQrcodeOptions};
use wechat_mp_sdk::types::{AppId, AppSecret};
use wechat_mp_sdk::{WechatError, WechatMp};

async fn control(url: &str, name: &str, body: Value) -> Value {
    let answer = reqwest::Client::new().post(format!("{url}/pretend/{name}")).json(&body);
    let answer = answer.send().await.unwrap().error_for_status().unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default()
}

fn errcode(error: WechatError) -> i32 {
    match error {
        WechatError::Api { code, .. } => code,
        other => panic!("{other}"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = env::var("WECHAT_URL").unwrap();
    let wechat = WechatMp::builder()
        .appid(AppId::new(env::var("WECHAT_APPID").unwrap()).unwrap())
        .secret(AppSecret::new(env::var("WECHAT_SECRET").unwrap()).unwrap())
        .base_url(&url)
        .build()
        .unwrap();

    // Somebody signs in, once.
    let js_code = control(&url, "js_code", json!({"person": "alice"})).await;
    let js_code = js_code["js_code"].as_str().unwrap();
    let session = wechat.auth_login(js_code).await.unwrap();
    let openid = serde_json::to_value(&session).unwrap()["openid"].as_str().unwrap().to_owned();
    assert_eq!(openid.len(), 28);
    assert_eq!(errcode(wechat.auth_login(js_code).await.unwrap_err()), 40163);

    // Codes of all three kinds are pictures.
    let path = "pages/login/login?scene=mp-sdk";
    let mut round = QrcodeOptions::new();
    round.path = Some(path.to_owned());
    let mut unlimited = UnlimitQrcodeOptions::new("mp-sdk");
    unlimited.page = Some("pages/login/login".to_owned());
    let pictures = [
        ("a", wechat.get_wxa_code(round).await.unwrap()),
        ("b", wechat.get_wxa_code_unlimit(unlimited.clone()).await.unwrap()),
        ("c", wechat.create_qrcode(path, Some(430)).await.unwrap()),
    ];
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../target/sdk");
    for (kind, picture) in pictures {
        assert_eq!(picture[..2], [0xff, 0xd8]);
        std::fs::write(target.join(format!("mp-sdk-{kind}.jpg")), picture).unwrap();
    }

    // A page that is not published is refused, and a dead token is replaced.
    let mut nowhere = UnlimitQrcodeOptions::new("mp-sdk");
    nowhere.page = Some("pages/nowhere".to_owned());
    assert_eq!(errcode(wechat.get_wxa_code_unlimit(nowhere).await.unwrap_err()), 41030);
    control(&url, "forget_tokens", json!({})).await;
    wechat.invalidate_token().await;
    wechat.get_wxa_code_unlimit(unlimited).await.unwrap();

    // What else it knows of.
    let verdict = wechat.msg_sec_check(&openid, 1, "hello").await.unwrap();
    assert_eq!(verdict.result.suggest, "pass");
    let quota = wechat.get_api_quota("/wxa/getwxacodeunlimit").await.unwrap().quota;
    assert!(quota.used >= 2 && quota.remain == quota.daily_limit - quota.used);
    assert_eq!(errcode(wechat.get_api_quota("/sns/jscode2session").await.unwrap_err()), 76022);
    wechat.clear_quota().await.unwrap();
    wechat.clear_quota_by_app_secret().await.unwrap();
    wechat.clear_api_quota("/wxa/getwxacode").await.unwrap();
    assert!(wechat.get_stable_access_token(false).await.unwrap().expires_in >= 300);
    println!("ok");
}
