//! The sending task: encoded pictures and sound in, RTP packets out, audio first.

use super::chain::wire::Wire;
use super::codecs::{Negotiated, Pictures};
use super::pacer::{Accepted, Pacer, Payload, Picture};
use super::packetizer::Packetizer;
use crate::media::ports::{EncodedAudio, EncodedFrame, SendControl};
use bytes::Bytes;
use rtc::rtp;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

/// Audio carries its capture time this often; pictures each do (the extension's own recommendation is about once a
/// second for audio).
const AUDIO_CAPTURE_TIME_INTERVAL: Duration = Duration::from_secs(1);

/// What was agreed upon for both of our streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Agreement {
    pub(super) audio: Option<Negotiated>,
    pub(super) video: Pictures,
}

/// One of our streams.
struct Stream {
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    sequence: u16,
}

impl Stream {
    fn new(track: Arc<TrackLocalStaticRTP>, ssrc: u32) -> Self {
        // A random start (RFC 3550 section 5.1), in the lower half so that SRTP's rollover is not at once at stake.
        Self { track, ssrc, sequence: rand::random::<u16>() >> 1 }
    }

    /// Writes one packet. Errors are those of a closing connection: the task that owns it says so.
    async fn write(
        &mut self,
        agreed: Negotiated,
        payload: Bytes,
        timestamp: u32,
        marker: bool,
        capture_ntp: Option<u64>,
    ) {
        let mut header = rtp::Header {
            version: 2,
            marker,
            payload_type: agreed.payload_type,
            sequence_number: self.sequence,
            timestamp,
            ssrc: self.ssrc,
            ..rtp::Header::default()
        };
        self.sequence = self.sequence.wrapping_add(1);
        if let (Some(id), Some(ntp)) = (agreed.capture_time_id, capture_ntp) {
            let value = Bytes::copy_from_slice(&ntp.to_be_bytes());
            if let Err(error) = header.set_extension(id, value) {
                tracing::debug!(%error, "the capture time does not fit");
            }
        }
        if let Err(error) = self.track.write_rtp(rtp::Packet { header, payload }).await {
            tracing::debug!(%error, "a packet was not sent");
        }
    }
}

/// What the task works with.
pub(super) struct Sender {
    video: Stream,
    audio: Stream,
    control: Arc<SendControl>,
    wire: Arc<Wire>,
    agreement: watch::Receiver<Agreement>,
    packetizer: Packetizer,
    pacer: Pacer,
    audio_capture_time_due: Option<Instant>,
    gate_open: bool,
}

impl Sender {
    /// Writes to these tracks what the ports bring, as soon as the gate is open.
    pub(super) fn new(
        video: (Arc<TrackLocalStaticRTP>, u32),
        audio: (Arc<TrackLocalStaticRTP>, u32),
        control: Arc<SendControl>,
        wire: Arc<Wire>,
        agreement: watch::Receiver<Agreement>,
    ) -> Self {
        let pacer = Pacer::new(f64::from(wire.pace.load(Ordering::Relaxed)));
        Self {
            video: Stream::new(video.0, video.1),
            audio: Stream::new(audio.0, audio.1),
            control,
            wire,
            agreement,
            packetizer: Packetizer::new(),
            pacer,
            audio_capture_time_due: None,
            gate_open: false,
        }
    }

    /// Runs until both ports are closed; the owner ends it sooner by dropping it.
    pub(super) async fn run(
        mut self,
        mut video_out: mpsc::Receiver<EncodedFrame>,
        mut audio_out: mpsc::Receiver<EncodedAudio>,
    ) {
        let (mut video_open, mut audio_open) = (true, true);
        while video_open || audio_open {
            let due = self.pacer.poll_timeout();
            // Biased: sound goes first.
            tokio::select! {
                biased;
                packet = audio_out.recv(), if audio_open => match packet {
                    Some(packet) => self.send_audio(packet).await,
                    None => audio_open = false,
                },
                () = sleep_until(due), if due.is_some() => self.send_due_video().await,
                frame = video_out.recv(), if video_open => match frame {
                    Some(frame) => {
                        self.queue_video(frame);
                        self.send_due_video().await;
                    }
                    None => video_open = false,
                },
            }
        }
    }

    /// Both sides have accepted and the path is up. At its opening the pacer waits for a keyframe, which the encoder
    /// makes of its first picture without being asked.
    fn may_send(&mut self) -> bool {
        let open = self.control.sending() && self.wire.connected.load(Ordering::Acquire);
        if open != self.gate_open {
            self.gate_open = open;
            self.pacer.reset();
        }
        open
    }

    async fn send_audio(&mut self, packet: EncodedAudio) {
        if !self.may_send() {
            return;
        }
        let now = Instant::now();
        let Some(agreed) = self.agreement.borrow().audio else { return };
        let captured = self.wire.clock.ntp(packet.captured);
        self.wire.audio_anchor.set(packet.rtp_timestamp, captured);
        let due = self.audio_capture_time_due.is_none_or(|due| due <= now);
        if due {
            self.audio_capture_time_due = Some(now + AUDIO_CAPTURE_TIME_INTERVAL);
        }
        let capture_ntp = due.then_some(captured);
        self.pacer.handle_unpaced(now, packet.data.len());
        self.audio.write(agreed, packet.data, packet.rtp_timestamp, packet.talk_spurt, capture_ntp).await;
    }

    fn queue_video(&mut self, frame: EncodedFrame) {
        // A picture in a codec that the other side does not take was under way when the agreement changed.
        if !self.may_send() || self.agreement.borrow().video.of(frame.codec).is_none() {
            return;
        }
        self.set_pace();
        let payloads = self.packetizer.packetize(frame.codec, &frame.data);
        let picture =
            Picture { codec: frame.codec, timestamp: frame.rtp_timestamp, captured: frame.captured };
        let accepted = self.pacer.handle_frame(Instant::now(), payloads, picture, frame.keyframe);
        if accepted == Accepted::NeedsKeyframe {
            self.control.want_keyframe();
        }
    }

    /// Lets the pacer know what goes on in the chain: the pace, a probe, repairs and parities.
    fn set_pace(&mut self) {
        let pace = f64::from(self.wire.pace.load(Ordering::Relaxed));
        let probe = match self.wire.probe.load(Ordering::Relaxed) {
            0 => None,
            rate => Some(f64::from(rate)),
        };
        self.pacer.set_pace(pace, probe);
        let repaired = self.wire.unpaced_octets.swap(0, Ordering::Relaxed);
        if repaired > 0 {
            self.pacer.handle_unpaced(Instant::now(), repaired as usize);
        }
    }

    async fn send_due_video(&mut self) {
        self.set_pace();
        while let Some(packet) = self.pacer.poll_packet(Instant::now()) {
            let Payload { data, picture: Picture { codec, timestamp, captured }, first, marker } = packet;
            let Some(agreed) = self.agreement.borrow().video.of(codec) else { continue };
            let capture_ntp = first.then(|| self.wire.clock.ntp(captured));
            if let Some(ntp) = capture_ntp {
                self.wire.video_anchor.set(timestamp, ntp);
            }
            self.video.write(agreed, data, timestamp, marker, capture_ntp).await;
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due.into()).await;
    }
}
