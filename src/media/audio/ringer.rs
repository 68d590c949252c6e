//! What sounds outside the sound of a call: ringing, and the tests in the settings.
//!
//! A [`Ringer`] owns one thread, `ringer`, which opens a speaker only while it plays and a microphone only while it
//! records. Orders never block; a newer order ends what an older one began.

use super::devices::System;
use super::melody::{Chime, Melody};
use super::opened::{OpenStream, Opened};
use super::resample::Resampler;
use super::ring::PlaybackWriter;
use super::stats::Loudness;
use super::{AudioError, BLOCK, SAMPLE_RATE};
use crate::config::{MicrophoneChoice, SpeakerChoice};
use crate::media::video::latest::Latest;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Orders that may wait while the thread opens a device. When full the newest is dropped: the sound system hangs.
const ORDERS: usize = 16;
/// How often the rings are looked after.
const TICK: Duration = Duration::from_millis(5);
/// Sound kept ready for the speaker, as long as nobody waits for it: robust before it is quick.
const READY_S: f32 = 0.06;
/// What one says to hear oneself.
const RECORD: Duration = Duration::from_secs(4);
/// How often the level is told while a test runs.
const LEVEL_INTERVAL: Duration = Duration::from_millis(100);
/// A speaker that cannot be opened is tried again after so long, for as long as it rings.
const RETRY: Duration = Duration::from_secs(1);
/// After the last sample: until the speaker has played what it holds.
const TAIL: Duration = Duration::from_millis(300);

/// How far a test of the devices is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum SoundTest {
    /// None runs.
    #[default]
    Idle,
    /// The test melody is played.
    Playing {
        /// Root mean square, full scale 1.
        level: f32,
    },
    /// The microphone is recorded.
    Recording {
        /// Root mean square, full scale 1.
        level: f32,
        /// Of the whole recording, 0 to 1.
        progress: f32,
    },
    /// What was recorded is played.
    PlayingBack {
        /// Root mean square, full scale 1.
        level: f32,
        /// Of the whole recording, 0 to 1.
        progress: f32,
    },
    /// It could not be done, and why.
    Failed(String),
}

/// What is wanted of the thread.
enum Order {
    Ring { chime: Chime, speaker: SpeakerChoice, volume: f32 },
    Test { chime: Chime, speaker: SpeakerChoice, volume: f32 },
    Hear { microphone: MicrophoneChoice, speaker: SpeakerChoice },
    Silence,
}

/// The handle of the thread. Dropping it ends the thread and waits for that.
pub struct Ringer {
    orders: Option<SyncSender<Order>>,
    stopping: Arc<AtomicBool>,
    test: Latest<SoundTest>,
    thread: Option<JoinHandle<()>>,
}

impl Ringer {
    /// Starts the thread; no device is opened.
    ///
    /// # Errors
    /// The system gave no thread.
    pub fn start() -> std::io::Result<Self> {
        let (orders, inbox) = sync_channel(ORDERS);
        let stopping = Arc::new(AtomicBool::new(false));
        let test = Latest::new();
        test.publish(SoundTest::Idle);
        let bell = Bell {
            orders: inbox,
            system: System::new(Arc::clone(&stopping), Arc::new(|| {})),
            test: test.clone(),
        };
        let thread = std::thread::Builder::new().name("ringer".into()).spawn(move || bell.run())?;
        Ok(Self { orders: Some(orders), stopping, test, thread: Some(thread) })
    }

    /// Plays a chime until [`Self::silence`]; `volume` is a factor of its height.
    pub fn ring(&self, chime: Chime, speaker: SpeakerChoice, volume: f32) {
        self.order(Order::Ring { chime, speaker, volume });
    }

    /// Plays the chime for as long as it takes to judge it, and says so.
    pub fn test(&self, chime: Chime, speaker: SpeakerChoice, volume: f32) {
        self.order(Order::Test { chime, speaker, volume });
    }

