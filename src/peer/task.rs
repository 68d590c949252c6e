//! [`Peer`]: starts the tasks of one connection, and ends them.

use super::build::{self, Built};
use super::chain::wire::{Route, Wire};
use super::connection::Connection;
use super::send::{Agreement, Sender};
use super::{COMMAND_CAPACITY, Command, PeerConfig, PeerEvent, PeerPorts, PeerStats};
use crate::call::{CallId, Connectivity};
use crate::media::ports::Feedback;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::peer_connection::RTCIceCandidateType;
use webrtc::rtp_transceiver::RtpSender;

/// Statistics are renewed this often.
const STATS_INTERVAL: Duration = Duration::from_millis(250);
/// And the route is looked up every so many of those: it means taking the crate's lock.
const ROUTE_EVERY: u32 = 4;
/// How long closing may take before it is logged and abandoned.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a lost connection is offered to an engine whose event queue is full.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// Whose events these are: a call, and which of its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerTag {
    /// The call.
    pub call: CallId,
    /// Grows with each connection of the call.
    pub generation: u32,
}

/// What can go wrong with a peer connection.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The connection could not be made.
    #[error("this machine could not set up a connection for media: {0}")]
    Setup(String),
    /// Our offer could not be made.
    #[error("our offer could not be made: {0}")]
    Offer(String),
    /// Our answer could not be made.
    #[error("our answer could not be made: {0}")]
    Answer(String),
    /// The other side's description was refused.
    #[error("the other side's session description cannot be used: {0}")]
    Remote(String),
    /// Our offer could not be taken back.
    #[error("our offer could not be taken back: {0}")]
    Rollback(String),
    /// The connection's task or the engine does not keep up.
    #[error("this program does not keep up with the connection: end the call and try again")]
    Overflow,
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
}

type Cause = rtc::shared::error::Error;

impl PeerError {
    pub(super) fn setup(cause: Cause) -> Self {
        Self::Setup(cause.to_string())
    }

    pub(super) fn offer(cause: Cause) -> Self {
        Self::Offer(cause.to_string())
    }

    pub(super) fn answer(cause: Cause) -> Self {
        Self::Answer(cause.to_string())
    }

    pub(super) fn remote(cause: Cause) -> Self {
        Self::Remote(cause.to_string())
    }

    pub(super) fn rollback(cause: Cause) -> Self {
        Self::Rollback(cause.to_string())
    }
}

/// A peer connection, by its handle. Dropping it ends the connection in the background; [`Peer::close`] waits.
#[derive(Debug)]
pub struct Peer {
    tag: PeerTag,
    commands: mpsc::Sender<Command>,
    stats: watch::Receiver<PeerStats>,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Peer {
    /// Starts the connection's tasks on the current tokio runtime and returns at once.
    ///
    /// Everything that happens is reported to `events` under `tag`, with `try_send`: an engine that does not keep up
    /// gets `Connectivity::Failed`, and the connection ends.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn open(
        tag: PeerTag,
        config: PeerConfig,
        ports: PeerPorts,
        events: mpsc::Sender<(PeerTag, PeerEvent)>,
    ) -> Self {
        let (commands, received) = mpsc::channel(COMMAND_CAPACITY);
        let (stats_in, stats) = watch::channel(PeerStats::default());
        let (stop, stopped) = watch::channel(false);
        let span = tracing::info_span!("peer", call = tag.call.0, generation = tag.generation);
        let task = tokio::spawn(
            async move {
                if let Err(error) = live(tag, config, ports, received, &events, stats_in, stopped).await {
                    if matches!(error, PeerError::Closed) {
                        return;
                    }
                    tracing::error!(%error, "the connection ended");
                    farewell(tag, &error, &events).await;
                }
            }
            .instrument(span),
        );
        Self { tag, commands, stats, stop, task: Some(task) }
    }

    /// Whose events this peer reports.
    pub fn tag(&self) -> PeerTag {
        self.tag
    }

