//! People who sign in whatever happens: their pages and phones do what ours do, with the patience that those have.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use saoma::try_it::actors::{Asked, Browser, Page, Phone, Reply, Told, scene_in};
use serde_json::json;
use tokio::{task::JoinSet, time::Instant};

use crate::{counts::Counts, stage::Stage};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "https://blog.example.com/callback";

/// How long a page may take to be told after the phone was: the longest outage, and a second look.
const TOLD: Duration = Duration::from_secs(20);

/// How long one step is tried again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everybody, until they go.
pub(crate) struct Crowd {
    going: Arc<AtomicBool>,
    people: JoinSet<()>,
}

impl Crowd {
    pub(crate) fn comes(many: u32, stage: &Stage, counts: &Arc<Counts>) -> Self {
        let going = Arc::new(AtomicBool::new(false));
        let mut people = JoinSet::new();
        for n in 0..many {
            let (going, counts) = (going.clone(), counts.clone());
            let (saoma, wechat) = (stage.url.clone(), stage.wechat.clone());
            people.spawn(async move {
                // Two places for each person: some of their first sign-ins meet at different nodes.
                let mut visit = 0;
                while !going.load(Ordering::Relaxed) {
                    let person = Person {
                        name: format!("person {} {}", n / 2, visit / 8),
                        saoma: &saoma,
                        wechat: &wechat,
                        counts: &counts,
                    };
                    person.signs_in().await;
                    visit += 1;
                }
            });
        }
        Self { going, people }
    }

    /// Everybody ends what they are at.
    pub(crate) async fn goes(mut self) {
        self.going.store(true, Ordering::Relaxed);
        while let Some(ended) = self.people.join_next().await {
            ended.unwrap();
        }
    }
}

struct Person<'a> {
    name: String,
    saoma: &'a str,
    wechat: &'a str,
    counts: &'a Counts,
}

/// How an answer is taken.
enum Answer<T> {
    Good(T),
    /// It is tried again.
    Later,
    /// A refusal, by its code.
    No(String),
}

