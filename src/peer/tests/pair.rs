//! The two ends of a call and the signaling between them.

use crate::call::{CallId, Connectivity};
use crate::media::ports::{
    AUDIO_RECEIVE_CAPACITY, AUDIO_SEND_CAPACITY, EncodedAudio, EncodedFrame, FEEDBACK_CAPACITY, Feedback,
    ReceivedPacket, SendControl, VIDEO_RECEIVE_CAPACITY, VIDEO_SEND_CAPACITY, VideoCodec,
};
use crate::peer::{Command, Peer, PeerConfig, PeerEvent, PeerPorts, PeerTag};
use crate::protocol::{SdpKind, SessionDescription};
use bytes::{BufMut, Bytes, BytesMut};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};

/// Long enough for a loaded machine; a test that needs it has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn config() -> PeerConfig {
    PeerConfig {
        ice_servers: Vec::new(),
        relay_only: false,
        max_bits_per_second: 2_000_000,
        video_codecs: vec![VideoCodec::H264, VideoCodec::Vp8],
    }
}

/// One end, with the media side of its ports.
pub(super) struct End {
    pub(super) peer: Peer,
    pub(super) events: mpsc::Receiver<(PeerTag, PeerEvent)>,
    pub(super) seen: Vec<PeerEvent>,
    pub(super) video_out: mpsc::Sender<EncodedFrame>,
    pub(super) audio_out: mpsc::Sender<EncodedAudio>,
    pub(super) video_in: Receiver<ReceivedPacket>,
    pub(super) audio_in: Mutex<mpsc::Receiver<ReceivedPacket>>,
    pub(super) feedback: mpsc::Sender<Feedback>,
    pub(super) control: Arc<SendControl>,
}

impl End {
    pub(super) fn open(number: u64) -> Self {
        Self::open_with(number, config())
    }

    pub(super) fn open_with(number: u64, config: PeerConfig) -> Self {
        let (video_out, video_out_rx) = mpsc::channel(VIDEO_SEND_CAPACITY);
        let (audio_out, audio_out_rx) = mpsc::channel(AUDIO_SEND_CAPACITY);
        let (video_in_tx, video_in) = std::sync::mpsc::sync_channel(VIDEO_RECEIVE_CAPACITY);
        let (audio_in_tx, audio_in) = mpsc::channel(AUDIO_RECEIVE_CAPACITY);
        let (feedback, feedback_rx) = mpsc::channel(FEEDBACK_CAPACITY);
        let control = Arc::new(SendControl::new(300_000));
        control.set_sending(true);
        let ports = PeerPorts {
            video_out: video_out_rx,
            audio_out: audio_out_rx,
            video_in: video_in_tx,
            audio_in: audio_in_tx,
            feedback: feedback_rx,
            control: Arc::clone(&control),
        };
        let (events_tx, events) = mpsc::channel(256);
        let tag = PeerTag { call: CallId(number), generation: 0 };
        let peer = Peer::open(tag, config, ports, events_tx);
        let audio_in = Mutex::new(audio_in);
        Self { peer, events, seen: Vec::new(), video_out, audio_out, video_in, audio_in, feedback, control }
    }

    /// The next packet of sound.
    pub(super) async fn hear(&self) -> ReceivedPacket {
        let mut audio_in = self.audio_in.lock().await;
        tokio::time::timeout(PATIENCE, audio_in.recv()).await.expect("sound arrives").expect("the peer runs")
    }

    pub(super) fn command(&self, command: Command) {
        self.peer.try_command(command).expect("the peer takes commands");
    }

    pub(super) fn is_connected(&self) -> bool {
        let mut states = self.seen.iter().rev().filter_map(|event| match event {
            PeerEvent::Connectivity(state) => Some(*state),
            _ => None,
        });
        states.next() == Some(Connectivity::Connected)
    }
}

/// Carries one event of `from` to `to`, as the engine and the signaling would.
pub(super) fn carry(from: &mut End, to: &End, event: PeerEvent) {
    match &event {
        PeerEvent::OfferCreated(offer) => {
            to.command(Command::ApplyOffer(offer.clone()));
            to.command(Command::CreateAnswer);
        }
        PeerEvent::AnswerCreated(answer) => to.command(Command::ApplyAnswer(answer.clone())),
        PeerEvent::CandidateGathered(candidate) => to.command(Command::AddCandidate(candidate.clone())),
        _ => {}
    }
    from.seen.push(event);
}

/// Carries signaling between the two until `done`, or panics.
pub(super) async fn signal_until(a: &mut End, b: &mut End, what: &str, done: impl Fn(&End, &End) -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !done(a, b) {
        tokio::select! {
            Some((_, event)) = a.events.recv() => carry(a, b, event),
            Some((_, event)) = b.events.recv() => carry(b, a, event),
            () = tokio::time::sleep_until(deadline) => {
                panic!("{what} did not happen\na: {:#?}\nb: {:#?}", a.seen, b.seen)
            }
        }
    }
}

