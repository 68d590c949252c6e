//! The look: colours, sizes and text styles under their names, and the style that carries them into egui.
//!
//! Every other file of the window takes its colours and distances from here.

use eframe::egui::{
    Color32, Context, CornerRadius, FontFamily, FontId, Margin, Shadow, Stroke, TextStyle, Theme, Visuals,
    vec2,
};

/// Behind everything.
pub(super) const BACKGROUND: Color32 = Color32::from_rgb(15, 18, 23);
/// Side panels.
pub(super) const PANEL: Color32 = Color32::from_rgb(20, 24, 31);
/// Cards, text fields, resting buttons.
pub(super) const SURFACE: Color32 = Color32::from_rgb(30, 36, 45);
/// What lies under the pointer.
pub(super) const SURFACE_HOVER: Color32 = Color32::from_rgb(41, 49, 61);
/// What is pressed.
pub(super) const SURFACE_ACTIVE: Color32 = Color32::from_rgb(52, 62, 77);
/// Thin lines between areas.
pub(super) const OUTLINE: Color32 = Color32::from_rgb(40, 47, 58);
/// Text.
pub(super) const TEXT: Color32 = Color32::from_rgb(231, 235, 241);
/// Text of second rank; 6.5:1 on [`PANEL`], above the 4.5:1 of WCAG 2.2 section 1.4.3.
pub(super) const TEXT_WEAK: Color32 = Color32::from_rgb(150, 160, 175);
/// The program's own colour.
pub(super) const ACCENT: Color32 = Color32::from_rgb(94, 148, 255);
/// Fill of the main button; white text on it has 4.9:1.
pub(super) const ACCENT_FILL: Color32 = Color32::from_rgb(45, 104, 226);
/// Answer, good connection.
pub(super) const GREEN: Color32 = Color32::from_rgb(74, 201, 126);
/// Fill of the answer button; white text on it has 4.6:1.
pub(super) const GREEN_FILL: Color32 = Color32::from_rgb(24, 128, 71);
/// Errors, bad connection.
pub(super) const RED: Color32 = Color32::from_rgb(255, 107, 107);
/// Fill of the hang-up button; white text on it has 4.9:1.
pub(super) const RED_FILL: Color32 = Color32::from_rgb(208, 50, 56);
/// Warnings, private messages, a doubtful connection.
pub(super) const AMBER: Color32 = Color32::from_rgb(244, 184, 84);
/// Behind a picture.
pub(super) const STAGE: Color32 = Color32::BLACK;

/// Between neighbours that belong together, points.
pub(super) const GAP: f32 = 8.0;
/// Between groups, points.
pub(super) const GROUP_GAP: f32 = 16.0;
/// Inner margin of panels, points.
pub(super) const PADDING: i8 = 14;
/// Width of the list of people, points.
pub(super) const PEOPLE_WIDTH: f32 = 248.0;
/// Width of the chat beside a call, points.
pub(super) const SIDE_CHAT_WIDTH: f32 = 320.0;
/// Least height of a text button, points.
pub(super) const BUTTON_HEIGHT: f32 = 36.0;
/// Corner radius of buttons and fields, points.
pub(super) const RADIUS: u8 = 8;
/// Corner radius of cards, points.
pub(super) const CARD_RADIUS: u8 = 14;

/// The family of the heavier weight.
pub(super) fn strong_family() -> FontFamily {
    FontFamily::Name("strong".into())
}

/// Ordinary text of another size.
pub(super) fn text_font(size: f32) -> FontId {
    FontId::new(size, FontFamily::Proportional)
}

/// Text of the heavier weight.
pub(super) fn strong_font(size: f32) -> FontId {
    FontId::new(size, strong_family())
}

/// Puts the style in force.
pub(super) fn apply(ctx: &Context) {
    ctx.set_theme(Theme::Dark);
    ctx.all_styles_mut(|style| {
        style.text_styles = [
            (TextStyle::Heading, strong_font(21.0)),
            (TextStyle::Body, text_font(14.5)),
            (TextStyle::Button, text_font(14.5)),
            (TextStyle::Small, text_font(12.0)),
            (TextStyle::Monospace, FontId::monospace(13.0)),
        ]
        .into();
        style.spacing.item_spacing = vec2(GAP, GAP);
        style.spacing.button_padding = vec2(14.0, 7.0);
        style.spacing.interact_size.y = 30.0;
        style.spacing.menu_margin = Margin::same(8);
        style.spacing.window_margin = Margin::same(20);
        style.spacing.icon_width = 18.0;
        style.spacing.combo_width = 260.0;
        style.spacing.combo_height = 320.0;
        style.spacing.tooltip_width = 360.0;
        style.spacing.scroll.floating = true;
        style.spacing.scroll.bar_width = 8.0;
        style.interaction.tooltip_delay = 0.4;
        style.animation_time = 0.12;
        style.visuals = visuals();
    });
}

fn visuals() -> Visuals {
    let mut visuals = Visuals::dark();
    visuals.override_text_color = None;
    visuals.weak_text_color = Some(TEXT_WEAK);
    visuals.hyperlink_color = ACCENT;
    visuals.faint_bg_color = SURFACE;
    visuals.extreme_bg_color = BACKGROUND;
    visuals.text_edit_bg_color = Some(SURFACE);
    visuals.warn_fg_color = AMBER;
    visuals.error_fg_color = RED;
    visuals.panel_fill = BACKGROUND;
    visuals.window_fill = PANEL;
    visuals.window_stroke = Stroke::new(1.0, OUTLINE);
    visuals.window_corner_radius = CornerRadius::same(CARD_RADIUS);
    visuals.menu_corner_radius = CornerRadius::same(10);
    visuals.window_shadow =
        Shadow { offset: [0, 12], blur: 36, spread: 0, color: Color32::from_black_alpha(120) };
    visuals.popup_shadow =
        Shadow { offset: [0, 6], blur: 20, spread: 0, color: Color32::from_black_alpha(110) };
    visuals.selection.bg_fill = Color32::from_rgb(38, 76, 148);
    visuals.selection.stroke = Stroke::new(1.5, ACCENT);
    let radius = CornerRadius::same(RADIUS);
    let widgets = &mut visuals.widgets;
    for (state, fill, line, text) in [
        (&mut widgets.noninteractive, PANEL, OUTLINE, TEXT),
        (&mut widgets.inactive, SURFACE, Color32::TRANSPARENT, TEXT),
        (&mut widgets.hovered, SURFACE_HOVER, Color32::TRANSPARENT, Color32::WHITE),
        (&mut widgets.active, SURFACE_ACTIVE, ACCENT, Color32::WHITE),
        (&mut widgets.open, SURFACE_HOVER, OUTLINE, TEXT),
    ] {
        state.bg_fill = fill;
        state.weak_bg_fill = fill;
        state.bg_stroke = Stroke::new(1.0, line);
        state.fg_stroke = Stroke::new(1.5, text);
        state.corner_radius = radius;
        state.expansion = 0.0;
    }
    visuals
}