    /// Records the microphone for 4 s and plays that.
    pub fn hear(&self, microphone: MicrophoneChoice, speaker: SpeakerChoice) {
        self.order(Order::Hear { microphone, speaker });
    }

    /// Ends whatever sounds.
    pub fn silence(&self) {
        self.order(Order::Silence);
    }

    /// How far a test is.
    pub fn sound_test(&self) -> Latest<SoundTest> {
        self.test.clone()
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders
            && orders.try_send(order).is_err()
        {
            tracing::warn!("the sound system does not answer; nothing rings");
        }
    }
}

impl Drop for Ringer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        self.orders = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the ringer panicked");
        }
    }
}

/// The thread's state.
struct Bell {
    orders: Receiver<Order>,
    system: System,
    test: Latest<SoundTest>,
}

/// Why playing ended.
enum End {
    /// It came to its end.
    Over,
    /// Another order, or none any more.
    Interrupted(Option<Order>),
}

impl Bell {
    fn run(mut self) {
        let mut order = self.orders.recv().ok();
        while let Some(present) = order {
            order = match self.carry_out(present) {
                End::Over => self.orders.recv().ok(),
                End::Interrupted(next) => next,
            };
        }
    }

    fn carry_out(&mut self, order: Order) -> End {
        let end = match order {
            Order::Silence => return End::Over,
            Order::Ring { chime, speaker, volume } => return self.ring(chime, &speaker, volume),
            Order::Test { chime, speaker, volume } => {
                let (mut melody, test) = (Melody::tested(chime), self.test.clone());
                let source = move |block: &mut [f32; BLOCK]| melody.read(block);
                let told = move |level| test.publish(SoundTest::Playing { level });
                self.play(&speaker, volume, source, told)
            }
            Order::Hear { microphone, speaker } => self.hear(&microphone, &speaker),
        };
        match end {
            Ok(end) => {
                self.test.publish(SoundTest::Idle);
                end
            }
            Err(error) => {
                self.test.publish(SoundTest::Failed(error.to_string()));
                End::Over
            }
        }
    }

