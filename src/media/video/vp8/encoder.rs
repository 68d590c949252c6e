//! The VP8 encoder, set up for a call: constant bitrate, no look-ahead, no dropped pictures, keyframes on demand.
#![allow(unsafe_code, reason = "libvpx is a C library")]

use super::ffi::{self, vpx_codec_enc_cfg};
use super::{Context, Vp8Error};
use crate::media::video::coarseness::Coarseness;
use crate::media::video::encoder_settings::EncoderSettings;
use crate::media::video::frame::{Frame, Size};
use std::ffi::{c_int, c_uint};
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};

/// Below this no picture of any size is worth its bits, and libvpx counts in whole kilobits.
const LOWEST_BITS_PER_SECOND: u32 = 10_000;
/// Ticks of a second in which pictures are timed: the RTP clock (RFC 7741 section 4.1).
const CLOCK_HZ: i32 = 90_000;
/// A finer quantizer than this spends bits that no eye sees; a coarser one must be allowed, or the rate cannot hold.
const QUANTIZER: (c_uint, c_uint) = (2, 63);
/// The rate control's virtual buffer: its size, its level at the start, and the level it aims at, milliseconds of the
/// target rate. Short: what is in it waits in the pacer.
const BUFFER_MS: (c_uint, c_uint, c_uint) = (1000, 500, 600);
/// How far, in percent, the rate may fall below or rise above the target for the buffer's sake.
const UNDERSHOOT_PERCENT: c_uint = 100;
const OVERSHOOT_PERCENT: c_uint = 15;
/// A keyframe may take as much as this many milliseconds of the target rate: half the buffer's aim, which is what
/// the rate control can make up for.
const KEYFRAME_MS: f64 = 300.0;
/// Blocks that change less than this are copied without a search. 1 is on, at its most careful.
const STATIC_THRESHOLD: c_uint = 1;
/// From this size on a second thread pays, where the machine has processors to spare.
const TWO_THREADS_FROM: u32 = 1280 * 720;
/// Processors from which on one more thread takes nothing from the rest of the call.
const SPARE_PROCESSORS: usize = 4;
/// Frame rate changes smaller than this share are not worth telling the rate control.
const RATE_TOLERANCE: f64 = 0.15;

/// Encodes pictures of one size; keyframes at the start and when asked for only.
pub(crate) struct Encoder {
    context: Context,
    config: Box<vpx_codec_enc_cfg>,
    settings: EncoderSettings,
    /// Time of the next picture, in ticks of the clock.
    next: i64,
    coarseness: Coarseness,
}

impl Encoder {
    /// # Errors
    /// [`Vp8Error::Encode`] if libvpx does not come up.
    pub(crate) fn new(settings: EncoderSettings) -> Result<Self, Vp8Error> {
        let mut config = configuration(settings)?;
        let interface = interface();
        let mut context = Context::new(|context| {
            // SAFETY: context, interface and configuration are valid during the call; libvpx copies the
            // configuration.
            unsafe {
                let version = ffi::VPX_ENCODER_ABI_VERSION as c_int;
                ffi::vpx_codec_enc_init_ver(context, interface, &raw mut *config, 0, version)
            }
        })
        .map_err(Vp8Error::Encode)?;
        for (control, value) in [
            (ffi::VP8E_SET_CPUUSED, -speed(settings.size)),
            (ffi::VP8E_SET_NOISE_SENSITIVITY, 0),
            (ffi::VP8E_SET_STATIC_THRESHOLD, STATIC_THRESHOLD as c_int),
            (ffi::VP8E_SET_TOKEN_PARTITIONS, ffi::VP8_ONE_TOKENPARTITION as c_int),
            (ffi::VP8E_SET_SCREEN_CONTENT_MODE, 0),
            (ffi::VP8E_SET_MAX_INTRA_BITRATE_PCT, keyframe_percent(settings.fps)),
        ] {
            set(&mut context, control, value)?;
        }
        Ok(Self { context, config, settings, next: 0, coarseness: Coarseness::default() })
    }

    /// Size of the pictures that it takes.
    pub(crate) fn size(&self) -> Size {
        self.settings.size
    }

    /// Aims at another rate from the next picture on.
    pub(crate) fn set_rate(&mut self, bits_per_second: u32, fps: f64) {
        if (fps - self.settings.fps).abs() > self.settings.fps * RATE_TOLERANCE {
            // The rate control takes it from the pictures' times.
            self.settings.fps = fps;
            if let Err(error) =
                set(&mut self.context, ffi::VP8E_SET_MAX_INTRA_BITRATE_PCT, keyframe_percent(fps))
            {
                tracing::warn!(%error, fps, "the encoder refused a limit for keyframes");
            }
        }
        let kilobits = kilobits(bits_per_second);
        if kilobits == self.config.rc_target_bitrate {
            return;
        }
        self.config.rc_target_bitrate = kilobits;
        self.settings.bits_per_second = bits_per_second;
        // SAFETY: the context is up; libvpx copies the configuration during the call.
        let code = unsafe { ffi::vpx_codec_enc_config_set(self.context.pointer(), &raw const *self.config) };
        if let Err(error) = self.context.check(code) {
            tracing::warn!(error, kilobits, "the encoder refused a bitrate");
        }
    }

