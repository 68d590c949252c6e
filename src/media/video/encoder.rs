//! The encoder's thread: newest picture in, access units out, at the rate that the transport allows.
//!
//! Encodes only while the gate of [`SendControl`] is open. Keyframes are sent at the start, when asked for, when the
//! size changes, and after a picture had to be dropped; never on a timer.

use super::cadence::Cadence;
use super::codec::{CodecError, Encoder, EncoderSettings};
use super::frame::Frame;
use super::ladder::{Ladder, Rung};
use super::latest::{Latest, Next, Reader};
use super::pool::FramePool;
use super::scale::Scaler;
use super::stats::VideoSendStats;
use super::worker::{Stop, Worker};
use crate::media::ports::{EncodedFrame, SendControl, VideoCodec};
use bytes::Bytes;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

/// How often the gate is looked at while it is shut: the first picture leaves this soon after it opens.
const GATE_POLL: Duration = Duration::from_millis(5);
/// A keyframe that was asked for waits at most this long for a new picture; then the last one is encoded again.
const KEYFRAME_PATIENCE: Duration = Duration::from_millis(100);
/// A picture older than this is stamped with the present time when it is encoded again.
const STALE: Duration = Duration::from_millis(200);
/// RTP clock of video (RFC 6184 section 8.2.1).
const RTP_CLOCK_HZ: u128 = 90_000;
/// Room that an encoded picture usually fits into.
const USUAL_OCTETS: usize = 16 * 1024;

