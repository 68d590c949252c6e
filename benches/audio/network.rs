//! What a network does to packets, from a seed.

/// Even random numbers, 0 to 1 (xorshift, Marsaglia 2003).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A path.
#[derive(Clone, Copy)]
pub(crate) struct Path {
    pub(crate) name: &'static str,
    /// Packets are late by 0 to this, evenly, milliseconds.
    pub(crate) jitter_ms: f64,
    /// Share of packets lost.
    pub(crate) loss: f64,
    /// Mean length of a loss in packets (Gilbert's model); 1 is random loss.
    pub(crate) burst: f64,
    /// About every two seconds everything is held up for as long as this, milliseconds, and then comes at once.
    pub(crate) spike_ms: f64,
    /// How much faster the sender's clock is than the receiver's.
    pub(crate) drift: f64,
}

const EVEN: Path = Path { name: "clean", jitter_ms: 0.0, loss: 0.0, burst: 1.0, spike_ms: 0.0, drift: 0.0 };

/// The paths that playouts are compared on.
pub(crate) const PATHS: [Path; 8] = [
    EVEN,
    Path { name: "20 ms jitter", jitter_ms: 20.0, ..EVEN },
    Path { name: "30 ms jitter, 5 % loss", jitter_ms: 30.0, loss: 0.05, ..EVEN },
    Path { name: "10 % random loss", jitter_ms: 2.0, loss: 0.10, ..EVEN },
    Path { name: "15 % loss in bursts", jitter_ms: 2.0, loss: 0.15, burst: 3.0, ..EVEN },
    Path { name: "spikes of 120 ms", jitter_ms: 2.0, spike_ms: 120.0, ..EVEN },
    Path { name: "100 ppm fast", drift: 100e-6, ..EVEN },
    Path { name: "100 ppm slow", drift: -100e-6, ..EVEN },
];

/// A path at work.
pub(crate) struct Link {
    path: Path,
    random: Random,
    losing: bool,
    /// Nothing comes before this, milliseconds.
    held_until: f64,
}

impl Link {
    pub(crate) fn new(path: Path, seed: u64) -> Self {
        Self { path, random: Random::new(seed), losing: false, held_until: 0.0 }
    }

    /// When a packet that is sent now comes, if it does; milliseconds.
    pub(crate) fn carry(&mut self, sent_ms: f64) -> Option<f64> {
        // Gilbert: the chance to leave the bad state is 1 / burst, that to enter it follows from the share.
        let leave = 1.0 / self.path.burst;
        let enter = leave * self.path.loss / (1.0 - self.path.loss);
        let chance = self.random.next();
        self.losing = if self.path.burst <= 1.0 {
            chance < self.path.loss
        } else if self.losing {
            chance >= leave
        } else {
            chance < enter
        };
        if self.path.spike_ms > 0.0 && self.random.next() < 0.01 {
            self.held_until = sent_ms + self.path.spike_ms;
        }
        let late = self.random.next() * self.path.jitter_ms;
        (!self.losing).then(|| (sent_ms + late).max(self.held_until))
    }
}
