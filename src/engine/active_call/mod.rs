//! One call and everything that it opened: the state machine, the peer connection, the ports to the media.
//!
//! The engine hands events in; the actions that `Call` answers with are carried out here. Nothing here waits: the
//! peer connection and the media desk work on their own and report back.

mod devices;

use super::figures::Meter;
use super::media_desk::{DeskOrder, MediaDesk, MediaFigures, MediaPorts};
use super::{CallStats, CallView, EngineOptions, Phase, Picture, verification};
use crate::call::{Action, Call, CallId, Direction, EndReason, Event, State};
use crate::config::{CameraChoice, MicrophoneChoice, Settings};
use crate::media::audio::SoundLevels;
use crate::media::event::{MEDIA_EVENT_CAPACITY, MediaEvent};
use crate::media::ports::{
    AUDIO_RECEIVE_CAPACITY, AUDIO_SEND_CAPACITY, FEEDBACK_CAPACITY, SendControl, VIDEO_RECEIVE_CAPACITY,
    VIDEO_SEND_CAPACITY,
};
use crate::media::video::frame::Frame;
use crate::media::video::latest::Latest;
use crate::peer::{Command, Peer, PeerConfig, PeerEvent, PeerPorts, PeerTag};
use crate::protocol::{SessionDescription, Signal};
use crate::signaling::client::SignalingClient;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// What the encoder aims at before the first estimate, bits per second: a picture that is sharp at once on any
/// broadband link, and low enough not to drown a mobile one before the estimate has come down.
const START_BITS_PER_SECOND: u32 = 1_000_000;

/// What an active call borrows from the engine to act.
pub(in crate::engine) struct Context<'a> {
    pub(in crate::engine) signaling: Option<&'a SignalingClient>,
    pub(in crate::engine) desk: &'a MediaDesk,
    pub(in crate::engine) settings: &'a Settings,
    pub(in crate::engine) options: &'a EngineOptions,
    pub(in crate::engine) peer_events: &'a mpsc::Sender<(PeerTag, PeerEvent)>,
}

/// The call in progress.
pub(in crate::engine) struct ActiveCall {
    call: Call,
    generation: u32,
    peer: Option<Peer>,
    /// The media's ends of the ports, until the media is opened.
    media_ports: Option<MediaPorts>,
    media_open: bool,
    media_sender: mpsc::Sender<MediaEvent>,
    /// Events of the call's devices.
    pub(in crate::engine) media_events: mpsc::Receiver<MediaEvent>,
    control: Arc<SendControl>,
    local: Latest<Arc<Frame>>,
    remote: Latest<Arc<Frame>>,
    local_picture: Picture,
    remote_picture: Picture,
    microphone_muted: bool,
    camera_muted: bool,
    /// Sources that are open, or being opened.
    has_camera: bool,
    has_microphone: bool,
    remote_audio: bool,
    remote_video: bool,
    /// How large the other side shows our picture.
    remote_view: Option<(u16, u16)>,
    /// How large we showed its picture when we looked last, and what we told of that.
    last_view: Option<(u16, u16)>,
    told_view: Option<(u16, u16)>,
    sound_levels: Latest<SoundLevels>,
    volume: f32,
    /// The other side's description has a picture to send in it.
    offers_picture: bool,
    verification: Option<String>,
    /// The SDP sessions of the other side in this call.
    remote_sessions: Vec<String>,
    meter: Meter,
    stats: Arc<CallStats>,
}

