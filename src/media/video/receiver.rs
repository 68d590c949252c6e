//! The receiver's thread: RTP packets in, pictures out, each at its time.
//!
//! Puts pictures together ([`super::reassembly`]), decodes each as soon as it is whole, holds it back as long as the
//! path's jitter and its sound ask for ([`super::timing`], [`crate::media::sync`]), and asks for keyframes. After a
//! loss the last good picture stays; a picture that is not whole, or refers to one that was lost, is never shown.

use super::codec::{CodecError, Decoder};
use super::frame::Frame;
use super::latest::Latest;
use super::presentation::Presentation;
use super::reassembly::{AccessUnit, Limits, Output, Reassembly};
use super::stats::{FreezeMeter, VideoReceiveStats};
use super::timing::Timing;
use super::worker::{Stop, Worker};
use crate::media::ports::{Feedback, ReceivedPacket, SendControl, VideoCodec};
use crate::media::sync::{self, LipSync, RemoteClock};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::mpsc::Sender;

/// How often the stop signal is looked at while no packet comes.
const STOP_POLL: Duration = Duration::from_millis(100);
/// How often picture and sound are compared.
const SYNC_INTERVAL: Duration = Duration::from_millis(250);
/// A speaker's position older than this is that of a sound that has ended.
const STALE_SOUND: Duration = Duration::from_secs(1);

