//! The WebSocket connection to the signaling server: signs in, decodes, reconnects.
//!
//! [`SignalingClient`] is the engine's handle on one task, which owns the socket and reports [`SignalingEvent`]s. It
//! knows nothing of calls: it neither answers nor judges what others say, except that it drops the server's echo of
//! our own broadcast signals.
//!
//! With a server that can resume, a lost connection is an interruption and not an end: what is sent meanwhile waits, and
//! both sides send again what the other missed. The engine says when it matters ([`SignalingClient::hurry`]) and when
//! there is reason to doubt the connection ([`SignalingClient::check`]).

mod ledger;
mod link;
mod presence;
mod task;

pub use super::address::server_url;

use crate::protocol::{MAX_MESSAGE_BYTES, MAX_TEXT_BYTES, Signal, encode_message, encode_signal};
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Events that may wait for the engine. When full the socket is not read: TCP backpressure.
pub const EVENT_CAPACITY: usize = 256;
/// Messages that may wait for the socket. When full sending fails with [`SendError::Busy`].
pub const SEND_CAPACITY: usize = 256;
/// How long closing may take.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the server or another participant told us.
#[derive(Clone, Debug, PartialEq)]
pub enum SignalingEvent {
    /// Signed in under this name, which is not the one wished for if that was taken.
    Connected {
        /// The granted name.
        name: String,
        /// It differs from the one wished for.
        renamed: bool,
    },
    /// The connection is lost or could not be made; the client keeps trying. Reported once until the next
    /// [`SignalingEvent::Connected`].
    Disconnected {
        /// In words a person can act on.
        reason: String,
    },
    /// The server answered a [`SignalingClient::check`]: the connection works.
    Alive,
    /// Everyone online, ourselves included, in the server's order.
    Users(Vec<String>),
    /// A chat message. What we say to everyone comes back to us, as in the article; what we say to one does not.
    Message {
        /// Who said it, as the server stamped it; empty if it did not.
        from: String,
        /// `Some(us)` if it was said to us alone.
        to: Option<String>,
        /// What was said: text, to be drawn as text.
        text: String,
        /// Unix time, milliseconds.
        date: f64,
    },
    /// Something about a call.
    Signal {
        /// Who sent it, as the server stamped it; `None` from a server that does not stamp.
        from: Option<String>,
        /// True if it was sent to us, false if to everyone (the article's page broadcasts its `hang-up`).
        targeted: bool,
        /// What was sent.
        signal: Signal,
    },
    /// The server could not deliver what we sent to this user: nobody of that name is online.
    Undeliverable {
        /// To whom it was.
        target: String,
    },
    /// A message that could not be understood, or one of ours that the server could not use; nothing changed.
    Malformed {
        /// In words.
        reason: String,
    },
}

/// Why something was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no connection at the moment, and no session that waits for the next.
    #[error("there is no connection to the server at the moment")]
    NotConnected,
    /// [`SEND_CAPACITY`] messages are waiting.
    #[error("the connection to the server is too slow: try again in a moment")]
    Busy,
    /// Longer than a message may be.
    #[error("this message is too long")]
    TooLong,
}

/// A session: what sending needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The granted name.
    name: String,
    /// The server's number for our connection; a server written after the sample looks the sender up by it.
    id: Value,
}

/// What the engine wants of the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    /// There is a call: a loss is to be noticed, and repaired, in seconds.
    hurry: bool,
    /// Grows with every wish to have the connection checked.
    checks: u64,
}

/// A participant's connection to the server. Dropping it ends the connection; [`SignalingClient::close`] also waits.
#[derive(Debug)]
pub struct SignalingClient {
    outgoing: mpsc::Sender<String>,
    session: watch::Receiver<Option<Session>>,
    demand: watch::Sender<Demand>,
    /// Never sent on: dropping it ends the task.
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl SignalingClient {
    /// Starts to connect to this URL ([`server_url`]) and to sign in under this name. Must run inside tokio.
    pub fn connect(url: String, name: String, events: mpsc::Sender<SignalingEvent>) -> Self {
        Self::connect_with(url, name, events, Timing::default())
    }

    /// The same with other times.
    pub fn connect_with(
        url: String,
        name: String,
        events: mpsc::Sender<SignalingEvent>,
        timing: Timing,
    ) -> Self {
        let (outgoing, waiting) = mpsc::channel(SEND_CAPACITY);
        let (session_sender, session) = watch::channel(None);
        let (stop, stopped) = watch::channel(());
        let (demand, demanded) = watch::channel(Demand::default());
        let task = tokio::spawn(task::run(task::Task {
            url,
            wish: name,
            granted: None,
            ledger: ledger::Ledger::default(),
            demanded,
            events,
            outgoing: waiting,
            session: session_sender,
            stopped,
            timing,
            reported: false,
        }));
        Self { outgoing, session, demand, stop, task }
    }

    /// From now on a loss is to be noticed and repaired in seconds (there is a call), or it has time.
    pub fn hurry(&self, hurry: bool) {
        self.demand.send_if_modified(|demand| std::mem::replace(&mut demand.hurry, hurry) != hurry);
    }

    /// There is reason to doubt the connection (the network changed, the computer slept, media stopped): the server is
    /// asked for a sign of life. [`SignalingEvent::Alive`] follows, or [`SignalingEvent::Disconnected`]; if there is no
    /// connection, the next attempt is made at once.
    pub fn check(&self) {
        self.demand.send_modify(|demand| demand.checks += 1);
    }

    /// Says something to one user, or to everyone.
    ///
    /// # Errors
    /// When it cannot be sent; it is not kept.
    pub fn send_message(&self, text: &str, to: Option<&str>) -> Result<(), SendError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(SendError::TooLong);
        }
        self.send(|session| encode_message(&session.name, text, to, &session.id, unix_milliseconds()))
    }

    /// Sends something about a call to one user. While a connection is replaced, it waits for the next one.
    ///
    /// # Errors
    /// When it cannot be sent; it is not kept.
    pub fn send_signal(&self, to: &str, signal: &Signal) -> Result<(), SendError> {
        self.send(|session| encode_signal(&session.name, to, signal))
    }

    /// Closes the connection and waits for it, at most [`CLOSE_TIMEOUT`].
    pub async fn close(self) {
        let Self { stop, mut task, .. } = self;
        drop(stop);
        if tokio::time::timeout(CLOSE_TIMEOUT, &mut task).await.is_err() {
            tracing::debug!("the server did not let go in time");
            task.abort();
        }
    }

    fn send(&self, encode: impl FnOnce(&Session) -> String) -> Result<(), SendError> {
        let text = match &*self.session.borrow() {
            Some(session) => encode(session),
            None => return Err(SendError::NotConnected),
        };
        if text.len() > MAX_MESSAGE_BYTES {
            return Err(SendError::TooLong);
        }
        self.outgoing.try_send(text).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Busy,
            mpsc::error::TrySendError::Closed(_) => SendError::NotConnected,
        })
    }
}

/// How long the client waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// For the TCP connection to one of the server's addresses, and for the handshake and `id`.
    pub connect: Duration,
    /// Silence after which we ping: not every server does.
    pub ping_after: Duration,
    /// Silence after which the server is dead.
    pub dead_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            ping_after: Duration::from_secs(20),
            dead_after: Duration::from_secs(45),
        }
    }
}

fn unix_milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
