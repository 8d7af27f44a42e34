//! What fuzzers throw bytes at: everything that reads what strangers send. `fuzz/` runs each of them for as long as one
//! likes; the tests below run them over a corpus, and over bytes made up on the spot.
//!
//! A target returns, or has found something: what must hold beyond "no panic" stands in it as an assertion.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a target that panics has found something")]

use std::{net::IpAddr, sync::OnceLock, time::Duration};

use aws_lc_rs::digest;
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderValue, Request, header},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

use crate::{
    app::SharedApp,
    grant, http,
    person::Identity,
    picture,
    region::Regions,
    secret::{Hashed, Secret},
    site::Site,
    waiting::Waiting,
    world::{Timestamp, World},
};

/// Reads bytes.
pub type Target = fn(&[u8]);

/// All of them, by the name of their corpus.
pub const TARGETS: [(&str, Target); 12] = [
    ("answer", answer),
    ("avatar", avatar),
    ("code", code),
    ("frame", frame),
    ("headers", headers),
    ("pkce", pkce),
    ("redirect", redirect),
    ("region", region),
    ("request", request),
    ("scene", scene),
    ("site", site),
    ("token", token),
];

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// The first line, and what follows.
fn halves(bytes: &[u8]) -> (String, String) {
    let text = text(bytes);
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    (first.to_owned(), rest.to_owned())
}

/// What WeChat answers: status in the first two bytes.
pub fn answer(bytes: &[u8]) {
    #[cfg(feature = "fuzzing")]
    if let Some((status, body)) = bytes.split_first_chunk::<2>() {
        let status = u16::from_be_bytes(*status);
        // Mostly a good one, since any other ends the reading.
        wechat::answered(if status < 0x8000 { 200 } else { status }, body);
    }
    #[cfg(not(feature = "fuzzing"))]
    let _ = bytes;
}

/// A picture that a person sends: pixels come out, or nothing.
pub fn avatar(bytes: &[u8]) {
    let sent = base64::engine::general_purpose::STANDARD.encode(bytes);
    for base64 in [sent.as_str(), &text(bytes)] {
        if let Some(kept) = http::fuzzed::avatar(base64) {
            assert!(kept.is_empty() || kept.starts_with(&[0xff, 0xd8, 0xff]), "not drawn anew");
            assert!(kept.len() < 256 * 1024);
        }
    }
}

/// A picture that WeChat sends.
pub fn code(bytes: &[u8]) {
    if let Ok(small) = picture::four_greys(bytes) {
        assert!(small.starts_with(b"\x89PNG"));
    }
}

