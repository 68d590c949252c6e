//! The call: the other side's picture as large as it fits, our own in a corner, words where there is no picture,
//! and controls that step back when nobody moves.

use super::actions::Actions;
use super::remote_view::{self, RemoteView};
use super::screen::Screen;
use super::self_view::SelfView;
use super::signal::{self, Signal};
use super::toolbar::{self, Shown};
use super::{bidi, clock, icons, plain, theme, widgets};
use crate::engine::{CallView, Direction, Phase};
use eframe::egui::{
    Align, Align2, Color32, Id, Layout, Rect, RichText, Role, Sense, Ui, UiBuilder, Vec2, WidgetInfo, pos2,
    vec2,
};
use std::time::{Duration, Instant};

/// The controls fade after so long without a movement or a key.
const IDLE: f64 = 3.0;
/// The hint about the muted microphone stands so long after the last word, seconds.
const MUTE_HINT: f64 = 2.5;
/// How often the level meters are, and the hint about the muted microphone is looked for.
const METER_PERIOD: Duration = Duration::from_millis(100);
/// How often the clock is drawn anew.
const CLOCK_PERIOD: Duration = Duration::from_secs(1);

/// What the window remembers of the call on the screen.
#[derive(Default)]
pub(super) struct CallScreen {
    remote_view: RemoteView,
    self_view: SelfView,
    pub(super) signal: Signal,
    /// egui's time of the last movement or key, seconds.
    active_at: f64,
    hovered: bool,
    /// egui's time until which the hint about the muted microphone stands, seconds.
    hint_until: f64,
    /// Messages that waited unread when the controls were drawn last.
    unread: usize,
}

impl CallScreen {
    /// Shows the other side through `screen` where there is one.
    pub(super) fn new(screen: Option<Screen>) -> Self {
        Self { remote_view: RemoteView::new(screen), ..Self::default() }
    }

    /// Fills `ui` with the call.
    pub(super) fn ui(&mut self, ui: &mut Ui, call: &CallView, shown: Shown, actions: &mut Actions) {
        let stage = ui.max_rect();
        // What lies behind was cleared to the stage's colour already: no pixel is painted twice.
        let picture = self.remote_view.refresh(ui.ctx(), call);
        let visible = picture.filter(|_| shows_picture(call));
        let is_visible = visible.is_some();
        match visible {
            Some(picture) => remote_view::ui(ui, stage, picture, call),
            None => words_ui(ui, stage, call),
        }
        if call.phase == Phase::Reconnecting && is_visible {
            reconnecting_ui(ui, stage);
        }
        self.self_view.ui(ui, stage, call);
        // A message that comes shows itself on the chat's button.
        let news = shown.unread > std::mem::replace(&mut self.unread, shown.unread);
        let opacity = self.controls_opacity(ui, news, is_visible && call.phase == Phase::Connected);
        self.controls_ui(ui, stage, call, shown, opacity, actions);
        self.mute_hint_ui(ui, stage, call);
        if call.connected_at.is_some() {
            // Each picture paints the meters anew; where there is none they need a clock of their own.
            let meters = opacity > 0.0 && !is_visible;
            ui.ctx().request_repaint_after(if meters { METER_PERIOD } else { CLOCK_PERIOD });
        }
    }

    fn controls_opacity(&mut self, ui: &Ui, news: bool, may_fade: bool) -> f32 {
        let (now, active) = ui.input(|input| {
            let active = input.pointer.delta() != Vec2::ZERO
                || input.pointer.any_down()
                || !input.keys_down.is_empty();
            (input.time, active)
        });
        if active || news || self.hovered || !may_fade {
            self.active_at = now;
        }
        let left = IDLE - (now - self.active_at);
        if may_fade && left > 0.0 && !self.hovered {
            ui.ctx().request_repaint_after(Duration::from_secs_f64(left + 0.01));
        }
        ui.ctx().animate_bool_with_time(Id::unique("call controls"), left > 0.0, 0.25)
    }