impl ActiveCall {
    /// A call that has just begun.
    pub(in crate::engine) fn new(call: Call, now: Instant) -> Self {
        let (media_sender, media_events) = mpsc::channel(MEDIA_EVENT_CAPACITY);
        Self {
            call,
            generation: 0,
            peer: None,
            media_ports: None,
            media_open: false,
            media_sender,
            media_events,
            control: Arc::new(SendControl::new(START_BITS_PER_SECOND)),
            local: Latest::new(),
            remote: Latest::new(),
            local_picture: Picture::default(),
            remote_picture: Picture::default(),
            microphone_muted: false,
            camera_muted: false,
            has_camera: true,
            has_microphone: true,
            remote_audio: true,
            remote_video: true,
            remote_view: None,
            last_view: None,
            told_view: None,
            sound_levels: Latest::new(),
            volume: 1.0,
            offers_picture: true,
            verification: None,
            remote_sessions: Vec::new(),
            meter: Meter::new(now),
            stats: Arc::default(),
        }
    }

    /// Who it is with.
    pub(in crate::engine) fn peer_name(&self) -> &str {
        self.call.peer()
    }

    /// Which one it is.
    pub(in crate::engine) fn id(&self) -> CallId {
        self.call.id()
    }

    /// Whose idea it was.
    pub(in crate::engine) fn direction(&self) -> Direction {
        self.call.direction()
    }

    /// The other side called, and the two have not been connected yet.
    pub(in crate::engine) fn is_incoming_and_new(&self) -> bool {
        self.direction() == Direction::Incoming
            && matches!(self.call.state(), State::Ringing | State::Connecting)
    }

    /// When the call wants to be woken.
    pub(in crate::engine) fn poll_timeout(&self) -> Option<Instant> {
        self.call.poll_timeout()
    }

    /// Why it ended, if it did.
    pub(in crate::engine) fn ended(&self) -> Option<(EndReason, Option<Duration>)> {
        match self.call.state() {
            State::Ended(reason) => Some((reason.clone(), self.call.connected_at().map(|at| at.elapsed()))),
            State::Dialing | State::Ringing | State::Connecting | State::Connected | State::Reconnecting => {
                None
            }
        }
    }

    /// Takes note of the other side's SDP session.
    pub(in crate::engine) fn remember_session(&mut self, description: &SessionDescription) {
        if let Some(session) = description.session()
            && !self.remote_sessions.iter().any(|known| known == session)
        {
            self.remote_sessions.push(session.to_owned());
        }
    }

    /// The offer is not of the other side's end of this call, but of a new one.
    pub(in crate::engine) fn is_abandoned_by(&self, offer: &SessionDescription) -> bool {
        self.call.is_abandoned_by(offer)
    }

    /// The SDP sessions of the other side in this call.
    pub(in crate::engine) fn remote_sessions(&self) -> &[String] {
        &self.remote_sessions
    }

    /// The media path begins at one of these addresses, as far as is known.
    pub(in crate::engine) fn begins_at_one_of(&self, addresses: &[IpAddr]) -> bool {
        let Some(peer) = &self.peer else { return false };
        match peer.stats().local_address {
            Some(own) => addresses.contains(&own),
            // A relayed path, or none yet: any of them may be the one.
            None => !addresses.is_empty(),
        }
    }

    /// Something happened to the call.
    pub(in crate::engine) fn handle(&mut self, event: Event, context: &Context<'_>, now: Instant) {
        match &event {
            Event::Signal(Signal::Offer { description, .. } | Signal::Answer(description))
                if !self.call.is_abandoned_by(description) =>
            {
                self.remember_session(description);
            }
            Event::Signal(Signal::MediaState { audio, video }) => {
                let was = (self.remote_audio, self.remote_video);
                (self.remote_audio, self.remote_video) = (*audio, *video);
                let echoes = context.settings.camera == CameraChoice::Echo
                    || context.settings.microphone == MicrophoneChoice::Echo;
                if echoes && was != (*audio, *video) {
                    self.tell_media_state(context);
                }
            }
            Event::Signal(Signal::View { width, height }) => {
                self.remote_view = Some((*width, *height));
                self.control.set_video_view(self.remote_view);
            }
            Event::RemoteTracks { video, .. } => self.offers_picture = *video,
            Event::Answer { video } | Event::CallBack { video } => self.camera_muted = !video,
            _ => {}
        }
        let was = self.phase();
        self.call.handle_event(event, now);
        self.act(context, now);
        let is = self.phase();
        if was != Phase::Connected && is == Phase::Connected {
            self.tell_media_state(context);
            // What was said while the path was gone may be lost.
            self.told_view = None;
        }
        if was == Phase::Connected
            && is == Phase::Reconnecting
            && let Some(signaling) = context.signaling
        {
            // What took the path may have taken the server, too.
            signaling.check();
        }
    }

