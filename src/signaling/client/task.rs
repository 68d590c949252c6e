//! The client's task: connect, sign in, exchange, and again.
//!
//! Driven by the socket, the handle's queue and the clock. Everything that waits here ends at once when the handle is
//! dropped.

use super::ledger::Ledger;
use super::link::{self, Socket};
use super::presence::Presence;
use super::{Demand, Session, SignalingEvent, Timing, unix_milliseconds};
use crate::protocol::{DecodeError, Incoming, OFFER_LIFETIME, Signal, decode, encode_username};
use crate::signaling::address::ServerAddress;
use crate::signaling::backoff::Backoff;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Bytes, Message};

/// How long the goodbye may take.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the server may take to answer a check. Well above any round trip; the price of being wrong is one more
/// connection, over which the session goes on.
const CHECK_TIMEOUT: Duration = Duration::from_millis(1500);
/// In a hurry: silence after which the server is pinged.
const HURRIED_PING_AFTER: Duration = Duration::from_secs(2);
/// In a hurry: silence after which it is dead. TCP by itself would go on for a quarter of an hour.
const HURRIED_DEAD_AFTER: Duration = Duration::from_secs(5);
/// In a hurry: longest pause between two attempts.
const HURRIED_PAUSE: Duration = Duration::from_millis(250);
/// In a hurry: how long one attempt may take. The first packet of a TCP connection is sent again only after 1 s, 3 s
/// and 7 s (RFC 6298 section 2), so an attempt from before the network's return is better replaced by a new one.
const HURRIED_CONNECT: Duration = Duration::from_millis(1200);
/// Hurry is of no use against a server that has been gone for so long.
const HURRY_FOR: Duration = Duration::from_secs(60);

/// The handle is gone, or nobody listens any more.
struct Stopped;

/// What the task owns.
pub(super) struct Task {
    pub(super) url: String,
    /// The name that the user chose.
    pub(super) wish: String,
    /// The name of the last session.
    pub(super) granted: Option<String>,
    pub(super) ledger: Ledger,
    pub(super) demanded: watch::Receiver<Demand>,
    pub(super) events: mpsc::Sender<SignalingEvent>,
    pub(super) outgoing: mpsc::Receiver<String>,
    pub(super) session: watch::Sender<Option<Session>>,
    pub(super) stopped: watch::Receiver<()>,
    pub(super) timing: Timing,
    /// `Disconnected` was reported and not yet followed by `Connected`.
    pub(super) reported: bool,
}

/// What one connection knows.
struct Visit {
    place: String,
    presence: Presence,
    /// The server's number for us, once it said `id` and we sent `username`.
    id: Option<Value>,
    /// What we are called, as far as we know.
    name: String,
    /// How far the server's clock is ahead of ours, milliseconds.
    ahead: Option<f64>,
    /// `Connected` was reported.
    since: Option<Instant>,
    /// The server said `session`: its texts are counted.
    counted: bool,
    /// The session is the one before.
    resumed: bool,
    /// When the server was asked for a sign of life.
    checked: Option<Instant>,
    /// How many checks had been asked for by then.
    checks: u64,
}

impl Visit {
    /// How long ago the server's clock showed `date` (Unix time, milliseconds); nothing if it never told the time.
    fn age(&self, date: f64) -> Duration {
        let age = self.ahead.map_or(0.0, |ahead| unix_milliseconds() as f64 + ahead - date);
        Duration::try_from_secs_f64(age / 1000.0).unwrap_or_default()
    }
}

