//! The `audio-devices` thread: opens what was chosen, notices what is lost, finds what is back.
//!
//! Driven by choices and by a clock. It hands open devices to the worker and tells the engine; it never touches sound.
//! A lost device never ends a session: the default takes its place, or silence, until the chosen one is back.

use super::AudioError;
use super::devices::System;
use super::opened::{OpenStream, Opened};
use super::pace::{Cushion, Timer};
use super::present::Names;
use super::ring::Calls;
use super::slot::{Chosen, Slot};
use super::tone::{Echo, Tone};
use super::wav::{WavSink, WavSource};
use super::worker::{Change, Input, Output};
use crate::config::{MicrophoneChoice, SpeakerChoice};
use crate::media::event::{DeviceKind, MediaEvent, MediaEvents};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

/// How often the streams are looked after.
const TICK: Duration = Duration::from_millis(100);
/// How often the devices are listed where nobody tells of changes.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// The same where the sound server does: only in case that it once did not.
const POLL_INTERVAL_TOLD: Duration = Duration::from_secs(30);
/// The same while something that was chosen does not run.
const POLL_INTERVAL_IN_NEED: Duration = Duration::from_millis(500);
/// Pause between two looks when the sound server tells of many changes at once.
const POLL_PAUSE: Duration = Duration::from_millis(50);
/// A stream that did not call for this long is dead.
const QUIET_LIMIT: Duration = Duration::from_secs(2);

/// A new stream in the place of one that runs gets this long to run, and is looked at so often.
const RUNS_WITHIN: Duration = Duration::from_secs(1);
const RUNS_POLL: Duration = Duration::from_millis(5);

/// What the session asks for.
pub(super) enum Wish {
    Microphone(MicrophoneChoice),
    Speaker(SpeakerChoice),
    /// Devices came or went, or a stream was lost.
    Look,
    Stop,
}

/// The thread's state.
pub(super) struct Keeper {
    system: System,
    wishes: Receiver<Wish>,
    changes: tokio::sync::mpsc::Sender<Change>,
    events: MediaEvents,
    stopping: Arc<AtomicBool>,
    first: Option<(MicrophoneChoice, SpeakerChoice)>,
    microphone: Slot,
    speaker: Slot,
}

impl Keeper {
    pub(super) fn new(
        microphone: MicrophoneChoice,
        speaker: SpeakerChoice,
        (looks, wishes): (SyncSender<Wish>, Receiver<Wish>),
        changes: tokio::sync::mpsc::Sender<Change>,
        events: MediaEvents,
        stopping: Arc<AtomicBool>,
    ) -> Self {
        // A queue that is full wakes the keeper as well.
        let changed = Arc::new(move || drop(looks.try_send(Wish::Look)));
        Self {
            system: System::new(Arc::clone(&stopping), changed),
            wishes,
            changes,
            events,
            stopping,
            first: Some((microphone, speaker)),
            microphone: Slot::new(DeviceKind::Microphone),
            speaker: Slot::new(DeviceKind::Speaker),
        }
    }

