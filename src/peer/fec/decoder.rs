//! Gives lost packets back by solving the equations that parities are.
//!
//! Every parity says: the XOR of the packets that it covers is this. What is here is taken out of it; what remains is an
//! equation over lost packets. They are kept in reduced row echelon form (Gauss and Jordan), so that a packet is given
//! back as soon as the parities that came determine it, not only when one of them lacks nothing else.

use super::Media;
use super::format::{Malformed, REACH, Sum, read};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Packets kept to be taken out of parities, beyond which no parity of use reaches. The oldest goes first.
const HISTORY: i64 = 2 * REACH as i64;
/// Equations kept. The one over the oldest packets goes first.
const MAX_EQUATIONS: usize = 48;

/// A packet that was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::peer) struct Restored {
    /// Its RTP sequence number.
    pub(in crate::peer) sequence: u16,
    /// The whole packet, RTP header included. Who sent the parities decides what is in it.
    pub(in crate::peer) octets: Vec<u8>,
}

#[derive(Debug)]
struct Equation {
    /// Lost packets; the first is in no other equation.
    unknown: BTreeSet<i64>,
    sum: Sum,
}

/// See the module.
#[derive(Debug)]
pub(in crate::peer) struct Decoder {
    ssrc: u32,
    /// Newest sequence number, extended beyond its wrap-around.
    newest: Option<i64>,
    packets: BTreeMap<i64, Media>,
    /// By first unknown.
    equations: BTreeMap<i64, Equation>,
    ready: VecDeque<Restored>,
}

impl Decoder {
    /// For the stream with this SSRC.
    pub(in crate::peer) fn new(ssrc: u32) -> Self {
        Self {
            ssrc,
            newest: None,
            packets: BTreeMap::new(),
            equations: BTreeMap::new(),
            ready: VecDeque::new(),
        }
    }

    /// Takes a packet of the stream, however it came.
    pub(in crate::peer) fn handle_media(&mut self, media: Media) {
        let number = self.extend(media.sequence);
        let newest = self.newest.map_or(number, |newest| newest.max(number));
        self.newest = Some(newest);
        if number <= newest - HISTORY || self.packets.contains_key(&number) {
            return;
        }
        self.know(number, &media);
        self.packets.insert(number, media);
        self.solve();
        self.forget();
    }

    /// Takes the RTP payload of a parity.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it is none; then nothing has changed.
    pub(in crate::peer) fn handle_parity(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        let (ssrc, coverage, mut sum) = read(payload)?;
        let Some(newest) = self.newest.filter(|_| ssrc == self.ssrc) else {
            return Ok(());
        };
        let mut unknown = BTreeSet::new();
        for sequence in coverage.sequences() {
            let number = self.extend(sequence);
            if number <= newest - HISTORY {
                // It may have come and been forgotten: nobody can tell what this parity says.
                return Ok(());
            }
            match self.packets.get(&number) {
                Some(media) => sum.add(media),
                None => {
                    unknown.insert(number);
                }
            }
        }
        self.insert(Equation { unknown, sum });
        self.solve();
        self.forget();
        Ok(())
    }

    /// The next packet given back.
    pub(in crate::peer) fn poll_restored(&mut self) -> Option<Restored> {
        self.ready.pop_front()
    }

    /// Equations that are not solved.
    #[cfg(test)]
    pub(super) fn equations(&self) -> usize {
        self.equations.len()
    }

    /// Packets kept.
    #[cfg(test)]
    pub(super) fn packets(&self) -> usize {
        self.packets.len()
    }

    fn extend(&self, sequence: u16) -> i64 {
        let newest = self.newest.unwrap_or(i64::from(sequence));
        newest + i64::from(sequence.wrapping_sub(newest as u16) as i16)
    }

    /// Brings an equation into the form that all have.
    fn insert(&mut self, mut equation: Equation) {
        // What other equations begin with is taken out of this one ...
        for number in equation.unknown.clone() {
            if let Some(other) = self.equations.get(&number) {
                combine(&mut equation, other);
            }
        }
        let Some(first) = equation.unknown.first().copied() else { return };
        // ... and what this one begins with out of the others.
        for other in self.equations.values_mut() {
            if other.unknown.contains(&first) {
                combine(other, &equation);
            }
        }
        self.equations.insert(first, equation);
        if self.equations.len() > MAX_EQUATIONS {
            self.equations.pop_first();
        }
    }

    /// A packet is known from here on.
    fn know(&mut self, number: i64, media: &Media) {
        // The equation that begins with it begins with another unknown then, and has to be put in its place.
        let leading = self.equations.remove(&number);
        for equation in self.equations.values_mut() {
            if equation.unknown.remove(&number) {
                equation.sum.add(media);
            }
        }
        if let Some(mut equation) = leading {
            equation.unknown.remove(&number);
            equation.sum.add(media);
            self.insert(equation);
        }
    }

    /// Takes out the equations that have one unknown left: that is the packet.
    fn solve(&mut self) {
        while let Some(number) =
            self.equations.iter().find(|(_, equation)| equation.unknown.len() == 1).map(|(number, _)| *number)
        {
            let Some(equation) = self.equations.remove(&number) else { return };
            let sequence = number as u16;
            // A length that does not fit: the parity was of something else. What it said is of no use.
            let Some(octets) = equation.sum.restore(self.ssrc, sequence) else { continue };
            if let Some(media) = Media::read(sequence, &octets) {
                // In reduced form no other equation has it: nothing else changes.
                self.packets.insert(number, media);
                self.newest = self.newest.map(|newest| newest.max(number));
                self.ready.push_back(Restored { sequence, octets });
            }
        }
    }

    fn forget(&mut self) {
        let Some(newest) = self.newest else { return };
        let oldest = newest - HISTORY;
        while let Some(entry) = self.packets.first_entry().filter(|entry| *entry.key() <= oldest) {
            entry.remove();
        }
        while let Some(entry) = self.equations.first_entry().filter(|entry| *entry.key() <= oldest) {
            entry.remove();
        }
    }
}

/// Adds `other` to `equation`: what is in both is in neither then.
fn combine(equation: &mut Equation, other: &Equation) {
    equation.unknown = &equation.unknown ^ &other.unknown;
    equation.sum.merge(&other.sum);
}
