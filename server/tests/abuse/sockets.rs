//! Slow and odd peers: dropped in time, with nobody else delayed.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use saoma::{
    http::Door,
    tls::{Files, Tls},
    world::World,
};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::TlsConnector;

use crate::stage::{Play, in_time, origin, seen};

/// Half a second for what takes ten or twenty in earnest.
const HASTY: [(&str, &str); 3] = [
    ("SAOMA_LIMITS__HEAD_TIME", "500ms"),
    ("SAOMA_LIMITS__BODY_TIME", "500ms"),
    ("SAOMA_LIMITS__STALLED_TIME", "500ms"),
];

async fn connect(play: &Play) -> TcpStream {
    TcpStream::connect(play.at.saoma.trim_start_matches("http://")).await.unwrap()
}

/// Everything the server says until it hangs up.
async fn told(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    // Hung up on with a reset is hung up on.
    let _ = in_time(stream.read_to_end(&mut all)).await;
    String::from_utf8_lossy(&all).into_owned()
}

/// Somebody else signs in meanwhile, and is not kept waiting.
async fn others_go_on(play: &Play) {
    let world = World::real();
    let begun = world.now();
    let browser = play.browser("192.0.2.77");
    let (page, scene) = play.page(&browser).await;
    let phone = play.phone("ann", "198.51.100.77");
    let asked = phone.scans(&scene, 1047).await.unwrap();
    phone.approves(&asked).await.unwrap();
    assert_eq!(browser.calls(&page, "claim").await.unwrap().status, 200);
    let took = world.now().since(begun);
    assert!(took.as_secs() < 5, "a sign-in took {took:?}");
}

#[tokio::test]
async fn slowloris_is_hung_up_on_while_others_sign_in() {
    let play = Play::new().await;
    // Who is honest has all the time that there is by default: this machine may be busy.
    let hasty = |door| Door { head_time: Duration::from_millis(500), ..door };
    let door = play.door(hasty).await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(door).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: saoma\r\nX-Slow: ").await.unwrap();
        slow.push(stream);
    }
    others_go_on(&play).await;
    for stream in &mut slow {
        told(stream).await;
    }
    seen(|| play.app.limits.sockets.taken_in_all() < 20).await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_hung_up_on() {
    let play = Play::with(&HASTY).await;
    let mut mute = connect(&play).await;
    assert_eq!(told(&mut mute).await, "");
    // The same after a first request: kept alive, but not for ever.
    let mut idle = connect(&play).await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: saoma\r\n\r\n").await.unwrap();
    assert!(told(&mut idle).await.ends_with("ok"));
}

#[tokio::test]
async fn a_body_that_drips_is_given_up() {
    let play = Play::with(&HASTY).await;
    let mut slow = connect(&play).await;
    let head = "POST /api/phone/session HTTP/1.1\r\nHost: saoma\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"js";
    slow.write_all(head.as_bytes()).await.unwrap();
    let said = told(&mut slow).await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(said.contains("request_timeout"), "{said}");
}

#[tokio::test]
async fn a_stranger_is_answered_before_their_picture_comes() {
    // With all the time that there is by default: nobody waits for it.
    let play = Play::new().await;
    let mut stranger = connect(&play).await;
    let head = "PUT /api/phone/profile HTTP/1.1\r\nHost: saoma\r\nContent-Type: application/json\r\nContent-Length: 500000\r\n\r\n{";
    stranger.write_all(head.as_bytes()).await.unwrap();
    let mut said = [0; 12];
    stranger.read_exact(&mut said).await.unwrap();
    assert_eq!(said, *b"HTTP/1.1 401");
}

