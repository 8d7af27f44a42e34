//! What is wrong on WeChat's side.

use std::time::Duration;

use saoma::{
    config::{CodeInterface, EnvVersion},
    doctor::{Verdict, is_broken, json, text},
    secret::Secret,
};
use wechat::pretend::{Ban, Confirmation, Limit};

use crate::stage::{Patient, nobody};

#[tokio::test]
async fn a_healthy_one_is_told_so_check_by_check_in_order() {
    let patient = Patient::healthy().await;
    let found = patient.findings().await;
    assert!(!is_broken(&found), "{}", text(&found));
    let checks: Vec<_> = found.iter().map(|finding| finding.check).collect();
    assert_eq!(
        checks,
        [
            "settings",
            "wechat",
            "appid",
            "secret",
            "ip_list",
            "token",
            "sign_in",
            "clock",
            "page",
            "account",
            "quota",
            "public_url",
            "tls",
            "request_domain",
            "trusted_proxies",
            "websocket",
            "email_domain",
            "site_secrets",
            "store",
            "store_appid",
            "keys",
            "tickets",
        ]
    );
    let ill: Vec<_> = found
        .iter()
        .filter(|finding| finding.todo.is_some())
        .map(|finding| finding.check)
        .collect();
    assert_eq!(
        ill,
        ["public_url"],
        "that it is reached on this machine alone is worth a warning: {}",
        text(&found)
    );
    let json = json(&found);
    assert_eq!(json["ok"], true);
    assert_eq!(json["findings"][0]["verdict"], "ok");
}

#[tokio::test]
async fn credentials() {
    let mut patient = Patient::healthy().await;
    patient.with(|settings| settings.wechat.appid = "wxffffffffffffffff".to_owned());
    let found = patient.broken("appid").await;
    assert!(found.said.contains("40013") && found.todo.unwrap().zh.contains("开发者 ID"));

    let mut patient = Patient::healthy().await;
    patient.with(|settings| settings.wechat.secret = Secret::from("another".to_owned()));
    let found = patient.broken("secret").await;
    assert!(found.said.contains("40125") && !found.said.contains("another"), "{}", found.said);

    let patient = Patient::healthy().await;
    patient.pretend.account(|account| account.secret_frozen = true);
    assert!(patient.broken("secret").await.said.contains("40243"));
}

#[tokio::test]
async fn an_address_off_the_ip_list_is_named() {
    let patient = Patient::healthy().await;
    patient.pretend.account(|account| account.ip_list = Some(vec!["203.0.113.7".parse().unwrap()]));
    let found = patient.broken("ip_list").await;
    assert!(found.said.contains("sees this machine as 127.0.0.1"), "{}", found.said);
    let todo = found.todo.unwrap();
    assert!(
        todo.en.contains("IP 白名单")
            && todo.en.contains("127.0.0.1")
            && todo.zh.contains("127.0.0.1")
    );
}

#[tokio::test]
async fn a_token_that_somebody_must_confirm_or_refused() {
    let cases = [
        (Confirmation::Waiting, "administrator"),
        (Confirmation::RefusedForAnHour, "60 min"),
        (Confirmation::RefusedForADay, "1440 min"),
    ];
    for (confirmation, what) in cases {
        let patient = Patient::healthy().await;
        patient.pretend.account(|account| account.confirmation = Some(confirmation));
        let found = patient.broken("token").await;
        assert!(found.todo.as_ref().unwrap().en.contains(what), "{found:?}");
    }
}

#[tokio::test]
async fn an_account_that_may_not() {
    for ban in [Ban::Limited, Ban::NoTokens, Ban::Frozen] {
        let patient = Patient::healthy().await;
        patient.pretend.account(|account| account.banned = Some(ban));
        assert!(patient.broken("account").await.todo.unwrap().zh.contains("通知中心"));
    }
    let patient = Patient::healthy().await;
    patient.pretend.account(|account| account.unauthorized = true);
    let found = patient.findings().await;
    let ill: Vec<_> = found.iter().filter(|finding| finding.verdict == Verdict::Broken).collect();
    assert!(
        !ill.is_empty() && ill.iter().all(|finding| finding.check == "account"),
        "{}",
        text(&found)
    );
}

#[tokio::test]
async fn a_page_that_is_not_published() {
    let patient = Patient::healthy().await;
    patient.pretend.publish(["pages/home/home"]);
    let found = patient.broken("page").await;
    assert!(found.said.contains("41030"));
    assert!(found.todo.unwrap().en.contains("passing review is not yet publishing"));

    let unchecked = Patient::healthy_with(&[("SAOMA_WECHAT__CHECK_PATH", "false")]).await;
    unchecked.pretend.publish(["pages/home/home"]);
    assert!(
        unchecked.warned("page").await.said.contains("41030"),
        "codes are made, and open nothing yet"
    );

    let mut published = Patient::healthy().await;
    published.with(|settings| settings.wechat.check_path = false);
    assert!(published.warned("page").await.todo.unwrap().en.contains("check_path = true"));

    let mut trial = Patient::healthy().await;
    trial.with(|settings| {
        settings.wechat.env_version = EnvVersion::Trial;
        settings.wechat.check_path = false;
    });
    assert!(trial.warned("page").await.said.contains("members"));
    // A site of the console's may ask for it after `code` was changed.
    trial.with(|settings| settings.wechat.code = CodeInterface::C);
    assert!(trial.broken("page").await.said.contains("opens the published one alone"));

    let mut misspelt = Patient::healthy().await;
    misspelt.with(|settings| settings.wechat.page = "/pages/login/login".to_owned());
    assert!(misspelt.broken("page").await.todo.unwrap().en.contains("pages/login/login"));
}

#[tokio::test]
async fn quotas() {
    let patient = Patient::healthy().await;
    let used = patient.pretend.count("/wxa/getwxacodeunlimit");
    let day = u32::try_from(used + 1).unwrap();
    patient.pretend.limit("/wxa/getwxacodeunlimit", Limit { minute: None, day: Some(day) });
    let found = patient.findings().await;
    let quota = found.iter().find(|finding| finding.check == "quota").unwrap();
    assert_eq!(quota.verdict, Verdict::Broken, "{}", text(&found));

    let mut few = Patient::healthy().await;
    few.pretend.codes_used(60_000);
    few.with(|settings| {
        settings.wechat.code = CodeInterface::A;
        settings.wechat.pool = 0;
    });
    let found = few.warned("quota").await;
    assert!(found.said.contains("of 100,000") && found.todo.unwrap().en.contains("unlimited"));
}

#[tokio::test]
async fn a_wrong_clock_is_measured_against_wechats() {
    let patient = Patient::healthy().await;
    patient.pretend.advance(Duration::from_secs(90));
    let found = patient.broken("clock").await;
    assert!(found.said.contains("s behind WeChat's"), "{}", found.said);
    assert!(found.todo.unwrap().en.contains("timedatectl"));
}

#[tokio::test]
async fn nobody_where_wechat_should_be() {
    let mut patient = Patient::healthy().await;
    let nobody = nobody().await;
    patient.with(|settings| settings.wechat.base_url = format!("http://{nobody}"));
    let found = patient.broken("wechat").await;
    assert!(found.todo.unwrap().en.contains("outgoing firewall"));
}

#[tokio::test]
async fn the_running_servers_plain_token_is_left_alone() {
    let mut patient = Patient::healthy().await;
    patient.with(|settings| settings.wechat.token = saoma::config::TokenEndpoint::Plain);
    patient.findings().await;
    assert_eq!(patient.pretend.count("/cgi-bin/token"), 0);
}
