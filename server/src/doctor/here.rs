//! This machine: the database, whose mini program its people are of, the tickets, the running server.

use super::{Finding, Todo, todo};
use crate::{
    config::Settings,
    keys::{self, Keys},
    site::Site,
    store::{OTHER_VERSION, SharedStore},
};

pub(super) async fn look(
    settings: &Settings,
    store: &Result<Option<SharedStore>, String>,
    redis: Option<&Result<(), String>>,
) -> Vec<Finding> {
    let mut found = database(settings, store).await;
    found.extend(redis.map(|answer| shared_tickets(settings, answer)));
    found.push(tickets(settings).await);
    found
}

/// The secrets that somebody wrote in the settings: those that saoma makes are long.
pub(super) fn secrets(sites: &[Site]) -> Finding {
    let short = sites.iter().filter(|site| site.has_short_secret());
    let short: Vec<String> = short.map(|site| site.id.clone()).collect();
    if short.is_empty() {
        return Finding::ok("site_secrets", "are long enough");
    }
    Finding::warning(
        "site_secrets",
        format!("short enough to be guessed, at {}", short.join(", ")),
        todo(
            "Write the output of `openssl rand -hex 32` there and in the application; until both know it, keep the old one in `secrets` beside it.",
            "请换成 `openssl rand -hex 32` 的输出，应用里也一并更换；换好之前，旧密钥可以先留在 `secrets` 里。",
        ),
    )
    .naming(short)
}

async fn database(
    settings: &Settings,
    store: &Result<Option<SharedStore>, String>,
) -> Vec<Finding> {
    let name = &settings.store;
    let unusable = |why: String| {
        let todo = mend(name.scheme(), &why);
        Finding::broken("store", format!("{name}: {why}"), todo)
    };
    let skipped = |check| Finding::skipped(check, "needs the database");
    let unknown = |first| vec![first, skipped("store_appid"), skipped("keys")];
    let store = match store {
        Err(why) => return unknown(unusable(why.clone())),
        Ok(None) => {
            let none = format!("{name}: not there yet; the first start makes it");
            return unknown(Finding::ok("store", none));
        }
        Ok(Some(store)) => store,
    };
    if let Err(error) = store.ping().await {
        return unknown(unusable(error.to_string()));
    }
    let own = &settings.wechat.appid;
    let appid = match store.appids().await {
        Err(error) => return unknown(unusable(error.to_string())),
        Ok(known) if known.is_empty() || known.contains(own) => {
            Finding::ok("store_appid", format!("its people are of {own}"))
        }
        Ok(known) => Finding::broken(
            "store_appid",
            format!(
                "its people are of {}, the settings say {own}: everybody would be a stranger",
                known.join(", ")
            ),
            todo(
                "Set wechat.appid back, or give the other mini program a database of its own. People are found by AppID and openid; another AppID gives everybody another openid.",
                "请改回 wechat.appid，或为另一个小程序使用单独的数据库。用户由 AppID 和 openid 识别，换 AppID 后每个人的 openid 都不同。",
            ),
        )
        .naming(known),
    };
    vec![Finding::ok("store", format!("{name} answers")), appid, keys(settings, store).await]
}

