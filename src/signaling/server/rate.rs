//! How fast one connection may talk.
//!
//! Sans-IO: driven by the connection's task, which reads no further message before [`RateLimit::charge`]'s delay is
//! over. So a flood is slowed by TCP backpressure at its source; nothing is lost and nobody else waits.

use std::time::{Duration, Instant};

/// Messages that a connection may send at once after a rest: far above the candidates and offers of a call.
pub const BURST_MESSAGES: f64 = 500.0;
/// Messages per second that it may send for ever.
pub const MESSAGES_PER_SECOND: f64 = 100.0;
/// A message counts once more for each such number of bytes, so that long ones are slowed sooner.
pub const BYTES_PER_MESSAGE: f64 = 8192.0;

/// A token bucket (Turner, "New directions in communications", IEEE Communications Magazine 24(10), 1986) that may go
/// into debt: the message that overdraws it passes, and the next one waits.
#[derive(Debug)]
pub struct RateLimit {
    tokens: f64,
    filled_at: Instant,
}

impl RateLimit {
    /// A full bucket.
    pub fn new(now: Instant) -> Self {
        Self { tokens: BURST_MESSAGES, filled_at: now }
    }

    /// Charges for a message of this many bytes; the next one may be read after the returned time.
    pub fn charge(&mut self, bytes: usize, now: Instant) -> Duration {
        let rest = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.filled_at = now.max(self.filled_at);
        self.tokens = (self.tokens + rest * MESSAGES_PER_SECOND).min(BURST_MESSAGES);
        self.tokens -= 1.0 + bytes as f64 / BYTES_PER_MESSAGE;
        Duration::from_secs_f64((-self.tokens / MESSAGES_PER_SECOND).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_being_set_up_is_never_slowed() {
        let now = Instant::now();
        let mut limit = RateLimit::new(now);
        assert_eq!(limit.charge(20 * 1024, now), Duration::ZERO);
        for _ in 0..200 {
            assert_eq!(limit.charge(300, now), Duration::ZERO);
        }
    }

    #[test]
    fn a_flood_is_slowed_to_the_sustained_rate() {
        let start = Instant::now();
        let (mut now, mut limit) = (start, RateLimit::new(start));
        for _ in 0..2000 {
            now += limit.charge(0, now);
        }
        let expected = (2000.0 - BURST_MESSAGES) / MESSAGES_PER_SECOND;
        let taken = now.duration_since(start).as_secs_f64();
        assert!((taken - expected).abs() < 0.1, "2000 messages took {taken} s, expected about {expected} s");
    }

    #[test]
    fn long_messages_are_slowed_sooner_than_short_ones() {
        let now = Instant::now();
        let (mut short, mut long) = (RateLimit::new(now), RateLimit::new(now));
        let delays = |limit: &mut RateLimit, bytes| (0..100).map(|_| limit.charge(bytes, now)).max();
        assert_eq!(delays(&mut short, 100), Some(Duration::ZERO));
        assert!(delays(&mut long, 256 * 1024) > Some(Duration::from_secs(20)));
    }

    #[test]
    fn a_rest_fills_the_bucket_again_but_not_beyond_the_burst() {
        let now = Instant::now();
        let mut limit = RateLimit::new(now);
        for _ in 0..1000 {
            limit.charge(0, now);
        }
        let later = now + Duration::from_secs(3600);
        for _ in 0..BURST_MESSAGES as usize {
            assert_eq!(limit.charge(0, later), Duration::ZERO);
        }
        assert!(limit.charge(0, later) > Duration::ZERO);
    }
}
