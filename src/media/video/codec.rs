//! The video codecs behind one face: pictures in, access units out, and back.
//!
//! Driven by the encoder's and the receiver's threads, which own one [`Encoder`] and one [`Decoder`] each. Decides
//! nothing: which codec, size, rate and keyframe is theirs to say.

use super::encoder_settings::EncoderSettings;
use super::frame::{Frame, Size};
use super::h264::{self, H264Error};
use super::look::Look;
use super::vp8::{self, Vp8Error};
use crate::media::ports::VideoCodec;
use std::sync::Arc;
use std::time::Instant;
use thiserror::Error;

/// Why a picture could not be coded.
#[derive(Debug, Error)]
pub enum CodecError {
    /// OpenH264's word.
    #[error(transparent)]
    H264(#[from] H264Error),
    /// libvpx's word.
    #[error(transparent)]
    Vp8(#[from] Vp8Error),
}

/// Encodes pictures of one size; keyframes at the start and when asked for only.
pub(crate) enum Encoder {
    /// Boxed: it is a hundred times as large as the other.
    H264(Box<h264::Encoder>),
    Vp8(vp8::Encoder),
}

impl Encoder {
    /// # Errors
    /// [`CodecError`] if the codec does not come up.
    pub(crate) fn new(codec: VideoCodec, settings: EncoderSettings) -> Result<Self, CodecError> {
        match codec {
            VideoCodec::H264 => Ok(Self::H264(Box::new(h264::Encoder::new(settings)?))),
            VideoCodec::Vp8 => Ok(Self::Vp8(vp8::Encoder::new(settings)?)),
        }
    }

    /// What it makes.
    pub(crate) fn codec(&self) -> VideoCodec {
        match self {
            Self::H264(_) => VideoCodec::H264,
            Self::Vp8(_) => VideoCodec::Vp8,
        }
    }

    /// Size of the pictures that it takes.
    pub(crate) fn size(&self) -> Size {
        match self {
            Self::H264(encoder) => encoder.size(),
            Self::Vp8(encoder) => encoder.size(),
        }
    }

    /// Aims at another rate from the next picture on.
    pub(crate) fn set_rate(&mut self, bits_per_second: u32, fps: f64) {
        match self {
            Self::H264(encoder) => encoder.set_rate(bits_per_second, fps),
            Self::Vp8(encoder) => encoder.set_rate(bits_per_second, fps),
        }
    }

    /// How coarse the last pictures were, as H.264's quantizer: 0 (finest) to 51. `None` if unknown.
    pub(crate) fn coarseness(&self) -> Option<f64> {
        match self {
            Self::H264(encoder) => encoder.coarseness(),
            Self::Vp8(encoder) => encoder.coarseness(),
        }
    }

    /// What was sent beyond the rate and is still to be saved, in seconds of the rate.
    pub(crate) fn backlog(&self) -> f64 {
        match self {
            Self::H264(encoder) => encoder.backlog(),
            // libvpx keeps that account, and a new encoder begins with a short one.
            Self::Vp8(_) => 0.0,
        }
    }

    /// Encodes one picture of [`Self::size`] behind `output`: for H.264 in Annex B format. True if it is a keyframe.
    /// Nothing is written if the codec chose to skip the picture. `look` is what the picture looks like.
    ///
    /// # Errors
    /// [`CodecError`] if the codec refuses it.
    pub(crate) fn encode(
        &mut self,
        frame: &Frame,
        keyframe: bool,
        look: &Look,
        output: &mut Vec<u8>,
    ) -> Result<bool, CodecError> {
        match self {
            Self::H264(encoder) => Ok(encoder.encode(frame, keyframe, look, output)?),
            Self::Vp8(encoder) => Ok(encoder.encode(frame, keyframe, output)?),
        }
    }
}

/// Decodes access units; each gives its picture at once.
pub(crate) enum Decoder {
    H264(h264::Decoder),
    Vp8(vp8::Decoder),
}

impl Decoder {
    /// # Errors
    /// [`CodecError`] if the codec does not come up.
    pub(crate) fn new(codec: VideoCodec) -> Result<Self, CodecError> {
        match codec {
            VideoCodec::H264 => Ok(Self::H264(h264::Decoder::new()?)),
            VideoCodec::Vp8 => Ok(Self::Vp8(vp8::Decoder::new()?)),
        }
    }

    /// What it reads.
    pub(crate) fn codec(&self) -> VideoCodec {
        match self {
            Self::H264(_) => VideoCodec::H264,
            Self::Vp8(_) => VideoCodec::Vp8,
        }
    }

    /// Decodes one access unit. `None` if it holds no picture.
    ///
    /// # Errors
    /// [`CodecError`]: nothing more can be decoded before the next keyframe.
    pub(crate) fn decode(
        &mut self,
        data: &[u8],
        captured: Instant,
        capture_ntp: Option<u64>,
    ) -> Result<Option<Arc<Frame>>, CodecError> {
        match self {
            Self::H264(decoder) => Ok(decoder.decode(data, captured, capture_ntp)?),
            Self::Vp8(decoder) => Ok(decoder.decode(data, captured, capture_ntp)?),
        }
    }
}
