//! The end of the chain next to the wire: numbers and stamps every outgoing RTP packet, remembers it, and turns the
//! remote's congestion feedback into the estimate that the encoders and the pacer follow.
//!
//! It does what the crate's own pair of interceptors does, for repairs too (which those do not number), and without
//! their FIFO pacer, in which sound waits behind pictures.

use super::wire::{Traffic, Wire};
use super::{Belt, belt_protocol, extension_id};
use crate::media::ports::SendControl;
use crate::peer::codecs::{ABS_SEND_TIME_URI, TRANSPORT_CC_URI};
use crate::peer::rate::{Allocation, Estimator, Outcome};
use bytes::Bytes;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket, convert_twcc};
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::marshal::MarshalSize;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Packets remembered until the remote tells of them: several seconds at the highest rate. The oldest goes first.
const HISTORY: usize = 4096;
/// Octets around an RTP packet: SRTP tag, UDP and IPv4 headers.
const OVERHEAD: usize = 10 + 8 + 20;
/// The estimator's clock.
const TICK: Duration = Duration::from_secs(1);
/// Round trips longer than this are taken for a stall of this process, not of the path.
const MAX_RTT: Duration = Duration::from_secs(10);
/// Weight of a new round-trip measurement (RFC 6298 section 2: alpha = 1/8).
const RTT_WEIGHT: f64 = 0.125;

/// A stream of ours.
struct Stream {
    video: bool,
    number_id: Option<u8>,
    time_id: Option<u8>,
}

#[derive(Clone, Copy)]
struct Sent {
    departed: Instant,
    octets: usize,
    /// The remote told of its arrival, or of its loss, already.
    settled: bool,
}

/// What is on its way, by transport-wide sequence number without rollover.
#[derive(Default)]
struct History {
    first: u64,
    sent: VecDeque<Sent>,
}

impl History {
    /// The number of the next packet, which departs now.
    fn depart(&mut self, now: Instant, octets: usize) -> u16 {
        if self.sent.len() == HISTORY {
            self.sent.pop_front();
            self.first += 1;
        }
        let number = self.first + self.sent.len() as u64;
        self.sent.push_back(Sent { departed: now, octets, settled: false });
        number as u16
    }

    /// The packet with this number, if it is known: the newest that it can mean.
    fn find(&mut self, number: u16) -> Option<&mut Sent> {
        let next = self.first + self.sent.len() as u64;
        let back = u64::from((next as u16).wrapping_sub(number));
        let index = next.checked_sub(back)?.checked_sub(self.first)?;
        self.sent.get_mut(usize::try_from(index).ok()?)
    }
}

/// See the module.
pub(in crate::peer) struct Transport {
    control: Arc<SendControl>,
    wire: Arc<Wire>,
    estimator: Estimator,
    allocation: Allocation,
    streams: HashMap<u32, Stream>,
    history: History,
    begun: Option<Instant>,
    next_tick: Option<Instant>,
    belt: Belt,
}

impl Transport {
    /// Steers the encoders through `control`.
    pub(in crate::peer) fn new(control: Arc<SendControl>, wire: Arc<Wire>, estimator: Estimator) -> Self {
        let mut transport = Self {
            control,
            wire,
            estimator,
            allocation: Allocation::default(),
            streams: HashMap::new(),
            history: History::default(),
            begun: None,
            next_tick: None,
            belt: Belt::default(),
        };
        transport.publish();
        transport
    }

    fn publish(&mut self) {
        let estimate = self.estimator.bits_per_second();
        let shares = self.allocation.shares(estimate, 0.0);
        // Both fit: the estimate is bounded by the configured maximum, which is 32 bits wide.
        self.wire.estimate.store(estimate as u32, Ordering::Relaxed);
        self.control.set_video_bits_per_second(shares.video as u32);
        self.control.set_audio_bits_per_second(shares.audio as u32);
    }

    fn depart(&mut self, now: Instant, packet: &mut rtp::Packet) {
        let begun = *self.begun.get_or_insert(now);
        let Some(stream) = self.streams.get(&packet.header.ssrc) else {
            return;
        };
        if let Some(id) = stream.time_id {
            set_extension(packet, id, &abs_send_time(now.saturating_duration_since(begun)));
        }
        if let Some(id) = stream.number_id {
            // Room for the number is made first, so that its own octets are counted.
            set_extension(packet, id, &[0, 0]);
            let octets = packet.header.marshal_size() + packet.payload.len() + OVERHEAD;
            let number = self.history.depart(now, octets);
            set_extension(packet, id, &number.to_be_bytes());
        }
        let octets = packet.header.marshal_size() + packet.payload.len();
        let traffic: &Traffic = if stream.video { &self.wire.video_sent } else { &self.wire.audio_sent };
        traffic.count(octets);
        if self.next_tick.is_none() {
            self.next_tick = Some(now + TICK);
        }
    }

