//! What is wished to be done to the microphone's sound: written by the session, read by the `audio` thread.

use crate::config::SoundProcessing;
use std::sync::atomic::{AtomicBool, Ordering};

/// The switches.
pub(crate) struct Switches {
    echo_cancellation: AtomicBool,
    noise_suppression: AtomicBool,
    automatic_gain: AtomicBool,
}

impl Switches {
    pub(crate) fn new(wanted: SoundProcessing) -> Self {
        let SoundProcessing { echo_cancellation, noise_suppression, automatic_gain } = wanted;
        Self {
            echo_cancellation: echo_cancellation.into(),
            noise_suppression: noise_suppression.into(),
            automatic_gain: automatic_gain.into(),
        }
    }

    /// A reader in between sees some switches turned and some not, and the rest 10 ms later.
    pub(crate) fn set(&self, wanted: SoundProcessing) {
        self.echo_cancellation.store(wanted.echo_cancellation, Ordering::Relaxed);
        self.noise_suppression.store(wanted.noise_suppression, Ordering::Relaxed);
        self.automatic_gain.store(wanted.automatic_gain, Ordering::Relaxed);
    }

    pub(crate) fn wanted(&self) -> SoundProcessing {
        SoundProcessing {
            echo_cancellation: self.echo_cancellation.load(Ordering::Relaxed),
            noise_suppression: self.noise_suppression.load(Ordering::Relaxed),
            automatic_gain: self.automatic_gain.load(Ordering::Relaxed),
        }
    }
}
