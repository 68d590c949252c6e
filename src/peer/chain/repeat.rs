//! Answers NACK for streams without a retransmission stream (RFC 4588), as sound is: by the very packet again.
//!
//! It stands next to the wire, where packets have all their stamps: a packet that is sent again under its own number
//! must be the same to the last bit, since SRTP's ciphers forbid two packets of one number (RFC 7714 section 8.2), and
//! the remote's congestion feedback must not see a number of its own for it.

use super::resend::sequences;
use super::wire::Wire;
use super::{Belt, belt_protocol};
use rtc::interceptor::{Attribute, AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Packets kept per stream: over a second of sound. The oldest goes first. Each is repeated once at most, so that
/// nobody can make us send more than twice as much.
const HISTORY: usize = 64;

struct Kept {
    packet: rtp::Packet,
    repeated: bool,
}

/// Keeps what is written, answers the NACKs that are read.
pub(in crate::peer) struct Repeat {
    wire: Arc<Wire>,
    streams: HashMap<u32, VecDeque<Kept>>,
    belt: Belt,
}

impl Repeat {
    /// Counts in `wire` what was asked for.
    pub(in crate::peer) fn new(wire: Arc<Wire>) -> Self {
        Self { wire, streams: HashMap::new(), belt: Belt::default() }
    }

    fn answer(&mut self, now: Instant, nack: &TransportLayerNack) {
        let Some(history) = self.streams.get_mut(&nack.media_ssrc) else {
            return;
        };
        for sequence in nack.nacks.iter().flat_map(|pair| sequences(pair.packet_id, pair.lost_packets)) {
            let wanted = |kept: &&mut Kept| kept.packet.header.sequence_number == sequence && !kept.repeated;
            if let Some(kept) = history.iter_mut().find(wanted) {
                kept.repeated = true;
                self.wire.sound_requested.fetch_add(1, Ordering::Relaxed);
                self.belt.write.push_back(TaggedPacket {
                    now,
                    transport: TransportContext::default(),
                    message: AttributedPacket::new(Packet::Rtp(kept.packet.clone()))
                        .with(Attribute::Retransmission),
                });
            }
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Repeat {
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
            if history.len() == HISTORY {
                history.pop_front();
            }
            history.push_back(Kept { packet: packet.clone(), repeated: false });
        }
        self.belt.write.push_back(tagged);
        Ok(())
    }
}

impl Interceptor for Repeat {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        let asks = |feedback: &rtc::interceptor::RTCPFeedback| {
            feedback.typ == "nack" && feedback.parameter.is_empty()
        };
        if info.ssrc_rtx.is_none() && info.rtcp_feedback.iter().any(asks) {
            self.wire.sound_nack.store(true, Ordering::Relaxed);
            self.streams.entry(info.ssrc).or_insert_with(|| VecDeque::with_capacity(HISTORY));
        }
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.streams.remove(&info.ssrc);
    }

    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}
