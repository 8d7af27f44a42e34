//! WeChat's part, played without its quota and without its cost.
//!
//! WeChat makes 5,000 codes a minute for one AppID; no figure beyond that could be measured against it or against anything
//! that keeps its rules, as the pretend WeChat does. This one says yes to everything. A picture is a JPEG's first and last
//! bytes with the scene between them, as large as a re-encoded code, so that a phone of ours can read it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{Result, wire::find};

/// How large a picture is: about what a code takes once it has been re-encoded.
const PICTURE: usize = 1024;
const MARK: &[u8] = b"scene=";

/// The stub, and what it has been asked.
#[derive(Clone)]
pub(crate) struct Stub {
    pub(crate) url: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    codes: AtomicU64,
    sessions: AtomicU64,
    slow_ms: AtomicU64,
}

impl Stub {
    /// Listens on a free port until the program ends.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let seen = Arc::<Seen>::default();
        let shared = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = shared.clone();
                tokio::spawn(async move {
                    // Who hangs up is not missed.
                    let _ = serve(stream, &seen).await;
                });
            }
        });
        Ok(Self { url, seen })
    }

    /// From now on every code takes this long.
    pub(crate) fn takes(&self, time: Duration) {
        self.seen.slow_ms.store(u64::try_from(time.as_millis()).unwrap_or(0), Ordering::Relaxed);
    }

    /// How many codes it has made.
    pub(crate) fn codes(&self) -> u64 {
        self.seen.codes.load(Ordering::Relaxed)
    }
}

async fn serve(mut stream: TcpStream, seen: &Seen) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let (head, body) = loop {
            if let Some(end) = find(&buffer, b"\r\n\r\n") {
                let head =
                    String::from_utf8_lossy(buffer.get(..end).unwrap_or_default()).into_owned();
                let length = head
                    .lines()
                    .filter_map(|line| line.split_once(':'))
                    .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                    .map_or(Ok(0), |(_, value)| value.trim().parse::<usize>())?;
                if buffer.len() >= end + 4 + length {
                    let body = buffer.get(end + 4..end + 4 + length).unwrap_or_default().to_vec();
                    buffer.drain(..end + 4 + length);
                    break (head, body);
                }
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let target = head.split(' ').nth(1).unwrap_or_default();
        let (kind, answer) = if target.starts_with("/wxa/getwxacode") {
            let slow = seen.slow_ms.load(Ordering::Relaxed);
            if slow > 0 {
                tokio::time::sleep(Duration::from_millis(slow)).await;
            }
            seen.codes.fetch_add(1, Ordering::Relaxed);
            let order: serde_json::Value = serde_json::from_slice(&body)?;
            ("image/jpeg", picture(scene_of(&order).ok_or("a code of no scene was asked for")?))
        } else if target.starts_with("/sns/jscode2session") {
            seen.sessions.fetch_add(1, Ordering::Relaxed);
            ("application/json", session(target).into_bytes())
        } else {
            let token = "x".repeat(136);
            (
                "application/json",
                format!(r#"{{"access_token":"{token}","expires_in":7200}}"#).into_bytes(),
            )
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all(&[head.as_bytes(), &answer].concat()).await?;
    }
}

fn scene_of(order: &serde_json::Value) -> Option<&str> {
    order.get("scene")?.as_str()
}

fn picture(scene: &str) -> Vec<u8> {
    let mut bytes = [&[0xff, 0xd8, 0xff, 0xfe, 0x0f, 0xf0], MARK, scene.as_bytes(), b";"].concat();
    bytes.resize(PICTURE - 2, 0x20);
    bytes.extend([0xff, 0xd9]);
    bytes
}

/// The scene in a picture: what a phone reads.
pub(crate) fn scene_in(picture: &[u8]) -> Result<String> {
    let begin = find(picture, MARK).ok_or("a picture without a scene")? + MARK.len();
    let rest = picture.get(begin..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == b';').ok_or("a scene without an end")?;
    Ok(String::from_utf8(rest.get(..end).unwrap_or_default().to_vec())?)
}

/// The js_code names its person before the first dash.
fn session(target: &str) -> String {
    let code = target.split(['?', '&']).find_map(|pair| pair.strip_prefix("js_code="));
    let person = code.and_then(|code| code.split('-').next()).unwrap_or_default();
    format!(r#"{{"openid":"o{person}","session_key":"dGhlIHNhbXBsZSBub25jZQ=="}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_reads_the_scene_off_the_picture() {
        let drawn = picture("4Dk2xPq7");
        assert_eq!(drawn.len(), PICTURE);
        assert_eq!(scene_in(&drawn).unwrap(), "4Dk2xPq7");
        assert!(scene_in(b"no picture").is_err());
    }

    #[test]
    fn a_js_code_names_its_person() {
        let said = session("/sns/jscode2session?appid=a&secret=s&js_code=p17-99&grant_type=x");
        assert!(said.contains("\"op17\""), "{said}");
    }
}
