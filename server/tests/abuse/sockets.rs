//! Slow and odd peers: dropped in time, with nobody else delayed.

use saoma::world::World;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tokio_tungstenite::tungstenite::Message;

use crate::stage::{Play, seen};

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
async fn told(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // Hung up on with a reset is hung up on.
    let _ = stream.read_to_end(&mut all).await;
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
    let play = Play::with(&HASTY).await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = connect(&play).await;
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
    let mut giant = connect(&play).await;
    let head =
        format!("GET / HTTP/1.1\r\nHost: saoma\r\nX-Giant: {}\r\n\r\n", "a".repeat(64 * 1024));
    let _ = giant.write_all(head.as_bytes()).await;
    assert!(told(&mut giant).await.starts_with("HTTP/1.1 431"));

    let mut many = connect(&play).await;
    let head = format!("GET / HTTP/1.1\r\nHost: saoma\r\n{}\r\n", "X-Many: 1\r\n".repeat(200));
    let _ = many.write_all(head.as_bytes()).await;
    assert!(told(&mut many).await.starts_with("HTTP/1.1 431"));

    let browser = play.browser("192.0.2.1");
    let body = serde_json::json!({ "state": "s".repeat(65 * 1024) });
    let reply = browser.posts("/api/tickets", &body, "https://blog.example.com").await.unwrap();
    assert_eq!(reply.problem(), "413 payload_too_large");
}

#[tokio::test]
async fn a_request_of_two_minds_about_its_length_is_refused() {
    let play = Play::with(&HASTY).await;
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
    let play = Play::with(&HASTY).await;
    let long = "x".repeat(15_000);
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
        &format!("GET /{long} HTTP/1.1\r\nHost: saoma"),
        &format!("GET /oauth2/authorize?state={long} HTTP/1.1\r\nHost: saoma"),
        &format!("GET / HTTP/1.1\r\nHost: saoma\r\nCookie: saoma={long}"),
    ] {
        let mut stream = connect(&play).await;
        stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let said = told(&mut stream).await;
        let status = said.split(' ').nth(1).and_then(|word| word.parse::<u16>().ok());
        let shown: String = head.chars().take(60).collect();
        assert!(status.is_none_or(|status| (200..500).contains(&status)), "{shown}: {said}");
        assert!(!said.contains("root:") && !said.contains("evil.example"), "{shown}: {said}");
    }
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

/// A WebSocket by hand, so that it can speak as no library would.
async fn upgraded(play: &Play) -> TcpStream {
    let browser = play.browser("192.0.2.1");
    let (ticket, _) = play.ticket(&browser, "blog").await;
    let mut stream = connect(play).await;
    let request = format!(
        "GET /api/tickets/{ticket}/ws HTTP/1.1\r\nHost: saoma\r\nOrigin: https://blog.example.com\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    let opcode = stream.read_u8().await.unwrap();
    let length = stream.read_u8().await.unwrap();
    assert_eq!(opcode, 0x81, "the state comes first, as one text frame");
    let mut state = vec![0; usize::from(length)];
    stream.read_exact(&mut state).await.unwrap();
    stream
}

/// The close code the server gives, after whatever pongs; none if it simply hangs up.
async fn close_code(stream: &mut TcpStream) -> Option<u16> {
    loop {
        let opcode = stream.read_u8().await.ok()?;
        let length = stream.read_u8().await.ok()?;
        let mut payload = vec![0; usize::from(length & 0x7f)];
        stream.read_exact(&mut payload).await.ok()?;
        if opcode == 0x88 {
            return Some(u16::from_be_bytes([payload[0], payload[1]]));
        }
    }
}

#[tokio::test]
async fn odd_frames_close_the_socket_that_sent_them_and_no_other() {
    let play = Play::new().await;
    let browser = play.browser("192.0.2.9");
    let (page, _) = play.page(&browser).await;
    let mut bystander = browser.watches(&page).await.unwrap();
    assert_eq!(bystander.sees_state().await.unwrap(), "waiting");
    let mask = [0u8; 4];
    let frame =
        |first: u8, length: &[u8], payload: &[u8]| [&[first], length, &mask, payload].concat();
    let long = [0xfe, 0x10, 0x00];
    for (what, bytes, expected) in [
        ("text", frame(0x81, &[0x82], b"hi"), Some(1008)),
        ("binary", frame(0x82, &[0x82], b"hi"), Some(1008)),
        ("unmasked", [&[0x81, 0x02][..], b"hi"].concat(), Some(1002)),
        ("reserved bits", frame(0xf1, &[0x82], b"hi"), Some(1002)),
        ("unknown opcode", frame(0x83, &[0x82], b"hi"), Some(1002)),
        ("a ping in pieces", frame(0x09, &[0x80], b""), Some(1002)),
        ("a continuation of nothing", frame(0x80, &[0x82], b"hi"), Some(1002)),
        ("larger than a kilobyte", frame(0x81, &long, &[b'a'; 0x1000]), Some(1009)),
        (
            "sixteen exabytes announced",
            frame(0x81, &[0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], b""),
            Some(1009),
        ),
    ] {
        let mut odd = upgraded(&play).await;
        odd.write_all(&bytes).await.unwrap();
        assert_eq!(close_code(&mut odd).await, expected, "{what}");
    }
    let mut pieces = upgraded(&play).await;
    // A message that never ends: each piece is small.
    let mut sent = pieces.write_all(&frame(0x01, &[0xff - 0x81], &[b'a'; 0x7e])).await;
    while sent.is_ok() {
        sent = pieces.write_all(&frame(0x00, &[0xfd], &[b'a'; 0x7d])).await;
    }
    drop(pieces);
    assert_eq!(browser.calls(&page, "cancel").await.unwrap().status, 204);
    assert_eq!(bystander.sees_state().await.unwrap(), "closed 1000");
}

#[tokio::test]
async fn a_flood_of_pings_ends_the_socket() {
    let play = Play::new().await;
    let browser = play.browser("192.0.2.1");
    let (page, _) = play.page(&browser).await;
    let mut watch = browser.watches(&page).await.unwrap();
    assert_eq!(watch.sees_state().await.unwrap(), "waiting");
    for _ in 0..1000 {
        if watch.says(Message::Ping(bytes::Bytes::from_static(b"?"))).await.is_err() {
            break;
        }
    }
    let end = watch.sees_state().await;
    assert!(end.as_ref().is_err() || end.as_deref() == Ok("closed 1008"), "{end:?}");
    seen(|| play.app.limits.waiting.taken_in_all() == 0).await;
    others_go_on(&play).await;
}

#[tokio::test]
async fn a_page_that_answers_no_ping_is_let_go() {
    let play = Play::new().await;
    let mut mute = upgraded(&play).await;
    // At the latest after 55 seconds it is asked, and has ten to answer.
    play.app.world.advance(std::time::Duration::from_secs(56));
    assert_eq!(mute.read_u8().await.unwrap(), 0x89, "a ping");
    assert_eq!(mute.read_u8().await.unwrap(), 0);
    play.app.world.advance(std::time::Duration::from_secs(11));
    assert_eq!(told(&mut mute).await, "");
    seen(|| play.app.limits.waiting.taken_in_all() == 0).await;
}
