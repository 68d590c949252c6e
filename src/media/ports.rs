//! The border between media and transport: what crosses it, and the bounds of what may wait there.
//!
//! `media` fills and drains these; `peer` moves them over the network. Neither knows the other.

use super::reception::Reception;
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// Encoded access units that may wait for the pacer. When full, the encoder drops up to its next keyframe.
pub const VIDEO_SEND_CAPACITY: usize = 4;
/// Encoded Opus packets that may wait for the pacer (1 s at 20 ms). When full, the newest is dropped.
pub const AUDIO_SEND_CAPACITY: usize = 50;
/// Received RTP packets that may wait for a video receiver. When full, the packet is dropped (and NACK repairs it).
pub const VIDEO_RECEIVE_CAPACITY: usize = 2048;
/// Received RTP packets that may wait for the audio playout. When full, the packet is dropped.
pub const AUDIO_RECEIVE_CAPACITY: usize = 256;
/// Feedback that may wait for the transport. When full, it is dropped: the receiver asks again.
pub const FEEDBACK_CAPACITY: usize = 16;

/// Macroblocks of a picture at H.264 level 3.1 (ITU-T H.264 table A-1, MaxFS): 1280×720. What everybody decodes.
pub const LEVEL_31_MACROBLOCKS: u32 = 3600;
/// The same at level 4.0: 1920×1080, and the most that we encode.
pub const LEVEL_40_MACROBLOCKS: u32 = 8192;

/// A video codec that Ahoy can send and receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// H.264 Constrained Baseline, packetization mode 1 (RFC 6184).
    H264,
    /// VP8 (RFC 6386, RFC 7741).
    Vp8,
}

impl VideoCodec {
    /// As statistics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H264",
            Self::Vp8 => "VP8",
        }
    }
}

/// A codec that one thread writes and others read; none at first.
#[derive(Debug, Default)]
pub(crate) struct CodecCell(AtomicU8);

impl CodecCell {
    pub(crate) fn new(codec: VideoCodec) -> Self {
        let cell = Self::default();
        cell.set(Some(codec));
        cell
    }

    pub(crate) fn set(&self, codec: Option<VideoCodec>) {
        let value = match codec {
            None => 0,
            Some(VideoCodec::H264) => 1,
            Some(VideoCodec::Vp8) => 2,
        };
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> Option<VideoCodec> {
        match self.0.load(Ordering::Relaxed) {
            1 => Some(VideoCodec::H264),
            2 => Some(VideoCodec::Vp8),
            _ => None,
        }
    }
}

/// One encoded picture on its way to the pacer.
#[derive(Clone, Debug)]
pub struct EncodedFrame {
    /// What it is coded with.
    pub codec: VideoCodec,
    /// The access unit; for H.264 in Annex B byte-stream format, for VP8 a frame as RFC 6386 section 9 has it.
    pub data: Bytes,
    /// When the picture was captured.
    pub captured: Instant,
    /// RTP timestamp, 90 kHz clock.
    pub rtp_timestamp: u32,
    /// True if decoding can start here.
    pub keyframe: bool,
}

/// One encoded Opus packet on its way to the pacer.
#[derive(Clone, Debug)]
pub struct EncodedAudio {
    /// The Opus packet (RFC 6716).
    pub data: Bytes,
    /// When its first sample was captured.
    pub captured: Instant,
    /// RTP timestamp, 48 kHz clock.
    pub rtp_timestamp: u32,
    /// First packet after silence: the RTP marker bit (RFC 3551 section 4.1).
    pub talk_spurt: bool,
}

/// One received RTP packet, repairs (RTX) already unwrapped.
#[derive(Clone, Debug)]
pub struct ReceivedPacket {
    /// When it left the socket.
    pub arrived: Instant,
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp in the codec's clock (90 kHz video, 48 kHz audio).
    pub timestamp: u32,
    /// RTP marker bit: last packet of a picture.
    pub marker: bool,
    /// RTP synchronization source.
    pub ssrc: u32,
    /// Codec of a video packet; `None` for audio.
    pub codec: Option<VideoCodec>,
    /// RTP payload.
    pub payload: Bytes,
    /// Absolute capture time (the RTP header extension), NTP 64-bit format, where the sender gives it.
    pub capture_ntp: Option<u64>,
}

/// What a video receiver asks of the remote sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// Send a keyframe: PLI (RFC 4585 section 6.3.1). The receiver limits the rate of its asking.
    RequestKeyframe,
}

/// What the transport tells the encoders; written by `peer`, read by encoder threads.
#[derive(Debug)]
pub struct SendControl {
    /// What both sides agreed upon for our picture; H.264 until then, which no packet carries yet.
    video_codec: CodecCell,
    /// What it takes as well.
    other_video_codec: CodecCell,
    /// Macroblocks of a picture that the other side decodes 30 times a second.
    video_macroblocks: AtomicU32,
    /// Width and height with which the other side shows our picture, 16 bits each; 0: as large as it is.
    video_view: AtomicU32,
    video_bits_per_second: AtomicU32,
    audio_bits_per_second: AtomicU32,
    /// Share of packets that the remote lost, in 1/256 (RFC 3550 section 6.4.1).
    audio_loss_256th: AtomicU32,
    video_held: AtomicBool,
    audio_twice: AtomicBool,
    keyframe_wanted: AtomicBool,
    sending: AtomicBool,
    keyframe_requests: AtomicU64,
    reception: Reception,
}