    /// Runs until told to stop, or until the session is gone.
    pub(super) fn run(mut self) {
        if let Some((microphone, speaker)) = self.first.take() {
            self.choose_speaker(speaker);
            self.choose_microphone(microphone);
        }
        let mut last_poll = Instant::now();
        let mut look = false;
        while !self.stopping.load(Ordering::Acquire) {
            match self.wishes.recv_timeout(if look { POLL_PAUSE } else { TICK }) {
                Ok(Wish::Microphone(choice)) => self.choose_microphone(choice),
                Ok(Wish::Speaker(choice)) => self.choose_speaker(choice),
                Ok(Wish::Look) => look = true,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Wish::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
            self.watch();
            let interval = match (look, self.is_in_need()) {
                (true, _) => POLL_PAUSE,
                (false, true) => POLL_INTERVAL_IN_NEED,
                (false, false) if self.system.tells_of_changes() => POLL_INTERVAL_TOLD,
                (false, false) => POLL_INTERVAL,
            };
            if last_poll.elapsed() >= interval {
                look = false;
                self.poll();
                last_poll = Instant::now();
            }
        }
    }

    fn choose_microphone(&mut self, choice: MicrophoneChoice) {
        let now = Instant::now();
        let named = choice.to_string();
        let chosen = match choice {
            MicrophoneChoice::Default => Chosen::Default,
            MicrophoneChoice::Device(name) => Chosen::Named(name),
            other => {
                self.microphone.choose(Chosen::NoDevice);
                let input = match other {
                    MicrophoneChoice::Tone => Ok(Input::Tone(Tone::default(), Timer::new(now))),
                    MicrophoneChoice::Echo => Ok(Input::Echo(Box::new(Echo::new()))),
                    MicrophoneChoice::File(path) => WavSource::open(&path)
                        .map(|source| Input::File(Box::new(source), Timer::new(Instant::now()))),
                    MicrophoneChoice::None | MicrophoneChoice::Default | MicrophoneChoice::Device(_) => {
                        Ok(Input::Off)
                    }
                };
                return self.settle(DeviceKind::Microphone, named, input.map(Change::Input));
            }
        };
        self.microphone.choose(chosen);
        self.open(DeviceKind::Microphone, None);
    }

    fn choose_speaker(&mut self, choice: SpeakerChoice) {
        let named = choice.to_string();
        let chosen = match choice {
            SpeakerChoice::Default => Chosen::Default,
            SpeakerChoice::Device(name) => Chosen::Named(name),
            other => {
                self.speaker.choose(Chosen::NoDevice);
                let output = match other {
                    SpeakerChoice::File(path) => {
                        WavSink::create(&path).map(|sink| Output::File(sink, Timer::new(Instant::now())))
                    }
                    SpeakerChoice::None | SpeakerChoice::Default | SpeakerChoice::Device(_) => {
                        Ok(Output::Off(Timer::new(Instant::now())))
                    }
                };
                return self.settle(DeviceKind::Speaker, named, output.map(Change::Output));
            }
        };
        self.speaker.choose(chosen);
        self.open(DeviceKind::Speaker, None);
    }

    /// Uses something that is no device.
    fn settle(&mut self, kind: DeviceKind, named: String, change: Result<Change, AudioError>) {
        match change {
            Ok(change) => {
                let silent = matches!(change, Change::Input(Input::Off) | Change::Output(Output::Off(_)));
                self.hand_over(change);
                if !silent {
                    self.tell(MediaEvent::Opened { kind, device: named });
                }
            }
            Err(error) => {
                self.silence(kind);
                let reason = error.to_string();
                self.tell(MediaEvent::Lost { kind, device: named, reason, fallback: None });
            }
        }
        self.slot(kind).stream = None;
    }

    /// Opens what was chosen, else the default, else goes on in silence. `lost`: the stream that stopped, and why.
    fn open(&mut self, kind: DeviceKind, lost: Option<(Names, String)>) {
        let slot = self.slot(kind);
        let (named, label) = (slot.named(), slot.label());
        let mut problem = None;
        let first = if slot.rests(Instant::now()) {
            Err(AudioError::NoDevice("it stopped right after it was opened".into()))
        } else {
            self.start(kind, named.clone())
        };
        match first {
            Ok(()) => {}
            Err(AudioError::Refused(device)) => {
                tracing::warn!(device, "access was refused");
                self.silence(kind);
                return self.tell(MediaEvent::Refused { kind });
            }
            Err(error) => {
                problem = Some(error.to_string());
                if named.is_none() || self.start(kind, None).is_err() {
                    self.silence(kind);
                }
            }
        }
        let running = self.slot(kind).stream.as_ref().map(|stream| stream.names.clone());
        let news = match (lost, problem) {
            (None, None) => None,
            // It stumbled, and goes on: nothing that a user should be told.
            (Some((names, reason)), _) if running.as_ref() == Some(&names) => {
                tracing::info!(device = names.name, reason, "the device stopped and was opened again");
                None
            }
            (Some((names, reason)), _) => Some((names.name, reason)),
            (None, Some(reason)) => Some((label, reason)),
        };
        let running = running.map(|names| names.name);
        if let Some((device, reason)) = news {
            self.tell(MediaEvent::Lost { kind, device, reason, fallback: running.clone() });
        }
        if let Some(device) = running {
            self.tell(MediaEvent::Opened { kind, device });
        }
    }

    /// Opens a device (the default without a name) and puts it in the place of what runs.
    fn start(&mut self, kind: DeviceKind, named: Option<String>) -> Result<(), AudioError> {
        let (change, stream) = match kind {
            DeviceKind::Speaker => {
                let Opened { end: ring, resampler, hertz, stream } =
                    self.system.open_speaker(named.as_deref())?;
                let cushion = Cushion::new(Instant::now());
                let calls = Calls::default();
                (Change::Output(Output::Device { ring, resampler, hertz, calls, cushion }), stream)
            }
            DeviceKind::Microphone | DeviceKind::Camera => {
                let Opened { end: ring, resampler, hertz, stream } =
                    self.system.open_microphone(named.as_deref())?;
                let calls = Calls::default();
                (Change::Input(Input::Device { ring, resampler, hertz, calls, waiting: Vec::new() }), stream)
            }
        };
        tracing::info!(?kind, device = stream.names.name, id = stream.names.id, "opened");
        if self.slot(kind).stream.as_ref().is_some_and(|old| !old.health.failed()) {
            self.wait_running(&stream);
        }
        self.hand_over(change);
        self.slot(kind).run(stream, Instant::now());
        Ok(())
    }

    /// Waits until the new stream takes, or gives, sound: until then the old one goes on. PipeWire may take half a second
    /// to connect one, which nobody is to hear.
    fn wait_running(&self, stream: &OpenStream) {
        let deadline = Instant::now() + RUNS_WITHIN;
        while !stream.health.runs() && !stream.health.failed() && Instant::now() < deadline {
            if self.stopping.load(Ordering::Acquire) {
                return;
            }
            std::thread::sleep(RUNS_POLL);
        }
    }

    /// Whether something that was chosen does not run.
    fn is_in_need(&self) -> bool {
        [&self.microphone, &self.speaker].iter().any(|slot| slot.is_in_need())
    }

    /// Looks whether the streams are alive.
    fn watch(&mut self) {
        for kind in [DeviceKind::Microphone, DeviceKind::Speaker] {
            let Some(stream) = &self.slot(kind).stream else { continue };
            if stream.health.failed() {
                self.lose(kind, "it was disconnected, or the sound service stopped");
            } else if stream.health.quiet() > QUIET_LIMIT {
                self.lose(kind, "it stopped working; it may be disconnected");
            }
        }
    }

    fn lose(&mut self, kind: DeviceKind, reason: &str) {
        let Some(stream) = self.slot(kind).stream.take() else { return };
        // The call goes on at once; a sound system that hangs is asked after that.
        self.silence(kind);
        let present = self.system.present().unwrap_or_default();
        let there = present.of(kind).iter().any(|known| known.id == stream.names.id);
        self.slot(kind).handle_loss(there, Instant::now());
        tracing::warn!(?kind, device = stream.names.name, reason, "lost");
        let names = stream.names.clone();
        drop(stream);
        self.open(kind, Some((names, reason.to_owned())));
    }

    /// Looks whether the devices that ought to run are there.
    fn poll(&mut self) {
        let kinds = [DeviceKind::Microphone, DeviceKind::Speaker];
        if kinds.iter().all(|kind| !self.slot(*kind).wants_device()) {
            return;
        }
        let Some(present) = self.system.present() else { return };
        for kind in kinds {
            let slot = self.slot(kind);
            if slot.rests(Instant::now()) {
                continue;
            }
            let running = slot.stream.as_ref().map(|stream| stream.names.id.clone());
            let wanted = slot.wanted(&present).map(str::to_owned);
            if running == wanted {
                continue;
            }
            let gone = running.is_some_and(|id| present.of(kind).iter().all(|known| known.id != id));
            if gone {
                self.lose(kind, "it was disconnected");
            } else if let Some(id) = wanted {
                self.switch(kind, id);
            }
        }
    }

    /// Goes over to a device that has come, or come back.
    fn switch(&mut self, kind: DeviceKind, id: String) {
        match self.start(kind, Some(id)) {
            Ok(()) => {
                let device = self.slot(kind).stream.as_ref().map(|stream| stream.names.name.clone());
                self.tell(MediaEvent::Opened { kind, device: device.unwrap_or_default() });
            }
            Err(error) => {
                tracing::debug!(?kind, %error, "a device that came could not be opened");
                self.slot(kind).rest(Instant::now());
            }
        }
    }

    /// Lets the worker go on by its own clock.
    fn silence(&mut self, kind: DeviceKind) {
        self.hand_over(match kind {
            DeviceKind::Speaker => Change::Output(Output::Off(Timer::new(Instant::now()))),
            DeviceKind::Microphone | DeviceKind::Camera => Change::Input(Input::Off),
        });
    }

    fn hand_over(&self, change: Change) {
        if self.changes.blocking_send(change).is_err() {
            tracing::debug!("the session ended while a device was opened");
        }
    }

    fn tell(&self, event: MediaEvent) {
        if let Err(error) = self.events.try_send(event) {
            tracing::warn!(%error, "the engine did not take the news of a device");
        }
    }

    fn slot(&mut self, kind: DeviceKind) -> &mut Slot {
        match kind {
            DeviceKind::Speaker => &mut self.speaker,
            DeviceKind::Microphone | DeviceKind::Camera => &mut self.microphone,
        }
    }
}
