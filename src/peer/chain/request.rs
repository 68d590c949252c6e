//! Asks for packets that did not arrive: generic NACK (RFC 4585 section 6.2.1). What and when is decided by [`Gaps`].
//!
//! Sound cannot wait as pictures can: a packet of it is asked for once, only on a short path, and only while packets do
//! not bring back what is missing by themselves ([`redundancy`], whose table compares both): a request takes longer
//! then, and what comes by it would only hold up the rest.
//!
//! It stands behind [`super::unwrap`], so that a repair fills the gap that it was asked for. What the picture has
//! given up, and how many missing packets are too many, it learns from [`crate::media::reception::Reception`].

use super::gaps::{Gaps, Noted, Way};
use super::wire::Wire;
use super::{Belt, belt_protocol};
use crate::media::audio::redundancy;
use crate::media::ports::SendControl;
use crate::peer::fec::format;
use rtc::interceptor::{Attribute, AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Packets found missing within this time are asked for together.
const GATHER: Duration = Duration::from_millis(1);

/// Reads sequence numbers, writes NACK.
pub(in crate::peer) struct Request {
    wire: Arc<Wire>,
    control: Arc<SendControl>,
    sender_ssrc: u32,
    streams: HashMap<u32, Gaps>,
    repairs: Vec<u32>,
    /// SSRCs of parities, and of what they protect.
    parities: HashMap<u32, u32>,
    wanted: Vec<u16>,
    next_tick: Option<Instant>,
    belt: Belt,
}

impl Request {
    /// Asks in the name of `sender_ssrc`, one of our streams.
    pub(in crate::peer) fn new(wire: Arc<Wire>, control: Arc<SendControl>, sender_ssrc: u32) -> Self {
        Self {
            wire,
            control,
            sender_ssrc,
            streams: HashMap::new(),
            repairs: Vec::new(),
            parities: HashMap::new(),
            wanted: Vec::new(),
            next_tick: None,
            belt: Belt::default(),
        }
    }

    fn count(&self, noted: Noted) {
        let counter = match noted {
            Noted::New | Noted::Overtaken => return,
            Noted::Repaired => &self.wire.video_repaired,
            Noted::Duplicate => &self.wire.video_duplicates,
            Noted::Late => &self.wire.video_repaired_late,
            Noted::Restored => &self.wire.video_restored,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A parity came, and mended what it could before it came here.
    fn note_parity(&mut self, now: Instant, ssrc: u32, payload: &[u8]) {
        let (Ok((_, coverage, _)), Some(gaps)) = (format::read_header(payload), self.streams.get_mut(&ssrc))
        else {
            return;
        };
        gaps.note_parity(now, coverage.sequences(), self.control.reception().repair_limit());
        let due = gaps.poll_timeout();
        self.hasten(now, due);
    }

    /// Something may be due sooner than what is waited for.
    fn hasten(&mut self, now: Instant, due: Option<Instant>) {
        let due = due.map(|due| due.max(now + GATHER));
        self.next_tick = [self.next_tick, due].into_iter().flatten().min();
    }

    fn renew_tick(&mut self, now: Instant) {
        let due = self.streams.values().filter_map(Gaps::poll_timeout).min();
        self.next_tick = due.map(|due| due.max(now + GATHER));
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Request {
    belt_protocol!();

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &tagged.message.packet
            && let Some(ssrc) = self.parities.get(&packet.header.ssrc).copied()
        {
            self.note_parity(tagged.now, ssrc, &packet.payload);
            return Ok(());
        }
        if let Packet::Rtp(packet) = &tagged.message.packet
            && let Some(gaps) = self.streams.get_mut(&packet.header.ssrc)
        {
            let way = if tagged.message.has(&Attribute::RecoveredByFec) {
                Way::Parity
            } else if tagged.message.has(&Attribute::Retransmission) {
                Way::Repair
            } else {
                Way::Itself
            };
            let limit = self.control.reception().repair_limit();
            let noted = gaps.note(tagged.now, packet.header.sequence_number, way, limit);
            let (sound, due) = (gaps.is_sound(), gaps.poll_timeout());
            if sound {
                gaps.note_carrier(redundancy::unwrap(&packet.payload).is_some());
            } else {
                self.count(noted);
            }
            if matches!(noted, Noted::New | Noted::Restored) {
                self.hasten(tagged.now, due);
            }
        }
        self.belt.read.push_back(tagged);
        Ok(())
    }

    fn handle_write(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.belt.write.push_back(tagged);
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.next_tick.is_none_or(|tick| tick > now) {
            return Ok(());
        }
        let reception = self.control.reception();
        let horizon = reception.horizon();
        let rtt = self.wire.rtt_ms().map(|ms| Duration::from_secs_f64(ms / 1000.0));
        for (ssrc, gaps) in &mut self.streams {
            gaps.set_rtt(rtt);
            if let Some(horizon) = horizon.filter(|horizon| horizon.ssrc == *ssrc) {
                gaps.abandon(horizon);
            }
            self.wanted.clear();
            gaps.poll_requests(now, &mut self.wanted);
            if self.wanted.is_empty() {
                continue;
            }
            if !gaps.is_sound() {
                self.wire.video_requested.fetch_add(self.wanted.len() as u64, Ordering::Relaxed);
            }
            let nack = TransportLayerNack {
                sender_ssrc: self.sender_ssrc,
                media_ssrc: *ssrc,
                nacks: nack_pairs_from_sequence_numbers(&self.wanted),
            };
            self.belt.write.push_back(TaggedPacket {
                now,
                transport: TransportContext::default(),
                message: AttributedPacket::new(Packet::Rtcp(vec![Box::new(nack)])),
            });
        }
        self.renew_tick(now);
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.next_tick
    }
}

impl Interceptor for Request {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        let wanted = |feedback: &rtc::interceptor::RTCPFeedback| {
            feedback.typ == "nack" && feedback.parameter.is_empty()
        };
        // Retransmissions and parities are bound in their own right: gaps in them are nobody's loss.
        if !self.repairs.contains(&info.ssrc) && info.rtcp_feedback.iter().any(wanted) {
            self.repairs.extend([info.ssrc_rtx, info.ssrc_fec].into_iter().flatten());
            self.parities.extend(info.ssrc_fec.map(|parity| (parity, info.ssrc)));
            let marked = info.ssrc_rtx.is_some();
            let sound = info.mime_type.to_ascii_lowercase().starts_with("audio/");
            let gaps = || if sound { Gaps::for_sound(marked) } else { Gaps::new(marked) };
            self.streams.entry(info.ssrc).or_insert_with(gaps);
        }
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.streams.remove(&info.ssrc);
        self.repairs.retain(|repair| *repair != info.ssrc);
        self.parities.remove(&info.ssrc);
    }
}