pub(super) async fn run(mut task: Task) {
    let mut backoff = Backoff::default();
    let mut lost_at = Instant::now();
    loop {
        let hurried = task.demanded.borrow_and_update().hurry && lost_at.elapsed() < HURRY_FOR;
        let mut timing = task.timing;
        if hurried {
            timing.connect = timing.connect.min(HURRIED_CONNECT);
        }
        let url = task.url.clone();
        let Ok(opened) = task.unless_demanded(link::open(&url, &timing)).await else { return };
        let reason = match opened {
            // There is news of the network: what was begun before it need not be waited for.
            None => continue,
            Some(Err(reason)) => reason,
            Some(Ok(mut socket)) => {
                let (lost, since) = task.visit(&mut socket).await;
                if let Some(since) = since {
                    backoff.handle_session(since.elapsed());
                    lost_at = Instant::now();
                }
                if task.ledger.resume().is_none() {
                    task.session.send_replace(None);
                }
                match lost {
                    Ok(reason) => reason,
                    Err(Stopped) => return task.farewell(socket).await,
                }
            }
        };
        tracing::info!(reason, "no connection to the server");
        if !std::mem::replace(&mut task.reported, true)
            && task.report(SignalingEvent::Disconnected { reason }).await.is_err()
        {
            return;
        }
        let mut pause = backoff.next_pause(rand::random());
        if hurried {
            pause = pause.min(HURRIED_PAUSE);
        }
        if task.unless_demanded(sleep(pause)).await.is_err() {
            return;
        }
    }
}

impl Task {
    /// One connection, from its handshake to its loss: the reason of that, and since when we were signed in.
    async fn visit(&mut self, socket: &mut Socket) -> (Result<String, Stopped>, Option<Instant>) {
        let place = ServerAddress::parse(&self.url).map(|address| address.authority()).unwrap_or_default();
        let name = self.granted.clone().unwrap_or_else(|| self.wish.clone());
        let checks = self.demanded.borrow().checks;
        let mut visit = Visit {
            place,
            presence: Presence::default(),
            id: None,
            name,
            ahead: None,
            since: None,
            counted: false,
            resumed: false,
            checked: None,
            checks,
        };
        let reason = self.exchange(socket, &mut visit).await;
        (reason, visit.since)
    }

    async fn exchange(&mut self, socket: &mut Socket, visit: &mut Visit) -> Result<String, Stopped> {
        let opened = Instant::now();
        let mut heard = opened;
        let mut pinged = false;
        loop {
            let (ping_after, dead_after) = self.patience();
            let silent_at = if visit.since.is_none() {
                opened + self.timing.connect
            } else if pinged {
                heard + dead_after
            } else {
                heard + ping_after
            };
            let deadline = visit.checked.map_or(silent_at, |at| silent_at.min(at + CHECK_TIMEOUT));
            tokio::select! {
                _ = self.stopped.changed() => return Err(Stopped),
                received = socket.next() => {
                    heard = Instant::now();
                    pinged = false;
                    match received {
                        Some(Ok(Message::Text(text))) => {
                            if let Some(lost) = self.handle_text(socket, visit, &text).await? {
                                return Ok(lost);
                            }
                            // The engine may have kept us waiting: that is not the server's silence.
                            heard = Instant::now();
                        }
                        Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                        last => {
                            if matches!(last, Some(Ok(Message::Close(_)))) {
                                // A goodbye ends the session, too.
                                self.ledger = Ledger::default();
                            }
                            return Ok(link::loss_reason(&visit.place, last));
                        }
                    }
                    if visit.checked.take().is_some() {
                        self.report(SignalingEvent::Alive).await?;
                    }
                }
                Some(text) = self.outgoing.recv(), if visit.since.is_some() => {
                    self.ledger.handle_sent(&text);
                    if let Some(lost) = self.send(socket, visit, Message::text(text)).await? {
                        return Ok(lost);
                    }
                }
                Ok(()) = self.demanded.changed() => {
                    let checks = self.demanded.borrow_and_update().checks;
                    if std::mem::replace(&mut visit.checks, checks) == checks || visit.since.is_none() {
                        continue;
                    }
                    if link::is_cut_off(socket) {
                        return Ok(format!(
                            "this computer has left the network from which it had reached {}", visit.place
                        ));
                    }
                    visit.checked.get_or_insert_with(Instant::now);
                    if let Some(lost) = self.send(socket, visit, Message::Ping(Bytes::new())).await? {
                        return Ok(lost);
                    }
                }
                () = sleep_until(deadline) => {
                    if visit.since.is_none() {
                        let place = &visit.place;
                        return Ok(format!("{place} answers, but does not let us sign in: is it a signaling server?"));
                    }
                    if pinged || visit.checked.is_some() {
                        let (place, seconds) = (&visit.place, heard.elapsed().as_secs().max(1));
                        return Ok(format!("{place} has been silent for {seconds} seconds: check the network"));
                    }
                    pinged = true;
                    if let Some(lost) = self.send(socket, visit, Message::Ping(Bytes::new())).await? {
                        return Ok(lost);
                    }
                }
            }
        }
    }