    /// Rings until something else is wanted, whatever the speaker does meanwhile.
    fn ring(&mut self, chime: Chime, speaker: &SpeakerChoice, volume: f32) -> End {
        let mut melody = Melody::new(chime);
        loop {
            match self.play(speaker, volume, |block| melody.read(block), |_| {}) {
                Ok(End::Interrupted(order)) => return End::Interrupted(order),
                Ok(End::Over) => {}
                Err(error) => tracing::info!(%error, "nothing rings"),
            }
            match self.orders.recv_timeout(RETRY) {
                Ok(order) => return End::Interrupted(Some(order)),
                Err(RecvTimeoutError::Disconnected) => return End::Interrupted(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Records, then plays what was recorded.
    fn hear(&mut self, microphone: &MicrophoneChoice, speaker: &SpeakerChoice) -> Result<End, AudioError> {
        let chosen = match microphone {
            MicrophoneChoice::Default => None,
            MicrophoneChoice::Device(name) => Some(name.as_str()),
            MicrophoneChoice::None
            | MicrophoneChoice::Tone
            | MicrophoneChoice::File(_)
            | MicrophoneChoice::Echo => {
                return Err(AudioError::NoDevice("choose a microphone first".into()));
            }
        };
        let Opened { end: mut ring, mut resampler, stream, .. } = self.system.open_microphone(chosen)?;
        let mut recorded = Vec::with_capacity((RECORD.as_secs_f32() * SAMPLE_RATE as f32) as usize);
        let (mut raw, mut loudness) = (Vec::new(), Loudness::default());
        let (begun, mut told) = (Instant::now(), Instant::now());
        while begun.elapsed() < RECORD {
            if let Some(end) = self.interruption() {
                return Ok(end);
            }
            if stream.health.failed() {
                return Err(stopped(&stream));
            }
            raw.clear();
            ring.pop_all(&mut raw);
            let before = recorded.len();
            resampler.process(&raw, &mut recorded);
            loudness.add(&recorded[before..]);
            if told.elapsed() >= LEVEL_INTERVAL {
                told = Instant::now();
                let progress = begun.elapsed().as_secs_f32() / RECORD.as_secs_f32();
                self.test.publish(SoundTest::Recording { level: loudness.take_level() as f32, progress });
            }
        }
        drop(stream);
        let test = self.test.clone();
        let whole = recorded.len().max(1) as f32;
        let at = std::cell::Cell::new(0);
        let source = |block: &mut [f32; BLOCK]| {
            let rest = &recorded[at.get()..];
            let taken = rest.len().min(BLOCK);
            block[..taken].copy_from_slice(&rest[..taken]);
            block[taken..].fill(0.0);
            at.set(at.get() + taken);
            taken == BLOCK
        };
        let told = |level| test.publish(SoundTest::PlayingBack { level, progress: at.get() as f32 / whole });
        self.play(speaker, 1.0, source, told)
    }

    /// Plays until the source is at its end or something else is wanted.
    fn play(
        &mut self,
        speaker: &SpeakerChoice,
        volume: f32,
        mut source: impl FnMut(&mut [f32; BLOCK]) -> bool,
        told: impl Fn(f32),
    ) -> Result<End, AudioError> {
        let Voice { mut ring, mut resampler, hertz, stream } = self.voice(speaker)?;
        let (mut out, mut loudness) = (Vec::new(), Loudness::default());
        let mut last_told = Instant::now();
        let mut over: Option<Instant> = None;
        loop {
            if let Some(end) = self.interruption() {
                return Ok(end);
            }
            if stream.health.failed() {
                return Err(stopped(&stream));
            }
            let wanted = stream.health.largest() + (READY_S * hertz as f32) as usize;
            while over.is_none() && ring.fill() < wanted {
                let mut block = [0.0; BLOCK];
                if !source(&mut block) {
                    over = Some(Instant::now());
                }
                block.iter_mut().for_each(|sample| *sample *= volume);
                loudness.add(&block);
                out.clear();
                resampler.process(&block, &mut out);
                ring.push(&out);
            }
            if over.is_some_and(|since| ring.fill() == 0 && since.elapsed() > TAIL) {
                return Ok(End::Over);
            }
            if last_told.elapsed() >= LEVEL_INTERVAL {
                last_told = Instant::now();
                told(loudness.take_level() as f32);
            }
        }
    }

    /// Opens the speaker that was chosen, else the system's default.
    fn voice(&mut self, speaker: &SpeakerChoice) -> Result<Voice, AudioError> {
        let opened = match speaker {
            SpeakerChoice::Device(name) => {
                self.system.open_speaker(Some(name)).or_else(|_| self.system.open_speaker(None))
            }
            // Also if the calls' sound goes into a file or nowhere: somebody is to hear this.
            SpeakerChoice::Default | SpeakerChoice::File(_) | SpeakerChoice::None => {
                self.system.open_speaker(None)
            }
        };
        let Opened { end: ring, resampler, hertz, stream } = opened?;
        Ok(Voice { ring, resampler, hertz, stream })
    }

    /// Waits a tick; gives what came in between.
    fn interruption(&self) -> Option<End> {
        match self.orders.recv_timeout(TICK) {
            Ok(order) => Some(End::Interrupted(Some(order))),
            Err(RecvTimeoutError::Disconnected) => Some(End::Interrupted(None)),
            Err(RecvTimeoutError::Timeout) => None,
        }
    }
}

/// An open speaker.
struct Voice {
    ring: PlaybackWriter,
    resampler: Resampler,
    hertz: u32,
    stream: OpenStream,
}

fn stopped(stream: &OpenStream) -> AudioError {
    AudioError::Device {
        device: stream.names.name.clone(),
        reason: "it was disconnected, or the sound service stopped".into(),
    }
}
