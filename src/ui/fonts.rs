//! Fonts: the family names that the theme uses.

use super::theme;
use eframe::egui::{Context, FontDefinitions, FontFamily};

/// Defines the families of the theme.
pub(super) fn install(ctx: &Context) {
    let mut fonts = FontDefinitions::default();
    let proportional = fonts.families.get(&FontFamily::Proportional).cloned().unwrap_or_default();
    fonts.families.insert(theme::strong_family(), proportional);
    ctx.set_fonts(fonts);
}

/// Adds the fonts of the system.
pub(super) fn add_system_fonts(_ctx: &Context) {}
