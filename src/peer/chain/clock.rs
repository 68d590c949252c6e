//! Puts our clock into our sender reports: which capture time belongs to which RTP timestamp (RFC 3550 section 6.4.1).
//!
//! The crate's sender reports map the time of *sending*, which comes later than the capture by encoding and pacing, and
//! not by the same for sound and picture: the other side's lips would be that much off. Both streams are mapped to
//! one steady clock here, the one that also gives the absolute capture times.

use super::wire::{Anchor, Wire};
use super::{Belt, belt_protocol};
use crate::media::ntp;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::sender_report::SenderReport;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// A stream of ours.
struct Stream {
    video: bool,
    clock_hz: u32,
}

/// Writes only; see the module.
pub(in crate::peer) struct Clock {
    wire: Arc<Wire>,
    streams: HashMap<u32, Stream>,
    belt: Belt,
}

impl Clock {
    /// Takes the capture times from `wire`.
    pub(in crate::peer) fn new(wire: Arc<Wire>) -> Self {
        Self { wire, streams: HashMap::new(), belt: Belt::default() }
    }

    fn set(&self, now: Instant, report: &mut SenderReport) {
        let Some(stream) = self.streams.get(&report.ssrc) else { return };
        let anchor = if stream.video { &self.wire.video_anchor } else { &self.wire.audio_anchor };
        report.ntp_time = self.wire.clock.ntp(now);
        if let Some(rtp_time) = rtp_time_at(anchor.value(), report.ntp_time, stream.clock_hz) {
            report.rtp_time = rtp_time;
        }
    }
}

/// The RTP timestamp of what is captured at `ntp`.
fn rtp_time_at(anchor: Option<(u32, u32)>, ntp: u64, clock_hz: u32) -> Option<u32> {
    let (rtp_timestamp, captured) = anchor?;
    let elapsed = i64::from(ntp::middle(ntp).wrapping_sub(captured) as i32);
    Some(rtp_timestamp.wrapping_add(((elapsed * i64::from(clock_hz)) >> 16) as u32))
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Clock {
    belt_protocol!();

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.belt.read.push_back(tagged);
        Ok(())
    }

    fn handle_write(&mut self, mut tagged: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &mut tagged.message.packet {
            for packet in packets {
                if let Some(report) = packet.as_any().downcast_ref::<SenderReport>() {
                    let mut report = report.clone();
                    self.set(tagged.now, &mut report);
                    *packet = Box::new(report);
                }
            }
        }
        self.belt.write.push_back(tagged);
        Ok(())
    }
}

impl Interceptor for Clock {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        let video = info.mime_type.to_ascii_lowercase().starts_with("video/");
        self.streams.insert(info.ssrc, Stream { video, clock_hz: info.clock_rate });
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.streams.remove(&info.ssrc);
    }

    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

impl Anchor {
    /// Takes note that what has this RTP timestamp was captured at this NTP time.
    pub(in crate::peer) fn set(&self, rtp_timestamp: u32, ntp: u64) {
        self.store(u64::from(rtp_timestamp) << 32 | u64::from(ntp::middle(ntp)));
    }

    /// RTP timestamp and the middle of its capture time; `None` before the first packet.
    fn value(&self) -> Option<(u32, u32)> {
        let value = self.load();
        (value != 0).then_some(((value >> 32) as u32, value as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::interceptor::AttributedPacket;
    use rtc::shared::TransportContext;
    use std::time::Duration;

    /// The report as it goes to the wire.
    fn report(clock: &mut Clock, now: Instant, ssrc: u32) -> SenderReport {
        let report = SenderReport { ssrc, ntp_time: 1, rtp_time: 2, ..SenderReport::default() };
        clock
            .handle_write(TaggedPacket {
                now,
                transport: TransportContext::default(),
                message: AttributedPacket::new(Packet::Rtcp(vec![Box::new(report)])),
            })
            .unwrap();
        let Some(Packet::Rtcp(packets)) = clock.poll_write().map(|tagged| tagged.message.packet) else {
            panic!("no report");
        };
        packets[0].as_any().downcast_ref::<SenderReport>().unwrap().clone()
    }

    #[test]
    fn sound_and_picture_captured_at_one_time_have_one_ntp_time_however_late_they_were_sent() {
        let wire = Arc::new(Wire::default());
        let mut clock = Clock::new(Arc::clone(&wire));
        for (ssrc, mime_type, clock_rate) in [(1, "video/H264", 90_000), (2, "audio/opus", 48_000)] {
            clock.bind_local_stream(&StreamInfo {
                ssrc,
                mime_type: mime_type.into(),
                clock_rate,
                ..StreamInfo::default()
            });
        }
        let captured = Instant::now();
        let ntp = wire.clock.ntp(captured);
        // Close to the wrap-around of both timestamps.
        wire.video_anchor.set(u32::MAX - 10, ntp);
        wire.audio_anchor.set(u32::MAX - 20, ntp);
        // The picture left 80 ms after its capture, the sound after 20; the report knows nothing of that.
        let now = captured + Duration::from_millis(700);
        let (video, audio) = (report(&mut clock, now, 1), report(&mut clock, now, 2));
        assert_eq!(video.ntp_time, audio.ntp_time);
        let video_ticks = video.rtp_time.wrapping_sub(u32::MAX - 10);
        let audio_ticks = audio.rtp_time.wrapping_sub(u32::MAX - 20);
        assert!(video_ticks.abs_diff(63_000) <= 3, "{video_ticks}");
        assert!(audio_ticks.abs_diff(33_600) <= 2, "{audio_ticks}");
    }

    #[test]
    fn a_report_before_the_first_capture_and_a_strangers_report_keep_their_timestamp() {
        let mut clock = Clock::new(Arc::new(Wire::default()));
        let now = Instant::now();
        assert_eq!((report(&mut clock, now, 9).ntp_time, report(&mut clock, now, 9).rtp_time), (1, 2));
        clock.bind_local_stream(&StreamInfo { ssrc: 9, clock_rate: 90_000, ..StreamInfo::default() });
        assert_eq!(report(&mut clock, now, 9).rtp_time, 2);
    }
}
