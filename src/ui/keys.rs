//! The keys that work without a click. All are ignored while a text field has the focus.

use super::actions::{Actions, Change};
use crate::engine::{CallView, Intent, Phase, Snapshot};
use eframe::egui::{Context, Event, Key, Modifiers};

/// Keys and what they do, for the help.
pub(super) const HELP: &[(&str, &str)] = &[
    ("M   or   Ctrl+D", "Microphone on and off"),
    ("V   or   Ctrl+E", "Camera on and off"),
    ("Space", "Hold to talk while the microphone is off"),
    ("F", "Full screen on and off"),
    ("Esc", "Leave full screen, close what is open"),
    ("?", "This help"),
];

/// What the keyboard remembers between frames.
#[derive(Default)]
pub(super) struct Keys {
    /// The space bar is held and has turned the microphone on.
    talking: bool,
}

impl Keys {
    /// Reads this frame's keys.
    pub(super) fn handle_input(&mut self, ctx: &Context, snapshot: &Snapshot, actions: &mut Actions) {
        let call = snapshot.call.as_ref().filter(|call| call.phase != Phase::Ringing);
        self.push_to_talk(ctx, call, actions);
        if ctx.text_edit_focused() {
            return;
        }
        if let Some(call) = call {
            media_keys(ctx, call, actions);
        }
        if pressed(ctx, Modifiers::NONE, Key::F) {
            actions.change(Change::ToggleFullscreen);
        }
        let question = ctx.input(|input| {
            input.events.iter().any(|event| matches!(event, Event::Text(text) if text == "?"))
        });
        if question || pressed(ctx, Modifiers::NONE, Key::F1) {
            actions.change(Change::ToggleHelp);
        }
        if pressed(ctx, Modifiers::NONE, Key::Escape) {
            actions.change(Change::LeaveFullscreen);
        }
    }

    fn push_to_talk(&mut self, ctx: &Context, call: Option<&CallView>, actions: &mut Actions) {
        let down = ctx.input(|input| input.key_down(Key::Space) && input.focused);
        if self.talking {
            if call.is_none() {
                self.talking = false;
            } else if !down {
                self.talking = false;
                actions.send(Intent::MuteMicrophone(true));
            }
            return;
        }
        let Some(call) = call.filter(|call| call.microphone_muted && call.has_microphone) else { return };
        // A focused button takes the space bar for itself.
        let free = !ctx.egui_wants_keyboard_input();
        if free && call.microphone_muted && pressed(ctx, Modifiers::NONE, Key::Space) {
            self.talking = true;
            actions.send(Intent::MuteMicrophone(false));
        }
    }
}

fn media_keys(ctx: &Context, call: &CallView, actions: &mut Actions) {
    let microphone = pressed(ctx, Modifiers::NONE, Key::M) | pressed(ctx, Modifiers::COMMAND, Key::D);
    if microphone && call.has_microphone {
        actions.send(Intent::MuteMicrophone(!call.microphone_muted));
    }
    let camera = pressed(ctx, Modifiers::NONE, Key::V) | pressed(ctx, Modifiers::COMMAND, Key::E);
    if camera && call.has_camera {
        actions.send(Intent::MuteCamera(!call.camera_muted));
    }
}

/// A press that is no repetition, with exactly these modifiers.
fn pressed(ctx: &Context, wanted: Modifiers, wanted_key: Key) -> bool {
    ctx.input(|input| {
        input.events.iter().any(|event| {
            matches!(event, Event::Key { key, pressed: true, repeat: false, modifiers, .. }
                if *key == wanted_key && modifiers.matches_exact(wanted))
        })
    })
}
