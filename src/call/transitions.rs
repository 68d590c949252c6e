//! What the entries of the call's table do.

use super::limits::{GRACE, MAX_REDIALS, REDIAL_PAUSE, REPAIR_INTERVAL, RING, SETTLE, SETUP, STOCK_SETTLE};
use super::machine::{Clocks, Dialect};
use super::negotiation::{Negotiation, Precedence, Verdict};
use super::{Action, Call, CallId, Direction, EndReason, State};
use crate::protocol::{HangUpReason, SessionDescription, Signal};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Beginning.
impl Call {
    /// We call `peer`: camera, microphone and an offer at once.
    pub fn dial(id: CallId, me: &str, peer: &str, video: bool, now: Instant) -> Self {
        let mut call = Self::new(id, me, peer, Direction::Outgoing, State::Dialing, now);
        call.actions.extend([Action::OpenPeer, Action::OpenMedia { video }]);
        call.negotiation.begin(&mut call.actions);
        call
    }

    /// `peer` calls us with `offer` ([`Signal::Offer`]): nothing is opened or sent until the user answers.
    pub fn ring(
        id: CallId,
        me: &str,
        peer: &str,
        offer: SessionDescription,
        extended: bool,
        now: Instant,
    ) -> Self {
        let mut call = Self::new(id, me, peer, Direction::Incoming, State::Ringing, now);
        call.dialect = if extended { Dialect::Extended } else { Dialect::Stock };
        call.ringing_offer = Some(offer);
        call.peer_knows = true;
        call
    }

    fn new(id: CallId, me: &str, peer: &str, direction: Direction, state: State, now: Instant) -> Self {
        tracing::info!(call = id.0, peer, ?state, "a call begins");
        Self {
            id,
            me: me.to_owned(),
            peer: peer.to_owned(),
            direction,
            state,
            clocks: Clocks { ring: Some(now + RING), ..Clocks::default() },
            negotiation: Negotiation::new(now),
            actions: VecDeque::new(),
            dialect: Dialect::Unknown,
            ringing_offer: None,
            peer_knows: false,
            lost_offer: false,
            path_up: false,
            sending: false,
            had_tracks: false,
            absent: false,
            signaling_up: true,
            cut_off: false,
            invited: false,
            lost_at: None,
            wished: false,
            redials: 0,
            connected_at: None,
        }
    }

    /// The user answers the ringing call.
    pub(super) fn answer(&mut self, video: bool, now: Instant) {
        let Some(offer) = self.ringing_offer.take() else { return };
        self.actions.extend([Action::OpenPeer, Action::OpenMedia { video }]);
        self.negotiation.remote_offer(offer, Precedence::Theirs, now, &mut self.actions);
        self.connecting(now);
    }
}

/// From acceptance to the end.
impl Call {
    /// Both sides have accepted.
    pub(super) fn connecting(&mut self, now: Instant) {
        self.clocks.ring = None;
        self.clocks.setup = Some(now + SETUP);
        self.enter(State::Connecting);
        if self.path_up {
            self.connected(now);
        }
    }

    /// The path is up, for the first time or again.
    pub(super) fn connected(&mut self, now: Instant) {
        self.clocks.setup = None;
        self.path_repaired();
        self.lost_offer = false;
        self.connected_at.get_or_insert(now);
        self.enter(State::Connected);
        if !self.sending {
            self.sending = true;
            self.actions.push_back(Action::StartSending);
        }
    }

    /// ICE failed before it was ever up: one side tries anew within the setup time.
    pub(super) fn restart_ice(&mut self, now: Instant) {
        if self.goes_first() && self.dialect != Dialect::Stock {
            self.negotiation.request(true, now, &mut self.actions);
        }
    }

    /// What the other side sends, by its newest description.
    pub(super) fn remote_tracks(&mut self, any: bool) {
        if self.had_tracks && !any {
            return self.end(EndReason::TracksGone, Some(HangUpReason::Ended));
        }
        self.had_tracks = any;
    }

    /// The other side hung up.
    pub(super) fn remote_hang_up(&mut self, reason: Option<HangUpReason>, now: Instant) {
        if self.clocks.redial.is_some() {
            tracing::debug!(call = self.id.0, "a hang-up of what was taken back already ends nothing");
            return;
        }
        let Some(meaning) = EndReason::of_remote_hang_up(&self.state, reason) else { return };
        if self.wished && meaning == EndReason::GaveUp && self.redials < MAX_REDIALS {
            return self.dial_again(now);
        }
        // A hang-up is not answered with another, unless an offer of ours may have crossed it: that one would ring,
        // or be answered by a page, at somebody who has just hung up.
        let crossed = match self.state {
            State::Dialing => self.negotiation.holds_offer(),
            State::Connecting | State::Connected | State::Reconnecting => {
                self.lost_offer || self.negotiation.has_unheard_offer()
            }
            State::Ringing | State::Ended(_) => false,
        };
        self.end(meaning, crossed.then_some(HangUpReason::Cancelled));
    }

    /// The end. `tell` is the hang-up for the other side, sent if it knows of the call.
    pub(super) fn end(&mut self, reason: EndReason, tell: Option<HangUpReason>) {
        if let Some(tell) = tell.filter(|_| self.peer_knows) {
            self.actions.push_back(Action::Send(Signal::HangUp(Some(tell))));
        }
        self.actions.push_back(Action::Release);
        self.clocks = Clocks::default();
        self.ringing_offer = None;
        self.enter(State::Ended(reason));
    }

