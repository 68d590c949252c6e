//! The `audio` thread: moves sound in 10 ms blocks between devices, codec and ports.
//!
//! Driven by its own clock, 5 ms a tick, and by arriving packets. A microphone device sets the pace of sending and a
//! speaker device the pace of playing; without a device a timer does. It never opens a device or waits for one.

use super::codec::{Encoded, Encoder, OpusDecoder};
use super::playout::Playout;
use super::resample::Resampler;
use super::ring::{CaptureReader, PlaybackWriter};
use super::session::AudioPorts;
use super::stats::{AudioStats, Loudness, samples_ms};
use super::tone::{Echo, Tone};
use super::wav::{WavSink, WavSource};
use super::{AudioError, BLOCK, FRAME, SAMPLE_RATE};
use crate::media::event::{DeviceKind, MediaEvent, MediaEvents};
use crate::media::ports::EncodedAudio;
use crate::media::reception::SoundPosition;
use crate::media::video::latest::Latest;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;

/// How often the rings are looked after.
const TICK: Duration = Duration::from_millis(5);
/// Length of a block.
const BLOCK_TIME: Duration = Duration::from_millis(10);
/// A timer that fell behind this much (the machine slept) starts anew instead of catching up.
const MAX_BEHIND: Duration = Duration::from_secs(10);
/// How often the figures are renewed.
const STATS_INTERVAL: Duration = Duration::from_millis(100);
/// Sound kept ready for the speaker beyond its largest callback, samples: the tick, and as much again for a thread
/// that is woken late. Grows by a step with every underrun and shrinks again, a step at a time, without one.
const CUSHION: usize = 240;
const CUSHION_MAX: usize = 2880;
const CUSHION_CALM: Duration = Duration::from_secs(20);
/// Sound that is missing for longer than this has a gap in the RTP timestamps too.
const GAP: Duration = Duration::from_millis(100);

/// Where sound comes from.
pub(crate) enum Input {
    Off,
    Tone(Tone, Timer),
    File(Box<WavSource>, Timer),
    Echo(Box<Echo>),
    Device { ring: CaptureReader, resampler: Resampler, waiting: Vec<f32> },
}

/// Where sound goes.
pub(crate) enum Output {
    Off(Timer),
    File(WavSink, Timer),
    Device { ring: PlaybackWriter, resampler: Resampler, hertz: u32, cushion: Cushion },
}

/// What the keeper of the devices tells the worker.
pub(crate) enum Change {
    Input(Input),
    Output(Output),
}

/// Counts the blocks that are due.
pub(crate) struct Timer {
    start: Instant,
    blocks: u32,
}

impl Timer {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, blocks: 0 }
    }

    /// When the next block was due, if it was; call until it is not.
    fn due(&mut self, now: Instant) -> Option<Instant> {
        let mut next = self.start + BLOCK_TIME * self.blocks;
        if next > now {
            return None;
        }
        if now.saturating_duration_since(next) > MAX_BEHIND || self.blocks == u32::MAX {
            *self = Self::new(now);
            next = now;
        }
        self.blocks += 1;
        Some(next)
    }
}

/// How much sound a speaker's ring is kept filled with.
pub(crate) struct Cushion {
    extra: usize,
    glitched: u64,
    changed: Instant,
}

impl Cushion {
    pub(crate) fn new(now: Instant) -> Self {
        Self { extra: CUSHION, glitched: 0, changed: now }
    }

    fn adapt(&mut self, glitched: u64, now: Instant) -> usize {
        if glitched != std::mem::replace(&mut self.glitched, glitched) {
            self.extra = (self.extra + CUSHION).min(CUSHION_MAX);
            self.changed = now;
        } else if now.saturating_duration_since(self.changed) > CUSHION_CALM {
            self.extra = self.extra.saturating_sub(CUSHION).max(CUSHION);
            self.changed = now;
        }
        self.extra
    }
}

/// What the session shares with its worker.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) stopping: Arc<AtomicBool>,
    pub(crate) muted: Arc<AtomicBool>,
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
    playout: Playout<OpusDecoder>,
    played: Loudness,
    stats: AudioStats,
    converted: Vec<f32>,
}

