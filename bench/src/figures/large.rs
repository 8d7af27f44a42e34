//! What takes room: pictures, the page, the binary, a server that does nothing.

use std::{fs, process::Stdio};

use serde_json::{Value, json};
use tokio::process::Command;

use super::{Bench, pause};
use crate::{
    Result,
    actors::{Hands, SITE, address},
    measure::{number, round as digits},
    scrape::gauge,
    server::{Kind, binary},
    wire::{Http, Request},
};

/// How many codes are drawn by the pretend WeChat, whose pictures are as large as WeChat's own.
const CODES: u32 = 100;

/// How many of them lie ready.
const READY: &str = "saoma_codes_ready{version=\"release\"}";

/// What a picture weighs as it comes and re-encoded, and what that costs.
pub(super) async fn picture(bench: &Bench) -> Result<Value> {
    let codes = bench.size.count(CODES);
    let mut kinds = serde_json::Map::new();
    for (name, picture) in [("as_is", "as-is"), ("small", "small")] {
        let mut setup = bench.setup(Kind::Saoma);
        setup.wechat = "http://127.0.0.1:17100".to_owned();
        setup.picture = picture;
        setup.pool = codes;
        let server = bench.server(setup).await?;
        // WeChat is away until keys are made and all else of a start is done: what is counted then is codes alone.
        pause(2_000).await;
        let begun = server.cpu()?;
        let mut pretend = Command::new(binary()?)
            .args(["pretend", "--listen", "127.0.0.1:17100", "--appid", "wxbench"])
            .args(["--secret", "bench"])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut patience = 60;
        while gauge(&server, READY).await? < number(u64::from(codes)) {
            if patience == 0 {
                return Err("the codes did not all come within 30 s".into());
            }
            patience -= 1;
            pause(500).await;
        }
        let used = server.cpu()?.saturating_sub(begun);
        pretend.kill().await?;
        let mut hands = Hands::new(server.address, SITE);
        let page = hands.open(0).await?;
        let bytes = hands.picture(&page).await?.len();
        kinds.insert(
            name.to_owned(),
            json!({ "bytes": bytes, "server_cpu_ms_each": digits(used.as_secs_f64() * 1e3 / number(u64::from(codes))) }),
        );
        if picture == "small" {
            kinds.insert("page_bytes".to_owned(), page_bytes(&server, bytes).await?);
        }
    }
    Ok(json!({ "saoma": kinds }))
}

/// Everything that a browser fetches which sees the hosted page for the first time.
async fn page_bytes(server: &crate::server::Server, picture: usize) -> Result<Value> {
    let mut http = Http::new(server.address);
    let path = "/oauth2/authorize?response_type=code&client_id=shop&redirect_uri=http%3A%2F%2F127.0.0.1%3A9999%2Fcallback\
                &scope=openid&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";
    let mut get = async |path: &str| -> Result<Vec<u8>> {
        let headers = "accept-encoding: identity\r\naccept: text/html\r\n";
        let request = Request { method: "GET", path, address: address(1), headers, body: "" };
        Ok(http.call(request).await?.body)
    };
    let page = get(path).await?;
    let text = String::from_utf8_lossy(&page).into_owned();
    let mut parts = serde_json::Map::new();
    parts.insert("html".to_owned(), page.len().into());
    parts.insert("picture".to_owned(), picture.into());
    let links = text
        .split('"')
        .filter(|part| part.starts_with("/assets/") || part.starts_with("/wechat-login"));
    for link in links.map(ToOwned::to_owned).collect::<Vec<_>>() {
        let length = get(&link).await?.len();
        parts.insert(link, length.into());
    }
    let all: u64 = parts.values().filter_map(Value::as_u64).sum();
    parts.insert("all_before_compression".to_owned(), all.into());
    Ok(parts.into())
}

/// The binary, and the memory of a server to which nobody has come.
pub(super) async fn size(bench: &Bench) -> Result<Value> {
    let mut both = serde_json::Map::new();
    for kind in Kind::BOTH {
        let server = bench.server(bench.setup(kind)).await?;
        pause(1_000).await;
        let memory = server.memory()?;
        let file = match kind {
            Kind::Saoma => binary()?,
            Kind::Node => fs::read_link(format!("/proc/{}/exe", server.pid))?,
        };
        both.insert(
            kind.name().to_owned(),
            json!({ "binary_bytes": fs::metadata(file)?.len(), "idle_rss": memory.rss, "idle_anonymous": memory.anonymous }),
        );
    }
    Ok(both.into())
}
