//! The accept loop: hyper with limits on how many, how slowly and how much, and a graceful stop.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::ConnectInfo,
};
use hyper::{
    Request,
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tokio_rustls::server::TlsStream;
use tower::ServiceExt as _;

use crate::{
    config::{self, Settings},
    error::Code,
    limits::Places,
    tls::Tls,
};

/// The largest head of a request; a larger one is 431.
const HEAD_BYTES: usize = 16 * 1024;
/// How long open requests have to finish at a stop.
const FAREWELL: Duration = Duration::from_secs(5);
/// How many peers are told at once that there is no place for them; more than these are hung up on.
const APOLOGIES: usize = 64;

/// What holds at a listener.
#[derive(Clone)]
pub struct Door {
    /// How long a request's head may take: slowloris lives on patience.
    pub head_time: Duration,
    /// How long its body may take.
    pub body_time: Duration,
    /// How long a peer may leave unread or unacknowledged what it was sent.
    pub stalled_time: Duration,
    /// Places for connections.
    pub places: Arc<Places>,
    /// Proxies, whose connections are not one caller's.
    pub trusted_proxies: Vec<config::Network>,
    /// How TLS ends here, if it does.
    pub tls: Option<Tls>,
}

impl Door {
    /// A door by these settings.
    pub fn new(settings: &Settings, places: Arc<Places>) -> Self {
        let limits = &settings.limits;
        Self {
            head_time: limits.head_time,
            body_time: limits.body_time,
            stalled_time: limits.stalled_time,
            places,
            trusted_proxies: settings.trusted_proxies.clone(),
            tls: None,
        }
    }

    /// A door for plain http that only leads to https: few of an address, and not for long.
    pub fn redirecting(settings: &Settings) -> Self {
        let all = settings.limits.sockets / 10;
        Self::new(settings, Arc::new(Places::new(all.max(16), all.clamp(16, 64))))
    }

    /// The same door behind TLS.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }
}

/// For what is only tried out, on this machine.
impl Default for Door {
    fn default() -> Self {
        Self {
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(20),
            stalled_time: Duration::from_secs(20),
            places: Arc::new(Places::new(usize::MAX, usize::MAX)),
            trusted_proxies: Vec::new(),
            tls: None,
        }
    }
}

/// Serves `router` until `stop` is done, then lets open requests finish.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    serve_at(Door::default(), listener, router, stop).await;
}

/// The same behind a door.
pub async fn serve_at(
    door: Door,
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    let mut stop = std::pin::pin!(stop);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(door.head_time)
        .max_buf_size(HEAD_BYTES)
        .max_headers(100);
    // Every connection holds a receiver, so that the sender knows when the last of them has gone.
    let farewell = watch::Sender::new(false);
    let apologies = Arc::new(Semaphore::new(APOLOGIES));
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    rest_after(&error).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let ip = peer.ip().to_canonical();
        let is_proxy = door.trusted_proxies.iter().any(|network| network.0.contains(&ip));
        let Some(place) = door.places.take((!is_proxy).then_some(ip)) else {
            turn_away(stream, &apologies);
            continue;
        };
        if let Err(error) = make_ready(&stream, door.stalled_time) {
            tracing::debug!(name: "connection.options", %error, "a connection goes without its timeouts");
        }
        let body_time = door.body_time;
        let service = router.clone().map_request(move |request: Request<Incoming>| {
            let mut request = request.map(|body| Body::new(Timely::new(body, body_time)));
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer));
            request
        });
        let (http, told, tls) = (http.clone(), farewell.subscribe(), door.tls.clone());
        let patience = door.head_time;
        tokio::spawn(async move {
            let _place = place;
            match tls {
                None => attend(&http, stream, service, told).await,
                // In a box: who comes without TLS need not carry the room for it.
                Some(tls) => {
                    Box::pin(async move {
                        if let Some(stream) = greet(&tls, stream, patience).await {
                            attend(&http, stream, service, told).await;
                        }
                    })
                    .await;
                }
            }
        });
    }
    drop(listener);
    farewell.send_replace(true);
    tokio::select! {
        () = farewell.closed() => {}
        () = wait(FAREWELL) => {}
    }
}

/// A connection as it goes on over TLS, if it does. Who opens it and does not say hello is as slow as who does not finish a
/// head.
async fn greet(tls: &Tls, stream: TcpStream, patience: Duration) -> Option<TlsStream<TcpStream>> {
    let greeted = tokio::select! {
        greeted = tls.accept(stream) => greeted,
        () = wait(patience) => Ok(None),
    };
    greeted.unwrap_or_else(|error| {
        tracing::debug!(name: "connection.no_tls", %error, "a connection did not become one of TLS");
        None
    })
}

/// Serves one connection until it ends, or until the server stops and it has nothing open.
async fn attend<I, S>(http: &http1::Builder, stream: I, service: S, mut told: watch::Receiver<bool>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: tower::Service<Request<Incoming>, Response = axum::response::Response, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection.with_upgrades());
    let told = async move { told.wait_for(|stopping| *stopping).await.map(drop) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = told => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // A peer that goes away or speaks badly concerns nobody else.
    if let Err(error) = ended {
        tracing::debug!(name: "connection.broken", %error, "a connection broke");
    }
}

/// Sets what the kernel watches over by itself, for as long as the socket lives and whoever holds it: peers that are gone
/// without a word, and peers that read nothing of what they are sent.
fn make_ready(stream: &TcpStream, stalled: Duration) -> io::Result<()> {
    // A state is one small frame that somebody waits for.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(stalled))?;
    let between = (stalled / 4).max(Duration::from_secs(1));
    let quiet = TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(between);
    socket.set_tcp_keepalive(&quiet)
}

/// Says that it was too much, where that costs little.
fn turn_away(mut stream: TcpStream, apologies: &Arc<Semaphore>) {
    let Ok(turn) = apologies.clone().try_acquire_owned() else { return };
    let row = Code::TooManyRequests.row();
    let body = format!(
        r#"{{"type":"about:blank","title":"{}","status":{},"code":"{}","detail":"{}{}"}}"#,
        row.title, row.status, row.code, row.zh, row.en
    );
    let answer = format!(
        "HTTP/1.1 {} {}\r\nretry-after: 10\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        row.status,
        row.title,
        body.len()
    );
    tokio::spawn(async move {
        let _turn = turn;
        let told = async {
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
            // To hang up on what it still sends would take the answer away from it again.
            let mut rest = [0; 1024];
            while stream.read(&mut rest).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        tokio::select! {
            _ = told => {}
            () = wait(Duration::from_secs(1)) => {}
        }
    });
}

/// The body was not here in time.
#[derive(Debug, thiserror::Error)]
#[error("the body took too long")]
pub(super) struct Late;

/// A body that must be here in time.
struct Timely {
    body: Incoming,
    time: Duration,
    late: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Timely {
    fn new(body: Incoming, time: Duration) -> Self {
        Self { body, time, late: None }
    }
}

impl HttpBody for Timely {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        // Most bodies are here with their head: only who waits needs an alarm.
        let time = self.time;
        let late = self.late.get_or_insert_with(|| Box::pin(wait(time)));
        ready!(late.as_mut().poll(context));
        Poll::Ready(Some(Err(Late.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Running out of descriptors is the one accept error that a pause mends.
async fn rest_after(error: &io::Error) {
    tracing::warn!(name: "accept.failed", %error, "cannot accept a connection; raise the limit of open files if this goes on");
    wait(Duration::from_millis(50)).await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "waits for peers and the kernel, which no rule depends on"
)]
async fn wait(span: Duration) {
    tokio::time::sleep(span).await;
}
