//! Turns retransmissions (RFC 4588) back into the packets that they repair, before anybody looks for gaps.

use super::wire::Wire;
use super::{Belt, belt_protocol};
use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::HashMap;
use std::sync::Arc;

/// The original stream of a retransmission stream.
struct Original {
    ssrc: u32,
    /// As it was when the stream began.
    payload_type: u8,
}

/// Reads only. A retransmission without a payload (a probe) ends here.
pub(in crate::peer) struct Unwrap {
    wire: Arc<Wire>,
    /// By SSRC of the retransmission stream.
    originals: HashMap<u32, Original>,
    belt: Belt,
}

impl Unwrap {
    /// Knows retransmissions by the formats in `wire`.
    pub(in crate::peer) fn new(wire: Arc<Wire>) -> Self {
        Self { wire, originals: HashMap::new(), belt: Belt::default() }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Unwrap {
    belt_protocol!();

    fn handle_read(&mut self, mut tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &mut tagged.message.packet
            && let Some(original) = self.originals.get(&packet.header.ssrc)
        {
            // RFC 4588 section 4: the payload begins with the original sequence number.
            let [high, low, ..] = packet.payload[..] else {
                return Ok(());
            };
            packet.payload = packet.payload.slice(2..);
            packet.header.sequence_number = u16::from_be_bytes([high, low]);
            packet.header.ssrc = original.ssrc;
            // The remote may have changed its codec since.
            let payload_type = self.wire.formats.original(packet.header.payload_type);
            packet.header.payload_type = payload_type.unwrap_or(original.payload_type);
            if packet.payload.is_empty() {
                return Ok(());
            }
            // So that it can be told from an original that was merely overtaken.
            tagged.message.add(Attribute::Retransmission);
        }
        self.belt.read.push_back(tagged);
        Ok(())
    }

    fn handle_write(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.belt.write.push_back(tagged);
        Ok(())
    }
}

impl Interceptor for Unwrap {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        if let Some(repair) = info.ssrc_rtx {
            self.originals.insert(repair, Original { ssrc: info.ssrc, payload_type: info.payload_type });
        }
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        if let Some(repair) = info.ssrc_rtx {
            self.originals.remove(&repair);
        }
    }
}
