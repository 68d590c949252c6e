//! The table of the call's state machine: every state, every event, and what follows.
//!
//! Only the table, the clocks and the queue of actions are here; the doings are in `transitions`.

use super::negotiation::Negotiation;
use super::{Action, CallId, Connectivity, Direction, EndReason, Event, State};
use crate::protocol::{HangUpReason, SessionDescription, Signal};
use std::collections::VecDeque;
use std::time::Instant;

/// The clocks of a call; a clock that does not run is `None`.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    /// Nobody answered.
    pub(super) ring: Option<Instant>,
    /// The path was not found in time.
    pub(super) setup: Option<Instant>,
    /// The path did not come back in time.
    pub(super) grace: Option<Instant>,
    /// The next step to repair the path.
    pub(super) repair: Option<Instant>,
    /// The fresh offer to a stock page that was stuck.
    pub(super) redial: Option<Instant>,
}

/// What the other side has shown itself to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Nothing shown yet.
    Unknown,
    /// It speaks Ahoy's extensions.
    Extended,
    /// It is a page written after the article.
    Stock,
}

/// One call with one other side, from the first wish for it to its end.
///
/// ```text
///          dial                                   ring
///           │                                      │
///           ▼        offers crossed, theirs        ▼
///      ┌─────────┐   goes first            ┌─────────┐
///      │ Dialing │──────────────┐          │ Ringing │
///      └────┬────┘              │          └────┬────┘
///           │ answered          ▼               │ the user answers
///           │            ┌────────────┐         │
///           └───────────▶│ Connecting │◀────────┘
///                        └─────┬──────┘
///                              │ path up: StartSending
///                              ▼                path lost
///                        ┌───────────┐ ───────────────────▶ ┌──────────────┐
///                        │ Connected │                      │ Reconnecting │
///                        └───────────┘ ◀─────────────────── └──────────────┘
///                                         path back
///   from every state, by hang-up, refusal, clock or failure:
///                        ┌───────────────┐
///                        │ Ended(reason) │  Release is the last action; nothing leads out of here
///                        └───────────────┘
/// ```
///
/// # Both call each other
///
/// Between two of our kind the offer of the lesser name wins (names are compared as bytes): its sender ignores the
/// other's, and the other replaces its peer connection and answers without ringing, for both have shown that they
/// want the call. An offer that has not been sent yet never competes. While dialing, every hang-up says `cancelled`
/// and speaks of its sender's own offer alone, so that the winner goes on dialing a loser who gave up too early to
/// know that he is called himself. And because the winner's hang-up may have crossed the losing offer, the loser
/// withdraws that offer even if the winner hung up:
///
/// ```text
///   alice (wins)                      bob (loses)
///     │── offer A ───────╲ ╱─── offer B ──│
///     │   ignores B ◀────╱ ╲────▶ replaces its peer connection, applies A
///     │◀──────────── answer to A ─────────│   both Connecting
/// ```
///
/// A page written after the article rolls its own offer back when ours arrives, applies ours, and returns without
/// answering. In that state it ignores everything but a hang-up, and so the call is dialed afresh, at most
/// [`MAX_REDIALS`](super::MAX_REDIALS) times; the page answers by itself. Hang-ups that arrive during the pause
/// belong to what has just been taken back and end nothing; candidates of the page's dead offer are known by their
/// username fragment and dropped. The same cure helps when offers cross inside a call with such a page.
///
/// ```text
///   ahoy                                   page
///     │── offer 1 ────────╲ ╱──── offer P ──│
///     │   holds P ◀───────╱ ╲──▶ rolls P back, applies 1, is stuck
///     │   GLARE_HOLD: no answer to 1        │
///     │── hang-up ─────────────────────────▶│   closes and resets
///     │   ReplacePeer, REDIAL_PAUSE         │
///     │── offer 2 ─────────────────────────▶│   answers at once
///     │◀──────────────────── answer to 2 ───│
///     │◀──────────── its usual second offer │   applied and answered inside the call
/// ```
#[derive(Debug)]
pub struct Call {
    pub(super) id: CallId,
    pub(super) me: String,
    pub(super) peer: String,
    pub(super) direction: Direction,
    pub(super) state: State,
    pub(super) clocks: Clocks,
    pub(super) negotiation: Negotiation,
    pub(super) actions: VecDeque<Action>,
    pub(super) dialect: Dialect,
    /// The offer that rings, newest only, and the user has not answered.
    pub(super) ringing_offer: Option<SessionDescription>,
    /// An offer or answer of ours is on its way to, or known to, the other side, or it called us.
    pub(super) peer_knows: bool,
    /// Our offer crossed theirs, and theirs won: ours may yet ring at a caller that gave up.
    pub(super) lost_offer: bool,
    /// ICE and DTLS of the present peer connection are up.
    pub(super) path_up: bool,
    /// `StartSending` was given for the present peer connection.
    pub(super) sending: bool,
    /// The other side has sent sound or picture over the present peer connection.
    pub(super) had_tracks: bool,
    /// The signaling server says that the other side is gone.
    pub(super) absent: bool,
    /// The signaling server answers, as far as we know.
    pub(super) signaling_up: bool,
    /// The old path cannot come back: its address is gone, or ICE has given it up.
    pub(super) cut_off: bool,
    /// The other side is there, over the server, to make a new path with.
    pub(super) invited: bool,
    /// When the path was lost.
    pub(super) lost_at: Option<Instant>,
    /// The user dialed, and their offer is answered in place of ours: if they take it back, the wish stands.
    pub(super) wished: bool,
    pub(super) redials: u32,
    pub(super) connected_at: Option<Instant>,
}

