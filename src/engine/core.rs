//! The engine's loop: everything that happens comes in here, one thing at a time, and nothing waits.

use super::active_call::{ActiveCall, Context};
use super::board::Board;
use super::echo::Echo;
use super::hosting::{HostingDesk, HostingEvent};
use super::intent::Waiting;
use super::media_desk::{DESK_EVENT_CAPACITY, DeskEvent, DeskOrder, MediaDesk};
use super::network::{self, NEWS_CAPACITY, NetworkNews};
use super::rings::Rings;
use super::{
    AcceptPolicy, Connection, EndedCall, EngineHandle, EngineOptions, EnginePort, Hosting, Intent, Question,
    Severity, Snapshot,
};
use crate::call::{Call, CallId, Event};
use crate::media::event::MediaEvent;
use crate::peer::{PeerEvent, PeerTag};
use crate::protocol::{HangUpReason, SessionDescription, Signal};
use crate::signaling::client::{EVENT_CAPACITY, SignalingClient, SignalingEvent};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

/// Events of peer connections that may wait. When full the peer connection drops the event and fails its call.
const PEER_EVENT_CAPACITY: usize = 512;
/// Events of the hosting task that may wait. When full the task waits.
const HOSTING_EVENT_CAPACITY: usize = 8;
/// SDP sessions of ended calls that are remembered; the oldest is forgotten.
const ENDED_SESSIONS: usize = 32;

/// Starts an engine on the present tokio runtime. It ends after [`Intent::Quit`].
pub fn start(options: EngineOptions) -> EngineHandle {
    let (handle, port) = EngineHandle::pair();
    tokio::spawn(async move {
        match Engine::new(options, port) {
            Ok((engine, inbox)) => engine.run(inbox).await,
            Err(error) => tracing::error!(%error, "the engine cannot start a thread"),
        }
    });
    handle
}

/// The receiving ends of all that reaches the engine.
struct Inbox {
    intents: mpsc::Receiver<Intent>,
    signaling: mpsc::Receiver<SignalingEvent>,
    hosting: mpsc::Receiver<HostingEvent>,
    peer: mpsc::Receiver<(PeerTag, PeerEvent)>,
    desk: mpsc::Receiver<DeskEvent>,
    network: mpsc::Receiver<NetworkNews>,
}

/// The one owner of the session and of the call.
pub(super) struct Engine {
    pub(super) options: EngineOptions,
    pub(super) board: Board,
    pub(super) call: Option<ActiveCall>,
    pub(super) signaling: Option<SignalingClient>,
    pub(super) hosting: Option<HostingDesk>,
    /// The embedded server, if the one we use is ours.
    pub(super) hosted: Option<Hosting>,
    /// The Echo contact on it.
    pub(super) echo: Option<Echo>,
    pub(super) desk: MediaDesk,
    /// Only where there is somebody to hear it.
    pub(super) rings: Option<Rings>,
    /// The name to sign in with once there is a server.
    pub(super) wished_name: String,
    pub(super) signaling_events: mpsc::Sender<SignalingEvent>,
    pub(super) hosting_events: mpsc::Sender<HostingEvent>,
    peer_events: mpsc::Sender<(PeerTag, PeerEvent)>,
    /// What waits until it is known whether there is anything to call with.
    pub(super) waiting: Option<Waiting>,
    /// Whether there is a call: then losses are to be noticed in no time. Dropping it ends the network's watch.
    in_call: watch::Sender<bool>,
    calls: u64,
    /// SDP sessions of other sides whose calls have ended, oldest first.
    ended_sessions: Vec<String>,
    pub(super) quitting: bool,
}

