//! Makes the `webrtc` connection: settings, codecs, interceptors, tracks, sockets.

use super::chain::bound::{Bindings, Bound};
use super::chain::clock::Clock;
use super::chain::deliver::Deliver;
use super::chain::feedback::Feedback;
use super::chain::protect::Protect;
use super::chain::repeat::Repeat;
use super::chain::request::Request;
use super::chain::resend::Resend;
use super::chain::restore::Restore;
use super::chain::tap::Tap;
use super::chain::transport::Transport;
use super::chain::unwrap::Unwrap;
use super::chain::wire::Wire;
use super::handler::{Handler, NOTICE_CAPACITY, Notice};
use super::rate::Estimator;
use super::socket::{Handshake, Sockets};
use super::{PeerConfig, PeerError, codecs};
use crate::config::IceServer;
use crate::media::ports::{ReceivedPacket, SendControl, VideoCodec};
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{Interceptor, ReceiverReportBuilder, Registry, SenderReportBuilder, Slot};
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::transport::{RTCDtlsRole, RTCIceServer};
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{PeerConnection, PeerConnectionBuilder, RTCIceTransportPolicy, SettingEngine};
use webrtc::rtp_transceiver::RtpSender;

/// Without a sign of life (media, or an answer to a check) for this long the path counts as disconnected, and the user
/// is told: three checks in a row and everything sent meanwhile were lost. The article's peers close after about 5 s.
const DISCONNECTED_AFTER: Duration = Duration::from_millis(1200);
/// And for this much longer as failed: later than the call's own grace period of 30 s.
const FAILED_AFTER: Duration = Duration::from_secs(60);
/// How often the selected pair is checked, as long as the call lasts: RFC 7675 asks for consent every 5 s at most, but
/// this is also how soon a silence, and its end, is noticed without media. 5 kbit/s.
const KEEPALIVE: Duration = Duration::from_millis(400);
/// Between two rounds of connectivity checks. The pair is nominated with the round after its success, so this is
/// waited for in most calls; RFC 8445 section 14.2 recommends 50 ms and allows 5 ms.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// Checks of one pair before it is given up: 10 s, time for slow signaling to bring the other side's description.
const MAX_CHECKS: u16 = 500;
/// First estimate, bits per second, before any feedback (libwebrtc starts at 300 kbit/s, too).
const START_BITS_PER_SECOND: u32 = 300_000;
/// Relayed pairs wait for so long for a direct one.
const RELAY_WAIT: Duration = Duration::from_millis(500);

/// A connection and what belongs to it.
pub(super) struct Built {
    pub(super) connection: Arc<dyn PeerConnection>,
    pub(super) wire: Arc<Wire>,
    pub(super) control: Arc<SendControl>,
    pub(super) audio_sender: Arc<dyn RtpSender>,
    pub(super) video_sender: Arc<dyn RtpSender>,
    pub(super) audio_track: Arc<TrackLocalStaticRTP>,
    pub(super) video_track: Arc<TrackLocalStaticRTP>,
    pub(super) audio_ssrc: u32,
    pub(super) video_ssrc: u32,
    pub(super) repair_ssrc: u32,
    pub(super) parity_ssrc: u32,
    /// Tells the chain of our picture's stream, after each negotiation.
    pub(super) bindings: watch::Sender<Bindings>,
    /// Codecs that we would rather send, best first.
    pub(super) video_codecs: Vec<VideoCodec>,
    /// An event of the driver was lost.
    pub(super) overflowed: Arc<AtomicBool>,
    /// Repeats what gets lost of the handshake.
    pub(super) handshake: Arc<Handshake>,
}

