//! Calls that go as calls go: answered, refused, given up, hung up.

use super::world::{Deed, World};
use super::{candidate, description};
use crate::call::{Action, Call, CallId, EndReason, Event, RING, SETUP, State};
use crate::protocol::{HangUpReason, SdpKind, SessionDescription, Signal};
use std::time::{Duration, Instant};

const ALICE: usize = 0;
const BOB: usize = 1;

fn actions(call: &mut Call) -> Vec<Action> {
    std::iter::from_fn(|| call.poll_action()).collect()
}

fn called() -> World {
    let mut world = World::two();
    world.plan(0, ALICE, Deed::Dial);
    world
}

#[test]
fn an_answered_call_connects_and_each_side_starts_sending_once() {
    let mut world = called();
    world.run(1.0);
    assert_eq!(world.state(ALICE), Some(&State::Dialing));
    assert_eq!(world.state(BOB), Some(&State::Ringing));
    world.run(5.0);
    world.assert_in_call();
    assert_eq!((world.ahoy(ALICE).sending, world.ahoy(BOB).sending), (1, 1));
    assert_eq!(world.offers_received, [0, 1], "no offer but the first was needed");
    world.run(3600.0);
    world.assert_in_call();
}

#[test]
fn connected_at_is_the_first_connected_moment() {
    let mut world = called();
    world.run(5.0);
    let at = world.ahoy(ALICE).call.as_ref().unwrap().connected_at().expect("connected");
    assert!(at < world.now);
    world.set_link(false);
    world.run(7.0);
    world.set_link(true);
    world.run(7.0);
    assert_eq!(world.ahoy(ALICE).call.as_ref().unwrap().connected_at(), Some(at));
}

#[test]
fn a_ringing_call_opens_and_sends_nothing() {
    let mut world = called();
    world.accepts = None;
    world.run(20.0);
    assert_eq!(world.state(BOB), Some(&State::Ringing));
    assert!(world.ahoy(BOB).peer.is_none() && !world.ahoy(BOB).media_open);
    assert!(world.ahoy(ALICE).peer.as_ref().unwrap().remote.is_none(), "nothing came back");
}

#[test]
fn a_declined_call_ends_on_both_sides() {
    let mut world = called();
    world.accepts = None;
    world.plan(1000, BOB, Deed::Tell(Event::Decline));
    world.run(2.0);
    world.assert_quiet();
    assert_eq!(world.ahoy(ALICE).ended, [EndReason::Declined]);
    assert_eq!(world.ahoy(BOB).ended, [EndReason::DeclinedByUs]);
    assert_eq!(world.ahoy(ALICE).hang_ups_sent, 0, "a hang-up is not answered with another");
}

#[test]
fn a_busy_callee_ends_the_call_with_that_reason() {
    let mut world = called();
    world.accepts = None;
    world.run(1.0);
    world.tell(ALICE, Event::Signal(Signal::HangUp(Some(HangUpReason::Busy))));
    world.run(0.1);
    assert_eq!(world.ahoy(ALICE).ended, [EndReason::Busy]);
}

#[test]
fn an_unanswered_call_stops_ringing_on_both_sides() {
    let mut world = called();
    world.accepts = None;
    world.run(RING.as_secs_f64() - 0.1);
    assert_eq!(world.state(BOB), Some(&State::Ringing));
    world.run(0.4);
    world.assert_quiet();
    assert_eq!(world.ahoy(ALICE).ended, [EndReason::NoAnswer]);
    assert!(matches!(world.ahoy(BOB).ended[..], [EndReason::Missed | EndReason::GaveUp]));
}

#[test]
fn an_unanswered_call_stops_ringing_by_each_sides_own_clock() {
    let now = Instant::now();
    let mut ringing = Call::ring(CallId(1), "bob", "alice", description(SdpKind::Offer, "a"), true, now);
    assert_eq!(ringing.poll_timeout(), Some(now + RING));
    ringing.handle_timeout(now + RING - Duration::from_millis(1));
    assert_eq!(ringing.state(), &State::Ringing);
    ringing.handle_timeout(now + RING);
    assert_eq!(ringing.state(), &State::Ended(EndReason::Missed));
    let told = Action::Send(Signal::HangUp(Some(HangUpReason::NoAnswer)));
    assert_eq!(actions(&mut ringing), [told, Action::Release]);

    let mut dialing = Call::dial(CallId(2), "alice", "bob", true, now);
    dialing.handle_event(Event::OfferCreated(description(SdpKind::Offer, "a")), now);
    actions(&mut dialing);
    dialing.handle_timeout(now + RING);
    assert_eq!(dialing.state(), &State::Ended(EndReason::NoAnswer));
    let told = Action::Send(Signal::HangUp(Some(HangUpReason::Cancelled)));
    assert_eq!(actions(&mut dialing), [told, Action::Release]);
}

