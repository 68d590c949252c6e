//! The `audio` thread: moves sound in blocks of 10 ms, to speakers in halves of them, between devices, codec and ports.
//!
//! Driven by the calls of the devices, which wake it, else by its own clock, 2.5 ms a tick. A microphone device sets the
//! pace of sending and a speaker device the pace of playing; without a device a timer does. It never opens a device or
//! waits for one.

use super::codec::OpusDecoder;
use super::gain::slope;
use super::pace::{BLOCK_TIME, Cushion, Timer};
use super::playout::Playout;
use super::ports::AudioPorts;
use super::processing::{Drift, Processing};
use super::resample::Resampler;
use super::ring::{Calls, CaptureReader, Health, PlaybackWriter};
use super::sender::Sender;
use super::speech::SpeechDetector;
use super::stats::{AudioStats, Loudness, SoundLevels, samples_ms};
use super::switches::Switches;
use super::tone::{Echo, Tone};
use super::urgency;
use super::wav::{WavSink, WavSource};
use super::{AudioError, BLOCK, FRAME, SAMPLE_RATE};
use crate::media::event::{DeviceKind, MediaEvent, MediaEvents};
use crate::media::reception::SoundPosition;
use crate::media::video::latest::Latest;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;

/// How often what is due is looked after where no device wakes the thread.
const TICK: Duration = Duration::from_micros(2500);
/// How often the figures are renewed.
const STATS_INTERVAL: Duration = Duration::from_millis(100);
/// Of how long a look at everything took, this share is remembered at the next look; a frame of sound from the microphone,
/// which takes longest, comes every tenth look. What took longer than 5 ms was an accident.
const BUSY_MEMORY: f64 = 0.99;
const MOST_BUSY: Duration = Duration::from_millis(5);

/// A speaker device is given sound in parts of 5 ms, samples: the less at once, the later it has to be there.
const PART: usize = BLOCK / 2;

/// Where sound comes from.
pub(crate) enum Input {
    Off,
    Tone(Tone, Timer),
    File(Box<WavSource>, Timer),
    Echo(Box<Echo>),
    Device { ring: CaptureReader, resampler: Resampler, hertz: u32, calls: Calls, waiting: Vec<f32> },
}

/// Where sound goes.
pub(crate) enum Output {
    Off(Timer),
    File(WavSink, Timer),
    Device { ring: PlaybackWriter, resampler: Resampler, hertz: u32, calls: Calls, cushion: Cushion },
}

/// What the keeper of the devices tells the worker.
pub(crate) enum Change {
    Input(Input),
    Output(Output),
}

/// What the session shares with its worker.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) stopping: Arc<AtomicBool>,
    pub(crate) muted: Arc<AtomicBool>,
    pub(crate) switches: Arc<Switches>,
    /// Factor of what is played, the bits of an `f32`.
    pub(crate) volume: Arc<AtomicU32>,
    pub(crate) levels: Latest<SoundLevels>,
    pub(crate) stats: Latest<AudioStats>,
}

/// The thread's state.
pub(crate) struct Worker {
    ports: AudioPorts,
    changes: Receiver<Change>,
    events: MediaEvents,
    shared: Shared,
    input: Input,
    output: Output,
    sender: Sender,
    processing: Processing,
    drift: Drift,
    playout: Playout<OpusDecoder>,
    played: Loudness,
    /// The volume of the block before.
    volume: f32,
    speech: SpeechDetector,
    stats: AudioStats,
    converted: Vec<f32>,
    /// Played, and less than the block that the canceller takes.
    heard: Vec<f32>,
    /// How long it is at work at most before it looks at the speaker's ring again, these days.
    busy: Duration,
}

impl Worker {
    pub(crate) fn new(
        ports: AudioPorts,
        changes: Receiver<Change>,
        events: MediaEvents,
        shared: Shared,
        now: Instant,
    ) -> Result<Self, AudioError> {
        let sender = Sender::new(now, shared.muted.load(Ordering::Relaxed))?;
        let processing = Processing::new(shared.switches.wanted());
        Ok(Self {
            ports,
            changes,
            events,
            shared,
            input: Input::Off,
            output: Output::Off(Timer::new(now)),
            sender,
            processing,
            drift: Drift::default(),
            playout: Playout::new(OpusDecoder::new()?),
            played: Loudness::default(),
            volume: 1.0,
            speech: SpeechDetector::default(),
            stats: AudioStats::default(),
            converted: Vec::with_capacity(SAMPLE_RATE as usize / 10),
            heard: Vec::with_capacity(2 * BLOCK),
            busy: Duration::ZERO,
        })
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        urgency::claim();
        let mut next_stats = Instant::now();
        while !self.shared.stopping.load(Ordering::Acquire) {
            let now = Instant::now();
            while let Ok(packet) = self.ports.packets.try_recv() {
                self.playout.insert(&packet);
            }
            self.follow_changes();
            self.processing.switch(self.shared.switches.wanted());
            // What is played comes first: its echo must not reach the canceller before it.
            self.play(now);
            self.capture(now);
            if now >= next_stats {
                next_stats = now + STATS_INTERVAL;
                self.publish();
            }
            self.busy = now.elapsed().min(MOST_BUSY).max(self.busy.mul_f64(BUSY_MEMORY));
            // Packets wake nobody: they are in time if they are here when sound is taken.
            std::thread::park_timeout(self.tick());
        }
        self.replace_output(Output::Off(Timer::new(Instant::now())));
        self.publish();
    }