impl Person<'_> {
    /// One sign-in, from the site's button to the site's own session. Ends early only where nobody had approved yet.
    async fn signs_in(&self) {
        // A browser and a phone of their own for each: their connections go to whichever node has its turn.
        let browser = Browser::new(self.saoma).unwrap();
        let phone = Phone::of(&self.name, self.saoma, self.wechat);
        let Some(page) = self.opens(&browser).await else { return };
        let Some(scene) = self.sees_code(&browser, &page).await else { return };
        let until = Instant::now() + PATIENCE;
        let watching = self.waits(&browser, &page);
        let acting = self.approves(&phone, &scene, until);
        tokio::pin!(watching);
        tokio::select! {
            // The page may hear of it before the phone does, and that its ticket is gone before the phone says anything.
            seen = &mut watching => match seen.as_str() {
                "approved" => {}
                "gone" | "expired" => return self.counts.anew(),
                other => return self.counts.wrong(format!("a page saw {other}")),
            },
            approved = acting => {
                if !approved {
                    return self.counts.anew();
                }
                // From here on nothing may be lost: the phone was told yes.
                match tokio::time::timeout(TOLD, watching).await {
                    Err(_) => {
                        let asked = browser.get(&format!("/api/tickets/{}", page.ticket)).await;
                        let stands = asked.map_or_else(|error| error, |reply| reply.text());
                        return self.counts.hanging(format!(
                            "{}'s page was not told in {TOLD:?}; who asks hears {stands}",
                            self.name
                        ));
                    }
                    Ok(seen) if seen == "approved" => {}
                    Ok(seen) => {
                        return self.counts.lost(format!("{} had approved, the page saw {seen}", self.name));
                    }
                }
            }
        }
        let Some(code) = self.claims(&browser, &page).await else { return };
        self.redeems(&code).await;
    }

    async fn opens(&self, browser: &Browser) -> Option<Page> {
        let asks = format!(
            "/oauth2/authorize?client_id=blog&response_type=code&scope=openid&state=s&redirect_uri={REDIRECT}&code_challenge={CHALLENGE}&code_challenge_method=S256"
        );
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let reply = browser.goes_to(&asks).await;
            if let Answer::Good(reply) = self.takes("the login page", reply) {
                let text = reply.text();
                let ticket =
                    text.split_once("ticket=\"").and_then(|(_, rest)| rest.split_once('"'));
                if let Some((ticket, _)) = ticket {
                    return Some(Page { ticket: ticket.to_owned() });
                }
                self.counts.wrong(format!("a login page without a code: {text}"));
                return None;
            }
            pause(300).await;
        }
        self.counts.hanging(format!("no page for {} in {PATIENCE:?}", self.name));
        None
    }

    async fn sees_code(&self, browser: &Browser, page: &Page) -> Option<String> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let reply = browser.get(&format!("/api/tickets/{}/code", page.ticket)).await;
            match self.takes("the code", reply) {
                Answer::Good(reply) => {
                    let body = reply.body;
                    let read = tokio::task::spawn_blocking(move || {
                        let read = saoma::try_it::actors::read_qr(&body);
                        // Whether the picture came whole (a JPEG ends so) says whose fault it is.
                        let (len, whole) = (body.len(), body.ends_with(&[0xff, 0xd9]));
                        read.and_then(|text| scene_in(&text)).unwrap_or_else(|error| {
                            panic!("a code cannot be read: {error}; {len} bytes, whole: {whole}")
                        })
                    });
                    return Some(read.await.unwrap());
                }
                // The ticket is gone with a Redis that came back empty.
                Answer::No(_) => {
                    self.counts.anew();
                    return None;
                }
                Answer::Later => pause(300).await,
            }
        }
        self.counts.hanging(format!("no code for {} in {PATIENCE:?}", self.name));
        None
    }

    /// Watches until something final is seen, over as many sockets as that takes.
    async fn waits(&self, browser: &Browser, page: &Page) -> String {
        loop {
            match browser.watches(page).await {
                Ok(mut watch) => {
                    while let Ok(state) = watch.sees_state().await {
                        match state.as_str() {
                            "waiting" | "scanned" => {}
                            "approved" | "denied" | "expired" => return state,
                            // The node stops or the ticket is gone: the next look tells.
                            _ => break,
                        }
                    }
                }
                Err(refused) if refused == "404" => return "gone".to_owned(),
                Err(refused) if refused == "503" => self.counts.busy(),
                Err(refused) if refused.len() == 3 => {
                    self.counts.wrong(format!("a socket was refused with {refused}"));
                }
                Err(_) => self.counts.broken(),
            }
            pause(500).await;
        }
    }

    /// Scans and says yes, each again for as long as there is no answer. False: the ticket was gone before any yes.
    async fn approves(&self, phone: &Phone, scene: &str, until: Instant) -> bool {
        let mut asked: Option<Asked> = None;
        while Instant::now() < until {
            match &asked {
                None => match self.hears(phone.scans(scene, 1047).await) {
                    Answer::Good(shown) => asked = Some(shown),
                    Answer::No(code) if code.ends_with("already_decided") => return true,
                    Answer::No(_) => return false,
                    Answer::Later => pause(300).await,
                },
                Some(shown) => match self.hears(phone.approves(shown).await) {
                    Answer::Good(()) => return true,
                    Answer::No(_) => return false,
                    Answer::Later => pause(300).await,
                },
            }
        }
        false
    }

    async fn claims(&self, browser: &Browser, page: &Page) -> Option<String> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let reply = browser.calls(page, "claim").await;
            match self.takes("the claim", reply) {
                Answer::Good(reply) => {
                    let next = reply.json()["redirect_to"].as_str().unwrap_or_default().to_owned();
                    let code = next
                        .split_once("code=")
                        .map(|(_, rest)| rest.split('&').next().unwrap_or_default().to_owned());
                    if code.is_none() {
                        self.counts
                            .lost(format!("{} had approved, the claim led to {next}", self.name));
                    }
                    return code;
                }
                Answer::No(code) => {
                    self.counts
                        .lost(format!("{} had approved, the claim was refused: {code}", self.name));
                    return None;
                }
                Answer::Later => pause(300).await,
            }
        }
        self.counts.hanging(format!("{}'s claim had no answer in {PATIENCE:?}", self.name));
        None
    }

    /// The site redeems; and somebody who got hold of the code tries too, at the same moment.
    async fn redeems(&self, code: &str) {
        let until = Instant::now() + PATIENCE;
        let mut doubt = false;
        while Instant::now() < until {
            let (site, thief) = tokio::join!(self.redeem(code), self.redeem(code));
            let both = [site, thief].map(|reply| self.takes("the token endpoint", reply));
            let given: Vec<_> = both
                .iter()
                .filter_map(|answer| match answer {
                    Answer::Good(reply) => Some(reply.json()),
                    _ => None,
                })
                .collect();
            if given.len() > 1 {
                return self
                    .counts
                    .twice(format!("two redemptions of {}'s code gave tokens", self.name));
            }
            if let [tokens] = &given[..] {
                return self
                    .counts
                    .login(&self.name, &sub(tokens["id_token"].as_str().unwrap_or_default()));
            }
            // An answer that was lost may have consumed the code.
            doubt |= both.iter().any(|answer| matches!(answer, Answer::Later));
            if both.iter().any(|answer| matches!(answer, Answer::No(_))) {
                if doubt {
                    return self.counts.doubtful();
                }
                return self
                    .counts
                    .lost(format!("{}'s code was refused, and nobody had redeemed it", self.name));
            }
            pause(300).await;
        }
        self.counts.hanging(format!("{}'s code could not be redeemed in {PATIENCE:?}", self.name));
    }

    async fn redeem(&self, code: &str) -> Told<Reply> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("client_id", "blog"),
            ("code_verifier", VERIFIER),
        ];
        Reply::of(reqwest::Client::new().post(format!("{}/oauth2/token", self.saoma)).form(&form))
            .await
    }

    /// An answer of HTTP: what may be tried again must say so.
    fn takes(&self, what: &str, reply: Told<Reply>) -> Answer<Reply> {
        let Ok(reply) = reply else {
            self.counts.broken();
            return Answer::Later;
        };
        match reply.status.as_u16() {
            200..=299 => Answer::Good(reply),
            502 | 503 if reply.header("retry-after").is_empty() => {
                self.counts
                    .wrong(format!("{what} answered {} without Retry-After", reply.problem()));
                Answer::Later
            }
            502 | 503 => {
                self.counts.busy();
                Answer::Later
            }
            500.. => {
                self.counts.wrong(format!("{what} answered {}", reply.problem()));
                Answer::Later
            }
            _ => Answer::No(reply.problem()),
        }
    }

    /// The same of what a phone heard, of which only status and code are left.
    fn hears<T>(&self, told: Told<T>) -> Answer<T> {
        match told {
            Ok(good) => Answer::Good(good),
            Err(problem) if problem.starts_with("502") || problem.starts_with("503") => {
                self.counts.busy();
                Answer::Later
            }
            Err(problem) if problem.starts_with('5') => {
                self.counts.wrong(format!("a phone heard {problem}"));
                Answer::Later
            }
            Err(problem) if problem.starts_with('4') => Answer::No(problem),
            Err(_) => {
                self.counts.broken();
                Answer::Later
            }
        }
    }
}

/// Who the id_token speaks of. That it is signed is shown elsewhere.
fn sub(id_token: &str) -> String {
    use base64::Engine as _;
    let payload = id_token.split('.').nth(1).unwrap_or_default();
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    let claims: serde_json::Value = serde_json::from_slice(&json).unwrap_or(json!({}));
    claims["sub"].as_str().unwrap_or_default().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "people wait in real time")]
async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