/// Whether a server could open its signing keys, and whether anybody else could who has a copy of the database.
async fn keys(settings: &Settings, store: &SharedStore) -> Finding {
    let secret = &settings.keys.secret;
    let open = Keys::check(store, &settings.keys).await;
    match open {
        Err(error @ keys::Error::Locked) => Finding::broken(
            "keys",
            error.to_string(),
            todo(
                "Set keys.secret back to what it was; a backup of the settings has it. No server starts without it. If it is to be another one from now on, set keys.secret_before to what it was; if that is lost, docs/upkeep.md says how to begin anew.",
                "请把 keys.secret 改回原来的值（可在设置的备份里找），否则服务无法启动。要换成新的，请把原来的值写进 keys.secret_before；原来的值丢了，请看 docs/upkeep.zh-CN.md。",
            ),
        ),
        Err(error) => Finding::broken(
            "keys",
            error.to_string(),
            todo("See the finding store.", "请先解决上面的 store。"),
        ),
        Ok(before) if !before.is_empty() => Finding::warning(
            "keys",
            format!("keys.secret_before alone opens {}", before.join(", ")),
            todo(
                "Restart the server, which encrypts them with keys.secret; then remove keys.secret_before.",
                "请重启服务，它会用 keys.secret 重新加密；然后删掉 keys.secret_before。",
            ),
        ),
        Ok(_) if !settings.keys.secret_before.is_empty() => Finding::ok(
            "keys",
            "keys.secret opens them; once every node runs with it, remove keys.secret_before",
        ),
        Ok(_) if !secret.is_empty() => Finding::ok("keys", "keys.secret opens them"),
        Ok(_) if settings.is_loopback() => {
            Finding::ok("keys", "not encrypted, on this machine alone")
        }
        Ok(_) => Finding::warning(
            "keys",
            "signing keys are not encrypted: whoever has a copy of the database can sign people in",
            todo(
                "Set keys.secret to the output of `openssl rand -base64 32`, and keep it apart from backups of the database.",
                "签名密钥没有加密：请设置 keys.secret（可用 `openssl rand -base64 32` 生成），并与数据库备份分开保存。",
            ),
        ),
    }
}

/// What to do about a store that cannot be used.
fn mend(scheme: &str, why: &str) -> Todo {
    if why.contains(OTHER_VERSION) {
        todo(
            "Restart the server with this saoma, which brings an older database up to date; or run the doctor of the version that serves.",
            "请用这个版本的 saoma 重启服务，启动时会升级旧数据库；或者使用正在运行的那个版本的 doctor。",
        )
    } else if scheme == "sqlite" {
        todo(
            "See that the file and its folder belong to the user that saoma runs as, that the disk has room, and that `store` names the right file.",
            "请确认该文件及其目录属于运行 saoma 的用户、磁盘有空间、`store` 指向正确的文件。",
        )
    } else {
        todo(
            "See that PostgreSQL runs and lets this machine in, and that host, user, password and database in `store` are right.",
            "请确认 PostgreSQL 正在运行并允许本机连接，`store` 中的主机、用户、密码和数据库正确。",
        )
    }
}

/// The Redis that several nodes share their tickets in. No server starts without it.
fn shared_tickets(settings: &Settings, answer: &Result<(), String>) -> Finding {
    let name = &settings.tickets;
    match answer {
        Ok(()) => Finding::ok("redis", format!("{name} answers")),
        Err(why) => Finding::broken(
            "redis",
            format!("{name}: {why}"),
            todo(
                "See that Redis runs and lets this machine in, and that host, port, user and password in `tickets` are right; or write tickets = \"memory\" where one node serves alone.",
                "请确认 Redis 正在运行并允许本机连接，`tickets` 中的主机、端口、用户和密码正确；只有一个节点时，也可以写 tickets = \"memory\"。",
            ),
        ),
    }
}

/// The server says itself how its tickets are, wherever they live.
async fn tickets(settings: &Settings) -> Finding {
    let url = format!("http://{}/readyz", settings.admin_address());
    let client =
        reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(5)).build();
    let answer = match client {
        Ok(client) => client.get(&url).send().await,
        Err(error) => Err(error),
    };
    let Ok(answer) = answer else {
        return Finding::warning(
            "tickets",
            format!("no server answers at {url}"),
            todo(
                "Start it with `saoma serve`; or this machine is not the one it runs on.",
                "请用 `saoma serve` 启动；或者它不在本机运行。",
            ),
        );
    };
    let ready: serde_json::Value = answer.json().await.unwrap_or_default();
    let word = |name: &str| {
        ready.get(name).and_then(serde_json::Value::as_str).unwrap_or("unknown").to_owned()
    };
    let (store, tickets, wechat) = (word("store"), word("tickets"), word("wechat"));
    let said =
        format!("the running server says: tickets {tickets}, store {store}, WeChat {wechat}");
    if ready.get("ready") == Some(&true.into()) {
        Finding::ok("tickets", said)
    } else {
        Finding::broken(
            "tickets",
            said,
            todo(
                "See its log; what it says of WeChat is explained above. A server that has just started needs a moment.",
                "请查看服务器日志；关于微信的问题见上文。刚启动的服务器需要片刻。",
            ),
        )
    }
}
