//! Who signs in: pages, phones and the site behind them, and the book in which it is checked that each login was its own.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{
    Result,
    stub::scene_in,
    wire::{Answer, Frame, Http, Request, Socket},
};

/// The site that people sign in to, and its page.
pub(crate) const SITE: &str = "shop";
pub(crate) const ORIGIN: &str = "http://127.0.0.1:9999";
pub(crate) const REDIRECT: &str = "http://127.0.0.1:9999/callback";
/// The same site with RS256.
pub(crate) const RSA_SITE: &str = "shop-rsa";

/// A PKCE pair; one for all, since the server cannot know (RFC 7636 appendix B).
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// How often one who opens a page hears that there is no code before that is an error, and how long it waits each time.
const PATIENCE: u32 = 1_000;
const AGAIN: Duration = Duration::from_millis(10);

/// What a browser of our day calls itself.
const BROWSER: &str = "user-agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n";
/// What WeChat calls itself on a phone.
const WECHAT: &str = "user-agent: Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.60 NetType/WIFI Language/zh_CN\r\n";

/// An address of one caller, as a proxy would name it: each page its own, so that limits per address are kept as they are.
pub(crate) fn address(of: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 | (of & 0x00ff_ffff))
}

/// A page that has opened its ticket.
pub(crate) struct Page {
    pub(crate) ticket: String,
    pub(crate) key: String,
    pub(crate) nonce: String,
    address: Ipv4Addr,
}

/// The connections of a page, a phone and a site, which a proxy keeps open for them.
pub(crate) struct Hands {
    server: SocketAddr,
    http: Http,
    /// Where the phone calls: another node, in the figure of two.
    phone: Http,
    site: &'static str,
    /// How often there was no code.
    pub(crate) asked_again: u32,
}

/// When what happened to one login.
pub(crate) struct Times {
    /// The phone sent its yes.
    pub(crate) approve: Instant,
    /// The phone had its answer.
    pub(crate) answered: Instant,
    /// The page saw it.
    pub(crate) told: Instant,
}

impl Times {
    /// From the yes to the later of both.
    pub(crate) fn both(&self) -> Duration {
        self.answered.max(self.told) - self.approve
    }
}

impl Hands {
    pub(crate) fn new(server: SocketAddr, site: &'static str) -> Self {
        Self::across(server, server, site)
    }

    /// The same with the phone at another node.
    pub(crate) fn across(server: SocketAddr, phone: SocketAddr, site: &'static str) -> Self {
        Self { server, http: Http::new(server), phone: Http::new(phone), site, asked_again: 0 }
    }

    pub(crate) async fn open(&mut self, n: u32) -> Result<Page> {
        let nonce = format!("n-{n:020}");
        let body = json!({
            "client_id": self.site, "redirect_uri": REDIRECT, "scope": "openid", "state": format!("s-{n:020}"),
            "nonce": nonce, "code_challenge": CHALLENGE, "code_challenge_method": "S256",
        });
        let mut answer = self.post("/api/tickets", address(n), &from_page(), &body).await?;
        // Codes are taken faster than they are made: a page asks again, as it is told to.
        let mut patience = PATIENCE;
        while answer.status == 503 && patience > 0 {
            (patience, self.asked_again) = (patience - 1, self.asked_again + 1);
            tokio::time::sleep(AGAIN).await;
            answer = self.post("/api/tickets", address(n), &from_page(), &body).await?;
        }
        let opened = answer.json(201)?;
        Ok(Page {
            ticket: text(&opened, "ticket")?,
            key: text(&opened, "key")?,
            nonce,
            address: address(n),
        })
    }

    /// The picture of a page's code, as its `<img>` asks for it.
    pub(crate) async fn picture(&mut self, page: &Page) -> Result<Vec<u8>> {
        let path = format!("/api/tickets/{}/code", page.ticket);
        let request = Request {
            method: "GET",
            path: &path,
            address: page.address,
            headers: BROWSER,
            body: "",
        };
        let answer = self.http.call(request).await?;
        answer.hoped(200)?;
        Ok(answer.body)
    }

    pub(crate) async fn watch(&self, page: &Page) -> Result<Socket> {
        let path = format!("/api/tickets/{}/ws", page.ticket);
        // From an address of this machine for every 256 pages: where thousands come from one, the kernel looks longer and
        // longer for a port that is free, and the client takes the time of the server that is measured.
        let [.., high, _] = page.address.octets();
        let source = Ipv4Addr::new(127, 1, high, 1);
        Socket::open(self.server, source, &path, page.address, ORIGIN).await
    }

    /// A whole login: a code is shown, a phone scans it, a person taps, the page is told, the site has its token.
    pub(crate) async fn login(&mut self, n: u32, person: u32, book: &Book) -> Result<Times> {
        let page = self.open(n).await?;
        let scene = scene_in(&self.picture(&page).await?)?;
        let mut socket = self.watch(&page).await?;
        socket.sees("waiting").await?;
        self.finish(&page, &scene, &mut socket, person, book).await
    }

