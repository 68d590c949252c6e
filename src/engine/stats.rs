//! The figures of a call, as the window shows and the agent prints them.

use serde::Serialize;

/// Figures of a call; the agent prints them as they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CallStats {
    /// Round-trip time in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Type of the selected local ICE candidate: `host`, `srflx`, `prflx` or `relay`.
    pub route: Option<String>,
    /// What both sides may compare aloud.
    pub verification: Option<String>,
    /// Our picture.
    pub video_sent: VideoSent,
    /// The other side's picture.
    pub video_received: VideoReceived,
    /// Our sound.
    pub audio_sent: AudioSent,
    /// The other side's sound.
    pub audio_received: AudioReceived,
}

/// Figures of the picture that we send. Rates are over the last interval, the rest since the call began.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct VideoSent {
    /// Codec in use.
    pub codec: Option<&'static str>,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Encoded pictures per second.
    pub fps: f64,
    /// Bits per second on the wire.
    pub bitrate: f64,
    /// Bits per second that the encoder aims at.
    pub target_bitrate: f64,
    /// RTP packets, repairs included.
    pub packets: u64,
    /// Of them repairs.
    pub retransmitted: u64,
    /// Parities for forward error correction.
    pub parities: u64,
    /// Keyframes.
    pub keyframes: u64,
}

/// Figures of the picture that we receive.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct VideoReceived {
    /// Codec in use.
    pub codec: Option<&'static str>,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Shown pictures per second.
    pub fps: f64,
    /// Bits per second.
    pub bitrate: f64,
    /// Pictures decoded.
    pub frames: u64,
    /// Pictures lost or not decodable.
    pub dropped: u64,
    /// Pictures decoded but not shown, because a newer one was due as well.
    pub skipped: u64,
    /// Keyframes asked for.
    pub keyframe_requests: u64,
    /// RTP packets.
    pub packets: u64,
    /// RTP packets that never came.
    pub lost: u64,
    /// Requests for missing packets, repetitions included.
    pub requested: u64,
    /// Missing packets that came when asked for.
    pub repaired: u64,
    /// Missing packets that forward error correction gave back.
    pub recovered_fec: u64,
    /// Gaps in the picture, `freezeCount` of the W3C statistics.
    pub freezes: u64,
    /// Their length in all, seconds.
    pub freeze_seconds: f64,
    /// From a picture's first packet to its being shown, milliseconds, mean over the last interval.
    pub buffer_ms: f64,
    /// Capture to render, milliseconds, by the other side's own clock; once its sender reports and a round trip are
    /// known.
    pub delay_ms: Option<f64>,
    /// How much later than its sound the picture is shown, milliseconds; negative: earlier.
    pub skew_ms: Option<f64>,
}

/// Figures of the sound that we send.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AudioSent {
    /// Bits per second.
    pub bitrate: f64,
    /// RTP packets.
    pub packets: u64,
    /// Root mean square of the last interval, 0 to 1 of full scale.
    pub level: f64,
    /// What waits between the microphone and the encoder, the device's own buffer included, milliseconds.
    pub microphone_ms: f64,
    /// Of that, what waits in the device and in the sound system, milliseconds; 0 where it is not told.
    pub device_ms: f64,
    /// Samples that the microphone gave and nobody took in time.
    pub overruns: u64,
    /// By how much the echo canceller's filter lowers the echo of the speaker, dB; unknown until there was some.
    pub echo_lowered_db: Option<f64>,
    /// By how much the speaker's clock is faster than the microphone's, in millionths.
    pub drift_ppm: f64,
}

/// Figures of the sound that we receive.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AudioReceived {
    /// Bits per second.
    pub bitrate: f64,
    /// RTP packets.
    pub packets: u64,
    /// RTP packets that never came.
    pub lost: u64,
    /// Share of the samples played that were made up, 0 to 1.
    pub concealed_ratio: f64,
    /// What waits in the playout buffer, milliseconds.
    pub buffer_ms: f64,
    /// What waits between the playout buffer and the speaker, the device's own buffer included, milliseconds.
    pub speaker_ms: f64,
    /// Of that, what waits in the sound system and in the device, milliseconds; 0 where it is not told.
    pub device_ms: f64,
    /// Samples that were made up because no packet was there to play.
    pub concealed: u64,
    /// Samples that the speaker wanted and nobody had ready.
    pub underruns: u64,
    /// How often the sound system had nothing for the speaker because it was given sound too late; counted where it
    /// tells.
    pub starvations: u64,
    /// Root mean square of the last interval, 0 to 1 of full scale.
    pub level: f64,
}
