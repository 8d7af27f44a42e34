//! Who plays a sign-in: a browser without a screen, and a phone. Both speak real HTTP to whatever server they are given.

use std::{fmt, io::Cursor};

use futures_util::StreamExt as _;
use reqwest::{Client, RequestBuilder, StatusCode, header, redirect};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _, protocol::CloseFrame},
};
use url::Url;

/// What went wrong, in words for who watches.
pub type Told<T> = Result<T, String>;

fn told(error: impl fmt::Display) -> String {
    error.to_string()
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: header::HeaderMap,
    /// Where it came from, after redirects.
    pub url: Url,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Sends a request and reads its answer whole.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn of(request: RequestBuilder) -> Told<Self> {
        let response = request.send().await.map_err(told)?;
        Ok(Self {
            status: response.status(),
            headers: response.headers().clone(),
            url: response.url().clone(),
            body: response.bytes().await.map_err(told)?.to_vec(),
        })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The JSON of a good answer, or what the server said instead.
    ///
    /// # Errors
    /// The status and the `code` of the problem.
    pub fn good(self) -> Told<Value> {
        if self.status.is_success() { Ok(self.json()) } else { Err(self.problem()) }
    }

    /// The status and the problem's `code`, such as "404 no_such_ticket"; of OAuth its `error`.
    pub fn problem(&self) -> String {
        let json = self.json();
        let code = json.get("code").or_else(|| json.get("error")).and_then(Value::as_str);
        format!("{} {}", self.status.as_u16(), code.unwrap_or_default())
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A browser without a screen: it keeps cookies and says where its pages stand.
pub struct Browser {
    http: Client,
    jar: std::sync::Arc<reqwest::cookie::Jar>,
    saoma: String,
    address: Option<header::HeaderValue>,
}

/// A page with a code, as the browser sees it.
#[derive(Debug, Clone)]
pub struct Page {
    /// The ticket id, out of the page.
    pub ticket: String,
}

impl Browser {
    /// A fresh browser; `saoma` is where its login pages are.
    ///
    /// # Errors
    /// If the HTTP library cannot start.
    pub fn new(saoma: &str) -> Told<Self> {
        Self::calling_itself(
            saoma,
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        )
    }

    /// A browser with another `User-Agent`.
    ///
    /// # Errors
    /// If the HTTP library cannot start.
    pub fn calling_itself(saoma: &str, user_agent: &str) -> Told<Self> {
        let jar = std::sync::Arc::new(reqwest::cookie::Jar::default());
        let http = Client::builder()
            .cookie_provider(jar.clone())
            .redirect(redirect::Policy::none())
            .user_agent(user_agent)
            .build()
            .map_err(told)?;
        Ok(Self { http, jar, saoma: saoma.to_owned(), address: None })
    }

    /// From now on a proxy says that it comes from `address`.
    pub fn moves_to(&mut self, address: &str) {
        self.address = header::HeaderValue::from_str(address).ok();
    }

    /// One GET, no redirect followed.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn get(&self, url: &str) -> Told<Reply> {
        self.get_with(url, &[]).await
    }

    /// The same with more headers.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn get_with(&self, url: &str, more: &[(&str, &str)]) -> Told<Reply> {
        let request = self.http.get(self.absolute(url)).header("accept-language", "en");
        let request =
            more.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Reply::of(forwarded(request, self.address.as_ref())).await
    }

    /// Goes to an address, as typed or clicked, through up to ten redirects.
    ///
    /// # Errors
    /// If nobody answers, or redirects never end.
    pub async fn goes_to(&self, url: &str) -> Told<Reply> {
        let mut url = self.absolute(url);
        for _ in 0..10 {
            let reply = self.get(&url).await?;
            if !reply.status.is_redirection() {
                return Ok(reply);
            }
            url = reply.url.join(reply.header("location")).map_err(told)?.into();
        }
        Err(format!("redirected for ever, at last to {url}"))
    }

    /// Goes to an address that shows a code.
    ///
    /// # Errors
    /// What is there instead.
    pub async fn opens(&self, url: &str) -> Told<Page> {
        let reply = self.goes_to(url).await?;
        let text = reply.text();
        let ticket = text.split_once("ticket=\"").and_then(|(_, rest)| rest.split_once('"'));
        let (ticket, _) =
            ticket.ok_or_else(|| format!("no code at {url}: {} {text}", reply.status))?;
        Ok(Page { ticket: ticket.to_owned() })
    }

    /// The text inside the code of a page, read off its picture.
    ///
    /// # Errors
    /// If there is no picture, or nothing to read in it.
    pub async fn reads_code(&self, page: &Page) -> Told<String> {
        let reply = self.get(&format!("/api/tickets/{}/code", page.ticket)).await?;
        if !reply.status.is_success() {
            return Err(reply.problem());
        }
        read_qr(&reply.body)
    }

    /// A call of the hosted page, as its script makes it.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn calls(&self, page: &Page, verb: &str) -> Told<Reply> {
        self.posts(&format!("/api/tickets/{}/{verb}", page.ticket), &json!({}), &self.saoma.clone())
            .await
    }

    /// A POST of JSON by a page that stands on `origin`.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn posts(&self, url: &str, body: &Value, origin: &str) -> Told<Reply> {
        let request = self.http.post(self.absolute(url)).header(header::ORIGIN, origin).json(body);
        Reply::of(forwarded(request, self.address.as_ref())).await
    }

    /// A POST of a form.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn submits(&self, url: &str, form: &[(&str, &str)]) -> Told<Reply> {
        let request = self.http.post(self.absolute(url)).header(header::ORIGIN, &self.saoma);
        Reply::of(forwarded(request.form(form), self.address.as_ref())).await
    }

    /// Watches a page's ticket over the WebSocket.
    ///
    /// # Errors
    /// "403" and the like, if the server does not let it.
    pub async fn watches(&self, page: &Page) -> Told<Watch> {
        self.watches_as(&page.ticket, Some(&self.saoma.clone())).await
    }

    /// The same by a page that stands on `origin`, or that says nothing of where it stands.
    ///
    /// # Errors
    /// "403" and the like, if the server does not let it.
    pub async fn watches_as(&self, ticket: &str, origin: Option<&str>) -> Told<Watch> {
        use reqwest::cookie::CookieStore as _;
        let http = self.absolute(&format!("/api/tickets/{ticket}/ws"));
        let cookies = self.jar.cookies(&Url::parse(&http).map_err(told)?);
        let mut request = http.replacen("http", "ws", 1).into_client_request().map_err(told)?;
        if let Some(origin) = origin {
            request.headers_mut().insert(header::ORIGIN, origin.parse().map_err(told)?);
        }
        if let Some(cookies) = cookies {
            request.headers_mut().insert(header::COOKIE, cookies);
        }
        if let Some(address) = &self.address {
            request.headers_mut().insert("x-forwarded-for", address.clone());
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((socket, _)) => Ok(Watch { socket }),
            Err(tokio_tungstenite::tungstenite::Error::Http(refused)) => {
                Err(refused.status().as_u16().to_string())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn absolute(&self, url: &str) -> String {
        if url.starts_with('/') { format!("{}{url}", self.saoma) } else { url.to_owned() }
    }
}

/// What a proxy says of who is behind it.
fn forwarded(request: RequestBuilder, address: Option<&header::HeaderValue>) -> RequestBuilder {
    match address {
        Some(address) => request.header("x-forwarded-for", address),
        None => request,
    }
}

/// The text of the QR in a picture.
///
/// # Errors
/// If there is none to be read.
pub fn read_qr(picture: &[u8]) -> Told<String> {
    let reader =
        image::ImageReader::new(Cursor::new(picture)).with_guessed_format().map_err(told)?;
    let grey = reader.decode().map_err(told)?.into_luma8();
    let mut prepared = rqrr::PreparedImage::prepare(grey);
    let grids = prepared.detect_grids();
    let (_, text) =
        grids.first().ok_or("there is no code in the picture")?.decode().map_err(told)?;
    Ok(text)
}

/// The scene in the text of a code.
///
/// # Errors
/// If there is none.
pub fn scene_in(text: &str) -> Told<String> {
    let url = Url::parse(text).map_err(told)?;
    let scene =
        url.query_pairs().find(|(name, _)| name == "scene").map(|(_, scene)| scene.into_owned());
    scene.ok_or_else(|| format!("no scene in {text}"))
}

/// A page's open WebSocket.
pub struct Watch {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Watch {
    /// The next state, or how the socket ended: "closed 1000".
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn sees(&mut self) -> Told<Value> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).map_err(told),
                Some(Ok(Message::Close(Some(CloseFrame { code, .. })))) => {
                    return Ok(json!(format!("closed {}", u16::from(code))));
                }
                Some(Ok(Message::Close(None))) | None => return Ok(json!("closed")),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.to_string()),
            }
        }
    }

    /// The next state's name, or how the socket ended.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn sees_state(&mut self) -> Told<String> {
        let seen = self.sees().await?;
        let word = seen.get("state").unwrap_or(&seen);
        Ok(word.as_str().unwrap_or_default().to_owned())
    }

    /// Sends a message, which no honest page does.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn says(&mut self, message: Message) -> Told<()> {
        use futures_util::SinkExt as _;
        self.socket.send(message).await.map_err(told)
    }
}

