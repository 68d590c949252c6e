//! Figures of the picture's path: written by its threads, read by whoever wants a snapshot. Atomics only.

use super::frame::Size;
use crate::media::ports::{CodecCell, VideoCodec};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Frame durations that the freeze detection averages over (W3C `freezeCount`).
const FREEZE_WINDOW: usize = 30;
/// A gap of at least the average plus this is a freeze, if it is also three times the average (W3C `freezeCount`).
const FREEZE_MARGIN: Duration = Duration::from_millis(150);

/// A counter or gauge.
#[derive(Debug, Default)]
pub(crate) struct Figure(AtomicU64);

impl Figure {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set_size(&self, size: Size) {
        self.set(u64::from(size.width) << 32 | u64::from(size.height));
    }

    pub(crate) fn size(&self) -> Option<Size> {
        let value = self.value();
        (value != 0).then(|| Size::new((value >> 32) as u32, value as u32))
    }
}

/// Figures of the encoder.
#[derive(Debug, Default)]
pub struct VideoSendStats {
    pub(crate) codec: CodecCell,
    pub(crate) size: Figure,
    pub(crate) captured: Figure,
    pub(crate) encoded: Figure,
    pub(crate) keyframes: Figure,
    pub(crate) dropped: Figure,
    pub(crate) octets: Figure,
    pub(crate) target_bits_per_second: Figure,
    pub(crate) encode_micros: Figure,
}

/// The encoder's figures at one moment, since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VideoSendSnapshot {
    /// Codec of the newest encoded picture.
    pub codec: Option<VideoCodec>,
    /// Size of the newest encoded picture.
    pub size: Option<Size>,
    /// Pictures seen while sending.
    pub captured: u64,
    /// Pictures encoded.
    pub encoded: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// Encoded pictures thrown away because the transport did not keep up.
    pub dropped: u64,
    /// Octets encoded.
    pub octets: u64,
    /// What the encoder aims at, bits per second.
    pub target_bits_per_second: u64,
    /// Time spent encoding.
    pub encode_time: Duration,
}

impl VideoSendStats {
    /// All figures.
    pub fn snapshot(&self) -> VideoSendSnapshot {
        VideoSendSnapshot {
            codec: self.codec.value(),
            size: self.size.size(),
            captured: self.captured.value(),
            encoded: self.encoded.value(),
            keyframes: self.keyframes.value(),
            dropped: self.dropped.value(),
            octets: self.octets.value(),
            target_bits_per_second: self.target_bits_per_second.value(),
            encode_time: Duration::from_micros(self.encode_micros.value()),
        }
    }
}

/// Figures of the receiver.
#[derive(Debug)]
pub struct VideoReceiveStats {
    pub(crate) codec: CodecCell,
    pub(crate) size: Figure,
    pub(crate) decoded: Figure,
    pub(crate) keyframes: Figure,
    pub(crate) dropped: Figure,
    pub(crate) keyframe_requests: Figure,
    pub(crate) freezes: Figure,
    pub(crate) freeze_micros: Figure,
    pub(crate) decode_micros: Figure,
    /// Microseconds; `i64::MIN` = unknown.
    delay_micros: AtomicI64,
}

/// The receiver's figures at one moment, since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VideoReceiveSnapshot {
    /// Codec of the newest decoded picture.
    pub codec: Option<VideoCodec>,
    /// Size of the newest decoded picture.
    pub size: Option<Size>,
    /// Pictures decoded.
    pub decoded: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// Pictures lost or not decodable, as far as anything of them arrived.
    pub dropped: u64,
    /// Keyframes asked for.
    pub keyframe_requests: u64,
    /// `freezeCount` of the W3C statistics.
    pub freezes: u64,
    /// `totalFreezesDuration` of the W3C statistics.
    pub freeze_time: Duration,
    /// Time spent decoding.
    pub decode_time: Duration,
    /// Capture to decoded picture of the newest one that carried its capture time, milliseconds. Right only as far
    /// as both clocks agree.
    pub delay_ms: Option<f64>,
}

impl Default for VideoReceiveStats {
    fn default() -> Self {
        Self {
            codec: CodecCell::default(),
            size: Figure::default(),
            decoded: Figure::default(),
            keyframes: Figure::default(),
            dropped: Figure::default(),
            keyframe_requests: Figure::default(),
            freezes: Figure::default(),
            freeze_micros: Figure::default(),
            decode_micros: Figure::default(),
            delay_micros: AtomicI64::new(i64::MIN),
        }
    }
}

impl VideoReceiveStats {
    /// All figures.
    pub fn snapshot(&self) -> VideoReceiveSnapshot {
        let delay = self.delay_micros.load(Ordering::Relaxed);
        VideoReceiveSnapshot {
            codec: self.codec.value(),
            size: self.size.size(),
            decoded: self.decoded.value(),
            keyframes: self.keyframes.value(),
            dropped: self.dropped.value(),
            keyframe_requests: self.keyframe_requests.value(),
            freezes: self.freezes.value(),
            freeze_time: Duration::from_micros(self.freeze_micros.value()),
            decode_time: Duration::from_micros(self.decode_micros.value()),
            delay_ms: (delay != i64::MIN).then(|| delay as f64 / 1000.0),
        }
    }

    /// Notes how old the newest picture is.
    pub(crate) fn set_delay_micros(&self, delay: i64) {
        self.delay_micros.store(delay, Ordering::Relaxed);
    }
}

/// Finds freezes as the W3C `freezeCount` defines them: the time between two rendered pictures is at least
/// max(3 δ, δ + 150 ms), δ being the average duration of the last 30. Sans-IO.
#[derive(Debug, Default)]
pub(crate) struct FreezeMeter {
    last: Option<Instant>,
    durations: VecDeque<Duration>,
}

impl FreezeMeter {
    /// A picture is shown. Gives the length of the freeze that it ends, if it ends one.
    pub(crate) fn handle_picture(&mut self, now: Instant) -> Option<Duration> {
        let duration = now.saturating_duration_since(self.last.replace(now)?);
        let freeze = (!self.durations.is_empty()).then(|| {
            let average = self.durations.iter().sum::<Duration>() / self.durations.len() as u32;
            duration >= (average * 3).max(average + FREEZE_MARGIN)
        });
        if self.durations.len() == FREEZE_WINDOW {
            self.durations.pop_front();
        }
        self.durations.push_back(duration);
        freeze.unwrap_or(false).then_some(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_gap_of_three_frames_and_150_ms_is_a_freeze() {
        let start = Instant::now();
        let mut meter = FreezeMeter::default();
        let frame = Duration::from_millis(33);
        let mut now = start;
        for _ in 0..30 {
            assert_eq!(meter.handle_picture(now), None);
            now += frame;
        }
        now += Duration::from_millis(140);
        assert_eq!(meter.handle_picture(now), None);
        for _ in 0..30 {
            now += frame;
            assert_eq!(meter.handle_picture(now), None);
        }
        now += Duration::from_millis(183);
        assert_eq!(meter.handle_picture(now), Some(Duration::from_millis(183)));
    }

    #[test]
    fn a_slow_but_steady_picture_does_not_freeze() {
        let mut meter = FreezeMeter::default();
        let start = Instant::now();
        for second in 0..20 {
            assert_eq!(meter.handle_picture(start + Duration::from_secs(second)), None);
        }
    }
}
