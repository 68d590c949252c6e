//! The window's wishes on their way to the engine: kept in order until it has room for them.

use crate::engine::{EngineHandle, Intent};
use std::collections::VecDeque;

/// Wishes that may wait. When full the oldest is dropped and the user is told: the engine has not moved for so long
/// that the newest clicks matter more.
const CAPACITY: usize = 64;

/// Intents in the order of their clicks.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Intent>,
    dropped: u64,
}

impl Outbox {
    /// Adds a wish; it leaves with the next [`Self::flush`].
    pub(super) fn push(&mut self, intent: Intent) {
        if self.waiting.len() == CAPACITY {
            self.waiting.pop_front();
            self.dropped += 1;
            tracing::warn!(
                dropped = self.dropped,
                "the engine does not take intents: the oldest was dropped"
            );
        }
        self.waiting.push_back(intent);
    }

    /// Hands over as many as the engine takes; true if all are gone.
    pub(super) fn flush(&mut self, engine: &EngineHandle) -> bool {
        while let Some(intent) = self.waiting.pop_front() {
            if let Err(intent) = engine.try_send(intent) {
                self.waiting.push_front(intent);
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::INTENT_CAPACITY;

    #[test]
    fn intents_wait_in_order_while_the_engine_is_full() {
        let (engine, mut port) = EngineHandle::pair();
        let mut outbox = Outbox::default();
        for _ in 0..INTENT_CAPACITY {
            engine.try_send(Intent::RefreshDevices).unwrap();
        }
        outbox.push(Intent::HangUp);
        outbox.push(Intent::SignOut);
        assert!(!outbox.flush(&engine));
        while port.intents.try_recv() == Ok(Intent::RefreshDevices) {}
        assert!(outbox.flush(&engine));
        assert_eq!(port.intents.try_recv(), Ok(Intent::HangUp));
        assert_eq!(port.intents.try_recv(), Ok(Intent::SignOut));
    }

    #[test]
    fn an_engine_that_never_moves_costs_the_oldest_wishes_only() {
        let (_engine, port) = EngineHandle::pair();
        let mut outbox = Outbox::default();
        for _ in 0..CAPACITY {
            outbox.push(Intent::RefreshDevices);
        }
        outbox.push(Intent::Quit);
        assert_eq!(outbox.waiting.len(), CAPACITY);
        assert_eq!(outbox.waiting.back(), Some(&Intent::Quit));
        drop(port);
    }
}
