//! Who is there: the list at the left. A click on a name calls.

use super::actions::{Actions, Change};
use super::icons::{self, Icon};
use super::widgets::{self, Tone};
use super::{bidi, plain, theme};
use crate::engine::{Connection, Direction, Intent, Phase, Snapshot};
use eframe::egui::{
    Align, Layout, Rect, RichText, Role, ScrollArea, Sense, Ui, UiBuilder, Vec2, WidgetInfo, pos2, vec2,
};

/// The contact that sends back what it gets.
pub(super) const ECHO: &str = "Echo";
const ECHO_HINT: &str = "call me to test your camera and microphone";
const ROW_HEIGHT: f32 = 56.0;
const AVATAR: f32 = 36.0;

/// The name that we are online under.
pub(super) fn own_name(snapshot: &Snapshot) -> Option<&str> {
    match &snapshot.connection {
        Connection::Online { name, .. } => Some(name),
        _ => None,
    }
}

/// The whole list with its head.
pub(super) fn ui(ui: &mut Ui, snapshot: &Snapshot, actions: &mut Actions) {
    head_ui(ui, snapshot, actions);
    ui.add_space(10.0);
    let count = snapshot.users.len();
    let own = own_name(snapshot);
    let title = match (own, count) {
        // Who is there is not known.
        (None, 0) => "Waiting for the server".into(),
        (_, 1) => "1 person online".into(),
        _ => format!("{count} people online"),
    };
    widgets::hint(ui, title);
    ScrollArea::vertical().id_salt("people").auto_shrink([false, false]).show_rows(
        ui,
        ROW_HEIGHT,
        count,
        |ui, rows| {
            for index in rows {
                if let Some(name) = snapshot.users.get(index) {
                    row_ui(ui, name, own == Some(name), snapshot, actions);
                }
            }
        },
    );
}

fn head_ui(ui: &mut Ui, snapshot: &Snapshot, actions: &mut Actions) {
    ui.horizontal(|ui| {
        let name = own_name(snapshot).unwrap_or(&snapshot.settings.name);
        widgets::avatar(ui, name, 40.0);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let sign_out = widgets::icon_button(ui, Icon::SignOut, "Sign out", Tone::Quiet, 32.0);
            if sign_out.clicked() {
                actions.send(Intent::SignOut);
            }
            ui.with_layout(Layout::top_down(Align::Min), |ui| {
                ui.spacing_mut().item_spacing.y = 1.0;
                ui.add_space(3.0);
                bidi::line(ui, &plain::name(name), theme::strong_font(15.0), theme::TEXT);
                let (text, color, more) = status(&snapshot.connection);
                let line = RichText::new(text).small().color(color);
                ui.add(eframe::egui::Label::new(line).truncate()).on_hover_text(more);
            });
        });
    });
}

/// Words, colour and tooltip for where we stand with the server.
fn status(connection: &Connection) -> (String, eframe::egui::Color32, String) {
    match connection {
        Connection::Online { server, hosting, .. } => {
            let words = match hosting {
                Some(hosting) if hosting.for_others => "Online · hosting",
                Some(_) => "Online · this machine",
                None => "Online",
            };
            (words.into(), theme::GREEN, plain::name(server))
        }
        Connection::Reconnecting { server, reason } => {
            ("Reconnecting…".into(), theme::AMBER, plain::message(&format!("{server}: {reason}")))
        }
        Connection::Connecting { server } => ("Connecting…".into(), theme::AMBER, plain::name(server)),
        Connection::SignedOut => ("Offline".into(), theme::TEXT_WEAK, "Not signed in".into()),
    }
}

