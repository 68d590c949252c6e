//! The WebSocket connection to the signaling server: signs in, decodes, reconnects.

use crate::protocol::Signal;

/// Events that may wait for the engine. When full the socket is not read: TCP backpressure.
pub const EVENT_CAPACITY: usize = 256;

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
    /// The connection is lost or could not be made; the client keeps trying.
    Disconnected {
        /// In words a person can act on.
        reason: String,
    },
    /// Everyone online, in the server's order.
    Users(Vec<String>),
    /// A chat message.
    Message {
        /// Who said it, as the server stamped it.
        from: String,
        /// `Some(us)` if it was said to us alone.
        to: Option<String>,
        /// What was said.
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
    /// A message that could not be understood; nothing changed.
    Malformed {
        /// In words.
        reason: String,
    },
}