#[tokio::test]
async fn giant_heads_and_bodies_are_refused() {
    let play = Play::new().await;
    for header in [format!("X-Large: {}\r\n", "a".repeat(15_000)), "X-Many: 1\r\n".repeat(98)] {
        let mut large = connect(&play).await;
        let head =
            format!("GET /healthz HTTP/1.1\r\nHost: saoma\r\n{header}Connection: close\r\n\r\n");
        large.write_all(head.as_bytes()).await.unwrap();
        assert!(told(&mut large).await.starts_with("HTTP/1.1 200"), "{}", head.len());
    }
    let mut giant = connect(&play).await;
    let head =
        format!("GET / HTTP/1.1\r\nHost: saoma\r\nX-Giant: {}\r\n\r\n", "a".repeat(17 * 1024));
    let _ = giant.write_all(head.as_bytes()).await;
    assert!(told(&mut giant).await.starts_with("HTTP/1.1 431"));

    let mut many = connect(&play).await;
    let head = format!("GET / HTTP/1.1\r\nHost: saoma\r\n{}\r\n", "X-Many: 1\r\n".repeat(100));
    let _ = many.write_all(head.as_bytes()).await;
    assert!(told(&mut many).await.starts_with("HTTP/1.1 431"));

    let browser = play.browser("192.0.2.1");
    let body = serde_json::json!({ "state": "s".repeat(65 * 1024) });
    let reply = browser.posts("/api/tickets", &body, "https://blog.example.com").await.unwrap();
    assert_eq!(reply.problem(), "413 payload_too_large");
}

#[tokio::test]
async fn a_request_of_two_minds_about_its_length_is_refused() {
    let play = Play::new().await;
    for lengths in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
    ] {
        let mut smuggler = connect(&play).await;
        let request = format!(
            "POST /api/phone/session HTTP/1.1\r\nHost: saoma\r\n{lengths}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: saoma\r\n\r\n"
        );
        smuggler.write_all(request.as_bytes()).await.unwrap();
        let said = told(&mut smuggler).await;
        assert!(said.starts_with("HTTP/1.1 4"), "{lengths}: {said}");
        assert!(!said.ends_with("ok"), "the hidden request was answered: {said}");
    }
}

#[tokio::test]
async fn odd_request_lines_are_answered_or_hung_up_on_and_never_a_fault_of_ours() {
    let play = Play::new().await;
    for head in [
        "GET http://evil.example/ HTTP/1.1\r\nHost: saoma",
        "GET http://evil.example/oauth2/jwks HTTP/1.1\r\nHost: saoma",
        "OPTIONS * HTTP/1.1\r\nHost: saoma",
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443",
        "GET / HTTP/1.0",
        "GET /",
        "get / http/1.1\r\nhost: saoma",
        "PRI * HTTP/2.0",
        "GET /\u{0} HTTP/1.1\r\nHost: saoma",
        "GET /ü HTTP/1.1\r\nHost: saoma",
        "GET /%zz?%zz=%zz HTTP/1.1\r\nHost: saoma",
        "GET /../../etc/passwd HTTP/1.1\r\nHost: saoma",
        "GET //evil.example/%2e%2e HTTP/1.1\r\nHost: saoma",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b",
        "GET / HTTP/1.1\r\nHost: saoma\r\nContent-Length: -1",
        "GET / HTTP/1.1\r\nHost: saoma\r\n folded: x",
        "GET / HTTP/1.1\r\nHost: saoma\r\nExpect: 200-fine",
        "GET /api/tickets/x/ws HTTP/1.1\r\nHost: saoma\r\nOrigin: null\r\nConnection: Upgrade\r\nUpgrade: h2c",
        "TRACE / HTTP/1.1\r\nHost: saoma",
    ] {
        let (status, said) = answered(&play, head).await;
        let shown: String = head.chars().take(60).collect();
        assert!(status.is_none_or(|status| (200..500).contains(&status)), "{shown}: {said}");
        assert!(!said.contains("root:") && !said.contains("evil.example"), "{shown}: {said}");
    }
    // What is long and whole is read to its end, and answered by who it is for.
    let long = "x".repeat(15_000);
    for (head, status) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: saoma"), 404),
        (format!("GET /oauth2/authorize?state={long} HTTP/1.1\r\nHost: saoma"), 400),
        (format!("GET /login HTTP/1.1\r\nHost: saoma\r\nCookie: saoma={long}"), 200),
    ] {
        let (said, text) = answered(&play, &head).await;
        assert_eq!(said, Some(status), "{text}");
    }
}

/// The status of the answer to this head, if there is one, and all of it.
async fn answered(play: &Play, head: &str) -> (Option<u16>, String) {
    let mut stream = connect(play).await;
    stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let said = told(&mut stream).await;
    (said.split(' ').nth(1).and_then(|word| word.parse().ok()), said)
}

