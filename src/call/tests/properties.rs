//! Whatever happens, in whatever order: what must never come out of a call.

use super::{candidate, description};
use crate::call::{Action, Call, CallId, Connectivity, Event, State};
use crate::protocol::{HangUpReason, IceCandidate, SdpKind, Signal};
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// What the world may do to a call.
#[derive(Clone, Debug)]
enum Input {
    Event(Event),
    /// Do as the call asks: report its oldest unreported operation as done.
    Complete,
    /// Let this many milliseconds pass without a call of `handle_timeout`.
    Wait(u64),
    /// Let time pass until the call's own clock rings.
    Ring,
}

fn fragment() -> impl Strategy<Value = String> {
    prop_oneof!["a", "b", "c"].prop_map(|text: String| text)
}

fn event() -> impl Strategy<Value = Event> {
    let offer = || fragment().prop_map(|text| description(SdpKind::Offer, &text));
    let answer = || fragment().prop_map(|text| description(SdpKind::Answer, &text));
    let reason = prop::option::of(prop::sample::select(vec![
        HangUpReason::Ended,
        HangUpReason::Declined,
        HangUpReason::Busy,
        HangUpReason::NoAnswer,
        HangUpReason::Cancelled,
        HangUpReason::Failed,
    ]));
    let connectivity = prop::sample::select(vec![
        Connectivity::Connecting,
        Connectivity::Connected,
        Connectivity::Disconnected,
        Connectivity::Failed,
        Connectivity::Closed,
    ]);
    let signal = prop_oneof![
        4 => (offer(), any::<bool>()).prop_map(|(description, extended)| Signal::Offer { description, extended }),
        4 => answer().prop_map(Signal::Answer),
        3 => fragment().prop_map(|text| Signal::Candidate(candidate(&text, 1))),
        1 => Just(Signal::Candidate(IceCandidate::default())),
        1 => reason.prop_map(Signal::HangUp),
        1 => Just(Signal::MediaState { audio: true, video: false }),
        1 => Just(Signal::View { width: 640, height: 360 }),
        2 => any::<bool>().prop_map(|answer| Signal::PathCheck { answer }),
    ];
    prop_oneof![
        2 => any::<bool>().prop_map(|video| Event::Answer { video }),
        1 => prop::sample::select(vec![Event::Decline, Event::HangUp, Event::MediaRefused]),
        12 => signal.prop_map(Event::Signal),
        1 => any::<bool>().prop_map(|video| Event::CallBack { video }),
        1 => prop::sample::select(vec![Event::PeerLeft, Event::Undeliverable]),
        2 => any::<bool>().prop_map(|cut_off| Event::NetworkChanged { cut_off }),
        2 => prop::sample::select(vec![Event::SignalingLost, Event::SignalingBack]),
        2 => offer().prop_map(Event::OfferCreated),
        2 => answer().prop_map(Event::AnswerCreated),
        2 => prop::sample::select(vec![Event::OfferApplied, Event::AnswerApplied, Event::RolledBack]),
        1 => Just(Event::OperationFailed { reason: "it failed".into() }),
        3 => any::<bool>().prop_map(|ice_restart| Event::NegotiationNeeded { ice_restart }),
        2 => fragment().prop_map(|text| Event::CandidateGathered(candidate(&text, 2))),
        5 => connectivity.prop_map(Event::Connectivity),
        2 => any::<(bool, bool)>().prop_map(|(audio, video)| Event::RemoteTracks { audio, video }),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        5 => event().prop_map(Input::Event),
        6 => Just(Input::Complete),
        1 => (0_u64..20_000).prop_map(Input::Wait),
        2 => Just(Input::Ring),
    ]
}

/// Looks at every action that comes out, and remembers what may follow it.
struct Watch {
    incoming: bool,
    answered_by_us: bool,
    answered_by_them: bool,
    open: bool,
    sending: bool,
    released: bool,
    hang_ups: u32,
    redials: u32,
    pending: Vec<Event>,
}

impl Watch {
    fn saw_event(&mut self, event: &Event, before: &State) {
        match (event, before) {
            (Event::Answer { .. } | Event::CallBack { .. }, State::Ringing) => self.answered_by_us = true,
            // While we dial, an answer accepts, and so does an offer of theirs.
            (Event::Signal(Signal::Answer(_) | Signal::Offer { .. }), State::Dialing) => {
                self.answered_by_them = true
            }
            _ => {}
        }
    }

