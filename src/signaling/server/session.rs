//! A signed-in participant: what outlives its connection, and what is kept for it meanwhile.
//!
//! Driven by [`super::registry`]. A participant that announced [`FEATURE_RESUME`](crate::protocol::FEATURE_RESUME) has
//! a token; when its connection is lost without a goodbye, its name stays taken and its presence as it is for
//! [`ABSENCE`], and what is sent to it waits here. It never reads a clock and never sends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a lost participant is awaited: longer than the grace of a call whose path is lost, so that a call that
/// is still being repaired can be.
pub const ABSENCE: Duration = Duration::from_secs(40);
/// Participants that are awaited at a time. When full the one that has been away longest is given up.
pub const MAX_ABSENT: usize = 1000;
/// Texts kept for a participant that can come back. While it is connected the oldest is dropped, which it has most
/// likely received; while it is away the newest is refused, and its sender told.
pub const KEPT_TEXTS: usize = 128;
/// Bytes of them.
pub const KEPT_BYTES: usize = 256 * 1024;

/// One connection; never used again in the life of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One participant, in the order of signing in; never used again in the life of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SessionId(pub(super) u64);

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It said goodbye, or was thrown out.
    Closed,
    /// The stream ended without a goodbye: most likely the program at its end is gone.
    Ended,
    /// Nothing is heard of it: most likely the network between is gone.
    Silent,
}

/// What a participant announced that it understands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Features {
    /// [`FEATURE_PRESENCE`](crate::protocol::FEATURE_PRESENCE).
    pub(super) presence: bool,
    /// [`FEATURE_UNDELIVERABLE`](crate::protocol::FEATURE_UNDELIVERABLE).
    pub(super) undeliverable: bool,
}

/// Since when a participant is away.
#[derive(Debug)]
pub(super) struct Absence {
    /// When it is given up.
    pub(super) until: Instant,
    /// Its program is most likely gone, so that its name is for whoever asks for it.
    pub(super) reclaimable: bool,
    /// Who sent it something that waits, and the type of that; once each.
    pub(super) senders: Vec<(SessionId, String)>,
}

/// A participant.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) name: Arc<str>,
    pub(super) features: Features,
    /// Its present connection; none while it is away.
    pub(super) connection: Option<ConnectionId>,
    pub(super) absence: Option<Absence>,
    /// How it comes back, if it can.
    pub(super) token: Option<String>,
    /// Texts that came from it.
    pub(super) received: u64,
    /// Texts for it, sent or waiting.
    sent: u64,
    /// The last of them.
    kept: VecDeque<Arc<str>>,
    kept_bytes: usize,
}

impl Session {
    pub(super) fn new(
        name: Arc<str>,
        features: Features,
        connection: ConnectionId,
        token: Option<String>,
    ) -> Self {
        Self {
            name,
            features,
            connection: Some(connection),
            absence: None,
            token,
            received: 0,
            sent: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
        }
    }

    /// A text for it: the connection to send it on, if there is one. False if it can neither be sent nor kept.
    pub(super) fn take(&mut self, text: &Arc<str>) -> (bool, Option<ConnectionId>) {
        if self.token.is_none() {
            return (true, self.connection);
        }
        if self.connection.is_none() && !self.has_room(text.len()) {
            return (false, None);
        }
        self.sent += 1;
        self.kept_bytes += text.len();
        self.kept.push_back(Arc::clone(text));
        while self.kept.len() > KEPT_TEXTS || self.kept_bytes > KEPT_BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.kept_bytes -= oldest.len();
        }
        (true, self.connection)
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.kept.len() < KEPT_TEXTS && self.kept_bytes + bytes <= KEPT_BYTES
    }

    /// The texts after the first `received` ones, as far as they have been kept.
    pub(super) fn missed(&self, received: u64) -> impl Iterator<Item = &Arc<str>> {
        let missed = usize::try_from(self.sent.saturating_sub(received)).unwrap_or(usize::MAX);
        self.kept.iter().skip(self.kept.len().saturating_sub(missed))
    }
}
