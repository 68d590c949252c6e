//! What asks or tells the user something in the middle of the window: the ringing card, the engine's question, the
//! kind refusals, how a call ended, and the help.

use super::actions::{Actions, Change};
use super::widgets::{self, Tone};
use super::{bidi, clock, keys, plain, theme};
use crate::engine::{CallView, Direction, EndedCall, Intent, Phase, Question, Snapshot};
use eframe::egui::{
    Align, Color32, Context, Frame, Grid, Id, Label, Layout, Margin, Modal, RichText, Stroke, Ui, vec2,
};

/// Why a click on a name does not call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A call is open already; with whom.
    AlreadyInCall(String),
    /// It is the user's own name.
    Yourself,
    /// We are not online.
    Offline,
}

impl Refusal {
    fn words(&self) -> String {
        match self {
            Self::AlreadyInCall(peer) => format!(
                "You can't start a call because you already have one open, with {}. Hang up first.",
                plain::name(peer)
            ),
            Self::Yourself => "I'm afraid I can't let you talk to yourself. That would be weird.".into(),
            Self::Offline => {
                "The server cannot be reached at the moment. Try again once you are online.".into()
            }
        }
    }
}

fn modal(name: &str) -> Modal {
    Modal::new(Id::unique(name)).backdrop_color(Color32::from_black_alpha(150)).frame(
        Frame::new()
            .fill(theme::PANEL)
            .stroke(Stroke::new(1.0, theme::OUTLINE))
            .corner_radius(theme::CARD_RADIUS)
            .inner_margin(Margin::same(24)),
    )
}

/// The call that rings here, if one does.
pub(super) fn incoming(snapshot: &Snapshot) -> Option<&CallView> {
    let call = snapshot.call.as_ref()?;
    (call.phase == Phase::Ringing && call.direction == Direction::Incoming).then_some(call)
}

/// "X is calling", with three ways to react.
pub(super) fn ringing_ui(ctx: &Context, call: &CallView, actions: &mut Actions) {
    let name = plain::name(&call.peer);
    modal("ringing").show(ctx, |ui| {
        ui.set_width(400.0);
        ui.vertical_centered(|ui| {
            ui.add_space(6.0);
            widgets::avatar(ui, &call.peer, 96.0);
            ui.add_space(10.0);
            bidi::sentence(ui, &format!("{name} is calling."), theme::strong_font(20.0), Color32::WHITE);
            ui.label(RichText::new("Would you like to answer?").color(theme::TEXT_WEAK));
        });
        ui.add_space(18.0);
        ui.horizontal(|ui| {
            let rest = ui.available_width() - 2.0 * theme::GAP;
            let height = 42.0;
            if widgets::text_button_sized(ui, "Decline", Tone::Stop, vec2(rest * 0.26, height)).clicked() {
                actions.send(Intent::Decline);
            }
            let without = "Answer without video";
            if widgets::text_button_sized(ui, without, Tone::Plain, vec2(rest * 0.46, height)).clicked() {
                actions.send(Intent::Answer { video: false });
            }
            let width = ui.available_width();
            if widgets::text_button_sized(ui, "Answer", Tone::Go, vec2(width, height)).clicked() {
                actions.send(Intent::Answer { video: true });
            }
        });
    });
}

/// A question of the engine.
pub(super) fn question_ui(ctx: &Context, question: &Question, actions: &mut Actions) {
    let Question::WatchOnly { peer } = question;
    modal("question").show(ctx, |ui| {
        ui.set_width(420.0);
        let title = RichText::new("No camera, no microphone").font(theme::strong_font(18.0));
        ui.label(title.color(Color32::WHITE));
        ui.add_space(4.0);
        let words = "Unable to open your call because no camera and/or microphone were found.";
        ui.add(Label::new(words).wrap());
        let more = format!("You can still watch and listen to {}.", plain::name(peer));
        bidi::sentence(ui, &more, theme::text_font(14.5), theme::TEXT_WEAK);
        ui.add_space(14.0);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if widgets::text_button(ui, "Join and only watch", Tone::Primary).clicked() {
                actions.send(Intent::Reply(true));
            }
            if widgets::text_button(ui, "Cancel", Tone::Plain).clicked() {
                actions.send(Intent::Reply(false));
            }
        });
    });
}