/// The sending half behind the microphone.
struct Sender {
    encoder: Encoder,
    frame: [f32; FRAME],
    filled: usize,
    /// When the frame's first sample was captured.
    captured: Instant,
    /// When the next frame would begin if sound went on without a gap.
    expected: Option<Instant>,
    timestamp: u32,
    gain: f32,
    loudness: Loudness,
}

impl Worker {
    pub(crate) fn new(
        ports: AudioPorts,
        changes: Receiver<Change>,
        events: MediaEvents,
        shared: Shared,
        now: Instant,
    ) -> Result<Self, AudioError> {
        let sender = Sender {
            encoder: Encoder::new()?,
            frame: [0.0; FRAME],
            filled: 0,
            captured: now,
            expected: None,
            timestamp: rand::random(),
            gain: if shared.muted.load(Ordering::Relaxed) { 0.0 } else { 1.0 },
            loudness: Loudness::default(),
        };
        Ok(Self {
            ports,
            changes,
            events,
            shared,
            input: Input::Off,
            output: Output::Off(Timer::new(now)),
            sender,
            playout: Playout::new(OpusDecoder::new()?),
            played: Loudness::default(),
            stats: AudioStats::default(),
            converted: Vec::with_capacity(SAMPLE_RATE as usize / 10),
        })
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) {
        let mut next_tick = Instant::now();
        let mut next_stats = next_tick;
        let mut connected = true;
        while !self.shared.stopping.load(Ordering::Acquire) {
            let now = Instant::now();
            let wait = next_tick.saturating_duration_since(now);
            if !wait.is_zero() {
                if connected {
                    match self.ports.packets.recv_timeout(wait) {
                        Ok(packet) => self.playout.insert(&packet),
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => connected = false,
                    }
                } else {
                    std::thread::park_timeout(wait);
                }
                continue;
            }
            // Kept up with, not made up for: a missed tick is followed by one, not by many.
            next_tick = (next_tick + TICK).max(now);
            while let Ok(packet) = self.ports.packets.try_recv() {
                self.playout.insert(&packet);
            }
            self.follow_changes();
            self.capture(now);
            self.play(now);
            if now >= next_stats {
                next_stats = now + STATS_INTERVAL;
                self.publish();
            }
        }
        self.replace_output(Output::Off(Timer::new(Instant::now())));
        self.publish();
    }

