//! What a participant used in a call, and what it got for it.

use serde_json::Value;
use std::time::Duration;

/// How often it is looked at what somebody uses.
pub(crate) const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// What a participant used, and what it got for it.
pub(crate) struct Used {
    pub(crate) name: &'static str,
    /// User and system, seconds, from the click to the end.
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_mib: f64,
    /// Pictures that it received and decoded, in all.
    pub(crate) pictures: f64,
    /// Size of the last one.
    pub(crate) size: (u64, u64),
    /// Video received, bits per second, over the call.
    pub(crate) bits_per_second: f64,
}

/// Fewer pictures by this share still count as as many: the calls do not begin alike.
const PICTURES_TOLERANCE: f64 = 0.1;

impl Used {
    /// Whether the picture was as large, and came as often: cost is compared only for the same work.
    pub(crate) fn carried_no_less_than(&self, other: &Self) -> bool {
        self.size.0 >= other.size.0
            && self.size.1 >= other.size.1
            && self.pictures >= other.pictures * (1.0 - PICTURES_TOLERANCE)
    }

    /// Sending as many is in it.
    pub(crate) fn cpu_milliseconds_per_picture(&self) -> f64 {
        self.cpu_seconds * 1000.0 / self.pictures.max(1.0)
    }
}

/// From the figures of a call of ours, as they came one after the other.
pub(crate) fn used_by_stats(name: &'static str, reports: &[Value], cpu_seconds: f64, peak_mib: f64) -> Used {
    let last = &reports.last().expect("statistics come once a second")["video_received"];
    let bits: f64 =
        reports.iter().map(|report| report["video_received"]["bitrate"].as_f64().unwrap()).sum::<f64>();
    Used {
        name,
        cpu_seconds,
        peak_mib,
        pictures: last["frames"].as_f64().unwrap(),
        size: (last["width"].as_u64().unwrap(), last["height"].as_u64().unwrap()),
        bits_per_second: bits / reports.len() as f64,
    }
}
