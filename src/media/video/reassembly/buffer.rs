//! The packets of one stream in their order, and where pictures begin and end among them. Sans-IO.
//!
//! Driven by [`super::Reassembly`], which decides what to wait for and what to give up. Knows sequence numbers,
//! timestamps and markers, and of the payloads only whether they begin a keyframe.

use super::super::depacketizer;
use crate::media::ports::ReceivedPacket;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

/// Sequence numbers that the buffer may span. Packets further ahead are a restart of the sender, or hostile.
pub(crate) const MAX_SPAN: usize = 2048;
/// Payload octets that may wait (about 30 s at 2 Mbit/s); the owner drops everything beyond.
const MAX_OCTETS: usize = 8 << 20;

/// What became of a packet.
#[derive(Debug)]
pub(super) enum Inserted {
    /// It is in its place.
    Kept,
    /// It is of no use: a duplicate, too late, or a stray.
    Ignored,
    /// The sender numbers anew from this packet on: everything else is to be forgotten.
    Restart(ReceivedPacket),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Packets from `next` on; `None` is missing. The last one is never missing.
    slots: VecDeque<Option<ReceivedPacket>>,
    octets: usize,
    /// Extended sequence number of `slots[0]`.
    next: u64,
    /// `slots[0]` is known to begin a picture.
    at_boundary: bool,
    /// Nothing was taken yet: packets from before the first one may still come.
    fresh: bool,
    /// The sequence number that would confirm a restart (RFC 3550 appendix A.1).
    restart: Option<u16>,
}

impl Buffer {
    /// Forgets everything; the next packet has this sequence number.
    pub(super) fn restart(&mut self, sequence: u16) {
        self.slots.clear();
        self.octets = 0;
        // Far from 0, so that packets from before the first one have a place.
        self.next = 1 << 32 | u64::from(sequence);
        self.at_boundary = false;
        self.fresh = true;
        self.restart = None;
    }

    /// Puts a packet into its slot.
    pub(super) fn insert(&mut self, packet: ReceivedPacket) -> Inserted {
        let offset = i64::from(packet.sequence.wrapping_sub(self.next as u16) as i16);
        if offset >= MAX_SPAN as i64 || offset < -(MAX_SPAN as i64) {
            // One stray packet is ignored; two in sequence are a sender that started anew (RFC 3550 appendix A.1).
            if self.restart == Some(packet.sequence) {
                return Inserted::Restart(packet);
            }
            self.restart = Some(packet.sequence.wrapping_add(1));
            return Inserted::Ignored;
        }
        self.restart = None;
        let index = match usize::try_from(offset) {
            Ok(index) => index,
            Err(_) => {
                let missing = offset.unsigned_abs();
                if !self.fresh || missing as usize + self.slots.len() > MAX_SPAN {
                    return Inserted::Ignored;
                }
                for _ in 0..missing {
                    self.slots.push_front(None);
                }
                self.next -= missing;
                self.at_boundary = false;
                0
            }
        };
        if index >= self.slots.len() {
            self.slots.resize(index + 1, None);
        }
        let slot = &mut self.slots[index];
        if slot.is_some() {
            return Inserted::Ignored;
        }
        self.octets += packet.payload.len();
        *slot = Some(packet);
        Inserted::Kept
    }

    /// Extended sequence number of the first slot.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Slots in use, at most [`MAX_SPAN`].
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Nothing was taken or given up yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// More waits than may.
    pub(super) fn is_overfull(&self) -> bool {
        self.octets > MAX_OCTETS
    }

    /// The first slot is known to begin a picture.
    pub(super) fn set_boundary(&mut self) {
        self.at_boundary = true;
    }

    /// The packets that are there, in order.
    pub(super) fn packets(&self) -> impl Iterator<Item = &ReceivedPacket> {
        self.slots.iter().flatten()
    }

    /// The packet of the first slot, if it is there.
    pub(super) fn first(&self) -> Option<&ReceivedPacket> {
        self.slots.front()?.as_ref()
    }

    /// The packet with the highest sequence number.
    pub(super) fn last(&self) -> Option<&ReceivedPacket> {
        self.slots.back()?.as_ref()
    }

