//! The negotiation of one peer connection: whose offer is on the table, and what has to wait for it.
//!
//! Driven by [`Call`](super::Call), which decides whether a call is wanted at all; this decides what the peer
//! connection is asked to do next. It asks for one operation at a time, so that a failure can be told to belong to
//! it. Follows the signaling states of the W3C WebRTC API (section 4.3.1, `RTCSignalingState`) with the operations
//! that lead from one to the next as states of their own:
//!
//! ```text
//!          CreateOffer             offer sent                 answer received
//!  Stable ────────────▶ CreatingOffer ─────▶ HaveLocalOffer ────────────────▶ ApplyingAnswer ──▶ Stable
//!    │                       │ a remote offer comes first         │
//!    │                       └───────▶ RollingBack ◀──────────────┘ we yield, or nobody answers
//!    │  remote offer                        │
//!    └─────▶ ApplyingOffer ──▶ CreatingAnswer ──▶ Stable (answer sent)
//!               ▲                           │
//!               └───────── Stable ◀─────────┘
//! ```
//!
//! When offers cross, [`Precedence`] says what becomes of the remote one ("perfect negotiation", W3C WebRTC API
//! section 10.7, without implicit rollback).

use super::Action;
use super::candidates::Candidates;
use super::limits::{ANSWER_WAIT, GLARE_HOLD};
use crate::protocol::{IceCandidate, SessionDescription, Signal};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Where the exchange of descriptions stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signaling {
    /// Nothing is pending.
    Stable,
    /// An offer of ours is being created; nobody knows of it.
    CreatingOffer,
    /// Our offer has been sent.
    HaveLocalOffer,
    /// What is pending is being taken back.
    RollingBack,
    /// The answer to our offer is being applied.
    ApplyingAnswer,
    /// The other side's offer is being applied.
    ApplyingOffer,
    /// Our answer is being created.
    CreatingAnswer,
}

/// What becomes of a remote offer that crosses ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precedence {
    /// Ours goes first: theirs is ignored, for they take it back.
    Ours,
    /// Theirs goes first: ours is taken back and made again afterwards.
    Theirs,
    /// A stock page takes its offer back too, but does not answer ours either. Held for [`GLARE_HOLD`].
    Neither,
}

/// A wish to negotiate that waits for its time.
#[derive(Clone, Copy, Debug)]
struct Need {
    /// For new ICE credentials.
    restart: bool,
    /// For a change of the media.
    change: bool,
    since: Instant,
}

/// What the passing of time brought up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing that concerns the call.
    Fine,
    /// Offers crossed with a stock page, which is now stuck: only a fresh call helps.
    Stuck,
}

/// The negotiation of one peer connection.
#[derive(Debug)]
pub(super) struct Negotiation {
    signaling: Signaling,
    stable_since: Instant,
    /// The offer on the table, ours, asks for new ICE credentials.
    restarting: bool,
    /// The `o=` line of our newest offer.
    offered: Option<String>,
    /// The `o=` line of the offer that our answer will be to.
    answering: Option<String>,
    /// The SDP session of the other side's peer connection.
    remote_session: Option<String>,
    /// A remote description that is being applied.
    applying: Option<SessionDescription>,
    /// The remote offer to turn to once stable. A newer one takes its place: by the W3C states nobody offers
    /// twice without having taken the first offer back.
    next_offer: Option<SessionDescription>,
    /// A stock page's offer that crossed ours, and until when it is held.
    held_offer: Option<(SessionDescription, Instant)>,
    need: Option<Need>,
    /// When our unanswered offer is taken back; `None` while it rings.
    answer_by: Option<Instant>,
    /// A first exchange has been completed, or is ours to answer.
    begun: bool,
    /// An offer of ours was sent, and no answer since shows that the other side has it.
    unheard: bool,
    candidates: Candidates,
}

impl Negotiation {
    /// Of a fresh peer connection.
    pub(super) fn new(now: Instant) -> Self {
        Self::with(Candidates::default(), now)
    }

