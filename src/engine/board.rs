//! What the engine shows, kept up to date and published when it changed.

use super::{CHAT_LINES, ChatLine, Notice, Severity, Snapshot};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;

/// Notices kept; the oldest is forgotten first.
const NOTICES: usize = 20;

/// The snapshot under construction.
pub(super) struct Board {
    /// Edited in place; readers hold older copies.
    pub(super) snapshot: Snapshot,
    published: watch::Sender<Arc<Snapshot>>,
    notices: u64,
    chat_lines: u64,
}

impl Board {
    pub(super) fn new(snapshot: Snapshot, published: watch::Sender<Arc<Snapshot>>) -> Self {
        Self { snapshot, published, notices: 0, chat_lines: 0 }
    }

    /// Tells the user something.
    pub(super) fn notice(&mut self, severity: Severity, text: impl Into<String>) {
        let text = text.into();
        match severity {
            Severity::Info => tracing::info!("{text}"),
            Severity::Warning | Severity::Error => tracing::warn!("{text}"),
        }
        let notices = Arc::make_mut(&mut self.snapshot.notices);
        if notices.last().is_some_and(|last| last.text == text) {
            return;
        }
        self.notices += 1;
        notices.push(Notice { number: self.notices, severity, text });
        if notices.len() > NOTICES {
            notices.remove(0);
        }
    }

    /// Forgets a notice.
    pub(super) fn dismiss(&mut self, number: u64) {
        Arc::make_mut(&mut self.snapshot.notices).retain(|notice| notice.number != number);
    }

    /// Adds a line to the chat.
    pub(super) fn chat(&mut self, from: &str, to: Option<String>, text: String) {
        let chat = Arc::make_mut(&mut self.snapshot.chat);
        if chat.len() >= CHAT_LINES {
            chat.remove(0);
        }
        self.chat_lines += 1;
        chat.push(ChatLine {
            number: self.chat_lines,
            from: from.to_owned(),
            to,
            text,
            at: SystemTime::now(),
        });
    }

    /// Shows the present state.
    pub(super) fn publish(&self) {
        self.published.send_replace(Arc::new(self.snapshot.clone()));
    }
}