/// What a page says on its WebSocket: a frame is whole or waits, takes no more than is there, and its answer fits in one.
pub fn frame(bytes: &[u8]) {
    #[cfg(target_os = "linux")]
    {
        use crate::waiting::frame::{Said, read};
        let mut rest = bytes;
        while let Some((said, taken)) = read(rest) {
            assert!(taken > 0 && taken <= rest.len(), "{said:?} takes {taken} of {}", rest.len());
            if let Said::Ping(payload) = &said {
                assert!(payload.len() <= 125);
            }
            if !matches!(said, Said::Wrong(_)) {
                assert_eq!(
                    read(rest.get(..taken).unwrap()),
                    Some((said, taken)),
                    "by itself it is the same"
                );
                assert_eq!(
                    read(rest.get(..taken - 1).unwrap()),
                    None,
                    "a byte less is not all of it"
                );
            }
            rest = rest.get(taken..).unwrap();
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = bytes;
}

/// What callers say of themselves in headers: nobody becomes a trusted proxy, and what phones show is a few words.
pub fn headers(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let stage = stage();
    let map: HeaderMap = http::fuzzed::READ.into_iter().map(|name| (name, value.clone())).collect();
    let (_, shown) = stage.runtime.block_on(http::fuzzed::caller(&stage.app, map));
    assert!(shown.len() < 64, "{shown}");
    assert!(!crate::site::misleading(&shown), "{shown}");
}

/// What the blog asks for.
fn asked(challenge: &str, scopes: &str) -> grant::Request {
    let asked = serde_json::json!({
        "site": "blog", "redirect_uri": "https://blog.example.com/cb", "scopes": grant::Scopes::parse(scopes),
        "code_challenge": challenge,
    });
    serde_json::from_value(asked).unwrap()
}

/// A challenge, and the verifier that follows it on the next line.
pub fn pkce(bytes: &[u8]) {
    let (challenge, verifier) = halves(bytes);
    let site = Site::new("blog", "My blog");
    if grant::check_pkce(&site, true, Some(&challenge), Some("S256")).is_err() {
        return;
    }
    assert_eq!(challenge.len(), 43);
    let uri = "https://blog.example.com/cb";
    let request = asked(&challenge, &verifier);
    let (now, until) = (Timestamp::from_millis(0), Timestamp::from_millis(1));
    let redeemed =
        grant::check_redemption(&request, "blog", Some(uri), Some(&verifier), until, now);
    let made = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    if redeemed.is_ok() {
        assert!(made == challenge && verifier.len() >= 43, "proven by what proves nothing");
    }
}

/// An address that was registered, and one that is asked for: the same to the letter, or this machine with another port.
pub fn redirect(bytes: &[u8]) {
    let (registered, asked) = halves(bytes);
    let mut site = Site::new("blog", "My blog");
    site.redirect_uris = vec![registered.clone()];
    if site.allows_redirect(&asked) && registered != asked {
        let (known, given) =
            (url::Url::parse(&registered).unwrap(), url::Url::parse(&asked).unwrap());
        assert_eq!((known.scheme(), given.scheme()), ("http", "http"));
        assert!(crate::site::is_loopback(&given), "{asked}");
        assert_eq!(known.host(), given.host());
        assert_eq!((known.path(), known.query()), (given.path(), given.query()));
    }
    assert!(!site.allows_post_logout(&asked) && !site.allows_origin(&asked));
}

/// A file of regions, as it may be damaged on its way to the operator.
pub fn region(bytes: &[u8]) {
    let Ok(regions) = Regions::read(bytes.to_vec()) else { return };
    for address in ["1.2.3.4", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::", "ffff::"] {
        let address: IpAddr = address.parse().unwrap();
        if let Some(region) = regions.of(address) {
            assert!(!region.area.is_empty());
        }
        assert!(!regions.differ(address, address));
    }
}

/// The name in a code, and what wx.login gave.
pub fn scene(bytes: &[u8]) {
    let text = text(bytes);
    if wechat::Scene::new(&*text).is_ok() {
        assert!((1..=32).contains(&text.len()) && text.is_ascii());
    }
    if wechat::JsCode::new(&*text).is_ok() {
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}

/// A site as it is registered by a command: what has no faults can be shown and sent to.
pub fn site(bytes: &[u8]) {
    let Ok(site) = serde_json::from_slice::<Site>(bytes) else { return };
    if site.faults().is_empty() {
        assert!(!crate::site::misleading(&site.name));
        for uri in site.redirect_uris.iter().chain(&site.post_logout_redirect_uris) {
            let scheme = url::Url::parse(uri).unwrap().scheme().to_owned();
            assert!(scheme == "https" || scheme == "http" || scheme.contains('.'), "{uri}");
            assert!(
                !["javascript", "data", "vbscript", "blob", "file"].contains(&&*scheme),
                "{uri}"
            );
        }
    }
}

/// An id_token_hint or an access token: none that was not signed here says anything.
pub fn token(bytes: &[u8]) {
    let stage = stage();
    let text = text(bytes);
    for typ in ["JWT", "at+jwt", "logout+jwt"] {
        assert_eq!(stage.app.keys.verify(&text, typ), None, "nobody signed this");
    }
}

/// A whole request as text: its first line, its headers, an empty line, its body. `{ticket}`, `{key}`, `{cookie}`,
/// `{scene}`, `{phone}` and `{digits}` stand for living ones.
pub fn request(bytes: &[u8]) {
    let stage = stage();
    let text = stage
        .names
        .iter()
        .fold(text(bytes).into_owned(), |text, (name, value)| text.replace(name, value));
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let Some((method, path)) = lines.next().and_then(|line| line.split_once(' ')) else { return };
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    let Ok(request) = request.body(Body::from(body.to_owned())) else { return };
    stage.runtime.block_on(async {
        // A poll waits for a clock that stands still.
        let answered =
            tokio::time::timeout(Duration::from_millis(500), stage.router.clone().oneshot(request));
        let Ok(Ok(response)) = answered.await else { return };
        let status = response.status().as_u16();
        assert!(status < 500 || [502, 503].contains(&status), "{status} to {text}");
        for name in ["x-content-type-options", "content-security-policy", "referrer-policy"] {
            assert!(
                response.headers().contains_key(name),
                "{name} is missing from the answer to {text}"
            );
        }
        let content_type = response.headers().get(header::CONTENT_TYPE).cloned();
        if content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream")) {
            return;
        }
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let said = String::from_utf8_lossy(&body);
        for secret in [SECRET, SITE_SECRET, OPENID] {
            assert!(
                !said.contains(secret) || path.starts_with("/api/phone/me"),
                "{secret} in the answer to {text}"
            );
        }
    });
}

const SECRET: &str = "fedcba0987654321fedcba0987654321";
const SITE_SECRET: &str = "a secret of the shop";
const OPENID: &str = "o-of-somebody-who-scanned";

/// A saoma whose WeChat is away, with a waiting ticket in it and a scanned one.
struct Stage {
    runtime: Runtime,
    app: SharedApp,
    router: Router,
    names: Vec<(&'static str, String)>,
    _folder: tempfile::TempDir,
}

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (app, names) = runtime.block_on(set(folder.path()));
        Stage { router: http::public(app.clone()), runtime, app, names, _folder: folder }
    })
}

