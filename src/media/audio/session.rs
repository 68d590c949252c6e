//! The handle that a call holds: starts, steers and stops the two threads of its sound.

use super::AudioError;
use super::keeper::{self, Wish};
use super::ports::AudioPorts;
use super::stats::{AudioStats, SoundLevels};
use super::switches::Switches;
use super::worker::{Shared, Worker};
use crate::config::{MicrophoneChoice, SoundProcessing, SpeakerChoice};
use crate::media::event::MediaEvents;
use crate::media::video::latest::Latest;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Choices that may wait for the keeper of the devices, which may be busy opening one. When full, the newest is
/// dropped and logged: the sound system hangs.
const WISHES: usize = 16;
/// Opened devices that may wait for the worker, which looks every 2.5 ms. When full, the keeper waits.
const CHANGES: usize = 8;
/// Longest wait for a thread to end.
const MAX_JOIN: Duration = Duration::from_secs(3);

/// What the user chose for the sound of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SoundChoice {
    /// Where it comes from.
    pub microphone: MicrophoneChoice,
    /// Where it goes.
    pub speaker: SpeakerChoice,
    /// What is done to it in between, if it comes from a device.
    pub processing: SoundProcessing,
}

/// The sound of one call. Dropping it is stopping it.
pub struct AudioSession {
    shared: Shared,
    wishes: SyncSender<Wish>,
    threads: Vec<JoinHandle<()>>,
}

impl AudioSession {
    /// Starts the threads and returns at once. Devices are opened on a thread of their own: success, failure and later
    /// loss are told through `events`, and none of them ends the session. `levels` is renewed every 100 ms.
    ///
    /// # Errors
    /// The codec or a thread could not be started.
    pub fn start(
        choice: SoundChoice,
        ports: AudioPorts,
        events: MediaEvents,
        levels: Latest<SoundLevels>,
    ) -> Result<Self, AudioError> {
        let SoundChoice { microphone, speaker, processing } = choice;
        let shared = Shared {
            stopping: Arc::new(AtomicBool::new(false)),
            muted: Arc::new(AtomicBool::new(false)),
            switches: Arc::new(Switches::new(processing)),
            volume: Arc::new(AtomicU32::new(1f32.to_bits())),
            levels,
            stats: Latest::new(),
        };
        let (wishes, wished) = sync_channel(WISHES);
        let (changes, changed) = tokio::sync::mpsc::channel(CHANGES);
        let worker = Worker::new(ports, changed, events.clone(), shared.clone(), Instant::now())?;
        let mut session = Self { shared: shared.clone(), wishes, threads: Vec::with_capacity(2) };
        session.threads.push(std::thread::Builder::new().name("audio".into()).spawn(move || worker.run())?);
        let keeper = keeper::Keeper::new(
            microphone,
            speaker,
            (session.wishes.clone(), wished),
            changes,
            events,
            shared.stopping,
        );
        session
            .threads
            .push(std::thread::Builder::new().name("audio-devices".into()).spawn(move || keeper.run())?);
        Ok(session)
    }

    /// Sends silence (true) or sound, from the next 10 ms on.
    pub fn set_muted(&self, muted: bool) {
        self.shared.muted.store(muted, Ordering::Relaxed);
    }

    /// Plays what arrives at this factor of its height, from the next 10 ms on.
    pub fn set_volume(&self, factor: f32) {
        self.shared.volume.store(factor.to_bits(), Ordering::Relaxed);
    }

    /// Does this to the microphone's sound, from the next 10 ms on.
    pub fn set_processing(&self, processing: SoundProcessing) {
        self.shared.switches.set(processing);
    }

    /// Uses another microphone from now on. Never blocks.
    pub fn set_microphone(&self, choice: MicrophoneChoice) {
        self.wish(Wish::Microphone(choice));
    }

    /// Uses another speaker from now on. Never blocks.
    pub fn set_speaker(&self, choice: SpeakerChoice) {
        self.wish(Wish::Speaker(choice));
    }

    /// The newest figures, at most 100 ms old.
    pub fn stats(&self) -> AudioStats {
        self.shared.stats.peek().unwrap_or_default()
    }

    /// Releases the devices and ends the threads. Takes a few milliseconds; with a sound system that does not answer up
    /// to 3 s, after which it is left behind.
    pub fn stop(mut self) {
        self.end();
    }

    fn wish(&self, wish: Wish) {
        if self.wishes.try_send(wish).is_err() {
            tracing::warn!("the sound system does not answer; the choice of a device is dropped");
        }
    }

    fn end(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // Only to wake it: the flag above is what counts, and a full queue wakes it too.
        drop(self.wishes.try_send(Wish::Stop));
        for thread in &self.threads {
            thread.thread().unpark();
        }
        let deadline = Instant::now() + MAX_JOIN;
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if !thread.is_finished() {
                tracing::error!(thread = name, "did not end within 3 s and is left behind");
            } else if thread.join().is_err() {
                tracing::error!(thread = name, "panicked");
            }
        }
    }
}

impl Drop for AudioSession {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
