//! Rings between a device's callback and the `audio` thread.
//!
//! The callback's ends do pushes, pops and atomics, and wake the `audio` thread: they never lock, log, allocate or panic.
//! They carry the device's own rate, mixed to mono.

use cpal::{FromSample, Sample};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Sound that may wait in a ring: 1 s, far above what devices hand over at once. A full capture ring drops the
/// newest, an empty playback ring gives silence; both are counted.
const RING_SECONDS: usize = 1;

/// Between two calls that show that a device runs, milliseconds: less than a usual callback of 10 ms holds, and more
/// than the calls that fill a stream at its beginning take together.
const RUNS_AFTER_MS: u64 = 4;

/// What a callback leaves behind for the threads that watch it.
pub(crate) struct Health {
    since: Instant,
    called_ms: AtomicU64,
    /// The first call, plus one; 0 before it.
    begun_ms: AtomicU64,
    /// Microseconds at the last call, and frames moved up to and with it, both modulo 2^32: together, so that no reader
    /// sees the one without the other.
    clock: AtomicU64,
    largest: AtomicU32,
    /// How late the device is, where the sound system tells, microseconds.
    device_us: AtomicU32,
    /// Frames dropped (capture) or missing (playback).
    glitched: AtomicU64,
    /// How often the sound system itself ran out of sound for the speaker.
    starved: AtomicU64,
    failed: AtomicBool,
    /// Whom every call wakes: there is sound to send, or room for sound to play. Devices only read it, which is an atomic.
    sleeper: OnceLock<Thread>,
    /// Who took less than it wanted is told that there is more, if it can wait for it.
    server: OnceLock<Box<dyn Fn() + Send + Sync>>,
    waits: AtomicBool,
}