    /// The silence after which the server is pinged, and after which it is dead.
    fn patience(&self) -> (Duration, Duration) {
        let Timing { ping_after, dead_after, .. } = self.timing;
        if self.demanded.borrow().hurry {
            (ping_after.min(HURRIED_PING_AFTER), dead_after.min(HURRIED_DEAD_AFTER))
        } else {
            (ping_after, dead_after)
        }
    }

    /// Sends one message; a server that does not take it in time is lost.
    async fn send(
        &mut self,
        socket: &mut Socket,
        visit: &Visit,
        message: Message,
    ) -> Result<Option<String>, Stopped> {
        let (_, limit) = self.patience();
        Ok(match self.unless_stopped(timeout(limit, socket.send(message))).await? {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(link::loss_reason(&visit.place, Some(Err(error)))),
            Err(_) => Some(format!("{} takes nothing more from us: check the network", visit.place)),
        })
    }

    /// Handles one message of the server. `Some`: the connection is lost, for this reason.
    async fn handle_text(
        &mut self,
        socket: &mut Socket,
        visit: &mut Visit,
        text: &str,
    ) -> Result<Option<String>, Stopped> {
        let incoming = match decode(text) {
            Ok(incoming) => incoming,
            Err(error) => {
                self.report(SignalingEvent::Malformed { reason: malformed(&error) }).await?;
                return Ok(None);
            }
        };
        // What comes before the session, and the word about it, is no part of it.
        if visit.counted {
            self.ledger.handle_received();
        }
        match incoming {
            Incoming::Id { id, date } => {
                visit.ahead = date.map(|date| date - unix_milliseconds() as f64);
                let hello = encode_username(&visit.name, &id, unix_milliseconds(), self.ledger.resume());
                visit.id = Some(id);
                return self.send(socket, visit, Message::text(hello)).await;
            }
            Incoming::Session { token, resumed, received } => {
                visit.counted = true;
                visit.resumed = resumed;
                if !resumed {
                    self.ledger.handle_begun(token);
                    return Ok(None);
                }
                for text in self.ledger.handle_resumed(received) {
                    if let Some(lost) = self.send(socket, visit, Message::text(text)).await? {
                        return Ok(Some(lost));
                    }
                }
                // What we missed follows: the engine has to know who we are before.
                self.signed_in(visit).await?;
            }
            Incoming::Renamed(name) => {
                visit.name = name;
                // A server that sends lists to all may have sent one between our wish and its refusal.
                if visit.since.is_some() {
                    self.signed_in(visit).await?;
                }
            }
            Incoming::Users(users) => {
                let users = visit.presence.handle_list(users).to_vec();
                if visit.since.is_none() && visit.id.is_some() && users.contains(&visit.name) {
                    self.signed_in(visit).await?;
                }
                self.report_users(visit, users).await?;
            }
            Incoming::Joined(user) => {
                let users = visit.presence.handle_joined(user).to_vec();
                self.report_users(visit, users).await?;
            }
            Incoming::Left(user) => {
                let users = visit.presence.handle_left(&user).to_vec();
                self.report_users(visit, users).await?;
            }
            Incoming::Message { from, target, text, date } => {
                let date = date.unwrap_or(unix_milliseconds() as f64);
                let from = from.unwrap_or_default();
                self.report(SignalingEvent::Message { from, to: target, text, date }).await?;
            }
            // A server written after the sample sends a broadcast hang-up back to us, too.
            Incoming::Signal { from, target: None, .. } if from.as_ref() == Some(&visit.name) => {}
            Incoming::Signal { signal: Signal::Offer { .. }, date: Some(date), .. }
                if visit.age(date) > OFFER_LIFETIME =>
            {
                tracing::info!("an offer came so late that its sender has stopped ringing");
            }
            Incoming::Signal { from, target, signal, .. } => {
                self.report(SignalingEvent::Signal { from, targeted: target.is_some(), signal }).await?;
            }
            Incoming::Undeliverable { target, of } => {
                tracing::debug!(of, "not delivered");
                self.report(SignalingEvent::Undeliverable { target }).await?;
            }
            Incoming::Error(message) => {
                self.report(SignalingEvent::Malformed { reason: format!("the server says: {message}") })
                    .await?;
            }
            Incoming::Other(kind) => tracing::trace!(kind, "message of no interest"),
        }
        Ok(None)
    }