    pub(super) fn enter(&mut self, state: State) {
        tracing::info!(call = self.id.0, from = ?self.state, to = ?state, "the call's state changes");
        self.state = state;
    }
}

/// Offers.
impl Call {
    /// `CreateOffer` is done.
    pub(super) fn offer_created(&mut self, offer: SessionDescription, now: Instant) {
        self.negotiation.offer_created(offer, now, &mut self.actions);
        self.peer_knows |= self.negotiation.has_sent_offer();
    }

    /// The very peer that we are dialing dials us.
    pub(super) fn offer_while_dialing(&mut self, offer: SessionDescription, extended: bool, now: Instant) {
        if !self.negotiation.has_sent_offer() {
            self.wished = true;
            return self.answer_instead(offer, now);
        }
        match (extended, self.goes_first()) {
            (true, true) => self.negotiation.ignore_offer(&offer),
            (true, false) => {
                self.lost_offer = true;
                self.wished = true;
                self.answer_instead(offer, now);
            }
            (false, _) => self.negotiation.remote_offer(offer, Precedence::Neither, now, &mut self.actions),
        }
    }

    /// Their offer, which we answered in place of making or keeping ours, was taken back. The user wished to call them.
    fn dial_again(&mut self, now: Instant) {
        tracing::info!(call = self.id.0, "the other side took its call back: ours goes on");
        if self.lost_offer || self.negotiation.has_unheard_offer() {
            // What they may have of ours is dead.
            self.actions.push_back(Action::Send(Signal::HangUp(Some(HangUpReason::Cancelled))));
        }
        self.redials += 1;
        (self.peer_knows, self.lost_offer, self.wished) = (false, false, false);
        self.replace_peer(now);
        self.clocks = Clocks { ring: Some(now + RING), ..Clocks::default() };
        self.enter(State::Dialing);
        self.negotiation.begin(&mut self.actions);
    }

    /// Answers their offer in place of making, or keeping, ours. Both have shown that they want the call.
    fn answer_instead(&mut self, offer: SessionDescription, now: Instant) {
        self.peer_knows = true;
        self.clocks.redial = None;
        if !self.negotiation.is_untouched() {
            self.replace_peer(now);
        }
        self.negotiation.remote_offer(offer, Precedence::Theirs, now, &mut self.actions);
        self.connecting(now);
    }

    /// An offer inside the call: applied and answered without ringing.
    pub(super) fn offer_in_call(&mut self, offer: SessionDescription, extended: bool, now: Instant) {
        let precedence = match (extended, self.goes_first()) {
            (true, true) => Precedence::Ours,
            (true, false) => Precedence::Theirs,
            (false, _) => Precedence::Neither,
        };
        if self.clocks.redial.take().is_some() {
            self.peer_knows = true;
        }
        if self.clocks.repair.is_some() {
            self.clocks.repair = Some(now + REPAIR_INTERVAL); // The other side is at it.
        }
        self.negotiation.remote_offer(offer, precedence, now, &mut self.actions);
    }

    /// The clocks of the negotiation.
    pub(super) fn negotiation_timeout(&mut self, now: Instant) {
        match self.negotiation.handle_timeout(self.settle(), now, &mut self.actions) {
            Verdict::Fine => {}
            Verdict::Stuck => self.redial(now),
        }
    }

    /// Resets a stock page that is stuck and calls it afresh.
    fn redial(&mut self, now: Instant) {
        if self.redials == MAX_REDIALS {
            return self.end(EndReason::GlareLost, Some(HangUpReason::Cancelled));
        }
        self.redials += 1;
        tracing::info!(
            call = self.id.0,
            attempt = self.redials,
            "offers crossed: the other side is called afresh"
        );
        self.actions.push_back(Action::Send(Signal::HangUp(Some(HangUpReason::Cancelled))));
        self.peer_knows = false;
        self.replace_peer(now);
        match self.state {
            State::Dialing => {}
            State::Connecting => self.clocks.setup = Some(now + SETUP),
            State::Connected | State::Reconnecting => {
                self.enter(State::Reconnecting);
                self.path_repaired();
                self.lost_at = Some(now);
                self.clocks.grace = Some(now + GRACE);
            }
            State::Ringing | State::Ended(_) => return,
        }
        self.clocks.redial = Some(now + REDIAL_PAUSE);
    }

    pub(super) fn replace_peer(&mut self, now: Instant) {
        self.actions.push_back(Action::ReplacePeer);
        self.negotiation = self.negotiation.renewed(now);
        self.path_up = false;
        self.sending = false;
        self.had_tracks = false;
    }

    /// A signal tells what kind of program the other side is, and that it is there.
    pub(super) fn heard_of(&mut self, signal: &Signal, now: Instant) {
        self.peer_returned(now);
        match signal {
            Signal::Offer { extended: false, .. } => self.dialect = Dialect::Stock,
            Signal::Offer { extended: true, .. }
            | Signal::HangUp(Some(_))
            | Signal::MediaState { .. }
            | Signal::View { .. }
            | Signal::PathCheck { .. } => self.dialect = Dialect::Extended,
            Signal::Answer(_) | Signal::Candidate(_) | Signal::HangUp(None) => {}
        }
    }

    /// The rule that both sides compute alike: the lesser name's offer wins, and it restarts first.
    pub(super) fn goes_first(&self) -> bool {
        self.me.as_bytes() < self.peer.as_bytes()
    }

    /// The pause before an offer of ours inside the call.
    pub(super) fn settle(&self) -> Duration {
        match self.dialect {
            Dialect::Extended => SETTLE,
            Dialect::Unknown | Dialect::Stock => STOCK_SETTLE,
        }
    }
}