    fn follow_changes(&mut self) {
        while let Ok(change) = self.changes.try_recv() {
            match change {
                Change::Input(input) => self.input = input,
                Change::Output(output) => self.replace_output(output),
            }
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
        let mut block = [0.0; BLOCK];
        let mut failure = None;
        match &mut self.input {
            Input::Off | Input::Echo(_) => {}
            Input::Tone(tone, timer) => {
                while let Some(captured) = timer.due(now) {
                    tone.read(&mut block);
                    self.sender.send(&mut block, captured, &self.ports, &self.shared, &mut self.stats);
                }
            }
            Input::File(source, timer) => {
                while failure.is_none()
                    && let Some(captured) = timer.due(now)
                {
                    failure = source.read(&mut block).err();
                    self.sender.send(&mut block, captured, &self.ports, &self.shared, &mut self.stats);
                }
            }
            Input::Device { ring, resampler, waiting } => {
                self.converted.clear();
                ring.pop_all(&mut self.converted);
                resampler.process(&self.converted, waiting);
                self.stats.microphone_overruns = ring.glitched();
                let mut taken = 0;
                while waiting.len() - taken >= BLOCK {
                    block.copy_from_slice(&waiting[taken..taken + BLOCK]);
                    let age = Duration::from_secs_f64(samples_ms(waiting.len() - taken) / 1e3);
                    self.sender.send(&mut block, now - age, &self.ports, &self.shared, &mut self.stats);
                    taken += BLOCK;
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
        loop {
            let due = match &mut self.output {
                Output::Off(timer) | Output::File(_, timer) => timer.due(now).is_some(),
                Output::Device { ring, hertz, cushion, .. } => {
                    let scale = |samples: usize| samples * *hertz as usize / SAMPLE_RATE as usize;
                    let wanted =
                        ring.largest().max(scale(BLOCK)) + scale(cushion.adapt(ring.glitched(), now));
                    ring.fill() < wanted
                }
            };
            if !due {
                return;
            }
            let mut block = [0.0; BLOCK];
            self.playout.pull(now, &mut block);
            self.played.add(&block);
            if let Input::Echo(echo) = &mut self.input {
                let mut echoed = echo.exchange(&block);
                self.sender.send(&mut echoed, now, &self.ports, &self.shared, &mut self.stats);
            }
            let mut failure = None;
            match &mut self.output {
                Output::Off(_) => {}
                Output::File(sink, _) => failure = sink.write(&block).err(),
                Output::Device { ring, resampler, .. } => {
                    self.converted.clear();
                    resampler.process(&block, &mut self.converted);
                    ring.push(&self.converted);
                }
            }
            if let Some(error) = failure {
                self.output = Output::Off(Timer::new(now));
                self.lost(DeviceKind::Speaker, &error);
            }
        }
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
        self.stats.speaker_ring_ms = 0.0;
        if let Output::Device { ring, hertz, .. } = &self.output {
            self.stats.speaker_ring_ms = ring.fill() as f64 * 1e3 / f64::from(*hertz);
            self.stats.speaker_underruns = ring.glitched();
        }
        self.keep_lips();
        self.shared.stats.publish(self.stats);
    }
}

impl Sender {
    /// Takes 10 ms whose first sample was captured at `captured`.
    fn send(
        &mut self,
        block: &mut [f32; BLOCK],
        captured: Instant,
        ports: &AudioPorts,
        shared: &Shared,
        stats: &mut AudioStats,
    ) {
        self.apply_mute(block, shared.muted.load(Ordering::Relaxed));
        self.loudness.add(block);
        if !ports.control.sending() {
            self.filled = 0;
            return;
        }
        if self.filled == 0 {
            self.captured = captured;
        }
        self.frame[self.filled..self.filled + BLOCK].copy_from_slice(block);
        self.filled += BLOCK;
        if self.filled < FRAME {
            return;
        }
        self.filled = 0;
        if let Err(error) = self.encode(ports, stats) {
            // Cannot happen with frames of 20 ms and a buffer of full size; if it does, the frame is lost, not the call.
            tracing::warn!(%error, "a frame of sound could not be encoded");
        }
    }

    fn encode(&mut self, ports: &AudioPorts, stats: &mut AudioStats) -> Result<(), opus::Error> {
        let missing = self.expected.map(|expected| self.captured.saturating_duration_since(expected));
        if missing.is_none_or(|missing| missing > GAP) {
            let samples = missing.unwrap_or_default().as_secs_f64() * f64::from(SAMPLE_RATE);
            self.timestamp = self.timestamp.wrapping_add(samples as u64 as u32);
            self.encoder.restart()?;
        }
        self.expected = Some(self.captured + 2 * BLOCK_TIME);
        self.encoder.adapt(ports.control.audio_bits_per_second(), ports.control.audio_loss())?;
        let rtp_timestamp = self.timestamp;
        self.timestamp = self.timestamp.wrapping_add(FRAME as u32);
        if let Encoded::Packet { data, talk_spurt } = self.encoder.encode(&self.frame)? {
            let octets = data.len() as u64;
            let packet = EncodedAudio { data, captured: self.captured, rtp_timestamp, talk_spurt };
            match ports.out.try_send(packet) {
                Ok(()) => {
                    stats.sent_packets += 1;
                    stats.sent_octets += octets;
                }
                Err(TrySendError::Full(_) | TrySendError::Closed(_)) => stats.sent_dropped += 1,
            }
        }
        Ok(())
    }

    /// Silences the block, or lets it through; a change is a slope over the block, so that nobody hears a click.
    fn apply_mute(&mut self, block: &mut [f32; BLOCK], muted: bool) {
        let wanted = if muted { 0.0 } else { 1.0 };
        if self.gain == wanted {
            if muted {
                block.fill(0.0);
            }
            return;
        }
        let step = (wanted - self.gain) / BLOCK as f32;
        for sample in block {
            self.gain += step;
            *sample *= self.gain;
        }
        self.gain = wanted;
    }
}
