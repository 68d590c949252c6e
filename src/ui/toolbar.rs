//! The row of round buttons along the bottom, with the red one.

use super::actions::{Actions, Change};
use super::icons::Icon;
use super::theme;
use super::widgets::{self, Tone};
use crate::engine::{CallView, Direction, Intent, MAX_VOLUME, Phase, Snapshot, SoundLevels};
use eframe::egui::{Align, Color32, Frame, Layout, Margin, Popup, Rect, Response, Slider, Ui, vec2};

const BUTTON: f32 = 44.0;
/// Height of the bar over a call, points.
pub(super) const HEIGHT: f32 = BUTTON + 16.0;
/// Width of the bar over a call, points: nine buttons, their gaps, the margins and the rule.
pub(super) const WIDTH: f32 = 9.0 * BUTTON + 8.0 * theme::GAP + 44.0;

/// What is open beside the call.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    pub(super) chat: bool,
    pub(super) people: bool,
    pub(super) fullscreen: bool,
    /// Chat lines that were not seen yet.
    pub(super) unread: usize,
}

/// Whether there is something to hang up: a call of ours, or one that we have answered.
pub(super) fn can_hang_up(snapshot: &Snapshot) -> bool {
    snapshot
        .call
        .as_ref()
        .is_some_and(|call| call.direction == Direction::Outgoing || call.phase != Phase::Ringing)
}

/// The buttons under the list of people, when no call is open.
pub(super) fn idle_ui(ui: &mut Ui, snapshot: &Snapshot, actions: &mut Actions) {
    ui.horizontal(|ui| {
        if widgets::icon_button(ui, Icon::Settings, "Settings", Tone::Quiet, 38.0).clicked() {
            actions.change(Change::ToggleSettings);
        }
        if widgets::icon_button(ui, Icon::Help, "Keys and help", Tone::Quiet, 38.0).clicked() {
            actions.change(Change::ToggleHelp);
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.add_enabled_ui(can_hang_up(snapshot), |ui| {
                let button = widgets::icon_button(ui, Icon::HangUp, "Hang up", Tone::Stop, 42.0);
                if button.clicked() {
                    actions.send(Intent::HangUp);
                }
            });
        });
    });
}

/// The bar over a call; the caller gives it a place of [`WIDTH`] × [`HEIGHT`]. True if the pointer is on it.
pub(super) fn call_ui(ui: &mut Ui, call: &CallView, shown: Shown, actions: &mut Actions) -> bool {
    let frame = Frame::new()
        .fill(Color32::from_rgba_unmultiplied(20, 24, 31, 225))
        .corner_radius(HEIGHT / 2.0)
        .inner_margin(Margin::symmetric(12, 8));
    let bar = frame.show(ui, |ui| {
        ui.spacing_mut().item_spacing = vec2(theme::GAP, 0.0);
        ui.horizontal(|ui| {
            media_ui(ui, call, actions);
            views_ui(ui, shown, actions);
            ui.add_space(theme::GAP);
            if widgets::icon_button(ui, Icon::HangUp, "Hang up", Tone::Stop, BUTTON).clicked() {
                actions.send(Intent::HangUp);
            }
        });
    });
    bar.response.contains_pointer()
}

fn media_ui(ui: &mut Ui, call: &CallView, actions: &mut Actions) {
    let levels = call.sound_levels.peek().unwrap_or_default();
    ui.add_enabled_ui(call.has_microphone, |ui| {
        let (icon, label, tone) = match (call.has_microphone, call.microphone_muted) {
            (false, _) => (Icon::MicrophoneOff, "No microphone", Tone::Plain),
            (true, true) => (Icon::MicrophoneOff, "Unmute microphone", Tone::Stop),
            (true, false) => (Icon::Microphone, "Mute microphone", Tone::Plain),
        };
        let button = widgets::icon_button(ui, icon, label, tone, BUTTON);
        if call.has_microphone && !call.microphone_muted {
            meter_ui(ui, &button, levels.microphone);
        }
        if button.clicked() {
            actions.send(Intent::MuteMicrophone(!call.microphone_muted));
        }
    });
    speaker_ui(ui, call, levels, actions);
    ui.add_enabled_ui(call.has_camera, |ui| {
        let (icon, label, tone) = match (call.has_camera, call.camera_muted) {
            (false, _) => (Icon::CameraOff, "No camera", Tone::Plain),
            (true, true) => (Icon::CameraOff, "Turn camera on", Tone::Stop),
            (true, false) => (Icon::Camera, "Turn camera off", Tone::Plain),
        };
        if widgets::icon_button(ui, icon, label, tone, BUTTON).clicked() {
            actions.send(Intent::MuteCamera(!call.camera_muted));
        }
    });
}

/// The level of the last 100 ms at a button's right edge.
fn meter_ui(ui: &Ui, button: &Response, level: f32) {
    let rect = button.rect;
    let center = rect.center() + vec2(rect.width() * 0.33, 0.0);
    widgets::paint_level(ui.painter(), Rect::from_center_size(center, vec2(3.0, rect.height() * 0.4)), level);
}

/// How loud the other side is: seen at the button, set behind it.
fn speaker_ui(ui: &mut Ui, call: &CallView, levels: SoundLevels, actions: &mut Actions) {
    let button = widgets::icon_button(ui, Icon::Speaker, "Volume", Tone::Plain, BUTTON);
    meter_ui(ui, &button, levels.speaker);
    Popup::menu(&button).show(|ui| {
        ui.set_min_width(190.0);
        let mut percent = call.volume * 100.0;
        let slider = Slider::new(&mut percent, 0.0..=MAX_VOLUME * 100.0).fixed_decimals(0).suffix(" %");
        let label = ui.label("Volume of the other side");
        if ui.add(slider).labelled_by(label.id).changed() {
            actions.send(Intent::SetVolume(percent / 100.0));
        }
    });
}

fn views_ui(ui: &mut Ui, shown: Shown, actions: &mut Actions) {
    let chat = if shown.chat { "Hide chat" } else { "Show chat" };
    let people = if shown.people { "Hide people" } else { "Show people" };
    let screen = if shown.fullscreen { "Leave full screen" } else { "Full screen" };
    let screen_icon = if shown.fullscreen { Icon::Shrink } else { Icon::Expand };
    for (icon, label, on, change) in [
        (Icon::People, people, shown.people, Change::TogglePeople),
        (Icon::Chat, chat, shown.chat, Change::ToggleChat),
        (Icon::Settings, "Settings", false, Change::ToggleSettings),
        (screen_icon, screen, false, Change::ToggleFullscreen),
        (Icon::Help, "Keys and help", false, Change::ToggleHelp),
    ] {
        let tone = if on { Tone::Plain } else { Tone::Quiet };
        let button = widgets::icon_button(ui, icon, label, tone, BUTTON);
        if icon == Icon::Chat && shown.unread > 0 {
            let place = button.rect.right_top() + vec2(-9.0, 9.0);
            ui.painter().circle_filled(place, 5.0, theme::ACCENT);
        }
        if button.clicked() {
            actions.change(change);
        }
    }
}
