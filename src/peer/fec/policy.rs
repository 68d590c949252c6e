//! When parities pay, and how many: by the round trip, by how packets are lost, and by what the path carries.
//!
//! Asking again costs a round trip and then only what was lost; a parity costs its share always and then almost no time.
//! So parities are for long round trips and for packets lost by chance. They are nothing for losses that come in bursts,
//! longer than any affordable number of parities, and harm where losses are a full queue's: there every octet more is
//! another loss. `peer/tests/network/decision.rs` has the figures by which the constants were chosen.

use std::time::{Duration, Instant};

/// Packets after which the past weighs 1/e: about four seconds of a picture of 1 Mbit/s.
const MEMORY: f64 = 400.0;
/// Lost packets after which the past weighs 1/e, where only these are counted.
const LOSS_MEMORY: f64 = 30.0;
/// Packets that must have been seen before anything is concluded.
const LEAST_PACKETS: f64 = 150.0;
/// Parities begin above and end below these.
const RTT: (Duration, Duration) = (Duration::from_millis(60), Duration::from_millis(80));
const LOSS: (f64, f64) = (0.005, 0.012);
const BITS_PER_SECOND: (f64, f64) = (200_000.0, 280_000.0);
/// Share of lost packets whose predecessor was lost as well, beyond what chance makes of the loss: 0 for losses by
/// chance, 1 - 1/n for bursts of n. Bursts of more than two are more than parities mend.
const BURSTINESS: (f64, f64) = (0.3, 0.45);
/// The path must have been free for so long before parities begin (again).
const PATIENCE: Duration = Duration::from_secs(3);
/// Parities for each packet: so many times the loss and a constant, but no more than that.
const FACTOR: f64 = 1.5;
const BASE: f64 = 0.17;
const MOST: f64 = 0.35;
/// The share changes in steps of this size, so that the picture's rate does not follow every loss.
const STEP: f64 = 0.05;

/// What the path is like.
#[derive(Clone, Copy, Debug)]
pub(in crate::peer) struct Seen {
    /// Round-trip time, where measured.
    pub(in crate::peer) rtt: Option<Duration>,
    /// What there is for pictures and their parities, bits per second.
    pub(in crate::peer) bits_per_second: f64,
    /// A queue grows, or losses are taken for a full one's.
    pub(in crate::peer) congested: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(in crate::peer) struct Policy {
    packets: f64,
    lost: f64,
    /// Lost packets, and those of them that followed another one.
    losses: f64,
    followers: f64,
    before: bool,
    congested: Option<Instant>,
    share: f64,
}

impl Policy {
    /// Learns what became of the next packet in the order of sending.
    pub(in crate::peer) fn handle_outcome(&mut self, lost: bool) {
        self.packets = self.packets * (1.0 - 1.0 / MEMORY) + 1.0;
        self.lost *= 1.0 - 1.0 / MEMORY;
        let before = std::mem::replace(&mut self.before, lost);
        if lost {
            self.lost += 1.0;
            let keep = 1.0 - 1.0 / LOSS_MEMORY;
            self.losses = self.losses * keep + 1.0;
            self.followers = self.followers * keep + f64::from(u8::from(before));
        }
    }

    /// Learns that a packet that counted as lost was only overtaken.
    pub(in crate::peer) fn handle_late(&mut self) {
        self.lost = (self.lost - 1.0).max(0.0);
        self.losses = (self.losses - 1.0).max(0.0);
        self.followers = self.followers.min(self.losses);
    }

    /// Parities to make for each packet; 0: none.
    pub(in crate::peer) fn decide(&mut self, now: Instant, seen: &Seen) -> f64 {
        if seen.congested {
            self.congested = Some(now);
        }
        let active = self.share > 0.0;
        let calm = self.congested.is_none_or(|at| {
            let since = now.saturating_duration_since(at);
            if active { !seen.congested } else { since >= PATIENCE }
        });
        let above = |value: f64, (low, high): (f64, f64)| value >= if active { low } else { high };
        let rtt = seen.rtt.unwrap_or_default();
        let pays = self.packets >= LEAST_PACKETS
            && calm
            && rtt >= if active { RTT.0 } else { RTT.1 }
            && above(self.loss(), LOSS)
            && above(seen.bits_per_second, BITS_PER_SECOND)
            && !above(self.burstiness(), (BURSTINESS.1, BURSTINESS.0));
        let wanted = if pays { (BASE + FACTOR * self.loss()).min(MOST) } else { 0.0 };
        if !pays || !active || (wanted - self.share).abs() >= STEP {
            self.share = wanted;
        }
        self.share
    }

    fn loss(&self) -> f64 {
        self.lost / self.packets.max(1.0)
    }

    fn burstiness(&self) -> f64 {
        // One loss by chance after another is worth little as evidence: as if a few lone ones had been seen before.
        let share = self.followers / (self.losses + 4.0);
        ((share - self.loss()) / (1.0 - self.loss()).max(0.1)).max(0.0)
    }
}