    /// "You are speaking while muted", as long as one does and a little longer.
    fn mute_hint_ui(&mut self, ui: &mut Ui, stage: Rect, call: &CallView) {
        let now = ui.input(|input| input.time);
        let muted = call.microphone_muted && call.has_microphone && call.phase == Phase::Connected;
        if !muted {
            self.hint_until = 0.0;
        } else if call.sound_levels.peek().is_some_and(|levels| levels.speaking) {
            self.hint_until = now + MUTE_HINT;
        }
        if now >= self.hint_until {
            return;
        }
        let words = "Your microphone is off. Hold Space to talk, or press M.";
        let bottom = stage.bottom() - toolbar::HEIGHT - 44.0;
        let plate = Rect::from_center_size(pos2(stage.center().x, bottom), vec2(400.0, 34.0));
        ui.painter().rect_filled(plate, 17.0, Color32::from_rgba_unmultiplied(20, 24, 31, 235));
        let font = theme::strong_font(14.0);
        ui.painter().text(plate.center(), Align2::CENTER_CENTER, words, font, theme::AMBER);
        let response = ui.interact(plate, Id::unique("speaking while muted"), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, words));
    }

    fn controls_ui(
        &mut self,
        ui: &mut Ui,
        stage: Rect,
        call: &CallView,
        shown: Shown,
        opacity: f32,
        actions: &mut Actions,
    ) {
        let top = Rect::from_min_size(stage.min, vec2(stage.width(), 52.0));
        let mut line = ui.new_child(
            UiBuilder::new()
                .max_rect(top.shrink2(vec2(16.0, 8.0)))
                .layout(Layout::left_to_right(Align::Center)),
        );
        // Why nothing is heard stays visible.
        line.set_opacity(if call.remote_microphone_muted { 1.0 } else { opacity });
        self.title_ui(&mut line, call);
        let size = vec2(toolbar::WIDTH, toolbar::HEIGHT);
        let place =
            Rect::from_center_size(pos2(stage.center().x, stage.bottom() - size.y / 2.0 - 16.0), size);
        let mut bar = ui.new_child(UiBuilder::new().max_rect(place));
        bar.set_opacity(opacity);
        self.hovered = toolbar::call_ui(&mut bar, call, shown, actions) || line.ui_contains_pointer();
        if opacity == 0.0 && ui.rect_contains_pointer(stage) {
            ui.ctx().set_cursor_icon(eframe::egui::CursorIcon::None);
        }
    }

    /// Name, duration and signal strength, on a plate so that they can be read on any picture.
    fn title_ui(&self, ui: &mut Ui, call: &CallView) {
        let plate = eframe::egui::Frame::new()
            .fill(Color32::from_rgba_unmultiplied(20, 24, 31, 205))
            .corner_radius(18.0)
            .inner_margin(eframe::egui::Margin::symmetric(14, 6));
        plate.show(ui, |ui| {
            ui.spacing_mut().item_spacing.x = 10.0;
            let (bars, quality) = self.quality(call);
            let (rect, mark) = ui.allocate_exact_size(vec2(20.0, 15.0), Sense::hover());
            let rest = Color32::from_white_alpha(45);
            icons::paint_bars(ui.painter(), rect, bars, signal::color(bars), rest);
            mark.widget_info(|| WidgetInfo::labeled(Role::Label, true, quality));
            mark.on_hover_ui(|ui| self.details_ui(ui, call, quality));
            let name = plain::name(&call.peer);
            let wide = (ui.available_width() - 120.0).clamp(60.0, 360.0);
            ui.scope(|ui| {
                ui.set_max_width(wide);
                bidi::line(ui, &name, theme::strong_font(14.5), Color32::WHITE);
            });
            if call.remote_microphone_muted && call.phase != Phase::Ringing {
                let (rect, mark) = ui.allocate_exact_size(Vec2::splat(16.0), Sense::hover());
                icons::paint(ui.painter(), rect, icons::Icon::MicrophoneOff, theme::RED);
                let words = "The other side's microphone is off";
                mark.widget_info(|| WidgetInfo::labeled(Role::Label, true, words));
                mark.on_hover_text(words);
            }
            if let Some(since) = call.connected_at {
                let text = clock::duration(Instant::now().saturating_duration_since(since));
                ui.label(RichText::new(text).color(theme::TEXT_WEAK));
            }
        });
    }

    /// The bars and what they say. The figures are those of the time when there was a path.
    fn quality(&self, call: &CallView) -> (usize, &'static str) {
        if call.phase == Phase::Reconnecting {
            return (0, "Connection: interrupted");
        }
        let bars = self.signal.bars(&call.stats);
        (bars, signal::words(bars))
    }

    fn details_ui(&self, ui: &mut Ui, call: &CallView, quality: &str) {
        ui.label(RichText::new(quality).font(theme::strong_font(14.0)));
        ui.label(self.signal.details(call));
        if let Some(words) = &call.stats.verification {
            ui.separator();
            widgets::hint(ui, "Read these aloud. If the other side sees the same, nobody listens in:");
            ui.label(RichText::new(plain::message(words)).font(theme::strong_font(14.0)));
        }
    }
}

fn shows_picture(call: &CallView) -> bool {
    match call.phase {
        Phase::Ringing | Phase::Connecting => false,
        Phase::Connected => !call.remote_camera_muted,
        Phase::Reconnecting => true,
    }
}

/// What stands where the picture will be.
fn state_words(call: &CallView) -> &'static str {
    match (call.phase, call.direction) {
        (Phase::Ringing, Direction::Outgoing) => "Ringing…",
        (Phase::Ringing, Direction::Incoming) => "Is calling you…",
        (Phase::Connecting, _) => "Connecting…",
        (Phase::Reconnecting, _) => "Reconnecting…",
        (Phase::Connected, _) if call.remote_camera_muted => "Camera is off",
        (Phase::Connected, _) => "Waiting for the picture…",
    }
}

fn words_ui(ui: &mut Ui, stage: Rect, call: &CallView) {
    ui.painter().rect_filled(stage, 0.0, theme::BACKGROUND);
    let diameter = (stage.height() * 0.24).clamp(64.0, 148.0);
    let above = stage.center().y - diameter / 2.0 - 44.0;
    let column = Rect::from_min_max(pos2(stage.left(), above.max(stage.top() + 8.0)), stage.max);
    let mut ui = ui.new_child(
        UiBuilder::new().max_rect(column.shrink2(vec2(24.0, 0.0))).layout(Layout::top_down(Align::Center)),
    );
    widgets::avatar(&mut ui, &call.peer, diameter);
    ui.add_space(10.0);
    bidi::line(&mut ui, &plain::name(&call.peer), theme::strong_font(22.0), Color32::WHITE);
    ui.label(RichText::new(state_words(call)).font(theme::text_font(16.0)).color(theme::TEXT_WEAK));
}

fn reconnecting_ui(ui: &mut Ui, stage: Rect) {
    ui.painter().rect_filled(stage, 0.0, Color32::from_black_alpha(150));
    let words = "Reconnecting…";
    let plate = Rect::from_center_size(stage.center(), vec2(190.0, 46.0));
    ui.painter().rect_filled(plate, 23.0, Color32::from_rgba_unmultiplied(20, 24, 31, 235));
    ui.painter().text(plate.center(), Align2::CENTER_CENTER, words, theme::strong_font(17.0), theme::AMBER);
    let response = ui.interact(plate, Id::unique("reconnecting"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, words));
}
