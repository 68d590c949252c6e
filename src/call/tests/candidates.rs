//! Candidates wait for the description they belong to, in order, and no longer.

use super::world::{Deed, World};
use super::{candidate, description};
use crate::call::{Action, Call, CallId, Event, PENDING_CANDIDATES};
use crate::protocol::{IceCandidate, SdpKind, Signal};
use std::time::{Duration, Instant};

fn actions(call: &mut Call) -> Vec<Action> {
    std::iter::from_fn(|| call.poll_action()).collect()
}

fn remote(candidate: IceCandidate) -> Event {
    Event::Signal(Signal::Candidate(candidate))
}

/// alice dials bob; her offer (generation "ours") has been sent.
fn dialing(now: Instant) -> Call {
    let mut call = Call::dial(CallId(1), "alice", "bob", true, now);
    call.handle_event(Event::OfferCreated(description(SdpKind::Offer, "ours")), now);
    actions(&mut call);
    call
}

fn answered(call: &mut Call, fragment: &str, now: Instant) {
    let answer = description(SdpKind::Answer, fragment);
    call.handle_event(Event::Signal(Signal::Answer(answer.clone())), now);
    assert_eq!(actions(call), [Action::ApplyAnswer(answer)]);
    call.handle_event(Event::AnswerApplied, now);
}

#[test]
fn candidates_gathered_before_the_offer_is_sent_follow_it_in_order() {
    let now = Instant::now();
    let mut call = Call::dial(CallId(1), "alice", "bob", true, now);
    actions(&mut call);
    call.handle_event(Event::CandidateGathered(candidate("ours", 1)), now);
    call.handle_event(Event::CandidateGathered(candidate("ours", 2)), now);
    assert_eq!(actions(&mut call), []);
    let offer = description(SdpKind::Offer, "ours");
    call.handle_event(Event::OfferCreated(offer.clone()), now);
    call.handle_event(Event::CandidateGathered(candidate("ours", 3)), now);
    assert_eq!(
        actions(&mut call),
        [
            Action::Send(Signal::Offer { description: offer, extended: true }),
            Action::Send(Signal::Candidate(candidate("ours", 1))),
            Action::Send(Signal::Candidate(candidate("ours", 2))),
            Action::Send(Signal::Candidate(candidate("ours", 3))),
        ]
    );
}

#[test]
fn candidates_that_overtake_the_answer_wait_for_it_in_order() {
    let now = Instant::now();
    let mut call = dialing(now);
    call.handle_event(remote(candidate("theirs", 1)), now);
    call.handle_event(remote(candidate("theirs", 2)), now);
    assert_eq!(actions(&mut call), []);
    answered(&mut call, "theirs", now);
    call.handle_event(remote(candidate("theirs", 3)), now);
    let expected = [1, 2, 3].map(|port| Action::AddCandidate(candidate("theirs", port)));
    assert_eq!(actions(&mut call), expected);
}

#[test]
fn candidates_of_another_generation_are_dropped_as_stale() {
    let now = Instant::now();
    let mut call = dialing(now);
    call.handle_event(remote(candidate("dead", 1)), now);
    call.handle_event(remote(candidate("theirs", 2)), now);
    call.handle_event(remote(candidate("dead", 3)), now);
    answered(&mut call, "theirs", now);
    assert_eq!(actions(&mut call), [Action::AddCandidate(candidate("theirs", 2))]);
}

#[test]
fn the_fragment_may_stand_in_the_member_or_in_the_line_or_nowhere() {
    let now = Instant::now();
    let mut call = dialing(now);
    answered(&mut call, "theirs", now);
    let line = "candidate:1 1 udp 1 127.0.0.1 9 typ host";
    let member = IceCandidate {
        candidate: line.into(),
        username_fragment: Some("theirs".into()),
        ..IceCandidate::default()
    };
    let nowhere = IceCandidate { candidate: line.into(), ..IceCandidate::default() };
    let foreign = IceCandidate { username_fragment: Some("dead".into()), ..nowhere.clone() };
    for candidate in [&member, &nowhere, &foreign] {
        call.handle_event(remote(candidate.clone()), now);
    }
    assert_eq!(actions(&mut call), [Action::AddCandidate(member), Action::AddCandidate(nowhere)]);
}

#[test]
fn the_end_of_candidates_is_neither_sent_nor_handed_on() {
    let now = Instant::now();
    let mut call = dialing(now);
    answered(&mut call, "theirs", now);
    call.handle_event(remote(IceCandidate::default()), now);
    call.handle_event(Event::CandidateGathered(IceCandidate::default()), now);
    assert_eq!(actions(&mut call), []);
}

#[test]
fn only_so_many_candidates_wait_and_the_newest_is_dropped() {
    let now = Instant::now();
    let mut call = dialing(now);
    for port in 0..1000 {
        call.handle_event(remote(candidate("theirs", port)), now);
    }
    answered(&mut call, "theirs", now);
    let handed_on = actions(&mut call);
    assert_eq!(handed_on.len(), PENDING_CANDIDATES);
    assert_eq!(handed_on[PENDING_CANDIDATES - 1], Action::AddCandidate(candidate("theirs", 63)));
}

#[test]
fn calls_connect_whether_candidates_overtake_or_lag_behind() {
    for (description_ms, candidate_ms) in [(30, 1), (30, 29), (1, 400), (300, 2)] {
        let mut world = World::two();
        world.delay = [Duration::from_millis(description_ms); 2];
        world.candidate_delay = [Duration::from_millis(candidate_ms); 2];
        world.plan(0, 0, Deed::Dial);
        world.run(6.0);
        world.assert_in_call();
    }
}
