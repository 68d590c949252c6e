//! Hands received media to the receive ports, with the time at which it left the socket.
//!
//! It stands at the application's end of the chain and takes the packets out: they do not travel on through the
//! crate's track channels, which would lose the time of arrival and drop under load.

use super::wire::Wire;
use super::{Belt, belt_protocol, extension_id};
use crate::media::ports::{ReceivedPacket, SendControl, VideoCodec};
use crate::peer::codecs::{ABS_CAPTURE_TIME_URI, video_codec};
use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::marshal::MarshalSize;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Sender;

/// An older stream of the same kind takes over again when the newest has been silent for this long. A removed track
/// is not announced by the crate, so silence is what tells.
const SILENCE: Duration = Duration::from_millis(500);

/// Streams of one kind (the article's page sends two m-lines of each): the newest that is alive feeds the port.
#[derive(Default)]
struct Selection {
    current: Option<Current>,
}

struct Current {
    ssrc: u32,
    generation: u64,
    heard: Instant,
}

impl Selection {
    /// Whether a packet of this stream goes to the port.
    fn admit(&mut self, ssrc: u32, generation: u64, now: Instant) -> bool {
        match &mut self.current {
            Some(current) if current.ssrc == ssrc => {
                current.heard = now;
                true
            }
            Some(current)
                if current.generation > generation
                    && now.saturating_duration_since(current.heard) < SILENCE =>
            {
                false
            }
            _ => {
                self.current = Some(Current { ssrc, generation, heard: now });
                true
            }
        }
    }

    fn forget(&mut self, ssrc: u32) {
        if self.current.as_ref().is_some_and(|current| current.ssrc == ssrc) {
            self.current = None;
        }
    }
}

/// What is known about a remote stream.
struct Stream {
    generation: u64,
    /// As it began; `None` for audio.
    codec: Option<VideoCodec>,
    payload_type: u8,
    capture_time_id: Option<u8>,
    losses: Losses,
}

/// Counts packets that never came, by the extended highest sequence number (RFC 3550 appendix A.3).
#[derive(Default)]
struct Losses {
    first: Option<i64>,
    highest: i64,
    received: i64,
    reported: i64,
}

impl Losses {
    /// Notes a packet; returns by how much the count of lost packets changed. Repairs make it smaller again.
    fn note(&mut self, sequence: u16) -> i64 {
        let extended = match self.first {
            None => {
                self.first = Some(i64::from(sequence));
                self.highest = i64::from(sequence);
                i64::from(sequence)
            }
            Some(_) => {
                let step = sequence.wrapping_sub(self.highest as u16) as i16;
                self.highest + i64::from(step)
            }
        };
        self.highest = self.highest.max(extended);
        self.received += 1;
        let first = self.first.unwrap_or(extended);
        let lost = (self.highest - first + 1 - self.received).max(0);
        let change = lost - self.reported;
        self.reported = lost;
        change
    }
}

/// Reads only; see the module.
pub(in crate::peer) struct Deliver {
    video_in: SyncSender<ReceivedPacket>,
    audio_in: Sender<ReceivedPacket>,
    wire: Arc<Wire>,
    control: Arc<SendControl>,
    streams: HashMap<u32, Stream>,
    /// SSRCs of retransmissions and parities: they are bound in their own right, but carry no media of their own.
    repairs: Vec<u32>,
    bound: u64,
    video: Selection,
    audio: Selection,
    belt: Belt,
}

impl Deliver {
    /// Delivers to these ports.
    pub(in crate::peer) fn new(
        video_in: SyncSender<ReceivedPacket>,
        audio_in: Sender<ReceivedPacket>,
        wire: Arc<Wire>,
        control: Arc<SendControl>,
    ) -> Self {
        Self {
            video_in,
            audio_in,
            wire,
            control,
            streams: HashMap::new(),
            repairs: Vec::new(),
            bound: 0,
            video: Selection::default(),
            audio: Selection::default(),
            belt: Belt::default(),
        }
    }

