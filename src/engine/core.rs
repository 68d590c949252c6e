//! The engine's loop: everything that happens comes in here, one thing at a time, and nothing waits.

use super::active_call::{ActiveCall, Context};
use super::board::Board;
use super::hosting::{HostingDesk, HostingEvent};
use super::media_desk::{DESK_EVENT_CAPACITY, DeskEvent, DeskOrder, MediaDesk};
use super::{
    AcceptPolicy, Connection, EndedCall, EngineHandle, EngineOptions, EnginePort, Hosting, Intent, Question,
    Severity, Snapshot,
};
use crate::call::{Call, CallId, Event};
use crate::media::event::{DeviceKind, MediaEvent};
use crate::peer::{PeerEvent, PeerTag};
use crate::protocol::{HangUpReason, Signal};
use crate::signaling::client::{EVENT_CAPACITY, SignalingClient, SignalingEvent};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

/// Events of peer connections that may wait. When full the peer connection drops the event and fails its call.
const PEER_EVENT_CAPACITY: usize = 512;
/// Events of the hosting task that may wait. When full the task waits.
const HOSTING_EVENT_CAPACITY: usize = 8;
/// How often the device lists are renewed while somebody may look at them.
const DEVICE_POLL: Duration = Duration::from_secs(5);

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
    pub(super) desk: MediaDesk,
    /// The name to sign in with once there is a server.
    pub(super) wished_name: String,
    pub(super) signaling_events: mpsc::Sender<SignalingEvent>,
    pub(super) hosting_events: mpsc::Sender<HostingEvent>,
    peer_events: mpsc::Sender<(PeerTag, PeerEvent)>,
    calls: u64,
    pub(super) quitting: bool,
}

impl Engine {
    fn new(options: EngineOptions, port: EnginePort) -> std::io::Result<(Self, Inbox)> {
        let (signaling_events, signaling) = mpsc::channel(EVENT_CAPACITY);
        let (hosting_events, hosting) = mpsc::channel(HOSTING_EVENT_CAPACITY);
        let (peer_events, peer) = mpsc::channel(PEER_EVENT_CAPACITY);
        let (desk_events, desk_inbox) = mpsc::channel(DESK_EVENT_CAPACITY);
        let snapshot = Snapshot { settings: Arc::new(options.settings.clone()), ..Snapshot::default() };
        let engine = Self {
            board: Board::new(snapshot, port.snapshots),
            call: None,
            signaling: None,
            hosting: None,
            hosted: None,
            desk: MediaDesk::start(desk_events)?,
            wished_name: options.settings.name.clone(),
            options,
            signaling_events,
            hosting_events,
            peer_events,
            calls: 0,
            quitting: false,
        };
        Ok((engine, Inbox { intents: port.intents, signaling, hosting, peer, desk: desk_inbox }))
    }

