//! The waiting of a page, in three ways that speak the same JSON: WebSocket, server-sent events, long poll.

#[cfg(target_os = "linux")]
use std::io;
use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::header,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, stream};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
#[cfg(target_os = "linux")]
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        handshake::server::create_response,
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};

use super::caller::{Asked, Caller, Piece};
#[cfg(target_os = "linux")]
use crate::waiting::{
    TICK,
    parked::{Parked, Telling},
};
use crate::{
    app::SharedApp,
    error::{Code, Error},
    limits::Place,
    login::{self, State as Shown},
    secret::Hashed,
    waiting::Watcher,
    world::Timestamp,
};

/// The largest message a page may send; it has nothing to say at all.
const LARGEST: usize = 1024;

/// How long a page may be silent before it is asked whether it is there, and how long it has to answer.
const PING: (u32, u32) = (45_000, 10_000);
const PONG: Duration = Duration::from_secs(10);

/// How many tickets are looked at at once where all are to be: it must not hold up those that have changed.
#[cfg(target_os = "linux")]
const ABREAST: usize = 16;

/// How many control frames a page may send on one socket: far more than pings in the longest life of a ticket.
const CHATTER: u32 = 64;

/// One page looking at one ticket.
struct Look {
    app: SharedApp,
    id: Hashed,
    watcher: Watcher,
    /// Held for as long as the page looks: so many may of one address, and in all.
    _place: Place,
    last: Option<Shown>,
    /// Something may have changed since the last look.
    stale: bool,
    /// When to look again by the clock.
    again: Timestamp,
}

impl Look {
    fn new(app: SharedApp, id: Hashed, watcher: Watcher, place: Place) -> Self {
        let again = app.world.now();
        Self { app, id, watcher, _place: place, last: None, stale: true, again }
    }

    /// The next state that is another than the last; none when the ticket is gone. May be dropped at any await and called
    /// again: what it learns of a nudge stays in `stale`.
    async fn next(&mut self) -> Option<Shown> {
        loop {
            if self.stale {
                let found = login::find(&self.app, self.id).await;
                self.stale = false;
                let now = self.app.world.now();
                match found {
                    Ok(standing) => {
                        self.again = standing.ends();
                        let shown = standing.state(now);
                        if self.is_news(&shown) {
                            self.last = Some(shown.clone());
                            return Some(shown);
                        }
                    }
                    Err(error) if error.code == Code::NoSuchTicket => return None,
                    // A store that is away comes back; the page keeps waiting meanwhile.
                    Err(_) => self.again = now + Duration::from_secs(1),
                }
            }
            tokio::select! {
                () = self.watcher.nudged() => {}
                () = self.app.world.sleep_until(self.again) => {}
            }
            self.stale = true;
            if self.watcher.is_replaced() {
                return None;
            }
        }
    }

    fn is_news(&self, shown: &Shown) -> bool {
        self.last.as_ref().map(Shown::news) != Some(shown.news())
    }
}

/// Who may watch: checked in this order, and before any upgrade. A foreign or absent origin is refused before the ticket
/// is looked up; another browser's ticket is an unknown one.
async fn admit(
    app: &SharedApp,
    caller: &Caller,
    id: Hashed,
    needs_origin: bool,
) -> Result<Place, Error> {
    if needs_origin && caller.origin.is_none() {
        return Err(Code::OriginNotAllowed.into());
    }
    let standing = login::find(app, id).await?;
    if !standing.owner().may_watch(caller.presents(None)) {
        return Err(Code::NoSuchTicket.into());
    }
    if let Some(origin) = &caller.origin {
        login::check_origin(app, standing.owner(), Some(origin))?;
    }
    let place = app.limits.waiting.take(Some(caller.address));
    place.ok_or_else(|| Error::too_many(Duration::from_secs(10)))
}