impl Engine {
    fn new(options: EngineOptions, port: EnginePort) -> std::io::Result<(Self, Inbox)> {
        let (signaling_events, signaling) = mpsc::channel(EVENT_CAPACITY);
        let (hosting_events, hosting) = mpsc::channel(HOSTING_EVENT_CAPACITY);
        let (peer_events, peer) = mpsc::channel(PEER_EVENT_CAPACITY);
        let (desk_events, desk_inbox) = mpsc::channel(DESK_EVENT_CAPACITY);
        let rings = options.rings.then(Rings::start).transpose()?;
        let snapshot = Snapshot {
            settings: Arc::new(options.settings.clone()),
            sound_test: rings.as_ref().map(Rings::sound_test).unwrap_or_default(),
            ..Snapshot::default()
        };
        let (network_news, network) = mpsc::channel(NEWS_CAPACITY);
        let (in_call, pace) = watch::channel(false);
        tokio::spawn(network::run(pace, network_news));
        let engine = Self {
            board: Board::new(snapshot, port.snapshots),
            call: None,
            signaling: None,
            hosting: None,
            hosted: None,
            echo: None,
            desk: MediaDesk::start(desk_events)?,
            rings,
            wished_name: options.settings.name.clone(),
            options,
            signaling_events,
            hosting_events,
            peer_events,
            waiting: None,
            in_call,
            calls: 0,
            ended_sessions: Vec::new(),
            quitting: false,
        };
        Ok((engine, Inbox { intents: port.intents, signaling, hosting, peer, desk: desk_inbox, network }))
    }

    async fn run(mut self, mut inbox: Inbox) {
        let mut figures = interval(self.options.stats_interval);
        figures.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if self.options.list_devices {
            self.desk.order(DeskOrder::ListDevices);
        }
        if let Some(complaint) = self.options.complaint.take() {
            self.board.notice(Severity::Warning, complaint);
        }
        self.board.publish();
        while !self.quitting {
            let wake = self.call.as_ref().and_then(ActiveCall::poll_timeout);
            tokio::select! {
                intent = inbox.intents.recv() => match intent {
                    Some(intent) => self.handle_intent(intent),
                    // Nobody is left who could want anything.
                    None => self.quitting = true,
                },
                Some(event) = inbox.signaling.recv() => self.handle_signaling(event),
                Some((tag, event)) = inbox.peer.recv() => {
                    self.with_call(|call, context, now| call.handle_peer(tag, event, context, now));
                }
                Some(event) = inbox.desk.recv() => self.handle_desk(event),
                Some(event) = next_media_event(&mut self.call) => self.handle_media(event),
                Some(event) = inbox.hosting.recv() => self.handle_hosting(event),
                Some(news) = inbox.network.recv() => self.handle_network(&news),
                () = sleep_until(wake.unwrap_or_else(Instant::now).into()), if wake.is_some() => {
                    self.with_call(ActiveCall::handle_timeout);
                }
                _ = figures.tick(), if self.call.is_some() => {
                    self.with_call(|call, context, _| call.look_around(context));
                    continue;
                }
            }
            self.settle();
            self.board.publish();
        }
        self.finish().await;
    }

