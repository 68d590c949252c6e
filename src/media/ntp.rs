//! Times in the 64-bit NTP format (RFC 5905 section 6): what capture times and sender reports are given in.
//!
//! Plain arithmetic, and one steady clock: it is read from the system once, so that a change of the system's clock
//! does not bend the times of a call.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds from the NTP epoch (1900) to the Unix epoch (RFC 5905 section 6).
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;

/// Turns instants into NTP times.
#[derive(Clone, Copy, Debug)]
pub struct NtpClock {
    instant: Instant,
    since_unix: Duration,
}

impl Default for NtpClock {
    fn default() -> Self {
        Self::new()
    }
}

impl NtpClock {
    /// Reads the system's clock, this once.
    pub fn new() -> Self {
        let since_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { instant: Instant::now(), since_unix }
    }

    /// NTP 64-bit format: 32 bits of seconds, 32 of fraction.
    pub fn ntp(&self, at: Instant) -> u64 {
        let since = match at.checked_duration_since(self.instant) {
            Some(later) => self.since_unix + later,
            None => self.since_unix.saturating_sub(self.instant.saturating_duration_since(at)),
        };
        let seconds = since.as_secs().wrapping_add(NTP_TO_UNIX_SECONDS);
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        (seconds << 32) | fraction
    }
}

/// The middle 32 bits (RFC 3550 section 4): 16 bits of seconds, 16 of fraction.
pub fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// `later` − `earlier` in microseconds, negative if they are the other way round. Right across the wrap-around of
/// 2036 for times within 68 years of one another.
pub fn difference_micros(later: u64, earlier: u64) -> i64 {
    let units = later.wrapping_sub(earlier) as i64;
    ((i128::from(units) * 1_000_000) >> 32) as i64
}

/// `ntp` moved by so many microseconds.
pub fn shifted(ntp: u64, micros: i64) -> u64 {
    ntp.wrapping_add(((i128::from(micros) << 32) / 1_000_000) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_steady_and_counts_from_1900() {
        let clock = NtpClock::new();
        let start = Instant::now();
        let ntp = clock.ntp(start);
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!((ntp >> 32).abs_diff(unix + NTP_TO_UNIX_SECONDS) <= 60);
        for micros in [1, 999, 1_500_000, 3_600_000_000] {
            let later = clock.ntp(start + Duration::from_micros(micros));
            assert!((difference_micros(later, ntp) - micros as i64).abs() <= 1);
            let earlier = clock.ntp(start - Duration::from_micros(micros));
            assert!((difference_micros(earlier, ntp) + micros as i64).abs() <= 1);
        }
    }

    #[test]
    fn differences_and_shifts_are_right_in_any_era() {
        let at = 0xffff_ffff_8000_0000;
        assert_eq!(shifted(at, 1_000_000), 0x8000_0000);
        assert_eq!(difference_micros(0x8000_0000, at), 1_000_000);
        assert_eq!(difference_micros(at, 0x8000_0000), -1_000_000);
        assert_eq!(middle(0x0001_2345_6789_abcd), 0x2345_6789);
    }
}