#[test]
fn a_caller_who_gives_up_stops_the_ringing() {
    let mut world = called();
    world.accepts = None;
    world.plan(5000, ALICE, Deed::HangUp);
    world.run(6.0);
    world.assert_quiet();
    assert_eq!(world.ahoy(ALICE).ended, [EndReason::Cancelled]);
    assert_eq!(world.ahoy(BOB).ended, [EndReason::GaveUp]);
    assert_eq!(EndReason::GaveUp.sentence("alice"), "alice gave up.");
}

#[test]
fn a_call_cancelled_before_its_offer_was_sent_tells_nobody() {
    let now = Instant::now();
    let mut call = Call::dial(CallId(1), "alice", "bob", true, now);
    assert_eq!(
        actions(&mut call),
        [Action::OpenPeer, Action::OpenMedia { video: true }, Action::CreateOffer { ice_restart: false }]
    );
    call.handle_event(Event::HangUp, now);
    assert_eq!(actions(&mut call), [Action::Release]);
}

#[test]
fn refused_media_cancels_the_call() {
    let mut world = called();
    world.accepts = None;
    world.plan(100, ALICE, Deed::Tell(Event::MediaRefused));
    world.run(1.0);
    world.assert_quiet();
    assert_eq!(world.ahoy(ALICE).ended, [EndReason::Cancelled]);
    assert_eq!(world.ahoy(BOB).ended, [EndReason::GaveUp]);
}

#[test]
fn refused_media_after_answering_tells_the_caller() {
    let mut world = called();
    world.plan(2065, BOB, Deed::Tell(Event::MediaRefused));
    world.run(3.0);
    world.assert_quiet();
    assert_eq!(world.ahoy(BOB).ended, [EndReason::Cancelled]);
    assert_eq!(world.ahoy(ALICE).ended, [EndReason::RemoteHangUp]);
}

#[test]
fn a_failed_set_up_ends_the_call_and_tells_the_other_side() {
    let now = Instant::now();
    let mut call = Call::ring(CallId(1), "bob", "alice", description(SdpKind::Offer, "a"), true, now);
    call.handle_event(Event::Answer { video: true }, now);
    actions(&mut call);
    call.handle_event(Event::OperationFailed { reason: "no common codec".into() }, now);
    assert_eq!(call.state(), &State::Ended(EndReason::MediaFailed("no common codec".into())));
    let told = Action::Send(Signal::HangUp(Some(HangUpReason::Failed)));
    assert_eq!(actions(&mut call), [told, Action::Release]);
}

#[test]
fn a_path_that_is_not_found_in_time_ends_the_call() {
    let mut world = called();
    world.link_up = false;
    world.run(SETUP.as_secs_f64() + 1.9);
    assert_eq!(world.state(ALICE), Some(&State::Connecting));
    world.run(1.0);
    world.assert_quiet();
    assert!(matches!(world.ahoy(ALICE).ended[..], [EndReason::NetworkFailed | EndReason::RemoteFailed]));
    assert!(matches!(world.ahoy(BOB).ended[..], [EndReason::NetworkFailed | EndReason::RemoteFailed]));
}

#[test]
fn a_peer_that_leaves_ends_a_call_that_is_not_connected() {
    for (event, who) in [(Event::PeerLeft, BOB), (Event::PeerLeft, ALICE), (Event::Undeliverable, ALICE)] {
        let mut world = called();
        world.accepts = None;
        world.run(1.0);
        world.tell(who, event);
        world.run(0.1);
        assert_eq!(world.ahoy(who).ended, [EndReason::PeerLeft]);
        assert_eq!(world.ahoy(who).hang_ups_sent, 0, "nobody is there to be told");
    }
}

#[test]
fn a_newer_offer_replaces_the_one_that_rings() {
    let now = Instant::now();
    let mut call = Call::ring(CallId(1), "bob", "alice", description(SdpKind::Offer, "old"), true, now);
    let signal = |signal| Event::Signal(signal);
    call.handle_event(signal(Signal::Candidate(candidate("old", 1))), now);
    let newer = description(SdpKind::Offer, "new");
    call.handle_event(signal(Signal::Offer { description: newer.clone(), extended: true }), now);
    call.handle_event(signal(Signal::Candidate(candidate("new", 2))), now);
    assert_eq!(actions(&mut call), []);
    call.handle_event(Event::Answer { video: false }, now);
    assert_eq!(
        actions(&mut call),
        [Action::OpenPeer, Action::OpenMedia { video: false }, Action::ApplyOffer(newer)]
    );
    call.handle_event(Event::OfferApplied, now);
    assert_eq!(actions(&mut call), [Action::CreateAnswer, Action::AddCandidate(candidate("new", 2))]);
}

