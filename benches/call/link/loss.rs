//! Which packets are lost.

use super::random::Random;

/// How packets are lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Loss {
    None,
    /// Each packet by itself, with this probability.
    Random(f64),
    /// In bursts: the Gilbert-Elliott model (Gilbert, "Capacity of a Burst-Noise Channel", BSTJ 1960; Elliott,
    /// "Estimates of Error Rates for Codes on Burst-Noise Channels", BSTJ 1963), a step per packet.
    Bursts(Bursts),
}

/// A channel that is now good, now bad. All are probabilities per packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bursts {
    /// A good channel turns bad.
    pub(crate) begins: f64,
    /// A bad channel turns good: one divided by the mean length of a bad spell in packets.
    pub(crate) ends: f64,
    /// A packet is lost while the channel is good.
    pub(crate) lost_in_good: f64,
    /// A packet is lost while the channel is bad.
    pub(crate) lost_in_bad: f64,
}

impl Bursts {
    /// Bad spells of `length` packets on average, in which everything is lost, so seldom that `share` of all packets
    /// is lost.
    pub(crate) fn of(share: f64, length: f64) -> Self {
        let ends = 1.0 / length;
        Self { begins: ends * share / (1.0 - share), ends, lost_in_good: 0.0, lost_in_bad: 1.0 }
    }
}

/// Decides packet by packet, and remembers what the channel is like.
#[derive(Debug)]
pub(super) struct Losses {
    random: Random,
    bad: bool,
}

impl Losses {
    pub(super) fn new(random: Random) -> Self {
        Self { random, bad: false }
    }

    /// Whether the next packet is lost.
    pub(super) fn takes_next(&mut self, loss: Loss) -> bool {
        match loss {
            Loss::None => false,
            Loss::Random(probability) => self.random.chance(probability),
            Loss::Bursts(bursts) => {
                let turns = if self.bad { bursts.ends } else { bursts.begins };
                self.bad ^= self.random.chance(turns);
                self.random.chance(if self.bad { bursts.lost_in_bad } else { bursts.lost_in_good })
            }
        }
    }
}
