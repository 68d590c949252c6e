//! When to try again. Sans-IO: time and chance are parameters.

use std::time::Duration;

/// First pause between two attempts.
pub const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two attempts.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A session that lasted so long counts as good: after it the first attempt comes at once. One that broke sooner
/// does not, so that a server that throws us out is not stormed.
pub const GOOD_SESSION: Duration = Duration::from_secs(5);

/// Exponential backoff with jitter: each pause is between half and all of its nominal length, so that the
/// participants of a restarted server do not come back in step (Metcalfe and Boggs, "Ethernet", Communications of
/// the ACM 19(7), 1976).
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    at_once: bool,
}

impl Backoff {
    /// A session ended after so long.
    pub fn handle_session(&mut self, lasted: Duration) {
        if lasted >= GOOD_SESSION {
            *self = Self { failures: 0, at_once: true };
        }
    }

    /// The pause before the next attempt. `chance` is between 0 and 1.
    pub fn next_pause(&mut self, chance: f64) -> Duration {
        if std::mem::take(&mut self.at_once) {
            return Duration::ZERO;
        }
        let nominal = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        nominal.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..8).map(|_| backoff.next_pause(1.0).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
    }

    #[test]
    fn chance_takes_away_at_most_half() {
        assert_eq!(Backoff::default().next_pause(0.0), FIRST_PAUSE / 2);
    }

    #[test]
    fn after_a_good_session_the_first_attempt_comes_at_once() {
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.next_pause(1.0);
        }
        backoff.handle_session(GOOD_SESSION);
        assert_eq!(backoff.next_pause(1.0), Duration::ZERO);
        assert_eq!(backoff.next_pause(1.0), FIRST_PAUSE);
    }

    #[test]
    fn a_server_that_throws_us_out_is_not_stormed() {
        let mut backoff = Backoff::default();
        backoff.next_pause(1.0);
        backoff.handle_session(Duration::from_millis(10));
        assert_eq!(backoff.next_pause(1.0), FIRST_PAUSE * 2);
    }
}