    /// Encodes one picture of [`Self::size`] behind `output`. True if it is a keyframe.
    ///
    /// # Errors
    /// [`Vp8Error::Encode`] if libvpx refuses it.
    pub(crate) fn encode(
        &mut self,
        frame: &Frame,
        keyframe: bool,
        output: &mut Vec<u8>,
    ) -> Result<bool, Vp8Error> {
        if frame.size() != self.settings.size {
            return Err(Vp8Error::Encode("the picture has another size than the encoder".to_owned()));
        }
        let duration = (f64::from(CLOCK_HZ) / self.settings.fps.max(1.0)).round() as i64;
        let flags = if keyframe { ffi::VPX_EFLAG_FORCE_KF } else { 0 };
        let mut image = image(frame)?;
        // SAFETY: the context is up, and the image describes planes that live longer than the call, in which libvpx
        // reads them only.
        let code = unsafe {
            ffi::vpx_codec_encode(
                self.context.pointer(),
                &raw mut image,
                self.next,
                duration as _,
                flags as _,
                ffi::VPX_DL_REALTIME as _,
            )
        };
        self.context.check(code).map_err(Vp8Error::Encode)?;
        self.next += duration;
        let keyframe = self.drain(output);
        if let (false, Some(index)) = (keyframe, self.last_quantizer()) {
            self.coarseness.add(h264_quantizer(index));
        }
        Ok(keyframe)
    }

    /// How coarse the last pictures were, keyframes left out: the mean of the quantizers of H.264 that are as coarse. `None`
    /// before there was one.
    pub(crate) fn coarseness(&self) -> Option<f64> {
        self.coarseness.mean()
    }

    /// The last picture's index of quantizers, 0 to 127 (RFC 6386 section 9.6).
    fn last_quantizer(&mut self) -> Option<c_int> {
        let mut index: c_int = 0;
        // SAFETY: the context is up; this control writes one int during the call.
        let code = unsafe {
            let control = ffi::VP8E_GET_LAST_QUANTIZER as c_int;
            ffi::vpx_codec_control_(self.context.pointer(), control, &raw mut index)
        };
        self.context.check(code).is_ok().then_some(index)
    }

    fn drain(&mut self, output: &mut Vec<u8>) -> bool {
        let mut iterator: ffi::vpx_codec_iter_t = null();
        let mut keyframe = false;
        loop {
            // SAFETY: the context is up; a packet that comes back stays valid until the next call on the context,
            // and `data.frame` is the member of its union that its kind names.
            unsafe {
                let packet = ffi::vpx_codec_get_cx_data(self.context.pointer(), &raw mut iterator);
                let Some(packet) = packet.as_ref() else { return keyframe };
                if packet.kind != ffi::VPX_CODEC_CX_FRAME_PKT {
                    continue;
                }
                let frame = packet.data.frame;
                if !frame.buf.is_null() {
                    output.extend_from_slice(std::slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz));
                }
                keyframe |= frame.flags & ffi::VPX_FRAME_IS_KEY != 0;
            }
        }
    }
}

/// The quantizer of H.264 whose step is as large: a step of 0.625 at 0, doubled every 6 (ITU-T H.264 section 8.5.9). VP8's
/// transform makes coefficients twice as large as an orthonormal one does (RFC 6386 section 14.3).
fn h264_quantizer(index: c_int) -> f64 {
    6.0 * (step(index) / (2.0 * 0.625)).log2()
}

/// The step of the coefficients but the first (RFC 6386 section 14.1, to one part in a hundred).
fn step(index: c_int) -> f64 {
    const BENDS: [(c_int, c_int); 6] = [(0, 4), (54, 58), (83, 116), (102, 173), (116, 229), (127, 284)];
    let index = index.clamp(0, 127);
    let part = BENDS.iter().rposition(|&(first, _)| first <= index).unwrap_or(0).min(BENDS.len() - 2);
    let ((first, low), (last, high)) = (BENDS[part], BENDS[part + 1]);
    f64::from(low) + f64::from((high - low) * (index - first)) / f64::from(last - first)
}

fn interface() -> *const ffi::vpx_codec_iface {
    // SAFETY: returns the address of a static of the library.
    unsafe { ffi::vpx_codec_vp8_cx() }
}