    fn read_feedback(&mut self, now: Instant, feedback: &TransportLayerCc) {
        let mut outcomes = Vec::new();
        let mut newest: Option<Instant> = None;
        for acknowledgement in convert_twcc(feedback) {
            let Some(sent) = self.history.find(acknowledgement.sequence_number) else {
                continue;
            };
            if sent.settled {
                continue;
            }
            sent.settled = true;
            if acknowledgement.arrived {
                newest = Some(newest.map_or(sent.departed, |newest| newest.max(sent.departed)));
                // Without a time it counts neither as lost nor as arrived.
                if acknowledgement.arrival.is_none() {
                    continue;
                }
            }
            let Sent { departed, octets, .. } = *sent;
            outcomes.push(Outcome { departed, arrived: acknowledgement.arrival, octets, cluster: None, late: false });
        }
        if let Some(departed) = newest {
            self.note_round_trip(now.saturating_duration_since(departed));
        }
        let rtt = self.wire.rtt_ms().map(|milliseconds| Duration::from_secs_f64(milliseconds / 1000.0));
        self.estimator.handle_feedback(now, &outcomes, rtt);
        self.publish();
    }

    /// Feedback waits up to 100 ms for its interval at the remote, so the smallest round trip is the true one; it is
    /// used only until a receiver report has measured it properly.
    fn note_round_trip(&self, sample: Duration) {
        if self.wire.rtt_reported.load(Ordering::Relaxed) || sample > MAX_RTT {
            return;
        }
        let sample = sample.as_secs_f64() * 1000.0;
        let smoothed =
            self.wire.rtt_ms().map_or(sample, |old| (old + RTT_WEIGHT * (sample - old)).min(sample));
        self.wire.set_rtt_ms(smoothed);
    }
}

fn set_extension(packet: &mut rtp::Packet, id: u8, value: &[u8]) {
    if let Err(error) = packet.header.set_extension(id, Bytes::copy_from_slice(value)) {
        tracing::debug!(%error, id, "a header extension does not fit");
    }
}

/// 24 bits, 6.18 fixed-point seconds, any epoch.
fn abs_send_time(since: Duration) -> [u8; 3] {
    let units = ((since.as_micros() << 18) / 1_000_000) as u32;
    let [_, high, middle, low] = units.to_be_bytes();
    [high, middle, low]
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Transport {
    belt_protocol!();

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &tagged.message.packet {
            for packet in packets {
                let any = packet.as_any();
                if let Some(feedback) = any.downcast_ref::<TransportLayerCc>() {
                    self.read_feedback(tagged.now, feedback);
                } else if let Some(remb) = any.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
                    self.estimator.handle_limit(f64::from(remb.bitrate));
                    self.publish();
                }
            }
        }
        self.belt.read.push_back(tagged);
        Ok(())
    }

    fn handle_write(&mut self, mut tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &mut tagged.message.packet {
            self.depart(tagged.now, packet);
        }
        self.belt.write.push_back(tagged);
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.next_tick.is_some_and(|tick| tick <= now) {
            self.next_tick = Some(now + TICK);
            self.estimator.handle_timeout(now);
            self.publish();
        }
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.next_tick
    }
}

impl Interceptor for Transport {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        let video = info.mime_type.to_ascii_lowercase().starts_with("video/");
        let number_id = extension_id(info, TRANSPORT_CC_URI);
        let time_id = extension_id(info, ABS_SEND_TIME_URI);
        for ssrc in [Some(info.ssrc), info.ssrc_rtx].into_iter().flatten() {
            self.streams.insert(ssrc, Stream { video, number_id, time_id });
        }
        if video && number_id.is_none() {
            // The remote will tell nothing that the estimate could grow with.
            self.estimator.assume_no_feedback();
            self.publish();
        }
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        for ssrc in [Some(info.ssrc), info.ssrc_rtx].into_iter().flatten() {
            self.streams.remove(&ssrc);
        }
    }

    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}
