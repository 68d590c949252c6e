//! What rings: follows from the call and the settings alone, so that no end of a call can leave it ringing.

use super::snapshot::{CallView, Phase};
use super::{Settings, TestedSound};
use crate::call::Direction;
use crate::media::audio::{Chime, Ringer, SoundTest};
use crate::media::video::latest::Latest;

/// The ringer, and what it was told last.
pub(super) struct Rings {
    ringer: Ringer,
    sounding: Option<Chime>,
}

impl Rings {
    /// Starts the ringer's thread.
    pub(super) fn start() -> std::io::Result<Self> {
        Ok(Self { ringer: Ringer::start()?, sounding: None })
    }

    /// How far a test is.
    pub(super) fn sound_test(&self) -> Latest<SoundTest> {
        self.ringer.sound_test()
    }

    /// Rings for this call, or for none.
    pub(super) fn follow(&mut self, call: Option<&CallView>, settings: &Settings) {
        let wanted = call.and_then(chime);
        if std::mem::replace(&mut self.sounding, wanted) == wanted {
            return;
        }
        match wanted {
            // It rings where one may hear it without a headset on.
            Some(Chime::Ringtone) => self.ringer.ring(
                Chime::Ringtone,
                settings.ringtone_speaker.clone(),
                settings.ringtone_volume.factor(),
            ),
            // One who calls listens where the other side will be heard.
            Some(chime) => self.ringer.ring(chime, settings.speaker.clone(), 1.0),
            None => self.ringer.silence(),
        }
    }

    /// Carries out a test; while it rings there is none.
    pub(super) fn test(&mut self, tested: TestedSound, settings: &Settings) {
        if self.sounding.is_some() {
            return;
        }
        match tested {
            TestedSound::Speaker => self.ringer.test(Chime::Test, settings.speaker.clone(), 1.0),
            TestedSound::Ringtone => {
                let volume = settings.ringtone_volume.factor();
                self.ringer.test(Chime::Ringtone, settings.ringtone_speaker.clone(), volume);
            }
            TestedSound::Microphone => {
                self.ringer.hear(settings.microphone.clone(), settings.speaker.clone());
            }
            TestedSound::Stop => self.ringer.silence(),
        }
    }
}

fn chime(call: &CallView) -> Option<Chime> {
    match (call.phase, call.direction) {
        (Phase::Ringing, Direction::Incoming) => Some(Chime::Ringtone),
        (Phase::Ringing, Direction::Outgoing) => Some(Chime::RingBack),
        (Phase::Connecting | Phase::Connected | Phase::Reconnecting, _) => None,
    }
}
