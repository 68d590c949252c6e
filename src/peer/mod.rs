//! The adapter to the `webrtc` crate: one peer connection per call, driven by commands, reporting events.
//!
//! The engine sends [`Command`]s, which one task carries out in order; completions come back as [`PeerEvent`]s.
//! Media packets cross [`crate::media::ports`]. Nothing of `webrtc` or `rtc` leaves this module.

mod build;
mod chain;
mod codecs;
mod connection;
mod fec;
mod handler;
mod level;
mod pacer;
mod packetizer;
mod path;
mod rate;
mod sdp;
mod send;
mod socket;
mod task;
#[cfg(test)]
mod tests;

pub use task::{Peer, PeerError, PeerTag};

use crate::call::Connectivity;
use crate::config::IceServer;
use crate::media::ports::{EncodedAudio, EncodedFrame, Feedback, ReceivedPacket, SendControl, VideoCodec};
use crate::protocol::{IceCandidate, SessionDescription};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Commands that may wait for the peer's task. When full the call fails: the task is stuck.
pub const COMMAND_CAPACITY: usize = 256;

/// How a peer connection is to be made.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// STUN and TURN servers.
    pub ice_servers: Vec<IceServer>,
    /// Use relay candidates only.
    pub relay_only: bool,
    /// Highest total send rate, bits per second.
    pub max_bits_per_second: u32,
    /// Video codecs to offer, best first.
    pub video_codecs: Vec<VideoCodec>,
}

/// The media side of the ports.
pub struct PeerPorts {
    /// From the video encoder.
    pub video_out: mpsc::Receiver<EncodedFrame>,
    /// From the audio encoder.
    pub audio_out: mpsc::Receiver<EncodedAudio>,
    /// To the video receiver's thread.
    pub video_in: std::sync::mpsc::SyncSender<ReceivedPacket>,
    /// To the audio worker's thread.
    pub audio_in: mpsc::Sender<ReceivedPacket>,
    /// From the video receiver.
    pub feedback: mpsc::Receiver<Feedback>,
    /// To the encoders.
    pub control: Arc<SendControl>,
}

/// What the engine wants of the peer connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Create an offer, set it as local description, report [`PeerEvent::OfferCreated`].
    CreateOffer {
        /// With new ICE credentials.
        ice_restart: bool,
    },
    /// Set the remote offer.
    ApplyOffer(SessionDescription),
    /// Create an answer, set it as local description, report [`PeerEvent::AnswerCreated`].
    CreateAnswer,
    /// Set the remote answer.
    ApplyAnswer(SessionDescription),
    /// Take the pending local offer back.
    Rollback,
    /// Add a remote candidate; a bad one is logged and ignored.
    AddCandidate(IceCandidate),
}

/// What the peer connection reports.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerEvent {
    /// The local description after `CreateOffer`.
    OfferCreated(SessionDescription),
    /// The local description after `CreateAnswer`.
    AnswerCreated(SessionDescription),
    /// `ApplyOffer` is done.
    OfferApplied,
    /// `ApplyAnswer` is done.
    AnswerApplied,
    /// `Rollback` is done.
    RolledBack,
    /// A command failed.
    OperationFailed {
        /// In words.
        reason: String,
    },
    /// A local candidate, `sdpMid` and username fragment filled in.
    CandidateGathered(IceCandidate),
    /// The state of the media path.
    Connectivity(Connectivity),
    /// What the other side sends, by its newest description.
    RemoteTracks {
        /// Sends sound.
        audio: bool,
        /// Sends a picture.
        video: bool,
    },
    /// SHA-256 over both DTLS certificates' fingerprints in sorted order: equal on both ends of an untampered path.
    Verified([u8; 32]),
}

/// Transport figures since the connection began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerStats {
    /// Round-trip time in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Type of the selected local candidate: `host`, `srflx`, `prflx`, `relay`.
    pub route: Option<&'static str>,
    /// The address of this machine that the selected pair begins at; not known of a relayed one.
    pub local_address: Option<IpAddr>,
    /// Send-side bandwidth estimate, bits per second.
    pub estimate_bits_per_second: f64,
    /// Video: octets sent (payload and headers), packets sent, packets sent again.
    pub video_octets_sent: u64,
    /// RTP packets, repairs included.
    pub video_packets_sent: u64,
    /// Repairs among them.
    pub video_retransmitted: u64,
    /// Video: octets received.
    pub video_octets_received: u64,
    /// RTP packets received.
    pub video_packets_received: u64,
    /// RTP packets that never came.
    pub video_packets_lost: u64,
    /// Requests for missing packets, repetitions included.
    pub video_packets_requested: u64,
    /// Missing packets that came when asked for.
    pub video_packets_repaired: u64,
    /// Those that came after they had been given up.
    pub video_packets_repaired_late: u64,
    /// Missing packets that parities (forward error correction) gave back.
    pub video_packets_recovered_fec: u64,
    /// Parities sent; they count as packets sent, too.
    pub video_parities_sent: u64,
    /// Packets that came twice.
    pub video_packets_duplicate: u64,
    /// Audio: octets sent.
    pub audio_octets_sent: u64,
    /// RTP packets sent.
    pub audio_packets_sent: u64,
    /// Audio: octets received.
    pub audio_octets_received: u64,
    /// RTP packets received.
    pub audio_packets_received: u64,
    /// RTP packets that never came.
    pub audio_packets_lost: u64,
}
