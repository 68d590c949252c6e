//! `Meter`: turns counters that only grow into the figures that are shown, rates over the last interval among them.

use super::media_desk::MediaFigures;
use super::{AudioReceived, AudioSent, CallStats, VideoReceived, VideoSent};
use crate::media::audio::AudioStats;
use crate::media::ports::VideoCodec;
use crate::media::video::stats::{VideoReceiveSnapshot, VideoSendSnapshot};
use crate::peer::PeerStats;
use std::time::{Duration, Instant};

/// What was counted at the last measurement.
pub(super) struct Meter {
    at: Instant,
    transport: PeerStats,
    encoded: u64,
    rendered: u64,
    buffered: Duration,
    audio: AudioStats,
}

impl Meter {
    /// Rates are counted from `now` on.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            at: now,
            transport: PeerStats::default(),
            encoded: 0,
            rendered: 0,
            buffered: Duration::ZERO,
            audio: AudioStats::default(),
        }
    }

    /// The figures at `now`, and the start of the next interval.
    pub(super) fn measure(&mut self, transport: &PeerStats, media: &MediaFigures, now: Instant) -> CallStats {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64().max(1e-3);
        // A replaced peer connection counts from nothing again.
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let bits = |now: u64, before: u64| rate(now, before) * 8.0;
        let MediaFigures { sent, received, audio } = media;
        let before = &self.transport;
        let stats = CallStats {
            rtt_ms: transport.rtt_ms,
            route: transport.route.map(str::to_owned),
            verification: None,
            video_sent: VideoSent {
                fps: rate(sent.encoded, self.encoded),
                bitrate: bits(transport.video_octets_sent, before.video_octets_sent),
                packets: transport.video_packets_sent,
                retransmitted: transport.video_retransmitted,
                parities: transport.video_parities_sent,
                ..video_sent(sent)
            },
            video_received: VideoReceived {
                fps: rate(received.rendered, self.rendered),
                buffer_ms: received.buffered_time.saturating_sub(self.buffered).as_secs_f64() * 1e3
                    / received.rendered.saturating_sub(self.rendered).max(1) as f64,
                bitrate: bits(transport.video_octets_received, before.video_octets_received),
                packets: transport.video_packets_received,
                lost: transport.video_packets_lost,
                requested: transport.video_packets_requested,
                repaired: transport.video_packets_repaired,
                recovered_fec: transport.video_packets_recovered_fec,
                ..video_received(received)
            },
            audio_sent: AudioSent {
                bitrate: bits(transport.audio_octets_sent, before.audio_octets_sent),
                packets: transport.audio_packets_sent,
                level: audio.sent_level_since(&self.audio),
                microphone_ms: audio.microphone_device_ms + audio.microphone_ring_ms,
                device_ms: audio.microphone_device_ms,
                overruns: audio.microphone_overruns,
                echo_lowered_db: audio.processing.echo_return_loss_enhancement_db,
                drift_ppm: audio.processing.drift_ppm,
            },
            audio_received: AudioReceived {
                bitrate: bits(transport.audio_octets_received, before.audio_octets_received),
                packets: transport.audio_packets_received,
                lost: transport.audio_packets_lost,
                level: audio.received_level_since(&self.audio),
                ..audio_received(audio)
            },
        };
        *self = Self {
            at: now,
            transport: transport.clone(),
            encoded: sent.encoded,
            rendered: received.rendered,
            buffered: received.buffered_time,
            audio: *audio,
        };
        stats
    }
}

fn video_sent(sent: &VideoSendSnapshot) -> VideoSent {
    VideoSent {
        codec: sent.codec.map(VideoCodec::name),
        width: sent.size.map_or(0, |size| size.width),
        height: sent.size.map_or(0, |size| size.height),
        target_bitrate: sent.target_bits_per_second as f64,
        keyframes: sent.keyframes,
        ..VideoSent::default()
    }
}

fn video_received(received: &VideoReceiveSnapshot) -> VideoReceived {
    VideoReceived {
        codec: received.codec.map(VideoCodec::name),
        width: received.size.map_or(0, |size| size.width),
        height: received.size.map_or(0, |size| size.height),
        frames: received.decoded,
        dropped: received.dropped,
        skipped: received.skipped,
        keyframe_requests: received.keyframe_requests,
        freezes: received.freezes,
        freeze_seconds: received.freeze_time.as_secs_f64(),
        delay_ms: received.delay_ms,
        skew_ms: received.skew_ms,
        ..VideoReceived::default()
    }
}

fn audio_received(audio: &AudioStats) -> AudioReceived {
    AudioReceived {
        concealed_ratio: audio.concealed_ratio(),
        buffer_ms: audio.buffer_ms,
        speaker_ms: audio.speaker_ring_ms + audio.speaker_device_ms,
        device_ms: audio.speaker_device_ms,
        concealed: audio.concealed_samples,
        underruns: audio.speaker_underruns,
        starvations: audio.speaker_starvations,
        ..AudioReceived::default()
    }
}