    /// How long it may sleep if no device wakes it.
    fn tick(&self) -> Duration {
        match (&self.input, &self.output) {
            (Input::Device { .. } | Input::Echo(_) | Input::Off, Output::Device { .. }) => BLOCK_TIME,
            _ => TICK,
        }
    }

    fn follow_changes(&mut self) {
        while let Ok(change) = self.changes.try_recv() {
            match change {
                Change::Input(input) => {
                    if let Input::Device { ring, .. } = &input {
                        ring.health().wake_me();
                    }
                    self.input = input;
                    // A device gives whole frames: half a one from before it would be 10 ms of delay for good.
                    self.sender.filled = 0;
                }
                Change::Output(output) => {
                    if let Output::Device { ring, .. } = &output {
                        ring.health().wake_me();
                    }
                    self.replace_output(output);
                }
            }
            // Another microphone or another speaker is another room.
            self.processing.restart();
            self.drift = Drift::default();
        }
    }

    fn replace_output(&mut self, output: Output) {
        if let Output::File(sink, _) = std::mem::replace(&mut self.output, output)
            && let Err(error) = sink.finish()
        {
            self.lost(DeviceKind::Speaker, &error);
        }
    }

    /// Sends what the microphone gathered.
    fn capture(&mut self, now: Instant) {
        let muted = self.shared.muted.load(Ordering::Relaxed);
        let mut block = [0.0; BLOCK];
        let mut failure = None;
        match &mut self.input {
            Input::Off | Input::Echo(_) => {}
            Input::Tone(tone, timer) => {
                while let Some(captured) = timer.due(now) {
                    tone.read(&mut block);
                    self.sender.send(&mut block, captured, &self.ports, muted, &mut self.stats);
                }
            }
            Input::File(source, timer) => {
                while failure.is_none()
                    && let Some(captured) = timer.due(now)
                {
                    failure = source.read(&mut block).err();
                    self.sender.send(&mut block, captured, &self.ports, muted, &mut self.stats);
                }
            }
            Input::Device { ring, resampler, waiting, hertz, calls } => {
                if let Some((at, frames)) = calls.follow(ring.health()) {
                    self.drift.note_microphone(at, frames, *hertz);
                    self.processing.set_drift_ppm(self.drift.ppm());
                }
                self.converted.clear();
                ring.pop_all(&mut self.converted);
                resampler.process(&self.converted, waiting);
                self.stats.microphone_overruns = ring.health().glitched();
                let mut taken = 0;
                while waiting.len() - taken >= FRAME {
                    let mut frame = [0.0; FRAME];
                    frame.copy_from_slice(&waiting[taken..taken + FRAME]);
                    self.processing.capture(&mut frame);
                    for block in frame.as_chunks_mut::<BLOCK>().0 {
                        let age = Duration::from_secs_f64(samples_ms(waiting.len() - taken) / 1e3);
                        self.sender.send(block, now - age, &self.ports, muted, &mut self.stats);
                        taken += BLOCK;
                    }
                }
                waiting.drain(..taken);
            }
        }
        if let Some(error) = failure {
            self.input = Input::Off;
            self.lost(DeviceKind::Microphone, &error);
        }
    }

    /// Plays what is due.
    fn play(&mut self, now: Instant) {
        if let Output::Device { ring, hertz, calls, .. } = &mut self.output
            && let Some((at, frames)) = calls.follow(ring.health())
        {
            self.drift.note_speaker(at, frames, *hertz);
        }
        loop {
            let length = match &mut self.output {
                Output::Off(timer) | Output::File(_, timer) => timer.due(now).map(|_| BLOCK),
                Output::Device { ring, hertz, cushion, .. } => {
                    let scale = |samples: usize| samples * *hertz as usize / SAMPLE_RATE as usize;
                    let health = ring.health();
                    let wanted = if health.can_wait() {
                        PART
                    } else {
                        // Before it called for the first time nobody knows how much it takes.
                        let at_once = match cushion.at_once(health, now) {
                            0 => scale(BLOCK),
                            largest => largest,
                        };
                        let busy = (self.busy.as_secs_f64() * f64::from(*hertz)) as usize;
                        at_once + busy + scale(cushion.adapt(health.glitched(), now))
                    };
                    (ring.fill() < wanted).then_some(PART)
                }
            };
            let Some(length) = length else { return };
            let mut block = [0.0; BLOCK];
            let sound = &mut block[..length];
            self.playout.pull(now, sound);
            let volume = f32::from_bits(self.shared.volume.load(Ordering::Relaxed));
            slope(sound, std::mem::replace(&mut self.volume, volume), volume);
            self.played.add(sound);
            let mut failure = None;
            match &mut self.output {
                Output::Off(_) => {}
                Output::File(sink, _) => failure = sink.write(sound).err(),
                Output::Device { ring, resampler, .. } => {
                    self.converted.clear();
                    resampler.process(sound, &mut self.converted);
                    ring.push(&self.converted);
                }
            }
            if let Some(error) = failure {
                self.output = Output::Off(Timer::new(now));
                self.lost(DeviceKind::Speaker, &error);
            }
            self.hear(now, &block[..length]);
        }
    }

