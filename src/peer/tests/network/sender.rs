//! The sending end: pictures of plausible sizes, retransmission within the budget of the real one, and parity.

use super::{MS, Random, Wire};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Octets of payload in a packet, and of headers around it.
const PAYLOAD: usize = 1_100;
const HEADERS: usize = 60;
/// A keyframe is so much larger than the average picture.
const KEYFRAME_FACTOR: f64 = 6.0;
/// Share of the rate that retransmissions may take, and how much of it may be saved up, as in `chain::resend`.
const REPAIR_SHARE: f64 = 0.5;
const REPAIR_SAVED: f64 = 0.5;

/// What is done against loss beyond asking again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scheme {
    /// Nothing.
    Nack,
    /// Parities for every picture, this share of its packets, at least one; the media's rate shrinks by as much.
    Parity(f64),
    /// The same for keyframes only.
    KeyframeParity(f64),
}

struct Kept {
    packet: Wire,
    resent: Option<Instant>,
}

pub(super) struct Sender {
    scheme: Scheme,
    bits_per_second: f64,
    rtt: Duration,
    sequence: u16,
    kept: HashMap<u16, Kept>,
    keyframe: bool,
    last_wish: Option<Instant>,
    debt: f64,
    budget: (f64, Option<Instant>),
    media: usize,
    extra: usize,
}

impl Sender {
    pub(super) fn new(scheme: Scheme, bits_per_second: f64, rtt: Duration) -> Self {
        Self {
            scheme,
            bits_per_second,
            rtt,
            // Wraps around soon.
            sequence: 65_000,
            kept: HashMap::new(),
            keyframe: true,
            last_wish: None,
            debt: 0.0,
            budget: (6_000.0, None),
            media: 0,
            extra: 0,
        }
    }

    pub(super) fn overhead(&self) -> f64 {
        self.extra as f64 / self.media as f64
    }

    pub(super) fn wish_keyframe(&mut self, now: Instant) {
        if self.last_wish.is_none_or(|last| now - last >= 250 * MS) {
            self.last_wish = Some(now);
            self.keyframe = true;
        }
    }

    pub(super) fn capture(&mut self, frame: u32, random: &mut Random, sent: &mut Vec<Wire>) {
        let keyframe = std::mem::take(&mut self.keyframe);
        let share = match self.scheme {
            Scheme::Parity(share) => share,
            Scheme::KeyframeParity(share) if keyframe => share,
            _ => 0.0,
        };
        let everywhere = if let Scheme::Parity(share) = self.scheme { share } else { 0.0 };
        let average = self.bits_per_second / (1.0 + everywhere) / 8.0 / 30.0;
        let mut size = average * (0.6 + 0.8 * random.unit());
        if keyframe {
            size *= KEYFRAME_FACTOR;
        } else {
            // What a keyframe took beyond its share the following pictures give back.
            let back = self.debt.min(size * 0.3);
            size -= back;
            self.debt -= back;
        }
        self.debt += (size - average).max(0.0) * f64::from(u8::from(keyframe));
        let size = size.max(200.0) as usize;
        let count = size.div_ceil(PAYLOAD);
        let first = self.sequence;
        for index in 0..count {
            let octets = size / count + HEADERS;
            let packet = Wire {
                sequence: self.sequence,
                frame,
                index,
                count,
                keyframe,
                repair: false,
                parity: None,
                octets,
            };
            self.media += octets;
            self.kept.insert(self.sequence, Kept { packet: packet.clone(), resent: None });
            self.sequence = self.sequence.wrapping_add(1);
            sent.push(packet);
        }
        if share > 0.0 {
            let parities = ((count as f64 * share).ceil() as usize).max(1);
            for parity in 0..parities {
                let octets = size / count + HEADERS;
                self.extra += octets;
                sent.push(Wire {
                    sequence: 0,
                    frame,
                    index: 0,
                    count,
                    keyframe,
                    repair: false,
                    parity: Some((parity, parities, first)),
                    octets,
                });
            }
        }
    }

    pub(super) fn answer(&mut self, now: Instant, sequences: &[u16], sent: &mut Vec<Wire>) {
        let rate = self.bits_per_second * REPAIR_SHARE / 8.0;
        let elapsed = self.budget.1.map_or(REPAIR_SAVED, |at| (now - at).as_secs_f64());
        self.budget = ((self.budget.0 + rate * elapsed).min((rate * REPAIR_SAVED).max(6_000.0)), Some(now));
        for sequence in sequences {
            let Some(kept) = self.kept.get_mut(sequence) else { continue };
            if kept.resent.is_some_and(|at| now - at < self.rtt.mul_f64(0.8)) {
                continue;
            }
            let copies = if kept.resent.is_some() { 2 } else { 1 };
            for _ in 0..copies {
                if self.budget.0 < kept.packet.octets as f64 {
                    return;
                }
                self.budget.0 -= kept.packet.octets as f64;
                self.extra += kept.packet.octets;
                kept.resent = Some(now);
                sent.push(Wire { repair: true, ..kept.packet.clone() });
            }
        }
    }
}
