//! A nomination that does not wait for its answer.
//!
//! Sans-IO; driven by the sockets and their task, as [`super::flights`] is. The controlling side nominates a pair only
//! after a check of it has succeeded, so that packets have just gone both ways, and an agent may send on such a pair at
//! once (RFC 8445 section 12.1.1). The `webrtc` crate waits for the answer to the nomination first, a whole round trip,
//! before it begins the DTLS handshake. So the answer is given to it here, as the other side is about to give it. The
//! nomination itself leaves as always, and is repeated (RFC 8489 section 6.2.1) until it is really answered: without it
//! the other side would not take part. Where the answer is not understood, the crate waits for the real one.
//!
//! Never reads a clock, and tells nothing to anybody but this machine's own agent.

use super::datagram::{self, Transaction};
use rtc::crypto::RTCCryptoProvider;
use rtc::stun::attributes::ATTR_USE_CANDIDATE;
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{BINDING_SUCCESS, Message, TransactionId};
use rtc::stun::xoraddr::XorMappedAddress;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two repetitions of a nomination: as often as the crate itself would repeat it.
const INTERVAL: Duration = Duration::from_millis(20);
/// And so often at most: for 2 s. Then the silence on the pair is noticed like any other.
const REPETITIONS: u32 = 100;
/// Nominations under way at once; the crate makes one per connection and restart. The oldest is forgotten.
const CAPACITY: usize = 4;

struct Pending<Way> {
    transaction: Transaction,
    way: Way,
    datagram: Vec<u8>,
    due: Instant,
    repetitions: u32,
}

/// See the module. `Way` is how a datagram leaves the machine.
pub(super) struct Nominations<Way> {
    pending: VecDeque<Pending<Way>>,
    /// What the other side's answers are signed with (RFC 8445 section 7.2.2).
    password: Option<String>,
    crypto: Option<Arc<dyn RTCCryptoProvider>>,
}

impl<Way> Default for Nominations<Way> {
    fn default() -> Self {
        Self { pending: VecDeque::new(), password: None, crypto: rtc::crypto::default_provider().ok() }
    }
}

impl<Way: Clone> Nominations<Way> {
    /// The `ice-pwd` of the other side's newest description.
    pub(super) fn set_password(&mut self, password: &str) {
        self.password = Some(password.to_owned());
    }

    /// A datagram leaves for `to` from `from`. The answer to it, if it is a nomination.
    pub(super) fn handle_sent(
        &mut self,
        way: Way,
        datagram: &[u8],
        from: SocketAddr,
        now: Instant,
    ) -> Option<Vec<u8>> {
        let transaction = datagram::check(datagram)?;
        if !datagram::holds(datagram, ATTR_USE_CANDIDATE.0) {
            return None;
        }
        let answer = self.answer(transaction, from)?;
        if self.pending.len() == CAPACITY {
            self.pending.pop_front();
        }
        let due = now + INTERVAL;
        self.pending.push_back(Pending {
            transaction,
            way,
            datagram: datagram.to_vec(),
            due,
            repetitions: 0,
        });
        Some(answer)
    }

    /// A datagram comes.
    pub(super) fn handle_received(&mut self, datagram: &[u8]) {
        if let Some(answer) = datagram::check_answer(datagram) {
            self.pending.retain(|pending| pending.transaction != answer);
        }
    }

    /// When [`Self::handle_timeout`] is to be called.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.pending.iter().map(|pending| pending.due).min()
    }

    /// What is to be sent again now.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<(Way, Vec<u8>)> {
        let mut again = Vec::new();
        for pending in self.pending.iter_mut().filter(|pending| pending.due <= now) {
            pending.repetitions += 1;
            pending.due = now + INTERVAL;
            again.push((pending.way.clone(), pending.datagram.clone()));
        }
        self.pending.retain(|pending| pending.repetitions < REPETITIONS);
        again
    }

    /// Where the other side sees us does not matter any more: the check before told it.
    fn answer(&self, transaction: Transaction, from: SocketAddr) -> Option<Vec<u8>> {
        let crypto = self.crypto.as_ref()?;
        let password = self.password.clone()?;
        let mut message = Message::new();
        let built = message.build(&[
            Box::new(BINDING_SUCCESS),
            Box::new(TransactionId(transaction)),
            Box::new(XorMappedAddress { ip: from.ip(), port: from.port() }),
            Box::new(MessageIntegrity::new_short_term_integrity_with_provider(password, crypto.crypto())),
            Box::new(FINGERPRINT),
        ]);
        match built {
            Ok(()) => Some(message.raw),
            Err(error) => {
                tracing::debug!(%error, "a nomination waits for its answer");
                None
            }
        }
    }
}

impl<Way> std::fmt::Debug for Nominations<Way> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Nominations").field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}
