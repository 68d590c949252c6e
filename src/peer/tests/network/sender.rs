//! The sending end: pictures of plausible sizes, retransmission within the budget of the real one, and parity.

use super::{MS, Random, Wire};
use crate::peer::fec::{Encoder, Policy, Seen as PathSeen};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Octets of payload in a packet, and of headers around it.
const PAYLOAD: usize = 1_100;
const HEADERS: usize = 60;
/// Octets that a parity is longer than what it protects.
const PARITY_HEADER: usize = 24;
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
    /// So many parities for each packet; the media's rate shrinks by as much.
    Parity(f64),
    /// As many as the real policy wants at the moment; the media's rate follows.
    Adaptive,
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
    encoder: Encoder,
    policy: Policy,
    share: f64,
    /// Pictures with parities, and all.
    protected: (u32, u32),
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
            encoder: Encoder::new(5),
            policy: Policy::default(),
            share: if let Scheme::Parity(share) = scheme { share } else { 0.0 },
            protected: (0, 0),
        }
    }

    pub(super) fn overhead(&self) -> f64 {
        self.extra as f64 / self.media as f64
    }

    pub(super) fn protected(&self) -> f64 {
        f64::from(self.protected.0) / f64::from(self.protected.1)
    }

    /// Congestion feedback.
    pub(super) fn learn(&mut self, now: Instant, outcomes: &[bool]) {
        if self.scheme == Scheme::Adaptive {
            outcomes.iter().for_each(|came| self.policy.handle_outcome(!came));
            let seen =
                PathSeen { rtt: Some(self.rtt), bits_per_second: self.bits_per_second, congested: false };
            self.share = self.policy.decide(now, &seen);
        }
    }

    pub(super) fn wish_keyframe(&mut self, now: Instant) {
        if self.last_wish.is_none_or(|last| now - last >= 250 * MS) {
            self.last_wish = Some(now);
            self.keyframe = true;
        }
    }

    pub(super) fn capture(&mut self, frame: u32, random: &mut Random, sent: &mut Vec<Wire>) {
        let keyframe = std::mem::take(&mut self.keyframe);
        self.protected.0 += u32::from(self.share > 0.0);
        self.protected.1 += 1;
        let average = self.bits_per_second / (1.0 + self.share) / 8.0 / 30.0;
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
                number: 0,
            };
            self.media += octets;
            self.encoder.handle_packet(packet.media(), index + 1 == count, self.share);
            self.kept.insert(self.sequence, Kept { packet: packet.clone(), resent: None });
            self.sequence = self.sequence.wrapping_add(1);
            sent.push(packet);
        }
        while let Some(parity) = self.encoder.poll_parity() {
            let octets = size / count + HEADERS + PARITY_HEADER;
            self.extra += octets;
            sent.push(Wire {
                sequence: 0,
                frame,
                index: 0,
                count,
                keyframe,
                repair: false,
                parity: Some(parity.into()),
                octets,
                number: 0,
            });
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
