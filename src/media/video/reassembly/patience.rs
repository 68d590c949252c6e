//! How patient the reassembly is, by the path's round trip.

use std::time::Duration;

/// Bounds of [`Limits::repair_wait`]: a local network's repairs, several of which may be lost, and a picture that
/// nobody waits for any longer.
const REPAIR_WAIT: (Duration, Duration) = (Duration::from_millis(250), Duration::from_millis(1200));
/// Bounds of [`Limits::request_interval`].
const REQUEST_INTERVAL: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(2));
/// Bounds of how many missing packets are worth a repair, whatever a keyframe costs: fewer are always, more never.
const REPAIR_LIMIT: (usize, usize) = (40, 400);

/// How patient to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How long a missing packet is waited for after the first one behind it has come.
    pub(crate) repair_wait: Duration,
    /// Least time between two requests for a keyframe.
    pub(crate) request_interval: Duration,
    /// More missing packets than this are left to a keyframe.
    pub(crate) repair_limit: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            repair_wait: REPAIR_WAIT.0,
            request_interval: REQUEST_INTERVAL.0,
            repair_limit: REPAIR_LIMIT.1,
        }
    }
}

impl Limits {
    /// For a path with this round trip: a repair may be lost several times before a keyframe, which is bigger and can
    /// lose packets as well, would have been quicker; and a keyframe that was asked for is given time to come.
    pub(crate) fn set_round_trip(&mut self, rtt: Duration) {
        let spare = Duration::from_millis(100);
        self.repair_wait = (rtt * 5 + spare).clamp(REPAIR_WAIT.0, REPAIR_WAIT.1);
        self.request_interval = (rtt * 3 / 2 + spare).clamp(REQUEST_INTERVAL.0, REQUEST_INTERVAL.1);
    }

    /// A keyframe of so many packets came: repairing half as many again takes longer than another one.
    pub(crate) fn set_keyframe_packets(&mut self, packets: usize) {
        self.repair_limit = (packets * 3 / 2).clamp(REPAIR_LIMIT.0, REPAIR_LIMIT.1);
    }
}