/// The kernel's user timeout does it, which Linux has.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_reader_who_reads_nothing_is_dropped() {
    let play = Play::with(&HASTY).await;
    let socket = TcpSocket::new_v4().unwrap();
    // Little room, so that a few answers fill all there is between here and there.
    socket.set_recv_buffer_size(4096).unwrap();
    let address = play.at.saoma.trim_start_matches("http://").parse().unwrap();
    let mut deaf = socket.connect(address).await.unwrap();
    let asks = "GET /wechat-login.js HTTP/1.1\r\nHost: saoma\r\n\r\n".repeat(200);
    let mut asked = 0;
    while asked < 200_000 {
        let world = World::real();
        tokio::select! {
            sent = deaf.write_all(asks.as_bytes()) => if sent.is_err() { break },
            () = world.sleep_until(world.now() + std::time::Duration::from_millis(200)) => break,
        }
        asked += 200;
    }
    seen(|| play.app.limits.sockets.taken_in_all() == 0).await;
}

#[tokio::test]
async fn connections_have_places_by_address_and_in_all() {
    let play = Play::exactly(&[
        ("SAOMA_LIMITS__SOCKETS_PER_ADDRESS", "3"),
        ("SAOMA_LIMITS__SOCKETS", "4"),
    ])
    .await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(&play).await;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: saoma\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        held.push(stream);
    }
    let mut fourth = connect(&play).await;
    let said = told(&mut fourth).await;
    assert!(said.starts_with("HTTP/1.1 429") && said.contains("retry-after: 10"), "{said}");
    // Linux gives this machine all of 127.0.0.0/8: the neighbour has the last place, and nobody else one.
    let neighbour = |last: u8| async move {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, last], 0).into()).unwrap();
        socket
    };
    let address = play.at.saoma.trim_start_matches("http://").parse().unwrap();
    let mut fifth = neighbour(2).await.connect(address).await.unwrap();
    fifth.write_all(b"GET /healthz HTTP/1.1\r\nHost: saoma\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    fifth.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let mut sixth = neighbour(3).await.connect(address).await.unwrap();
    assert!(told(&mut sixth).await.starts_with("HTTP/1.1 429"));

    drop(held);
    seen(|| play.app.limits.sockets.taken_in_all() == 1).await;
    let mut again = connect(&play).await;
    again
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: saoma\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(told(&mut again).await.starts_with("HTTP/1.1 200"));
}

/// What a peer reads and writes, whatever is around it.
trait Line: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

/// A way in for a page's socket.
struct Way {
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

impl Way {
    /// In the clear, where Linux parks a socket as a bare descriptor, and over saoma's own TLS, where it has a task. What holds
    /// of one holds of the other.
    async fn both(play: &Play) -> [Self; 2] {
        let made = rcgen::generate_simple_self_signed(["login.example.com".to_owned()]).unwrap();
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| play.folder.path().join(name));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let files = Files::open(cert.to_str().unwrap(), key.to_str().unwrap()).unwrap();
        let tls = Tls::with(Arc::new(files), Default::default()).unwrap();
        let encrypted = play.door(|door| door.with_tls(Some(tls))).await;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let plain = play.at.saoma.trim_start_matches("http://").parse().unwrap();
        [
            Self { address: plain, tls: None },
            Self { address: encrypted, tls: Some(Arc::new(config).into()) },
        ]
    }

    fn name(&self) -> &'static str {
        if self.tls.is_some() { "over TLS" } else { "in the clear" }
    }

    async fn line(&self) -> Box<dyn Line> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let Some(tls) = &self.tls else { return Box::new(stream) };
        let name = ServerName::try_from("login.example.com").unwrap();
        Box::new(tls.connect(name, stream).await.unwrap())
    }

    /// The socket of a page of its own, which has been told its first state.
    async fn waits(&self, play: &Play) -> Socket {
        let (ticket, key) = play.ticket(&play.browser("192.0.2.1"), "blog").await;
        self.watches(ticket, key).await
    }

    /// A WebSocket by hand, so that it can speak as no library would.
    async fn watches(&self, ticket: String, key: String) -> Socket {
        let mut line = self.line().await;
        let request = format!(
            "GET /api/tickets/{ticket}/ws HTTP/1.1\r\nHost: saoma\r\nOrigin: https://blog.example.com\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        line.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(in_time(line.read_u8()).await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        let mut socket = Socket { line, ticket, key };
        assert_eq!(socket.hears().await, "waiting", "the state comes first, as one text frame");
        socket
    }
}