    /// Of the peer connection that replaces this one's.
    pub(super) fn renewed(&mut self, now: Instant) -> Self {
        let held = self.held_offer.take().map(|held| held.0);
        for dead in [self.next_offer.take(), self.applying.take(), held].into_iter().flatten() {
            self.candidates.retire(&dead);
        }
        Self::with(self.candidates.renewed(), now)
    }

    fn with(candidates: Candidates, now: Instant) -> Self {
        Self {
            signaling: Signaling::Stable,
            stable_since: now,
            restarting: false,
            offered: None,
            answering: None,
            remote_session: None,
            applying: None,
            next_offer: None,
            held_offer: None,
            need: None,
            answer_by: None,
            begun: false,
            unheard: false,
            candidates,
        }
    }

    /// The other side knows of an offer of ours that it has not answered.
    pub(super) fn has_sent_offer(&self) -> bool {
        self.signaling == Signaling::HaveLocalOffer
    }

    /// Nothing has been asked of the peer connection yet.
    pub(super) fn is_untouched(&self) -> bool {
        !self.begun && self.signaling == Signaling::Stable
    }

    /// An offer of ours was sent, perhaps taken back since, of which the other side may not know yet.
    pub(super) fn has_unheard_offer(&self) -> bool {
        self.unheard
    }

    /// The description is not of the peer connection that we are negotiating with.
    pub(super) fn is_of_another_session(&self, description: &SessionDescription) -> bool {
        self.remote_session.is_some() && self.remote_session.as_deref() != description.session()
    }

    /// A stock page's offer crossed ours, and it is not yet known what came of it.
    pub(super) fn holds_offer(&self) -> bool {
        self.held_offer.is_some()
    }

    /// Makes the first offer of a call.
    pub(super) fn begin(&mut self, out: &mut VecDeque<Action>) {
        self.create_offer(false, out);
    }

    /// Remembers a wish to negotiate; wishes merge. Carried out once things have settled, a restart as soon as
    /// the signaling is stable.
    pub(super) fn request(&mut self, ice_restart: bool, now: Instant, out: &mut VecDeque<Action>) {
        if self.signaling == Signaling::CreatingOffer && !self.begun {
            return; // The first offer, not created yet, will tell it all.
        }
        self.need(ice_restart, now);
        if ice_restart && self.signaling == Signaling::Stable && self.begun {
            self.create_offer(true, out);
        }
    }

    /// A remote offer to be answered, now or as soon as possible.
    pub(super) fn remote_offer(
        &mut self,
        offer: SessionDescription,
        precedence: Precedence,
        now: Instant,
        out: &mut VecDeque<Action>,
    ) {
        match (self.signaling, precedence) {
            (Signaling::Stable, _) => self.apply_offer(offer, out),
            (
                Signaling::RollingBack
                | Signaling::ApplyingAnswer
                | Signaling::ApplyingOffer
                | Signaling::CreatingAnswer,
                _,
            ) => self.next_offer = Some(offer),
            (Signaling::CreatingOffer | Signaling::HaveLocalOffer, Precedence::Ours) => {
                self.ignore_offer(&offer)
            }
            // Nobody knows of ours yet: it is taken back as soon as it is created.
            (Signaling::CreatingOffer, Precedence::Theirs | Precedence::Neither) => {
                self.next_offer = Some(offer)
            }
            (Signaling::HaveLocalOffer, Precedence::Theirs) => {
                self.next_offer = Some(offer);
                self.roll_back_offer(now, out);
            }
            (Signaling::HaveLocalOffer, Precedence::Neither) => {
                self.held_offer = Some((offer, now + GLARE_HOLD));
            }
        }
    }

    /// A remote offer that is not to be answered: its candidates are dead.
    pub(super) fn ignore_offer(&mut self, offer: &SessionDescription) {
        tracing::debug!("the other side's offer crossed ours and is ignored");
        self.candidates.retire(offer);
    }

