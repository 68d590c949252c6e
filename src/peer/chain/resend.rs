//! Answers NACK with retransmissions (RFC 4588), within a budget: on a slow link unbounded repairs would take the
//! room of what they repair.

use super::jam::Jam;
use super::wire::Wire;
use super::{Belt, belt_protocol};
use bytes::{BufMut, BytesMut};
use rtc::interceptor::{Attribute, AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;
use rtc::shared::marshal::MarshalSize;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Packets kept per stream: over a second at 5 Mbit/s. The oldest goes first.
const HISTORY: usize = 1024;
/// A packet is sent again this often at most. The remote stops asking by itself; this bounds one that does not.
const MAX_RESENDS: u8 = 12;
/// Copies of a repair that was asked for again: one of them was lost already, and another loss would cost another
/// round trip.
const COPIES: u8 = 2;
/// And not again within this share of the round trip: the last repair may still be on its way.
const RTT_SHARE: f64 = 0.8;
/// Share of the estimate that repairs may take: at 20 % loss a quarter is needed on average, and more at times.
const BUDGET_SHARE: f64 = 0.5;
/// What the budget may save up: this much time of its share.
const BUDGET_TIME: Duration = Duration::from_millis(500);
/// Smallest budget, octets: enough for one burst of loss on the slowest link.
const MIN_BUDGET_OCTETS: f64 = 6_000.0;
/// Octets that an RTX packet adds: the original sequence number.
const RTX_HEADER: usize = 2;

struct Kept {
    packet: rtp::Packet,
    left: Instant,
    resends: u8,
    last: Option<Instant>,
}

/// What was sent on one stream lately, in order of sequence.
struct History {
    repair_ssrc: Option<u32>,
    /// Payload types: of a codec, and of its repairs.
    repair_types: Vec<(u8, u8)>,
    kept: VecDeque<Kept>,
}

impl History {
    fn keep(&mut self, now: Instant, packet: &rtp::Packet) {
        if self.kept.len() == HISTORY {
            self.kept.pop_front();
        }
        self.kept.push_back(Kept { packet: packet.clone(), left: now, resends: 0, last: None });
    }

    /// Our sequence numbers have no gaps, so the position follows from the first.
    fn find(&mut self, sequence: u16) -> Option<&mut Kept> {
        let first = self.kept.front()?.packet.header.sequence_number;
        let kept = self.kept.get_mut(usize::from(sequence.wrapping_sub(first)))?;
        (kept.packet.header.sequence_number == sequence).then_some(kept)
    }

    fn repair_of(&self, packet: &rtp::Packet, sequence: &AtomicU16) -> rtp::Packet {
        let wanted = packet.header.payload_type;
        let repair_type = self.repair_types.iter().find(|(original, _)| *original == wanted);
        let (Some(ssrc), Some(&(_, payload_type))) = (self.repair_ssrc, repair_type) else {
            return packet.clone();
        };
        let mut payload = BytesMut::with_capacity(RTX_HEADER + packet.payload.len());
        payload.put_u16(packet.header.sequence_number);
        payload.put_slice(&packet.payload);
        // Everything else, extensions included, is the original's (RFC 4588 section 4).
        let mut header = packet.header.clone();
        header.ssrc = ssrc;
        header.payload_type = payload_type;
        header.sequence_number = sequence.fetch_add(1, Ordering::Relaxed);
        rtp::Packet { header, payload: payload.freeze() }
    }
}

/// Token bucket in octets.
struct Budget {
    octets: f64,
    filled: Option<Instant>,
}

impl Budget {
    fn fill(&mut self, now: Instant, bits_per_second: f64) {
        let rate = bits_per_second * BUDGET_SHARE / 8.0;
        let limit = (rate * BUDGET_TIME.as_secs_f64()).max(MIN_BUDGET_OCTETS);
        let elapsed = self.filled.map_or(BUDGET_TIME, |filled| now.saturating_duration_since(filled));
        self.filled = Some(now);
        self.octets = (self.octets + rate * elapsed.as_secs_f64()).min(limit);
    }

    fn take(&mut self, octets: usize) -> bool {
        let affordable = self.octets >= octets as f64;
        if affordable {
            self.octets -= octets as f64;
        }
        affordable
    }
}

/// Keeps what is written, answers the NACKs that are read.
pub(in crate::peer) struct Resend {
    wire: Arc<Wire>,
    streams: HashMap<u32, History>,
    budget: Budget,
    jam: Jam,
    belt: Belt,
}

impl Resend {
    /// The budget follows the estimate in `wire`.
    pub(in crate::peer) fn new(wire: Arc<Wire>) -> Self {
        Self {
            wire,
            streams: HashMap::new(),
            budget: Budget { octets: MIN_BUDGET_OCTETS, filled: None },
            jam: Jam::default(),
            belt: Belt::default(),
        }
    }

    fn watch(&mut self, now: Instant) {
        self.jam.note(now, self.wire.congested.load(Ordering::Relaxed));
    }

    fn answer(&mut self, now: Instant, nack: &TransportLayerNack) {
        self.watch(now);
        let Some(history) = self.streams.get_mut(&nack.media_ssrc) else {
            return;
        };
        self.budget.fill(now, f64::from(self.wire.estimate.load(Ordering::Relaxed)));
        let rtt = self.wire.rtt_ms().unwrap_or(0.0);
        let pause = Duration::from_secs_f64(rtt * RTT_SHARE / 1000.0);
        for sequence in nack.nacks.iter().flat_map(|pair| sequences(pair.packet_id, pair.lost_packets)) {
            let Some(kept) = history.find(sequence) else {
                continue;
            };
            if self.jam.has_given_up(kept.left) {
                continue;
            }
            let too_soon = kept.last.is_some_and(|last| now.saturating_duration_since(last) < pause);
            if too_soon || kept.resends >= MAX_RESENDS {
                continue;
            }
            let copies = if kept.resends == 0 { 1 } else { COPIES.min(MAX_RESENDS - kept.resends) };
            kept.last = Some(now);
            let original = kept.packet.clone();
            for _ in 0..copies {
                if !self.budget.take(original.payload.len() + RTX_HEADER) {
                    return;
                }
                if let Some(kept) = history.find(sequence) {
                    kept.resends += 1;
                }
                let repair = history.repair_of(&original, &self.wire.repair_sequence);
                let octets = repair.header.marshal_size() + repair.payload.len();
                self.wire.unpaced_octets.fetch_add(octets as u32, Ordering::Relaxed);
                self.wire.retransmitted.fetch_add(1, Ordering::Relaxed);
                self.belt.write.push_back(TaggedPacket {
                    now,
                    transport: TransportContext::default(),
                    message: AttributedPacket::new(Packet::Rtp(repair)).with(Attribute::Retransmission),
                });
            }
        }
    }
}

/// The sequence numbers of one NACK entry: the packet itself and a bit mask of the 16 after it.
pub(super) fn sequences(first: u16, mask: u16) -> impl Iterator<Item = u16> {
    std::iter::once(first).chain(
        (0..16_u16).filter(move |bit| mask & (1 << bit) != 0).map(move |bit| first.wrapping_add(bit + 1)),
    )
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Resend {
    belt_protocol!();

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &tagged.message.packet {
            for packet in packets {
                if let Some(nack) = packet.as_any().downcast_ref::<TransportLayerNack>() {
                    self.answer(tagged.now, nack);
                }
            }
        }
        self.belt.read.push_back(tagged);
        Ok(())
    }

    fn handle_write(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &tagged.message.packet
            && let Some(history) = self.streams.get_mut(&packet.header.ssrc)
        {
            history.keep(tagged.now, packet);
            self.watch(tagged.now);
        }
        self.belt.write.push_back(tagged);
        Ok(())
    }
}

impl Interceptor for Resend {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        // Without a retransmission stream `repeat` answers.
        if info.ssrc_rtx.is_some()
            && info
                .rtcp_feedback
                .iter()
                .any(|feedback| feedback.typ == "nack" && feedback.parameter.is_empty())
        {
            let history = self.streams.entry(info.ssrc).or_insert_with(|| {
                // A random start (RFC 3550 section 5.1), in the lower half for the sake of SRTP's rollover.
                self.wire.repair_sequence.store(rand::random::<u16>() >> 1, Ordering::Relaxed);
                History {
                    repair_ssrc: info.ssrc_rtx,
                    repair_types: Vec::new(),
                    kept: VecDeque::with_capacity(HISTORY),
                }
            });
            // Bound once for each codec, and again when a negotiation has another result.
            history.repair_types.retain(|(original, _)| *original != info.payload_type);
            history.repair_types.extend(info.payload_type_rtx.map(|repair| (info.payload_type, repair)));
        }
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.streams.remove(&info.ssrc);
    }

    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}
