//! What the interceptors know and others may read: counters and the estimate, in atomics.

use super::formats::Formats;
use crate::media::ntp::NtpClock;
use crate::peer::PeerStats;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// Traffic of one kind of media in one direction.
#[derive(Debug, Default)]
pub(in crate::peer) struct Traffic {
    /// Octets of RTP, headers and payload.
    pub(in crate::peer) octets: AtomicU64,
    /// RTP packets.
    pub(in crate::peer) packets: AtomicU64,
}

impl Traffic {
    /// Counts one packet.
    pub(in crate::peer) fn count(&self, octets: usize) {
        self.octets.fetch_add(octets as u64, Ordering::Relaxed);
        self.packets.fetch_add(1, Ordering::Relaxed);
    }
}

/// Which capture time belongs to which RTP timestamp of a stream of ours: one word, so that both are of one packet.
#[derive(Debug, Default)]
pub(in crate::peer) struct Anchor(AtomicU64);

impl Anchor {
    /// Sets the word.
    pub(in crate::peer) fn store(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The word; 0 before the first packet.
    pub(in crate::peer) fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The selected pair, as far as others want to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::peer) struct Route {
    /// Type of the local candidate.
    pub(in crate::peer) kind: &'static str,
    /// Where it begins on this machine.
    pub(in crate::peer) local: Option<IpAddr>,
}

/// Written by the interceptors, read by the tasks.
#[derive(Debug, Default)]
pub(in crate::peer) struct Wire {
    /// Video that we send, repairs included.
    pub(in crate::peer) video_sent: Traffic,
    /// Audio that we send.
    pub(in crate::peer) audio_sent: Traffic,
    /// Video that we receive, repairs included.
    pub(in crate::peer) video_received: Traffic,
    /// Audio that we receive.
    pub(in crate::peer) audio_received: Traffic,
    /// The clock of our capture times and sender reports.
    pub(in crate::peer) clock: NtpClock,
    /// Newest capture of our picture.
    pub(in crate::peer) video_anchor: Anchor,
    /// Newest capture of our sound.
    pub(in crate::peer) audio_anchor: Anchor,
    /// Repairs that we sent.
    pub(in crate::peer) retransmitted: AtomicU64,
    /// Parities that we sent.
    pub(in crate::peer) parities_sent: AtomicU64,
    /// Requests for missing video packets, repetitions included.
    pub(in crate::peer) video_requested: AtomicU64,
    /// Missing video packets that came when asked for.
    pub(in crate::peer) video_repaired: AtomicU64,
    /// Those that came after they had been given up.
    pub(in crate::peer) video_repaired_late: AtomicU64,
    /// Missing video packets that parities gave back.
    pub(in crate::peer) video_restored: AtomicU64,
    /// Video packets that came twice.
    pub(in crate::peer) video_duplicates: AtomicU64,
    /// Video packets that never came.
    pub(in crate::peer) video_lost: AtomicU64,
    /// Audio packets that never came.
    pub(in crate::peer) audio_lost: AtomicU64,
    /// Packets of our sound that the remote asked for again.
    pub(in crate::peer) sound_requested: AtomicU64,
    /// The remote asks for missing sound. Only programs of our kind do.
    pub(in crate::peer) sound_nack: AtomicBool,
    /// SSRC of the remote picture being shown; 0 before the first packet.
    pub(in crate::peer) video_ssrc: AtomicU32,
    /// Round-trip time in microseconds, smoothed; 0 before the first measurement.
    pub(in crate::peer) rtt_us: AtomicU32,
    /// A receiver report has measured the round trip; before that it is guessed from congestion feedback.
    pub(in crate::peer) rtt_reported: AtomicBool,
    /// Send-side bandwidth estimate for everything, bits per second.
    pub(in crate::peer) estimate: AtomicU32,
    /// How fast pictures are to leave, bits per second.
    pub(in crate::peer) pace: AtomicU32,
    /// Rate of the probe that is running, bits per second; 0 if none is.
    pub(in crate::peer) probe: AtomicU32,
    /// The path does not keep up: neither pictures nor repairs of them are to leave.
    pub(in crate::peer) congested: AtomicBool,
    /// Octets of repairs and parities that left and that the pacer has not been charged with.
    pub(in crate::peer) unpaced_octets: AtomicU32,
    /// Sequence number of the next packet on our retransmission stream: repairs and padding share it.
    pub(in crate::peer) repair_sequence: AtomicU16,
    /// Parities to send for each packet of a picture, in thousandths; 0: none.
    protection: AtomicU32,
    /// Counts up when the packets begin to take another way: written where the selected pair is looked up.
    pub(in crate::peer) route: AtomicU32,
    /// Payload types of the pictures that we receive.
    pub(in crate::peer) formats: Formats,
    /// Media may flow: ICE and DTLS are up.
    pub(in crate::peer) connected: AtomicBool,
    /// Packets of any kind that came through SRTP: that the number grows is the proof that the path works.
    pub(in crate::peer) heard: AtomicU64,
}

impl Wire {
    /// Round-trip time in milliseconds, if measured.
    pub(in crate::peer) fn rtt_ms(&self) -> Option<f64> {
        match self.rtt_us.load(Ordering::Relaxed) {
            0 => None,
            microseconds => Some(f64::from(microseconds) / 1000.0),
        }
    }

    /// Sets the round-trip time.
    pub(in crate::peer) fn set_rtt_ms(&self, milliseconds: f64) {
        // At least one microsecond: zero means "not measured".
        self.rtt_us.store((milliseconds * 1000.0).max(1.0) as u32, Ordering::Relaxed);
    }

    /// Parities to send for each packet of a picture; 0: none.
    pub(in crate::peer) fn protection(&self) -> f64 {
        f64::from(self.protection.load(Ordering::Relaxed)) / 1000.0
    }

    /// Sets that share.
    pub(in crate::peer) fn set_protection(&self, share: f64) {
        self.protection.store((share * 1000.0) as u32, Ordering::Relaxed);
    }

    /// The counters, as the engine sees them.
    pub(in crate::peer) fn snapshot(&self, route: Option<Route>) -> PeerStats {
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        PeerStats {
            rtt_ms: self.rtt_ms(),
            route: route.map(|route| route.kind),
            local_address: route.and_then(|route| route.local),
            estimate_bits_per_second: f64::from(self.estimate.load(Ordering::Relaxed)),
            video_octets_sent: load(&self.video_sent.octets),
            video_packets_sent: load(&self.video_sent.packets),
            video_retransmitted: load(&self.retransmitted),
            video_octets_received: load(&self.video_received.octets),
            video_packets_received: load(&self.video_received.packets),
            video_packets_lost: load(&self.video_lost),
            video_packets_requested: load(&self.video_requested),
            video_packets_repaired: load(&self.video_repaired),
            video_packets_recovered_fec: load(&self.video_restored),
            video_parities_sent: load(&self.parities_sent),
            video_packets_repaired_late: load(&self.video_repaired_late),
            video_packets_duplicate: load(&self.video_duplicates),
            audio_octets_sent: load(&self.audio_sent.octets),
            audio_packets_sent: load(&self.audio_sent.packets),
            audio_octets_received: load(&self.audio_received.octets),
            audio_packets_received: load(&self.audio_received.packets),
            audio_packets_lost: load(&self.audio_lost),
        }
    }
}
