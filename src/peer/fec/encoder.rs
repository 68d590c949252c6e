//! Makes parities of what is sent.

use super::Media;
use super::code::{MAX_ROWS, columns, covers_again};
use super::format::{Coverage, REACH, Sum};
use std::collections::VecDeque;

/// New packets that wait for a parity at most; then one is made in the midst of a picture.
const MAX_NEW: usize = 48;
/// Packets covered again by later parities. The oldest goes first.
const MAX_OLD: usize = 40;
/// A parity is made when so much of one has come together: as often sooner as later than its due.
const ROUNDING: f64 = 0.5;

/// See the module.
#[derive(Debug)]
pub(in crate::peer) struct Encoder {
    /// The stream that is protected.
    ssrc: u32,
    /// Newest last; the last `new` of them are in no parity yet.
    packets: VecDeque<Media>,
    new: usize,
    /// Parities due, in packets.
    credit: f64,
    /// Number of the next parity.
    number: u16,
    ready: VecDeque<Vec<u8>>,
}

impl Encoder {
    /// Protects the stream with this SSRC.
    pub(in crate::peer) fn new(ssrc: u32) -> Self {
        Self { ssrc, packets: VecDeque::new(), new: 0, credit: 0.0, number: 0, ready: VecDeque::new() }
    }

    /// Takes a packet that leaves, the last of its picture or not, and makes so many parities for each, 0 to 1.
    pub(in crate::peer) fn handle_packet(&mut self, media: Media, last: bool, share: f64) {
        if share <= 0.0 {
            self.stop();
            return;
        }
        let follows =
            self.packets.back().is_none_or(|newest| newest.sequence.wrapping_add(1) == media.sequence);
        if !follows {
            self.stop();
        }
        self.packets.push_back(media);
        self.new += 1;
        self.credit += share.min(1.0);
        if last || self.new == MAX_NEW {
            self.make();
        }
    }

    /// The RTP payload of the next parity.
    pub(in crate::peer) fn poll_parity(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    fn stop(&mut self) {
        self.packets.clear();
        self.new = 0;
        self.credit = 0.0;
    }

    fn make(&mut self) {
        let rows = ((self.credit + ROUNDING) as usize).min(MAX_ROWS).min(self.new);
        if rows == 0 && self.new < MAX_NEW {
            return;
        }
        let rows = rows.max(1);
        self.credit -= rows as f64;
        let old = self.packets.len() - self.new;
        let base = self.packets.front().map_or(0, |packet| packet.sequence);
        for row in 0..rows {
            let mut sum = Sum::default();
            let mut mask = 0_u128;
            let mut new_columns = columns(rows);
            for (index, packet) in self.packets.iter().enumerate() {
                let covered = if index < old {
                    covers_again(self.number, packet.sequence)
                } else {
                    new_columns.next().is_some_and(|column| column >> row & 1 == 1)
                };
                if covered {
                    mask |= 1 << index;
                    sum.add(packet);
                }
            }
            self.number = self.number.wrapping_add(1);
            // The mask begins with what is covered: most of them are short then.
            let skipped = mask.trailing_zeros();
            let coverage = Coverage { base: base.wrapping_add(skipped as u16), mask: mask >> skipped };
            self.ready.push_back(sum.write(self.ssrc, coverage));
        }
        self.new = 0;
        let excess = self.packets.len().saturating_sub(MAX_OLD);
        self.packets.drain(..excess);
    }
}

const _: () = assert!(MAX_NEW + MAX_OLD <= REACH);