    /// Gives a command; never blocks.
    ///
    /// # Errors
    ///
    /// [`PeerError::Overflow`] if [`COMMAND_CAPACITY`] commands wait (the task is stuck: end the call),
    /// [`PeerError::Closed`] if the connection has ended.
    pub fn try_command(&self, command: Command) -> Result<(), PeerError> {
        self.commands.try_send(command).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => PeerError::Overflow,
            mpsc::error::TrySendError::Closed(_) => PeerError::Closed,
        })
    }

    /// The newest figures, at most a quarter of a second old.
    pub fn stats(&self) -> PeerStats {
        self.stats.borrow().clone()
    }

    /// Ends the connection and waits until its tasks and sockets are gone, for at most 3 s.
    pub async fn close(mut self) {
        self.stop.send_replace(true);
        let Some(mut task) = self.task.take() else {
            return;
        };
        match tokio::time::timeout(CLOSE_TIMEOUT, &mut task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, tag = ?self.tag, "the connection's task panicked"),
            Err(_elapsed) => {
                tracing::error!(tag = ?self.tag, "closing the connection took too long: abandoned");
                task.abort();
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// The life of a connection, from its making to its last socket.
async fn live(
    tag: PeerTag,
    config: PeerConfig,
    ports: PeerPorts,
    commands: mpsc::Receiver<Command>,
    events: &mpsc::Sender<(PeerTag, PeerEvent)>,
    stats: watch::Sender<PeerStats>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), PeerError> {
    let PeerPorts { video_out, audio_out, video_in, audio_in, feedback, control } = ports;
    let wire = Arc::new(Wire::default());
    let (built, notices) =
        build::build(&config, video_in, audio_in, Arc::clone(&control), Arc::clone(&wire)).await?;
    let connection = Arc::clone(&built.connection);
    let (agreement, agreed) = watch::channel(Agreement::default());
    let sender = Sender::new(
        (Arc::clone(&built.video_track), built.video_ssrc),
        (Arc::clone(&built.audio_track), built.audio_ssrc),
        control,
        wire,
        agreed,
    );
    let returned = Arc::new(Notify::new());
    let upkeep = Upkeep::new(&built, stats, feedback, Arc::clone(&returned));

    // The sender has a task of its own, so that a long negotiation step delays no sound.
    let sending = AbortOnDrop(tokio::spawn(sender.run(video_out, audio_out).in_current_span()));
    let shaking_hands = AbortOnDrop(tokio::spawn(Arc::clone(&built.handshake).run().in_current_span()));
    let upkeep = AbortOnDrop(tokio::spawn(upkeep.run().in_current_span()));
    let mut owner = Connection::new(tag, built, events.clone(), agreement, returned);
    let ended = tokio::select! {
        ended = owner.run(commands, notices) => ended,
        // An error means that the handle is gone, which is the same wish.
        _ = stopped.wait_for(|stop| *stop) => Ok(()),
    };
    sending.end().await;
    upkeep.end().await;
    shaking_hands.end().await;
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the connection did not close cleanly");
    }
    ended
}

/// Tells the engine that the connection is lost, waiting for room if it must.
async fn farewell(tag: PeerTag, error: &PeerError, events: &mpsc::Sender<(PeerTag, PeerEvent)>) {
    let last = [
        PeerEvent::OperationFailed { reason: error.to_string() },
        PeerEvent::Connectivity(Connectivity::Failed),
    ];
    for event in last {
        match tokio::time::timeout(FAREWELL_TIMEOUT, events.send((tag, event))).await {
            Ok(Ok(())) => {}
            Ok(Err(_closed)) => return,
            Err(_elapsed) => {
                tracing::error!("the engine does not take the connection's end");
                return;
            }
        }
    }
}

/// A task that does not outlive its owner.
struct AbortOnDrop(JoinHandle<()>);

impl AbortOnDrop {
    /// Ends the task and waits for it. Cancelled is how it is meant to end; a panic is told.
    async fn end(mut self) {
        self.0.abort();
        if let Err(error) = (&mut self.0).await
            && error.is_panic()
        {
            tracing::error!(%error, "a task of the connection panicked");
        }
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Asks for keyframes and renews the statistics.
struct Upkeep {
    sender: Arc<dyn RtpSender>,
    video_track: Arc<dyn TrackLocal>,
    video_ssrc: u32,
    wire: Arc<Wire>,
    stats: watch::Sender<PeerStats>,
    feedback: mpsc::Receiver<Feedback>,
    /// Media flows again after an interruption.
    returned: Arc<Notify>,
}

impl Upkeep {
    fn new(
        built: &Built,
        stats: watch::Sender<PeerStats>,
        feedback: mpsc::Receiver<Feedback>,
        returned: Arc<Notify>,
    ) -> Self {
        Self {
            sender: Arc::clone(&built.video_sender),
            video_track: built.video_track.clone(),
            video_ssrc: built.video_ssrc,
            wire: Arc::clone(&built.wire),
            stats,
            feedback,
            returned,
        }
    }

    async fn run(mut self) {
        let mut tick = tokio::time::interval(STATS_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut route = None;
        let mut pair = None;
        let mut ticks: u32 = 0;
        let mut open = true;
        loop {
            tokio::select! {
                wish = self.feedback.recv(), if open => match wish {
                    Some(Feedback::RequestKeyframe) => self.request_keyframe().await,
                    None => open = false,
                },
                // Nothing that comes now can be decoded: its reference is lost. Both ends do this, so both pictures
                // are back half a round trip after the path.
                () = self.returned.notified() => {
                    self.request_keyframe().await;
                    route = self.route(&mut pair).await;
                }
                _ = tick.tick() => {
                    if ticks.is_multiple_of(ROUTE_EVERY) && self.wire.connected.load(Ordering::Acquire) {
                        route = self.route(&mut pair).await;
                    }
                    ticks = ticks.wrapping_add(1);
                    self.stats.send_replace(self.wire.snapshot(route));
                }
            }
        }
    }

    /// PLI (RFC 4585 section 6.3.1) to the source of the picture being received; before the first packet there is
    /// nobody to ask.
    async fn request_keyframe(&self) {
        let media_ssrc = self.wire.video_ssrc.load(Ordering::Relaxed);
        if media_ssrc == 0 {
            return;
        }
        let request = PictureLossIndication { sender_ssrc: self.video_ssrc, media_ssrc };
        if let Err(error) = self.video_track.write_rtcp(vec![Box::new(request)]).await {
            tracing::debug!(%error, "a keyframe could not be asked for");
        }
    }

    /// The selected pair. When that is another one than before, the chain is told: the bandwidth of the old way is not
    /// the new one's.
    async fn route(&self, before: &mut Option<String>) -> Option<Route> {
        let transport = self.sender.transport().await.ok()??;
        let pair = transport.ice_transport().get_selected_candidate_pair().await.ok()??;
        let (local, remote) = (pair.local(), pair.remote());
        let ends = format!("{}:{} {}:{}", local.address, local.port, remote.address, remote.port);
        if before.as_ref().is_some_and(|before| *before != ends) {
            self.wire.route.fetch_add(1, Ordering::Relaxed);
        }
        *before = Some(ends);
        let kind = match local.typ {
            RTCIceCandidateType::Host => "host",
            RTCIceCandidateType::Srflx => "srflx",
            RTCIceCandidateType::Prflx => "prflx",
            RTCIceCandidateType::Relay => "relay",
            _ => return None,
        };
        // The related address of a reflexive candidate is its base (RFC 8839 section 5.1); of a relayed one it is not.
        let address = match local.typ {
            RTCIceCandidateType::Host => &local.address,
            RTCIceCandidateType::Relay => "",
            _ => &local.related_address,
        };
        Some(Route { kind, local: address.parse().ok() })
    }
}
