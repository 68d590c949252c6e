//! The other side's picture, as large as it fits into the stage.

use super::plain;
use super::screen::Screen;
use super::texture::{self, PictureTexture, tell_size};
use crate::engine::{CallView, PixelOrder, RgbaImage};
use eframe::egui::emath::GuiRounding as _;
use eframe::egui::{Color32, Context, Id, Rect, Role, Sense, TextureId, Ui, Vec2, WidgetInfo, pos2, vec2};
use std::sync::Arc;

/// The picture's way to the screen.
#[derive(Default)]
pub(super) struct RemoteView {
    screen: Option<Screen>,
    texture: PictureTexture,
}

/// A picture to be shown.
pub(super) struct Shown {
    way: Way,
    /// Pixels of the whole picture; it may come with fewer if it is drawn smaller.
    size: Vec2,
}

enum Way {
    Direct(Screen, Arc<RgbaImage>),
    Texture(TextureId),
}

impl RemoteView {
    /// Through `screen` where there is one, else as a texture.
    pub(super) fn new(screen: Option<Screen>) -> Self {
        Self { screen, texture: PictureTexture::default() }
    }

    /// The newest picture. `None` if there is none.
    pub(super) fn refresh(&mut self, ctx: &Context, call: &CallView) -> Option<Shown> {
        let picture = &call.remote_picture;
        match &self.screen {
            Some(screen) if screen.works() => {
                picture.drawn.set_order(PixelOrder::Bgra);
                picture.drawn.set_exact(screen.is_computed());
                let image = picture.latest.peek()?;
                if !texture::fits(&image, ctx.input(|input| input.max_texture_side)) {
                    return None;
                }
                let size = vec2(image.original.0 as f32, image.original.1 as f32);
                Some(Shown { way: Way::Direct(screen.clone(), image), size })
            }
            _ => {
                picture.drawn.set_order(PixelOrder::Rgba);
                picture.drawn.set_exact(false);
                let drawn = self.texture.refresh(ctx, "remote picture", picture)?;
                Some(Shown { way: Way::Texture(drawn.id), size: drawn.size })
            }
        }
    }
}

/// Draws it into the middle of `stage`.
pub(super) fn ui(ui: &mut Ui, stage: Rect, shown: Shown, call: &CallView) {
    let scale = (stage.width() / shown.size.x).min(stage.height() / shown.size.y);
    // On whole pixels, so that a picture of just this size stays sharp.
    let rect = Rect::from_center_size(stage.center(), shown.size * scale)
        .round_to_pixels(ui.ctx().pixels_per_point());
    tell_size(ui.ctx(), &call.remote_picture, rect.size());
    match shown.way {
        Way::Direct(screen, image) => screen.show(ui.painter(), rect, image),
        Way::Texture(texture) => {
            let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
            ui.painter().image(texture, rect, whole, Color32::WHITE);
        }
    }
    let response = ui.interact(rect, Id::unique("remote picture"), Sense::hover());
    let label = format!("Picture of {}", plain::name(&call.peer));
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &label));
}
