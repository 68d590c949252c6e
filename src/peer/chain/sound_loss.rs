//! How much of our sound is lost on the way, and whether it therefore travels twice. Sans-IO.
//!
//! Driven by [`super::tap`] with every report on our sound. A report counts a packet that was asked for and came again
//! as never lost, so what was asked for counts as well: who only believed the reports would take repairs for a good path
//! and send without in-band FEC.

/// Weight of a new report; there is one a second.
const WEIGHT: f64 = 0.2;
/// Loss from which sound travels twice, and below which it no longer does. A single lost packet of a second is 2 % of
/// it, and of the smoothed loss a fifth of that.
const TWICE_ABOVE: f64 = 0.02;
const TWICE_BELOW: f64 = 0.01;
/// Estimate from which there is room for it, bits per second: three times the rate of sound at its best with its
/// headers, so that pictures keep most of it.
const TWICE_FROM: u32 = 216_000;

/// What is known besides the report.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    /// Packets of sound that were sent, since the beginning.
    pub(super) sent: u64,
    /// Of those, packets that the remote asked for again.
    pub(super) requested: u64,
    /// Send-side estimate, bits per second.
    pub(super) estimate: u32,
    /// The remote is one of ours, and knows what to do with sound that travels twice.
    pub(super) understands: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct SoundLoss {
    sent: u64,
    requested: u64,
    smoothed: f64,
    twice: bool,
}

impl SoundLoss {
    /// Takes the `fraction lost` octet of a report (RFC 3550 section 6.4.1); gives the true one.
    pub(super) fn handle_report(&mut self, fraction_lost: u8, evidence: Evidence) -> u8 {
        let sent = evidence.sent.saturating_sub(self.sent);
        let requested = evidence.requested.saturating_sub(self.requested);
        (self.sent, self.requested) = (evidence.sent, evidence.requested);
        let asked = if sent == 0 { 0.0 } else { (requested as f64 / sent as f64).min(1.0) };
        let loss = asked.max(f64::from(fraction_lost) / 256.0);
        self.smoothed += WEIGHT * (loss - self.smoothed);
        let enough = if self.twice { TWICE_BELOW } else { TWICE_ABOVE };
        self.twice =
            evidence.understands && evidence.estimate >= TWICE_FROM && self.smoothed >= enough - f64::EPSILON;
        (loss * 256.0).min(255.0) as u8
    }

    /// Whether sound is to travel twice.
    pub(super) fn twice(&self) -> bool {
        self.twice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports, one a second, of 50 packets each, of which so many are reported lost and so many were asked for.
    fn reports(loss: &mut SoundLoss, seconds: u64, lost: u64, asked: u64, estimate: u32) -> u8 {
        let mut last = 0;
        for _ in 0..seconds {
            let evidence = Evidence {
                sent: loss.sent + 50,
                requested: loss.requested + asked,
                estimate,
                understands: true,
            };
            last = loss.handle_report((lost * 256 / 50) as u8, evidence);
        }
        last
    }

    #[test]
    fn sound_travels_twice_within_seconds_of_loss_and_stops_when_the_path_is_good_again() {
        let mut loss = SoundLoss::default();
        reports(&mut loss, 20, 0, 0, 500_000);
        assert!(!loss.twice());
        reports(&mut loss, 3, 3, 0, 500_000);
        assert!(loss.twice(), "6 % for three seconds");
        reports(&mut loss, 2, 0, 0, 500_000);
        assert!(loss.twice(), "a moment without loss proves nothing");
        reports(&mut loss, 20, 0, 0, 500_000);
        assert!(!loss.twice());
    }

    #[test]
    fn a_packet_lost_now_and_then_is_no_reason() {
        let mut loss = SoundLoss::default();
        for _ in 0..20 {
            reports(&mut loss, 1, 1, 0, 500_000);
            reports(&mut loss, 3, 0, 0, 500_000);
            assert!(!loss.twice());
        }
    }

    #[test]
    fn what_was_asked_for_counts_as_lost_though_it_was_repaired() {
        let mut loss = SoundLoss::default();
        assert_eq!(reports(&mut loss, 1, 0, 5, 500_000), 25);
        assert_eq!(reports(&mut loss, 1, 5, 1, 500_000), 25);
        assert!(loss.twice());
    }

    #[test]
    fn without_room_or_with_a_stranger_it_travels_once() {
        let mut loss = SoundLoss::default();
        reports(&mut loss, 10, 10, 0, 150_000);
        assert!(!loss.twice(), "a narrow path");
        let stranger = Evidence { sent: 1000, requested: 0, estimate: 1_000_000, understands: false };
        loss.handle_report(100, stranger);
        assert!(!loss.twice());
    }
}
