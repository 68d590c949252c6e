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
            MediaEvent::Refused { kind } => {
                // The call ends as if it had been cancelled; only the way out is told.
                let words = match kind {
                    DeviceKind::Camera => {
                        "Ahoy may not use the camera. Allow it in the system's settings; on Linux, be in the group \
                         that owns the device (mostly “video”)."
                    }
                    DeviceKind::Microphone => {
                        "Ahoy may not use the microphone. Allow it in the system's settings."
                    }
                    DeviceKind::Speaker => "Ahoy may not use the speaker. Allow it in the system's settings.",
                };
                self.board.notice(Severity::Warning, words);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_is_named_only_if_one_was_chosen() {
        let nothing = loss_words(DeviceKind::Camera, "camera", "no camera is connected", None);
        assert_eq!(nothing, "No camera is connected. The call goes on without it.");
        let chosen = loss_words(DeviceKind::Microphone, "Desk", "it was disconnected", Some("Headset"));
        assert_eq!(chosen, "Microphone “Desk”: it was disconnected. Headset is used instead.");
    }
}