    /// Time passed.
    pub(in crate::engine) fn handle_timeout(&mut self, context: &Context<'_>, now: Instant) {
        self.call.handle_timeout(now);
        self.act(context, now);
    }

    /// The peer connection reported something; strangers (of a replaced connection) are discarded.
    pub(in crate::engine) fn handle_peer(
        &mut self,
        tag: PeerTag,
        event: PeerEvent,
        context: &Context<'_>,
        now: Instant,
    ) {
        if tag != self.tag() {
            return;
        }
        let event = match event {
            PeerEvent::OfferCreated(offer) => Event::OfferCreated(offer),
            PeerEvent::AnswerCreated(answer) => Event::AnswerCreated(answer),
            PeerEvent::OfferApplied => Event::OfferApplied,
            PeerEvent::AnswerApplied => Event::AnswerApplied,
            PeerEvent::RolledBack => Event::RolledBack,
            PeerEvent::OperationFailed { reason } => Event::OperationFailed { reason },
            PeerEvent::CandidateGathered(candidate) => Event::CandidateGathered(candidate),
            PeerEvent::Connectivity(connectivity) => Event::Connectivity(connectivity),
            PeerEvent::RemoteTracks { audio, video } => Event::RemoteTracks { audio, video },
            PeerEvent::Verified(digest) => {
                self.verification = Some(verification::words(&digest));
                return;
            }
        };
        self.handle(event, context, now);
    }

    /// Asks for new figures, and tells the other side if its picture is shown larger or smaller by now.
    pub(in crate::engine) fn look_around(&mut self, context: &Context<'_>) {
        self.tell_view(context);
        if self.media_open {
            // A desk that is busy opening a device answers the next time.
            context.desk.order(DeskOrder::Report(self.id()));
        }
    }

    /// The figures that were asked for.
    pub(in crate::engine) fn handle_figures(&mut self, figures: &MediaFigures, now: Instant) {
        let Some(peer) = &self.peer else { return };
        let mut stats = self.meter.measure(&peer.stats(), figures, now);
        stats.verification.clone_from(&self.verification);
        tracing::debug!(stats = %serde_json::to_string(&stats).unwrap_or_default(), "figures");
        self.stats = Arc::new(stats);
    }

    /// What the window draws.
    pub(in crate::engine) fn view(&self, settings: &Settings) -> CallView {
        CallView {
            number: self.call.id().0,
            peer: self.call.peer().to_owned(),
            direction: self.call.direction(),
            phase: self.phase(),
            connected_at: self.call.connected_at(),
            microphone_muted: self.microphone_muted,
            camera_muted: self.camera_muted,
            has_camera: self.has_camera && settings.camera != CameraChoice::None,
            has_microphone: self.has_microphone && settings.microphone != MicrophoneChoice::None,
            remote_microphone_muted: !self.remote_audio,
            remote_camera_muted: !(self.remote_video && self.offers_picture),
            remote_picture: self.remote_picture.clone(),
            local_picture: self.local_picture.clone(),
            remote_frames: self.remote.clone(),
            local_frames: self.local.clone(),
            sound_levels: self.sound_levels.clone(),
            volume: self.volume,
            stats: Arc::clone(&self.stats),
        }
    }

    fn phase(&self) -> Phase {
        match self.call.state() {
            State::Dialing | State::Ringing => Phase::Ringing,
            State::Connecting => Phase::Connecting,
            State::Connected => Phase::Connected,
            State::Reconnecting | State::Ended(_) => Phase::Reconnecting,
        }
    }

