//! The settings.

use super::actions::Actions;
use crate::engine::Snapshot;
use eframe::egui::Context;

/// Drafts of the settings.
#[derive(Default)]
pub(super) struct SettingsWindow {}

impl SettingsWindow {
    /// Draws it; true if it is to be closed.
    pub(super) fn ui(&mut self, _ctx: &Context, _snapshot: &Snapshot, _actions: &mut Actions) -> bool {
        false
    }
}