    /// The second half of a login.
    pub(crate) async fn finish(
        &mut self,
        page: &Page,
        scene: &str,
        socket: &mut Socket,
        person: u32,
        book: &Book,
    ) -> Result<Times> {
        let token = self.scan(page, scene, person).await?;
        socket.sees("scanned").await?;
        let approve = Instant::now();
        let path = format!("/api/phone/tickets/{scene}/approve");
        let headers =
            format!("{WECHAT}content-type: application/json\r\nauthorization: Bearer {token}\r\n");
        let request = Request {
            method: "POST",
            path: &path,
            address: page.address,
            headers: &headers,
            body: "{}",
        };
        let told = async {
            let state = socket.state().await;
            (state, Instant::now())
        };
        let answered = async {
            let answer = self.phone.call(request).await;
            (answer, Instant::now())
        };
        let ((answer, answered), (state, told)) = tokio::join!(answered, told);
        answer?.hoped(200)?;
        let state = state?;
        if state != "approved" {
            return Err(format!("a page was told {state} and not approved").into());
        }
        if socket.next().await? != Frame::Close(1000) {
            return Err("a page was not said goodbye to".into());
        }
        let claimed = self
            .post(
                &format!("/api/tickets/{}/claim", page.ticket),
                page.address,
                &from_page(),
                &json!({ "key": page.key }),
            )
            .await?
            .json(200)?;
        let code = claimed.get("params").map(|params| text(params, "code"));
        let code = code.ok_or("a claim without a code")??;
        book.enter(&self.redeem(&code).await?, page, person)?;
        Ok(Times { approve, answered, told })
    }

    async fn scan(&mut self, page: &Page, scene: &str, person: u32) -> Result<String> {
        let body =
            json!({ "js_code": format!("p{person}-{}", page.nonce), "entry": 1047, "protocol": 1 })
                .to_string();
        let headers = format!("{WECHAT}content-type: application/json\r\n");
        let path = format!("/api/phone/tickets/{scene}/scan");
        let request = Request {
            method: "POST",
            path: &path,
            address: page.address,
            headers: &headers,
            body: &body,
        };
        let asked = self.phone.call(request).await?.json(200)?;
        if text(&asked, "ask")? != "tap" {
            return Err(format!("a phone was asked for more than a tap: {asked}").into());
        }
        text(&asked, "token")
    }

    /// The site's own server calls.
    async fn redeem(&mut self, code: &str) -> Result<Value> {
        let body = format!(
            "grant_type=authorization_code&code={code}&redirect_uri=http%3A%2F%2F127.0.0.1%3A9999%2Fcallback\
             &client_id={}&code_verifier={VERIFIER}",
            self.site
        );
        let request = Request {
            method: "POST",
            path: "/oauth2/token",
            address: Ipv4Addr::new(10, 255, 255, 1),
            headers: "content-type: application/x-www-form-urlencoded\r\n",
            body: &body,
        };
        self.http.call(request).await?.json(200)
    }

    async fn post(
        &mut self,
        path: &str,
        address: Ipv4Addr,
        headers: &str,
        body: &Value,
    ) -> Result<Answer> {
        let body = body.to_string();
        self.http.call(Request { method: "POST", path, address, headers, body: &body }).await
    }

    /// The keys that the server publishes.
    pub(crate) async fn keys(&mut self) -> Result<jsonwebtoken::jwk::JwkSet> {
        let request = Request {
            method: "GET",
            path: "/oauth2/jwks",
            address: address(0),
            headers: "",
            body: "",
        };
        let answer = self.http.call(request).await?;
        answer.hoped(200)?;
        Ok(serde_json::from_slice(&answer.body)?)
    }
}

fn from_page() -> String {
    format!("{BROWSER}origin: {ORIGIN}\r\ncontent-type: application/json\r\n")
}

fn text(json: &Value, name: &str) -> Result<String> {
    let text = json.get(name).and_then(Value::as_str);
    Ok(text.ok_or_else(|| format!("an answer without {name}: {json}"))?.to_owned())
}

/// Who signed in where: every login is entered, and one that is another's is an error.
#[derive(Default)]
pub(crate) struct Book {
    subs: RefCell<HashMap<u32, String>>,
    persons: RefCell<HashMap<String, u32>>,
    /// Some of the tokens, whose signatures are verified when nobody waits for it.
    tokens: RefCell<Vec<String>>,
    logins: Cell<u64>,
}

/// How many signatures are verified: one of so many logins.
const SAMPLE: u64 = 64;

impl Book {
    fn enter(&self, answer: &Value, page: &Page, person: u32) -> Result<()> {
        let token = text(answer, "id_token")?;
        let payload = token.split('.').nth(1).ok_or("an id_token without a payload")?;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?;
        if text(&claims, "nonce")? != page.nonce {
            return Err("an id_token of another page's login".into());
        }
        let sub = text(&claims, "sub")?;
        let mut subs = self.subs.borrow_mut();
        if subs.entry(person).or_insert_with(|| sub.clone()) != &sub {
            return Err("a person has two subs".into());
        }
        if *self.persons.borrow_mut().entry(sub).or_insert(person) != person {
            return Err("two persons have one sub".into());
        }
        if self.logins.get().is_multiple_of(SAMPLE) {
            self.tokens.borrow_mut().push(token);
        }
        self.logins.set(self.logins.get() + 1);
        Ok(())
    }

    /// How many logins are in it.
    pub(crate) fn logins(&self) -> u64 {
        self.logins.get()
    }

    /// Verifies the signatures of the sample.
    pub(crate) fn verify(&self, keys: &jsonwebtoken::jwk::JwkSet) -> Result<usize> {
        let tokens = self.tokens.borrow();
        for token in tokens.iter() {
            let header = jsonwebtoken::decode_header(token)?;
            let key = header.kid.as_deref().and_then(|kid| keys.find(kid));
            let key =
                jsonwebtoken::DecodingKey::from_jwk(key.ok_or("an id_token of no known key")?)?;
            let mut validation = jsonwebtoken::Validation::new(header.alg);
            validation.validate_aud = false;
            jsonwebtoken::decode::<Value>(token, &key, &validation)?;
        }
        Ok(tokens.len())
    }
}