    fn tag(&self) -> PeerTag {
        PeerTag { call: self.call.id(), generation: self.generation }
    }

    fn act(&mut self, context: &Context<'_>, now: Instant) {
        while let Some(action) = self.call.poll_action() {
            match action {
                Action::Send(signal) => self.send(&signal, context),
                Action::OpenPeer => self.open_peer(context),
                Action::ReplacePeer => {
                    self.close_peer();
                    self.generation += 1;
                    self.open_peer(context);
                    if self.media_open {
                        self.open_media(context);
                    }
                }
                Action::OpenMedia { video } => {
                    self.camera_muted = !video;
                    self.open_media(context);
                }
                Action::CreateOffer { ice_restart } => {
                    self.command(Command::CreateOffer { ice_restart }, now)
                }
                Action::ApplyOffer(offer) => self.command(Command::ApplyOffer(offer), now),
                Action::CreateAnswer => self.command(Command::CreateAnswer, now),
                Action::ApplyAnswer(answer) => self.command(Command::ApplyAnswer(answer), now),
                Action::Rollback => self.command(Command::Rollback, now),
                Action::AddCandidate(candidate) => self.command(Command::AddCandidate(candidate), now),
                Action::StartSending => self.control.set_sending(true),
                Action::Release => self.release(context),
            }
        }
    }

    fn send(&self, signal: &Signal, context: &Context<'_>) {
        let Some(signaling) = context.signaling else { return };
        if let Err(error) = signaling.send_signal(self.call.peer(), signal) {
            // The call's own clocks end it if this mattered.
            tracing::warn!(%error, "a signal was not sent");
        }
    }

    fn open_peer(&mut self, context: &Context<'_>) {
        let (video_sender, video_out) = mpsc::channel(VIDEO_SEND_CAPACITY);
        let (audio_sender, audio_out) = mpsc::channel(AUDIO_SEND_CAPACITY);
        let (video_in, video_packets) = sync_channel(VIDEO_RECEIVE_CAPACITY);
        let (audio_in, audio_packets) = mpsc::channel(AUDIO_RECEIVE_CAPACITY);
        let (feedback_sender, feedback) = mpsc::channel(FEEDBACK_CAPACITY);
        let max_bits_per_second = context.options.max_bits_per_second(context.settings);
        self.control = Arc::new(SendControl::new(START_BITS_PER_SECOND.min(max_bits_per_second)));
        self.control.set_video_view(self.remote_view);
        self.media_ports = Some(MediaPorts {
            video_out: video_sender,
            audio_out: audio_sender,
            video_in: video_packets,
            audio_in: audio_packets,
            feedback: feedback_sender,
            control: Arc::clone(&self.control),
        });
        let ports = PeerPorts {
            video_out,
            audio_out,
            video_in,
            audio_in,
            feedback,
            control: Arc::clone(&self.control),
        };
        let config = PeerConfig {
            ice_servers: context.settings.ice_servers.clone(),
            relay_only: context.settings.relay_only,
            max_bits_per_second,
            video_codecs: context.options.video_codecs.clone(),
        };
        self.peer = Some(Peer::open(self.tag(), config, ports, context.peer_events.clone()));
    }

    fn command(&mut self, command: Command, now: Instant) {
        let Some(peer) = &self.peer else { return };
        if let Err(error) = peer.try_command(command) {
            self.call.handle_event(Event::OperationFailed { reason: error.to_string() }, now);
        }
    }

    fn close_peer(&mut self) {
        self.control.set_sending(false);
        if let Some(peer) = self.peer.take() {
            tokio::spawn(peer.close());
        }
    }

    fn release(&mut self, context: &Context<'_>) {
        self.close_peer();
        self.media_ports = None;
        if std::mem::take(&mut self.media_open) {
            self.order(DeskOrder::Close(self.id()), context);
        }
        self.local.close();
        self.remote.close();
        self.local_picture.latest.close();
        self.remote_picture.latest.close();
    }
}
