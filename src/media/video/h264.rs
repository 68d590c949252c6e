//! The H.264 encoder and decoder of OpenH264, as small as our use of them. No threads, no policy: the encoder's and
//! the receiver's threads own one each.

use super::frame::{Frame, Size};
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

/// Why a picture could not be coded.
#[derive(Debug, Error)]
pub enum CodecError {
    /// The encoder did not start or refused a picture.
    #[error("the H.264 encoder failed: {0}")]
    Encode(#[from] OpenH264Error),
    /// The decoder did not start.
    #[error("the H.264 decoder did not start: {0}")]
    Start(#[source] openh264::Error),
    /// The stream is damaged, or the remote encoder sends what we cannot decode.
    #[error("the received picture is damaged: {0}")]
    Decode(#[source] openh264::Error),
}

/// What an encoder is made for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EncoderSettings {
    pub(crate) size: Size,
    pub(crate) bits_per_second: u32,
    pub(crate) fps: f64,
}

/// Encodes pictures of one size, Constrained Baseline; keyframes at the start and when asked for only.
pub(crate) struct Encoder {
    raw: RawEncoder,
    rate: RateControl,
    started: bool,
}

impl Encoder {
    /// # Errors
    /// [`CodecError::Encode`] if OpenH264 does not come up.
    pub(crate) fn new(settings: EncoderSettings) -> Result<Self, CodecError> {
        let EncoderSettings { size, bits_per_second, fps } = settings;
        let pixels = f64::from(size.width) * f64::from(size.height);
        let rate = RateControl::new(pixels, f64::from(bits_per_second.max(LOWEST_BITS_PER_SECOND)), fps);
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

    /// Encodes one picture of [`Self::size`] behind `output` (Annex B). True if it is a keyframe. Nothing is written
    /// if the rate leaves no room for the picture. `look` is what the picture looks like, at whatever size.
    ///
    /// # Errors
    /// [`CodecError::Encode`] if OpenH264 refuses it.
    pub(crate) fn encode(
        &mut self,
        frame: &Frame,
        keyframe: bool,
        look: &Look,
        output: &mut Vec<u8>,
    ) -> Result<bool, CodecError> {
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
    /// [`CodecError::Start`] if OpenH264 does not come up.
    pub(crate) fn new() -> Result<Self, CodecError> {
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        let inner = openh264::decoder::Decoder::with_api_config(OpenH264API::from_source(), config)
            .map_err(CodecError::Start)?;
        Ok(Self { inner, pool: FramePool::default() })
    }

    /// Decodes one access unit (Annex B). `None` if it holds no picture, parameter sets alone for example.
    ///
    /// # Errors
    /// [`CodecError::Decode`]: nothing more can be decoded before the next keyframe.
    pub(crate) fn decode(
        &mut self,
        data: &[u8],
        captured: Instant,
        capture_ntp: Option<u64>,
    ) -> Result<Option<Arc<Frame>>, CodecError> {
        let Some(picture) = self.inner.decode(data).map_err(CodecError::Decode)? else { return Ok(None) };
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

fn copy_plane(from: &[u8], stride: usize, to: &mut [u8], width: usize) {
    for (source, target) in from.chunks(stride).zip(to.chunks_exact_mut(width)) {
        let length = width.min(source.len());
        target[..length].copy_from_slice(&source[..length]);
    }
}
