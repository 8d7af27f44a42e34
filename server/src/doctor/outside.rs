//! From the outside in: the public name, TLS, the request domain, and whether a page's WebSocket gets through and stays.

use std::{net::SocketAddr, time::Duration};

use futures_util::StreamExt as _;
use reqwest::{Client, header};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Error as WsError, Message, client::IntoClientRequest as _},
};
use url::{Host, Url};

use super::{Finding, Roots, Todo, Verdict, tls, todo};
use crate::{config::Settings, error::Code, world::World};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything that is looked at here.
const CHECKS: [&str; 5] = ["public_url", "tls", "request_domain", "trusted_proxies", "websocket"];

/// What is looked from.
pub(super) struct Outside<'a> {
    pub(super) settings: &'a Settings,
    pub(super) roots: &'a Roots,
    pub(super) world: &'a World,
    /// How long a silent socket is held.
    pub(super) hold: Option<Duration>,
    /// Whether WeChat makes codes, so that there is a page to try.
    pub(super) codes: bool,
}

impl Outside<'_> {
    /// Each check in order; what needs something broken before it is skipped.
    pub(super) async fn look(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        self.look_until_broken(&mut found).await;
        let missing = |check| Finding::skipped(check, "needs what is broken above");
        let taken = |check| found.iter().find(|finding: &&Finding| finding.check == check).cloned();
        CHECKS.map(|check| taken(check).unwrap_or_else(|| missing(check))).to_vec()
    }

    async fn look_until_broken(&self, found: &mut Vec<Finding>) {
        let url = match Url::parse(&self.settings.public_url) {
            Ok(url) => url,
            Err(error) => {
                let correct = todo("Correct public_url.", "请更正 public_url。");
                return found.push(Finding::broken("public_url", error.to_string(), correct));
            }
        };
        let address = match self.resolve(&url).await {
            Ok(address) => address,
            Err(finding) => return found.push(finding),
        };
        if url.scheme() == "https" {
            let host = self.settings.host();
            let looked =
                self.in_time(tls::look(&host, address, self.roots, self.world.now())).await;
            let (finding, stream) = looked.unwrap_or_else(|| {
                (Finding::broken("tls", "no answer in time", reachable()), None)
            });
            found.push(finding);
            if stream.is_none() {
                return;
            }
        } else {
            found.push(Finding::skipped("tls", "http, which is for this machine alone"));
        }
        let saoma = self.is_saoma().await;
        let good = saoma.verdict != Verdict::Broken;
        found.push(saoma);
        if good {
            found.push(self.request_domain());
            found.push(self.trusted_proxies().await);
            found.push(self.websocket(&url, address).await);
        }
    }

    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.world.sleep_until(self.world.now() + PATIENCE) => None,
        }
    }

    /// The address behind the public name.
    async fn resolve(&self, url: &Url) -> Result<SocketAddr, Finding> {
        let port = url.port_or_known_default().unwrap_or(443);
        if !self.settings.is_loopback() && matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_)))
        {
            return Err(Finding::broken(
                "public_url",
                format!(
                    "{} is a bare address, which WeChat does not take",
                    self.settings.public_url
                ),
                todo(
                    "Point a name at it, get a certificate for the name, and set public_url to that.",
                    "请为其设置域名和证书，并将 public_url 改为该域名。",
                ),
            ));
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let looked = self.in_time(lookup_host((host, port))).await;
        let first = looked.and_then(Result::ok).and_then(|mut addresses| addresses.next());
        first.ok_or_else(|| Finding::broken("public_url", format!("the name {host} leads nowhere"), todo(
            format!("Add an A (and AAAA) record for {host} at your DNS provider; it may take minutes to be seen."),
            format!("请在 DNS 服务商处为 {host} 添加 A（及 AAAA）记录，几分钟后生效。"),
        )))
    }

    fn http(&self) -> Option<Client> {
        let mut builder = Client::builder()
            .timeout(PATIENCE)
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none());
        if let Roots::These(certificates) = self.roots {
            let certificates =
                certificates.iter().filter_map(|der| reqwest::Certificate::from_der(der).ok());
            builder = builder.tls_certs_only(certificates);
        }
        if self.settings.is_loopback() {
            builder = builder.no_proxy();
        }
        builder.build().ok()
    }

    /// Whether it is this saoma that answers at the public name.
    async fn is_saoma(&self) -> Finding {
        let url = &self.settings.public_url;
        let Some(http) = self.http() else {
            return Finding::skipped("public_url", "the HTTP client cannot be set up");
        };
        let answer = http.get(format!("{url}/.well-known/openid-configuration")).send().await;
        match answer {
            Err(error) => {
                let why = if error.is_timeout() { "no answer in time" } else { "nobody answers" };
                Finding::broken("public_url", format!("{url}: {why}"), reachable())
            }
            Ok(answer) => {
                let status = answer.status();
                let json: serde_json::Value = answer.json().await.unwrap_or_default();
                match json.get("issuer").and_then(serde_json::Value::as_str) {
                    Some(issuer) if issuer == url && self.settings.is_loopback() => {
                        Finding::warning(
                            "public_url",
                            format!(
                                "saoma answers at {url}, which is this machine: no phone reaches it"
                            ),
                            todo(
                                "Good for trying. For phones set public_url to https and a name of your own.",
                                "适合试用。要让手机访问，请将 public_url 设为自己的 https 域名。",
                            ),
                        )
                    }
                    Some(issuer) if issuer == url => {
                        Finding::ok("public_url", format!("saoma answers at {url}"))
                    }
                    Some(issuer) => Finding::broken(
                        "public_url",
                        format!("at {url} another saoma answers: {issuer}"),
                        todo(
                            format!(
                                "Either public_url is wrong, or the proxy leads to another server. The one that answers has public_url = \"{issuer}\"."
                            ),
                            format!(
                                "public_url 有误，或代理指向了另一台服务器。正在回答的那台 public_url = \"{issuer}\"。"
                            ),
                        ),
                    )
                    .naming([issuer.to_owned()]),
                    None => Finding::broken(
                        "public_url",
                        format!("at {url} something else answers (HTTP {})", status.as_u16()),
                        todo(
                            format!(
                                "Let the proxy pass every path to {}, and see that `saoma serve` runs.",
                                self.settings.listen
                            ),
                            format!(
                                "请让代理把所有路径转发到 {}，并确认 `saoma serve` 正在运行。",
                                self.settings.listen
                            ),
                        ),
                    ),
                }
            }
        }
    }

    /// What must stand in the console, to the letter. Nobody but a phone can see whether it does.
    fn request_domain(&self) -> Finding {
        if self.settings.is_loopback() {
            return Finding::skipped("request_domain", "no phone reaches this machine");
        }
        let said = format!(
            "{}  (to the letter, in 开发管理 > 开发设置 > 服务器域名 > request 合法域名; `saoma doctor --scan` proves it)",
            self.settings.public_url
        );
        Finding::ok("request_domain", said)
    }

    /// Whether saoma knows the proxy before it. What proxies ask about applications is asked by the public name: it comes to
    /// saoma from that proxy, and saoma says whether it is one of its own.
    async fn trusted_proxies(&self) -> Finding {
        const CHECK: &str = "trusted_proxies";
        let url = &self.settings.public_url;
        if self.settings.ends_tls() || !url.starts_with("https://") {
            return Finding::skipped(CHECK, "no proxy ends TLS before saoma");
        }
        let answer = match self.http() {
            Some(http) => http.get(format!("{url}/forward-auth")).send().await.ok(),
            None => None,
        };
        let problem: serde_json::Value = match answer {
            Some(answer) => answer.json().await.unwrap_or_default(),
            None => serde_json::Value::Null,
        };
        let code = problem.get("code").and_then(serde_json::Value::as_str);
        let is = |one: Code| code == Some(one.row().code);
        if is(Code::ProxyNotTrusted) {
            return Finding::warning(
                CHECK,
                "do not name the proxy before saoma: everybody seems to come from its address",
                todo(
                    "Add its address, which saoma's log has at request.refused, and restart. Until then [limits] count everybody as one.",
                    "请把代理的地址（日志里 request.refused 写着）加进 trusted_proxies，然后重启。在此之前，[limits] 把所有人算作同一个地址。",
                ),
            );
        }
        if is(Code::InvalidRequest) || is(Code::ApplicationNotRegistered) {
            return Finding::ok(CHECK, "name the proxy before saoma");
        }
        Finding::skipped(CHECK, "nobody may ask for /forward-auth by the public name")
    }

    /// Opens the hosted page as a browser would, and watches its ticket.
    async fn websocket(&self, url: &Url, address: SocketAddr) -> Finding {
        match self.opens_page().await {
            Err(why) if !self.codes => {
                Finding::skipped("websocket", format!("no page with a code: {why}"))
            }
            Err(why) => Finding::broken(
                "websocket",
                format!("no page with a code: {why}"),
                todo(
                    "See the server's log, and the findings about WeChat above.",
                    "请查看服务器日志，以及上面关于微信的检查结果。",
                ),
            ),
            Ok(page) => {
                let finding = self.watches(&page, url, address).await;
                // The page is gone by itself in two minutes if this does not arrive.
                let cancel = page.http.post(format!(
                    "{}/api/tickets/{}/cancel",
                    self.settings.public_url, page.ticket
                ));
                let _ = cancel
                    .header(header::ORIGIN, &self.settings.public_url)
                    .json(&serde_json::json!({}))
                    .send()
                    .await;
                finding
            }
        }
    }

    async fn opens_page(&self) -> Result<HostedPage, String> {
        let http = self.http().ok_or("the HTTP client cannot be set up")?;
        let answer = http.get(format!("{}/login", self.settings.public_url)).send().await;
        let answer = answer.map_err(|_| "nobody answers".to_owned())?;
        let status = answer.status();
        let cookies = answer.headers().get_all(header::SET_COOKIE).iter();
        let cookies = cookies.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        let text = answer.text().await.unwrap_or_default();
        let ticket = text.split_once("ticket=\"").and_then(|(_, rest)| rest.split_once('"'));
        let (ticket, _) = ticket.ok_or_else(|| format!("HTTP {}", status.as_u16()))?;
        Ok(HostedPage { http, ticket: ticket.to_owned(), cookies })
    }

    async fn watches(&self, page: &HostedPage, url: &Url, address: SocketAddr) -> Finding {
        let connected = if url.scheme() == "https" {
            let host = self.settings.host();
            let looked =
                self.in_time(tls::look(&host, address, self.roots, self.world.now())).await;
            match looked.and_then(|(_, stream)| stream) {
                Some(stream) => self.stays(page, stream).await,
                None => Err("no TLS connection".to_owned()),
            }
        } else {
            match self.in_time(TcpStream::connect(address)).await {
                Some(Ok(stream)) => self.stays(page, stream).await,
                Some(Err(error)) => Err(error.to_string()),
                None => Err("no answer in time".to_owned()),
            }
        };
        match connected {
            Ok(finding) => finding,
            Err(why) => Finding::broken(
                "websocket",
                format!("the upgrade does not get through: {why}"),
                upgrade(),
            ),
        }
    }

    async fn stays<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        page: &HostedPage,
        stream: S,
    ) -> Result<Finding, String> {
        let url = format!("{}/api/tickets/{}/ws", self.settings.public_url, page.ticket)
            .replacen("http", "ws", 1);
        let mut request = url.into_client_request().map_err(|error| error.to_string())?;
        let headers =
            [(header::ORIGIN, &self.settings.public_url), (header::COOKIE, &page.cookies)];
        for (name, value) in headers {
            let value = value.parse().map_err(|_| "an odd cookie".to_owned())?;
            request.headers_mut().insert(name, value);
        }
        let upgraded =
            self.in_time(client_async(request, stream)).await.ok_or("no answer in time")?;
        let (mut socket, _) = upgraded.map_err(|error| match error {
            WsError::Http(answer) => format!("HTTP {}", answer.status().as_u16()),
            error => error.to_string(),
        })?;
        let first =
            self.in_time(socket.next()).await.ok_or("upgraded, but nothing comes through")?;
        if !matches!(first, Some(Ok(Message::Text(_)))) {
            return Err("upgraded, but the state does not come through".to_owned());
        }
        let Some(hold) = self.hold else {
            return Ok(Finding::ok("websocket", "gets through (not held, so as to be quick)"));
        };
        // When the code expires saoma closes it itself, and its life began before this.
        let hold = hold.min(self.settings.ticket.life.saturating_sub(Duration::from_secs(5)));
        let began = self.world.now();
        let end = began + hold;
        loop {
            tokio::select! {
                said = socket.next() => match said {
                    // Somebody who scans meanwhile ends nothing.
                    Some(Ok(message)) if !message.is_close() => {}
                    _ => {
                        let after = self.world.now().since(began).as_secs();
                        return Ok(Finding::broken("websocket", format!("gets through, and is cut after {after} s of silence"), patience()));
                    }
                },
                () = self.world.sleep_until(end) => {
                    return Ok(Finding::ok("websocket", format!("gets through, and stays for {} s", hold.as_secs())));
                }
            }
        }
    }
}

/// The hosted page with its code.
struct HostedPage {
    http: Client,
    ticket: String,
    cookies: String,
}

fn reachable() -> Todo {
    todo(
        "See that the proxy and `saoma serve` run, and that the firewall and the provider's security group let the port in. In mainland China an unfiled domain is blocked. Some networks cannot reach themselves from inside: try from a phone.",
        "请确认代理和 `saoma serve` 正在运行，防火墙与云服务商安全组已放行端口。在中国大陆，未备案的域名会被拦截。有些网络无法从内部访问自己：请用手机试试。",
    )
}

fn upgrade() -> Todo {
    todo(
        "Let the proxy pass WebSockets: in nginx `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";`. Until then pages poll, which is slower.",
        "请让代理支持 WebSocket：nginx 写 `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";`。在此之前网页会改用轮询，较慢。",
    )
}

fn patience() -> Todo {
    todo(
        "Let the proxy hold idle connections for more than a minute: in nginx `proxy_read_timeout 75s;`.",
        "请让代理保持空闲连接一分钟以上：nginx 写 `proxy_read_timeout 75s;`。",
    )
}
