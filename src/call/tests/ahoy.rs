//! What the engine does around a call, reduced to what the call can notice.

use super::peer::{FakePeer, Said};
use super::world::{Happening, Outbox};
use crate::call::{Action, Call, CallId, Connectivity, EndReason, Event, State};
use crate::protocol::{HangUpReason, Signal};
use std::time::{Duration, Instant};

/// How long an operation on the peer connection takes.
pub(super) const OPERATION: Duration = Duration::from_millis(8);

pub(super) struct Ahoy {
    pub(super) name: String,
    pub(super) other: String,
    pub(super) call: Option<Call>,
    pub(super) peer: Option<FakePeer>,
    pub(super) path: Option<Connectivity>,
    pub(super) media_open: bool,
    pub(super) sending: u32,
    pub(super) rang: u32,
    pub(super) ended: Vec<EndReason>,
    pub(super) hang_ups_sent: u32,
    pub(super) replaced: u32,
    /// What no peer connection would have done.
    pub(super) violations: Vec<String>,
    calls: u64,
    peers: u32,
}

impl Ahoy {
    pub(super) fn new(name: &str, other: &str) -> Self {
        Self {
            name: name.into(),
            other: other.into(),
            call: None,
            peer: None,
            path: None,
            media_open: false,
            sending: 0,
            rang: 0,
            ended: Vec::new(),
            hang_ups_sent: 0,
            replaced: 0,
            violations: Vec::new(),
            calls: 0,
            peers: 0,
        }
    }

    pub(super) fn state(&self) -> Option<&State> {
        self.call.as_ref().map(Call::state)
    }

    pub(super) fn dial(&mut self, now: Instant, out: &mut Outbox) {
        if self.call.is_none() {
            self.calls += 1;
            self.call = Some(Call::dial(CallId(self.calls), &self.name, &self.other, true, now));
            self.carry_out(now, out);
        }
    }

    pub(super) fn receive(&mut self, signal: Signal, now: Instant, out: &mut Outbox) {
        if let (Some(call), Signal::Offer { description, .. }) = (&self.call, &signal)
            && call.is_abandoned_by(description)
        {
            self.event(Event::Signal(signal.clone()), now, out);
        }
        match (&mut self.call, signal) {
            (Some(_), signal) => self.event(Event::Signal(signal), now, out),
            (None, Signal::Offer { description, extended }) => {
                self.calls += 1;
                self.rang += 1;
                let id = CallId(self.calls);
                self.call = Some(Call::ring(id, &self.name, &self.other, description, extended, now));
                self.carry_out(now, out);
            }
            (None, Signal::PathCheck { answer: false }) => {
                self.hang_ups_sent += 1;
                out.send(Signal::HangUp(Some(HangUpReason::Failed)));
            }
            (None, _) => {}
        }
    }

    /// Killed and started again: it knows nothing of any call.
    pub(super) fn restart(&mut self) {
        let (calls, peers) = (self.calls + 1, self.peers);
        *self = Self { calls, peers, ..Self::new(&self.name, &self.other) };
    }

    pub(super) fn event(&mut self, event: Event, now: Instant, out: &mut Outbox) {
        if let Event::Connectivity(path) = event {
            self.path = Some(path);
        }
        if let Some(call) = &mut self.call {
            call.handle_event(event, now);
            self.carry_out(now, out);
        }
    }

    pub(super) fn timeout(&mut self, now: Instant, out: &mut Outbox) {
        if let Some(call) = &mut self.call {
            call.handle_timeout(now);
            self.carry_out(now, out);
        }
    }

    fn carry_out(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(action) = self.call.as_mut().and_then(Call::poll_action) {
            let released = action == Action::Release;
            if let Err(violation) = self.act(action, now, out) {
                self.violations.push(violation);
            }
            if released {
                let call = self.call.take().expect("a call that releases");
                assert_eq!(call.poll_timeout(), None, "an ended call waits for nothing");
                match call.state() {
                    State::Ended(reason) => self.ended.push(reason.clone()),
                    other => panic!("released in {other:?}"),
                }
            }
        }
    }

