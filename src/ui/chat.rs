//! The chat: what was said, and the field to say something.
//!
//! Only the lines on the screen are laid out; the heights of the others are known or estimated, see [`Heights`].

use super::actions::{Actions, Change};
use super::icons::Icon;
use super::people::own_name;
use super::widgets::{self, Tone};
use super::{bidi, clock, plain, theme};
use crate::engine::{ChatLine, Intent, Snapshot};
use eframe::egui::{
    Align, Frame, Id, Key, KeyboardShortcut, Layout, Margin, Modifiers, Rect, RichText, ScrollArea, Stroke,
    StrokeKind, TextEdit, Ui, UiBuilder, pos2, vec2,
};
use std::sync::Arc;
use std::time::Duration;

/// Characters that a message may have.
pub(super) const MESSAGE_CHARS: usize = 4000;
/// The remaining characters are shown from here on.
const COUNT_FROM: usize = MESSAGE_CHARS - 500;
/// Lines of the same sender within so long stand together under one head.
const TOGETHER: Duration = Duration::from_secs(300);
/// Free room under the newest line, points.
const BELOW_LAST: f32 = 10.0;
const AVATAR: f32 = 32.0;
const TEXT_LEFT: f32 = AVATAR + 12.0;

/// Drafts, and what is known of the lines' heights.
#[derive(Default)]
pub(super) struct Chat {
    draft: String,
    to: Option<String>,
    heights: Heights,
    focus: bool,
    /// Lines seen, counted by the newest line's identity.
    seen: Option<Arc<Vec<ChatLine>>>,
    pub(super) unread: usize,
}

impl Chat {
    /// Addresses the next messages.
    pub(super) fn write_to(&mut self, to: Option<String>) {
        self.to = to;
        self.focus = true;
    }