/// Why there is no receiver.
#[derive(Debug, Error)]
pub enum VideoReceiverError {
    /// No thread.
    #[error("the system grants no thread for the video receiver: {0}")]
    Thread(#[source] std::io::Error),
    /// No decoder.
    #[error(transparent)]
    Decoder(#[from] CodecError),
}

/// The running receiver. Dropping it ends the thread.
pub struct VideoReceiver(Worker);

impl VideoReceiver {
    /// Starts the thread `video-receiver`, which ends when stopped or when the packets' channel closes.
    ///
    /// # Errors
    /// If the decoder or the thread does not come up.
    pub fn start(
        packets: Receiver<ReceivedPacket>,
        out: Latest<Arc<Frame>>,
        feedback: Sender<Feedback>,
        control: Arc<SendControl>,
        stats: Arc<VideoReceiveStats>,
    ) -> Result<Self, VideoReceiverError> {
        let decoder = Decoder::new(VideoCodec::H264)?;
        let body = move |stop: &Stop| {
            Stage {
                packets,
                out,
                feedback,
                control,
                stats,
                decoder,
                reassembly: Reassembly::new(Limits::default()),
                timing: Timing::default(),
                presentation: Presentation::default(),
                freezes: FreezeMeter::default(),
                clock: RemoteClock::default(),
                lips: LipSync::default(),
                compared: None,
                undecodable: 0,
            }
            .run(stop);
        };
        Worker::start("video-receiver", body).map(Self).map_err(VideoReceiverError::Thread)
    }

    /// Whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Tells the thread to end, without waiting.
    pub fn signal(&self) {
        self.0.signal();
    }

    /// Ends the thread and waits for it, at most [`super::worker::JOIN_LIMIT`].
    pub fn stop(self) {}
}

/// A decoded picture on its way to the screen.
struct Picture {
    frame: Arc<Frame>,
    /// When its first packet came.
    begun: Instant,
    /// When it was captured, in the sender's clock.
    captured: Option<u64>,
}

/// What the thread owns.
struct Stage {
    packets: Receiver<ReceivedPacket>,
    out: Latest<Arc<Frame>>,
    feedback: Sender<Feedback>,
    control: Arc<SendControl>,
    stats: Arc<VideoReceiveStats>,
    decoder: Decoder,
    reassembly: Reassembly,
    timing: Timing,
    presentation: Presentation<Picture>,
    freezes: FreezeMeter,
    clock: RemoteClock,
    lips: LipSync,
    /// When picture and sound were last compared.
    compared: Option<Instant>,
    undecodable: u64,
}

impl Stage {
    fn run(mut self, stop: &Stop) {
        while !stop.is_set() {
            match self.packets.recv_timeout(self.wait(Instant::now())) {
                Ok(packet) => self.reassembly.handle_packet(packet),
                Err(RecvTimeoutError::Timeout) => self.reassembly.handle_timeout(Instant::now()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Some(output) = self.reassembly.poll_output() {
                match output {
                    Output::Picture(unit) => self.handle_unit(unit),
                    Output::RequestKeyframe => self.request_keyframe(),
                }
            }
            self.show_due();
            self.exchange();
        }
    }

    /// How long nothing but a packet needs attention.
    fn wait(&self, now: Instant) -> Duration {
        let due = [self.reassembly.poll_timeout(), self.presentation.poll_timeout()];
        let due = due.into_iter().flatten().min();
        due.map_or(STOP_POLL, |due| due.saturating_duration_since(now).min(STOP_POLL))
    }

    fn handle_unit(&mut self, unit: AccessUnit) {
        self.stats.received.add(1);
        let began = Instant::now();
        let decoded = self.decode(&unit);
        self.stats.decode_micros.add(began.elapsed().as_micros() as u64);
        match decoded {
            Ok(Some(frame)) => {
                self.stats.decoded.add(1);
                self.stats.keyframes.add(u64::from(unit.keyframe));
                self.stats.size.set_size(frame.size());
                self.stats.codec.set(Some(unit.codec));
                let due = self.timing.handle_picture(unit.timestamp, unit.ready);
                let captured = self.captured(&unit);
                self.presentation.push(due, Picture { frame, begun: unit.begun, captured });
                self.show_due();
            }
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "waiting for a keyframe");
                self.undecodable += 1;
                self.reassembly.handle_decode_error(Instant::now());
            }
        }
        self.reassembly.recycle(unit);
    }

    /// The first picture of another codec brings its decoder with it.
    fn decode(&mut self, unit: &AccessUnit) -> Result<Option<Arc<Frame>>, CodecError> {
        if self.decoder.codec() != unit.codec {
            self.decoder = Decoder::new(unit.codec)?;
        }
        self.decoder.decode(&unit.data, unit.ready, unit.capture_ntp)
    }

    /// When a picture was captured, in the sender's clock: by its own word, else by the sender reports.
    fn captured(&self, unit: &AccessUnit) -> Option<u64> {
        unit.capture_ntp.or_else(|| {
            let report = self.control.reception().video_clock()?;
            (report.ssrc == unit.ssrc).then(|| sync::capture_ntp(&report, unit.timestamp, sync::VIDEO_HZ))
        })
    }

    fn show_due(&mut self) {
        let now = Instant::now();
        let Some(picture) = self.presentation.poll_picture(now) else { return };
        self.stats.rendered.add(1);
        self.stats.skipped.set(self.presentation.skipped());
        self.stats.buffered_micros.add(now.saturating_duration_since(picture.begun).as_micros() as u64);
        self.stats.held_back_micros.set(self.timing.delay().as_micros() as u64);
        if let Some(freeze) = self.freezes.handle_picture(now) {
            self.stats.freezes.add(1);
            self.stats.freeze_micros.add(freeze.as_micros() as u64);
        }
        let delay = picture.captured.and_then(|captured| self.clock.at(captured));
        self.stats.delay.set(delay.map(|captured| sync::signed_micros(now, captured)));
        self.out.publish(picture.frame);
        if self.compared.is_none_or(|at| now.saturating_duration_since(at) >= SYNC_INTERVAL) {
            self.compared = Some(now);
            self.compare(now, picture.captured);
        }
    }

    /// Compares what is shown with what is heard.
    fn compare(&mut self, now: Instant, captured: Option<u64>) {
        let reception = self.control.reception();
        for report in [reception.video_clock(), reception.audio_clock()].into_iter().flatten() {
            self.clock.handle_report(&report, reception.rtt());
        }
        let sound = reception.sound().filter(|sound| now.saturating_duration_since(sound.at) < STALE_SOUND);
        let heard =
            sound.and_then(|sound| Some((sync::sound_ntp(reception.audio_clock(), &sound)?, sound.at)));
        match captured.zip(heard) {
            Some((captured, heard)) => self.lips.handle_positions(now, (captured, now), heard),
            None => self.lips.release(),
        }
        self.timing.set_hold(self.lips.picture_hold());
        reception.set_sound_hold(self.lips.sound_hold());
        self.stats.skew.set(self.lips.skew_micros());
    }

    /// Tells the transport what is given up, and learns the round trip from it.
    fn exchange(&mut self) {
        self.stats.dropped.set(self.reassembly.dropped() + self.undecodable);
        let reception = self.control.reception();
        if let Some(rtt) = reception.rtt() {
            self.reassembly.set_round_trip(rtt);
        }
        reception.set_repair_limit(self.reassembly.repair_limit());
        if let Some(horizon) = self.reassembly.horizon() {
            reception.set_horizon(horizon);
        }
    }

    fn request_keyframe(&mut self) {
        self.stats.keyframe_requests.add(1);
        tracing::debug!("a keyframe is asked for");
        if self.feedback.try_send(Feedback::RequestKeyframe).is_err() {
            // It is asked for again as long as it is needed.
            tracing::debug!("no room for a keyframe request");
        }
    }
}
