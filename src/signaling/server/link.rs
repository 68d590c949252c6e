//! What the hub and a connection's task tell each other.

use super::registry::Closing;
use super::session::{ConnectionId, Departure};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Messages that may wait for one connection. When full the peer does not read: the connection is dropped.
pub(super) const QUEUE_MESSAGES: usize = 1024;
/// Bytes that may wait for one connection. When full the peer does not read: the connection is dropped.
pub(super) const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// What happens to the server.
pub(super) enum Event {
    /// A listener accepted a socket.
    Accepted(TcpStream),
    /// The WebSocket handshake is done.
    Opened(ConnectionId, Link),
    /// A text message.
    Text(ConnectionId, Utf8Bytes),
    /// A binary message.
    Binary(ConnectionId),
    /// The connection's task is about to end: its last event.
    Ended(ConnectionId, Departure),
}

/// What the hub wants of a connection.
pub(super) enum Outgoing {
    /// Send this.
    Text(Arc<str>),
    /// Close.
    Close(Closing),
}

/// The hub's end of a connection. Dropping it ends the connection at once, even in the middle of a write.
pub(super) struct Link {
    pub(super) outgoing: mpsc::Sender<Outgoing>,
    pub(super) queued_bytes: Arc<AtomicUsize>,
    pub(super) _alive: oneshot::Sender<()>,
}

/// Why a message does not go into a connection's queue.
#[derive(Debug, thiserror::Error)]
pub(super) enum Overflow {
    /// [`QUEUE_MESSAGES`] or [`QUEUE_BYTES`] are waiting.
    #[error("it does not read what it is sent")]
    Full,
    /// The task has ended.
    #[error("it is gone")]
    Gone,
}

impl Link {
    /// Queues it, never waiting.
    pub(super) fn offer(&self, outgoing: Outgoing) -> Result<(), Overflow> {
        let bytes = outgoing.bytes();
        if self.queued_bytes.load(Ordering::Relaxed) + bytes > QUEUE_BYTES {
            return Err(Overflow::Full);
        }
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.outgoing.try_send(outgoing).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Overflow::Full,
            mpsc::error::TrySendError::Closed(_) => Overflow::Gone,
        })
    }

    /// The task has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.outgoing.is_closed()
    }
}

impl Outgoing {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Close(_) => 0,
        }
    }
}