/// The library's defaults with what a call changes.
fn configuration(settings: EncoderSettings) -> Result<Box<vpx_codec_enc_cfg>, Vp8Error> {
    let mut config = MaybeUninit::<vpx_codec_enc_cfg>::zeroed();
    // SAFETY: writes the whole struct, which is plain C data for which all zeros is valid, too.
    let mut config = unsafe {
        let code = ffi::vpx_codec_enc_config_default(interface(), config.as_mut_ptr(), 0);
        if code != ffi::VPX_CODEC_OK {
            return Err(Vp8Error::Encode("libvpx was built without its VP8 encoder".to_owned()));
        }
        Box::new(config.assume_init())
    };
    config.g_w = settings.size.width;
    config.g_h = settings.size.height;
    config.g_timebase = ffi::vpx_rational { num: 1, den: CLOCK_HZ };
    config.g_threads = threads(settings.size);
    config.g_pass = ffi::VPX_RC_ONE_PASS;
    config.g_lag_in_frames = 0;
    // A picture that is lost is asked for again, or a keyframe in its place: nothing is decoded across the gap, so
    // bits for that would be wasted.
    config.g_error_resilient = 0;
    config.kf_mode = ffi::VPX_KF_DISABLED;
    config.rc_end_usage = ffi::VPX_CBR;
    config.rc_target_bitrate = kilobits(settings.bits_per_second);
    // The ladder lowers size and frame rate with the bitrate; the codec is not to do so behind its back.
    config.rc_dropframe_thresh = 0;
    config.rc_resize_allowed = 0;
    (config.rc_min_quantizer, config.rc_max_quantizer) = QUANTIZER;
    (config.rc_buf_sz, config.rc_buf_initial_sz, config.rc_buf_optimal_sz) = BUFFER_MS;
    config.rc_undershoot_pct = UNDERSHOOT_PERCENT;
    config.rc_overshoot_pct = OVERSHOOT_PERCENT;
    Ok(config)
}

fn set(context: &mut Context, control: ffi::vp8e_enc_control_id, value: c_int) -> Result<(), Vp8Error> {
    // SAFETY: the context is up, and all controls that we set read one int (or unsigned int) as their argument.
    let code = unsafe { ffi::vpx_codec_control_(context.pointer(), control as c_int, value) };
    context.check(code).map_err(Vp8Error::Encode)
}

fn image(frame: &Frame) -> Result<ffi::vpx_image, Vp8Error> {
    let (size, chroma) = (frame.size(), frame.size().chroma());
    let mut image = MaybeUninit::<ffi::vpx_image>::zeroed();
    // SAFETY: describes the memory given and touches none of it; all zeros is a valid image struct. The planes are
    // only read through it (see `encode`), so that the lost `const` is never used.
    let mut image = unsafe {
        let data = frame.data().as_ptr().cast_mut();
        let format = ffi::VPX_IMG_FMT_I420;
        if ffi::vpx_img_wrap(image.as_mut_ptr(), format, size.width, size.height, 1, data).is_null() {
            return Err(Vp8Error::Encode("no picture of this size can be described".to_owned()));
        }
        image.assume_init()
    };
    // Odd sizes are laid out in our own way.
    image.planes = [
        frame.y().as_ptr().cast_mut(),
        frame.u().as_ptr().cast_mut(),
        frame.v().as_ptr().cast_mut(),
        null_mut(),
    ];
    image.stride = [size.width as c_int, chroma.width as c_int, chroma.width as c_int, 0];
    Ok(image)
}

fn kilobits(bits_per_second: u32) -> c_uint {
    bits_per_second.max(LOWEST_BITS_PER_SECOND) / 1000
}

/// Largest keyframe in percent of the average picture's share of the rate.
fn keyframe_percent(fps: f64) -> c_int {
    (KEYFRAME_MS / 1000.0 * fps.max(1.0) * 100.0) as c_int
}

/// libvpx's real-time speed (0 to 16, the higher the cheaper): the fewer pixels, the more work each may be.
fn speed(size: Size) -> c_int {
    match size.width * size.height {
        0..=230_400 => 4,
        230_401..=307_200 => 6,
        _ => 8,
    }
}

fn threads(size: Size) -> c_uint {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    if size.width * size.height >= TWO_THREADS_FROM && processors >= SPARE_PROCESSORS { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::{h264_quantizer, step};

    #[test]
    fn the_steps_are_the_standards() {
        for (index, in_the_table) in [
            (0, 4.0),
            (30, 34.0),
            (54, 58.0),
            (70, 90.0),
            (90, 137.0),
            (101, 170.0),
            (110, 205.0),
            (127, 284.0),
        ] {
            let step = step(index);
            assert!((step / in_the_table - 1.0_f64).abs() < 0.01, "{index}: {step}");
        }
        assert!((step(-1), step(500)) == (4.0, 284.0));
        // A step of 2 and one of 142.
        assert!((h264_quantizer(0) - 10.07).abs() < 0.01 && (h264_quantizer(127) - 46.97).abs() < 0.01);
    }
}
