//! The waiting of a page, in three ways that speak the same JSON: WebSocket, server-sent events, long poll.

use std::time::Duration;

use axum::{
    Json,
    extract::{
        State,
        ws::{
            CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
        },
    },
    http::header,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::stream;
use serde::Deserialize;

use super::caller::{Asked, Caller, Piece};
use crate::{
    app::SharedApp,
    error::{Code, Error},
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

/// One page looking at one ticket.
struct Look {
    app: SharedApp,
    id: Hashed,
    watcher: Watcher,
    last: Option<Shown>,
    /// Something may have changed since the last look.
    stale: bool,
    /// When to look again by the clock.
    again: Timestamp,
}

impl Look {
    fn new(app: SharedApp, id: Hashed, watcher: Watcher) -> Self {
        let again = app.world.now();
        Self { app, id, watcher, last: None, stale: true, again }
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
        let same = |last: &Shown| {
            (last.state, &last.number, &last.person) == (shown.state, &shown.number, &shown.person)
        };
        !self.last.as_ref().is_some_and(same)
    }
}

/// Who may watch: checked in this order, and before any upgrade. A foreign or absent origin is refused before the ticket
/// is looked up; another browser's ticket is an unknown one.
async fn admit(
    app: &SharedApp,
    caller: &Caller,
    id: Hashed,
    needs_origin: bool,
) -> Result<(), Error> {
    if needs_origin && caller.origin.is_none() {
        return Err(Code::OriginNotAllowed.into());
    }
    let standing = login::find(app, id).await?;
    if !standing.owner().may_watch(caller.presents(None)) {
        return Err(Code::NoSuchTicket.into());
    }
    match &caller.origin {
        Some(origin) => login::check_origin(app, standing.owner(), Some(origin)),
        None => Ok(()),
    }
}

pub(super) async fn socket(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(ticket): Piece,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    let id = Hashed::of(ticket);
    admit(&app, &caller, id, true).await?;
    let upgrade = upgrade.map_err(|refused| Error::invalid(refused.body_text()))?;
    // The library would keep 128 KiB a socket for pages that say nothing.
    let upgrade =
        upgrade.read_buffer_size(LARGEST).write_buffer_size(0).max_message_size(4 * LARGEST);
    let watcher = app.waiting.watch_as_socket(id);
    Ok(upgrade.on_upgrade(move |socket| keep(socket, Look::new(app, id, watcher))))
}

async fn keep(mut socket: WebSocket, mut look: Look) {
    let app = look.app.clone();
    let pause = || Duration::from_millis(u64::from(PING.0 + app.world.below(PING.1)));
    let mut quiet_until = app.world.now() + pause();
    let mut asked = false;
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
            said = socket.recv() => match said {
                None | Some(Ok(Message::Close(_))) => return,
                Some(Ok(Message::Text(text))) if text.len() > LARGEST => break 1009,
                Some(Ok(Message::Binary(bytes))) if bytes.len() > LARGEST => break 1009,
                Some(Ok(Message::Text(_) | Message::Binary(_))) => break 1008,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                    asked = false;
                    quiet_until = app.world.now() + pause();
                }
                Some(Err(error)) => break if error.to_string().contains("too long") { 1009 } else { 1002 },
            },
            () = app.world.sleep_until(quiet_until) => {
                if asked || socket.send(Message::Ping(bytes::Bytes::new())).await.is_err() {
                    return;
                }
                asked = true;
                quiet_until = app.world.now() + PONG;
            }
        }
    };
    // Who does not take the farewell loses nothing by it.
    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: "".into() }))).await;
}

pub(super) async fn events(
    State(app): State<SharedApp>,
    caller: Caller,
    Piece(ticket): Piece,
) -> Result<Response, Error> {
    let id = Hashed::of(ticket);
    admit(&app, &caller, id, false).await?;
    let watcher = app.waiting.watch(id);
    let look = Look::new(app, id, watcher);
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

#[derive(Deserialize)]
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
    admit(&app, &caller, id, false).await?;
    let until = app.world.now() + Duration::from_secs(poll.wait.min(25));
    let watcher = app.waiting.watch(id);
    let mut look = Look::new(app.clone(), id, watcher);
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