/// Says kindly why not; true once it was read.
pub(super) fn refusal_ui(ctx: &Context, refusal: &Refusal) -> bool {
    let response = modal("refusal").show(ctx, |ui| {
        ui.set_width(380.0);
        ui.add(Label::new(RichText::new(refusal.words()).font(theme::text_font(15.5))).wrap());
        ui.add_space(14.0);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let button =
                widgets::text_button_sized(ui, "OK", Tone::Primary, vec2(88.0, theme::BUTTON_HEIGHT));
            button.clicked()
        })
        .inner
    });
    response.inner || response.should_close()
}

/// The keys; true if it is to be closed.
pub(super) fn help_ui(ctx: &Context) -> bool {
    let response = modal("help").show(ctx, |ui| {
        ui.set_width(420.0);
        ui.label(RichText::new("Keys").font(theme::strong_font(20.0)).color(Color32::WHITE));
        ui.add_space(6.0);
        Grid::new("keys").num_columns(2).spacing(vec2(20.0, 9.0)).show(ui, |ui| {
            for (key, words) in keys::HELP {
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| key_ui(ui, key));
                ui.label(RichText::new(*words).color(theme::TEXT));
                ui.end_row();
            }
        });
        ui.add_space(10.0);
        widgets::hint(ui, "Click a name to call. While you type, keys only type.");
        ui.add_space(8.0);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            widgets::text_button(ui, "Close", Tone::Plain).clicked()
        })
        .inner
    });
    response.inner || response.should_close()
}

fn key_ui(ui: &mut Ui, key: &str) {
    Frame::new().fill(theme::SURFACE_HOVER).corner_radius(5).inner_margin(Margin::symmetric(8, 3)).show(
        ui,
        |ui| {
            ui.label(RichText::new(key).font(theme::strong_font(12.5)).color(Color32::WHITE));
        },
    );
}

/// How the last call ended, as a band above the chat.
pub(super) fn ended_ui(ui: &mut Ui, ended: &EndedCall, may_call: bool, actions: &mut Actions) {
    Frame::new().fill(theme::SURFACE).corner_radius(10).inner_margin(Margin::symmetric(14, 10)).show(
        ui,
        |ui| {
            ui.horizontal(|ui| {
                widgets::avatar(ui, &ended.peer, 38.0);
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let close = widgets::icon_button(
                        ui,
                        super::icons::Icon::Close,
                        "Dismiss how the call ended",
                        Tone::Quiet,
                        28.0,
                    );
                    if close.clicked() {
                        actions.change(Change::DismissEnded);
                    }
                    let again = ui
                        .add_enabled_ui(may_call, |ui| widgets::text_button(ui, "Call again", Tone::Plain))
                        .inner;
                    if again.clicked() {
                        actions.change(Change::Call(ended.peer.clone()));
                    }
                    ui.with_layout(Layout::top_down(Align::Min), |ui| ended_words_ui(ui, ended));
                });
            });
        },
    );
}

fn ended_words_ui(ui: &mut Ui, ended: &EndedCall) {
    ui.spacing_mut().item_spacing.y = 2.0;
    let reason = RichText::new(plain::message(&ended.reason)).font(theme::strong_font(14.5));
    ui.add(Label::new(reason.color(theme::TEXT)).wrap());
    let name = plain::name(&ended.peer);
    let words = match ended.duration {
        Some(length) => format!("Call with {name}, {}", clock::duration(length)),
        None => format!("Call with {name}"),
    };
    bidi::line(ui, &words, theme::text_font(12.0), theme::TEXT_WEAK);
}