    fn act(&mut self, action: Action, now: Instant, out: &mut Outbox) -> Result<(), String> {
        let open = |peer: &mut Option<FakePeer>| -> Result<(), String> {
            if peer.is_none() { Err("no peer connection".into()) } else { Ok(()) }
        };
        match action {
            Action::Send(signal) => {
                self.hang_ups_sent += u32::from(matches!(signal, Signal::HangUp(_)));
                out.send(signal);
            }
            Action::OpenPeer if self.peer.is_some() => return Err("opened twice".into()),
            Action::OpenPeer => self.fresh_peer(),
            Action::ReplacePeer => {
                open(&mut self.peer)?;
                self.replaced += 1;
                self.fresh_peer();
            }
            Action::OpenMedia { .. } => self.media_open = true,
            Action::StartSending => {
                self.sending += 1;
                if self.path != Some(Connectivity::Connected) {
                    return Err("sending without a path".into());
                }
            }
            Action::Release => {
                self.peer = None;
                self.path = None;
                self.media_open = false;
            }
            Action::CreateOffer { ice_restart } => {
                open(&mut self.peer)?;
                let peer = self.peer.as_mut().expect("open");
                let offer = peer.create_offer(ice_restart)?;
                if ice_restart {
                    self.path = Some(Connectivity::Connecting);
                }
                let candidates = peer.candidates(&offer);
                self.complete(Event::OfferCreated(offer), candidates, now, out);
            }
            Action::CreateAnswer => {
                open(&mut self.peer)?;
                let peer = self.peer.as_mut().expect("open");
                let answer = peer.create_answer()?;
                let candidates = peer.candidates(&answer);
                self.complete(Event::AnswerCreated(answer), candidates, now, out);
            }
            Action::ApplyOffer(offer) => {
                open(&mut self.peer)?;
                let peer = self.peer.as_mut().expect("open");
                let known = peer.remote.as_ref().map(|said| said.fragment.clone());
                peer.apply_offer(&offer)?;
                // New credentials throw the old pair away at either end.
                if known.is_some_and(|known| known != Said::read(&offer).fragment) {
                    self.path = Some(Connectivity::Connecting);
                }
                let sends = Said::read(&offer).sends;
                self.complete(Event::RemoteTracks { audio: sends, video: sends }, Vec::new(), now, out);
                self.complete(Event::OfferApplied, Vec::new(), now, out);
            }
            Action::ApplyAnswer(answer) => {
                open(&mut self.peer)?;
                self.peer.as_mut().expect("open").apply_answer(&answer)?;
                let sends = Said::read(&answer).sends;
                self.complete(Event::RemoteTracks { audio: sends, video: sends }, Vec::new(), now, out);
                self.complete(Event::AnswerApplied, Vec::new(), now, out);
            }
            Action::Rollback => {
                open(&mut self.peer)?;
                self.peer.as_mut().expect("open").rollback()?;
                self.complete(Event::RolledBack, Vec::new(), now, out);
            }
            Action::AddCandidate(candidate) => {
                open(&mut self.peer)?;
                self.peer.as_mut().expect("open").add_candidate(&candidate)?;
            }
        }
        Ok(())
    }

    fn fresh_peer(&mut self) {
        self.peers += 1;
        self.path = None;
        self.peer = Some(FakePeer::new(format!("{}{}", self.name, self.peers)));
    }

    /// One candidate is found before the operation reports, the others after.
    fn complete(
        &self,
        event: Event,
        candidates: Vec<crate::protocol::IceCandidate>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(peer) = &self.peer else { return };
        let at = |when, event| Happening::Peer { at: when, peer: peer.id.clone(), event };
        for (index, candidate) in candidates.into_iter().enumerate() {
            let when = if index == 0 { now + OPERATION / 2 } else { now + OPERATION * 2 };
            out.later(at(when, Event::CandidateGathered(candidate)));
        }
        out.later(at(now + OPERATION, event));
    }
}
