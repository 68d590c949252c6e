//! Notices of the engine, as cards at the top right: information leaves by itself, errors stay until dismissed.

use super::actions::Actions;
use super::icons::Icon;
use super::widgets::{self, Tone};
use super::{plain, theme};
use crate::engine::{Intent, Notice, Severity, Snapshot};
use eframe::egui::{
    Align, Align2, Area, Color32, Context, Frame, Id, Label, Layout, Margin, Order, RichText, Stroke, vec2,
};
use std::collections::HashMap;
use std::time::Duration;

/// Cards on the screen at a time; older ones wait behind, newest last.
const SHOWN: usize = 4;
const WIDTH: f32 = 340.0;

/// When each notice was first seen, egui's seconds.
#[derive(Default)]
pub(super) struct Notices {
    since: HashMap<u64, f64>,
}

/// How long a notice stays, seconds.
fn lifetime(severity: Severity) -> Option<f64> {
    match severity {
        Severity::Info => Some(6.0),
        Severity::Warning => Some(12.0),
        Severity::Error => None,
    }
}

impl Notices {
    pub(super) fn ui(&mut self, ctx: &Context, snapshot: &Snapshot, actions: &mut Actions) {
        let now = ctx.input(|input| input.time);
        self.since.retain(|number, _| snapshot.notices.iter().any(|notice| notice.number == *number));
        let mut live: Vec<&Notice> = Vec::new();
        for notice in snapshot.notices.iter() {
            let since = *self.since.entry(notice.number).or_insert(now);
            match lifetime(notice.severity) {
                Some(lifetime) if now - since >= lifetime => {
                    // Dismissed once: an infinite start marks it as gone while the engine has not heard yet.
                    if since.is_finite() {
                        self.since.insert(notice.number, f64::NEG_INFINITY);
                        actions.send(Intent::DismissNotice(notice.number));
                    }
                    continue;
                }
                Some(lifetime) => {
                    let left = (lifetime - (now - since)).max(0.01);
                    ctx.request_repaint_after(Duration::from_secs_f64(left));
                }
                None if since == f64::NEG_INFINITY => continue,
                None => {}
            }
            live.push(notice);
        }
        let shown = live.len().saturating_sub(SHOWN);
        if live.is_empty() {
            return;
        }
        // Where they cover least: above the field to write in, or in a call away from our own picture.
        let (corner, offset) = if snapshot.call.is_some() {
            (Align2::RIGHT_TOP, vec2(-16.0, 16.0))
        } else {
            (Align2::RIGHT_BOTTOM, vec2(-28.0, -92.0))
        };
        let area = Area::new(Id::unique("notices")).order(Order::Tooltip).anchor(corner, offset);
        area.show(ctx, |ui| {
            ui.set_width(WIDTH);
            for notice in live.drain(shown..) {
                if card_ui(ui, notice) {
                    self.since.insert(notice.number, f64::NEG_INFINITY);
                    actions.send(Intent::DismissNotice(notice.number));
                }
            }
        });
    }
}

/// One card; true if it was dismissed.
fn card_ui(ui: &mut eframe::egui::Ui, notice: &Notice) -> bool {
    let color: Color32 = match notice.severity {
        Severity::Info => theme::ACCENT,
        Severity::Warning => theme::AMBER,
        Severity::Error => theme::RED,
    };
    let frame = Frame::new()
        .fill(theme::SURFACE)
        .stroke(Stroke::new(1.0, theme::SURFACE_ACTIVE))
        .shadow(ui.visuals().popup_shadow)
        .corner_radius(10)
        .inner_margin(Margin { left: 18, right: 8, top: 8, bottom: 8 });
    let mut dismissed = false;
    let card = frame.show(ui, |ui| {
        ui.with_layout(Layout::right_to_left(Align::Min), |ui| {
            dismissed = widgets::icon_button(ui, Icon::Close, "Dismiss", Tone::Quiet, 24.0).clicked();
            ui.with_layout(Layout::top_down(Align::Min), |ui| {
                ui.add_space(3.0);
                ui.add(Label::new(RichText::new(plain::message(&notice.text)).color(theme::TEXT)).wrap());
                ui.add_space(3.0);
            });
        });
    });
    let rect = card.response.rect;
    let stripe = eframe::egui::Rect::from_min_max(
        rect.min + vec2(7.0, 9.0),
        eframe::egui::pos2(rect.left() + 10.0, rect.bottom() - 9.0),
    );
    ui.painter().rect_filled(stripe, 1.5, color);
    dismissed
}