    /// The answer to our offer. False if none is awaited, or if it belongs to something that is dead.
    pub(super) fn remote_answer(&mut self, answer: SessionDescription, out: &mut VecDeque<Action>) -> bool {
        if self.signaling != Signaling::HaveLocalOffer || self.candidates.is_dead(&answer) {
            return false;
        }
        if answer.answers.is_some() && answer.answers != self.offered {
            tracing::debug!("an answer to an earlier offer came late");
            return false;
        }
        if let Some((overtook, _)) = self.held_offer.take() {
            self.next_offer = Some(overtook);
        }
        self.answer_by = None;
        self.unheard = false;
        self.signaling = Signaling::ApplyingAnswer;
        self.remote_session = answer.session().map(str::to_owned);
        self.applying = Some(answer.clone());
        out.push_back(Action::ApplyAnswer(answer));
        true
    }

    /// A remote candidate.
    pub(super) fn remote_candidate(&mut self, candidate: IceCandidate, out: &mut VecDeque<Action>) {
        self.candidates.received(candidate, self.applying.is_some(), out);
    }

    /// A local candidate.
    pub(super) fn local_candidate(&mut self, candidate: IceCandidate, out: &mut VecDeque<Action>) {
        let describing = matches!(self.signaling, Signaling::CreatingOffer | Signaling::CreatingAnswer);
        self.candidates.gathered(candidate, describing, out);
    }

    /// `CreateOffer` is done. An offer that a remote one has overtaken meanwhile is not sent.
    pub(super) fn offer_created(
        &mut self,
        offer: SessionDescription,
        now: Instant,
        out: &mut VecDeque<Action>,
    ) {
        if self.signaling != Signaling::CreatingOffer {
            return;
        }
        if self.next_offer.is_some() {
            return self.roll_back_offer(now, out);
        }
        self.signaling = Signaling::HaveLocalOffer;
        self.offered = offer.origin().map(str::to_owned);
        self.unheard = true;
        self.answer_by = self.begun.then(|| now + ANSWER_WAIT);
        out.push_back(Action::Send(Signal::Offer { description: offer.clone(), extended: true }));
        self.candidates.local_description_sent(&offer, out);
    }

    /// `ApplyOffer` is done.
    pub(super) fn offer_applied(&mut self, out: &mut VecDeque<Action>) {
        if self.signaling == Signaling::ApplyingOffer {
            self.signaling = Signaling::CreatingAnswer;
            out.push_back(Action::CreateAnswer);
            self.remote_description_applied(out);
        }
    }

    /// `CreateAnswer` is done. The answer to an offer that was replaced meanwhile is not sent: the other side has
    /// taken that offer back and would take this for the answer to its new one.
    pub(super) fn answer_created(
        &mut self,
        mut answer: SessionDescription,
        now: Instant,
        out: &mut VecDeque<Action>,
    ) {
        if self.signaling != Signaling::CreatingAnswer {
            return;
        }
        answer.answers = self.answering.take();
        if self.next_offer.is_none() {
            out.push_back(Action::Send(Signal::Answer(answer.clone())));
            self.candidates.local_description_sent(&answer, out);
        }
        self.settle(now, out);
    }

    /// `ApplyAnswer` is done.
    pub(super) fn answer_applied(&mut self, now: Instant, out: &mut VecDeque<Action>) {
        if self.signaling == Signaling::ApplyingAnswer {
            self.begun = true;
            self.remote_description_applied(out);
            self.settle(now, out);
        }
    }

    /// `Rollback` is done.
    pub(super) fn rolled_back(&mut self, now: Instant, out: &mut VecDeque<Action>) {
        if self.signaling == Signaling::RollingBack {
            self.settle(now, out);
        }
    }

    /// The operation under way failed; the call goes on with what was agreed before.
    pub(super) fn failed(&mut self, now: Instant, out: &mut VecDeque<Action>) {
        let applying = self.applying.take();
        match self.signaling {
            Signaling::Stable | Signaling::HaveLocalOffer => {}
            Signaling::CreatingOffer | Signaling::RollingBack => self.settle(now, out),
            Signaling::ApplyingOffer => {
                if let Some(refused) = applying {
                    self.candidates.retire(&refused);
                }
                self.settle(now, out);
            }
            // A description is pending in the peer connection: it has to go before anything else can be agreed.
            Signaling::ApplyingAnswer => self.roll_back(out),
            Signaling::CreatingAnswer => {
                self.candidates.remote_description_taken_back();
                self.roll_back(out);
            }
        }
    }

