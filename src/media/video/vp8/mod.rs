//! VP8 (RFC 6386) by libvpx, as small as our use of it. No policy: driven through [`super::codec`].

mod decoder;
mod encoder;
mod ffi;

pub(crate) use decoder::Decoder;
pub(crate) use encoder::Encoder;

use ffi::{vpx_codec_ctx, vpx_codec_err_t};
use std::ffi::CStr;
use thiserror::Error;

/// Why libvpx could not code a picture.
#[derive(Debug, Error)]
pub enum Vp8Error {
    /// The encoder did not start, or refused a rate or a picture.
    #[error("the VP8 encoder failed: {0}")]
    Encode(String),
    /// The decoder did not start.
    #[error("the VP8 decoder did not start: {0}")]
    Start(String),
    /// The stream is damaged, or the remote encoder sends what we do not decode.
    #[error("the received VP8 picture is damaged: {0}")]
    Decode(String),
}

/// A codec context of libvpx, destroyed with its owner.
struct Context(Box<vpx_codec_ctx>);

// SAFETY: libvpx ties a context to no thread: it asks only that calls on one context do not overlap, which `&mut`
// guarantees. Threads that it starts by itself are its own business and end with the context.
#[allow(unsafe_code)]
unsafe impl Send for Context {}

impl Context {
    /// A context, brought up by `init`.
    fn new(init: impl FnOnce(*mut vpx_codec_ctx) -> vpx_codec_err_t) -> Result<Self, String> {
        // SAFETY: the struct is plain C data (pointers, integers and a union of pointers): all zeros is the state
        // in which libvpx's own examples hand it to the initializers.
        #[allow(unsafe_code)]
        let mut context = Self(Box::new(unsafe { std::mem::zeroed() }));
        let code = init(context.pointer());
        context.check(code)?;
        Ok(context)
    }

    fn pointer(&mut self) -> *mut vpx_codec_ctx {
        &raw mut *self.0
    }

    /// What a call's result means, in libvpx's words.
    fn check(&mut self, code: vpx_codec_err_t) -> Result<(), String> {
        if code == ffi::VPX_CODEC_OK {
            return Ok(());
        }
        // SAFETY: both functions return a static or context-owned string that ends in NUL, or null; it is copied
        // before anything else touches the context.
        #[allow(unsafe_code)]
        unsafe {
            let mut words = text(ffi::vpx_codec_err_to_string(code)).unwrap_or_else(|| code.to_string());
            if let Some(detail) = text(ffi::vpx_codec_error_detail(self.pointer())) {
                words = format!("{words} ({detail})");
            }
            Err(words)
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context is initialized, or its initialization failed, in which case libvpx has freed what it
        // had made and only reports an error here.
        #[allow(unsafe_code)]
        let code = unsafe { ffi::vpx_codec_destroy(self.pointer()) };
        if code != ffi::VPX_CODEC_OK {
            tracing::debug!(code, "a VP8 codec was never up");
        }
    }
}

/// # Safety
/// `string` is null or ends in NUL and lives during the call.
#[allow(unsafe_code)]
unsafe fn text(string: *const std::ffi::c_char) -> Option<String> {
    if string.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests;
