//! What is wrong between a phone and the server: names, proxies, other servers.

use axum::{Json, Router, routing::get};
use saoma::doctor::{Verdict, text};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::stage::{Patient, nobody, serves};

#[tokio::test]
async fn a_name_that_leads_nowhere_and_a_bare_address() {
    let mut patient = Patient::healthy().await;
    patient.with(|settings| settings.public_url = "https://login.invalid".to_owned());
    let found = patient.broken("public_url").await;
    assert!(
        found.said.contains("login.invalid leads nowhere")
            && found.todo.unwrap().en.contains("A (and AAAA) record")
    );

    patient.with(|settings| settings.public_url = "https://203.0.113.7".to_owned());
    assert!(patient.broken("public_url").await.said.contains("bare address"));
}

#[tokio::test]
async fn nobody_something_else_and_another_saoma() {
    let mut patient = Patient::healthy().await;
    let nobody = nobody().await;
    patient.with(|settings| settings.public_url = format!("http://{nobody}"));
    assert!(patient.broken("public_url").await.said.contains("nobody answers"));

    let blog = serves(Router::new().route("/", get(async || "a blog"))).await;
    patient.with(|settings| settings.public_url = blog);
    let found = patient.broken("public_url").await;
    assert!(found.said.contains("something else answers (HTTP 404)"), "{}", found.said);

    let issuer = Json(json!({ "issuer": "https://other.example" }));
    let other = Router::new().route("/.well-known/openid-configuration", get(async || issuer));
    let other = serves(other).await;
    patient.with(|settings| settings.public_url = other);
    let found = patient.broken("public_url").await;
    assert!(found.said.contains("another saoma answers: https://other.example"), "{}", found.said);
}

#[tokio::test]
async fn a_proxy_that_knows_no_websockets() {
    let patient = proxied(Manner::StripsUpgrades).await;
    let found = patient.broken("websocket").await;
    assert!(found.said.contains("the upgrade does not get through"), "{}", found.said);
    assert!(found.todo.unwrap().en.contains("proxy_set_header Upgrade"));
}

#[tokio::test]
async fn a_proxy_that_cuts_who_is_silent() {
    let mut patient = proxied(Manner::CutsSilence).await;
    // Held until the proxy cuts it, however long that takes.
    patient.hold = Some(std::time::Duration::from_secs(3600));
    let found = patient.broken("websocket").await;
    assert!(found.said.contains("is cut after"), "{}", found.said);
    assert!(found.todo.unwrap().en.contains("proxy_read_timeout"));
}

#[tokio::test]
async fn a_code_that_expires_soon_is_no_fault_of_a_proxy() {
    let mut patient = proxied(Manner::Passes).await;
    patient.hold = Some(std::time::Duration::from_secs(3600));
    patient.with(|settings| settings.ticket.life = std::time::Duration::from_millis(5050));
    let found = patient.findings().await;
    let socket = found.iter().find(|finding| finding.check == "websocket").unwrap();
    assert_eq!(socket.verdict, Verdict::Ok, "{}", text(&found));
}

#[tokio::test]
async fn a_proxy_as_it_should_be() {
    let patient = proxied(Manner::Passes).await;
    let found = patient.findings().await;
    let socket = found.iter().find(|finding| finding.check == "websocket").unwrap();
    assert_eq!(socket.verdict, Verdict::Ok, "{}", text(&found));
}

#[tokio::test]
async fn a_server_without_codes_to_show() {
    let mut patient = Patient::healthy().await;
    patient.pretend.publish(["pages/home/home"]);
    patient.with(|settings| settings.wechat.check_path = false);
    // The one code in the pool, if it came in time.
    while patient
        .app
        .codes
        .take(saoma::config::EnvVersion::Release, &patient.app.world)
        .await
        .is_ok()
    {}
    let found = patient.broken("websocket").await;
    assert!(found.said.contains("no page with a code"), "{}", found.said);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Passes,
    StripsUpgrades,
    CutsSilence,
}

/// A saoma behind a proxy of this manner.
async fn proxied(manner: Manner) -> Patient {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let behind = listener.local_addr().unwrap();
    let public_url = format!("http://{}", proxy.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (client, _) = proxy.accept().await.unwrap();
            let server = TcpStream::connect(behind).await.unwrap();
            tokio::spawn(relay(client, server, manner));
        }
    });
    Patient::behind(&public_url, listener, &[]).await
}

async fn relay(client: TcpStream, server: TcpStream, manner: Manner) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    tokio::spawn(async move {
        let mut bytes = [0; 16 * 1024];
        while let Ok(len @ 1..) = from_client.read(&mut bytes).await {
            let mut sent = bytes.get(..len).unwrap().to_vec();
            if manner == Manner::StripsUpgrades {
                let text = String::from_utf8_lossy(&sent).into_owned();
                let lines = text
                    .split("\r\n")
                    .filter(|line| !line.to_ascii_lowercase().starts_with("upgrade:"));
                sent = lines.collect::<Vec<_>>().join("\r\n").into_bytes();
            }
            if to_server.write_all(&sent).await.is_err() {
                return;
            }
        }
    });
    let mut bytes = [0; 16 * 1024];
    while let Ok(len @ 1..) = from_server.read(&mut bytes).await {
        let sent = bytes.get(..len).unwrap();
        if to_client.write_all(sent).await.is_err() {
            return;
        }
        // After the first state a page's socket is silent.
        if manner == Manner::CutsSilence
            && String::from_utf8_lossy(sent).contains("\"state\":\"waiting\"")
        {
            return;
        }
    }
}
