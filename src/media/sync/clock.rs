//! When something happened here that the remote's clock gives a time for.

use super::super::ntp;
use super::super::reception::ClockReport;
use super::signed_micros;
use std::time::{Duration, Instant};

/// How long a report counts: long enough that one of them has met no queue, short enough that both clocks' drift
/// (100 ppm at worst) stays below 3 ms.
const WINDOW: Duration = Duration::from_secs(15);

/// How much later than its own time a report came, in microseconds of an arbitrary zero, and the round trip.
#[derive(Clone, Copy, Debug)]
struct Offset {
    micros: i64,
    rtt: Duration,
}

impl Offset {
    fn best(self, other: Option<Self>) -> Self {
        let Some(other) = other else { return self };
        Self { micros: self.micros.min(other.micros), rtt: self.rtt.min(other.rtt) }
    }
}

/// Maps the remote's NTP times to ours.
///
/// The quickest sender report of the last [`WINDOW`] to twice that took the path's own time, without a queue; half of
/// the smallest round trip is taken for it (as NTP does, RFC 5905 section 8). The error is half of what the two
/// directions differ by, whatever the two clocks say.
#[derive(Debug, Default)]
pub(crate) struct RemoteClock {
    /// What the offsets are counted from.
    zero: Option<(Instant, u64)>,
    present: Option<Offset>,
    past: Option<Offset>,
    begun: Option<Instant>,
    last: Option<ClockReport>,
}

impl RemoteClock {
    /// Takes a report; the same one again is ignored, and so is one without a measured round trip.
    pub(crate) fn handle_report(&mut self, report: &ClockReport, rtt: Option<Duration>) {
        let Some(rtt) = rtt else { return };
        if self.last.as_ref() == Some(report) {
            return;
        }
        self.last = Some(*report);
        let (instant, ntp) = *self.zero.get_or_insert((report.arrived, report.ntp));
        let micros = signed_micros(report.arrived, instant) - ntp::difference_micros(report.ntp, ntp);
        let begun = *self.begun.get_or_insert(report.arrived);
        if report.arrived.saturating_duration_since(begun) >= WINDOW {
            self.begun = Some(report.arrived);
            self.past = self.present.take();
        }
        self.present = Some(Offset { micros, rtt }.best(self.present));
    }

    /// The time here at which the remote's clock showed `ntp`; `None` before a report and a round trip were measured.
    pub(crate) fn at(&self, ntp: u64) -> Option<Instant> {
        let (instant, zero) = self.zero?;
        let offset = self.present?.best(self.past);
        let path = (offset.rtt / 2).as_micros() as i64;
        let micros = ntp::difference_micros(ntp, zero) + offset.micros - path;
        let by = Duration::from_micros(micros.unsigned_abs());
        if micros >= 0 { instant.checked_add(by) } else { instant.checked_sub(by) }
    }
}