pub(super) async fn socket(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(ticket): Piece,
    mut request: Request,
) -> Result<Response, Error> {
    let id = Hashed::of(ticket);
    let place = admit(&app, &caller, id, true).await?;
    let upgrade = hyper::upgrade::on(&mut request);
    let accepted =
        create_response(&request.map(drop)).map_err(|error| Error::invalid(error.to_string()))?;
    tokio::spawn(async move {
        // Who goes away in the middle of a handshake is not missed.
        if let Ok(upgraded) = upgrade.await {
            attend_socket(app, id, upgraded, place).await;
        }
    });
    Ok(accepted.map(|()| Body::empty()))
}

/// A socket is parked where that can be: a plain TCP connection on Linux that has said nothing yet. Else it has a task.
async fn attend_socket(app: SharedApp, id: Hashed, upgraded: Upgraded, place: Place) {
    #[cfg(target_os = "linux")]
    let (upgraded, place) = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) if parts.read_buf.is_empty() => {
            match app.waiting.park(id, parts.io.into_inner(), place, &app.world) {
                Ok(()) => return look_for_parked(app, id).await,
                Err((stream, place)) => return keep(app, id, stream, Bytes::new(), place).await,
            }
        }
        Ok(parts) => return keep(app, id, parts.io.into_inner(), parts.read_buf, place).await,
        Err(upgraded) => (upgraded, place),
    };
    keep(app, id, TokioIo::new(upgraded), Bytes::new(), place).await;
}

/// Reads the tickets of parked sockets when they are nudged, hears what the sockets say, and turns their wheel. Runs as
/// long as the server, if the kernel lets it begin.
///
/// # Errors
/// If the kernel no longer says who speaks.
#[cfg(target_os = "linux")]
pub async fn attend(app: SharedApp) -> io::Result<()> {
    let (parked, mut looks) = match app.waiting.open(app.world.now()) {
        Ok(Some(opened)) => opened,
        Ok(None) => return Ok(()),
        Err(error) => {
            tracing::warn!(name: "waiting.open", %error, "waiting sockets cost more memory than they need to");
            return Ok(());
        }
    };
    let mut turned = app.world.now();
    let mut catching_up = std::pin::pin!(catch_up(&app, parked));
    loop {
        tokio::select! {
            heard = parked.hear() => heard?,
            Some(ticket) = looks.recv() => drop(tokio::spawn(look_for_parked(app.clone(), ticket))),
            () = app.world.sleep_until(turned + TICK) => {
                turned = app.world.now();
                parked.turn(&app.world).await;
            }
            () = &mut catching_up => {}
        }
    }
}

/// Looks at all tickets, where it is not known which of them have changed.
#[cfg(target_os = "linux")]
async fn catch_up(app: &SharedApp, parked: &Parked) {
    loop {
        let all = stream::iter(parked.all().await);
        all.for_each_concurrent(ABREAST, async |ticket| {
            if parked.wants(ticket) {
                look_for_parked(app.clone(), ticket).await;
            }
        })
        .await;
    }
}

#[cfg(target_os = "linux")]
async fn look_for_parked(app: SharedApp, id: Hashed) {
    let Some(parked) = app.waiting.parked() else { return };
    loop {
        parked.begin(id);
        match login::find(&app, id).await {
            Ok(standing) => {
                if parked.tell(id, &standing.told(app.world.now())) != Telling::Stale {
                    return;
                }
            }
            Err(error) if error.code == Code::NoSuchTicket => return parked.gone(id),
            // A store that is away comes back; the page keeps waiting meanwhile.
            Err(_) => return parked.later(id, app.world.now() + Duration::from_secs(1)),
        }
    }
}