/// An open WebSocket, and whose it is.
struct Socket {
    line: Box<dyn Line>,
    ticket: String,
    key: String,
}

impl Socket {
    /// What comes next: the name of a state, "ping", "pong", or how it ended: "closed 1000", "hung up".
    async fn hears(&mut self) -> String {
        let Some((opcode, payload)) = in_time(self.frame()).await else {
            return "hung up".to_owned();
        };
        match opcode {
            0x81 => {
                let state: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                state["state"].as_str().unwrap().to_owned()
            }
            0x88 => format!("closed {}", u16::from_be_bytes([payload[0], payload[1]])),
            0x89 => "ping".to_owned(),
            0x8a => "pong".to_owned(),
            other => format!("{other:#x}"),
        }
    }

    /// The same while time passes.
    async fn hears_while(&mut self, passes: impl Fn()) -> String {
        let (moments, mut hears) = (World::real(), std::pin::pin!(self.hears()));
        loop {
            let moment = moments.sleep_until(moments.now() + Duration::from_millis(2));
            tokio::select! {
                heard = &mut hears => return heard,
                () = moment => passes(),
            }
        }
    }

    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let opcode = self.line.read_u8().await.ok()?;
        let length = self.line.read_u8().await.ok()?;
        let mut payload = vec![0; usize::from(length & 0x7f)];
        self.line.read_exact(&mut payload).await.ok()?;
        Some((opcode, payload))
    }

    /// The same without pongs.
    async fn ends(&mut self) -> String {
        loop {
            let heard = self.hears().await;
            if heard != "pong" {
                return heard;
            }
        }
    }

    async fn says(&mut self, bytes: &[u8]) {
        self.line.write_all(bytes).await.unwrap();
        self.line.flush().await.unwrap();
    }

    /// The page takes its code away: what its socket hears then.
    async fn is_cancelled(&mut self, play: &Play) -> String {
        let path = format!("/api/tickets/{}/cancel", self.ticket);
        let browser = play.browser("192.0.2.1");
        let gone = browser.posts(&path, &json!({ "key": self.key }), &origin("blog")).await;
        assert_eq!(gone.unwrap().status, 204);
        self.hears().await
    }
}

/// A frame with a mask that changes nothing.
fn frame(first: u8, length: &[u8], payload: &[u8]) -> Vec<u8> {
    [&[first], length, &[0; 4], payload].concat()
}

/// One of so many bytes, from 126 on.
fn long_frame(first: u8, bytes: u16) -> Vec<u8> {
    let [high, low] = bytes.to_be_bytes();
    frame(first, &[0xfe, high, low], &vec![b'a'; bytes.into()])
}