    /// What is played is heard by the echo canceller, or by the echo itself.
    fn hear(&mut self, now: Instant, sound: &[f32]) {
        self.heard.extend_from_slice(sound);
        let Some(block) = self.heard.first_chunk::<BLOCK>() else { return };
        match &mut self.input {
            // The very signal that the speaker gets; without a speaker nothing can be heard of it.
            Input::Device { .. } if matches!(self.output, Output::Device { .. }) => {
                self.processing.render(block);
            }
            Input::Device { .. } => self.processing.render(&[0.0; BLOCK]),
            Input::Echo(echo) => {
                let mut echoed = echo.exchange(block);
                let muted = self.shared.muted.load(Ordering::Relaxed);
                self.sender.send(&mut echoed, now, &self.ports, muted, &mut self.stats);
            }
            Input::Off | Input::Tone(..) | Input::File(..) => {}
        }
        self.heard.drain(..BLOCK);
    }

    fn lost(&self, kind: DeviceKind, error: &hound::Error) {
        let event =
            MediaEvent::Lost { kind, device: "sound file".into(), reason: error.to_string(), fallback: None };
        if self.events.try_send(event).is_err() {
            tracing::warn!(%error, "the engine did not take the news of a failed sound file");
        }
    }

    /// Tells what is heard, and holds sound back for its picture's sake.
    fn keep_lips(&mut self) {
        let reception = self.ports.control.reception();
        self.playout.set_extra_delay_ms(reception.sound_hold().as_secs_f64() * 1e3);
        if let Some(playing) = self.playout.playing() {
            // What leaves the playout next is heard when the ring before it has run out.
            let waits = Duration::from_secs_f64(self.stats.speaker_ring_ms / 1e3);
            let at = Instant::now() + waits;
            reception.set_sound(SoundPosition { ssrc: playing.ssrc, rtp_timestamp: playing.timestamp, at });
        }
    }

    fn publish(&mut self) {
        let playout = self.playout.stats();
        (self.stats.sent_energy, self.stats.sent_samples) = self.sender.loudness.totals();
        (self.stats.received_energy, self.stats.received_samples) = self.played.totals();
        self.stats.sent_level = self.sender.loudness.take_level();
        self.stats.microphone_level = self.sender.heard.take_level();
        self.stats.processing = self.processing.figures();
        self.stats.received_level = self.played.take_level();
        self.stats.received_packets = playout.packets;
        self.stats.late_packets = playout.late;
        self.stats.duplicate_packets = playout.duplicates;
        self.stats.malformed_packets = playout.malformed;
        self.stats.repaired_packets = playout.repaired;
        self.stats.played_samples = playout.played;
        self.stats.concealed_samples = playout.concealed;
        self.stats.shortened_samples = playout.shortened;
        self.stats.lengthened_samples = playout.lengthened;
        self.stats.buffer_ms = self.playout.buffered_ms();
        let ring_ms = |frames: usize, hertz: u32| frames as f64 * 1e3 / f64::from(hertz);
        let device_ms = |health: &Health| health.device_latency().as_secs_f64() * 1e3;
        (self.stats.speaker_ring_ms, self.stats.speaker_device_ms) = (0.0, 0.0);
        (self.stats.microphone_ring_ms, self.stats.microphone_device_ms) = (0.0, 0.0);
        if let Input::Device { ring, hertz, waiting, .. } = &self.input {
            self.stats.microphone_ring_ms =
                ring_ms(ring.fill(), *hertz) + samples_ms(waiting.len() + self.sender.filled);
            self.stats.microphone_device_ms = device_ms(ring.health());
        }
        if let Output::Device { ring, hertz, .. } = &self.output {
            self.stats.speaker_ring_ms = ring_ms(ring.fill(), *hertz);
            self.stats.speaker_device_ms = device_ms(ring.health());
            self.stats.speaker_underruns = ring.health().glitched();
            self.stats.speaker_starvations = ring.health().starved();
        }
        self.keep_lips();
        self.shared.stats.publish(self.stats);
        let (microphone, speaker) = (self.stats.microphone_level as f32, self.stats.received_level as f32);
        let speaking = self.speech.handle_level(microphone);
        self.shared.levels.publish(SoundLevels { microphone, speaker, speaking });
    }
}