/// Carries signaling for a while.
pub(super) async fn signal_for(a: &mut End, b: &mut End, time: Duration) {
    let deadline = tokio::time::Instant::now() + time;
    loop {
        tokio::select! {
            Some((_, event)) = a.events.recv() => carry(a, b, event),
            Some((_, event)) = b.events.recv() => carry(b, a, event),
            () = tokio::time::sleep_until(deadline) => return,
        }
    }
}

/// Two ends, `a` having called.
pub(super) async fn connected() -> (End, End) {
    let (mut a, mut b) = (End::open(1), End::open(2));
    a.command(Command::CreateOffer { ice_restart: false });
    signal_until(&mut a, &mut b, "connecting", |a, b| a.is_connected() && b.is_connected()).await;
    (a, b)
}

/// An access unit with parameter sets and one big slice, recognizable by `seed`.
pub(super) fn access_unit(seed: u8, octets: usize, keyframe: bool) -> Bytes {
    let mut data = BytesMut::new();
    if keyframe {
        data.put_slice(&[0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1f, 0xaa, 0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80]);
    }
    data.put_slice(&[0, 0, 0, 1, if keyframe { 0x65 } else { 0x41 }]);
    for index in 0..octets {
        // Never a start code, never a trailing zero.
        data.put_u8((index as u8).wrapping_mul(31).wrapping_add(seed) | 1);
    }
    data.freeze()
}

pub(super) fn frame(number: u32, octets: usize, keyframe: bool) -> EncodedFrame {
    EncodedFrame {
        codec: VideoCodec::H264,
        data: access_unit(number as u8, octets, keyframe),
        captured: Instant::now(),
        rtp_timestamp: number.wrapping_mul(3000),
        keyframe,
    }
}

pub(super) fn sound(number: u32) -> EncodedAudio {
    EncodedAudio {
        data: Bytes::from(vec![number as u8; 80]),
        captured: Instant::now(),
        rtp_timestamp: number.wrapping_mul(960),
        talk_spurt: number == 0,
    }
}

/// Puts RTP payloads back together as Annex B, for comparison with what was sent. Only for orderly input.
pub(super) fn reassemble(packets: &[ReceivedPacket]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut unit = |octets: &[u8]| {
        out.extend_from_slice(&[0, 0, 0, 1]);
        out.extend_from_slice(octets);
    };
    let mut fragments: Vec<u8> = Vec::new();
    for packet in packets {
        let payload = &packet.payload;
        match payload[0] & 0x1f {
            24 => {
                let mut rest = &payload[1..];
                while let [high, low, tail @ ..] = rest {
                    let length = usize::from(u16::from_be_bytes([*high, *low]));
                    unit(&tail[..length]);
                    rest = &tail[length..];
                }
            }
            28 => {
                if payload[1] & 0x80 != 0 {
                    fragments = vec![payload[0] & 0xe0 | payload[1] & 0x1f];
                }
                fragments.extend_from_slice(&payload[2..]);
                if payload[1] & 0x40 != 0 {
                    unit(&fragments);
                }
            }
            _ => unit(payload),
        }
    }
    out
}

/// Receives one picture: all packets up to the marker bit, in order of sequence.
pub(super) async fn receive_picture(end: &End, timestamp: u32) -> Vec<ReceivedPacket> {
    let deadline = Instant::now() + PATIENCE;
    let mut packets: Vec<ReceivedPacket> = Vec::new();
    loop {
        while let Ok(packet) = end.video_in.try_recv() {
            if packet.timestamp == timestamp && !packets.iter().any(|known| known.sequence == packet.sequence)
            {
                packets.push(packet);
            }
        }
        let base = packets_base(&packets);
        packets.sort_by_key(|packet| packet.sequence.wrapping_sub(base));
        let complete = packets.last().is_some_and(|last| last.marker)
            && packets.windows(2).all(|pair| pair[1].sequence == pair[0].sequence.wrapping_add(1))
            && packets.first().is_some_and(|first| first.capture_ntp.is_some());
        if complete {
            return packets;
        }
        assert!(Instant::now() < deadline, "picture {timestamp} did not arrive: {} packets", packets.len());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn packets_base(packets: &[ReceivedPacket]) -> u16 {
    packets.first().map_or(0, |first| first.sequence.wrapping_sub(0x4000))
}

pub(super) fn offer(sdp: &str) -> SessionDescription {
    SessionDescription::new(SdpKind::Offer, sdp)
}