impl Health {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            since: Instant::now(),
            called_ms: AtomicU64::new(0),
            begun_ms: AtomicU64::new(0),
            clock: AtomicU64::new(0),
            largest: AtomicU32::new(0),
            device_us: AtomicU32::new(0),
            glitched: AtomicU64::new(0),
            starved: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            sleeper: OnceLock::new(),
            server: OnceLock::new(),
            waits: AtomicBool::new(false),
        })
    }

    fn called(&self, frames: usize) {
        let elapsed = self.since.elapsed();
        let called_ms = elapsed.as_millis() as u64;
        self.called_ms.store(called_ms, Ordering::Relaxed);
        // Only the callback writes it.
        if self.begun_ms.load(Ordering::Relaxed) == 0 {
            self.begun_ms.store(called_ms + 1, Ordering::Relaxed);
        }
        // Only the callback writes it.
        let moved = (self.clock.load(Ordering::Relaxed) as u32).wrapping_add(frames as u32);
        self.clock.store(u64::from(elapsed.as_micros() as u32) << 32 | u64::from(moved), Ordering::Relaxed);
        self.largest.fetch_max(frames as u32, Ordering::Relaxed);
    }

    /// From now on every call wakes the thread that asks for it. The first that asks stays the one.
    pub(crate) fn wake_me(&self) {
        drop(self.sleeper.set(std::thread::current()));
    }

    /// Unparking is an atomic and, if it slept, a system call that does not wait.
    fn wake(&self) {
        if let Some(sleeper) = self.sleeper.get() {
            sleeper.unpark();
        }
    }

    /// The device takes what is there, and waits for the rest until it is told: it has sound ahead of its own. A device
    /// with a callback cannot wait.
    pub(crate) fn tell(&self, server: impl Fn() + Send + Sync + 'static) {
        drop(self.server.set(Box::new(server)));
    }

    /// Whether it is such a device.
    pub(crate) fn can_wait(&self) -> bool {
        self.server.get().is_some()
    }

    /// So many frames that the device wanted never came.
    pub(crate) fn miss(&self, frames: usize) {
        self.glitched.fetch_add(frames as u64, Ordering::Relaxed);
    }

    /// Whether the device moves sound. A sound server asks for the first of it when a stream is made, which may be long
    /// before the device is connected to it; who is asked again some time later is heard.
    pub(crate) fn runs(&self) -> bool {
        let begun_ms = self.begun_ms.load(Ordering::Relaxed);
        begun_ms != 0 && self.called_ms.load(Ordering::Relaxed) >= begun_ms + RUNS_AFTER_MS
    }

    /// How long the callback has not been called.
    pub(crate) fn quiet(&self) -> Duration {
        self.since.elapsed().saturating_sub(Duration::from_millis(self.called_ms.load(Ordering::Relaxed)))
    }

    /// The sound system's account of how long sound stays in the device and in its own buffers.
    pub(crate) fn set_device_latency(&self, latency: Duration) {
        self.device_us.store(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// The same; zero where nothing is known.
    pub(crate) fn device_latency(&self) -> Duration {
        Duration::from_micros(u64::from(self.device_us.load(Ordering::Relaxed)))
    }

    /// Begins a new measurement of the largest callback and gives the old one, frames.
    pub(crate) fn take_largest(&self) -> usize {
        self.largest.swap(0, Ordering::Relaxed) as usize
    }

    /// Largest callback of this measurement, frames.
    pub(crate) fn largest(&self) -> usize {
        self.largest.load(Ordering::Relaxed) as usize
    }

    /// Frames dropped or missing so far.
    pub(crate) fn glitched(&self) -> u64 {
        self.glitched.load(Ordering::Relaxed)
    }

    /// The sound system had nothing to play although the ring may have had: it was given sound too late.
    pub(crate) fn starve(&self) {
        self.starved.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it had nothing, so far.
    pub(crate) fn starved(&self) -> u64 {
        self.starved.load(Ordering::Relaxed)
    }

    /// The device reported that it stopped for good.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// Whether it has.
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

/// Follows the calls of a device: when it called last, and how many frames it had moved by then.
#[derive(Default)]
pub(crate) struct Calls {
    last: u64,
    micros: u64,
    frames: u64,
}

impl Calls {
    /// The newest call, if there was one since the last time.
    pub(crate) fn follow(&mut self, health: &Health) -> Option<(Duration, u64)> {
        let now = health.clock.load(Ordering::Relaxed);
        let before = std::mem::replace(&mut self.last, now);
        let [time, time_before] = [now, before].map(|packed| (packed >> 32) as u32);
        let [frames, frames_before] = [now, before].map(|packed| packed as u32);
        self.micros += u64::from(time.wrapping_sub(time_before));
        self.frames += u64::from(frames.wrapping_sub(frames_before));
        (frames != frames_before).then(|| (Duration::from_micros(self.micros), self.frames))
    }
}

/// The capture callback's end.
pub(crate) struct CaptureWriter {
    ring: rtrb::Producer<f32>,
    health: Arc<Health>,
    channels: usize,
}

/// The `audio` thread's end of a capture ring.
pub(crate) struct CaptureReader {
    ring: rtrb::Consumer<f32>,
    health: Arc<Health>,
}

/// The `audio` thread's end of a playback ring.
pub(crate) struct PlaybackWriter {
    ring: rtrb::Producer<f32>,
    health: Arc<Health>,
}

/// The playback callback's end.
pub(crate) struct PlaybackReader {
    ring: rtrb::Consumer<f32>,
    health: Arc<Health>,
    channels: usize,
    /// Silence before the first sound is no fault.
    begun: bool,
}

/// A ring from a microphone of this rate and number of channels.
pub(crate) fn capture(hertz: u32, channels: u16) -> (CaptureWriter, CaptureReader, Arc<Health>) {
    let (producer, consumer) = rtrb::RingBuffer::new(hertz as usize * RING_SECONDS);
    let health = Health::new();
    let writer =
        CaptureWriter { ring: producer, health: Arc::clone(&health), channels: usize::from(channels.max(1)) };
    (writer, CaptureReader { ring: consumer, health: Arc::clone(&health) }, health)
}

/// A ring to a speaker of this rate and number of channels.
pub(crate) fn playback(hertz: u32, channels: u16) -> (PlaybackWriter, PlaybackReader, Arc<Health>) {
    let (producer, consumer) = rtrb::RingBuffer::new(hertz as usize * RING_SECONDS);
    let health = Health::new();
    let reader = PlaybackReader {
        ring: consumer,
        health: Arc::clone(&health),
        channels: usize::from(channels.max(1)),
        begun: false,
    };
    (PlaybackWriter { ring: producer, health: Arc::clone(&health) }, reader, health)
}

impl CaptureWriter {
    /// Takes interleaved samples from the device.
    pub(crate) fn push<T: Sample>(&mut self, interleaved: &[T])
    where
        f32: FromSample<T>,
    {
        let frames = interleaved.len() / self.channels;
        self.health.called(frames);
        let fits = frames.min(self.ring.slots());
        if fits < frames {
            self.health.miss(frames - fits);
        }
        if let Ok(chunk) = self.ring.write_chunk_uninit(fits) {
            let scale = 1.0 / self.channels as f32;
            chunk.fill_from_iter(
                interleaved
                    .chunks_exact(self.channels)
                    .map(|frame| frame.iter().map(|s| f32::from_sample(*s)).sum::<f32>() * scale),
            );
        }
        self.health.wake();
    }
}

impl CaptureReader {
    /// Appends all that is there.
    pub(crate) fn pop_all(&mut self, out: &mut Vec<f32>) {
        if let Ok(chunk) = self.ring.read_chunk(self.ring.slots()) {
            let (head, tail) = chunk.as_slices();
            out.extend_from_slice(head);
            out.extend_from_slice(tail);
            chunk.commit_all();
        }
    }

    /// What the callback leaves behind.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// Frames that wait.
    pub(crate) fn fill(&self) -> usize {
        self.ring.slots()
    }
}

impl PlaybackWriter {
    /// Samples that wait.
    pub(crate) fn fill(&self) -> usize {
        self.ring.buffer().capacity() - self.ring.slots()
    }

    /// Appends samples; what does not fit is dropped and counted.
    pub(crate) fn push(&mut self, samples: &[f32]) {
        let (_, rest) = self.ring.push_partial_slice(samples);
        if !rest.is_empty() {
            self.health.miss(rest.len());
        }
        // Against the fence of `take`: either it sees these samples, or this sees that it waits.
        fence(Ordering::SeqCst);
        if let Some(server) = self.health.server.get()
            && self.health.waits.swap(false, Ordering::Relaxed)
        {
            server();
        }
    }

    /// What the callback leaves behind.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }
}

impl PlaybackReader {
    /// Fills the beginning of `samples` with what is there, and says how much that is; who wanted more is told when there
    /// is ([`Health::tell`]). Before the first sound, and after the last, all of it is silence.
    pub(crate) fn take(&mut self, samples: &mut [f32]) -> usize {
        let wanted = samples.len();
        let mut ready = wanted.min(self.ring.slots());
        if ready < wanted {
            self.health.waits.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            ready = wanted.min(self.ring.slots());
        }
        if !self.begun && ready == 0 || self.ring.is_abandoned() {
            self.pop(samples);
            return wanted;
        }
        if ready > 0 {
            self.pop(&mut samples[..ready]);
        }
        ready
    }

    /// Fills interleaved samples for the device; what is missing stays silent.
    pub(crate) fn pop<T: Sample + FromSample<f32>>(&mut self, interleaved: &mut [T]) {
        let frames = interleaved.len() / self.channels;
        // At first a sound server fills its own buffer with more than it will ever ask for again.
        self.health.called(if self.begun { frames } else { 0 });
        let ready = frames.min(self.ring.slots());
        let (sounding, silent) = interleaved.split_at_mut(ready * self.channels);
        if let Ok(chunk) = self.ring.read_chunk(ready) {
            let (head, tail) = chunk.as_slices();
            for (frame, sample) in sounding.chunks_exact_mut(self.channels).zip(head.iter().chain(tail)) {
                frame.fill(T::from_sample(sample.clamp(-1.0, 1.0)));
            }
            chunk.commit_all();
        }
        silent.fill(T::EQUILIBRIUM);
        self.begun |= ready > 0;
        if self.begun && ready < frames {
            self.health.miss(frames - ready);
        }
        self.health.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stereo_16_bit_is_mixed_down_and_comes_out_on_every_channel() {
        let (mut from_device, mut reader, health) = capture(44_100, 2);
        from_device.push(&[16_384i16, 0, -16_384, -16_384]);
        let mut got = Vec::new();
        reader.pop_all(&mut got);
        assert_eq!(got, [0.25, -0.5]);
        assert_eq!(health.largest(), 2);
        let (mut writer, mut to_device, _) = playback(44_100, 3);
        writer.push(&[0.5, -2.0]);
        let mut out = [7i16; 9];
        to_device.pop(&mut out);
        assert_eq!(out, [16_384, 16_384, 16_384, -32_768, -32_768, -32_768, 0, 0, 0]);
    }

    #[test]
    fn a_full_ring_drops_the_newest_and_an_empty_one_gives_silence_and_both_count() {
        let (mut from_device, mut reader, health) = capture(100, 1);
        from_device.push(&[0.1f32; 90]);
        from_device.push(&[0.2f32; 30]);
        assert_eq!(health.glitched(), 20);
        let mut got = Vec::new();
        reader.pop_all(&mut got);
        assert_eq!(got.len(), 100);
        assert_eq!(got[99], 0.2);
        let (mut writer, mut to_device, health) = playback(100, 1);
        let mut out = [1.0f32; 10];
        to_device.pop(&mut out);
        assert_eq!((out, health.glitched()), ([0.0; 10], 0), "nothing was promised yet");
        writer.push(&[0.3; 4]);
        assert_eq!(writer.fill(), 4);
        to_device.pop(&mut out);
        assert_eq!((out[3], out[4], health.glitched()), (0.3, 0.0, 6));
    }

    #[test]
    fn who_can_wait_takes_what_is_there_and_is_told_of_the_rest_once() {
        let (mut writer, mut reader, health) = playback(48_000, 1);
        let told = Arc::new(AtomicU32::new(0));
        let teller = Arc::clone(&told);
        health.tell(move || {
            teller.fetch_add(1, Ordering::Relaxed);
        });
        let mut out = [1.0f32; 10];
        assert_eq!((reader.take(&mut out), out), (10, [0.0; 10]), "nothing was promised yet");
        writer.push(&[0.5; 4]);
        let count = || told.load(Ordering::Relaxed);
        assert_eq!((reader.take(&mut out), count()), (4, 1));
        assert_eq!((reader.take(&mut out), count()), (0, 1));
        writer.push(&[0.5; 20]);
        assert_eq!((reader.take(&mut out), count()), (10, 2));
        writer.push(&[0.5; 20]);
        assert_eq!((count(), health.glitched()), (2, 0), "it was served");
        drop(writer);
        assert_eq!(reader.take(&mut [0.0; 50]), 50, "nothing comes any more");
    }

    #[test]
    fn calls_are_followed_past_the_end_of_their_counters() {
        let (mut from_device, mut reader, health) = capture(48_000, 1);
        let mut calls = Calls::default();
        assert_eq!(calls.follow(&health), None);
        let near_the_end = u64::from(u32::MAX - 10) << 32 | u64::from(u32::MAX - 100);
        health.clock.store(near_the_end, Ordering::Relaxed);
        calls.follow(&health).unwrap();
        from_device.push(&[0.0f32; 480]);
        let (at, frames) = calls.follow(&health).unwrap();
        assert_eq!(frames, u64::from(u32::MAX) + 380);
        assert!(at > Duration::from_micros(u64::from(u32::MAX - 10)), "{at:?}");
        assert_eq!(calls.follow(&health), None);
        reader.pop_all(&mut Vec::new());
    }

    #[test]
    fn unsigned_formats_rest_at_their_middle() {
        let (_, mut to_device, _) = playback(100, 1);
        let mut out = [0u8; 4];
        to_device.pop(&mut out);
        assert_eq!(out, [128; 4]);
    }

    #[test]
    fn a_device_runs_when_it_has_called_twice_with_time_between() {
        let (mut writer, _reader, health) = capture(48_000, 1);
        assert!(!health.runs(), "not called yet");
        (0..3).for_each(|_| writer.push(&[0.1f32; 480]));
        assert!(!health.runs(), "what fills a stream at its beginning");
        std::thread::sleep(Duration::from_millis(RUNS_AFTER_MS + 2));
        assert!(!health.runs(), "time alone");
        writer.push(&[0.1f32; 480]);
        assert!(health.runs());
    }
}
