//! The window's few widgets. Every one has a name for screen readers (AccessKit), which tests click as well.

use super::icons::{self, Icon};
use super::{plain, theme};
use eframe::egui::{
    Align2, Color32, Painter, Pos2, Response, RichText, Role, Sense, Stroke, StrokeKind, Ui, Vec2,
    WidgetInfo, vec2,
};

/// How a button looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// On a panel, without a fill of its own until it is hovered.
    Quiet,
    /// On a picture or a card.
    Plain,
    /// What the screen is for.
    Primary,
    /// Answer.
    Go,
    /// Hang up, decline, or something that is off.
    Stop,
}

impl Tone {
    fn fill(self) -> Color32 {
        match self {
            Self::Quiet => Color32::TRANSPARENT,
            Self::Plain => theme::SURFACE_HOVER,
            Self::Primary => theme::ACCENT_FILL,
            Self::Go => theme::GREEN_FILL,
            Self::Stop => theme::RED_FILL,
        }
    }
}

/// A text button at least [`theme::BUTTON_HEIGHT`] high.
pub(super) fn text_button(ui: &mut Ui, text: &str, tone: Tone) -> Response {
    text_button_sized(ui, text, tone, vec2(0.0, theme::BUTTON_HEIGHT))
}

/// A text button of at least this size, its text in the middle.
pub(super) fn text_button_sized(ui: &mut Ui, text: &str, tone: Tone, least: Vec2) -> Response {
    let enabled = ui.is_enabled();
    let color = match (enabled, tone) {
        (false, _) => theme::TEXT_WEAK,
        (true, Tone::Quiet) => theme::TEXT,
        (true, _) => Color32::WHITE,
    };
    let galley = ui.painter().layout_no_wrap(text.to_owned(), theme::strong_font(14.0), color);
    let size = (galley.size() + 2.0 * ui.spacing().button_padding).max(least);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    if ui.is_rect_visible(rect) {
        let fill = fill(enabled, raised(tone.fill()), &response);
        ui.painter().rect_filled(rect, theme::RADIUS, fill);
        ui.painter().galley(rect.center() - galley.size() / 2.0, galley, color);
    }
    focus_ring(ui, &response, f32::from(theme::RADIUS));
    response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, text));
    response
}

/// The fill of a button in its present state.
fn fill(enabled: bool, base: Color32, response: &Response) -> Color32 {
    if !enabled {
        theme::SURFACE
    } else if response.is_pointer_button_down_on() {
        brighter(brighter(base))
    } else if response.hovered() {
        brighter(base)
    } else {
        base
    }
}

/// A round button with an icon. `label` is its tooltip and its name.
pub(super) fn icon_button(ui: &mut Ui, icon: Icon, label: &str, tone: Tone, diameter: f32) -> Response {
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(diameter), Sense::click());
    if ui.is_rect_visible(rect) {
        let enabled = ui.is_enabled();
        let base = tone.fill();
        let base = if response.hovered() { raised(base) } else { base };
        let fill = fill(enabled, base, &response);
        let color = match (enabled, tone, response.hovered()) {
            (false, ..) => theme::TEXT_WEAK,
            (true, Tone::Quiet, false) => theme::TEXT_WEAK,
            _ => Color32::WHITE,
        };
        ui.painter().circle_filled(rect.center(), diameter / 2.0, fill);
        icons::paint(ui.painter(), rect.shrink(diameter * 0.26), icon, color);
    }
    focus_ring(ui, &response, diameter / 2.0);
    let enabled = ui.is_enabled();
    response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, label));
    response.on_hover_text(label).on_disabled_hover_text(label)
}

fn raised(fill: Color32) -> Color32 {
    if fill == Color32::TRANSPARENT { theme::SURFACE } else { fill }
}

fn brighter(fill: Color32) -> Color32 {
    let lift = |channel: u8| channel.saturating_add(14);
    Color32::from_rgb(lift(fill.r()), lift(fill.g()), lift(fill.b()))
}

/// Keyboard focus must be seen (WCAG 2.2 section 2.4.7).
fn focus_ring(ui: &Ui, response: &Response, radius: f32) {
    if response.has_focus() {
        let stroke = Stroke::new(2.0, theme::ACCENT);
        ui.painter().rect_stroke(response.rect.expand(2.0), radius + 2.0, stroke, StrokeKind::Outside);
    }
}

/// A circle with a name's initials, in a colour that stays the name's.
pub(super) fn avatar(ui: &mut Ui, name: &str, diameter: f32) -> Response {
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(diameter), Sense::hover());
    paint_avatar(ui.painter(), rect.center(), name, diameter);
    response
}

/// As [`avatar`], without taking room.
pub(super) fn paint_avatar(painter: &Painter, center: Pos2, name: &str, diameter: f32) {
    painter.circle_filled(center, diameter / 2.0, avatar_color(name));
    let initials = plain::initials(&plain::name(name));
    let font = theme::strong_font(diameter * 0.38);
    painter.text(center, Align2::CENTER_CENTER, initials, font, Color32::WHITE);
}

/// FNV-1a (RFC 9923) of the name picks the hue: the same on every machine and in every session.
fn avatar_color(name: &str) -> Color32 {
    let hash =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let (red, green, blue) = AVATAR_COLORS[hash as usize % AVATAR_COLORS.len()];
    Color32::from_rgb(red, green, blue)
}

/// Muted hues, all dark enough for white initials (4.5:1).
const AVATAR_COLORS: [(u8, u8, u8); 10] = [
    (44, 110, 160),
    (124, 82, 176),
    (165, 75, 105),
    (28, 120, 110),
    (158, 88, 40),
    (80, 100, 180),
    (72, 122, 50),
    (160, 70, 70),
    (140, 70, 150),
    (75, 112, 128),
];

/// A line of small text of second rank.
pub(super) fn hint(ui: &mut Ui, text: impl Into<String>) -> Response {
    ui.label(RichText::new(text).small().color(theme::TEXT_WEAK))
}

/// Faintest and loudest end of a level meter, decibels below full scale.
const METER_DB: (f32, f32) = (-54.0, -6.0);

/// How far a meter goes for this root mean square, 0 to 1; full scale is 1.
pub(super) fn meter_share(level: f32) -> f32 {
    let db = 20.0 * level.max(1e-6).log10();
    ((db - METER_DB.0) / (METER_DB.1 - METER_DB.0)).clamp(0.0, 1.0)
}

/// A level meter: along the longer side, from the left or from below.
pub(super) fn paint_level(painter: &Painter, rect: eframe::egui::Rect, level: f32) {
    let share = meter_share(level);
    let color = if share > 0.97 { theme::AMBER } else { theme::GREEN };
    let radius = rect.width().min(rect.height()) / 2.0;
    painter.rect_filled(rect, radius, Color32::from_white_alpha(28));
    let mut full = rect;
    if rect.width() > rect.height() {
        full.set_width(rect.width() * share);
    } else {
        full.set_top(rect.bottom() - rect.height() * share);
    }
    if share > 0.0 {
        painter.rect_filled(full, radius, color);
    }
}
