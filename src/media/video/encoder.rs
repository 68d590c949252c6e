//! The encoder's thread: newest picture in, access units out, at the rate that the transport allows.
//!
//! Encodes only while the gate of [`SendControl`] is open. Keyframes are sent at the start, when asked for, when the
//! size or the codec changes, when there is room for pictures again, and after a picture had to be dropped; never on a
//! timer, and never in storms.

use super::cadence::Cadence;
use super::codec::{CodecError, Encoder};
use super::codec_choice::CodecChoice;
use super::encoder_settings::EncoderSettings;
use super::frame::{Frame, Size};
use super::ladder::{Ladder, Rung, Situation};
use super::latest::{Latest, Next, Reader};
use super::load::Load;
use super::look::{Look, Looker};
use super::octets::OctetPool;
use super::pool::FramePool;
use super::scale::scale;
use super::stats::VideoSendStats;
use super::worker::{Stop, Worker};
use crate::media::ports::{EncodedFrame, LEVEL_40_MACROBLOCKS, SendControl, VideoCodec};
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
/// Keyframes that are asked for come no closer than this: one that is under way answers them all.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(300);
/// Pictures that are the same as the one before are encoded to refine what is shown, for so many …
const REFINED_PICTURES: u32 = 30;
/// … and then only so often, which tells the other side that the picture is still alive; shorter than a freeze
/// (see [`super::stats`]).
const STILL_INTERVAL: Duration = Duration::from_millis(125);
/// While the path does not keep up, a picture leaves only so often, as a sign of life: more would be in the way of the
/// sound, and late. By the second of them the other side has told what the path carries now, if anything gets through.
const HELD_INTERVAL: Duration = Duration::from_millis(700);
/// One that is asked for leaves this soon: whoever asks was heard.
const HELD_KEYFRAME_INTERVAL: Duration = Duration::from_millis(300);
/// The first keyframe of a call goes over a path that nobody knows: it is made as if so many seconds of the rate were
/// waiting already.
const FIRST_BACKLOG: f64 = 0.2;
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
            Stage::new(frames, out, control, stats).run(stop);
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
    codec_choice: CodecChoice,
    ladder: Ladder,
    cadence: Cadence,
    pool: FramePool,
    looker: Looker,
    /// What the last picture looked like.
    look: Look,
    load: Load,
    /// Captures that were missed, as far as they are accounted for.
    missed: u64,
    /// Pictures in a row that were the same.
    still: u32,
    octets: OctetPool,
    /// Where pictures are encoded to.
    scratch: Vec<u8>,
    /// There is too little room for pictures.
    paused: bool,
    last_keyframe: Option<Instant>,
    /// The next picture must be a keyframe.
    keyframe: bool,
    epoch: Instant,
    /// Random start of the RTP timestamp (RFC 3550 section 5.1).
    offset: u32,
    last_captured: Option<Instant>,
    /// When the last picture left.
    last_left: Option<Instant>,
}

