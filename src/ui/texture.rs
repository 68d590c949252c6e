//! A picture on its way from the engine to the graphics card.
//!
//! The pixels come converted; this file only hands them on, and only when there are new ones.

use crate::engine::{Picture, PixelOrder, RgbaImage};
use eframe::egui::{ColorImage, Context, TextureHandle, TextureId, TextureOptions, Vec2};
use std::sync::Arc;

/// The texture of one picture.
#[derive(Default)]
pub(super) struct PictureTexture {
    /// What is uploaded; kept so that a glance tells whether there is a newer one.
    shown: Option<Arc<RgbaImage>>,
    handle: Option<TextureHandle>,
    /// The buffer of the previous upload, used again: a 720p picture is 3.7 MB.
    spare: Option<Arc<ColorImage>>,
}

/// A texture to draw.
#[derive(Clone, Copy)]
pub(super) struct Drawn {
    pub(super) id: TextureId,
    /// Pixels of the whole picture; the texture has fewer if it is drawn smaller.
    pub(super) size: Vec2,
}

/// Tells the engine how large a picture is drawn, so that it comes no larger.
pub(super) fn tell_size(ctx: &Context, picture: &Picture, size: Vec2) {
    let pixels = size * ctx.pixels_per_point();
    picture.drawn.set(pixels.x.round() as u32, pixels.y.round() as u32);
}

impl PictureTexture {
    /// Uploads the newest picture unless that is done already. `None` if there is none.
    pub(super) fn refresh(&mut self, ctx: &Context, name: &str, picture: &Picture) -> Option<Drawn> {
        let Some(newest) = picture.latest.peek() else {
            *self = Self::default();
            return None;
        };
        let known = self.shown.as_ref().is_some_and(|shown| Arc::ptr_eq(shown, &newest));
        if !known && fits(&newest, ctx.input(|input| input.max_texture_side)) {
            self.upload(ctx, name, &newest);
            self.shown = Some(newest);
        }
        let handle = self.handle.as_ref()?;
        let (width, height) = self.shown.as_ref()?.original;
        Some(Drawn { id: handle.id(), size: Vec2::new(width as f32, height as f32) })
    }

    fn upload(&mut self, ctx: &Context, name: &str, newest: &RgbaImage) {
        let size = [newest.width, newest.height];
        let mut image = match self.spare.take() {
            Some(spare) if spare.size == size => spare,
            _ => Arc::new(ColorImage::filled(size, eframe::egui::Color32::BLACK)),
        };
        // egui has dropped its share after the upload, so this is a plain copy and never an allocation.
        let pixels = Arc::make_mut(&mut image).as_raw_mut();
        pixels.copy_from_slice(&newest.pixels);
        if newest.order == PixelOrder::Bgra {
            pixels.as_chunks_mut::<4>().0.iter_mut().for_each(|pixel| pixel.swap(0, 2));
        }
        self.spare = Some(Arc::clone(&image));
        // What came as large as it is drawn needs no smoothing, which is most of the work without a graphics card.
        let shrunk = (newest.width, newest.height) != newest.original;
        let options = if shrunk { TextureOptions::NEAREST } else { TextureOptions::LINEAR };
        match &mut self.handle {
            Some(handle) => handle.set(image, options),
            None => self.handle = Some(ctx.load_texture(name, image, options)),
        }
    }
}

/// Whether the graphics card takes it and its length is what its size says; the painter panics otherwise.
pub(super) fn fits(image: &RgbaImage, max_side: usize) -> bool {
    let sides = [image.width, image.height];
    sides.iter().all(|side| (1..=max_side).contains(side))
        && image.pixels.len() == image.width * image.height * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: usize, height: usize, bytes: usize) -> Arc<RgbaImage> {
        let pixels = vec![255; bytes];
        Arc::new(RgbaImage { width, height, original: (width, height), order: PixelOrder::Rgba, pixels })
    }

    #[test]
    fn a_picture_is_uploaded_once_and_again_only_when_a_new_one_is_published() {
        let ctx = Context::default();
        let picture = Picture::default();
        let mut texture = PictureTexture::default();
        assert!(texture.refresh(&ctx, "remote", &picture).is_none());
        picture.latest.publish(image(4, 2, 32));
        let first = texture.refresh(&ctx, "remote", &picture).unwrap();
        assert_eq!(first.size, Vec2::new(4.0, 2.0));
        let shown = texture.shown.clone().unwrap();
        texture.refresh(&ctx, "remote", &picture).unwrap();
        assert!(Arc::ptr_eq(&shown, texture.shown.as_ref().unwrap()));
        picture.latest.publish(image(2, 2, 16));
        assert_eq!(texture.refresh(&ctx, "remote", &picture).unwrap().size, Vec2::new(2.0, 2.0));
        picture.latest.clear();
        assert!(texture.refresh(&ctx, "remote", &picture).is_none());
    }

    #[test]
    fn a_picture_in_the_windows_own_order_has_the_same_colours_as_a_texture() {
        let ctx = Context::default();
        let mut texture = PictureTexture::default();
        let picture = Picture::default();
        let pixels = [255, 0, 0, 255].repeat(2);
        let order = PixelOrder::Bgra;
        let blue = RgbaImage { width: 2, height: 1, original: (2, 1), order, pixels };
        picture.latest.publish(Arc::new(blue));
        texture.refresh(&ctx, "remote", &picture).unwrap();
        let uploaded = texture.spare.unwrap();
        assert_eq!(uploaded.pixels, [eframe::egui::Color32::BLUE; 2]);
    }

    #[test]
    fn a_picture_of_the_wrong_length_or_size_is_not_handed_to_the_painter() {
        assert!(fits(&image(4, 2, 32), 16));
        assert!(!fits(&image(4, 2, 31), 16));
        assert!(!fits(&image(0, 2, 0), 16));
        assert!(!fits(&image(17, 1, 68), 16));
    }
}