/// Makes the connection and the channel on which its driver tells what happens.
pub(super) async fn build(
    config: &PeerConfig,
    video_in: SyncSender<ReceivedPacket>,
    audio_in: mpsc::Sender<ReceivedPacket>,
    control: Arc<SendControl>,
    wire: Arc<Wire>,
) -> Result<(Built, mpsc::Receiver<Notice>), PeerError> {
    // SSRCs are random (RFC 3550 section 8.1) and differ among themselves.
    let audio_ssrc = rand::random::<u32>() | 1;
    let (video_ssrc, repair_ssrc) = (audio_ssrc.wrapping_add(2), audio_ssrc.wrapping_add(4));
    let parity_ssrc = audio_ssrc.wrapping_add(6);

    let start = f64::from(START_BITS_PER_SECOND);
    let estimator = Estimator::new(start, f64::from(config.max_bits_per_second));
    let (bindings, agreed) = watch::channel(Bindings::default());
    let registry = Registry::new()
        .with(Slot::from(1_400), Repeat::new(Arc::clone(&wire)))
        .with(
            Slot::from(1_500),
            bound(Transport::new(Arc::clone(&control), Arc::clone(&wire), estimator), &agreed),
        )
        .with(Slot::NackResponder, bound(Resend::new(Arc::clone(&wire)), &agreed))
        .with(Slot::FecEncoder, bound(Protect::new(Arc::clone(&wire)), &agreed))
        .with(Slot::from(6_500), Unwrap::new(Arc::clone(&wire)))
        .with(Slot::from(6_600), Restore::new(Arc::clone(&wire)))
        .with(Slot::NackGenerator, Request::new(Arc::clone(&wire), Arc::clone(&control), video_ssrc))
        .with(Slot::from(6_400), Feedback::default())
        .with(Slot::ReceiverReport, ReceiverReportBuilder::new().build())
        .with(Slot::from(10_500), Clock::new(Arc::clone(&wire)))
        .with(Slot::SenderReport, bound(SenderReportBuilder::new().build(), &agreed))
        .with(Slot::from(12_500), Tap::new(Arc::clone(&control), Arc::clone(&wire), audio_ssrc, video_ssrc))
        .with(Slot::from(12_900), Deliver::new(video_in, audio_in, Arc::clone(&wire), Arc::clone(&control)));

    let (notices, received) = mpsc::channel(NOTICE_CAPACITY);
    let overflowed = Arc::new(AtomicBool::new(false));
    let handler = Handler::new(notices, Arc::clone(&overflowed));
    let policy = if config.relay_only { RTCIceTransportPolicy::Relay } else { RTCIceTransportPolicy::All };
    let configuration = RTCConfigurationBuilder::new()
        .with_ice_servers(config.ice_servers.iter().filter_map(ice_server).collect())
        .with_ice_transport_policy(policy)
        .build();
    let handshake = Arc::new(Handshake::default());
    let connection = PeerConnectionBuilder::new()
        .with_runtime(Arc::new(Sockets::new(Arc::clone(&handshake))))
        .with_configuration(configuration)
        .with_media_engine(codecs::media_engine(&config.video_codecs)?)
        .with_setting_engine(settings())
        .with_interceptor_registry(registry)
        .with_handler(Arc::new(handler))
        .with_udp_addrs(vec![Interfaces])
        .build()
        .await
        .map_err(PeerError::setup)?;
    let connection: Arc<dyn PeerConnection> = Arc::new(connection);

    let stream = format!("{:016x}", rand::random::<u64>());
    let track = |kind, ssrc, extra| {
        Arc::new(TrackLocalStaticRTP::new(codecs::local_track(&stream, kind, ssrc, extra)))
    };
    let audio_track = track(RtpCodecKind::Audio, audio_ssrc, None);
    let video_track = track(RtpCodecKind::Video, video_ssrc, Some((repair_ssrc, parity_ssrc)));
    // `addTrack` and not `addTransceiver`: a remote offer's sections then take these (RFC 8829 section 5.10).
    let audio_sender = connection.add_track(audio_track.clone()).await.map_err(PeerError::setup)?;
    let video_sender = connection.add_track(video_track.clone()).await.map_err(PeerError::setup)?;

    let built = Built {
        connection,
        wire,
        control,
        audio_sender,
        video_sender,
        audio_track,
        video_track,
        audio_ssrc,
        video_ssrc,
        repair_ssrc,
        parity_ssrc,
        bindings,
        video_codecs: config.video_codecs.clone(),
        overflowed,
        handshake,
    };
    Ok((built, received))
}

fn bound<I: Interceptor>(interceptor: I, agreed: &watch::Receiver<Bindings>) -> Bound<I> {
    Bound::new(interceptor, agreed.clone())
}

fn settings() -> SettingEngine {
    SettingEngineBuilder::new()
        // The crate answers `active` even when it is the server already; as the server by configuration it answers
        // `passive`, which is what every browser expects of whoever answers it (and see `sdp::with_setup`).
        .with_answering_dtls_role(RTCDtlsRole::Server)
        .with_ice_timeouts(Some(DISCONNECTED_AFTER), Some(FAILED_AFTER), Some(KEEPALIVE))
        .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(MAX_CHECKS))
        .with_host_acceptance_min_wait(Some(Duration::ZERO))
        .with_srflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_relay_acceptance_min_wait(Some(RELAY_WAIT))
        // Names ending in .local are not resolved (see `sdp::is_usable_candidate`), and the socket for it would make
        // every call fail on a machine without a multicast route.
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .with_include_loopback_candidate(true)
        // A restart is there to follow the machine to another network: new sockets, not the old ones' addresses.
        .with_discard_local_candidates_during_ice_restart(true)
        .build()
}

/// Where to bind: every address of this machine, loopback included, so that a call on one machine works without a
/// network. Asked again whenever sockets are made, so an ICE restart finds the network that is there by then. The
/// crate's own wildcard leaves loopback out and falls back to a socket that no candidate can name.
struct Interfaces;

impl ToSocketAddrs for Interfaces {
    type Iter = std::vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> std::io::Result<Self::Iter> {
        let interfaces = if_addrs::get_if_addrs()?;
        let mut addresses: Vec<SocketAddr> = interfaces
            .iter()
            .map(|interface| interface.ip())
            .filter(|ip| !is_link_local(*ip))
            .map(|ip| SocketAddr::new(ip, 0))
            .collect();
        addresses.sort();
        addresses.dedup();
        Ok(addresses.into_iter())
    }
}

/// Addresses that mean something on one link only (RFC 3927, RFC 4291 section 2.5.6): a candidate cannot name the link.
fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The server as the crate takes it; one that it cannot use is named and left out.
fn ice_server(server: &IceServer) -> Option<RTCIceServer> {
    let url = server.url.as_str();
    if url.starts_with("turns:") || url.starts_with("stuns:") || url.contains("transport=tcp") {
        tracing::warn!(url, "servers over TCP or TLS are not supported: give one that is reached over UDP");
        return None;
    }
    let made = RTCIceServer {
        urls: vec![server.url.clone()],
        username: server.username.clone(),
        credential: server.credential.clone(),
    };
    match made.urls() {
        Ok(_) => Some(made),
        Err(error) => {
            tracing::warn!(url, %error, "this STUN or TURN server's entry is not valid: check the settings");
            None
        }
    }
}