    /// Counts the lines that come while the chat is hidden.
    pub(super) fn handle_lines(&mut self, lines: &Arc<Vec<ChatLine>>, visible: bool) {
        let known = self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, lines));
        if visible {
            self.unread = 0;
        } else if !known {
            let last = self.seen.as_ref().and_then(|seen| seen.last());
            let new = lines
                .iter()
                .rev()
                .take_while(|line| Some(*line) != last)
                .filter(|line| !line.from.is_empty());
            self.unread += new.count();
        }
        if !known {
            self.seen = Some(Arc::clone(lines));
        }
    }

    /// The whole pane.
    pub(super) fn ui(&mut self, ui: &mut Ui, snapshot: &Snapshot, actions: &mut Actions) {
        let whole = ui.available_rect_before_wrap();
        let rows = self.draft.lines().count().clamp(1, 5) as f32;
        let below = 50.0 + (rows - 1.0) * 20.0 + if self.to.is_some() || self.is_long() { 26.0 } else { 0.0 };
        let split = (whole.bottom() - below).max(whole.top());
        let lines = Rect::from_min_max(whole.min, pos2(whole.right(), split));
        let input = Rect::from_min_max(pos2(whole.left(), split), whole.max);
        let mut upper = ui.new_child(UiBuilder::new().max_rect(lines));
        self.lines_ui(&mut upper, snapshot);
        let mut lower = ui.new_child(UiBuilder::new().max_rect(input).layout(Layout::top_down(Align::Min)));
        self.input_ui(&mut lower, actions);
        ui.advance_cursor_after_rect(whole);
    }

    fn is_long(&self) -> bool {
        self.draft.chars().count() > COUNT_FROM
    }

    fn lines_ui(&mut self, ui: &mut Ui, snapshot: &Snapshot) {
        if snapshot.chat.is_empty() {
            ui.centered_and_justified(|ui| {
                ui.label(RichText::new("No messages yet. Say hello.").color(theme::TEXT_WEAK));
            });
            return;
        }
        let lines = &snapshot.chat;
        let own = own_name(snapshot);
        let width = ui.available_width() - 12.0;
        self.heights.handle_lines(lines, width);
        let heights = &mut self.heights;
        ScrollArea::vertical()
            .id_salt("chat")
            .auto_shrink([false, false])
            .stick_to_bottom(true)
            .show_viewport(ui, |ui, viewport| {
                let origin = ui.max_rect().min;
                ui.set_height(heights.total() + BELOW_LAST);
                let (first, mut top) = heights.first_at(viewport.top());
                for index in first..lines.len() {
                    if top > viewport.bottom() {
                        break;
                    }
                    let Some(line) = lines.get(index) else { break };
                    let head = starts_group(lines, index);
                    let room =
                        Rect::from_min_size(pos2(origin.x, origin.y + top), vec2(width, f32::INFINITY));
                    let builder =
                        UiBuilder::new().id_salt(index).max_rect(room).layout(Layout::top_down(Align::Min));
                    let mut row = ui.new_child(builder);
                    line_ui(&mut row, line, own, head);
                    top += heights.set(index, row.min_rect().height());
                }
                if heights.changed() {
                    ui.ctx().request_repaint();
                }
            });
    }

    fn input_ui(&mut self, ui: &mut Ui, actions: &mut Actions) {
        ui.spacing_mut().item_spacing.y = 4.0;
        self.address_ui(ui, actions);
        let id = Id::unique("message");
        let enter = ui.memory(|memory| memory.has_focus(id))
            && ui.input_mut(|input| !input.modifiers.shift && input.consume_key(Modifiers::NONE, Key::Enter));
        let hint = match &self.to {
            None => "Message everyone".to_owned(),
            Some(to) => format!("Message {} privately", plain::name(to)),
        };
        let stroke = Stroke::new(1.0, if self.to.is_some() { theme::AMBER } else { theme::OUTLINE });
        let room = ui.available_rect_before_wrap();
        ui.painter().rect(room, 12, theme::SURFACE, stroke, StrokeKind::Inside);
        let button = Rect::from_min_size(room.right_bottom() - vec2(42.0, 42.0), vec2(34.0, 34.0));
        let words =
            Rect::from_min_max(room.min + vec2(14.0, 14.0), pos2(button.left() - 4.0, room.bottom() - 8.0));
        let edit = TextEdit::multiline(&mut self.draft)
            .id(id)
            .char_limit(MESSAGE_CHARS)
            .desired_rows(1)
            .desired_width(words.width())
            .frame(Frame::NONE)
            .margin(Margin::ZERO)
            .return_key(KeyboardShortcut::new(Modifiers::SHIFT, Key::Enter))
            .hint_text(hint);
        let mut field = ui.new_child(UiBuilder::new().max_rect(words));
        let scroll = ScrollArea::vertical().id_salt("draft").max_height(words.height());
        let response = scroll.show(&mut field, |ui| ui.add(edit)).inner.accessible_name("Message");
        if std::mem::take(&mut self.focus) {
            response.request_focus();
        }
        let ready = !self.draft.trim().is_empty();
        let tone = if ready { Tone::Primary } else { Tone::Quiet };
        let mut corner = ui.new_child(UiBuilder::new().max_rect(button));
        let send =
            corner.add_enabled_ui(ready, |ui| widgets::icon_button(ui, Icon::Send, "Send", tone, 34.0));
        let clicked = send.inner.clicked();
        if (enter || clicked) && !self.draft.trim().is_empty() {
            let text = std::mem::take(&mut self.draft).trim().to_owned();
            actions.send(Intent::Message { text, to: self.to.clone() });
            self.focus = true;
        }
    }

    /// To whom it goes when not to everyone, and how much room is left.
    fn address_ui(&mut self, ui: &mut Ui, actions: &mut Actions) {
        if self.to.is_none() && !self.is_long() {
            return;
        }
        ui.horizontal(|ui| {
            ui.set_height(22.0);
            if let Some(to) = &self.to {
                let (rect, _) = ui.allocate_exact_size(vec2(14.0, 14.0), eframe::egui::Sense::hover());
                super::icons::paint(ui.painter(), rect, Icon::Lock, theme::AMBER);
                let words = format!("Privately to {}", plain::name(to));
                ui.label(RichText::new(words).small().color(theme::AMBER));
                if widgets::icon_button(ui, Icon::Close, "Write to everyone", Tone::Quiet, 20.0).clicked() {
                    actions.change(Change::WriteTo(None));
                }
            }
            if self.is_long() {
                let left = MESSAGE_CHARS - self.draft.chars().count().min(MESSAGE_CHARS);
                widgets::hint(ui, format!("{left} characters left"));
            }
        });
    }
}

/// Whether a line shows who said it and when: not when it follows one of the same sender closely.
fn starts_group(lines: &[ChatLine], index: usize) -> bool {
    let (Some(line), Some(before)) =
        (lines.get(index), index.checked_sub(1).and_then(|index| lines.get(index)))
    else {
        return true;
    };
    let apart = line.at.duration_since(before.at).unwrap_or_default();
    line.from != before.from || line.to != before.to || apart > TOGETHER
}

