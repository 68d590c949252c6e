//! The first screen: under which name, on which server.

use super::actions::Actions;
use super::widgets::{self, Tone};
use super::{icons, theme};
use crate::engine::{Connection, Intent, Snapshot};
use eframe::egui::{Align, Frame, Key, Layout, Margin, Response, RichText, Stroke, TextEdit, Ui, vec2};

/// Characters of a name that the field takes.
const NAME_CHARS: usize = 40;
/// Characters of a server address that the field takes; DNS names end at 253 (RFC 1035 section 2.3.4).
const SERVER_CHARS: usize = 300;
const CARD_WIDTH: f32 = 380.0;

/// The drafts of the two fields.
#[derive(Default)]
pub(super) struct SignIn {
    name: String,
    server: String,
    filled: bool,
}

impl SignIn {
    pub(super) fn ui(&mut self, ui: &mut Ui, snapshot: &Snapshot, actions: &mut Actions) {
        if !self.filled {
            self.filled = true;
            self.name = first_filled([snapshot.settings.name.clone(), user_name()]);
            self.server = snapshot.settings.server.clone();
        }
        let above = ((ui.available_height() - 430.0) / 2.0).max(12.0);
        ui.add_space(above);
        ui.vertical_centered(|ui| {
            ui.set_max_width(CARD_WIDTH);
            let (mark, _) = ui.allocate_exact_size(vec2(64.0, 64.0), eframe::egui::Sense::hover());
            icons::paint_mark(ui.painter(), mark);
            ui.add_space(4.0);
            ui.label(RichText::new("Ahoy").font(theme::strong_font(28.0)).color(theme::TEXT));
            ui.label(RichText::new("Video calls, from this machine to anyone's.").color(theme::TEXT_WEAK));
            ui.add_space(theme::GROUP_GAP);
            Frame::new()
                .fill(theme::PANEL)
                .stroke(Stroke::new(1.0, theme::OUTLINE))
                .corner_radius(theme::CARD_RADIUS)
                .inner_margin(Margin::same(22))
                .show(ui, |ui| {
                    ui.with_layout(Layout::top_down(Align::Min), |ui| self.form_ui(ui, snapshot, actions));
                });
        });
    }

    fn form_ui(&mut self, ui: &mut Ui, snapshot: &Snapshot, actions: &mut Actions) {
        ui.set_width(ui.available_width());
        let connecting = matches!(snapshot.connection, Connection::Connecting { .. });
        let mut entered = false;
        ui.add_enabled_ui(!connecting, |ui| {
            let name = field(ui, "Your name", &mut self.name, NAME_CHARS, "How others see you");
            ui.add_space(6.0);
            let server = field(ui, "Server", &mut self.server, SERVER_CHARS, "This machine");
            widgets::hint(ui, "Empty: on this machine. Or the address that somebody gave you.");
            entered = [&name, &server].iter().any(|field| field.lost_focus())
                && ui.input(|input| input.key_pressed(Key::Enter));
        });
        ui.add_space(10.0);
        if connecting {
            self.connecting_ui(ui, snapshot, actions);
            return;
        }
        let name = self.name.trim();
        let width = ui.available_width();
        let clicked = ui
            .add_enabled_ui(!name.is_empty(), |ui| {
                widgets::text_button_sized(ui, "Join", Tone::Primary, vec2(width, 42.0))
                    .on_disabled_hover_text("Enter your name first")
                    .clicked()
            })
            .inner;
        if (clicked || entered) && !name.is_empty() {
            actions.send(Intent::SignIn { name: name.into(), server: self.server.trim().into() });
        }
    }

    fn connecting_ui(&self, ui: &mut Ui, snapshot: &Snapshot, actions: &mut Actions) {
        if let Connection::Connecting { server } = &snapshot.connection {
            let server = super::plain::name(server);
            ui.label(RichText::new(format!("Connecting to {server}…")).color(theme::TEXT_WEAK));
        }
        let size = vec2(ui.available_width(), 42.0);
        if widgets::text_button_sized(ui, "Cancel", Tone::Plain, size).clicked() {
            actions.send(Intent::SignOut);
        }
    }
}

/// A field with its label above.
fn field(ui: &mut Ui, label: &str, text: &mut String, limit: usize, hint: &'static str) -> Response {
    let label = ui.label(RichText::new(label).font(theme::strong_font(13.0)).color(theme::TEXT));
    let edit = TextEdit::singleline(text)
        .char_limit(limit)
        .desired_width(f32::INFINITY)
        .margin(Margin::symmetric(12, 10))
        .hint_text(hint);
    ui.add(edit).labelled_by(label.id)
}

fn first_filled(candidates: [String; 2]) -> String {
    candidates.into_iter().find(|name| !name.trim().is_empty()).unwrap_or_default()
}

/// The name of the account that runs this program.
fn user_name() -> String {
    ["USER", "USERNAME", "LOGNAME"]
        .iter()
        .find_map(|variable| std::env::var(variable).ok().filter(|name| !name.is_empty()))
        .unwrap_or_default()
}
