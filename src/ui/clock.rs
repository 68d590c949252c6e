//! Times as people read them.

use chrono::{DateTime, Local, TimeZone, Utc};
use std::time::{Duration, SystemTime};

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

/// `hh:mm` of a moment, in the time zone of this machine.
pub(super) fn hour_minute(at: SystemTime) -> String {
    in_zone(at, &Local)
}

fn in_zone<Z: TimeZone<Offset: std::fmt::Display>>(at: SystemTime, zone: &Z) -> String {
    DateTime::<Utc>::from(at).with_timezone(zone).format("%H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::FixedOffset;
    use std::time::UNIX_EPOCH;

    #[test]
    fn durations_grow_an_hour_only_when_they_need_it() {
        assert_eq!(duration(Duration::from_secs(0)), "00:00");
        assert_eq!(duration(Duration::from_millis(61_900)), "01:01");
        assert_eq!(duration(Duration::from_secs(3600 * 12 + 62)), "12:01:02");
    }

    #[test]
    fn the_hour_is_that_of_the_zone_across_midnight() {
        let at = UNIX_EPOCH + Duration::from_secs(23 * 3600 + 30 * 60);
        let zone = |hours: i32| FixedOffset::east_opt(hours * 3600).unwrap();
        assert_eq!(in_zone(at, &zone(0)), "23:30");
        assert_eq!(in_zone(at, &zone(1)), "00:30");
        assert_eq!(in_zone(UNIX_EPOCH, &zone(-5)), "19:00");
    }
}