    fn saw_action(&mut self, action: Action) -> Result<(), TestCaseError> {
        prop_assert!(!self.released, "{action:?} after the release");
        let accepted = if self.incoming { self.answered_by_us } else { self.answered_by_them };
        match action {
            Action::OpenPeer | Action::OpenMedia { .. } => {
                prop_assert!(!self.incoming || self.answered_by_us, "{action:?} while it rings");
                self.open = true;
            }
            Action::StartSending => {
                prop_assert!(accepted && self.open, "sending before both have accepted");
                prop_assert!(!self.sending, "sending started twice on one peer connection");
                self.sending = true;
            }
            Action::ReplacePeer => {
                prop_assert!(self.open);
                self.sending = false;
                self.pending.clear();
            }
            Action::Send(Signal::HangUp(reason)) => {
                prop_assert!(reason.is_some());
                self.hang_ups += 1;
            }
            Action::Send(_) => prop_assert!(!self.incoming || self.answered_by_us, "sent while it rings"),
            Action::Release => self.released = true,
            Action::CreateOffer { .. } => {
                self.operation(Event::OfferCreated(description(SdpKind::Offer, "local")))?;
            }
            Action::CreateAnswer => {
                self.operation(Event::AnswerCreated(description(SdpKind::Answer, "local")))?;
            }
            Action::ApplyOffer(offer) => {
                prop_assert_eq!(offer.kind, SdpKind::Offer);
                self.operation(Event::OfferApplied)?;
            }
            Action::ApplyAnswer(_) => self.operation(Event::AnswerApplied)?,
            Action::Rollback => self.operation(Event::RolledBack)?,
            Action::AddCandidate(candidate) => {
                prop_assert!(self.open && !candidate.candidate.is_empty());
            }
        }
        Ok(())
    }

    fn operation(&mut self, done: Event) -> Result<(), TestCaseError> {
        prop_assert!(self.open, "{done:?} asked of a peer connection that is not there");
        self.pending.push(done);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_events_breaks_the_rules(
        incoming in any::<bool>(),
        goes_first in any::<bool>(),
        extended in any::<bool>(),
        inputs in prop::collection::vec(input(), 1..80),
    ) {
        let mut now = Instant::now();
        let me = if goes_first { "a" } else { "z" };
        let mut call = if incoming {
            Call::ring(CallId(7), me, "m", description(SdpKind::Offer, "a"), extended, now)
        } else {
            Call::dial(CallId(7), me, "m", true, now)
        };
        let mut watch = Watch {
            incoming, answered_by_us: false, answered_by_them: false, open: false, sending: false,
            released: false, hang_ups: 0, redials: 0, pending: Vec::new(),
        };
        while let Some(action) = call.poll_action() {
            watch.saw_action(action)?;
        }
        for input in inputs {
            let before = call.state().clone();
            match input {
                Input::Event(event) => {
                    watch.saw_event(&event, &before);
                    call.handle_event(event, now);
                }
                Input::Complete if watch.pending.is_empty() => {}
                Input::Complete => call.handle_event(watch.pending.remove(0), now),
                Input::Wait(milliseconds) => now += Duration::from_millis(milliseconds),
                Input::Ring => {
                    now = now.max(call.poll_timeout().unwrap_or(now));
                    call.handle_timeout(now);
                    let next = call.poll_timeout();
                    prop_assert!(next.is_none_or(|next| next > now), "a clock that was served rings again at once");
                }
            }
            let hang_ups = watch.hang_ups;
            let mut replaced = false;
            while let Some(action) = call.poll_action() {
                replaced |= action == Action::ReplacePeer;
                watch.saw_action(action)?;
            }
            prop_assert!(watch.hang_ups <= hang_ups + 1);
            watch.redials += u32::from(replaced && watch.hang_ups > hang_ups);
            let over = matches!(call.state(), State::Ended(_));
            prop_assert_eq!(watch.released, over, "the release comes with the end");
            if matches!(before, State::Ended(_)) {
                prop_assert_eq!(call.state(), &before, "an ended call stays as it is");
            }
            prop_assert!(!over || call.poll_timeout().is_none());
            prop_assert!(over || call.poll_timeout().is_some() || matches!(call.state(), State::Connected));
        }
        prop_assert!(watch.hang_ups <= 1 + watch.redials, "one hang-up, and one for each fresh call");
    }
}
