//! New negotiations inside a call.

use super::world::{Deed, World};
use super::{candidate, description};
use crate::call::{ANSWER_WAIT, Action, Call, CallId, Connectivity, EndReason, Event, SETTLE, State};
use crate::protocol::{SdpKind, SessionDescription, Signal};
use std::time::{Duration, Instant};

const ALICE: usize = 0;
const BOB: usize = 1;

fn needed(ice_restart: bool) -> Deed {
    Deed::Tell(Event::NegotiationNeeded { ice_restart })
}

fn in_call() -> World {
    let mut world = World::two();
    world.plan(0, ALICE, Deed::Dial);
    world.run(5.0);
    world.assert_in_call();
    world
}

#[test]
fn each_side_may_renegotiate() {
    for who in [ALICE, BOB] {
        for ice_restart in [false, true] {
            let mut world = in_call();
            let before = world.offers_received;
            world.plan(0, who, needed(ice_restart));
            world.run(3.0);
            world.assert_in_call();
            assert_eq!(world.offers_received[1 - who], before[1 - who] + 1);
            assert_eq!(world.offers_received[who], before[who]);
            assert_eq!(world.ahoy(1 - who).rang, u32::from(who == ALICE), "nothing rings inside a call");
        }
    }
}

#[test]
fn many_wishes_become_one_offer() {
    let mut world = in_call();
    for ms in [0, 10, 20, 60, 120] {
        world.plan(ms, BOB, needed(false));
    }
    world.run(3.0);
    world.assert_in_call();
    assert_eq!(world.offers_received[ALICE], 1);
}

#[test]
fn a_wish_during_a_negotiation_is_carried_out_after_it() {
    for who in [ALICE, BOB] {
        let mut world = in_call();
        let before = world.offers_received;
        world.plan(0, who, needed(true));
        world.plan(20, who, needed(false));
        world.run(3.0);
        world.assert_in_call();
        assert_eq!(world.offers_received[1 - who], before[1 - who] + 2);
    }
}

#[test]
fn offers_that_cross_inside_a_call_are_both_carried_out() {
    for restart in [[false, false], [true, false], [false, true], [true, true]] {
        for later in 0..60 {
            for first in [ALICE, BOB] {
                let mut world = in_call();
                // Without the pause the two meet in every possible way.
                world.plan(0, first, needed(restart[first]));
                world.plan(later, 1 - first, needed(restart[1 - first]));
                world.run(4.0);
                world.assert_in_call();
                assert_eq!(world.ahoy(ALICE).ended, []);
                assert!(world.offers_received[ALICE] + world.offers_received[BOB] <= 5, "it settles");
            }
        }
    }
}

#[test]
fn a_restart_that_crossed_the_other_sides_restart_is_not_made_again() {
    let mut world = in_call();
    world.plan(0, ALICE, needed(true));
    world.plan(0, BOB, needed(true));
    world.run(4.0);
    world.assert_in_call();
    assert_eq!(world.offers_received, [1, 2], "bob's crossed, and alice's served for both");
}

#[test]
fn a_hang_up_at_any_step_of_a_renegotiation_ends_the_call_on_both_sides() {
    for who in [ALICE, BOB] {
        for steps in 0..25 {
            let mut world = in_call();
            world.plan(0, ALICE, needed(true));
            world.plan(10, BOB, needed(true));
            for _ in 0..steps {
                world.step();
            }
            world.plan(0, who, Deed::HangUp);
            world.run(1.0);
            world.assert_quiet();
            // The other's offer may arrive after the hang-up and ring: it is taken back by the time it can be.
            let ended = &world.ahoy(who).ended;
            assert!(matches!(
                ended[..],
                [EndReason::LocalHangUp] | [EndReason::LocalHangUp, EndReason::GaveUp]
            ));
            assert_eq!(world.ahoy(1 - who).ended, [EndReason::RemoteHangUp]);
        }
    }
}

fn actions(call: &mut Call) -> Vec<Action> {
    std::iter::from_fn(|| call.poll_action()).collect()
}

/// `me` called "m" and is connected; the other side is known to speak the extensions.
fn connected(me: &str, now: Instant) -> Call {
    let mut call = Call::dial(CallId(1), me, "m", true, now);
    call.handle_event(Event::OfferCreated(description(SdpKind::Offer, "ours")), now);
    call.handle_event(Event::Signal(Signal::Answer(description(SdpKind::Answer, "theirs"))), now);
    call.handle_event(Event::AnswerApplied, now);
    call.handle_event(Event::Connectivity(Connectivity::Connected), now);
    call.handle_event(Event::Signal(Signal::MediaState { audio: true, video: true }), now);
    assert_eq!(actions(&mut call).last(), Some(&Action::StartSending));
    call
}

fn offer(fragment: &str) -> SessionDescription {
    description(SdpKind::Offer, fragment)
}

fn remote_offer(fragment: &str) -> Event {
    Event::Signal(Signal::Offer { description: offer(fragment), extended: true })
}

#[test]
fn a_wish_waits_until_things_have_settled() {
    let now = Instant::now();
    let mut call = connected("a", now);
    let later = now + Duration::from_secs(60);
    call.handle_event(Event::NegotiationNeeded { ice_restart: false }, later);
    assert_eq!(actions(&mut call), []);
    assert_eq!(call.poll_timeout(), Some(later + SETTLE));
    call.handle_timeout(later + SETTLE);
    assert_eq!(actions(&mut call), [Action::CreateOffer { ice_restart: false }]);
}

