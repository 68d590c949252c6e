//! The task that owns the connection: carries out commands strictly in order and reports what happens.

use super::build::Built;
use super::codecs::Negotiated;
use super::handler::Notice;
use super::path::{POLL_INTERVAL, Path};
use super::sdp::{self, Format, Setup};
use super::send::Agreement;
use super::{Command, PeerError, PeerEvent, PeerTag, codecs, level};
use crate::call::Connectivity;
use crate::media::ports::{LEVEL_31_MACROBLOCKS, VideoCodec};
use crate::protocol::{IceCandidate, SdpKind, SessionDescription};
use rtc::peer_connection::configuration::RTCOfferOptions;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use webrtc::peer_connection::{
    RTCIceCandidate, RTCIceCandidateInit, RTCPeerConnectionState, RTCSessionDescription,
};

/// How often the driver is woken while a path may come up any moment.
const NUDGE_INTERVAL: Duration = Duration::from_millis(5);
/// For how long after the last remote candidate: a path that is not found by then is not found quickly.
const NUDGING: Duration = Duration::from_secs(3);

/// See the module.
pub(super) struct Connection {
    tag: PeerTag,
    built: Built,
    events: mpsc::Sender<(PeerTag, PeerEvent)>,
    agreement: watch::Sender<Agreement>,
    /// Our DTLS role, once an answer has settled it: it lasts as long as the connection (RFC 8842 section 5.5).
    role: Option<Setup>,
    /// `a=mid` of the first section and our ICE username fragment, for local candidates.
    mid: Option<String>,
    username_fragment: Option<String>,
    verified: bool,
    without_video: bool,
    /// Until then a path may come up any moment.
    nudging_until: Option<Instant>,
    path: Path,
    /// Told when media flows again after an interruption.
    returned: Arc<Notify>,
    interrupted: bool,
}

impl Connection {
    /// Owns `built`; what both sides agree upon goes to `agreement`, that the path is back to `returned`.
    pub(super) fn new(
        tag: PeerTag,
        built: Built,
        events: mpsc::Sender<(PeerTag, PeerEvent)>,
        agreement: watch::Sender<Agreement>,
        returned: Arc<Notify>,
    ) -> Self {
        Self {
            tag,
            built,
            events,
            agreement,
            role: None,
            mid: None,
            username_fragment: None,
            verified: false,
            without_video: false,
            nudging_until: None,
            path: Path::default(),
            returned,
            interrupted: false,
        }
    }