    /// Takes the packet if it is media of a stream that we know.
    fn take(&mut self, now: Instant, packet: &rtp::Packet, restored: bool) -> bool {
        let header = &packet.header;
        let Some(stream) = self.streams.get_mut(&header.ssrc) else {
            return false;
        };
        let codec = match stream.codec {
            _ if header.payload_type == stream.payload_type => stream.codec,
            Some(_) => self.wire.formats.codec(header.payload_type),
            None => None,
        };
        // Comfort noise, red and whatever else may share the SSRC has a payload type of neither.
        if header.payload_type != stream.payload_type && codec.is_none() {
            return true;
        }
        let change = stream.losses.note(header.sequence_number);
        let octets = header.marshal_size() + packet.payload.len();
        let (traffic, lost, selection) = match stream.codec {
            Some(_) => (&self.wire.video_received, &self.wire.video_lost, &mut self.video),
            None => (&self.wire.audio_received, &self.wire.audio_lost, &mut self.audio),
        };
        // What parities gave back came as their octets, which are counted where that is done.
        if !restored {
            traffic.count(octets);
        }
        // Two's complement makes the addition of a negative change right.
        lost.fetch_add(change as u64, Ordering::Relaxed);
        if !selection.admit(header.ssrc, stream.generation, now) {
            return true;
        }
        if stream.codec.is_some() {
            self.wire.video_ssrc.store(header.ssrc, Ordering::Relaxed);
            self.control.reception().set_rtt_us(self.wire.rtt_us.load(Ordering::Relaxed));
        }
        let received = ReceivedPacket {
            arrived: now,
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            marker: header.marker,
            ssrc: header.ssrc,
            codec,
            payload: packet.payload.clone(),
            capture_ntp: stream.capture_time_id.and_then(|id| capture_time(header, id)),
        };
        // Full: documented at the port's capacity. Closed: the receiver ends, and the call with it.
        match stream.codec {
            Some(_) => drop(self.video_in.try_send(received)),
            None => drop(self.audio_in.try_send(received)),
        }
        true
    }
}

/// Absolute capture time, NTP 64-bit format in the sender's clock: the first eight octets of the extension are in the
/// capturer's clock, the next eight, if there, the estimated offset of the sender's clock from it (signed 32.32
/// seconds; given by those who pass on what others captured).
fn capture_time(header: &rtp::Header, id: u8) -> Option<u64> {
    let extension = header.get_extension(id)?;
    let word = |at: usize| extension.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
    Some(word(0)?.wrapping_add(word(8).unwrap_or(0)))
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Deliver {
    belt_protocol!();

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &tagged.message.packet
            && self.take(tagged.now, packet, tagged.message.has(&Attribute::RecoveredByFec))
        {
            return Ok(());
        }
        self.belt.read.push_back(tagged);
        Ok(())
    }

    fn handle_write(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.belt.write.push_back(tagged);
        Ok(())
    }
}

impl Interceptor for Deliver {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        if self.repairs.contains(&info.ssrc) || self.streams.contains_key(&info.ssrc) {
            return;
        }
        let codec = video_codec(&info.mime_type);
        if codec.is_none() && !info.mime_type.to_ascii_lowercase().starts_with("audio/") {
            return;
        }
        self.repairs.extend([info.ssrc_rtx, info.ssrc_fec].into_iter().flatten());
        self.bound += 1;
        self.streams.insert(
            info.ssrc,
            Stream {
                generation: self.bound,
                codec,
                payload_type: info.payload_type,
                capture_time_id: extension_id(info, ABS_CAPTURE_TIME_URI),
                losses: Losses::default(),
            },
        );
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.streams.remove(&info.ssrc);
        self.repairs.retain(|repair| *repair != info.ssrc);
        self.video.forget(info.ssrc);
        self.audio.forget(info.ssrc);
    }
}