    async fn run(mut self, mut inbox: Inbox) {
        let mut figures = interval(self.options.stats_interval);
        figures.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut devices = interval(DEVICE_POLL);
        devices.set_missed_tick_behavior(MissedTickBehavior::Delay);
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
                () = sleep_until(wake.unwrap_or_else(Instant::now).into()), if wake.is_some() => {
                    self.with_call(ActiveCall::handle_timeout);
                }
                _ = figures.tick(), if self.call.is_some() => {
                    self.with_call(|call, context, _| call.ask_figures(context));
                    continue;
                }
                _ = devices.tick(), if self.options.list_devices => {
                    self.desk.order(DeskOrder::ListDevices);
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
            SignalingEvent::Connected { name, renamed } => self.connected(name, renamed),
            SignalingEvent::Disconnected { reason } => self.disconnected(reason),
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
        if self.call.as_ref().is_some_and(|call| call.peer_name() == from) {
            self.with_call(|call, context, now| call.handle(Event::Signal(signal), context, now));
            return;
        }
        match signal {
            Signal::Offer { description, extended } if targeted => {
                if self.call.is_some() {
                    self.refuse(&from, HangUpReason::Busy);
                    return;
                }
                let id = self.next_call();
                let now = Instant::now();
                self.call =
                    Some(ActiveCall::new(Call::ring(id, &me, &from, description, extended, now), now));
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
            Signal::Answer(_) if targeted => {
                // The answer to a call that has ended here meanwhile: its sender must not be left waiting.
                self.refuse(&from, HangUpReason::Ended);
            }
            // Whatever else a stranger to the call says about calls is of no concern to it.
            Signal::Offer { .. }
            | Signal::Answer(_)
            | Signal::Candidate(_)
            | Signal::HangUp(_)
            | Signal::MediaState { .. } => tracing::debug!("a signal from outside the call was ignored"),
        }
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

    fn handle_media(&mut self, event: MediaEvent) {
        match event {
            MediaEvent::Opened { kind, device } => {
                tracing::info!(%device, "open");
                self.with_call(|call, context, _| call.device_changed(kind, true, context));
            }
            MediaEvent::Refused { .. } => {
                self.with_call(|call, context, now| call.handle(Event::MediaRefused, context, now));
            }
            MediaEvent::Lost { kind, device, reason, fallback } => {
                let replaced = fallback.is_some();
                // Who was asked whether to watch only, and is, knows that there is neither camera nor microphone.
                let known = !replaced
                    && is_unnamed(kind, &device)
                    && kind != DeviceKind::Speaker
                    && self.has_nothing_to_send();
                if !known {
                    let words = loss_words(kind, &device, &reason, fallback.as_deref());
                    self.board.notice(Severity::Warning, words);
                }
                self.with_call(|call, context, _| call.device_changed(kind, replaced, context));
            }
        }
    }

    /// Ends everything in order.
    async fn finish(mut self) {
        self.with_call(|call, context, now| call.handle(Event::HangUp, context, now));
        self.settle();
        if let Some(signaling) = self.signaling.take() {
            signaling.close().await;
        }
        if let Some(hosting) = self.hosting.take() {
            hosting.close().await;
        }
        let desk = self.desk;
        if let Err(error) = tokio::task::spawn_blocking(move || desk.quit()).await {
            tracing::error!(%error, "closing the devices failed");
        }
        self.board.snapshot.connection = Connection::SignedOut;
        self.board.snapshot.finished = true;
        self.board.publish();
    }
}

/// Whether this names no device but only its kind: nothing in particular was asked for.
fn is_unnamed(kind: DeviceKind, device: &str) -> bool {
    device.eq_ignore_ascii_case(kind_word(kind))
}

fn kind_word(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Camera => "Camera",
        DeviceKind::Microphone => "Microphone",
        DeviceKind::Speaker => "Speaker",
    }
}

/// What the user reads when a device is not there, or no longer.
fn loss_words(kind: DeviceKind, device: &str, reason: &str, fallback: Option<&str>) -> String {
    let rest = match fallback {
        Some(other) => format!("{other} is used instead."),
        None => "The call goes on without it.".into(),
    };
    if is_unnamed(kind, device) {
        let mut letters = reason.chars();
        let first = letters.next().map(char::to_uppercase).into_iter().flatten();
        return format!("{}{}. {rest}", first.collect::<String>(), letters.as_str());
    }
    format!("{} “{device}”: {reason}. {rest}", kind_word(kind))
}

async fn next_media_event(call: &mut Option<ActiveCall>) -> Option<MediaEvent> {
    match call {
        Some(call) => call.media_events.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_is_named_only_if_one_was_chosen() {
        let nothing = loss_words(DeviceKind::Camera, "camera", "no camera is connected", None);
        assert_eq!(nothing, "No camera is connected. The call goes on without it.");
        let chosen = loss_words(DeviceKind::Microphone, "Desk", "it was disconnected", Some("Headset"));
        assert_eq!(chosen, "Microphone “Desk”: it was disconnected. Headset is used instead.");
    }
}