    /// Carries out commands and passes events on until told to stop or the engine is gone.
    pub(super) async fn run(
        &mut self,
        mut commands: mpsc::Receiver<Command>,
        mut notices: mpsc::Receiver<Notice>,
    ) -> Result<(), PeerError> {
        let mut nudges = interval(NUDGE_INTERVAL);
        nudges.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut polls = interval(POLL_INTERVAL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // A command's completion goes out before what the driver told meanwhile: a candidate must not
                // overtake the description that it belongs to.
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.carry_out(command).await?,
                    None => return Ok(()),
                },
                notice = notices.recv() => match notice {
                    Some(notice) => self.pass_on(notice).await?,
                    None => return Ok(()),
                },
                _ = nudges.tick(), if self.is_nudging() => self.nudge().await,
                _ = polls.tick(), if self.path.is_in_doubt() => {
                    let heard = self.built.wire.heard.load(Ordering::Relaxed);
                    if let Some(connectivity) = self.path.poll(heard, Instant::now()) {
                        self.tell_path(connectivity)?;
                    }
                }
            }
            if self.built.overflowed.load(Ordering::Acquire) {
                return Err(PeerError::Overflow);
            }
        }
    }

    fn report(&self, event: PeerEvent) -> Result<(), PeerError> {
        match self.events.try_send((self.tag, event)) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(PeerError::Overflow),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(PeerError::Closed),
        }
    }

    async fn carry_out(&mut self, command: Command) -> Result<(), PeerError> {
        let done = match command {
            Command::CreateOffer { ice_restart } => self.create_offer(ice_restart).await,
            Command::ApplyOffer(offer) => self.apply_offer(offer).await,
            Command::CreateAnswer => self.create_answer().await,
            Command::ApplyAnswer(answer) => self.apply_answer(answer).await,
            Command::Rollback => self.rollback().await,
            Command::AddCandidate(candidate) => {
                self.add_candidate(candidate).await;
                return Ok(());
            }
        };
        match done {
            Ok(event) => self.report(event),
            Err(error) => {
                tracing::warn!(%error, "an operation on the peer connection failed");
                self.report(PeerEvent::OperationFailed { reason: error.to_string() })
            }
        }
    }

    async fn create_offer(&mut self, ice_restart: bool) -> Result<PeerEvent, PeerError> {
        let options = Some(RTCOfferOptions { ice_restart });
        let offer = self.built.connection.create_offer(options).await.map_err(PeerError::offer)?;
        let description = self.set_local(offer).await.map_err(PeerError::offer)?;
        Ok(PeerEvent::OfferCreated(SessionDescription::new(SdpKind::Offer, description)))
    }

    async fn apply_offer(&mut self, offer: SessionDescription) -> Result<PeerEvent, PeerError> {
        // The crate cannot answer for a sender without a common codec; without the sender it refuses the section.
        let has_video = offer.sdp.lines().any(|line| line.starts_with("m=video "));
        if has_video && !sdp::offers_any(&offer.sdp, &self.built.video_codecs) && !self.without_video {
            tracing::warn!("the other side has no codec of ours: our picture is not sent");
            let sender = &self.built.video_sender;
            self.built.connection.remove_track(sender).await.map_err(PeerError::remote)?;
            self.without_video = true;
        }
        self.remember_remote(&offer.sdp);
        let description = RTCSessionDescription::offer(offer.sdp.clone()).map_err(PeerError::remote)?;
        self.built.connection.set_remote_description(description).await.map_err(PeerError::remote)?;
        self.report_remote_tracks(&offer.sdp)?;
        Ok(PeerEvent::OfferApplied)
    }

    async fn create_answer(&mut self) -> Result<PeerEvent, PeerError> {
        let answer = self.built.connection.create_answer(None).await.map_err(PeerError::answer)?;
        let mut sdp = self.set_local(answer).await.map_err(PeerError::answer)?;
        match self.role {
            Some(role) => sdp = sdp::with_setup(&sdp, role),
            None => self.role = sdp::setup(&sdp),
        }
        self.read_agreement().await;
        Ok(PeerEvent::AnswerCreated(SessionDescription::new(SdpKind::Answer, sdp)))
    }

    async fn apply_answer(&mut self, answer: SessionDescription) -> Result<PeerEvent, PeerError> {
        self.remember_remote(&answer.sdp);
        let description = RTCSessionDescription::answer(answer.sdp.clone()).map_err(PeerError::remote)?;
        self.built.connection.set_remote_description(description).await.map_err(PeerError::remote)?;
        if self.role.is_none() {
            self.role = sdp::setup(&answer.sdp).map(|remote| match remote {
                Setup::Active => Setup::Passive,
                Setup::Passive => Setup::Active,
            });
        }
        self.report_remote_tracks(&answer.sdp)?;
        self.read_agreement().await;
        Ok(PeerEvent::AnswerApplied)
    }

    async fn rollback(&mut self) -> Result<PeerEvent, PeerError> {
        let rollback = RTCSessionDescription::rollback(None).map_err(PeerError::rollback)?;
        self.built.connection.set_local_description(rollback).await.map_err(PeerError::rollback)?;
        if let Some(description) = self.built.connection.local_description().await {
            self.remember_local(&description.sdp);
        }
        Ok(PeerEvent::RolledBack)
    }

    /// Sets the local description and returns its text as the crate completed it.
    async fn set_local(
        &mut self,
        description: RTCSessionDescription,
    ) -> Result<String, rtc::shared::error::Error> {
        let text = description.sdp.clone();
        self.built.connection.set_local_description(description).await?;
        let text = self.built.connection.local_description().await.map_or(text, |set| set.sdp);
        self.remember_local(&text);
        Ok(sdp::with_preference(&text, &self.built.video_codecs))
    }

    fn remember_local(&mut self, sdp: &str) {
        self.mid = sdp::first_mid(sdp).map(str::to_owned);
        self.username_fragment = sdp::attribute(sdp, "ice-ufrag").map(str::to_owned);
        for format in sdp::formats(sdp) {
            match format {
                Format::Picture(payload_type, codec) => {
                    self.built.wire.formats.set_codec(payload_type, codec);
                }
                Format::Repair(payload_type, original) => {
                    self.built.wire.formats.set_original(payload_type, original);
                }
            }
        }
    }

    /// What the other side's checks will be signed with, before any of them can come.
    fn remember_remote(&self, sdp: &str) {
        if let Some(password) = sdp::attribute(sdp, "ice-pwd") {
            self.built.handshake.set_remote_password(password);
        }
    }

    fn report_remote_tracks(&self, sdp: &str) -> Result<(), PeerError> {
        let sending = sdp::sending(sdp);
        self.report(PeerEvent::RemoteTracks { audio: sending.audio, video: sending.video })
    }

    /// Reads what may be written now, after a negotiation is complete.
    async fn read_agreement(&mut self) {
        let mut agreement = Agreement::default();
        let preferred = &self.built.video_codecs;
        match self.built.audio_sender.get_parameters().await {
            Ok(parameters) => agreement.audio = codecs::sound(&parameters),
            Err(error) => tracing::debug!(%error, "the sound's sender has no parameters"),
        }
        match self.built.video_sender.get_parameters().await {
            Ok(parameters) => {
                agreement.video = codecs::pictures(&parameters, preferred);
                let Built { video_ssrc, repair_ssrc, parity_ssrc, .. } = self.built;
                let bindings = codecs::bindings(&parameters, video_ssrc, repair_ssrc, parity_ssrc);
                self.built.bindings.send_if_modified(|current| {
                    let changed = !codecs::same(current, &bindings);
                    if changed {
                        *current = bindings;
                    }
                    changed
                });
            }
            Err(error) => tracing::debug!(%error, "the picture's sender has no parameters"),
        }
        let connection = &self.built.connection;
        let local = connection.local_description().await.map_or_else(String::new, |set| set.sdp);
        let remote = connection.remote_description().await.map_or_else(String::new, |set| set.sdp);
        let limited = |(codec, agreed): (VideoCodec, Negotiated)| {
            (codec, level::macroblocks(&local, &remote, codec, agreed.payload_type))
        };
        let mut taken = agreement.video.iter().map(limited);
        let first = taken.next();
        if let Some((_, macroblocks)) = first {
            self.built.control.set_video_macroblocks(macroblocks);
        }
        // Another one is of use only where it needs no limits of its own.
        let other = taken.find(|(_, macroblocks)| *macroblocks >= LEVEL_31_MACROBLOCKS);
        self.built.control.set_video_codecs(first.map(|(codec, _)| codec), other.map(|(codec, _)| codec));
        self.agreement.send_replace(agreement);
    }

    async fn add_candidate(&mut self, candidate: IceCandidate) {
        let text = candidate.candidate.trim();
        if !sdp::is_usable_candidate(text) {
            tracing::trace!(candidate = text, "candidate ignored");
            return;
        }
        if let Some(fragment) = &candidate.username_fragment
            && let Some(remote) = self.built.connection.remote_description().await
            && !sdp::has_username_fragment(&remote.sdp, fragment)
        {
            tracing::debug!("candidate of another ICE generation ignored");
            return;
        }
        let init = RTCIceCandidateInit {
            candidate: text.to_owned(),
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_m_line_index,
            username_fragment: candidate.username_fragment,
            url: None,
        };
        if let Err(error) = self.built.connection.add_ice_candidate(init).await {
            tracing::warn!(%error, "the other side's candidate cannot be used");
            return;
        }
        self.nudging_until = Some(Instant::now() + NUDGING);
        self.nudge().await;
    }

    /// Whether the driver is to be woken at short intervals: there is no path yet, and one may come up any moment.
    fn is_nudging(&self) -> bool {
        self.nudging_until.is_some_and(|until| Instant::now() < until)
            && (self.interrupted || !self.built.wire.connected.load(Ordering::Acquire))
    }

    /// Makes the crate's driver look again at what it has to send, to tell and to wait for. It does not by itself when
    /// a remote candidate was added, nor when ICE's success starts the DTLS handshake: check and first flight then
    /// lie there until the next timer. Setting the configuration that is in force changes nothing else.
    async fn nudge(&self) {
        let configuration = self.built.connection.get_configuration().await;
        if let Err(error) = self.built.connection.set_configuration(configuration).await {
            tracing::debug!(%error, "the driver was not woken: its next timer does it");
        }
    }

    async fn pass_on(&mut self, notice: Notice) -> Result<(), PeerError> {
        match notice {
            Notice::Candidate(candidate) => self.pass_candidate(&candidate),
            Notice::State(state) => self.pass_state(state).await,
        }
    }

    fn pass_candidate(&self, candidate: &RTCIceCandidate) -> Result<(), PeerError> {
        // A socket bound to the wildcard (a machine without a network) names no address that can be reached.
        if candidate.address.parse().is_ok_and(|address: std::net::IpAddr| address.is_unspecified()) {
            return Ok(());
        }
        match candidate.to_json() {
            Ok(init) => self.report(PeerEvent::CandidateGathered(IceCandidate {
                candidate: init.candidate,
                sdp_mid: self.mid.clone(),
                sdp_m_line_index: Some(0),
                username_fragment: self.username_fragment.clone(),
            })),
            Err(error) => {
                tracing::warn!(%error, "a local candidate cannot be written down");
                Ok(())
            }
        }
    }

    async fn pass_state(&mut self, state: RTCPeerConnectionState) -> Result<(), PeerError> {
        let connectivity = match state {
            RTCPeerConnectionState::Connected => Connectivity::Connected,
            RTCPeerConnectionState::Disconnected => Connectivity::Disconnected,
            RTCPeerConnectionState::Failed => Connectivity::Failed,
            RTCPeerConnectionState::Closed => Connectivity::Closed,
            _ => Connectivity::Connecting,
        };
        tracing::debug!(?connectivity, "the media path, as ICE sees it");
        if connectivity == Connectivity::Connected {
            // From here on packets may be written, for the rest of the connection's life: while it is
            // disconnected they are lost, and the first that gets through tells that the path is back.
            self.built.wire.connected.store(true, Ordering::Release);
            self.verify().await?;
        }
        let heard = self.built.wire.heard.load(Ordering::Relaxed);
        match self.path.handle_ice(connectivity, heard, Instant::now()) {
            Some(connectivity) => self.tell_path(connectivity),
            None => Ok(()),
        }
    }

    fn tell_path(&mut self, connectivity: Connectivity) -> Result<(), PeerError> {
        tracing::info!(?connectivity, "media path");
        let up = connectivity == Connectivity::Connected;
        // Also between the two ends of an ICE restart, whose first word is "connecting".
        if up && self.interrupted {
            self.returned.notify_one();
        }
        self.interrupted = !up && (self.interrupted || self.built.wire.connected.load(Ordering::Acquire));
        self.report(PeerEvent::Connectivity(connectivity))
    }

    /// Reports what both ends can compare, once.
    async fn verify(&mut self) -> Result<(), PeerError> {
        if self.verified {
            return Ok(());
        }
        let local = self.built.connection.local_description().await;
        let local = local.and_then(|description| sdp::fingerprint(&description.sdp));
        let remote = match self.built.audio_sender.transport().await {
            Ok(Some(transport)) => transport.get_remote_certificates().await.unwrap_or_default(),
            Ok(None) | Err(_) => Vec::new(),
        };
        // The first certificate is the peer's own (RFC 5246 section 7.4.2).
        let remote = remote.first().map(|der| sdp::certificate_fingerprint(der));
        let (Some(local), Some(remote)) = (local, remote) else {
            tracing::warn!("the certificates are not known: this call cannot be verified");
            return Ok(());
        };
        self.verified = true;
        self.report(PeerEvent::Verified(sdp::verification(local, remote)))
    }
}