impl Stage {
    fn new(
        frames: Latest<Arc<Frame>>,
        out: Sender<EncodedFrame>,
        control: Arc<SendControl>,
        stats: Arc<VideoSendStats>,
    ) -> Self {
        let reader = frames.reader();
        Self {
            frames,
            reader,
            out,
            control,
            stats,
            encoder: None,
            codec_choice: CodecChoice::default(),
            ladder: Ladder::default(),
            cadence: Cadence::default(),
            pool: FramePool::default(),
            looker: Looker::default(),
            look: Look::default(),
            load: Load::default(),
            missed: 0,
            still: 0,
            octets: OctetPool::default(),
            scratch: Vec::with_capacity(USUAL_OCTETS),
            paused: false,
            last_keyframe: None,
            keyframe: true,
            epoch: Instant::now(),
            offset: rand::random(),
            last_captured: None,
            last_left: None,
        }
    }

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
                        self.take_keyframe_wish(Instant::now());
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
        self.take_keyframe_wish(now);
        let target = self.control.video_bits_per_second();
        self.stats.target_bits_per_second.set(u64::from(target));
        let missed = self.reader.missed() - std::mem::replace(&mut self.missed, self.reader.missed());
        // Too little room for a picture, and the sound has it all; or nobody who could decode it.
        let Some(best) = self.control.video_codec().filter(|_| target > 0) else {
            self.paused = true;
            return Ok(());
        };
        let codec = self.codec_choice.choose(best, self.control.other_video_codec(), target, now);
        // Who saw nothing for a while gets a whole picture at once.
        self.keyframe |= std::mem::take(&mut self.paused);
        let rung = self.choose_rung(frame.size(), codec, target, now);
        if !self.cadence.admit(frame.captured, rung.fps) && !self.keyframe {
            return Ok(());
        }
        if self.out.capacity() == 0 || self.is_held(now) {
            // Not encoded, not referred to: the stream stays whole without a keyframe.
            self.stats.dropped.add(1);
            return Ok(());
        }
        self.look = self.looker.look(frame);
        if self.is_needless(now) && !self.keyframe {
            return Ok(());
        }
        let captured = self.capture_time(frame, now);
        self.scratch.clear();
        let keyframe = self.encode(frame, codec, rung, target)?;
        let took = now.elapsed();
        self.stats.encode_micros.add(took.as_micros() as u64);
        let samples = f64::from(rung.size.width) * f64::from(rung.size.height);
        self.load.handle_missed(missed);
        self.load.handle_picture(took, samples, f64::from(rung.fps), now);
        if self.scratch.is_empty() {
            return Ok(());
        }
        self.stats.encoded.add(1);
        self.stats.octets.add(self.scratch.len() as u64);
        self.stats.size.set_size(rung.size);
        self.stats.codec.set(Some(codec));
        self.stats.keyframes.add(u64::from(keyframe));
        self.keyframe &= !keyframe;
        if keyframe {
            tracing::debug!(octets = self.scratch.len(), size = ?rung.size, target, "a keyframe");
            self.last_keyframe = Some(now);
        }
        let rtp_timestamp = self.rtp_timestamp(captured);
        let data = self.octets.store(&self.scratch);
        match self.out.try_send(EncodedFrame { codec, data, captured, rtp_timestamp, keyframe }) {
            Ok(()) => (self.last_captured, self.last_left) = (Some(captured), Some(now)),
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

    /// A wish stays where it is while a keyframe is under way.
    fn take_keyframe_wish(&mut self, now: Instant) {
        let under_way =
            self.last_keyframe.is_some_and(|at| now.saturating_duration_since(at) < KEYFRAME_INTERVAL);
        if !under_way {
            self.keyframe |= self.control.take_keyframe_wish();
        }
    }

    fn choose_rung(&mut self, source: Size, codec: VideoCodec, target: u32, now: Instant) -> Rung {
        let situation = Situation {
            source,
            codec,
            bits_per_second: target,
            look: self.look,
            coarseness: self.encoder.as_ref().and_then(Encoder::coarseness),
            samples_per_second: self.load.samples_per_second(),
            macroblocks: self.control.video_macroblocks().min(LEVEL_40_MACROBLOCKS),
            view: self.control.video_view().map(|(width, height)| Size::new(width.into(), height.into())),
        };
        self.ladder.choose(&situation, now)
    }

    fn is_held(&self, now: Instant) -> bool {
        let interval = if self.keyframe { HELD_KEYFRAME_INTERVAL } else { HELD_INTERVAL };
        let lately = self.last_left.is_some_and(|at| now.saturating_duration_since(at) < interval);
        lately && self.control.is_video_held()
    }

    /// Whether the other side sees what the present picture shows, as well as it ever will.
    fn is_needless(&mut self, now: Instant) -> bool {
        self.still = if self.look.change == Some(0.0) { self.still.saturating_add(1) } else { 0 };
        self.still > REFINED_PICTURES
            && self.last_captured.is_some_and(|last| now.saturating_duration_since(last) < STILL_INTERVAL)
    }

    fn encode(
        &mut self,
        frame: &Frame,
        codec: VideoCodec,
        rung: Rung,
        target: u32,
    ) -> Result<bool, CodecError> {
        let fps = self.cadence.rate().unwrap_or(f64::from(rung.fps)).clamp(1.0, f64::from(rung.fps));
        let encoder = match &mut self.encoder {
            Some(encoder) if encoder.codec() == codec && encoder.size() == rung.size => {
                encoder.set_rate(target, fps);
                encoder
            }
            slot => {
                let Size { width, height } = rung.size;
                tracing::debug!(?codec, width, height, fps, target, "send size");
                let backlog = slot.as_ref().map_or(FIRST_BACKLOG, Encoder::backlog);
                let settings = EncoderSettings { size: rung.size, bits_per_second: target, fps, backlog };
                slot.insert(Encoder::new(codec, settings)?)
            }
        };
        if frame.size() == rung.size {
            return encoder.encode(frame, self.keyframe, &self.look, &mut self.scratch);
        }
        let scaled = self.pool.fill(rung.size, frame.captured, |small| {
            scale(frame, small);
            Ok::<(), Infallible>(())
        });
        match scaled {
            Ok(small) => encoder.encode(&small, self.keyframe, &self.look, &mut self.scratch),
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

#[cfg(test)]
#[path = "encoder_tests.rs"]
mod tests;
