//! OpenH264's encoder, as small as our use of it, with the quantizer of every picture in our own hands.
//!
//! Driven by [`super::h264::Encoder`], which decides the quantizers. OpenH264's own rate control is off: it budgets
//! in groups of eight pictures at a fixed rate, knows no clock, and lets a keyframe cost what it costs. The quantizer
//! is a parameter of the layer, and the parameters may be set anew between pictures: while neither size nor structure
//! change, the stream goes on without a keyframe (`WelsEncoderParamAdjust` in OpenH264's `encoder_ext.cpp`).
#![allow(
    unsafe_code,
    reason = "the safe wrapper neither exposes the quantizer nor lets the rate control be off"
)]

use super::frame::{Frame, Size};
use crate::media::ports::LEVEL_31_MACROBLOCKS;
use openh264::OpenH264API;
use openh264_sys2::{
    API, CAMERA_VIDEO_REAL_TIME, CM_SMPTE170M, CONSTANT_ID, CP_SMPTE170M, DEBLOCKING_IDC_0, ENCODER_OPTION,
    ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, ENCODER_OPTION_TRACE_LEVEL, ISVCEncoder, ISVCEncoderVtbl, LEVEL_3_1,
    LEVEL_4_0, LOW_COMPLEXITY, PRO_BASELINE, RC_OFF_MODE, SEncParamExt, SFrameBSInfo, SM_SINGLE_SLICE,
    SSourcePicture, TRC_SMPTE170M, WELS_LOG_QUIET, videoFormatI420, videoFrameTypeIDR,
};
use std::os::raw::{c_int, c_void};
use std::ptr::{from_mut, from_ref, null_mut};
use thiserror::Error;

/// What the parameters call the rate; without rate control they mean nothing, but must be valid.
const NOMINAL_BITS_PER_SECOND: c_int = 1_000_000;
const NOMINAL_FPS: f32 = 30.0;
/// `slice_alpha_c0_offset_div2` and `slice_beta_offset_div2` (ITU-T H.264 section 7.4.3): -3 moves the thresholds of the
/// deblocking filter by six steps of the quantizer. At the rates of a call the filter otherwise takes more texture than
/// edges of blocks …
const DEBLOCKING_OFFSET_DIV2: c_int = -3;
/// … but where a picture is large enough to show a camera's noise, which it takes too, it saves bits.
const DEBLOCKING_OFFSET_DIV2_LARGE: c_int = -1;
/// Large: of more macroblocks than this.
const LARGE_MACROBLOCKS: u32 = 2_700;

/// OpenH264 said no.
#[derive(Clone, Copy, Debug, Error)]
#[error("OpenH264 failed to {step} (code {code})")]
pub struct OpenH264Error {
    step: &'static str,
    code: c_int,
}

/// An instance of OpenH264's encoder for pictures of one size.
pub(super) struct RawEncoder {
    handle: Handle,
    parameters: Box<SEncParamExt>,
    stream: Box<SFrameBSInfo>,
    size: Size,
}

/// Owns the C++ object.
struct Handle {
    api: OpenH264API,
    /// Not null.
    encoder: *mut ISVCEncoder,
    table: &'static ISVCEncoderVtbl,
}

// SAFETY: the object belongs to this handle alone and OpenH264 keeps nothing that is tied to a thread.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: created by this API, not yet destroyed; uninitializing one that never came up does nothing.
        unsafe {
            if let Some(uninitialize) = self.table.Uninitialize {
                uninitialize(self.encoder);
            }
            self.api.WelsDestroySVCEncoder(self.encoder);
        }
    }
}

impl Handle {
    fn new() -> Result<Self, OpenH264Error> {
        let api = OpenH264API::from_source();
        let mut encoder: *mut ISVCEncoder = null_mut();
        // SAFETY: writes one pointer.
        let code = unsafe { api.WelsCreateSVCEncoder(&raw mut encoder) };
        if code != 0 || encoder.is_null() {
            return Err(OpenH264Error { step: "create an encoder", code });
        }
        // SAFETY: the object begins with the pointer to its table of functions, which is part of the library.
        let table = unsafe { &**encoder };
        Ok(Self { api, encoder, table })
    }

