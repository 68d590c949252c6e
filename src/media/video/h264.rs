//! The H.264 encoder and decoder of OpenH264, as small as our use of them. No threads, no policy: driven through
//! [`super::codec`].

use super::encoder_settings::EncoderSettings;
use super::frame::{Frame, Size, copy_plane};
use super::h264_encoder::{OpenH264Error, RawEncoder};
use super::look::Look;
use super::pool::FramePool;
use super::quantizer::{Choice, RateControl};
use openh264::OpenH264API;
use openh264::decoder::{DecoderConfig, Flush};
use openh264::formats::YUVSource as _;
use std::sync::Arc;
use std::time::Instant;
use thiserror::Error;

/// A lower rate than this is not aimed at: nothing would be left of the picture.
const LOWEST_BITS_PER_SECOND: u32 = 10_000;

/// Why OpenH264 could not code a picture.
#[derive(Debug, Error)]
pub enum H264Error {
    /// The encoder did not start or refused a picture.
    #[error("the H.264 encoder failed: {0}")]
    Encode(#[from] OpenH264Error),
    /// The decoder did not start.
    #[error("the H.264 decoder did not start: {0}")]
    Start(#[source] openh264::Error),
    /// The stream is damaged, or the remote encoder sends what we cannot decode.
    #[error("the received H.264 picture is damaged: {0}")]
    Decode(#[source] openh264::Error),
}

/// Encodes pictures of one size, Constrained Baseline; keyframes at the start and when asked for only.
pub(crate) struct Encoder {
    raw: RawEncoder,
    rate: RateControl,
    started: bool,
}

impl Encoder {
    /// # Errors
    /// [`H264Error::Encode`] if OpenH264 does not come up.
    pub(crate) fn new(settings: EncoderSettings) -> Result<Self, H264Error> {
        let EncoderSettings { size, bits_per_second, fps, backlog } = settings;
        let pixels = f64::from(size.width) * f64::from(size.height);
        let bits_per_second = f64::from(bits_per_second.max(LOWEST_BITS_PER_SECOND));
        let rate = RateControl::new(pixels, bits_per_second, fps, backlog);
        Ok(Self { raw: RawEncoder::new(size)?, rate, started: false })
    }

    /// Size of the pictures that it takes.
    pub(crate) fn size(&self) -> Size {
        self.raw.size()
    }

    /// Aims at another rate from the next picture on.
    pub(crate) fn set_rate(&mut self, bits_per_second: u32, fps: f64) {
        self.rate.set_rate(f64::from(bits_per_second.max(LOWEST_BITS_PER_SECOND)), fps);
    }

    /// How coarse the last pictures were, as their mean quantizer: 0 (finest) to 51. `None` before there was one.
    pub(crate) fn coarseness(&self) -> Option<f64> {
        self.rate.coarseness()
    }

    /// What was sent beyond the rate, in seconds of the rate.
    pub(crate) fn backlog(&self) -> f64 {
        self.rate.backlog()
    }

    /// Encodes one picture of [`Self::size`] behind `output` (Annex B). True if it is a keyframe. Nothing is written
    /// if the rate leaves no room for the picture. `look` is what the picture looks like, at whatever size.
    ///
    /// # Errors
    /// [`H264Error::Encode`] if OpenH264 refuses it.
    pub(crate) fn encode(
        &mut self,
        frame: &Frame,
        keyframe: bool,
        look: &Look,
        output: &mut Vec<u8>,
    ) -> Result<bool, H264Error> {
        let keyframe = keyframe || !self.started;
        let Choice::Encode(mut quantizer) = self.rate.choose(frame.captured, keyframe, look) else {
            return Ok(false);
        };
        let start = output.len();
        let bits = |output: &Vec<u8>| (output.len() - start) as f64 * 8.0;
        let mut coded = self.raw.encode(frame, keyframe, quantizer, output)?;
        if keyframe && let Some(coarser) = self.rate.again(quantizer, bits(output)) {
            output.truncate(start);
            quantizer = coarser;
            coded = self.raw.encode(frame, keyframe, quantizer, output)?;
        }
        self.rate.handle_encoded(keyframe, quantizer, bits(output), look);
        self.started = true;
        Ok(coded)
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