fn line_ui(ui: &mut Ui, line: &ChatLine, own: Option<&str>, head: bool) {
    ui.spacing_mut().item_spacing.y = 2.0;
    if line.from.is_empty() {
        ui.add_space(6.0);
        ui.vertical_centered(|ui| widgets::hint(ui, plain::message(&line.text)));
        ui.add_space(4.0);
        return;
    }
    if head {
        ui.add_space(10.0);
        let place = ui.cursor().min + vec2(AVATAR / 2.0, AVATAR / 2.0 + 1.0);
        widgets::paint_avatar(ui.painter(), place, &line.from, AVATAR);
    }
    let width = ui.available_width() - TEXT_LEFT;
    ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        ui.add_space(TEXT_LEFT);
        ui.vertical(|ui| {
            ui.set_width(width.max(40.0));
            if head {
                head_ui(ui, line, own);
            }
            bidi::lines(ui, &plain::message(&line.text), theme::text_font(14.5), theme::TEXT);
        });
    });
}

fn head_ui(ui: &mut Ui, line: &ChatLine, own: Option<&str>) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = theme::GAP;
        let mine = own == Some(line.from.as_str());
        let name = if mine { "You".to_owned() } else { plain::name(&line.from) };
        ui.scope(|ui| {
            ui.set_max_width((ui.available_width() - 150.0).max(40.0));
            bidi::line(ui, &name, theme::strong_font(14.0), theme::TEXT);
        });
        widgets::hint(ui, clock::hour_minute(line.at));
        if let Some(to) = &line.to {
            let words =
                if mine { format!("privately to {}", plain::name(to)) } else { "privately".to_owned() };
            bidi::line(ui, &words, theme::text_font(12.0), theme::AMBER);
        }
    });
}

/// Heights of all lines at the present width: measured once a line was drawn, estimated before.
#[derive(Default)]
struct Heights {
    lines: Option<Arc<Vec<ChatLine>>>,
    width: f32,
    heights: Vec<f32>,
    changed: bool,
}

/// Width of an average character and height of a row of text, points, for the estimate.
const CHARACTER_WIDTH: f32 = 7.2;
const ROW_HEIGHT: f32 = 19.0;
const HEAD_HEIGHT: f32 = 32.0;

impl Heights {
    /// Follows the chat; what was measured stays measured.
    fn handle_lines(&mut self, lines: &Arc<Vec<ChatLine>>, width: f32) {
        let same = self.lines.as_ref().is_some_and(|known| Arc::ptr_eq(known, lines));
        if same && self.width == width {
            return;
        }
        let kept = match &self.lines {
            Some(known) if self.width == width => known.iter().position(|line| lines.first() == Some(line)),
            _ => None,
        };
        let mut heights: Vec<f32> = kept.map_or_else(Vec::new, |from| self.heights.split_off(from));
        heights.truncate(lines.len());
        for index in heights.len()..lines.len() {
            heights.push(estimate(lines, index, width));
        }
        self.heights = heights;
        self.width = width;
        self.lines = Some(Arc::clone(lines));
    }

    fn total(&self) -> f32 {
        self.heights.iter().sum()
    }

    /// The line at this height and its top.
    fn first_at(&self, y: f32) -> (usize, f32) {
        let mut top = 0.0;
        for (index, height) in self.heights.iter().enumerate() {
            if top + height > y {
                return (index, top);
            }
            top += height;
        }
        (self.heights.len(), top)
    }

    /// Notes the measured height; gives it back.
    fn set(&mut self, index: usize, height: f32) -> f32 {
        if let Some(known) = self.heights.get_mut(index)
            && (*known - height).abs() > 0.5
        {
            *known = height;
            self.changed = true;
        }
        height
    }

    /// Whether a measure since the last question differed from what was assumed.
    fn changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

fn estimate(lines: &[ChatLine], index: usize, width: f32) -> f32 {
    let Some(line) = lines.get(index) else { return 0.0 };
    let per_row = ((width - TEXT_LEFT) / CHARACTER_WIDTH).max(4.0);
    let rows: f32 =
        line.text.split('\n').map(|row| (row.chars().count() as f32 / per_row).ceil().max(1.0)).sum();
    rows * ROW_HEIGHT + if starts_group(lines, index) { HEAD_HEIGHT } else { 2.0 }
}
