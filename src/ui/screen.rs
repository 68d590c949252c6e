//! The other side's picture on its way to the screen past the toolkit: uploaded once, then copied into the window by
//! the graphics driver (`glBlitFramebuffer`) instead of being drawn as a textured, blended mesh.
//!
//! Driven by [`super::call_view`] where the window is drawn with desktop OpenGL; elsewhere the picture goes through
//! [`super::texture`]. With a graphics card both cost next to nothing. Without one, where the driver computes every
//! pixel, a plain copy takes a fraction of the time; that is why the pixels are asked for in the window's own order.
//! It never converts or scales a pixel by itself.
#![allow(unsafe_code, reason = "OpenGL's functions are unsafe to call")]

use crate::engine::{PixelOrder, RgbaImage};
use eframe::egui::{PaintCallback, PaintCallbackInfo, Painter, Rect};
use eframe::egui_glow::{self, CallbackFn};
use eframe::glow::{self, HasContext as _};
use std::sync::{Arc, Mutex, PoisonError};

/// Names of the drivers that draw without a graphics card, in what OpenGL calls the renderer: Mesa's three, and the
/// ones of Windows and macOS.
const COMPUTING: [&str; 5] = ["llvmpipe", "softpipe", "swrast", "GDI Generic", "Apple Software Renderer"];

/// Where the picture lies on the graphics card. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Screen {
    surface: Arc<Mutex<Surface>>,
    /// There is no graphics card: the driver computes each pixel.
    computed: bool,
}

/// What was made of OpenGL's.
#[derive(Default)]
struct Surface {
    objects: Option<(glow::Texture, glow::Framebuffer)>,
    /// Width and height of the texture.
    size: (usize, usize),
    /// What is uploaded.
    uploaded: Option<Arc<RgbaImage>>,
    /// It did not work once, and is not tried again.
    broken: bool,
}

impl Screen {
    /// `None` if this OpenGL cannot copy between framebuffers (it is of version 3.0).
    pub(super) fn new(gl: &glow::Context) -> Option<Self> {
        let version = gl.version();
        // SAFETY: the toolkit has made the context current; the call only reads a constant text.
        let renderer = unsafe { gl.get_parameter_string(glow::RENDERER) };
        let computed = COMPUTING.iter().any(|name| renderer.contains(name));
        (!version.is_embedded && version.major >= 3).then(|| Self { surface: Arc::default(), computed })
    }

    /// Whether each pixel costs the processor something: pictures are best had just as large as they are drawn.
    pub(super) fn is_computed(&self) -> bool {
        self.computed
    }

    /// Whether pictures arrive on the screen this way.
    pub(super) fn works(&self) -> bool {
        !self.surface.lock().unwrap_or_else(PoisonError::into_inner).broken
    }

    /// Shows `image` in `rect`, stretched if they differ in size.
    pub(super) fn show(&self, painter: &Painter, rect: Rect, image: Arc<RgbaImage>) {
        let surface = Arc::clone(&self.surface);
        let paint = move |info: PaintCallbackInfo, painter: &egui_glow::Painter| {
            let mut surface = surface.lock().unwrap_or_else(PoisonError::into_inner);
            surface.paint(painter.gl(), &info, &image);
        };
        painter.add(PaintCallback { rect, callback: Arc::new(CallbackFn::new(paint)) });
    }