/// A phone with WeChat on it, in somebody's hand.
pub struct Phone {
    http: Client,
    person: String,
    unionid: Option<String>,
    saoma: String,
    wechat: String,
    address: Option<header::HeaderValue>,
}

/// What a scan showed.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The whole answer.
    pub shown: Value,
    /// The ticket's public name.
    pub scene: String,
    /// The token to approve or deny with.
    pub token: String,
}

impl Phone {
    /// This person's phone. `wechat` is the pretend one, which says who they are.
    pub fn of(person: &str, saoma: &str, wechat: &str) -> Self {
        Self {
            http: Client::new(),
            person: person.to_owned(),
            unionid: None,
            saoma: saoma.to_owned(),
            wechat: wechat.to_owned(),
            address: None,
        }
    }

    /// From now on a proxy says that it comes from `address`.
    pub fn moves_to(&mut self, address: &str) {
        self.address = header::HeaderValue::from_str(address).ok();
    }

    /// The same, of a person with a unionid.
    #[must_use]
    pub fn with_unionid(mut self, unionid: &str) -> Self {
        self.unionid = Some(unionid.to_owned());
        self
    }

    /// What wx.login gives.
    ///
    /// # Errors
    /// If the pretend WeChat does not answer.
    pub async fn logs_in(&self) -> Told<String> {
        let body = json!({ "person": self.person, "unionid": self.unionid });
        let request = self.http.post(format!("{}/pretend/js_code", self.wechat)).json(&body);
        let answer = Reply::of(request).await?.good()?;
        let js_code = answer.get("js_code").and_then(Value::as_str);
        js_code.map(ToOwned::to_owned).ok_or_else(|| "no js_code".to_owned())
    }