pub(crate) async fn set(folder: &std::path::Path) -> (SharedApp, Vec<(&'static str, String)>) {
    use crate::{config::Settings, login, risk, run, store, ticket::Kind, tickets::memory::Memory};
    let file = folder.join("saoma.toml");
    let written = format!(
        "public_url = \"http://127.0.0.1:8080\"\ntrusted_proxies = [\"0.0.0.0\"]\n[limits]\noff = true\n\
         [wechat]\nappid = \"wx1\"\nsecret = \"{SECRET}\"\nbase_url = \"http://127.0.0.1:9\"\npool = 0\n\
         [[site]]\nid = \"blog\"\nname = \"My blog\"\nredirect_uris = [\"https://blog.example.com/cb\"]\n\
         origins = [\"https://blog.example.com\"]\n\
         [[site]]\nid = \"shop\"\nname = \"The shop\"\nredirect_uris = [\"https://shop.example.com/cb\"]\nsecret = \"{SITE_SECRET}\"\n"
    );
    std::fs::write(&file, written).unwrap();
    let settings =
        Settings::load(Some(&file), std::iter::empty()).unwrap_or_else(|faults| panic!("{faults}"));
    let waiting = std::sync::Arc::new(Waiting::default());
    let world = World::held(Timestamp::from_millis(1_800_000_000_000), 7);
    let store: store::SharedStore =
        std::sync::Arc::new(store::sqlite::Sqlite::open(&folder.join("saoma.db")).unwrap());
    let tickets = std::sync::Arc::new(Memory::new(waiting.clone()));
    let app = run::assemble(settings, world, store, tickets, waiting).await.unwrap();
    let site = app.sites.get("blog").unwrap();
    let request = asked("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "openid profile");
    let browser = crate::ticket::Browser {
        name: "Firefox".to_owned(),
        os: "Linux".to_owned(),
        address: IpAddr::from([192, 0, 2, 1]),
        region: None,
    };
    let open = async |opener| {
        login::open(&app, &site, request.clone(), opener, Kind::OnPhone, browser.clone())
            .await
            .unwrap()
    };
    let waiting = open(login::Opener::Page { origin: "https://blog.example.com".to_owned() }).await;
    let key = waiting.key.as_ref().unwrap().reveal().to_owned();
    let cookie = Secret::new(&app.world);
    let scanned = open(login::Opener::Browser { cookie: cookie.hashed(), session: None }).await;
    let seen = app.tickets.by_id(scanned.ticket.hashed()).await.unwrap().unwrap();
    let identity = Identity { appid: "wx1".to_owned(), openid: OPENID.to_owned(), unionid: None };
    let token = Secret::new(&app.world);
    let signals = risk::Signals {
        entry: risk::Entry::Album,
        kind: Kind::Page,
        same_network: false,
        other_region: true,
        same_system: false,
        known_browser: false,
        known_site: false,
    };
    let risk = risk::Risk::of(signals, risk::Policy::Normal, risk::Matching::Auto);
    let scanner = crate::ticket::Scanner {
        identity: identity.clone(),
        token: token.hashed(),
        risk,
        face: None,
    };
    let (now, life) = (app.world.now(), app.settings.ticket.life);
    let next = seen.ticket.clone().scan(scanner, now, life, &app.world).unwrap();
    let scene = next.scene.clone();
    assert!(app.tickets.swap(&seen, next).await.unwrap());
    let phone = Secret::new(&app.world);
    let until = now + Duration::from_secs(24 * 3600);
    app.store.open_phone(phone.hashed(), &identity, until).await.unwrap();
    let own = crate::ticket::Presented { key: Some(Hashed::of(&key)), cookie: None };
    let id = waiting.ticket.hashed();
    let (digits, _) = login::digits(&app, id, own, Some("https://blog.example.com")).await.unwrap();
    let names = vec![
        ("{ticket}", waiting.ticket.reveal().to_owned()),
        ("{key}", key),
        ("{cookie}", cookie.reveal().to_owned()),
        ("{scanned}", scanned.ticket.reveal().to_owned()),
        ("{scene}", scene),
        ("{token}", token.reveal().to_owned()),
        ("{phone}", phone.reveal().to_owned()),
        ("{digits}", digits),
    ];
    (app, names)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::{
        prelude::*,
        test_runner::{Config, TestRunner},
    };

    use super::*;

    /// What stands in the corpus of a target.
    fn corpus(name: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
        let files = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    /// A thing of the corpus with some of it changed, repeated, left out or put elsewhere; or bytes out of nowhere.
    fn thrown(seeds: &[Vec<u8>]) -> impl Strategy<Value = Vec<u8>> + use<> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..24);
        let words = "[ -~\n]{0,24}".prop_map(String::into_bytes);
        let seed = proptest::sample::select(seeds.to_vec());
        let spliced = (
            seed,
            any::<(prop::sample::Index, prop::sample::Index)>(),
            prop_oneof![bytes(), words],
        )
            .prop_map(|(seed, (from, to), put)| {
                let (one, other) = (from.index(seed.len() + 1), to.index(seed.len() + 1));
                let (from, to) = (one.min(other), one.max(other));
                let to = if put.len() % 2 == 0 { from } else { to };
                [seed.get(..from).unwrap(), &put, seed.get(to..).unwrap()].concat()
            });
        prop_oneof![4 => spliced, 1 => proptest::collection::vec(any::<u8>(), 0..300)]
    }

    #[test]
    fn nothing_that_strangers_send_breaks_what_reads_it() {
        for (name, target) in TARGETS {
            let seeds = corpus(name);
            assert!(!seeds.is_empty(), "{name} has no corpus");
            seeds.iter().for_each(|seed| target(seed));
            // Pictures and whole requests cost more than a few bytes.
            let cases = if ["avatar", "code", "region"].contains(&name) { 60 } else { 400 };
            let mut runner =
                TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
            let found = runner.run(&thrown(&seeds), |bytes| {
                target(&bytes);
                Ok(())
            });
            assert!(found.is_ok(), "{name}: {found:?}");
        }
    }

    #[test]
    fn every_target_is_a_fuzzers_too() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
        for (name, _) in TARGETS {
            let file = std::fs::read_to_string(folder.join(format!("{name}.rs"))).unwrap();
            assert!(file.contains(&format!("saoma::fuzz::{name}(")), "{name}");
        }
    }
}
