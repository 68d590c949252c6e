//! The VP8 decoder: one picture in, one picture out, and never a damaged one.
#![allow(unsafe_code, reason = "libvpx is a C library")]

use super::ffi;
use super::{Context, Vp8Error};
use crate::media::video::frame::{Frame, Size, copy_plane};
use crate::media::video::pool::FramePool;
use std::ffi::{c_int, c_uint};
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::time::Instant;

/// Pixels of the largest picture that is decoded (4K UHD): a header of ten octets may claim 16383×16383, for which
/// the library would take gigabytes.
const MAX_PIXELS: u32 = 3840 * 2160;
/// Octets of a keyframe's header in front of the first partition (RFC 6386 section 9.1).
const KEYFRAME_HEADER: usize = 10;
/// Start code of a keyframe, behind the three octets of the frame tag.
const START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];
/// Width and height are 14 bits; two of scaling, which is the display's matter, stand above each.
const SIZE_MASK: u16 = 0x3fff;

/// Decodes pictures; each gives its picture at once.
pub(crate) struct Decoder {
    context: Context,
    pool: FramePool,
}

impl Decoder {
    /// # Errors
    /// [`Vp8Error::Start`] if libvpx does not come up.
    pub(crate) fn new() -> Result<Self, Vp8Error> {
        let config = ffi::vpx_codec_dec_cfg { threads: 1, w: 0, h: 0 };
        let context = Context::new(|context| {
            // SAFETY: context, interface (a static of the library) and configuration are valid during the call;
            // libvpx copies the configuration.
            unsafe {
                let version = ffi::VPX_DECODER_ABI_VERSION as c_int;
                ffi::vpx_codec_dec_init_ver(context, ffi::vpx_codec_vp8_dx(), &raw const config, 0, version)
            }
        })
        .map_err(Vp8Error::Start)?;
        Ok(Self { context, pool: FramePool::default() })
    }

    /// Decodes one picture. `None` if it is not to be shown.
    ///
    /// # Errors
    /// [`Vp8Error::Decode`]: nothing more can be decoded before the next keyframe.
    pub(crate) fn decode(
        &mut self,
        data: &[u8],
        captured: Instant,
        capture_ntp: Option<u64>,
    ) -> Result<Option<Arc<Frame>>, Vp8Error> {
        check_size(data)?;
        let length = c_uint::try_from(data.len()).map_err(|error| Vp8Error::Decode(error.to_string()))?;
        // SAFETY: the context is up, and `data` lives during the call, in which libvpx reads `length` octets of it.
        let code =
            unsafe { ffi::vpx_codec_decode(self.context.pointer(), data.as_ptr(), length, null_mut(), 0) };
        self.context.check(code).map_err(Vp8Error::Decode)?;
        let mut corrupted: c_int = 0;
        // SAFETY: the context is up; this control writes one int during the call.
        let code = unsafe {
            ffi::vpx_codec_control_(
                self.context.pointer(),
                ffi::VP8D_GET_FRAME_CORRUPTED as c_int,
                &raw mut corrupted,
            )
        };
        self.context.check(code).map_err(Vp8Error::Decode)?;
        if corrupted != 0 {
            // The library fills up what is missing of a truncated picture; nobody wants to see that.
            return Err(Vp8Error::Decode("a part of it is missing".to_owned()));
        }
        self.take_picture(captured, capture_ntp)
    }

    fn take_picture(
        &mut self,
        captured: Instant,
        capture_ntp: Option<u64>,
    ) -> Result<Option<Arc<Frame>>, Vp8Error> {
        let mut iterator: ffi::vpx_codec_iter_t = null();
        // SAFETY: the context is up. The image stays valid until the next call on the context, which is not before
        // this function's end.
        let image = unsafe { ffi::vpx_codec_get_frame(self.context.pointer(), &raw mut iterator).as_ref() };
        let Some(image) = image else { return Ok(None) };
        let size = Size::new(image.d_w, image.d_h);
        if size.width == 0 || size.height == 0 || image.fmt != ffi::VPX_IMG_FMT_I420 {
            return Err(Vp8Error::Decode("it has no planes that we know".to_owned()));
        }
        let chroma = size.chroma();
        self.pool
            .fill(size, captured, |frame| {
                frame.capture_ntp = capture_ntp;
                let (y, u, v) = frame.planes_mut();
                for (index, target, size) in [(0, y, size), (1, u, chroma), (2, v, chroma)] {
                    let (plane, stride) = (image.planes[index], image.stride[index] as usize);
                    let octets = stride * (size.height as usize - 1) + size.width as usize;
                    // SAFETY: libvpx's planes have `height` rows, `stride` apart, of at least `width` octets.
                    let source = unsafe { std::slice::from_raw_parts(plane, octets) };
                    copy_plane(source, stride, target, size.width as usize);
                }
                Ok(())
            })
            .map(Some)
    }
}

/// Refuses keyframes of an absurd size before memory is taken for them.
fn check_size(data: &[u8]) -> Result<(), Vp8Error> {
    let Some(header) = data.first_chunk::<KEYFRAME_HEADER>() else { return Ok(()) };
    let is_keyframe = header[0] & 1 == 0;
    if !is_keyframe || header[3..6] != START_CODE {
        return Ok(());
    }
    let length = |low, high| u32::from(u16::from_le_bytes([low, high]) & SIZE_MASK);
    let (width, height) = (length(header[6], header[7]), length(header[8], header[9]));
    if width * height > MAX_PIXELS {
        return Err(Vp8Error::Decode(format!("{width}×{height} is larger than what we decode")));
    }
    Ok(())
}
