//! Sends parities of our pictures ([`crate::peer::fec`]), as many as `transport` has decided on.
//!
//! A parity is of the packet as the remote receives it, so room is made here for the extensions that are stamped further
//! down the chain, with zeros: they change on the way, and both ends leave them out by taking them for zeros, as browsers
//! do. Parities leave behind the last packet of their picture and at the pacer's pace, and are charged to it, so that
//! the next picture makes room for them; they are thrown away rather than sent late.

use super::wire::Wire;
use super::{Belt, belt_protocol, extension_id};
use crate::peer::codecs::{ABS_SEND_TIME_URI, TRANSPORT_CC_URI};
use crate::peer::fec::{Encoder, Media};
use bytes::Bytes;
use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;
use rtc::shared::marshal::{Marshal, MarshalSize};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Parities that wait for their time; more than a large keyframe's are of no use any more. The newest are dropped.
const CAPACITY: usize = 32;
/// Octets around each RTP packet: SRTP tag, UDP and IPv4 headers.
const OVERHEAD: usize = 10 + 8 + 20;
/// Slowest pace, bits per second, as the pacer's.
const MIN_BITS_PER_SECOND: f64 = 150_000.0;

/// Extensions that are stamped when a packet leaves, in the order of stamping, and their lengths.
const STAMPS: [(&str, usize); 2] = [(ABS_SEND_TIME_URI, 3), (TRANSPORT_CC_URI, 2)];

/// The identifiers of the stamps in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps([Option<u8>; STAMPS.len()]);

impl Stamps {
    /// As negotiated.
    pub(super) fn of(info: &StreamInfo) -> Self {
        Self(STAMPS.map(|(uri, _)| extension_id(info, uri)))
    }

    /// Makes room for all of them.
    fn reserve(self, header: &mut rtp::Header) {
        for (id, (_, length)) in self.0.into_iter().zip(STAMPS) {
            if let Some(id) = id {
                blank(header, id, length);
            }
        }
    }

    /// The packet as parities are made of it. `None` if it cannot be written down.
    pub(super) fn media(self, packet: &rtp::Packet) -> Option<Media> {
        let mut header = packet.header.clone();
        for (id, (_, length)) in self.0.into_iter().zip(STAMPS) {
            if let Some(id) = id.filter(|id| header.get_extension(*id).is_some()) {
                blank(&mut header, id, length);
            }
        }
        let sequence = header.sequence_number;
        Some(Media { sequence, header: header.marshal().ok()?.freeze(), payload: packet.payload.clone() })
    }
}

fn blank(header: &mut rtp::Header, id: u8, length: usize) {
    static ZEROS: [u8; 3] = [0; 3];
    if let Err(error) = header.set_extension(id, Bytes::from_static(&ZEROS[..length])) {
        tracing::debug!(%error, id, "a header extension does not fit");
    }
}

/// A stream of ours that may be protected.
struct Protected {
    ssrc: u32,
    stamps: Stamps,
    encoder: Encoder,
    parity_ssrc: u32,
    parity_type: u8,
    parity_sequence: u16,
}

/// Writes only; see the module.
pub(in crate::peer) struct Protect {
    wire: Arc<Wire>,
    stream: Option<Protected>,
    waiting: VecDeque<rtp::Packet>,
    /// When the next one may leave.
    free_at: Option<Instant>,
    belt: Belt,
}

impl Protect {
    /// How much is to be protected, and the pace, are in `wire`.
    pub(in crate::peer) fn new(wire: Arc<Wire>) -> Self {
        Self { wire, stream: None, waiting: VecDeque::new(), free_at: None, belt: Belt::default() }
    }

    /// Makes parities of a packet that leaves.
    fn protect(&mut self, now: Instant, packet: &mut rtp::Packet) {
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.ssrc == packet.header.ssrc) else {
            return;
        };
        let share = self.wire.protection();
        if share > 0.0 {
            stream.stamps.reserve(&mut packet.header);
        }
        let Some(media) = stream.stamps.media(packet) else { return };
        stream.encoder.handle_packet(media, packet.header.marker, share);
        while let Some(payload) = stream.encoder.poll_parity() {
            let header = rtp::Header {
                version: 2,
                payload_type: stream.parity_type,
                sequence_number: stream.parity_sequence,
                timestamp: packet.header.timestamp,
                ssrc: stream.parity_ssrc,
                ..rtp::Header::default()
            };
            if self.waiting.len() < CAPACITY {
                stream.parity_sequence = stream.parity_sequence.wrapping_add(1);
                self.waiting.push_back(rtp::Packet { header, payload: payload.into() });
            }
        }
        if share > 0.0 {
            self.occupy(now, packet.marshal_size());
        }
    }

    /// So much leaves now: the next parity waits for its time.
    fn occupy(&mut self, now: Instant, octets: usize) {
        let pace = f64::from(self.wire.pace.load(Ordering::Relaxed));
        let time = ((octets + OVERHEAD) * 8) as f64 / pace.max(MIN_BITS_PER_SECOND);
        self.free_at =
            Some(self.free_at.map_or(now, |free_at| free_at.max(now)) + Duration::from_secs_f64(time));
    }

    fn release(&mut self, now: Instant) {
        while self.free_at.is_none_or(|free_at| free_at <= now)
            && let Some(packet) = self.waiting.pop_front()
        {
            let octets = packet.marshal_size();
            self.occupy(now, octets);
            self.wire.unpaced_octets.fetch_add(octets as u32, Ordering::Relaxed);
            self.wire.parities_sent.fetch_add(1, Ordering::Relaxed);
            self.belt.write.push_back(TaggedPacket {
                now,
                transport: TransportContext::default(),
                message: AttributedPacket::new(Packet::Rtp(packet)),
            });
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Protect {
    belt_protocol!();

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.belt.read.push_back(tagged);
        Ok(())
    }

    fn handle_write(&mut self, mut tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &mut tagged.message.packet {
            self.protect(tagged.now, packet);
        }
        let now = tagged.now;
        self.belt.write.push_back(tagged);
        self.release(now);
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.release(now);
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.free_at.filter(|_| !self.waiting.is_empty())
    }
}

impl Interceptor for Protect {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        if !info.mime_type.to_ascii_lowercase().starts_with("video/") {
            return;
        }
        let Some((parity_ssrc, parity_type)) = info.ssrc_fec.zip(info.payload_type_fec) else {
            self.stream = None;
            self.waiting.clear();
            return;
        };
        let stamps = Stamps::of(info);
        match &mut self.stream {
            // Bound once for each codec, and again when a negotiation has another result.
            Some(stream) if stream.ssrc == info.ssrc && stream.parity_ssrc == parity_ssrc => {
                stream.stamps = stamps;
                stream.parity_type = parity_type;
            }
            stream => {
                *stream = Some(Protected {
                    ssrc: info.ssrc,
                    stamps,
                    encoder: Encoder::new(info.ssrc),
                    parity_ssrc,
                    parity_type,
                    // A random start (RFC 3550 section 5.1), in the lower half for the sake of SRTP's rollover.
                    parity_sequence: rand::random::<u16>() >> 1,
                });
            }
        }
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        if self.stream.as_ref().is_some_and(|stream| stream.ssrc == info.ssrc) {
            self.stream = None;
            self.waiting.clear();
        }
    }

    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}
