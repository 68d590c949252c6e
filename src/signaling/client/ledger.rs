//! What the client remembers of its session, so that the next connection continues it.
//!
//! Sans-IO; driven by the client's task. Both ends count the texts that they received in the session, from the server's
//! `session` on; whoever comes back says its count, and gets what it missed, once and in order. Never reads a clock.

use crate::protocol::Resume;
use std::collections::VecDeque;

/// Texts of ours that are kept for sending again. When full the oldest is dropped: it has most likely arrived.
const KEPT_TEXTS: usize = 128;
/// Bytes of them.
const KEPT_BYTES: usize = 256 * 1024;

/// See the module. Empty with a server that cannot resume.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    token: Option<String>,
    received: u64,
    sent: u64,
    kept: VecDeque<String>,
    kept_bytes: usize,
}

impl Ledger {
    /// What to ask the server for; `None` if there is nothing to continue.
    pub(super) fn resume(&self) -> Option<Resume<'_>> {
        Some(Resume { token: self.token.as_deref()?, received: self.received })
    }

    /// A session began.
    pub(super) fn handle_begun(&mut self, token: String) {
        *self = Self { token: Some(token), ..Self::default() };
    }

    /// Our session continues; the server has received so many texts of ours. The others are to be sent again.
    pub(super) fn handle_resumed(&self, received: u64) -> Vec<String> {
        let missed = usize::try_from(self.sent.saturating_sub(received)).unwrap_or(usize::MAX);
        self.kept.iter().skip(self.kept.len().saturating_sub(missed)).cloned().collect()
    }

    /// A text came in the session.
    pub(super) fn handle_received(&mut self) {
        self.received += 1;
    }

    /// A text is about to go out in the session.
    pub(super) fn handle_sent(&mut self, text: &str) {
        if self.token.is_none() {
            return;
        }
        self.sent += 1;
        self.kept_bytes += text.len();
        self.kept.push_back(text.to_owned());
        while self.kept.len() > KEPT_TEXTS || self.kept_bytes > KEPT_BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.kept_bytes -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_missed_is_sent_again_in_order() {
        let mut ledger = Ledger::default();
        ledger.handle_sent("before the session: of no interest");
        assert_eq!(ledger.resume(), None);
        ledger.handle_begun("secret".into());
        for text in ["1", "2", "3"] {
            ledger.handle_sent(text);
        }
        ledger.handle_received();
        assert_eq!(ledger.resume(), Some(Resume { token: "secret", received: 1 }));
        assert_eq!(ledger.handle_resumed(1), ["2", "3"]);
        assert!(ledger.handle_resumed(3).is_empty());
        assert!(ledger.handle_resumed(7).is_empty(), "a server that counts wrong gets nothing");
    }

    #[test]
    fn a_new_session_begins_with_nothing() {
        let mut ledger = Ledger::default();
        ledger.handle_begun("one".into());
        ledger.handle_sent("1");
        ledger.handle_received();
        ledger.handle_begun("two".into());
        assert_eq!(ledger.resume(), Some(Resume { token: "two", received: 0 }));
        assert!(ledger.handle_resumed(0).is_empty());
    }

    #[test]
    fn only_the_newest_texts_are_kept() {
        let mut ledger = Ledger::default();
        ledger.handle_begun("secret".into());
        for number in 0..KEPT_TEXTS + 5 {
            ledger.handle_sent(&number.to_string());
        }
        let again = ledger.handle_resumed(0);
        assert_eq!((again.len(), again[0].as_str()), (KEPT_TEXTS, "5"));
        ledger.handle_sent(&"x".repeat(KEPT_BYTES));
        assert_eq!(ledger.handle_resumed(0).len(), 1);
    }
}