impl SendControl {
    /// Starts with sending off and the given video target in bits per second.
    pub fn new(video_bits_per_second: u32) -> Self {
        Self {
            video_codec: CodecCell::new(VideoCodec::H264),
            other_video_codec: CodecCell::default(),
            video_macroblocks: AtomicU32::new(LEVEL_31_MACROBLOCKS),
            video_view: AtomicU32::new(0),
            video_bits_per_second: AtomicU32::new(video_bits_per_second),
            audio_bits_per_second: AtomicU32::new(32_000),
            audio_loss_256th: AtomicU32::new(0),
            video_held: AtomicBool::new(false),
            audio_twice: AtomicBool::new(false),
            keyframe_wanted: AtomicBool::new(false),
            sending: AtomicBool::new(false),
            keyframe_requests: AtomicU64::new(0),
            reception: Reception::default(),
        }
    }

    /// What is known about the other direction.
    pub fn reception(&self) -> &Reception {
        &self.reception
    }

    /// Codec of our picture, the one that we like best; `None` if the other side takes none of ours: then nothing is to be
    /// encoded.
    pub fn video_codec(&self) -> Option<VideoCodec> {
        self.video_codec.value()
    }

    /// Another codec that the other side takes: each picture may be in either.
    pub fn other_video_codec(&self) -> Option<VideoCodec> {
        self.other_video_codec.value()
    }

    /// Sets the codecs of our picture, from the next one on.
    pub fn set_video_codecs(&self, best: Option<VideoCodec>, other: Option<VideoCodec>) {
        self.video_codec.set(best);
        self.other_video_codec.set(other);
    }

    /// Macroblocks (16×16 pixels) of a picture that the other side decodes, at 30 pictures a second.
    pub fn video_macroblocks(&self) -> u32 {
        self.video_macroblocks.load(Ordering::Relaxed)
    }

    /// Sets what the other side said that it decodes; before it did, 720p30.
    pub fn set_video_macroblocks(&self, value: u32) {
        self.video_macroblocks.store(value, Ordering::Relaxed);
    }

    /// Width and height with which the other side shows our picture, if it says so: a larger one is for nothing.
    pub fn video_view(&self) -> Option<(u16, u16)> {
        let view = self.video_view.load(Ordering::Relaxed);
        (view != 0).then_some(((view >> 16) as u16, view as u16))
    }

    /// Sets what the other side says of that.
    pub fn set_video_view(&self, view: Option<(u16, u16)>) {
        let packed = view.map_or(0, |(width, height)| u32::from(width) << 16 | u32::from(height));
        self.video_view.store(packed, Ordering::Relaxed);
    }

    /// Target of the video encoder, bits per second.
    pub fn video_bits_per_second(&self) -> u32 {
        self.video_bits_per_second.load(Ordering::Relaxed)
    }

    /// Sets the target of the video encoder, bits per second.
    pub fn set_video_bits_per_second(&self, value: u32) {
        self.video_bits_per_second.store(value, Ordering::Relaxed);
    }

    /// Whether pictures are better not made at present, because the path does not keep up with those that left.
    pub fn is_video_held(&self) -> bool {
        self.video_held.load(Ordering::Relaxed)
    }

    /// Lets pictures wait, or go on.
    pub fn hold_video(&self, hold: bool) {
        self.video_held.store(hold, Ordering::Relaxed);
    }

    /// Target of the audio encoder, bits per second.
    pub fn audio_bits_per_second(&self) -> u32 {
        self.audio_bits_per_second.load(Ordering::Relaxed)
    }

    /// Sets the target of the audio encoder, bits per second.
    pub fn set_audio_bits_per_second(&self, value: u32) {
        self.audio_bits_per_second.store(value, Ordering::Relaxed);
    }

    /// Share of our audio packets that the remote lost, 0 to 1.
    pub fn audio_loss(&self) -> f32 {
        self.audio_loss_256th.load(Ordering::Relaxed) as f32 / 256.0
    }

    /// Sets that share from the `fraction lost` octet of a receiver report.
    pub fn set_audio_fraction_lost(&self, fraction_lost: u8) {
        self.audio_loss_256th.store(u32::from(fraction_lost), Ordering::Relaxed);
    }

    /// Whether packets of sound carry an earlier one too.
    pub fn audio_twice(&self) -> bool {
        self.audio_twice.load(Ordering::Relaxed)
    }

    /// Sets whether they do.
    pub fn set_audio_twice(&self, twice: bool) {
        self.audio_twice.store(twice, Ordering::Relaxed);
    }

    /// Asks the encoder for a keyframe with its next picture.
    pub fn want_keyframe(&self) {
        self.keyframe_requests.fetch_add(1, Ordering::Relaxed);
        self.keyframe_wanted.store(true, Ordering::Release);
    }

    /// Takes the wish for a keyframe, if there is one.
    pub fn take_keyframe_wish(&self) -> bool {
        self.keyframe_wanted.swap(false, Ordering::AcqRel)
    }

    /// How many keyframes were asked for.
    pub fn keyframe_requests(&self) -> u64 {
        self.keyframe_requests.load(Ordering::Relaxed)
    }

    /// Whether media may go to the wire. Off until both sides have accepted the call and the path is up.
    pub fn sending(&self) -> bool {
        self.sending.load(Ordering::Acquire)
    }

    /// Opens or shuts the gate to the wire.
    pub fn set_sending(&self, sending: bool) {
        self.sending.store(sending, Ordering::Release);
    }
}
