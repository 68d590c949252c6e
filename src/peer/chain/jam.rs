//! A time in which the path does not keep up with what has left, and what is given up because of it.
//!
//! What was lost because there was too much is not sent once more: a smaller keyframe is quicker. What left since then
//! was meant for the path as it is, and is repaired. Driven by [`super::resend`], which gives up, and by
//! [`super::transport`], which sees a loss long before the other side can: of what the end of a full queue swallowed, it
//! knows only when something has come behind it.

use std::time::{Duration, Instant};

/// A path that has not kept up for so long has lost more than repairs can mend in time.
const LASTS: Duration = Duration::from_millis(60);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Jam {
    since: Option<Instant>,
    given_up: Option<Instant>,
    /// When a keyframe was last wished for: it takes the place of all that had left by then.
    replaced: Option<Instant>,
}

impl Jam {
    /// Whether the path keeps up now.
    pub(super) fn note(&mut self, now: Instant, congested: bool) {
        self.since = congested.then(|| self.since.unwrap_or(now));
        if let Some(since) = self.since
            && now.saturating_duration_since(since) >= LASTS
        {
            self.given_up = Some(since);
        }
    }

    /// What left then is not worth a repair.
    pub(super) fn has_given_up(&self, departed: Instant) -> bool {
        self.given_up.is_some_and(|since| departed < since)
    }

    /// Part of a picture that left then is lost. True if a keyframe has to take its place, and none does already.
    pub(super) fn handle_loss(&mut self, now: Instant, departed: Instant) -> bool {
        let needed = self.has_given_up(departed) && self.replaced.is_none_or(|at| departed > at);
        if needed {
            self.replaced = Some(now);
        }
        needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_left_before_a_jam_is_replaced_once() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut jam = Jam::default();
        jam.note(at(100), true);
        jam.note(at(130), false);
        assert!(!jam.handle_loss(at(150), at(90)), "a moment is no jam");
        jam.note(at(200), true);
        jam.note(at(260), true);
        assert!(!jam.handle_loss(at(270), at(210)), "it left since then, and is repaired");
        assert!(jam.handle_loss(at(270), at(190)));
        assert!(!jam.handle_loss(at(280), at(195)), "one keyframe is enough");
        jam.note(at(300), false);
        assert!(jam.has_given_up(at(190)) && !jam.has_given_up(at(200)));
        jam.note(at(310), true);
        jam.note(at(400), true);
        assert!(!jam.handle_loss(at(410), at(260)), "the keyframe is younger than that");
        jam.note(at(500), false);
        jam.note(at(800), true);
        jam.note(at(900), true);
        assert!(jam.handle_loss(at(910), at(790)), "another jam");
    }
}