    /// Packets missing between others.
    pub(super) fn missing(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_none()).count()
    }

    /// When the first packet behind the first gap came.
    pub(super) fn gap_since(&self) -> Option<Instant> {
        let gap = self.slots.iter().position(Option::is_none)?;
        self.slots.range(gap..).flatten().next().map(|packet| packet.arrived)
    }

    /// Slots at the head that are missing or came before `young` says they count as young.
    pub(super) fn stale(&self, young: impl Fn(&ReceivedPacket) -> bool) -> usize {
        let old = |slot: &&Option<ReceivedPacket>| slot.as_ref().is_none_or(|packet| !young(packet));
        let stale = self.slots.iter().take_while(old).count();
        if stale == self.slots.len() {
            return stale;
        }
        // Missing packets directly in front of a young one may be the beginning of its picture.
        stale - self.slots.range(..stale).rev().take_while(|slot| slot.is_none()).count()
    }

    /// Where the first keyframe from `from` on begins.
    pub(super) fn keyframe_start(&self, from: usize) -> Option<usize> {
        (from..self.slots.len()).find(|&index| {
            let Some(packet) = &self.slots[index] else { return false };
            begins_keyframe(packet) || (holds_keyframe(packet) && self.begins_picture(index))
        })
    }

    /// Where the first keyframe from `from` on begins of which nothing is missing.
    pub(super) fn whole_keyframe_after(&self, from: usize) -> Option<usize> {
        let mut at = from;
        while let Some(start) = self.keyframe_start(at) {
            match self.picture_length(start) {
                Ok(_) => return Some(start),
                Err(missing) => at = missing + 1,
            }
        }
        None
    }

    /// A part of a keyframe is there.
    pub(super) fn holds_keyframe(&self) -> bool {
        self.packets().any(holds_keyframe)
    }

    /// Whether the packet at `index` is known to be the first of its picture.
    fn begins_picture(&self, index: usize) -> bool {
        let Some(packet) = &self.slots[index] else { return false };
        match index.checked_sub(1) {
            None => self.at_boundary,
            Some(before) => self.slots[before]
                .as_ref()
                .is_some_and(|before| before.marker || before.timestamp != packet.timestamp),
        }
    }

    /// Packets of the picture that begins at `start` if all are there; else where the first missing one is.
    pub(super) fn picture_length(&self, start: usize) -> Result<usize, usize> {
        let mut timestamp = None;
        for (index, slot) in self.slots.range(start..).enumerate() {
            let packet = slot.as_ref().ok_or(start + index)?;
            if *timestamp.get_or_insert(packet.timestamp) != packet.timestamp {
                // A sender that sets no marker: the next picture's first packet ends this one.
                return Ok(index);
            }
            if packet.marker {
                return Ok(index + 1);
            }
        }
        Err(self.slots.len())
    }

    /// Empty packets at the head, between two pictures: they belong to none.
    pub(super) fn padding(&self) -> usize {
        if !self.at_boundary {
            return 0;
        }
        let padding = |slot: &&Option<ReceivedPacket>| {
            slot.as_ref().is_some_and(|packet| packet.payload.is_empty() && !packet.marker)
        };
        self.slots.iter().take_while(padding).count()
    }

    /// The packets of the whole picture at the head.
    pub(super) fn picture(&self, length: usize) -> impl Iterator<Item = &ReceivedPacket> {
        self.slots.iter().take(length).flatten()
    }

    /// Removes the whole picture at the head and gives its extended sequence numbers.
    pub(super) fn take_picture(&mut self, length: usize) -> Range<u64> {
        let first = self.next;
        self.discard(length);
        self.at_boundary = true;
        self.fresh = false;
        first..self.next
    }

    /// Gives packets up, and how many pictures something of is lost by that.
    pub(super) fn skip(&mut self, count: usize) -> u64 {
        if count == 0 {
            return 0;
        }
        let pictures = self.pictures_in(count);
        self.discard(count);
        self.at_boundary = false;
        self.fresh = false;
        pictures
    }

    /// Pictures of which the first `count` slots hold a packet.
    pub(super) fn pictures_in(&self, count: usize) -> u64 {
        let mut last = None;
        let packets = self.slots.iter().take(count).flatten().filter(|packet| !packet.payload.is_empty());
        packets.filter(|packet| last.replace(packet.timestamp) != Some(packet.timestamp)).count() as u64
    }

    /// Removes slots from the head.
    pub(super) fn discard(&mut self, count: usize) {
        for slot in self.slots.drain(..count) {
            self.octets -= slot.map_or(0, |packet| packet.payload.len());
        }
        self.next += count as u64;
    }
}

fn begins_keyframe(packet: &ReceivedPacket) -> bool {
    packet.codec.is_some_and(|codec| depacketizer::begins_keyframe(codec, &packet.payload))
}

fn holds_keyframe(packet: &ReceivedPacket) -> bool {
    packet.codec.is_some_and(|codec| depacketizer::holds_keyframe(codec, &packet.payload))
}
