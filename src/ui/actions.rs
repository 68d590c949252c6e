//! What one frame's clicks and keys ask for, collected while drawing and carried out after it.

use crate::engine::Intent;

/// A wish that the window fulfils by itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// A click on this name in the list.
    Call(String),
    /// Address the next messages to this user, or to everyone.
    WriteTo(Option<String>),
    /// Show or hide the chat beside the call.
    ToggleChat,
    /// Show or hide the list of people beside the call.
    TogglePeople,
    /// Enter or leave full screen.
    ToggleFullscreen,
    /// Leave full screen if in it.
    LeaveFullscreen,
    /// Open or close the settings.
    ToggleSettings,
    /// Open or close the help.
    ToggleHelp,
    /// Hide how the last call ended.
    DismissEnded,
}

/// The wishes of one frame, in order.
#[derive(Default)]
pub(super) struct Actions {
    pub(super) intents: Vec<Intent>,
    pub(super) changes: Vec<Change>,
}

impl Actions {
    /// For the engine.
    pub(super) fn send(&mut self, intent: Intent) {
        self.intents.push(intent);
    }

    /// For the window.
    pub(super) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }
}
