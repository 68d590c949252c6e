//! The H.264 encoder and decoder of OpenH264, as small as our use of them. No threads, no policy: driven through
//! [`super::codec`].
#![allow(
    unsafe_code,
    reason = "bitrate and frame rate change mid-stream only through OpenH264's raw options"
)]

use super::codec::{EncoderSettings, copy_plane};
use super::frame::{Frame, Size};
use super::pool::FramePool;
use openh264::OpenH264API;
use openh264::decoder::{DecoderConfig, Flush};
use openh264::encoder::{
    BitRate, Complexity, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, Level, Profile, QpRange,
    RateControlMode, SpsPpsStrategy, UsageType, VuiConfig,
};
use openh264::formats::YUVSource;
use openh264_sys2::{
    ENCODER_OPTION_BITRATE, ENCODER_OPTION_FRAME_RATE, ENCODER_OPTION_MAX_BITRATE,
    ENCODER_OPTION_TRACE_LEVEL, SBitrateInfo, SPATIAL_LAYER_0, WELS_LOG_QUIET,
};
use std::ptr::from_mut;
use std::sync::Arc;
use std::time::Instant;
use thiserror::Error;

/// Below this OpenH264 refuses to work at all.
const LOWEST_BITS_PER_SECOND: u32 = 10_000;
/// A finer quantizer than this spends bits that no eye sees; a coarser one must be allowed, or the rate cannot hold.
const QUANTIZER: (u8, u8) = (12, 51);
/// Frame rate changes smaller than this share are not worth telling the rate control.
const RATE_TOLERANCE: f64 = 0.15;

/// Why OpenH264 could not code a picture.
#[derive(Debug, Error)]
pub enum H264Error {
    /// The encoder did not start or refused a picture.
    #[error("the H.264 encoder failed: {0}")]
    Encode(#[source] openh264::Error),
    /// The decoder did not start.
    #[error("the H.264 decoder did not start: {0}")]
    Start(#[source] openh264::Error),
    /// The stream is damaged, or the remote encoder sends what we cannot decode.
    #[error("the received H.264 picture is damaged: {0}")]
    Decode(#[source] openh264::Error),
}

/// Encodes pictures of one size, Constrained Baseline level 3.1; keyframes at the start and when asked for only.
pub(crate) struct Encoder {
    inner: openh264::encoder::Encoder,
    settings: EncoderSettings,
    /// The raw options exist only once the first picture has initialized the encoder.
    started: bool,
}

struct Source<'a>(&'a Frame);

impl YUVSource for Source<'_> {
    fn dimensions(&self) -> (usize, usize) {
        (self.0.size().width as usize, self.0.size().height as usize)
    }

    fn strides(&self) -> (usize, usize, usize) {
        let chroma = self.0.size().chroma().width as usize;
        (self.0.size().width as usize, chroma, chroma)
    }

    fn y(&self) -> &[u8] {
        self.0.y()
    }

    fn u(&self) -> &[u8] {
        self.0.u()
    }

    fn v(&self) -> &[u8] {
        self.0.v()
    }
}

impl Encoder {
    /// # Errors
    /// [`H264Error::Encode`] if OpenH264 does not come up.
    pub(crate) fn new(settings: EncoderSettings) -> Result<Self, H264Error> {
        let settings = EncoderSettings {
            bits_per_second: settings.bits_per_second.max(LOWEST_BITS_PER_SECOND),
            ..settings
        };
        let config = EncoderConfig::new()
            .bitrate(BitRate::from_bps(settings.bits_per_second))
            .max_frame_rate(FrameRate::from_hz(settings.fps as f32))
            .rate_control_mode(RateControlMode::Bitrate)
            .skip_frames(false)
            .usage_type(UsageType::CameraVideoRealTime)
            .profile(Profile::Baseline)
            .level(Level::Level_3_1)
            .complexity(Complexity::Low)
            .qp(QpRange::new(QUANTIZER.0, QUANTIZER.1))
            .scene_change_detect(false)
            .intra_frame_period(IntraFramePeriod::from_num_frames(0))
            .sps_pps_strategy(SpsPpsStrategy::ConstantId)
            .num_threads(1)
            .vui(VuiConfig::bt601());
        let mut inner = openh264::encoder::Encoder::with_api_config(OpenH264API::from_source(), config)
            .map_err(H264Error::Encode)?;
        let mut level = WELS_LOG_QUIET;
        // SAFETY: the trace level may be set before the encoder is initialized; it reads one int during the call.
        let code =
            unsafe { inner.raw_api().set_option(ENCODER_OPTION_TRACE_LEVEL, from_mut(&mut level).cast()) };
        if code != 0 {
            tracing::debug!(code, "the encoder keeps writing to standard error");
        }
        Ok(Self { inner, settings, started: false })
    }

