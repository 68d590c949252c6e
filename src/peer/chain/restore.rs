//! Puts packets that were lost, and that parities give back ([`crate::peer::fec`]), among those that arrived.
//!
//! It stands behind [`super::unwrap`], so that repairs help to solve parities, and before [`super::request`], which takes
//! the parities themselves out of the chain: where one has come and mended nothing, the packet is to be asked for.
//!
//! Packets are kept from the first on, not only once parities come: a parity also covers what came before it, and one
//! that covers a packet that nobody kept is of no use.

use super::protect::Stamps;
use super::wire::Wire;
use super::{Belt, belt_protocol};
use crate::peer::fec::Decoder;
use bytes::Bytes;
use rtc::interceptor::{Attribute, AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::marshal::{MarshalSize, Unmarshal};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// A remote stream that may be protected.
struct Protected {
    parity_ssrc: u32,
    stamps: Stamps,
    decoder: Decoder,
}

/// Reads only; see the module.
pub(in crate::peer) struct Restore {
    wire: Arc<Wire>,
    /// By SSRC of the stream that is protected.
    streams: HashMap<u32, Protected>,
    belt: Belt,
}

impl Restore {
    /// Counts in `wire`.
    pub(in crate::peer) fn new(wire: Arc<Wire>) -> Self {
        Self { wire, streams: HashMap::new(), belt: Belt::default() }
    }

    fn read_media(&mut self, tagged: TaggedPacket, ssrc: u32) {
        let Some(stream) = self.streams.get_mut(&ssrc) else { return self.belt.read.push_back(tagged) };
        let (now, transport) = (tagged.now, tagged.transport);
        if let Packet::Rtp(packet) = &tagged.message.packet
            && let Some(media) = stream.stamps.media(packet)
        {
            stream.decoder.handle_media(media);
        }
        self.belt.read.push_back(tagged);
        self.give_back(now, transport, ssrc);
    }

    fn read_parity(&mut self, tagged: TaggedPacket, ssrc: u32) {
        let (Some(stream), Packet::Rtp(packet)) = (self.streams.get_mut(&ssrc), &tagged.message.packet)
        else {
            return;
        };
        if let Err(error) = stream.decoder.handle_parity(&packet.payload) {
            tracing::debug!(%error, "a parity was discarded");
            return;
        }
        self.wire.video_received.count(packet.header.marshal_size() + packet.payload.len());
        self.give_back(tagged.now, tagged.transport, ssrc);
        self.belt.read.push_back(tagged);
    }

    fn give_back(&mut self, now: Instant, transport: rtc::shared::TransportContext, ssrc: u32) {
        let Some(stream) = self.streams.get_mut(&ssrc) else { return };
        while let Some(restored) = stream.decoder.poll_restored() {
            match rtp::Packet::unmarshal(&mut Bytes::from(restored.octets)) {
                Ok(packet) => self.belt.read.push_back(TaggedPacket {
                    now,
                    transport,
                    message: AttributedPacket::new(Packet::Rtp(packet)).with(Attribute::RecoveredByFec),
                }),
                Err(error) => tracing::debug!(%error, "what parities gave back is no packet"),
            }
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Restore {
    belt_protocol!();

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        let ssrc = match &tagged.message.packet {
            Packet::Rtp(packet) => packet.header.ssrc,
            _ => {
                self.belt.read.push_back(tagged);
                return Ok(());
            }
        };
        let protected = self
            .streams
            .iter()
            .find(|(_, stream)| stream.parity_ssrc == ssrc)
            .map(|(protected, _)| *protected);
        match protected {
            Some(protected) => self.read_parity(tagged, protected),
            None => self.read_media(tagged, ssrc),
        }
        Ok(())
    }

    fn handle_write(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.belt.write.push_back(tagged);
        Ok(())
    }
}

impl Interceptor for Restore {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        if let (Some(parity_ssrc), Some(_)) = (info.ssrc_fec, info.payload_type_fec) {
            let stamps = Stamps::of(info);
            let stream = Protected { parity_ssrc, stamps, decoder: Decoder::new(info.ssrc) };
            self.streams.insert(info.ssrc, stream);
        }
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.streams.remove(&info.ssrc);
    }
}