#[test]
fn every_reason_has_a_sentence() {
    let reasons = [
        EndReason::LocalHangUp,
        EndReason::RemoteHangUp,
        EndReason::DeclinedByUs,
        EndReason::Declined,
        EndReason::Busy,
        EndReason::NoAnswer,
        EndReason::Missed,
        EndReason::Cancelled,
        EndReason::GaveUp,
        EndReason::GlareLost,
        EndReason::MediaFailed("no microphone".into()),
        EndReason::RemoteFailed,
        EndReason::NetworkFailed,
        EndReason::PeerLeft,
        EndReason::TracksGone,
    ];
    let sentences: std::collections::BTreeSet<_> =
        reasons.iter().map(|reason| reason.sentence("zoë")).collect();
    assert_eq!(sentences.len(), reasons.len(), "no two alike");
    assert!(sentences.iter().all(|sentence| sentence.contains("zoë") && sentence.ends_with('.')));
}

/// Runs until `steps` things have happened, then lets `who` hang up.
fn hung_up_after(steps: usize, who: &[usize]) -> World {
    let mut world = called();
    world.accepts = Some(Duration::from_millis(300));
    for _ in 0..steps {
        world.step();
    }
    for who in who {
        world.plan(0, *who, Deed::HangUp);
    }
    world.run(4.0);
    world
}

#[test]
fn a_hang_up_at_any_step_leaves_nothing_behind_on_either_side() {
    for who in [&[ALICE][..], &[BOB], &[ALICE, BOB]] {
        for steps in 1..40 {
            let world = hung_up_after(steps, who);
            // bob can only hang up on what he has heard of.
            if who == [BOB] && world.ahoy(BOB).ended.is_empty() {
                world.assert_in_call();
                continue;
            }
            world.assert_quiet();
            let sent = world.ahoy(ALICE).hang_ups_sent + world.ahoy(BOB).hang_ups_sent;
            assert!(sent <= who.len() as u32, "{steps} steps: {sent} hang-ups by {who:?}");
            assert!(world.ahoy(ALICE).ended.len() <= 1 && world.ahoy(BOB).ended.len() <= 1);
        }
    }
}

#[test]
fn two_hang_ups_that_cross_are_each_sides_own() {
    let world = hung_up_after(39, &[ALICE, BOB]);
    assert_eq!(world.ahoy(ALICE).ended, [EndReason::LocalHangUp]);
    assert_eq!(world.ahoy(BOB).ended, [EndReason::LocalHangUp]);
}

#[test]
fn a_late_answer_to_the_last_call_is_not_taken_for_the_answer_to_this_one() {
    let now = Instant::now();
    let offer = |origin: &str| SessionDescription::new(SdpKind::Offer, format!("v=0\r\no={origin}\r\n"));
    let answer_to = |origin: &str| {
        let mut answer = description(SdpKind::Answer, "bobs");
        answer.answers = Some(origin.to_owned());
        Event::Signal(Signal::Answer(answer))
    };
    let mut second = Call::dial(CallId(2), "alice", "bob", true, now);
    second.handle_event(Event::OfferCreated(offer("- 2 1 IN IP4 192.0.2.7")), now);
    second.handle_event(answer_to("- 1 1 IN IP4 192.0.2.7"), now);
    assert_eq!(second.state(), &State::Dialing);
    second.handle_event(answer_to("- 2 1 IN IP4 192.0.2.7"), now);
    assert_eq!(second.state(), &State::Connecting);

    let mut callee = Call::ring(CallId(3), "bob", "alice", offer("- 2 1 IN IP4 192.0.2.7"), true, now);
    callee.handle_event(Event::Answer { video: true }, now);
    callee.handle_event(Event::OfferApplied, now);
    callee.handle_event(Event::AnswerCreated(description(SdpKind::Answer, "bobs")), now);
    let said = actions(&mut callee).into_iter().find_map(|action| match action {
        Action::Send(Signal::Answer(answer)) => answer.answers,
        _ => None,
    });
    assert_eq!(said.as_deref(), Some("- 2 1 IN IP4 192.0.2.7"));
}