/// Why there is no encoder.
#[derive(Debug, Error)]
#[error("the system grants no thread for the video encoder: {0}")]
pub struct VideoEncoderError(#[source] std::io::Error);

/// The running encoder. Dropping it ends the thread.
pub struct VideoEncoder(Worker);

impl VideoEncoder {
    /// Starts the thread `video-encoder`, which ends when stopped, or when `frames` or `out` is closed.
    ///
    /// # Errors
    /// If the operating system grants no thread.
    pub fn start(
        frames: &Latest<Arc<Frame>>,
        out: Sender<EncodedFrame>,
        control: Arc<SendControl>,
        stats: Arc<VideoSendStats>,
    ) -> Result<Self, VideoEncoderError> {
        let frames = frames.clone();
        let body = move |stop: &Stop| {
            let now = Instant::now();
            let reader = frames.reader();
            Stage {
                frames,
                reader,
                out,
                control,
                stats,
                encoder: None,
                ladder: Ladder::default(),
                cadence: Cadence::default(),
                scaler: Scaler::default(),
                pool: FramePool::default(),
                keyframe: true,
                epoch: now,
                offset: rand::random(),
                last_captured: None,
            }
            .run(stop);
        };
        Worker::start("video-encoder", body).map(Self).map_err(VideoEncoderError)
    }

    /// Tells the thread to end, without waiting.
    pub fn signal(&self) {
        self.0.signal();
    }

    /// Ends the thread and waits for it, at most [`super::worker::JOIN_LIMIT`].
    pub fn stop(self) {}
}

/// What the thread owns.
struct Stage {
    frames: Latest<Arc<Frame>>,
    reader: Reader<Arc<Frame>>,
    out: Sender<EncodedFrame>,
    control: Arc<SendControl>,
    stats: Arc<VideoSendStats>,
    encoder: Option<Encoder>,
    ladder: Ladder,
    cadence: Cadence,
    scaler: Scaler,
    pool: FramePool,
    /// The next picture must be a keyframe.
    keyframe: bool,
    epoch: Instant,
    /// Random start of the RTP timestamp (RFC 3550 section 5.1).
    offset: u32,
    last_captured: Option<Instant>,
}

impl Stage {
    fn run(mut self, stop: &Stop) {
        let mut open = false;
        while !stop.is_set() && !self.out.is_closed() {
            if !self.control.sending() {
                open = false;
                if stop.sleep_until(Instant::now() + GATE_POLL) {
                    return;
                }
                continue;
            }
            let frame = if open {
                match self.reader.wait(KEYFRAME_PATIENCE) {
                    Next::Value(frame) => Some(frame),
                    Next::Closed => return,
                    Next::Timeout => {
                        self.keyframe |= self.control.take_keyframe_wish();
                        if self.keyframe { self.frames.peek() } else { None }
                    }
                }
            } else {
                // The gate has just opened: the picture at hand leaves now, as a keyframe.
                open = true;
                self.keyframe = true;
                self.reader.try_next().or_else(|| self.frames.peek())
            };
            let Some(frame) = frame else { continue };
            if let Err(error) = self.handle_frame(&frame) {
                tracing::error!(%error, "picture not encoded");
                self.encoder = None;
            }
        }
    }

    fn handle_frame(&mut self, frame: &Frame) -> Result<(), CodecError> {
        let now = Instant::now();
        self.stats.captured.add(1);
        self.keyframe |= self.control.take_keyframe_wish();
        let target = self.control.video_bits_per_second();
        self.stats.target_bits_per_second.set(u64::from(target));
        // Too little room for a picture, and the sound has it all; or nobody who could decode it.
        let Some(codec) = self.control.video_codec().filter(|_| target > 0) else { return Ok(()) };
        let rung = self.ladder.choose(frame.size(), target, now);
        if !self.cadence.admit(frame.captured, rung.fps) && !self.keyframe {
            return Ok(());
        }
        if self.out.capacity() == 0 {
            // Not encoded, not referred to: the stream stays whole without a keyframe.
            self.stats.dropped.add(1);
            return Ok(());
        }
        let captured = self.capture_time(frame, now);
        let mut data = Vec::with_capacity(USUAL_OCTETS);
        let keyframe = self.encode(frame, codec, rung, target, &mut data)?;
        self.stats.encode_micros.add(now.elapsed().as_micros() as u64);
        if data.is_empty() {
            return Ok(());
        }
        self.stats.encoded.add(1);
        self.stats.octets.add(data.len() as u64);
        self.stats.size.set_size(rung.size);
        self.stats.codec.set(Some(codec));
        self.stats.keyframes.add(u64::from(keyframe));
        self.keyframe &= !keyframe;
        let rtp_timestamp = self.rtp_timestamp(captured);
        let unit = EncodedFrame { codec, data: Bytes::from(data), captured, rtp_timestamp, keyframe };
        match self.out.try_send(unit) {
            Ok(()) => self.last_captured = Some(captured),
            Err(TrySendError::Full(_)) => {
                // What follows would refer to the lost picture: the next one that leaves must not.
                self.stats.dropped.add(1);
                self.keyframe = true;
            }
            // The loop ends by itself.
            Err(TrySendError::Closed(_)) => {}
        }
        Ok(())
    }

    fn encode(
        &mut self,
        frame: &Frame,
        codec: VideoCodec,
        rung: Rung,
        target: u32,
        data: &mut Vec<u8>,
    ) -> Result<bool, CodecError> {
        let fps = self.cadence.rate().unwrap_or(f64::from(rung.fps)).clamp(1.0, f64::from(rung.fps));
        let encoder = match &mut self.encoder {
            Some(encoder) if encoder.codec() == codec && encoder.size() == rung.size => {
                encoder.set_rate(target, fps);
                encoder
            }
            slot => {
                tracing::debug!(
                    ?codec,
                    width = rung.size.width,
                    height = rung.size.height,
                    fps,
                    target,
                    "send size"
                );
                let settings = EncoderSettings { size: rung.size, bits_per_second: target, fps };
                slot.insert(Encoder::new(codec, settings)?)
            }
        };
        if frame.size() == rung.size {
            return encoder.encode(frame, self.keyframe, data);
        }
        let scaled = self.pool.fill(rung.size, frame.captured, |small| {
            self.scaler.scale(frame, small);
            Ok::<(), Infallible>(())
        });
        match scaled {
            Ok(small) => encoder.encode(&small, self.keyframe, data),
            Err(never) => match never {},
        }
    }

    /// When the picture was captured, and later than the one before it.
    fn capture_time(&self, frame: &Frame, now: Instant) -> Instant {
        let repeated = self.last_captured.is_some_and(|last| frame.captured <= last);
        let stale = now.saturating_duration_since(frame.captured) > STALE;
        if repeated || stale { now } else { frame.captured }
    }

    fn rtp_timestamp(&self, captured: Instant) -> u32 {
        let ticks = captured.saturating_duration_since(self.epoch).as_nanos() * RTP_CLOCK_HZ / 1_000_000_000;
        // Truncation is the clock's wrap-around.
        self.offset.wrapping_add(ticks as u32)
    }
}
