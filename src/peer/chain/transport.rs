//! The end of the chain next to the wire: numbers and stamps every outgoing RTP packet, remembers it, and turns the
//! remote's congestion feedback into the estimate that the encoders and the pacer follow.
//!
//! It does what the crate's own pair of interceptors does, for repairs too (which those do not number), and without
//! their FIFO pacer, in which sound waits behind pictures.

use super::departures::{Departures, News};
use super::jam::Jam;
use super::padding::{Repair, padding};
use super::wire::{Traffic, Wire};
use super::{Belt, belt_protocol, extension_id};
use crate::media::ports::SendControl;
use crate::peer::codecs::{ABS_SEND_TIME_URI, TRANSPORT_CC_URI};
use crate::peer::fec::{Policy, Seen};
use crate::peer::rate::{Allocation, Estimator, Outcome};
use bytes::Bytes;
use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;
use rtc::shared::marshal::MarshalSize;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Octets around an RTP packet: SRTP tag, UDP and IPv4 headers.
const OVERHEAD: usize = 10 + 8 + 20;
/// Repairs are averaged over windows of this length, each new one with this weight.
const REPAIR_WINDOW: Duration = Duration::from_millis(500);
const REPAIR_WEIGHT: f64 = 0.4;
/// Round trips longer than this are taken for a stall of this process, not of the path.
const MAX_RTT: Duration = Duration::from_secs(10);
/// Weight of a new round-trip measurement (RFC 6298 section 2: alpha = 1/8).
const RTT_WEIGHT: f64 = 0.125;

/// What a stream of ours carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sound,
    Picture,
    Repair,
    Parity,
}

/// A stream of ours.
struct Stream {
    kind: Kind,
    number_id: Option<u8>,
    time_id: Option<u8>,
}

/// What repairs take of the rate, averaged.
#[derive(Default)]
struct Repairs {
    octets: usize,
    since: Option<Instant>,
    bits_per_second: f64,
}

impl Repairs {
    fn handle_departure(&mut self, octets: usize) {
        self.octets += octets;
    }

    fn bits_per_second(&mut self, now: Instant) -> f64 {
        let since = *self.since.get_or_insert(now);
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= REPAIR_WINDOW {
            let sample = self.octets as f64 * 8.0 / elapsed.as_secs_f64();
            self.bits_per_second += REPAIR_WEIGHT * (sample - self.bits_per_second);
            (self.octets, self.since) = (0, Some(now));
        }
        self.bits_per_second
    }
}