    fn set_option<T>(&self, option: ENCODER_OPTION, value: &mut T) -> c_int {
        let Some(set_option) = self.table.SetOption else { return -1 };
        // SAFETY: the callers give the type that the option reads; it is read during the call only.
        unsafe { set_option(self.encoder, option, from_mut(value).cast::<c_void>()) }
    }
}

fn check(step: &'static str, code: Option<c_int>) -> Result<(), OpenH264Error> {
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(OpenH264Error { step, code }),
        None => Err(OpenH264Error { step, code: -1 }),
    }
}

impl RawEncoder {
    /// Constrained Baseline; one slice, one thread, one reference; keyframes when asked for only.
    ///
    /// # Errors
    /// OpenH264's.
    pub(super) fn new(size: Size) -> Result<Self, OpenH264Error> {
        let handle = Handle::new()?;
        let mut parameters = Box::<SEncParamExt>::default();
        let Handle { encoder, table, .. } = handle;
        // SAFETY: the object is valid; the call writes one `SEncParamExt`.
        let code = table.GetDefaultParams.map(|call| unsafe { call(encoder, from_mut(&mut *parameters)) });
        check("tell its parameters", code)?;
        configure(&mut parameters, size);
        let mut level = WELS_LOG_QUIET;
        if handle.set_option(ENCODER_OPTION_TRACE_LEVEL, &mut level) != 0 {
            tracing::debug!("the encoder keeps writing to standard error");
        }
        // SAFETY: the object is valid; the call reads one `SEncParamExt`.
        let code = table.InitializeExt.map(|call| unsafe { call(encoder, from_ref(&*parameters)) });
        check("start", code)?;
        Ok(Self { handle, parameters, stream: Box::default(), size })
    }

    /// Size of the pictures that it takes.
    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// Encodes one picture of [`Self::size`] behind `output` (Annex B). True if it is a keyframe.
    ///
    /// # Errors
    /// OpenH264's.
    pub(super) fn encode(
        &mut self,
        frame: &Frame,
        keyframe: bool,
        quantizer: u8,
        output: &mut Vec<u8>,
    ) -> Result<bool, OpenH264Error> {
        // The planes must be as large as the encoder takes them to be.
        check("take a picture of another size", Some(if frame.size() == self.size { 0 } else { -1 }))?;
        let Handle { encoder, table, .. } = self.handle;
        if keyframe {
            // SAFETY: the encoder is initialized.
            let code = table.ForceIntraFrame.map(|call| unsafe { call(encoder, true) });
            check("begin a keyframe", code)?;
        }
        let quantizer = c_int::from(quantizer);
        if self.parameters.sSpatialLayers[0].iDLayerQp != quantizer {
            self.parameters.sSpatialLayers[0].iDLayerQp = quantizer;
            let code = self.handle.set_option(ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, &mut *self.parameters);
            check("change the quantizer", Some(code))?;
        }
        let chroma = self.size.chroma().width as c_int;
        let source = SSourcePicture {
            iColorFormat: videoFormatI420,
            iStride: [self.size.width as c_int, chroma, chroma, 0],
            // OpenH264 only reads them; its interface does not say so.
            pData: [
                frame.y().as_ptr().cast_mut(),
                frame.u().as_ptr().cast_mut(),
                frame.v().as_ptr().cast_mut(),
                null_mut(),
            ],
            iPicWidth: self.size.width as c_int,
            iPicHeight: self.size.height as c_int,
            ..SSourcePicture::default()
        };
        let stream = from_mut(&mut *self.stream);
        // SAFETY: the encoder is initialized for this size, which the planes have (checked above); it reads them and
        // writes one `SFrameBSInfo` during the call.
        let code = table.EncodeFrame.map(|call| unsafe { call(encoder, &raw const source, stream) });
        check("encode a picture", code)?;
        self.append_to(output);
        Ok(self.stream.eFrameType == videoFrameTypeIDR)
    }