/// A socket with a task of its own.
async fn keep(
    app: SharedApp,
    id: Hashed,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    said_already: Bytes,
    place: Place,
) {
    // The library would keep 128 KiB a socket for pages that say nothing.
    let config = WebSocketConfig::default()
        .read_buffer_size(LARGEST)
        .write_buffer_size(0)
        .max_message_size(Some(4 * LARGEST))
        .max_frame_size(Some(4 * LARGEST));
    let mut socket = WebSocketStream::from_partially_read(
        stream,
        said_already.to_vec(),
        Role::Server,
        Some(config),
    )
    .await;
    let watcher = app.waiting.watch_as_socket(id);
    let mut look = Look::new(app.clone(), id, watcher, place);
    let pause = || Duration::from_millis(u64::from(PING.0 + app.world.below(PING.1)));
    let mut quiet_until = app.world.now() + pause();
    let mut asked = false;
    let mut chatter: u32 = 0;
    let code = loop {
        tokio::select! {
            shown = look.next() => match shown {
                Some(shown) => {
                    let text = serde_json::to_string(&shown).unwrap_or_default();
                    if socket.send(Message::text(text)).await.is_err() {
                        return;
                    }
                    if shown.is_final() {
                        break 1000;
                    }
                }
                None if look.watcher.is_replaced() => break 4001,
                None => break 1000,
            },
            said = socket.next() => match said {
                None | Some(Ok(Message::Close(_))) => return,
                Some(Ok(Message::Text(text))) if text.len() > LARGEST => break 1009,
                Some(Ok(Message::Binary(bytes))) if bytes.len() > LARGEST => break 1009,
                Some(Ok(Message::Text(_) | Message::Binary(_))) => break 1008,
                // An honest page answers our pings; browsers send none of their own.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) if chatter >= CHATTER => break 1008,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                    chatter += 1;
                    asked = false;
                    quiet_until = app.world.now() + pause();
                }
                Some(Ok(_)) => break 1008,
                Some(Err(tungstenite::Error::Capacity(_))) => break 1009,
                Some(Err(_)) => break 1002,
            },
            () = app.world.sleep_until(quiet_until) => {
                if asked || socket.send(Message::Ping(Bytes::new())).await.is_err() {
                    return;
                }
                asked = true;
                quiet_until = app.world.now() + PONG;
            }
        }
    };
    // Who does not take the farewell loses nothing by it.
    let _ = socket
        .send(Message::Close(Some(CloseFrame { code: code.into(), reason: "".into() })))
        .await;
}

pub(super) async fn events(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(ticket): Piece,
) -> Result<Response, Error> {
    let id = Hashed::of(ticket);
    let place = admit(&app, &caller, id, false).await?;
    let watcher = app.waiting.watch(id);
    let look = Look::new(app, id, watcher, place);
    let states = stream::unfold(Some(look), |look| async move {
        let mut look = look?;
        let shown = look.next().await?;
        let event = Event::default().event("state").json_data(&shown);
        Some((event, (!shown.is_final()).then_some(look)))
    });
    let alive = KeepAlive::new().interval(Duration::from_secs(25));
    let unbuffered = [(header::HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((unbuffered, Sse::new(states).keep_alive(alive)).into_response())
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Poll {
    after: Option<String>,
    #[serde(default)]
    wait: u64,
}

pub(super) async fn poll(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(ticket): Piece,
    Asked(poll): Asked<Poll>,
) -> Result<Response, Error> {
    let id = Hashed::of(ticket);
    let place = admit(&app, &caller, id, false).await?;
    let until = app.world.now() + Duration::from_secs(poll.wait.min(25));
    let watcher = app.waiting.watch(id);
    let mut look = Look::new(app.clone(), id, watcher, place);
    let mut shown = look.next().await.ok_or(Code::NoSuchTicket)?;
    while poll.after.as_deref() == Some(shown.state) && !shown.is_final() {
        tokio::select! {
            next = look.next() => shown = next.ok_or(Code::NoSuchTicket)?,
            () = app.world.sleep_until(until) => {
                shown = login::find(&app, id).await?.state(app.world.now());
                break;
            }
        }
    }
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(shown)).into_response())
}