impl Call {
    /// Who it is with.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Which call it is.
    pub fn id(&self) -> CallId {
        self.id
    }

    /// Whose idea it was.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Where it stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// When media could first flow.
    pub fn connected_at(&self) -> Option<Instant> {
        self.connected_at
    }

    /// The offer, or answer, is not of the other side's end of this call: its program was started again, or threw its
    /// end away, and calls anew. Handed to this call it ends it; it is then to ring as a new one.
    pub fn is_abandoned_by(&self, description: &SessionDescription) -> bool {
        matches!(self.state, State::Connected | State::Reconnecting)
            && self.negotiation.is_of_another_session(description)
    }

    /// The next thing to do. After [`Action::Release`] there is none.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Self::handle_timeout`] is to be called, unless an event comes first.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Ended(_) => None,
            State::Dialing | State::Ringing | State::Connecting | State::Connected | State::Reconnecting => {
                let Clocks { ring, setup, grace, repair, redial } = self.clocks;
                let negotiation = self.negotiation.poll_timeout(self.settle());
                [ring, setup, grace, repair, redial, negotiation].into_iter().flatten().min()
            }
        }
    }

    /// Something happened.
    pub fn handle_event(&mut self, event: Event, now: Instant) {
        use State::{Connected, Connecting, Dialing, Ended, Reconnecting, Ringing};
        match event {
            Event::Answer { video } => match self.state {
                Ringing => self.answer(video, now),
                Dialing | Connecting | Connected | Reconnecting | Ended(_) => {}
            },
            Event::CallBack { video } => match self.state {
                Ringing => {
                    self.wished = true;
                    self.answer(video, now);
                }
                Connecting => self.wished = true,
                Dialing | Connected | Reconnecting | Ended(_) => {}
            },
            Event::Decline => match self.state {
                Ringing => self.end(EndReason::DeclinedByUs, Some(HangUpReason::Declined)),
                Dialing | Connecting | Connected | Reconnecting | Ended(_) => {}
            },
            Event::HangUp => match self.state {
                Dialing => self.end(EndReason::Cancelled, Some(HangUpReason::Cancelled)),
                Ringing => self.end(EndReason::DeclinedByUs, Some(HangUpReason::Declined)),
                Connecting | Connected | Reconnecting => {
                    self.end(EndReason::LocalHangUp, Some(HangUpReason::Ended));
                }
                Ended(_) => {}
            },
            Event::MediaRefused => match self.state {
                Dialing => self.end(EndReason::Cancelled, Some(HangUpReason::Cancelled)),
                Connecting => self.end(EndReason::Cancelled, Some(HangUpReason::Ended)),
                // Ringing: nothing has been opened. Later: losing a device does not lose the call.
                Ringing | Connected | Reconnecting | Ended(_) => {}
            },
            Event::Signal(signal) => {
                self.heard_of(&signal, now);
                self.handle_signal(signal, now);
            }
            Event::PeerLeft | Event::Undeliverable => match self.state {
                Dialing | Ringing | Connecting => self.end(EndReason::PeerLeft, None),
                Connected | Reconnecting => self.peer_left(now),
                Ended(_) => {}
            },
            Event::NetworkChanged { cut_off } => match self.state {
                Dialing | Connecting | Connected | Reconnecting => self.network_changed(cut_off, now),
                Ringing | Ended(_) => {}
            },
            Event::SignalingLost => match self.state {
                Dialing | Ringing | Connecting | Connected | Reconnecting => self.signaling_up = false,
                Ended(_) => {}
            },
            Event::SignalingBack => match self.state {
                Dialing | Ringing | Connecting | Connected => self.signaling_up = true,
                Reconnecting => self.signaling_back(now),
                Ended(_) => {}
            },
            Event::OfferCreated(offer) => match self.state {
                Dialing | Connecting | Connected | Reconnecting => self.offer_created(offer, now),
                Ringing | Ended(_) => {}
            },
            Event::AnswerCreated(answer) => match self.state {
                Connecting | Connected | Reconnecting => {
                    self.negotiation.answer_created(answer, now, &mut self.actions);
                }
                Dialing | Ringing | Ended(_) => {}
            },
            Event::OfferApplied => match self.state {
                Connecting | Connected | Reconnecting => self.negotiation.offer_applied(&mut self.actions),
                Dialing | Ringing | Ended(_) => {}
            },
            Event::AnswerApplied => match self.state {
                Connecting | Connected | Reconnecting => {
                    self.negotiation.answer_applied(now, &mut self.actions);
                }
                Dialing | Ringing | Ended(_) => {}
            },
            Event::RolledBack => match self.state {
                Connecting | Connected | Reconnecting => self.negotiation.rolled_back(now, &mut self.actions),
                Dialing | Ringing | Ended(_) => {}
            },
            Event::OperationFailed { reason } => match self.state {
                Dialing => self.end(EndReason::MediaFailed(reason), Some(HangUpReason::Cancelled)),
                Connecting => self.end(EndReason::MediaFailed(reason), Some(HangUpReason::Failed)),
                Connected | Reconnecting => {
                    tracing::warn!(
                        call = self.id.0,
                        reason,
                        "a renegotiation failed; the call goes on without it"
                    );
                    self.negotiation.failed(now, &mut self.actions);
                }
                Ringing | Ended(_) => {}
            },
            Event::NegotiationNeeded { ice_restart } => match self.state {
                Dialing | Connecting | Connected | Reconnecting => {
                    self.negotiation.request(ice_restart, now, &mut self.actions);
                }
                Ringing | Ended(_) => {}
            },
            Event::CandidateGathered(candidate) => match self.state {
                Dialing | Connecting | Connected | Reconnecting => {
                    self.negotiation.local_candidate(candidate, &mut self.actions);
                }
                Ringing | Ended(_) => {}
            },
            Event::Connectivity(connectivity) => self.handle_connectivity(connectivity, now),
            Event::RemoteTracks { audio, video } => match self.state {
                Connecting | Connected | Reconnecting => self.remote_tracks(audio || video),
                Dialing | Ringing | Ended(_) => {}
            },
        }
    }

    /// The other side said something.
    fn handle_signal(&mut self, signal: Signal, now: Instant) {
        use State::{Connected, Connecting, Dialing, Ended, Reconnecting, Ringing};
        match signal {
            Signal::Offer { description, extended } => match self.state {
                Dialing => self.offer_while_dialing(description, extended, now),
                Ringing => self.ringing_offer = Some(description),
                // Nobody is at the other end of this call any more. The new one is for the user to answer: whoever
                // calls has the name, and nothing else says that it is the same person.
                Connected | Reconnecting if self.is_abandoned_by(&description) => {
                    self.end(EndReason::PeerLeft, None);
                }
                Connecting | Connected | Reconnecting => self.offer_in_call(description, extended, now),
                Ended(_) => {}
            },
            Signal::Answer(answer) => match self.state {
                Dialing => {
                    if self.negotiation.remote_answer(answer, &mut self.actions) {
                        self.connecting(now);
                    }
                }
                Connecting | Connected | Reconnecting => {
                    if !self.negotiation.remote_answer(answer, &mut self.actions) {
                        tracing::debug!(call = self.id.0, "an answer to no offer of ours is ignored");
                    }
                }
                Ringing | Ended(_) => {}
            },
            Signal::Candidate(candidate) => match self.state {
                Dialing | Ringing | Connecting | Connected | Reconnecting => {
                    self.negotiation.remote_candidate(candidate, &mut self.actions);
                }
                Ended(_) => {}
            },
            Signal::HangUp(reason) => match self.state {
                Dialing | Ringing | Connecting | Connected | Reconnecting => {
                    self.remote_hang_up(reason, now);
                }
                Ended(_) => {}
            },
            Signal::PathCheck { answer: false } => match self.state {
                Connecting | Connected => {
                    self.actions.push_back(Action::Send(Signal::PathCheck { answer: true }))
                }
                Reconnecting => self.path_checked(now),
                // The one who asks means a call that is not this one.
                Dialing | Ringing | Ended(_) => {}
            },
            Signal::PathCheck { answer: true } => match self.state {
                Reconnecting => self.invited(now),
                Dialing | Ringing | Connecting | Connected | Ended(_) => {}
            },
            // For window and encoder alone; see `heard_of` for what they tell about the other side.
            Signal::MediaState { .. } | Signal::View { .. } => match self.state {
                Dialing | Ringing | Connecting | Connected | Reconnecting | Ended(_) => {}
            },
        }
    }

    /// The media path changed.
    fn handle_connectivity(&mut self, connectivity: Connectivity, now: Instant) {
        use State::{Connected, Connecting, Dialing, Ended, Reconnecting, Ringing};
        self.path_up = connectivity == Connectivity::Connected;
        match connectivity {
            Connectivity::Connecting => match self.state {
                Dialing | Ringing | Connecting | Connected | Reconnecting | Ended(_) => {}
            },
            Connectivity::Connected => match self.state {
                Connecting | Reconnecting => self.connected(now),
                // Remembered until the answer is here.
                Dialing => {}
                Ringing | Connected | Ended(_) => {}
            },
            Connectivity::Disconnected => match self.state {
                Connected => self.reconnecting(now),
                Dialing | Ringing | Connecting | Reconnecting | Ended(_) => {}
            },
            Connectivity::Failed => match self.state {
                // ICE has thrown the pairs away: only new credentials help.
                Connected | Reconnecting => self.network_changed(true, now),
                // More candidates may come, or a restart help: the setup clock decides.
                Connecting => self.restart_ice(now),
                Dialing | Ringing | Ended(_) => {}
            },
            Connectivity::Closed => match self.state {
                Dialing => self.end(closed_early(), Some(HangUpReason::Cancelled)),
                Connecting => self.end(closed_early(), Some(HangUpReason::Failed)),
                // The other end closed it in order (DTLS close_notify, RFC 8446 section 6.1).
                Connected | Reconnecting => self.end(EndReason::RemoteHangUp, Some(HangUpReason::Ended)),
                Ringing | Ended(_) => {}
            },
        }
    }

    /// Carries out what is due at `now`; does nothing before [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        use State::{Connected, Connecting, Dialing, Ended, Reconnecting, Ringing};
        if due(&mut self.clocks.ring, now) {
            match self.state {
                Dialing => self.end(EndReason::NoAnswer, Some(HangUpReason::Cancelled)),
                Ringing => self.end(EndReason::Missed, Some(HangUpReason::NoAnswer)),
                Connecting | Connected | Reconnecting | Ended(_) => {}
            }
        }
        if due(&mut self.clocks.setup, now) {
            match self.state {
                Connecting => self.end(EndReason::NetworkFailed, Some(HangUpReason::Failed)),
                Dialing | Ringing | Connected | Reconnecting | Ended(_) => {}
            }
        }
        if due(&mut self.clocks.grace, now) {
            match self.state {
                Reconnecting => self.give_up(),
                Dialing | Ringing | Connecting | Connected | Ended(_) => {}
            }
        }
        if due(&mut self.clocks.repair, now) {
            match self.state {
                Reconnecting => self.repair(now),
                Dialing | Ringing | Connecting | Connected | Ended(_) => {}
            }
        }
        if due(&mut self.clocks.redial, now) {
            match self.state {
                Dialing | Connecting | Reconnecting => self.negotiation.begin(&mut self.actions),
                Ringing | Connected | Ended(_) => {}
            }
        }
        match self.state {
            Dialing | Connecting | Connected | Reconnecting => self.negotiation_timeout(now),
            Ringing | Ended(_) => {}
        }
    }
}

fn closed_early() -> EndReason {
    EndReason::MediaFailed("the peer connection closed before the call was up".to_owned())
}

/// Stops the clock if it has run out.
fn due(clock: &mut Option<Instant>, now: Instant) -> bool {
    clock.take_if(|at| *at <= now).is_some()
}
