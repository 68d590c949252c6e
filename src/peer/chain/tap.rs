//! Listens to inbound RTCP, which otherwise never reaches the application: keyframe wishes, round trips, loss of our
//! audio, the clocks of the remote's streams.

use super::sound_loss::{Evidence, SoundLoss};
use super::wire::Wire;
use super::{Belt, belt_protocol};
use crate::media::ntp;
use crate::media::ports::SendControl;
use crate::media::reception::ClockReport;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Keyframe wishes closer together than this are one wish: the remote repeats itself until the keyframe has arrived.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(250);
/// Weight of a new round-trip measurement (RFC 6298 section 2: alpha = 1/8).
const RTT_WEIGHT: f64 = 0.125;
/// Longest round trip that is believed; a forged report must not stretch our timers.
const MAX_RTT_MS: f64 = 10_000.0;

/// Reads only. Passes everything on: the crate's own end of the chain discards it.
pub(in crate::peer) struct Tap {
    control: Arc<SendControl>,
    wire: Arc<Wire>,
    audio_ssrc: u32,
    video_ssrc: u32,
    last_wish: Option<Instant>,
    sound_loss: SoundLoss,
    /// By SSRC of the remote's streams: whether it is video.
    remote: HashMap<u32, bool>,
    belt: Belt,
}

impl Tap {
    /// Listens for feedback on our two streams.
    pub(in crate::peer) fn new(
        control: Arc<SendControl>,
        wire: Arc<Wire>,
        audio_ssrc: u32,
        video_ssrc: u32,
    ) -> Self {
        Self {
            control,
            wire,
            audio_ssrc,
            video_ssrc,
            last_wish: None,
            sound_loss: SoundLoss::default(),
            remote: HashMap::new(),
            belt: Belt::default(),
        }
    }

    fn listen(&mut self, now: Instant, packet: &dyn rtc::rtcp::Packet) {
        let any = packet.as_any();
        if let Some(pli) = any.downcast_ref::<PictureLossIndication>() {
            if pli.media_ssrc == self.video_ssrc {
                self.wish(now);
            }
        } else if let Some(fir) = any.downcast_ref::<FullIntraRequest>() {
            // RFC 5104 section 4.3.1: the SSRCs concerned are in the entries.
            if fir.fir.iter().any(|entry| entry.ssrc == self.video_ssrc) {
                self.wish(now);
            }
        } else if let Some(report) = any.downcast_ref::<ReceiverReport>() {
            self.read_reports(now, &report.reports);
        } else if let Some(report) = any.downcast_ref::<SenderReport>() {
            self.read_clock(now, report);
            self.read_reports(now, &report.reports);
        }
    }

    fn wish(&mut self, now: Instant) {
        if self.last_wish.is_some_and(|last| now.saturating_duration_since(last) < KEYFRAME_INTERVAL) {
            return;
        }
        self.last_wish = Some(now);
        self.control.want_keyframe();
    }

    fn read_clock(&self, now: Instant, report: &SenderReport) {
        let Some(video) = self.remote.get(&report.ssrc) else { return };
        // Zero: a sender without a clock (RFC 3550 section 6.4.1).
        if report.ntp_time == 0 {
            return;
        }
        let reception = self.control.reception();
        let clock = ClockReport {
            ssrc: report.ssrc,
            ntp: report.ntp_time,
            rtp_timestamp: report.rtp_time,
            arrived: now,
        };
        if *video { reception.set_video_clock(clock) } else { reception.set_audio_clock(clock) }
    }

    fn read_reports(&mut self, now: Instant, reports: &[ReceptionReport]) {
        for report in reports {
            if report.ssrc == self.audio_ssrc {
                let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
                let evidence = Evidence {
                    sent: load(&self.wire.audio_sent.packets),
                    requested: load(&self.wire.sound_requested),
                    estimate: self.wire.estimate.load(Ordering::Relaxed),
                    understands: self.wire.sound_nack.load(Ordering::Relaxed),
                };
                let lost = self.sound_loss.handle_report(report.fraction_lost, evidence);
                self.control.set_audio_fraction_lost(lost);
                self.control.set_audio_twice(self.sound_loss.twice());
            }
            if (report.ssrc == self.audio_ssrc || report.ssrc == self.video_ssrc)
                && let Some(sample) = round_trip_ms(report, ntp::middle(self.wire.clock.ntp(now)))
            {
                let measured = self.wire.rtt_reported.swap(true, Ordering::Relaxed);
                let old = self.wire.rtt_ms().filter(|_| measured);
                self.wire.set_rtt_ms(old.map_or(sample, |old| old + RTT_WEIGHT * (sample - old)));
            }
        }
    }
}

/// RFC 3550 section 6.4.1: arrival of the report − LSR − DLSR. `None` without a sender report, or when a clock jumped.
fn round_trip_ms(report: &ReceptionReport, now_middle: u32) -> Option<f64> {
    if report.last_sender_report == 0 {
        return None;
    }
    let units = now_middle.wrapping_sub(report.last_sender_report).wrapping_sub(report.delay);
    let milliseconds = f64::from(units as i32) * 1000.0 / 65_536.0;
    // On a fast path rounding can make it slightly negative.
    (-5.0..MAX_RTT_MS).contains(&milliseconds).then_some(milliseconds.max(0.05))
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    belt_protocol!();

    fn handle_read(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.wire.heard.fetch_add(1, Ordering::Relaxed);
        if let Packet::Rtcp(packets) = &tagged.message.packet {
            for packet in packets {
                self.listen(tagged.now, packet.as_ref());
            }
        }
        self.belt.read.push_back(tagged);
        Ok(())
    }

    fn handle_write(&mut self, tagged: TaggedPacket) -> Result<(), Error> {
        self.belt.write.push_back(tagged);
        Ok(())
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        let mime_type = info.mime_type.to_ascii_lowercase();
        if mime_type.starts_with("video/") || mime_type.starts_with("audio/") {
            self.remote.insert(info.ssrc, mime_type.starts_with("video/"));
        }
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.remote.remove(&info.ssrc);
    }
}