    /// A call of the mini program.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn calls(
        &self,
        method: reqwest::Method,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> Told<Reply> {
        let request =
            self.http.request(method, format!("{}/api/phone/{path}", self.saoma)).json(body);
        let request = request.header("accept-language", "en");
        let request = forwarded(request, self.address.as_ref());
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        Reply::of(request).await
    }

    /// Opens a code; `entry` is WeChat's scene number, 1047 for the camera.
    ///
    /// # Errors
    /// The status and code of a refusal, such as "410 ticket_expired".
    pub async fn scans(&self, scene: &str, entry: u32) -> Told<Asked> {
        let body = json!({ "js_code": self.logs_in().await?, "entry": entry, "protocol": 1 });
        let path = format!("tickets/{scene}/scan");
        asked(self.calls(reqwest::Method::POST, &path, None, &body).await?.good()?)
    }

    /// Types digits.
    ///
    /// # Errors
    /// The status and code of a refusal.
    pub async fn types(&self, digits: &str) -> Told<Asked> {
        let body = json!({ "js_code": self.logs_in().await?, "protocol": 1 });
        let path = format!("codes/{digits}/scan");
        asked(self.calls(reqwest::Method::POST, &path, None, &body).await?.good()?)
    }

    /// Approves with one tap, ticking nothing.
    ///
    /// # Errors
    /// The status and code of a refusal.
    pub async fn approves(&self, asked: &Asked) -> Told<()> {
        self.approves_with(asked, &json!({})).await
    }

    /// Approves, with what is typed and ticked.
    ///
    /// # Errors
    /// The status and code of a refusal.
    pub async fn approves_with(&self, asked: &Asked, body: &Value) -> Told<()> {
        self.decides(asked, "approve", body).await
    }

    /// Denies.
    ///
    /// # Errors
    /// The status and code of a refusal.
    pub async fn denies(&self, asked: &Asked) -> Told<()> {
        self.decides(asked, "deny", &json!({})).await
    }

    async fn decides(&self, asked: &Asked, verb: &str, body: &Value) -> Told<()> {
        let path = format!("tickets/{}/{verb}", asked.scene);
        self.calls(reqwest::Method::POST, &path, Some(&asked.token), body).await?.good().map(drop)
    }
}

fn asked(shown: Value) -> Told<Asked> {
    let text = |name| shown.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    let (scene, token) =
        text("scene").zip(text("token")).ok_or("a scan without scene and token")?;
    Ok(Asked { shown, scene, token })
}
