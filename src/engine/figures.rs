//! `Meter`: turns counters that only grow into the figures that are shown, rates over the last interval among them.

use super::media_desk::MediaFigures;
use super::{AudioReceived, AudioSent, CallStats, VideoReceived, VideoSent};
use crate::media::audio::AudioStats;
use crate::media::ports::VideoCodec;
use crate::media::video::stats::{VideoReceiveSnapshot, VideoSendSnapshot};
use crate::peer::PeerStats;
use std::time::Instant;

/// What was counted at the last measurement.
pub(super) struct Meter {
    at: Instant,
    transport: PeerStats,
    encoded: u64,
    decoded: u64,
    audio: AudioStats,
}

impl Meter {
    /// Rates are counted from `now` on.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            at: now,
            transport: PeerStats::default(),
            encoded: 0,
            decoded: 0,
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
                ..video_sent(sent)
            },
            video_received: VideoReceived {
                fps: rate(received.decoded, self.decoded),
                bitrate: bits(transport.video_octets_received, before.video_octets_received),
                packets: transport.video_packets_received,
                lost: transport.video_packets_lost,
                ..video_received(received)
            },
            audio_sent: AudioSent {
                bitrate: bits(transport.audio_octets_sent, before.audio_octets_sent),
                packets: transport.audio_packets_sent,
                level: audio.sent_level_since(&self.audio),
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
            decoded: received.decoded,
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
        freezes: received.freezes,
        freeze_seconds: received.freeze_time.as_secs_f64(),
        delay_ms: received.delay_ms,
        ..VideoReceived::default()
    }
}

fn audio_received(audio: &AudioStats) -> AudioReceived {
    AudioReceived {
        concealed_ratio: audio.concealed_ratio(),
        buffer_ms: audio.buffer_ms,
        ..AudioReceived::default()
    }
}
