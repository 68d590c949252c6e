//! Asks for packets that did not arrive: generic NACK (RFC 4585 section 6.2.1), with bounds.
//!
//! Sound cannot wait as pictures can: a packet of it is asked for once, and only on a short path. Measured in virtual
//! time (`scripts/bench-audio --only paths`; PESQ, and delay from mouth to ear beyond the path's own):
//!
//! | 40 kbit/s in all | 10 % random loss | 15 % in bursts of 3 |
//! |---|---|---|
//! | in-band FEC alone | 3.2, 57 ms | 1.7, 57 ms |
//! | each packet twice at half the rate (RED, RFC 2198) | 3.3, 57 ms | 1.8, 57 ms |
//! | FEC and one request, round trip 40 ms | 3.9, 115 ms | 3.0, 226 ms |
//!
//! So there is no RED, and a second request brings no more.

use super::wire::Wire;
use super::{Belt, belt_protocol};
use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A packet of a picture is asked for this often at most; then the decoder asks for a keyframe.
const MAX_REQUESTS: u8 = 4;
/// One of sound, so often.
const MAX_SOUND_REQUESTS: u8 = 1;
/// Longest round trip on which sound is asked for, milliseconds: a listener bears 150 ms (ITU-T G.114), and some of it
/// is spent elsewhere.
const MAX_SOUND_RTT_MS: f64 = 100.0;
/// Packets that only overtook each other arrive within this time.
const REORDER_WAIT: Duration = Duration::from_millis(5);
/// A packet that has been missing for this long is of no use any more.
const MAX_AGE: Duration = Duration::from_secs(1);
/// Packets that may be missing at once. A longer gap is an outage, which only a keyframe mends.
const MAX_MISSING: usize = 300;
/// Round-trip time that is assumed until it is measured, milliseconds (libwebrtc `kDefaultRttMs`).
const DEFAULT_RTT_MS: f64 = 100.0;
/// Shortest time between two requests for one packet.
const MIN_INTERVAL: Duration = Duration::from_millis(20);
/// Resolution of the timer.
const TICK: Duration = Duration::from_millis(5);

struct Missing {
    since: Instant,
    requests: u8,
    due: Instant,
}

/// The packets missing from one stream, by extended sequence number.
struct Gaps {
    sound: bool,
    highest: Option<i64>,
    missing: BTreeMap<i64, Missing>,
}

impl Gaps {
    fn new(sound: bool) -> Self {
        Self { sound, highest: None, missing: BTreeMap::new() }
    }

    /// Notes the arrival of a packet.
    fn note(&mut self, now: Instant, sequence: u16) {
        let Some(highest) = self.highest else {
            self.highest = Some(i64::from(sequence));
            return;
        };
        let extended = highest + i64::from(sequence.wrapping_sub(highest as u16) as i16);
        if extended <= highest {
            self.missing.remove(&extended);
            return;
        }
        self.highest = Some(extended);
        let gap = (extended - highest - 1) as usize;
        if gap + self.missing.len() > MAX_MISSING {
            self.missing.clear();
        }
        if gap <= MAX_MISSING {
            for lost in highest + 1..extended {
                self.missing.insert(lost, Missing { since: now, requests: 0, due: now + REORDER_WAIT });
            }
        }
    }

    /// The sequence numbers to ask for now.
    fn requests(&mut self, now: Instant, interval: Duration) -> Vec<u16> {
        let most = if self.sound { MAX_SOUND_REQUESTS } else { MAX_REQUESTS };
        self.missing.retain(|_, missing| {
            now.saturating_duration_since(missing.since) < MAX_AGE
                && (missing.requests < most || missing.due > now)
        });
        let mut wanted = Vec::new();
        for (sequence, missing) in &mut self.missing {
            if missing.due <= now && missing.requests < most {
                missing.requests += 1;
                missing.due = now + interval;
                wanted.push(*sequence as u16);
            }
        }
        wanted
    }
}

/// Reads sequence numbers, writes NACK.
pub(in crate::peer) struct Request {
    wire: Arc<Wire>,
    sender_ssrc: u32,
    streams: HashMap<u32, Gaps>,
    repairs: Vec<u32>,
    next_tick: Option<Instant>,
    belt: Belt,
}

impl Request {
    /// Asks in the name of `sender_ssrc`, one of our streams.
    pub(in crate::peer) fn new(wire: Arc<Wire>, sender_ssrc: u32) -> Self {
        Self {
            wire,
            sender_ssrc,
            streams: HashMap::new(),
            repairs: Vec::new(),
            next_tick: None,
            belt: Belt::default(),
        }
    }

    /// A repair needs a round trip, and some of it again for what varies.
    fn interval(rtt_ms: f64) -> Duration {
        Duration::from_secs_f64(rtt_ms * 1.25 / 1000.0).max(MIN_INTERVAL)
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Request {
    belt_protocol!();

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &tagged.message.packet
            && let Some(gaps) = self.streams.get_mut(&packet.header.ssrc)
        {
            gaps.note(tagged.now, packet.header.sequence_number);
            if !gaps.missing.is_empty() && self.next_tick.is_none() {
                self.next_tick = Some(tagged.now + TICK);
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
        let rtt_ms = self.wire.rtt_ms().unwrap_or(DEFAULT_RTT_MS);
        let interval = Self::interval(rtt_ms);
        for (ssrc, gaps) in &mut self.streams {
            if gaps.sound && rtt_ms > MAX_SOUND_RTT_MS {
                gaps.missing.clear();
                continue;
            }
            let wanted = gaps.requests(now, interval);
            if wanted.is_empty() {
                continue;
            }
            let nack = TransportLayerNack {
                sender_ssrc: self.sender_ssrc,
                media_ssrc: *ssrc,
                nacks: nack_pairs_from_sequence_numbers(&wanted),
            };
            self.belt.write.push_back(TaggedPacket {
                now,
                transport: TransportContext::default(),
                message: AttributedPacket::new(Packet::Rtcp(vec![Box::new(nack)])),
            });
        }
        let busy = self.streams.values().any(|gaps| !gaps.missing.is_empty());
        self.next_tick = busy.then(|| now + TICK);
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
        // A retransmission stream is bound in its own right: gaps in it are nobody's loss.
        if !self.repairs.contains(&info.ssrc) && info.rtcp_feedback.iter().any(wanted) {
            self.repairs.extend(info.ssrc_rtx);
            let sound = info.mime_type.to_ascii_lowercase().starts_with("audio/");
            self.streams.entry(info.ssrc).or_insert_with(|| Gaps::new(sound));
        }
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.streams.remove(&info.ssrc);
        self.repairs.retain(|repair| *repair != info.ssrc);
    }
}
