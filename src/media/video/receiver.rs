//! The receiver's thread: RTP packets in, decoded pictures out. Puts pictures together ([`super::reassembly`]),
//! decodes them, and asks for keyframes; after a loss the last good picture stays.

use super::codec::{CodecError, Decoder};
use super::frame::Frame;
use super::latest::Latest;
use super::reassembly::{AccessUnit, Limits, Output, Reassembly};
use super::stats::{FreezeMeter, VideoReceiveStats};
use super::worker::{Stop, Worker};
use crate::media::ports::{Feedback, ReceivedPacket, VideoCodec};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use thiserror::Error;
use tokio::sync::mpsc::Sender;

/// How often the stop signal is looked at while no packet comes.
const STOP_POLL: Duration = Duration::from_millis(100);
/// Seconds from the NTP epoch (1900) to the Unix epoch (RFC 5905 section 6).
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;
/// A delay beyond this is two clocks that disagree, not a delay.
const PLAUSIBLE_DELAY_MICROS: i64 = 60_000_000;

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
        stats: Arc<VideoReceiveStats>,
    ) -> Result<Self, VideoReceiverError> {
        let decoder = Decoder::new(VideoCodec::H264)?;
        let body = move |stop: &Stop| {
            Stage {
                packets,
                out,
                feedback,
                stats,
                decoder,
                reassembly: Reassembly::new(Limits::default()),
                freezes: FreezeMeter::default(),
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

/// What the thread owns.
struct Stage {
    packets: Receiver<ReceivedPacket>,
    out: Latest<Arc<Frame>>,
    feedback: Sender<Feedback>,
    stats: Arc<VideoReceiveStats>,
    decoder: Decoder,
    reassembly: Reassembly,
    freezes: FreezeMeter,
    undecodable: u64,
}

impl Stage {
    fn run(mut self, stop: &Stop) {
        while !stop.is_set() {
            let now = Instant::now();
            let wait = self
                .reassembly
                .poll_timeout()
                .map_or(STOP_POLL, |deadline| deadline.saturating_duration_since(now).min(STOP_POLL));
            match self.packets.recv_timeout(wait) {
                Ok(packet) => self.reassembly.handle_packet(packet),
                Err(RecvTimeoutError::Timeout) => self.reassembly.handle_timeout(Instant::now()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Some(output) = self.reassembly.poll_output() {
                match output {
                    Output::Picture(unit) => self.handle_picture(unit),
                    Output::RequestKeyframe => self.request_keyframe(),
                }
            }
            self.stats.dropped.set(self.reassembly.dropped() + self.undecodable);
        }
    }

    fn handle_picture(&mut self, unit: AccessUnit) {
        let began = Instant::now();
        let decoded = self.decode(&unit);
        self.stats.decode_micros.add(began.elapsed().as_micros() as u64);
        match decoded {
            Ok(Some(frame)) => {
                self.stats.decoded.add(1);
                self.stats.keyframes.add(u64::from(unit.keyframe));
                self.stats.size.set_size(frame.size());
                self.stats.codec.set(Some(unit.codec));
                if let Some(freeze) = self.freezes.handle_picture(Instant::now()) {
                    self.stats.freezes.add(1);
                    self.stats.freeze_micros.add(freeze.as_micros() as u64);
                }
                if let Some(delay) = unit.capture_ntp.and_then(|ntp| delay_micros(ntp, SystemTime::now())) {
                    self.stats.set_delay_micros(delay);
                }
                self.out.publish(frame);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%error, "waiting for a keyframe");
                self.undecodable += 1;
                self.reassembly.handle_decode_error(Instant::now());
            }
        }
    }

    /// The first picture of another codec brings its decoder with it.
    fn decode(&mut self, unit: &AccessUnit) -> Result<Option<Arc<Frame>>, CodecError> {
        if self.decoder.codec() != unit.codec {
            self.decoder = Decoder::new(unit.codec)?;
        }
        self.decoder.decode(&unit.data, unit.arrived, unit.capture_ntp)
    }

    fn request_keyframe(&mut self) {
        self.stats.keyframe_requests.add(1);
        if self.feedback.try_send(Feedback::RequestKeyframe).is_err() {
            // It is asked for again as long as it is needed.
            tracing::debug!("no room for a keyframe request");
        }
    }
}

/// Microseconds from an NTP 64-bit time (RFC 5905 section 6) to `now`; `None` if the two clocks cannot be compared.
fn delay_micros(ntp: u64, now: SystemTime) -> Option<i64> {
    let now = now.duration_since(UNIX_EPOCH).ok()?;
    // Modulo 2³² seconds, so that the era (2036) does not matter.
    let seconds = (now.as_secs() + NTP_TO_UNIX_SECONDS) as u32;
    let seconds = i64::from(seconds.wrapping_sub((ntp >> 32) as u32) as i32);
    let micros = i64::from(now.subsec_micros()) - (((ntp & 0xffff_ffff) * 1_000_000) >> 32) as i64;
    let delay = seconds * 1_000_000 + micros;
    (delay.abs() <= PLAUSIBLE_DELAY_MICROS).then_some(delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_is_the_difference_of_the_two_clocks_in_any_era() {
        let now = UNIX_EPOCH + Duration::from_micros(1_700_000_000_250_000);
        let ntp = (1_700_000_000 + NTP_TO_UNIX_SECONDS) << 32 | 1 << 29;
        assert_eq!(delay_micros(ntp, now), Some(125_000));
        assert_eq!(delay_micros(ntp, now - Duration::from_millis(500)), Some(-375_000));
        assert_eq!(delay_micros(0, now), None);
        let after_2036 = UNIX_EPOCH + Duration::from_secs(2_200_000_000);
        let wrapped = u64::from((2_200_000_000 + NTP_TO_UNIX_SECONDS - 1) as u32) << 32;
        assert_eq!(delay_micros(wrapped, after_2036), Some(1_000_000));
    }
}