    /// Frees what the graphics card holds.
    pub(super) fn destroy(&self, gl: &glow::Context) {
        let surface = std::mem::take(&mut *self.surface.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some((texture, framebuffer)) = surface.objects {
            // SAFETY: the toolkit has made the context current, and nobody else knows these objects.
            unsafe {
                gl.delete_framebuffer(framebuffer);
                gl.delete_texture(texture);
            }
        }
    }
}

impl Surface {
    /// Called by the toolkit in the middle of its painting; it sets up its own state again afterwards, but for the
    /// framebuffer that is read from.
    fn paint(&mut self, gl: &glow::Context, info: &PaintCallbackInfo, image: &Arc<RgbaImage>) {
        if self.broken {
            return;
        }
        let Some((texture, framebuffer)) = self.objects(gl) else {
            self.broken = true;
            return;
        };
        // SAFETY: the toolkit has made the context current. The upload reads as many pixels as `upload` has checked,
        // and the rest only names objects of this context.
        unsafe {
            gl.bind_framebuffer(glow::READ_FRAMEBUFFER, Some(framebuffer));
            let known = self.uploaded.as_ref().is_some_and(|uploaded| Arc::ptr_eq(uploaded, image));
            if !known {
                self.upload(gl, texture, image);
            }
            if gl.check_framebuffer_status(glow::READ_FRAMEBUFFER) == glow::FRAMEBUFFER_COMPLETE {
                let place = info.viewport_in_pixels();
                let (left, bottom) = (place.left_px, place.from_bottom_px);
                let (right, top) = (left + place.width_px, bottom + place.height_px);
                let (width, height) = (self.size.0 as i32, self.size.1 as i32);
                let equal = (width, height) == (place.width_px, place.height_px);
                let filter = if equal { glow::NEAREST } else { glow::LINEAR };
                gl.disable(glow::SCISSOR_TEST);
                // The picture's first row is its highest; OpenGL's window begins below.
                let mask = glow::COLOR_BUFFER_BIT;
                gl.blit_framebuffer(0, 0, width, height, left, top, right, bottom, mask, filter);
                gl.enable(glow::SCISSOR_TEST);
            } else {
                tracing::warn!("the graphics driver refuses to copy pictures: they are drawn instead");
                self.broken = true;
            }
            gl.bind_framebuffer(glow::READ_FRAMEBUFFER, None);
        }
    }

    fn objects(&mut self, gl: &glow::Context) -> Option<(glow::Texture, glow::Framebuffer)> {
        if self.objects.is_none() {
            // SAFETY: the toolkit has made the context current.
            let made = unsafe { gl.create_texture().and_then(|made| Ok((made, gl.create_framebuffer()?))) };
            match made {
                Ok(objects) => self.objects = Some(objects),
                Err(error) => tracing::warn!(error, "the graphics driver grants no room for pictures"),
            }
        }
        self.objects
    }

    /// # Safety
    /// The context must be current, and the framebuffer to read from be ours.
    unsafe fn upload(&mut self, gl: &glow::Context, texture: glow::Texture, image: &Arc<RgbaImage>) {
        if image.pixels.len() != image.width * image.height * 4 {
            return;
        }
        let order = match image.order {
            PixelOrder::Rgba => glow::RGBA,
            PixelOrder::Bgra => glow::BGRA,
        };
        let (width, height) = (image.width as i32, image.height as i32);
        let pixels = glow::PixelUnpackData::Slice(Some(&image.pixels));
        // SAFETY: see above; the slice is as long as width and height say.
        unsafe {
            gl.bind_texture(glow::TEXTURE_2D, Some(texture));
            gl.pixel_store_i32(glow::UNPACK_ALIGNMENT, 4);
            if self.size == (image.width, image.height) {
                gl.tex_sub_image_2d(
                    glow::TEXTURE_2D,
                    0,
                    0,
                    0,
                    width,
                    height,
                    order,
                    glow::UNSIGNED_BYTE,
                    pixels,
                );
            } else {
                // One level only: the texture is complete without smaller ones.
                gl.tex_parameter_i32(glow::TEXTURE_2D, glow::TEXTURE_MAX_LEVEL, 0);
                // Without a size the driver keeps the order of octets that comes, and converts none of them.
                let inside = glow::RGBA as i32;
                gl.tex_image_2d(
                    glow::TEXTURE_2D,
                    0,
                    inside,
                    width,
                    height,
                    0,
                    order,
                    glow::UNSIGNED_BYTE,
                    pixels,
                );
                let (target, point) = (glow::READ_FRAMEBUFFER, glow::COLOR_ATTACHMENT0);
                gl.framebuffer_texture_2d(target, point, glow::TEXTURE_2D, Some(texture), 0);
                self.size = (image.width, image.height);
            }
        }
        self.uploaded = Some(Arc::clone(image));
    }
}