    /// Lets the call, if there is one, do something, with what it needs of the engine.
    pub(super) fn with_call(&mut self, act: impl FnOnce(&mut ActiveCall, &Context<'_>, Instant)) {
        let Some(call) = &mut self.call else { return };
        let context = Context {
            signaling: self.signaling.as_ref(),
            desk: &self.desk,
            settings: &self.board.snapshot.settings,
            options: &self.options,
            peer_events: &self.peer_events,
        };
        act(call, &context, Instant::now());
    }

    /// Puts the call into the snapshot, or how it ended.
    fn settle(&mut self) {
        if let Some(call) = &self.call
            && let Some((reason, duration)) = call.ended()
        {
            let peer = call.peer_name().to_owned();
            let reason = reason.sentence(&peer);
            tracing::info!(call = call.id().0, %reason, "ended");
            self.ended_sessions.extend(call.remote_sessions().iter().cloned());
            let surplus = self.ended_sessions.len().saturating_sub(ENDED_SESSIONS);
            self.ended_sessions.drain(..surplus);
            // The question was about this call, if it is still open: to say yes now would be to call back.
            if matches!(&self.board.snapshot.question, Some(Question::WatchOnly { peer: asked }) if *asked == peer)
            {
                self.board.snapshot.question = None;
            }
            self.board.snapshot.ended =
                Some(EndedCall { number: call.id().0, peer, direction: call.direction(), reason, duration });
            self.call = None;
        }
        let settings = &self.board.snapshot.settings;
        self.board.snapshot.call = self.call.as_ref().map(|call| call.view(settings));
        if let Some(rings) = &mut self.rings {
            rings.follow(self.board.snapshot.call.as_ref(), settings);
        }
        let in_call = self.call.is_some();
        self.in_call.send_if_modified(|known| std::mem::replace(known, in_call) != in_call);
        if let Some(signaling) = &self.signaling {
            signaling.hurry(in_call);
        }
    }

    /// The machine is somewhere else, or was away.
    fn handle_network(&mut self, news: &NetworkNews) {
        let cut_off = match news {
            NetworkNews::Changed { gone } => {
                self.call.as_ref().is_some_and(|call| call.begins_at_one_of(gone))
            }
            NetworkNews::Woke => false,
        };
        if let Some(signaling) = &self.signaling {
            // Until the server has answered, it is not there: what is said to it may be said to nobody.
            signaling.check();
            self.with_call(|call, context, now| call.handle(Event::SignalingLost, context, now));
        }
        self.with_call(|call, context, now| call.handle(Event::NetworkChanged { cut_off }, context, now));
    }

    /// The next call's number.
    fn next_call(&mut self) -> CallId {
        self.calls += 1;
        CallId(self.calls)
    }

    /// Our name on the server, if we are online.
    pub(super) fn me(&self) -> Option<&str> {
        match &self.board.snapshot.connection {
            Connection::Online { name, .. } => Some(name),
            Connection::SignedOut | Connection::Connecting { .. } | Connection::Reconnecting { .. } => None,
        }
    }

    /// Places a call; all objections have been dealt with.
    pub(super) fn dial(&mut self, peer: &str) {
        let Some(me) = self.me().map(str::to_owned) else { return };
        let id = self.next_call();
        let now = Instant::now();
        self.call = Some(ActiveCall::new(Call::dial(id, &me, peer, true, now), now));
        self.with_call(|call, context, now| call.handle_timeout(context, now));
    }

    fn handle_signaling(&mut self, event: SignalingEvent) {
        match event {
            SignalingEvent::Connected { name, renamed } => {
                self.connected(name, renamed);
                self.with_call(|call, context, now| call.handle(Event::SignalingBack, context, now));
            }
            SignalingEvent::Alive => {
                self.with_call(|call, context, now| call.handle(Event::SignalingBack, context, now));
            }
            SignalingEvent::Disconnected { reason } => {
                self.disconnected(reason);
                self.with_call(|call, context, now| call.handle(Event::SignalingLost, context, now));
            }
            SignalingEvent::Users(users) => {
                if self.call.as_ref().is_some_and(|call| !users.iter().any(|user| user == call.peer_name())) {
                    self.with_call(|call, context, now| call.handle(Event::PeerLeft, context, now));
                }
                self.board.snapshot.users = Arc::new(users);
            }
            SignalingEvent::Message { from, to, text, .. } => self.board.chat(&from, to, text),
            SignalingEvent::Signal { from, targeted, signal } => self.handle_signal(from, targeted, signal),
            SignalingEvent::Undeliverable { target } => {
                if self.call.as_ref().is_some_and(|call| call.peer_name() == target) {
                    self.with_call(|call, context, now| call.handle(Event::Undeliverable, context, now));
                } else {
                    let words = format!("{target} is not online: nothing was delivered.");
                    self.board.notice(Severity::Warning, words);
                }
            }
            SignalingEvent::Malformed { reason } => tracing::warn!(%reason, "a message was not understood"),
        }
    }

    fn handle_signal(&mut self, from: Option<String>, targeted: bool, signal: Signal) {
        let Some(me) = self.me().map(str::to_owned) else { return };
        let from = match from {
            Some(from) => from,
            // A server that does not stamp candidates: they can only belong to the call in progress.
            None => match &self.call {
                Some(call) => call.peer_name().to_owned(),
                None => return,
            },
        };
        if from == me {
            return;
        }
        if let Some(call) = self.call.as_ref().filter(|call| call.peer_name() == from) {
            let anew = match &signal {
                Signal::Offer { description, .. } => call.is_abandoned_by(description),
                Signal::Answer(_)
                | Signal::Candidate(_)
                | Signal::HangUp(_)
                | Signal::MediaState { .. }
                | Signal::View { .. }
                | Signal::PathCheck { .. } => false,
            };
            let heard = signal.clone();
            self.with_call(|call, context, now| call.handle(Event::Signal(heard), context, now));
            if !anew {
                return;
            }
            // That ended the call; the offer is of the next.
            self.settle();
        }
        match signal {
            Signal::Offer { description, .. } if self.has_ended(&description) => {
                // It was on its way when the call ended, and must not ring as a new one.
                tracing::debug!("a late offer of a call that has ended was ignored");
            }
            Signal::Offer { description, extended } if targeted => {
                if self.call.is_some() {
                    self.refuse(&from, HangUpReason::Busy);
                    return;
                }
                let id = self.next_call();
                let now = Instant::now();
                let ringing = Call::ring(id, &me, &from, description.clone(), extended, now);
                let call = self.call.insert(ActiveCall::new(ringing, now));
                call.remember_session(&description);
                match self.board.snapshot.settings.accept {
                    AcceptPolicy::Always => self.answer(true),
                    AcceptPolicy::Never => {
                        self.with_call(|call, context, now| call.handle(Event::Decline, context, now));
                    }
                    AcceptPolicy::Ask => {
                        self.with_call(|call, context, now| call.handle_timeout(context, now));
                    }
                }
            }
            Signal::PathCheck { answer: false } if targeted => {
                // Its sender believes to be in a call with us, of which we know nothing: this program was started
                // again, or our hang-up got lost. It need not wait for its path.
                self.refuse(&from, HangUpReason::Failed);
            }
            Signal::Answer(_) if targeted => {
                // The answer to a call that has ended here meanwhile: its sender must not be left waiting. "Cancelled",
                // because that ends what was answered, but not a call that its sender has begun to place since.
                self.refuse(&from, HangUpReason::Cancelled);
            }
            // Whatever else a stranger to the call says about calls is of no concern to it.
            Signal::Offer { .. }
            | Signal::Answer(_)
            | Signal::Candidate(_)
            | Signal::HangUp(_)
            | Signal::PathCheck { .. }
            | Signal::View { .. }
            | Signal::MediaState { .. } => tracing::debug!("a signal from outside the call was ignored"),
        }
    }

    /// The description belongs to a session of a call that is over.
    fn has_ended(&self, description: &SessionDescription) -> bool {
        description.session().is_some_and(|session| self.ended_sessions.iter().any(|ended| ended == session))
    }

    /// Tells somebody with whom we are in no call so.
    fn refuse(&self, caller: &str, reason: HangUpReason) {
        if let Some(signaling) = &self.signaling
            && let Err(error) = signaling.send_signal(caller, &Signal::HangUp(Some(reason)))
        {
            tracing::warn!(%error, "a caller was not told that there is no call");
        }
    }

    fn handle_desk(&mut self, event: DeskEvent) {
        match event {
            DeskEvent::Devices(devices) => {
                if *self.board.snapshot.devices != devices {
                    self.board.snapshot.devices = Arc::new(devices);
                }
                self.board.snapshot.devices_listed = true;
                self.devices_listed();
            }
            DeskEvent::Figures(id, figures) => self.with_call(|call, _, now| {
                if call.id() == id {
                    call.handle_figures(&figures, now);
                }
            }),
            DeskEvent::Failed(id, reason) => self.with_call(|call, context, now| {
                if call.id() == id {
                    call.handle(Event::OperationFailed { reason }, context, now);
                }
            }),
        }
    }

    /// Ends everything in order.
    async fn finish(mut self) {
        self.with_call(|call, context, now| call.handle(Event::HangUp, context, now));
        self.settle();
        if let Some(signaling) = self.signaling.take() {
            signaling.close().await;
        }
        if let Some(echo) = self.echo.take() {
            // An engine's end holds the end of another one: boxed, for the types would go on for ever.
            Box::pin(echo.stop()).await;
        }
        if let Some(hosting) = self.hosting.take() {
            hosting.close().await;
        }
        let (desk, rings) = (self.desk, self.rings.take());
        let close = move || {
            drop(rings);
            desk.quit();
        };
        if let Err(error) = tokio::task::spawn_blocking(close).await {
            tracing::error!(%error, "closing the devices failed");
        }
        self.board.snapshot.connection = Connection::SignedOut;
        self.board.snapshot.finished = true;
        self.board.publish();
    }
}

async fn next_media_event(call: &mut Option<ActiveCall>) -> Option<MediaEvent> {
    match call {
        Some(call) => call.media_events.recv().await,
        None => std::future::pending().await,
    }
}