#[test]
fn the_lesser_name_ignores_an_offer_that_crosses_its_own() {
    let now = Instant::now();
    let mut call = connected("a", now);
    call.handle_event(Event::NegotiationNeeded { ice_restart: true }, now);
    call.handle_event(remote_offer("crossed"), now);
    call.handle_event(Event::Signal(Signal::Candidate(candidate("crossed", 1))), now);
    assert_eq!(actions(&mut call), [Action::CreateOffer { ice_restart: true }]);
    call.handle_event(Event::OfferCreated(offer("ours2")), now);
    let sent = Action::Send(Signal::Offer { description: offer("ours2"), extended: true });
    assert_eq!(actions(&mut call), [sent]);
    call.handle_event(remote_offer("crossed"), now);
    assert_eq!(actions(&mut call), []);
}

#[test]
fn the_greater_name_rolls_back_answers_and_offers_again() {
    let now = Instant::now();
    let mut call = connected("z", now);
    call.handle_event(Event::NegotiationNeeded { ice_restart: true }, now);
    call.handle_event(Event::OfferCreated(offer("ours2")), now);
    actions(&mut call);
    call.handle_event(remote_offer("theirs"), now);
    assert_eq!(actions(&mut call), [Action::Rollback]);
    call.handle_event(Event::RolledBack, now);
    assert_eq!(actions(&mut call), [Action::ApplyOffer(offer("theirs"))]);
    call.handle_event(Event::OfferApplied, now);
    assert_eq!(actions(&mut call), [Action::CreateAnswer]);
    let answer = description(SdpKind::Answer, "ours");
    call.handle_event(Event::AnswerCreated(answer.clone()), now);
    assert_eq!(
        actions(&mut call),
        [Action::Send(Signal::Answer(answer)), Action::CreateOffer { ice_restart: true }]
    );
}

#[test]
fn an_offer_overtaken_before_it_was_sent_is_taken_back_unsent() {
    let now = Instant::now();
    let mut call = connected("z", now);
    call.handle_event(Event::NegotiationNeeded { ice_restart: true }, now);
    call.handle_event(remote_offer("theirs"), now);
    actions(&mut call);
    call.handle_event(Event::OfferCreated(offer("ours2")), now);
    assert_eq!(actions(&mut call), [Action::Rollback]);
}

#[test]
fn an_offer_that_nobody_answers_is_taken_back() {
    let now = Instant::now();
    let mut call = connected("a", now);
    call.handle_event(Event::NegotiationNeeded { ice_restart: false }, now);
    call.handle_timeout(now + SETTLE);
    call.handle_event(Event::OfferCreated(offer("ours")), now);
    actions(&mut call);
    assert_eq!(call.poll_timeout(), Some(now + ANSWER_WAIT));
    call.handle_timeout(now + ANSWER_WAIT);
    assert_eq!(actions(&mut call), [Action::Rollback]);
    call.handle_event(Event::RolledBack, now + ANSWER_WAIT);
    call.handle_event(remote_offer("theirs"), now + ANSWER_WAIT);
    assert_eq!(actions(&mut call), [Action::ApplyOffer(offer("theirs"))]);
}

#[test]
fn a_renegotiation_that_fails_leaves_the_call_going_and_the_next_possible() {
    let now = Instant::now();
    let fail = || Event::OperationFailed { reason: "no".into() };
    // While creating an offer.
    let mut call = connected("a", now);
    call.handle_event(Event::NegotiationNeeded { ice_restart: true }, now);
    call.handle_event(fail(), now);
    actions(&mut call);
    call.handle_event(remote_offer("x"), now);
    assert_eq!(actions(&mut call), [Action::ApplyOffer(offer("x"))]);
    // While applying theirs.
    call.handle_event(fail(), now);
    call.handle_event(remote_offer("y"), now);
    assert_eq!(actions(&mut call), [Action::ApplyOffer(offer("y"))]);
    // While creating an answer: their offer is pending and has to go first.
    call.handle_event(Event::OfferApplied, now);
    call.handle_event(fail(), now);
    assert_eq!(actions(&mut call), [Action::CreateAnswer, Action::Rollback]);
    call.handle_event(Event::RolledBack, now);
    // While applying an answer: ours is pending and has to go first.
    call.handle_event(Event::NegotiationNeeded { ice_restart: true }, now);
    call.handle_event(Event::OfferCreated(offer("ours3")), now);
    call.handle_event(Event::Signal(Signal::Answer(description(SdpKind::Answer, "theirs"))), now);
    actions(&mut call);
    call.handle_event(fail(), now);
    assert_eq!(actions(&mut call), [Action::Rollback]);
    assert_eq!(call.state(), &State::Connected);
}

#[test]
fn a_call_without_any_track_left_ends() {
    let now = Instant::now();
    let mut call = connected("a", now);
    let tracks = |audio, video| Event::RemoteTracks { audio, video };
    call.handle_event(tracks(false, false), now);
    assert_eq!(call.state(), &State::Connected, "it never had any: somebody only watches");
    call.handle_event(tracks(true, true), now);
    call.handle_event(tracks(true, false), now);
    assert_eq!(call.state(), &State::Connected);
    call.handle_event(tracks(false, false), now);
    assert_eq!(call.state(), &State::Ended(EndReason::TracksGone));
    assert!(matches!(actions(&mut call)[..], [Action::Send(Signal::HangUp(Some(_))), Action::Release]));
}