    async fn signed_in(&mut self, visit: &mut Visit) -> Result<(), Stopped> {
        if visit.since.is_none() && !visit.resumed {
            // What was meant for a session that is gone.
            while self.outgoing.try_recv().is_ok() {}
        }
        visit.since.get_or_insert_with(Instant::now);
        self.granted = Some(visit.name.clone());
        self.reported = false;
        let id = visit.id.clone().unwrap_or(Value::Null);
        self.session.send_replace(Some(Session { name: visit.name.clone(), id }));
        let renamed = visit.name != self.wish;
        self.report(SignalingEvent::Connected { name: visit.name.clone(), renamed }).await
    }

    /// Lists that came before we were signed in are not worth a report: one with us in it follows.
    async fn report_users(&mut self, visit: &Visit, users: Vec<String>) -> Result<(), Stopped> {
        if visit.since.is_some() { self.report(SignalingEvent::Users(users)).await } else { Ok(()) }
    }

    /// Sends what is still waiting (a hang-up, mostly), says goodbye and waits for the answer: a socket closed with
    /// unread data is reset, and the server might lose our last words.
    async fn farewell(&mut self, mut socket: Socket) {
        let goodbye = timeout(FAREWELL_TIMEOUT, async {
            while let Ok(text) = self.outgoing.try_recv() {
                socket.send(Message::text(text)).await?;
            }
            socket.close(None).await?;
            while let Some(Ok(_)) = socket.next().await {}
            Ok::<_, tokio_tungstenite::tungstenite::Error>(())
        });
        match goodbye.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "no goodbye"),
            Err(_) => tracing::debug!("no goodbye in time"),
        }
    }

    /// Waits for this, but no longer than until there is reason to do something else (`None`).
    async fn unless_demanded<T>(&mut self, future: impl Future<Output = T>) -> Result<Option<T>, Stopped> {
        let mut demanded = self.demanded.clone();
        self.unless_stopped(async {
            tokio::select! {
                output = future => Some(output),
                Ok(()) = demanded.changed() => None,
            }
        })
        .await
    }

    async fn report(&mut self, event: SignalingEvent) -> Result<(), Stopped> {
        let events = self.events.clone();
        // Nobody listens any more: that is as if the handle were gone.
        if self.unless_stopped(events.send(event)).await?.is_ok() { Ok(()) } else { Err(Stopped) }
    }

    /// Waits for this, but not beyond the life of the handle.
    async fn unless_stopped<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Stopped> {
        tokio::select! {
            // The future goes first: a message that was taken from the queue reaches the socket before we stop.
            biased;
            output = future => Ok(output),
            _ = self.stopped.changed() => Err(Stopped),
        }
    }
}

fn malformed(error: &DecodeError) -> String {
    format!("a message from the server could not be understood: {error}")
}