/// See the module.
pub(in crate::peer) struct Transport {
    control: Arc<SendControl>,
    wire: Arc<Wire>,
    estimator: Estimator,
    allocation: Allocation,
    streams: HashMap<u32, Stream>,
    departures: Departures,
    jam: Jam,
    repairs: Repairs,
    protection: Policy,
    /// The remote takes parities.
    parity: bool,
    /// Where padding goes, if the remote takes retransmissions.
    repair: Option<Repair>,
    /// Timestamp of the newest packet of a picture.
    timestamp: u32,
    begun: Option<Instant>,
    route: u32,
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
            departures: Departures::default(),
            jam: Jam::default(),
            repairs: Repairs::default(),
            protection: Policy::default(),
            parity: false,
            repair: None,
            timestamp: 0,
            begun: None,
            route: 0,
            belt: Belt::default(),
        };
        transport.publish(0.0);
        transport
    }

    /// Lets everybody know what may be sent; repairs take so much of it, and parities their share of the pictures'.
    fn publish(&mut self, repairs: f64) {
        let estimate = self.estimator.bits_per_second();
        let now = self.estimator.send_bits_per_second();
        let shares = self.allocation.shares(estimate, now, repairs, self.wire.protection());
        // All fit: the estimate is bounded by the configured maximum, which is 32 bits wide.
        self.wire.estimate.store(estimate as u32, Ordering::Relaxed);
        self.wire.pace.store(self.estimator.pace_bits_per_second() as u32, Ordering::Relaxed);
        let probe = self.estimator.probe_bits_per_second().unwrap_or(0.0);
        self.wire.probe.store(probe as u32, Ordering::Relaxed);
        self.control.set_video_bits_per_second(shares.video as u32);
        self.control.set_audio_bits_per_second(shares.audio as u32);
    }

    /// Pictures wait while the path does not keep up with what has left; sound does not.
    fn hold(&mut self, now: Instant) {
        let congested = self.estimator.is_congested(now);
        self.jam.note(now, congested);
        self.wire.congested.store(congested, Ordering::Relaxed);
        self.control.hold_video(congested);
    }

    fn renew(&mut self, now: Instant) {
        let repairs = self.repairs.bits_per_second(now);
        // Sound that travels twice takes its second half from the pictures.
        let twice = if self.control.audio_twice() { self.control.audio_bits_per_second() } else { 0 };
        self.publish(repairs + f64::from(twice));
        self.hold(now);
    }

    fn depart(&mut self, now: Instant, packet: &mut rtp::Packet) {
        let begun = *self.begun.get_or_insert(now);
        let Some(stream) = self.streams.get(&packet.header.ssrc) else {
            return;
        };
        if let Some(id) = stream.time_id {
            set_extension(packet, id, &abs_send_time(now.saturating_duration_since(begun)));
        }
        let kind = stream.kind;
        if let Some(id) = stream.number_id {
            // Room for the number is made first, so that its own octets are counted.
            set_extension(packet, id, &[0, 0]);
            let octets = packet.marshal_size() + OVERHEAD;
            let cluster = self.estimator.handle_departure(now, octets);
            self.hold(now);
            let number = self.departures.depart(now, octets, cluster, kind == Kind::Picture);
            set_extension(packet, id, &number.to_be_bytes());
        }
        let octets = packet.marshal_size();
        let traffic: &Traffic =
            if kind == Kind::Sound { &self.wire.audio_sent } else { &self.wire.video_sent };
        traffic.count(octets);
        match kind {
            Kind::Repair => self.repairs.handle_departure(octets),
            Kind::Picture => self.timestamp = packet.header.timestamp,
            Kind::Parity | Kind::Sound => {}
        }
    }

    /// Fills a probe up.
    fn pad(&mut self, now: Instant) {
        let Some(repair) = self.repair else { return };
        while let Some(octets) = self.estimator.poll_padding(now) {
            let sequence = self.wire.repair_sequence.fetch_add(1, Ordering::Relaxed);
            let octets = octets.saturating_sub(OVERHEAD);
            let mut packet = padding(repair, sequence, self.timestamp, octets);
            self.depart(now, &mut packet);
            self.belt.write.push_back(TaggedPacket {
                now,
                transport: TransportContext::default(),
                message: AttributedPacket::new(Packet::Rtp(packet)),
            });
        }
    }

    fn read_feedback(&mut self, now: Instant, feedback: &TransportLayerCc) {
        let News { outcomes, newest, lost_picture } = self.departures.handle_feedback(feedback);
        if let Some(departed) = newest {
            self.note_round_trip(now.saturating_duration_since(departed));
        }
        let rtt = self.wire.rtt_ms().map(|milliseconds| Duration::from_secs_f64(milliseconds / 1000.0));
        self.estimator.handle_feedback(now, &outcomes, rtt);
        self.protect(now, &outcomes, rtt);
        self.renew(now);
        if lost_picture.is_some_and(|departed| self.jam.handle_loss(now, departed)) {
            tracing::debug!("a keyframe takes the place of what a full queue swallowed");
            self.control.want_keyframe();
        }
    }

    /// Decides about parities, where the remote takes them.
    fn protect(&mut self, now: Instant, outcomes: &[Outcome], rtt: Option<Duration>) {
        for outcome in outcomes {
            if outcome.late {
                self.protection.handle_late();
            } else {
                self.protection.handle_outcome(outcome.arrived.is_none());
            }
        }
        let seen = Seen {
            rtt,
            bits_per_second: self.estimator.bits_per_second(),
            congested: self.estimator.is_strained(),
        };
        let share = if self.parity { self.protection.decide(now, &seen) } else { 0.0 };
        if (share > 0.0) != (self.wire.protection() > 0.0) {
            tracing::info!(share, ?seen, "parities");
        }
        self.wire.set_protection(share);
    }

    /// Reports on our pictures, which are all there is from a remote without congestion feedback.
    fn read_reports(&mut self, now: Instant, reports: &[ReceptionReport]) {
        let ours = |report: &&ReceptionReport| {
            self.streams.get(&report.ssrc).is_some_and(|stream| stream.kind == Kind::Picture)
        };
        if let Some(report) = reports.iter().find(ours) {
            // RFC 3550 section 6.4.1: in 1/256.
            self.estimator.handle_report(f64::from(report.fraction_lost) / 256.0);
            self.renew(now);
        }
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
                    self.renew(tagged.now);
                } else if let Some(report) = any.downcast_ref::<ReceiverReport>() {
                    self.read_reports(tagged.now, &report.reports);
                } else if let Some(report) = any.downcast_ref::<SenderReport>() {
                    self.read_reports(tagged.now, &report.reports);
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
        let now = tagged.now;
        self.belt.write.push_back(tagged);
        self.pad(now);
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        let route = self.wire.route.load(Ordering::Relaxed);
        if route != self.route {
            self.route = route;
            self.estimator.handle_route(now);
            self.renew(now);
        }
        if self.estimator.poll_timeout().is_some_and(|due| due <= now) {
            self.estimator.handle_timeout(now);
            self.pad(now);
            self.renew(now);
        }
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.estimator.poll_timeout()
    }
}

impl Interceptor for Transport {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        let video = info.mime_type.to_ascii_lowercase().starts_with("video/");
        let number_id = extension_id(info, TRANSPORT_CC_URI);
        let time_id = extension_id(info, ABS_SEND_TIME_URI);
        let kind = if video { Kind::Picture } else { Kind::Sound };
        let streams = [(Some(info.ssrc), kind), (info.ssrc_rtx, Kind::Repair), (info.ssrc_fec, Kind::Parity)];
        for (ssrc, kind) in streams {
            if let Some(ssrc) = ssrc {
                self.streams.insert(ssrc, Stream { kind, number_id, time_id });
            }
        }
        if video {
            self.parity = info.ssrc_fec.is_some() && info.payload_type_fec.is_some();
            let repair = info.ssrc_rtx.zip(info.payload_type_rtx);
            self.repair = repair.map(|(ssrc, payload_type)| Repair { ssrc, payload_type });
        }
        if video && number_id.is_none() {
            // The remote will tell nothing that the estimate could grow with.
            self.estimator.assume_no_feedback();
            self.publish(0.0);
        }
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        for ssrc in [Some(info.ssrc), info.ssrc_rtx, info.ssrc_fec].into_iter().flatten() {
            self.streams.remove(&ssrc);
        }
        self.repair = self.repair.filter(|repair| Some(repair.ssrc) != info.ssrc_rtx);
    }

    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}
