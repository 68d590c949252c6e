//! One frame: takes the newest snapshot, draws it, and hands what was clicked to the engine.

use super::actions::{Actions, Change};
use super::call_view::CallScreen;
use super::chat::Chat;
use super::dialogs::{self, Refusal};
use super::keys::Keys;
use super::notices::Notices;
use super::outbox::Outbox;
use super::screen::Screen;
use super::settings::SettingsWindow;
use super::sign_in::SignIn;
use super::toolbar::{self, Shown};
use super::{REPAINT_DELAY, people, theme};
use crate::engine::{CallView, Connection, EndedCall, EngineHandle, Intent, Snapshot};
use eframe::egui::{
    CentralPanel, Context, Frame, Margin, Panel, RichText, Stroke, Ui, UserAttentionType, ViewportCommand,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The engine gets so long to end everything before the window closes over it.
const CLOSING_PATIENCE: Duration = Duration::from_secs(5);
/// An intent that found the engine busy is tried again after so long.
const RETRY: Duration = Duration::from_millis(30);
/// Narrower windows show the people beside a call only when asked.
const ROOM_FOR_PEOPLE: f32 = 860.0;

/// The window's state. One [`Window::ui`] is one frame.
pub struct Window {
    engine: EngineHandle,
    snapshot: Arc<Snapshot>,
    outbox: Outbox,
    sign_in: SignIn,
    chat: Chat,
    call: CallScreen,
    /// The short way of the other side's picture, where there is one.
    screen: Option<Screen>,
    notices: Notices,
    settings: SettingsWindow,
    keys: Keys,
    open: Open,
    /// The call whose end the user has seen enough of.
    dismissed: Option<EndedCall>,
    /// When the user asked to close the window.
    closing: Option<Instant>,
}

/// What is open on the screen.
#[derive(Default)]
struct Open {
    settings: bool,
    help: bool,
    refusal: Option<Refusal>,
    chat_beside_call: bool,
    /// `None`: as there is room.
    people_beside_call: Option<bool>,
}

impl Window {
    /// A window for this engine.
    pub fn new(engine: EngineHandle) -> Self {
        let snapshot = engine.snapshot();
        Self {
            engine,
            snapshot,
            outbox: Outbox::default(),
            sign_in: SignIn::default(),
            chat: Chat::default(),
            call: CallScreen::default(),
            screen: None,
            notices: Notices::default(),
            settings: SettingsWindow::default(),
            keys: Keys::default(),
            open: Open::default(),
            dismissed: None,
            closing: None,
        }
    }

    /// From now on the other side's picture takes the short way to the screen.
    pub(super) fn set_screen(&mut self, screen: Option<Screen>) {
        self.screen.clone_from(&screen);
        self.call = CallScreen::new(screen);
    }

    /// Draws one frame into the whole of `ui`.
    pub fn ui(&mut self, ui: &mut Ui) {
        let ctx = ui.ctx().clone();
        self.take_snapshot(&ctx);
        let snapshot = Arc::clone(&self.snapshot);
        let mut actions = Actions::default();
        let modal = self.modal_is_open();
        if !modal {
            self.keys.handle_input(&ctx, &snapshot, &mut actions);
        }
        match &snapshot.connection {
            Connection::SignedOut | Connection::Connecting { .. } if snapshot.call.is_none() => {
                CentralPanel::default()
                    .frame(Frame::new().fill(theme::BACKGROUND).inner_margin(Margin::same(theme::PADDING)))
                    .show(ui, |ui| self.sign_in.ui(ui, &snapshot, &mut actions));
            }
            _ => self.main_ui(ui, &snapshot, &mut actions),
        }
        self.dialogs_ui(&ctx, &snapshot, &mut actions);
        self.notices.ui(&ctx, &snapshot, &mut actions);
        self.carry_out(&ctx, actions);
        self.closing_ui(&ctx);
        if !self.outbox.flush(&self.engine) {
            ctx.request_repaint_after(RETRY);
        }
    }

    /// Takes what the engine published last, and reacts to what is new in it.
    fn take_snapshot(&mut self, ctx: &Context) {
        let newest = self.engine.snapshot();
        if Arc::ptr_eq(&newest, &self.snapshot) {
            return;
        }
        let before = std::mem::replace(&mut self.snapshot, newest);
        let snapshot = &self.snapshot;
        let rang = dialogs::incoming(&before).is_some();
        if dialogs::incoming(snapshot).is_some() && !rang {
            ctx.send_viewport_cmd(ViewportCommand::RequestUserAttention(UserAttentionType::Informational));
        }
        match &snapshot.call {
            Some(call) => {
                if before.call.is_none() {
                    self.call = CallScreen::new(self.screen.clone());
                    self.open.refusal = None;
                }
                self.call.signal.handle_stats(&call.stats);
                wake_with(ctx, call);
            }
            None if before.call.is_some() => {
                self.call = CallScreen::new(self.screen.clone());
                self.open.chat_beside_call = false;
                leave_fullscreen(ctx);
            }
            None => {}
        }
        if snapshot.ended != self.dismissed {
            self.dismissed = None;
        }
    }

    fn modal_is_open(&self) -> bool {
        self.open.help
            || self.open.settings
            || self.open.refusal.is_some()
            || self.snapshot.question.is_some()
    }

    fn main_ui(&mut self, ui: &mut Ui, snapshot: &Snapshot, actions: &mut Actions) {
        let call = snapshot.call.as_ref().filter(|_| dialogs::incoming(snapshot).is_none());
        let fullscreen = is_fullscreen(ui.ctx());
        let roomy = ui.available_width() >= ROOM_FOR_PEOPLE && !fullscreen;
        let people = call.is_none() || self.open.people_beside_call.unwrap_or(roomy);
        if people {
            people_panel_ui(ui, snapshot, actions);
        }
        self.chat.handle_lines(&snapshot.chat, call.is_none() || self.open.chat_beside_call);
        match call {
            Some(call) => {
                let shown =
                    Shown { chat: self.open.chat_beside_call, people, fullscreen, unread: self.chat.unread };
                self.in_call_ui(ui, snapshot, call, shown, actions);
            }
            None => self.chat_ui(ui, snapshot, actions),
        }
    }

    fn chat_ui(&mut self, ui: &mut Ui, snapshot: &Snapshot, actions: &mut Actions) {
        let frame = Frame::new().fill(theme::BACKGROUND).inner_margin(Margin::symmetric(20, theme::PADDING));
        CentralPanel::default().frame(frame).show(ui, |ui| {
            if let Connection::Reconnecting { reason, .. } = &snapshot.connection {
                let words = format!(
                    "The server cannot be reached ({}). Trying again…",
                    super::plain::message(reason)
                );
                ui.add(eframe::egui::Label::new(RichText::new(words).color(theme::AMBER)).wrap());
                ui.add_space(theme::GAP);
            }
            if let Some(ended) =
                snapshot.ended.as_ref().filter(|ended| self.dismissed.as_ref() != Some(ended))
            {
                dialogs::ended_ui(ui, ended, people::own_name(snapshot).is_some(), actions);
                ui.add_space(theme::GAP);
            }
            self.chat.ui(ui, snapshot, actions);
        });
    }

    fn in_call_ui(
        &mut self,
        ui: &mut Ui,
        snapshot: &Snapshot,
        call: &CallView,
        shown: Shown,
        actions: &mut Actions,
    ) {
        if shown.chat {
            let frame = Frame::new().fill(theme::PANEL).inner_margin(Margin::same(theme::PADDING));
            Panel::right("chat beside call")
                .resizable(true)
                .default_size(theme::SIDE_CHAT_WIDTH)
                .min_size(240.0)
                .max_size((ui.available_width() * 0.5).max(240.0))
                .frame(frame)
                .show(ui, |ui| self.chat.ui(ui, snapshot, actions));
        }
        CentralPanel::no_frame().show(ui, |ui| self.call.ui(ui, call, shown, actions));
    }

    fn dialogs_ui(&mut self, ctx: &Context, snapshot: &Snapshot, actions: &mut Actions) {
        if self.open.settings && self.settings.ui(ctx, snapshot, actions) {
            self.open.settings = false;
        }
        if self.open.help && dialogs::help_ui(ctx) {
            self.open.help = false;
        }
        if let Some(call) = dialogs::incoming(snapshot) {
            dialogs::ringing_ui(ctx, call, actions);
        }
        if let Some(question) = &snapshot.question {
            dialogs::question_ui(ctx, question, actions);
        }
        if let Some(refusal) = &self.open.refusal
            && dialogs::refusal_ui(ctx, refusal)
        {
            self.open.refusal = None;
        }
    }

    fn carry_out(&mut self, ctx: &Context, actions: Actions) {
        for change in actions.changes {
            match change {
                Change::Call(peer) => self.call(peer),
                Change::WriteTo(to) => {
                    self.chat.write_to(to);
                    self.open.chat_beside_call |= self.snapshot.call.is_some();
                }
                Change::ToggleChat => self.open.chat_beside_call = !self.open.chat_beside_call,
                Change::TogglePeople => {
                    let roomy = ctx.content_rect().width() >= ROOM_FOR_PEOPLE && !is_fullscreen(ctx);
                    self.open.people_beside_call = Some(!self.open.people_beside_call.unwrap_or(roomy));
                }
                Change::ToggleFullscreen => {
                    ctx.send_viewport_cmd(ViewportCommand::Fullscreen(!is_fullscreen(ctx)));
                }
                Change::LeaveFullscreen => leave_fullscreen(ctx),
                Change::ToggleSettings => self.open.settings = !self.open.settings,
                Change::ToggleHelp => self.open.help = !self.open.help,
                Change::DismissEnded => self.dismissed = self.snapshot.ended.clone(),
            }
            ctx.request_repaint();
        }
        for intent in actions.intents {
            self.outbox.push(intent);
        }
    }

    /// A click on a name: calls, or says kindly why not. The engine refuses as well; this is for the words.
    fn call(&mut self, peer: String) {
        let refusal = match &self.snapshot.call {
            Some(call) => Some(Refusal::AlreadyInCall(call.peer.clone())),
            None => match people::own_name(&self.snapshot) {
                None => Some(Refusal::Offline),
                Some(own) if own == peer => Some(Refusal::Yourself),
                Some(_) => None,
            },
        };
        match refusal {
            Some(refusal) => self.open.refusal = Some(refusal),
            None => self.outbox.push(Intent::Call { peer }),
        }
    }

    /// Closing waits for the engine, so that the other side hears of it and every device is released.
    fn closing_ui(&mut self, ctx: &Context) {
        if self.snapshot.finished {
            ctx.send_viewport_cmd(ViewportCommand::Close);
            return;
        }
        let wanted = ctx.input(|input| input.viewport().close_requested());
        match self.closing {
            None if wanted => {
                self.closing = Some(Instant::now());
                self.outbox.push(Intent::Quit);
                ctx.send_viewport_cmd(ViewportCommand::CancelClose);
                ctx.request_repaint_after(CLOSING_PATIENCE);
            }
            Some(since) if since.elapsed() >= CLOSING_PATIENCE => {
                tracing::warn!("the engine did not end in time: the window closes over it");
                ctx.send_viewport_cmd(ViewportCommand::Close);
            }
            Some(_) if wanted => ctx.send_viewport_cmd(ViewportCommand::CancelClose),
            _ => {}
        }
    }
}

/// Each new picture of the other side is painted. Our own rides along: only while the other side sends none does it
/// have the window painted, or there would be twice as many paintings as anybody can see.
fn wake_with(ctx: &Context, call: &CallView) {
    let repaint = ctx.clone();
    call.remote_picture.latest.set_wake(move || repaint.request_repaint_after(REPAINT_DELAY));
    let (repaint, remote) = (ctx.clone(), call.remote_picture.latest.clone());
    let seen = AtomicU64::new(remote.published());
    call.local_picture.latest.set_wake(move || {
        let published = remote.published();
        if seen.swap(published, Ordering::Relaxed) == published {
            repaint.request_repaint_after(REPAINT_DELAY);
        }
    });
}

fn people_panel_ui(ui: &mut Ui, snapshot: &Snapshot, actions: &mut Actions) {
    let frame = Frame::new().fill(theme::PANEL).inner_margin(Margin::same(theme::PADDING));
    Panel::left("people panel")
        .resizable(false)
        .exact_size(theme::PEOPLE_WIDTH)
        .frame(frame)
        .show_separator_line(false)
        .show(ui, |ui| {
            let in_call = snapshot.call.is_some() && dialogs::incoming(snapshot).is_none();
            if !in_call {
                Panel::bottom("idle toolbar")
                    .frame(Frame::new().inner_margin(Margin { top: 8, ..Margin::ZERO }))
                    .show_separator_line(false)
                    .show(ui, |ui| toolbar::idle_ui(ui, snapshot, actions));
            }
            CentralPanel::no_frame().show(ui, |ui| people::ui(ui, snapshot, actions));
        });
    let edge = ui.available_rect_before_wrap().left();
    ui.painter().vline(edge, ui.max_rect().y_range(), Stroke::new(1.0, theme::OUTLINE));
}

fn is_fullscreen(ctx: &Context) -> bool {
    ctx.input(|input| input.viewport().fullscreen.unwrap_or(false))
}

fn leave_fullscreen(ctx: &Context) {
    if is_fullscreen(ctx) {
        ctx.send_viewport_cmd(ViewportCommand::Fullscreen(false));
    }
}
