//! What the devices of a call report, and the words in which the user learns of it.

use super::Severity;
use super::core::Engine;
use crate::call::Event;
use crate::media::event::{DeviceKind, MediaEvent};

impl Engine {
    pub(super) fn handle_media(&mut self, event: MediaEvent) {
        match event {
            MediaEvent::Opened { kind, device } => {
                tracing::info!(%device, "open");
                self.with_call(|call, context, _| call.device_changed(kind, true, context));
            }
            MediaEvent::Refused { .. } => {
                self.with_call(|call, context, now| call.handle(Event::MediaRefused, context, now));
            }
            MediaEvent::Lost { kind, device, reason, fallback } => {
                let replaced = fallback.is_some();
                // Who was asked whether to watch only, and is, knows that there is neither camera nor microphone.
                let known = !replaced
                    && is_unnamed(kind, &device)
                    && kind != DeviceKind::Speaker
                    && self.has_nothing_to_send();
                if !known {
                    let words = loss_words(kind, &device, &reason, fallback.as_deref());
                    self.board.notice(Severity::Warning, words);
                }
                self.with_call(|call, context, _| call.device_changed(kind, replaced, context));
            }
        }
    }
}

/// Whether this names no device but only its kind: nothing in particular was asked for.
fn is_unnamed(kind: DeviceKind, device: &str) -> bool {
    device.eq_ignore_ascii_case(kind_word(kind))
}

fn kind_word(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Camera => "Camera",
        DeviceKind::Microphone => "Microphone",
        DeviceKind::Speaker => "Speaker",
    }
}

/// What the user reads when a device is not there, or no longer.
fn loss_words(kind: DeviceKind, device: &str, reason: &str, fallback: Option<&str>) -> String {
    let rest = match fallback {
        Some(other) => format!("{other} is used instead."),
        None => "The call goes on without it.".into(),
    };
    if is_unnamed(kind, device) {
        let mut letters = reason.chars();
        let first = letters.next().map(char::to_uppercase).into_iter().flatten();
        return format!("{}{}. {rest}", first.collect::<String>(), letters.as_str());
    }
    format!("{} “{device}”: {reason}. {rest}", kind_word(kind))
}