    /// The access unit of the last call. Each layer's NAL units lie one behind the other.
    fn append_to(&self, output: &mut Vec<u8>) {
        let layers = usize::try_from(self.stream.iLayerNum).unwrap_or(0);
        for layer in self.stream.sLayerInfo.iter().take(layers) {
            let units = usize::try_from(layer.iNalCount).unwrap_or(0);
            if units == 0 || layer.pNalLengthInByte.is_null() || layer.pBsBuf.is_null() {
                continue;
            }
            // SAFETY: OpenH264 wrote the count and so many lengths, and the octets lie in its buffer, which lives
            // until its next call; nobody else writes there (`&self`).
            let octets = unsafe {
                let lengths = std::slice::from_raw_parts(layer.pNalLengthInByte, units);
                let length = lengths.iter().map(|&length| usize::try_from(length).unwrap_or(0)).sum();
                std::slice::from_raw_parts(layer.pBsBuf, length)
            };
            output.extend_from_slice(octets);
        }
    }
}

/// What suits calls: nothing that costs time and gains little at these rates. Scene changes, backgrounds and
/// adaptive quantizers are looked for with a pass over the picture each; the deblocking filter stays, for without it
/// the picture falls into blocks.
fn configure(parameters: &mut SEncParamExt, size: Size) {
    parameters.iUsageType = CAMERA_VIDEO_REAL_TIME;
    parameters.iPicWidth = size.width as c_int;
    parameters.iPicHeight = size.height as c_int;
    parameters.iTargetBitrate = NOMINAL_BITS_PER_SECOND;
    parameters.fMaxFrameRate = NOMINAL_FPS;
    parameters.iRCMode = RC_OFF_MODE;
    parameters.bEnableFrameSkip = false;
    parameters.iComplexityMode = LOW_COMPLEXITY;
    parameters.iNumRefFrame = 1;
    parameters.iMultipleThreadIdc = 1;
    parameters.uiIntraPeriod = 0;
    parameters.eSpsPpsIdStrategy = CONSTANT_ID;
    parameters.bEnableDenoise = false;
    parameters.bEnableSceneChangeDetect = false;
    parameters.bEnableBackgroundDetection = false;
    parameters.bEnableAdaptiveQuant = false;
    parameters.bEnableLongTermReference = false;
    parameters.iEntropyCodingModeFlag = 0;
    parameters.iLoopFilterDisableIdc = DEBLOCKING_IDC_0 as c_int;
    let macroblocks = size.width.div_ceil(16) * size.height.div_ceil(16);
    let large = macroblocks > LARGE_MACROBLOCKS;
    let offset = if large { DEBLOCKING_OFFSET_DIV2_LARGE } else { DEBLOCKING_OFFSET_DIV2 };
    parameters.iLoopFilterAlphaC0Offset = offset;
    parameters.iLoopFilterBetaOffset = offset;
    parameters.iMinQp = 0;
    parameters.iMaxQp = 51;
    parameters.iSpatialLayerNum = 1;
    parameters.iTemporalLayerNum = 1;
    let layer = &mut parameters.sSpatialLayers[0];
    layer.iVideoWidth = size.width as c_int;
    layer.iVideoHeight = size.height as c_int;
    layer.fFrameRate = NOMINAL_FPS;
    layer.iSpatialBitrate = NOMINAL_BITS_PER_SECOND;
    layer.iMaxSpatialBitrate = NOMINAL_BITS_PER_SECOND;
    layer.uiProfileIdc = PRO_BASELINE;
    layer.uiLevelIdc = if macroblocks <= LEVEL_31_MACROBLOCKS { LEVEL_3_1 } else { LEVEL_4_0 };
    layer.sSliceArgument.uiSliceMode = SM_SINGLE_SLICE;
    layer.sSliceArgument.uiSliceNum = 1;
    // BT.601, limited range.
    layer.bVideoSignalTypePresent = true;
    layer.bFullRange = false;
    layer.bColorDescriptionPresent = true;
    layer.uiColorPrimaries = CP_SMPTE170M as u8;
    layer.uiTransferCharacteristics = TRC_SMPTE170M as u8;
    layer.uiColorMatrix = CM_SMPTE170M as u8;
}
