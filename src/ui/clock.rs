//! Times as people read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `mm:ss`, from an hour on `h:mm:ss`.
pub(super) fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes:02}:{seconds:02}")
    }
}

/// `hh:mm` of a moment, shifted by `offset_seconds` east of UTC.
pub(super) fn hour_minute(at: SystemTime, offset_seconds: i64) -> String {
    let unix = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let of_day = (unix + offset_seconds).rem_euclid(86_400);
    format!("{:02}:{:02}", of_day / 3600, of_day / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_grow_an_hour_only_when_they_need_it() {
        assert_eq!(duration(Duration::from_secs(0)), "00:00");
        assert_eq!(duration(Duration::from_millis(61_900)), "01:01");
        assert_eq!(duration(Duration::from_secs(3600 * 12 + 62)), "12:01:02");
    }

    #[test]
    fn the_hour_is_that_of_the_zone_across_midnight() {
        let at = UNIX_EPOCH + Duration::from_secs(23 * 3600 + 30 * 60);
        assert_eq!(hour_minute(at, 0), "23:30");
        assert_eq!(hour_minute(at, 3600), "00:30");
        assert_eq!(hour_minute(UNIX_EPOCH, -5 * 3600), "19:00");
    }
}
