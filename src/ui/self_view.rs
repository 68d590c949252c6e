//! Our own picture in a corner of the call: mirrored, as in a looking glass, and draggable to any corner.

use super::texture::{Drawn, PictureTexture, tell_size};
use super::{icons, theme};
use crate::engine::CallView;
use eframe::egui::{
    Align2, Color32, CornerRadius, CursorIcon, Id, Pos2, Rect, Role, Sense, Shape, Stroke, StrokeKind, Ui,
    Vec2, WidgetInfo, epaint::RectShape, pos2, vec2,
};

const MARGIN: f32 = 16.0;
/// Room kept for the line above and the buttons below, points.
const TOP_ROOM: f32 = 56.0;
const BOTTOM_ROOM: f32 = 84.0;

/// Where the picture sits.
pub(super) struct SelfView {
    right: bool,
    bottom: bool,
    /// Its centre while it is dragged.
    dragged_to: Option<Pos2>,
    texture: PictureTexture,
}

impl Default for SelfView {
    fn default() -> Self {
        Self { right: true, bottom: true, dragged_to: None, texture: PictureTexture::default() }
    }
}

impl SelfView {
    /// Draws it into a corner of `stage`.
    pub(super) fn ui(&mut self, ui: &mut Ui, stage: Rect, call: &CallView) {
        let picture = self.texture.refresh(ui.ctx(), "self-view", &call.local_picture);
        if !call.has_camera {
            return;
        }
        let size = size_in(stage, picture);
        tell_size(ui.ctx(), &call.local_picture, size);
        let home = self.home(stage, size);
        let rect = Rect::from_center_size(self.dragged_to.unwrap_or(home), size);
        let response =
            ui.interact(rect, Id::unique("self-view"), Sense::drag()).on_hover_cursor(CursorIcon::Grab);
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, "Your own picture"));
        if response.dragged() {
            let center = self.dragged_to.unwrap_or(home) + response.drag_delta();
            self.dragged_to = Some(center.clamp(stage.min, stage.max));
        } else if let Some(center) = self.dragged_to.take() {
            self.right = center.x > stage.center().x;
            self.bottom = center.y > stage.center().y;
            ui.ctx().request_repaint();
        }
        paint(ui, rect, picture.filter(|_| !call.camera_muted));
    }

    fn home(&self, stage: Rect, size: Vec2) -> Pos2 {
        let (half, margin) = (size / 2.0, MARGIN);
        let x = if self.right { stage.right() - margin - half.x } else { stage.left() + margin + half.x };
        let y = if self.bottom {
            // Beside the buttons where there is room, above them where there is not.
            let beside = stage.width() / 2.0 - super::toolbar::WIDTH / 2.0 > size.x + 2.0 * margin;
            stage.bottom() - if beside { margin } else { BOTTOM_ROOM } - half.y
        } else {
            stage.top() + TOP_ROOM + half.y
        };
        pos2(x, y)
    }
}

/// A fifth of the stage, within bounds, in the picture's own shape.
fn size_in(stage: Rect, picture: Option<Drawn>) -> Vec2 {
    let width = (stage.width() * 0.2).clamp(120.0, 260.0);
    let aspect = picture.map_or(16.0 / 9.0, |picture| (picture.size.x / picture.size.y).clamp(0.5, 2.5));
    if aspect < 1.0 { vec2(width * 0.8, width * 0.8 / aspect) } else { vec2(width, width / aspect) }
}

fn paint(ui: &Ui, rect: Rect, picture: Option<Drawn>) {
    let radius = CornerRadius::same(10);
    let painter = ui.painter();
    match picture {
        Some(picture) => {
            // Left and right exchanged.
            let mirrored = Rect::from_min_max(pos2(1.0, 0.0), pos2(0.0, 1.0));
            let shape = RectShape::filled(rect, radius, Color32::WHITE).with_texture(picture.id, mirrored);
            painter.add(Shape::Rect(shape));
        }
        None => {
            painter.rect_filled(rect, radius, theme::SURFACE);
            let mark = Rect::from_center_size(rect.center() - vec2(0.0, 8.0), Vec2::splat(24.0));
            icons::paint(painter, mark, icons::Icon::CameraOff, theme::TEXT_WEAK);
            let place = rect.center() + vec2(0.0, 12.0);
            let words = "Your camera is off";
            painter.text(place, Align2::CENTER_TOP, words, theme::text_font(11.5), theme::TEXT_WEAK);
        }
    }
    painter.rect_stroke(rect, radius, Stroke::new(1.0, Color32::from_white_alpha(40)), StrokeKind::Inside);
}
