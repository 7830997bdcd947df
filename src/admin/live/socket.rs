//! `WS /ws`.

use axum::{
    extract::{
        State,
        ws::{
            CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code,
            rejection::WebSocketUpgradeRejection,
        },
    },
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::{
    Live,
    client::{Client, Found},
    message::{Keys, Kind, Wish, unsubscribed},
    stopping,
};
use crate::admin::{
    Admin,
    access::{Caller, Term},
    refusal::Refusal,
};

/// The largest message that a client may send.
const LARGEST_MESSAGE: usize = 64 << 10;

/// What is read from a client at once. There is one such buffer for each client.
const READ_BUFFER: usize = 4 << 10;

/// What is kept of what a client does not read: one message is sent at a time, and the largest is a part of a snapshot.
const WRITE_BUFFER: usize = 256 << 10;

/// The code that says to whom the connection was opened that this is over. Codes from 4000 on are each application's own;
/// this one is like the status 401.
const EXPIRED: u16 = 4401;

/// Changes of flags and segments as they are applied here.
///
/// Who says nothing gets `{"type": "flag_update", "flag_key", "action", "timestamp"}` for each change of a flag. Who sends
/// `{"subscribe": ["flags"], "keys": ["a", "b"]}` gets a snapshot first (`{"type": "snapshot", "kind", "revision", "part",
/// "parts", "flags"}`), and the `revision` with each change after it; the kind `segments` has `segment_update` with a
/// `segment_id`. `{"unsubscribe": ["flags"]}` ends that. A client that
/// is more than 256 changes behind is sent away with 1013, one whose token or session ends with 4401, and all are with 1001
/// when the gateway stops.
#[utoipa::path(
    get,
    path = "/ws",
    tag = "live",
    security(("token" = ["viewer"])),
    responses(
        (status = 101, description = "The connection is a WebSocket now."),
        (status = 400, description = "The handshake is not one of WebSocket version 13."),
        (status = 403, description = "The page that connects belongs to another site.", content_type = "application/problem+json", body = Object),
        (status = 404, description = "This is no handshake of a WebSocket.", body = Object),
        (status = 426, description = "The connection cannot be upgraded."),
        (status = 503, description = "There are too many live clients, or the gateway is stopping.", content_type = "application/problem+json", body = Object),
    )
)]
pub(super) async fn ws(
    State(admin): State<Admin>,
    caller: Caller,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    // The existing service answers so as well.
    if !headers.contains_key(header::UPGRADE) {
        return Refusal::not_found("Not Found").into_response();
    }
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let place = match admin.live.place() {
        Ok(place) => place,
        Err(refusal) => return *refusal,
    };
    upgrade
        .max_message_size(LARGEST_MESSAGE)
        .max_frame_size(LARGEST_MESSAGE)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER)
        .on_upgrade(async move |socket| {
            let (client, term) = (Client::plain(&admin.live.0.hub), caller.term);
            let mut connection = Connection { client, socket, live: admin.live, term };
            let why = connection.attend().await;
            connection.close(why).await;
            drop(place);
        })
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The client closed it, or it broke.
    Gone,
    Stopping,
    TooFarBehind,
    TooSlow,
    NoSign,
    TooLarge,
    /// The token or the session of who opened it is over.
    Expired,
}

struct Connection {
    socket: WebSocket,
    live: Live,
    client: Client,
    term: Term,
}