fn row_ui(ui: &mut Ui, name: &str, own: bool, snapshot: &Snapshot, actions: &mut Actions) {
    let size = vec2(ui.available_width(), ROW_HEIGHT - ui.spacing().item_spacing.y);
    let (rect, row) = ui.allocate_exact_size(size, Sense::click());
    let shown = plain::name(name);
    let label = if own { format!("{shown} (you)") } else { format!("Call {shown}") };
    row.widget_info(|| WidgetInfo::labeled(Role::Button, true, &label));
    if !ui.is_rect_visible(rect) {
        return;
    }
    let under_pointer = row.contains_pointer() || row.has_focus();
    if under_pointer {
        ui.painter().rect_filled(rect, theme::RADIUS, theme::SURFACE);
    }
    let center = pos2(rect.left() + 8.0 + AVATAR / 2.0, rect.center().y);
    widgets::paint_avatar(ui.painter(), center, name, AVATAR);
    let buttons = if own || !under_pointer { 0.0 } else { 72.0 };
    words_ui(ui, rect, &shown, second_line(name, own, snapshot), buttons);
    let row = row.on_hover_text(hover_text(name, own));
    let mut private = false;
    if under_pointer && !own {
        private = private_ui(ui, rect, &shown);
    }
    row.context_menu(|ui| {
        if !own && ui.button("Send a private message").clicked() {
            actions.change(Change::WriteTo(Some(name.into())));
        }
        if ui.button("Copy the name").clicked() {
            ui.ctx().copy_text(name.into());
        }
    });
    if private {
        actions.change(Change::WriteTo(Some(name.into())));
    } else if row.clicked() {
        actions.change(Change::Call(name.into()));
    }
}

fn hover_text(name: &str, own: bool) -> String {
    let name = plain::message(name);
    if own { format!("{name}: this is you") } else { format!("Call {name}") }
}

fn second_line(name: &str, own: bool, snapshot: &Snapshot) -> Option<(&'static str, eframe::egui::Color32)> {
    let call = snapshot.call.as_ref().filter(|call| call.peer == name);
    if own {
        Some(("you", theme::TEXT_WEAK))
    } else if let Some(call) = call {
        let words = match (call.phase, call.direction) {
            (Phase::Ringing, Direction::Incoming) => "is calling you",
            (Phase::Ringing, Direction::Outgoing) => "ringing…",
            (Phase::Connecting | Phase::Connected | Phase::Reconnecting, _) => "in a call with you",
        };
        Some((words, theme::GREEN))
    } else if name == ECHO {
        Some((ECHO_HINT, theme::TEXT_WEAK))
    } else {
        None
    }
}

fn words_ui(
    ui: &mut Ui,
    row: Rect,
    name: &str,
    second: Option<(&'static str, eframe::egui::Color32)>,
    buttons: f32,
) {
    let left = row.left() + AVATAR + 20.0;
    let words = Rect::from_min_max(pos2(left, row.top()), pos2(row.right() - 6.0 - buttons, row.bottom()));
    let mut column = ui.new_child(UiBuilder::new().max_rect(words).layout(Layout::top_down(Align::Min)));
    column.spacing_mut().item_spacing.y = 0.0;
    // Two lines of second rank fit as well: the Echo contact explains itself in two.
    column.add_space(match second {
        Some((words, _)) if words.len() > 24 => 0.0,
        Some(_) => 6.0,
        None => 14.0,
    });
    let label = |text: RichText| eframe::egui::Label::new(text).truncate().selectable(false);
    let shown = bidi::words(&column, name, theme::text_font(14.5), theme::TEXT, f32::INFINITY);
    column.add(eframe::egui::Label::new(shown).truncate().selectable(false));
    if let Some((text, color)) = second {
        let words = RichText::new(text).font(theme::text_font(11.5)).color(color);
        // With the buttons beside them, words that wrapped would leave the row.
        let words = if buttons > 0.0 {
            label(words)
        } else {
            eframe::egui::Label::new(words).wrap().selectable(false)
        };
        column.add(words);
    }
}

/// The actions of a row at its right; true if a private message is wanted.
fn private_ui(ui: &mut Ui, row: Rect, name: &str) -> bool {
    let phone = Rect::from_center_size(pos2(row.right() - 20.0, row.center().y), Vec2::splat(16.0));
    icons::paint(ui.painter(), phone, Icon::Phone, theme::GREEN);
    let place = Rect::from_center_size(pos2(row.right() - 50.0, row.center().y), Vec2::splat(30.0));
    let mut child = ui.new_child(UiBuilder::new().max_rect(place));
    let label = format!("Message {name} privately");
    widgets::icon_button(&mut child, Icon::Chat, &label, Tone::Plain, 28.0).clicked()
}