#[tokio::test]
async fn odd_frames_close_the_socket_that_sent_them_and_no_other() {
    let play = Play::new().await;
    for way in Way::both(&play).await {
        let mut bystander = way.waits(&play).await;
        let announced = [0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        for (what, bytes, closed) in [
            ("text", frame(0x81, &[0x82], b"hi"), 1008),
            ("binary", frame(0x82, &[0x82], b"hi"), 1008),
            ("a kilobyte of text", long_frame(0x81, 1024), 1008),
            ("one byte more", long_frame(0x81, 1025), 1009),
            ("a kilobyte of bytes", long_frame(0x82, 1024), 1008),
            ("one byte more of them", long_frame(0x82, 1025), 1009),
            ("four kilobytes", long_frame(0x81, 0x1000), 1009),
            ("more than is read at all", long_frame(0x81, 0x1001), 1009),
            ("sixteen exabytes announced", frame(0x81, &announced, b""), 1009),
            ("unmasked", [&[0x81, 0x02][..], b"hi"].concat(), 1002),
            ("reserved bits", frame(0xf1, &[0x82], b"hi"), 1002),
            ("unknown opcode", frame(0x83, &[0x82], b"hi"), 1002),
            ("a ping in pieces", frame(0x09, &[0x80], b""), 1002),
            ("a continuation of nothing", frame(0x80, &[0x82], b"hi"), 1002),
        ] {
            let mut odd = way.waits(&play).await;
            odd.says(&bytes).await;
            assert_eq!(odd.ends().await, format!("closed {closed}"), "{what}, {}", way.name());
        }
        let mut pieces = way.waits(&play).await;
        // A message that never ends: each piece is small.
        in_time(async {
            let mut sent = pieces.line.write_all(&frame(0x01, &[0xfd], &[b'a'; 0x7d])).await;
            while sent.is_ok() {
                sent = pieces.line.write_all(&frame(0x00, &[0xfd], &[b'a'; 0x7d])).await;
            }
        })
        .await;
        assert_eq!(bystander.is_cancelled(&play).await, "closed 1000", "{}", way.name());
    }
}

#[tokio::test]
async fn a_newer_socket_closes_the_older_whichever_way_each_came() {
    let play = Play::new().await;
    let ways = Way::both(&play).await;
    for (first, second) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut older = ways[first].waits(&play).await;
        let mut newer = ways[second].watches(older.ticket.clone(), older.key.clone()).await;
        let named = format!("{} and then {}", ways[first].name(), ways[second].name());
        assert_eq!(older.hears().await, "closed 4001", "{named}");
        assert_eq!(newer.is_cancelled(&play).await, "closed 1000", "{named}");
    }
}

#[tokio::test]
async fn who_sees_a_last_state_is_let_go() {
    let play = Play::new().await;
    for way in Way::both(&play).await {
        let mut page = way.waits(&play).await;
        let scene = play.scene(&play.browser("192.0.2.1"), &page.ticket).await;
        let phone = play.phone("ann", "198.51.100.1");
        let asked = phone.scans(&scene, 1047).await.unwrap();
        assert_eq!(page.hears().await, "scanned", "{}", way.name());
        phone.denies(&asked).await.unwrap();
        let last = [page.hears().await, page.hears().await];
        assert_eq!(last, ["denied", "closed 1000"], "{}", way.name());
        assert_eq!(told(&mut page.line).await, "");
    }
}

#[tokio::test]
async fn a_flood_of_pings_ends_the_socket() {
    let play = Play::new().await;
    for way in Way::both(&play).await {
        let mut chatty = way.waits(&play).await;
        for _ in 0..64 {
            chatty.says(&frame(0x89, &[0x81], b"?")).await;
            assert_eq!(chatty.hears().await, "pong", "{}", way.name());
        }
        chatty.says(&frame(0x89, &[0x81], b"?")).await;
        assert_eq!(chatty.ends().await, "closed 1008", "{}", way.name());
        drop(chatty);
        seen(|| play.app.limits.waiting.taken_in_all() == 0).await;
    }
    others_go_on(&play).await;
}

#[tokio::test]
async fn a_page_that_answers_no_ping_is_let_go_and_one_that_does_is_asked_again() {
    let play = Play::with(&[("SAOMA_TICKET__LIFE", "10m")]).await;
    let passes = |seconds| play.app.world.advance(Duration::from_secs(seconds));
    for way in Way::both(&play).await {
        let mut early = way.waits(&play).await;
        passes(44);
        early.says(&frame(0x89, &[0x80], b"")).await;
        assert_eq!(early.hears().await, "pong", "nobody asks before 45 seconds, {}", way.name());
        drop(early);

        // At the latest after 55 it is asked, and has ten to answer.
        let mut page = way.waits(&play).await;
        passes(56);
        assert_eq!(page.hears().await, "ping", "{}", way.name());
        passes(8);
        page.says(&[frame(0x8a, &[0x80], b""), frame(0x89, &[0x80], b"")].concat()).await;
        assert_eq!(page.hears().await, "pong", "it is there, {}", way.name());
        // And so it is asked again, some time later.
        let heard = page.hears_while(|| passes(1)).await;
        assert_eq!(heard, "ping", "{}", way.name());
        passes(11);
        assert_eq!(page.hears().await, "hung up", "{}", way.name());
        seen(|| play.app.limits.waiting.taken_in_all() == 0).await;
    }
}