    /// When [`Self::handle_timeout`] is next due; `settle` is the pause before an offer of ours.
    pub(super) fn poll_timeout(&self, settle: Duration) -> Option<Instant> {
        let hold = self.held_offer.as_ref().map(|held| held.1);
        [self.offer_at(settle), hold, self.answer_by].into_iter().flatten().min()
    }

    /// Carries out what is due.
    pub(super) fn handle_timeout(
        &mut self,
        settle: Duration,
        now: Instant,
        out: &mut VecDeque<Action>,
    ) -> Verdict {
        if self.held_offer.as_ref().is_some_and(|held| held.1 <= now) {
            return Verdict::Stuck;
        }
        if self.answer_by.is_some_and(|at| at <= now) {
            tracing::debug!("our offer was not answered and is taken back");
            // Who did not answer it now will not answer it next: only a restart is worth another try.
            let again = self.restarting;
            self.roll_back(out);
            if again {
                self.need(true, now);
            }
        }
        if self.offer_at(settle).is_some_and(|at| at <= now) {
            self.create_offer(self.wants_restart(), out);
        }
        Verdict::Fine
    }

    fn offer_at(&self, settle: Duration) -> Option<Instant> {
        let need = self.need.filter(|_| self.signaling == Signaling::Stable && self.begun)?;
        Some(need.since.max(self.stable_since) + if need.restart { Duration::ZERO } else { settle })
    }

    fn create_offer(&mut self, ice_restart: bool, out: &mut VecDeque<Action>) {
        self.need = None;
        self.restarting = ice_restart;
        self.signaling = Signaling::CreatingOffer;
        out.push_back(Action::CreateOffer { ice_restart });
    }

    fn apply_offer(&mut self, offer: SessionDescription, out: &mut VecDeque<Action>) {
        self.begun = true;
        self.signaling = Signaling::ApplyingOffer;
        self.answering = offer.origin().map(str::to_owned);
        self.remote_session = offer.session().map(str::to_owned);
        self.applying = Some(offer.clone());
        out.push_back(Action::ApplyOffer(offer));
    }

    /// Takes our offer back in favour of theirs, to be made again afterwards.
    fn roll_back_offer(&mut self, now: Instant, out: &mut VecDeque<Action>) {
        self.need(self.restarting, now);
        self.roll_back(out);
    }

    fn roll_back(&mut self, out: &mut VecDeque<Action>) {
        self.answer_by = None;
        self.signaling = Signaling::RollingBack;
        out.push_back(Action::Rollback);
    }

    fn remote_description_applied(&mut self, out: &mut VecDeque<Action>) {
        if let Some(applied) = self.applying.take() {
            let restarted =
                self.candidates.remote_description_applied(&applied, self.next_offer.as_ref(), out);
            // New credentials on one side mean new ones on both (RFC 8445 section 9): a restart that we still
            // wished for has just happened.
            if restarted {
                self.need = self.need.filter(|need| need.change).map(|need| Need { restart: false, ..need });
            }
        }
    }

    fn wants_restart(&self) -> bool {
        self.need.is_some_and(|need| need.restart)
    }

    fn need(&mut self, ice_restart: bool, now: Instant) {
        let (restart, change) = self.need.map_or((false, false), |need| (need.restart, need.change));
        self.need =
            Some(Need { restart: restart || ice_restart, change: change || !ice_restart, since: now });
    }

    /// Stable again: turns to what waited, the remote offer first.
    fn settle(&mut self, now: Instant, out: &mut VecDeque<Action>) {
        self.signaling = Signaling::Stable;
        self.stable_since = now;
        self.restarting = false;
        if let Some(offer) = self.next_offer.take() {
            self.apply_offer(offer, out);
        } else if self.begun && self.wants_restart() {
            self.create_offer(true, out);
        }
    }
}