impl Connection {
    async fn attend(&mut self) -> End {
        // A clone of its own, as the connection changes.
        let (live, term) = (self.live.clone(), self.term);
        let (mut head, mut draining) = (live.0.hub.watch(), live.0.drain.draining());
        let every = live.0.limits.ping_every;
        let mut ping = interval_at(Instant::now() + every, every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = false;
        loop {
            head.mark_unchanged();
            if let Err(end) = self.catch_up().await {
                return end;
            }
            tokio::select! {
                () = stopping(&mut draining) => return End::Stopping,
                () = term.over() => return End::Expired,
                _ = head.changed() => {}
                message = self.socket.recv() => {
                    let message = match message {
                        Some(Ok(message)) => message,
                        Some(Err(error)) => return End::of(&error),
                        None => return End::Gone,
                    };
                    asked = false;
                    if let Err(end) = self.hear(message).await {
                        return end;
                    }
                }
                _ = ping.tick() => {
                    if asked {
                        return End::NoSign;
                    }
                    asked = true;
                    if let Err(end) = self.send(Message::Ping(Default::default())).await {
                        return end;
                    }
                }
            }
        }
    }

    /// Sends what there is, one message after the other.
    async fn catch_up(&mut self) -> Result<(), End> {
        loop {
            // Who always has something to read never comes to a pause.
            if self.term.is_over() {
                return Err(End::Expired);
            }
            match self.client.take(&self.live.0.hub) {
                Found::Nothing => return Ok(()),
                Found::TooFar => return Err(End::TooFarBehind),
                Found::Updates(changed, told, plain) => {
                    for update in told.into_iter().filter_map(|position| changed.updates.get(position)) {
                        let text = if plain { &update.plain } else { &update.full };
                        self.text(text.clone()).await?;
                    }
                }
                Found::Everything(wanted) => {
                    for (kind, keys) in wanted {
                        self.subscribe(kind, keys).await?;
                    }
                }
            }
        }
    }

    async fn hear(&mut self, message: Message) -> Result<(), End> {
        let text = match &message {
            Message::Text(text) => text.as_str(),
            Message::Close(_) => return Err(End::Gone),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => return Ok(()),
        };
        match Wish::parse(text) {
            Ok(Wish::Nothing) => Ok(()),
            Ok(Wish::Subscribe(kinds, keys)) => {
                for kind in kinds {
                    self.subscribe(kind, keys.clone()).await?;
                }
                Ok(())
            }
            Ok(Wish::Unsubscribe(kinds)) => {
                self.client.unsubscribe(&kinds);
                self.text(unsubscribed(&kinds)).await
            }
            Err(complaint) => self.text(complaint.encode()).await,
        }
    }

    async fn subscribe(&mut self, kind: Kind, keys: Keys) -> Result<(), End> {
        let state = self.live.0.states.of(kind, &keys);
        self.client.subscribe(kind, keys, Some(&state));
        for part in state.parts.iter() {
            self.text(part.clone()).await?;
        }
        Ok(())
    }

    async fn text(&mut self, text: Utf8Bytes) -> Result<(), End> {
        self.send(Message::Text(text)).await
    }

    /// Sends one message, and gives up when that takes too long or too much piles up meanwhile.
    async fn send(&mut self, message: Message) -> Result<(), End> {
        let Self { socket, live, client, term: _ } = self;
        tokio::select! {
            sent = timeout(live.0.limits.send_within, socket.send(message)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(End::of(&error)),
                Err(_) => Err(End::TooSlow),
            },
            () = live.0.hub.until_too_far(client.at) => Err(End::TooFarBehind),
        }
    }

    /// Says why, as far as the client listens, and waits a moment until it has heard that.
    async fn close(mut self, why: End) {
        let (code, reason) = match why {
            End::Gone => return,
            End::Stopping => (close_code::AWAY, "the gateway is stopping"),
            End::TooFarBehind => (close_code::AGAIN, "too far behind; connect again"),
            End::TooSlow => (close_code::AGAIN, "nothing is read"),
            End::NoSign => (close_code::POLICY, "no pong"),
            End::TooLarge => (close_code::SIZE, "a message is at most 64 KiB long"),
            End::Expired => (EXPIRED, "the token or the session has ended; connect again with one that holds"),
        };
        let goodbye = async {
            let frame = CloseFrame { code, reason: reason.into() };
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.recv().await {}
            }
        };
        if timeout(self.live.0.limits.goodbye, goodbye).await.is_err() {
            log::debug!("live: a client was cut off: {reason}");
        }
    }
}

impl End {
    /// What ended the connection. The library tells a message that is too large in words only.
    fn of(error: &axum::Error) -> Self {
        if error.to_string().contains("too long") { Self::TooLarge } else { Self::Gone }
    }
}