    /// Size of the pictures that it takes.
    pub(crate) fn size(&self) -> Size {
        self.settings.size
    }

    /// Aims at another rate from the next picture on.
    pub(crate) fn set_rate(&mut self, bits_per_second: u32, fps: f64) {
        let bits_per_second = bits_per_second.max(LOWEST_BITS_PER_SECOND);
        if !self.started {
            return;
        }
        let before = self.settings.bits_per_second;
        if bits_per_second > before {
            // The maximum first when raising and last when lowering: the target may never exceed it.
            self.set_bits(ENCODER_OPTION_MAX_BITRATE, bits_per_second);
            self.set_bits(ENCODER_OPTION_BITRATE, bits_per_second);
        } else if bits_per_second < before {
            self.set_bits(ENCODER_OPTION_BITRATE, bits_per_second);
            self.set_bits(ENCODER_OPTION_MAX_BITRATE, bits_per_second);
        }
        self.settings.bits_per_second = bits_per_second;
        if (fps - self.settings.fps).abs() > self.settings.fps * RATE_TOLERANCE {
            let mut value = fps as f32;
            // SAFETY: the encoder is initialized; this option reads one float during the call.
            let code = unsafe {
                self.inner.raw_api().set_option(ENCODER_OPTION_FRAME_RATE, from_mut(&mut value).cast())
            };
            if code != 0 {
                tracing::warn!(code, fps, "the encoder refused a frame rate");
            }
            self.settings.fps = fps;
        }
    }

    /// Encodes one picture of [`Self::size`] behind `output` (Annex B). True if it is a keyframe.
    ///
    /// # Errors
    /// [`H264Error::Encode`] if OpenH264 refuses it.
    pub(crate) fn encode(
        &mut self,
        frame: &Frame,
        keyframe: bool,
        output: &mut Vec<u8>,
    ) -> Result<bool, H264Error> {
        if keyframe && self.started {
            self.inner.force_intra_frame();
        }
        let stream = self.inner.encode(&Source(frame)).map_err(H264Error::Encode)?;
        stream.write_vec(output);
        self.started = true;
        Ok(stream.frame_type() == FrameType::IDR)
    }

    fn set_bits(&mut self, option: openh264_sys2::ENCODER_OPTION, bits_per_second: u32) {
        let mut info = SBitrateInfo {
            iLayer: SPATIAL_LAYER_0,
            iBitrate: i32::try_from(bits_per_second).unwrap_or(i32::MAX),
        };
        // SAFETY: the encoder is initialized (`started`); both bitrate options read one `SBitrateInfo` during the call.
        let code = unsafe { self.inner.raw_api().set_option(option, from_mut(&mut info).cast()) };
        if code != 0 {
            tracing::warn!(code, bits_per_second, "the encoder refused a bitrate");
        }
    }
}

/// Decodes access units; each gives its picture at once.
pub(crate) struct Decoder {
    inner: openh264::decoder::Decoder,
    pool: FramePool,
}

impl Decoder {
    /// # Errors
    /// [`H264Error::Start`] if OpenH264 does not come up.
    pub(crate) fn new() -> Result<Self, H264Error> {
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        let inner = openh264::decoder::Decoder::with_api_config(OpenH264API::from_source(), config)
            .map_err(H264Error::Start)?;
        Ok(Self { inner, pool: FramePool::default() })
    }

    /// Decodes one access unit (Annex B). `None` if it holds no picture, parameter sets alone for example.
    ///
    /// # Errors
    /// [`H264Error::Decode`]: nothing more can be decoded before the next keyframe.
    pub(crate) fn decode(
        &mut self,
        data: &[u8],
        captured: Instant,
        capture_ntp: Option<u64>,
    ) -> Result<Option<Arc<Frame>>, H264Error> {
        let Some(picture) = self.inner.decode(data).map_err(H264Error::Decode)? else { return Ok(None) };
        let (width, height) = picture.dimensions();
        if width == 0 || height == 0 {
            return Ok(None);
        }
        let size = Size::new(width as u32, height as u32);
        let (luma_stride, blue_stride, red_stride) = picture.strides();
        self.pool
            .fill(size, captured, |frame| {
                frame.capture_ntp = capture_ntp;
                let (y, u, v) = frame.planes_mut();
                copy_plane(picture.y(), luma_stride, y, width);
                copy_plane(picture.u(), blue_stride, u, width.div_ceil(2));
                copy_plane(picture.v(), red_stride, v, width.div_ceil(2));
                Ok(())
            })
            .map(Some)
    }
}
