//! A path that breaks: waited for, repaired, or given up.

use super::world::{Deed, World};
use crate::call::{ABSENT_GRACE, CHECK_PATIENCE, Connectivity, EndReason, Event, GRACE, State};
use crate::protocol::Signal;
use std::time::Duration;

const ALICE: usize = 0;
const BOB: usize = 1;

fn in_call() -> World {
    let mut world = World::two();
    world.plan(0, ALICE, Deed::Dial);
    world.run(5.0);
    world.assert_in_call();
    world
}

#[test]
fn a_path_that_comes_back_by_itself_continues_the_call() {
    let mut world = in_call();
    world.set_link(false);
    world.run(6.0);
    assert_eq!(world.state(ALICE), Some(&State::Reconnecting));
    assert_eq!(world.state(BOB), Some(&State::Reconnecting));
    world.set_link(true);
    world.run(1.0);
    world.assert_in_call();
    assert_eq!(
        (world.ahoy(ALICE).sending, world.ahoy(BOB).sending),
        (1, 1),
        "sending goes on, it does not start"
    );
    world.run(GRACE.as_secs_f64() * 2.0);
    world.assert_in_call();
}

#[test]
fn a_broken_path_is_repaired_by_one_restart() {
    let mut world = in_call();
    let before = world.offers_received;
    world.break_path();
    world.run(7.0);
    world.assert_in_call();
    assert_eq!(
        world.offers_received,
        [before[ALICE], before[BOB] + 1],
        "alice restarts, bob leaves it to her"
    );
}

#[test]
fn the_other_side_restarts_if_the_first_does_not_notice() {
    let mut world = in_call();
    world.tell(BOB, Event::Connectivity(Connectivity::Disconnected));
    world.link_up = false;
    world.run(CHECK_PATIENCE.as_secs_f64());
    assert_eq!(world.offers_received[ALICE], 0, "bob is patient");
    world.run(1.0);
    assert_eq!(world.offers_received[ALICE], 1);
    world.set_link(true);
    world.run(5.0);
    world.assert_in_call();
}

#[test]
fn what_comes_back_by_itself_is_not_restarted() {
    let mut world = in_call();
    let before = world.offers_received;
    // Everything was cut, the server, too: what is said meanwhile arrives when the network is back.
    for who in [ALICE, BOB] {
        world.tell(who, Event::SignalingLost);
    }
    world.set_link(false);
    world.run(12.0);
    assert_eq!(world.state(ALICE), Some(&State::Reconnecting));
    world.set_link(true);
    for who in [ALICE, BOB] {
        world.tell(who, Event::SignalingBack);
    }
    world.run(60.0);
    world.assert_in_call();
    assert_eq!(world.offers_received, before, "the old path is the quickest");
}

#[test]
fn nothing_is_offered_to_somebody_who_cannot_hear_it() {
    let mut world = in_call();
    let before = world.offers_received;
    // Only bob has lost the server: alice's question to him waits there.
    world.delay[ALICE] = Duration::from_secs(15);
    world.tell(BOB, Event::SignalingLost);
    world.set_link(false);
    world.run(16.0);
    assert_eq!(world.offers_received, before);
    world.set_link(true);
    world.run(20.0);
    world.assert_in_call();
    assert_eq!(world.offers_received, before, "alice's path was there all the time");
}

#[test]
fn a_machine_that_lost_its_address_restarts_at_once() {
    for who in [ALICE, BOB] {
        let mut world = in_call();
        let before = world.offers_received[1 - who];
        world.break_path();
        world.tell(who, Event::NetworkChanged { cut_off: true });
        world.run(0.1);
        assert_eq!(world.offers_received[1 - who] - before, 1, "before anybody noticed a silence");
        world.run(0.4);
        world.assert_in_call();
    }
}

#[test]
fn a_machine_that_lost_its_address_and_the_server_restarts_when_it_has_the_server_again() {
    let mut world = in_call();
    let before = world.offers_received;
    world.break_path();
    world.tell(BOB, Event::SignalingLost);
    world.plan(1, BOB, Deed::Tell(Event::NetworkChanged { cut_off: true }));
    world.run(1.0);
    assert_eq!(world.state(BOB), Some(&State::Reconnecting));
    assert_eq!(world.offers_received, before);
    world.tell(BOB, Event::SignalingBack);
    world.run(0.5);
    world.assert_in_call();
    assert_eq!(world.offers_received[ALICE], before[ALICE] + 1);
}

#[test]
fn another_network_beside_the_one_in_use_changes_nothing() {
    let mut world = in_call();
    let before = world.offers_received;
    world.tell(ALICE, Event::NetworkChanged { cut_off: false });
    world.run(30.0);
    world.assert_in_call();
    assert_eq!(world.offers_received, before);
}

#[test]
fn restarts_repeat_while_the_path_is_down() {
    let mut world = in_call();
    let before = world.offers_received[BOB];
    world.set_link(false);
    world.run(5.0 + GRACE.as_secs_f64() * 0.7);
    assert!(world.offers_received[BOB] - before >= 3);
    world.break_path();
    world.set_link(true);
    world.run(6.0);
    world.assert_in_call();
}

#[test]
fn a_path_that_does_not_come_back_ends_the_call_after_the_grace() {
    let mut world = in_call();
    world.set_link(false);
    world.run(5.0 + GRACE.as_secs_f64() - 1.0);
    assert_eq!(world.state(ALICE), Some(&State::Reconnecting));
    world.run(1.5);
    world.assert_quiet();
    assert!(matches!(world.ahoy(ALICE).ended[..], [EndReason::NetworkFailed | EndReason::RemoteFailed]));
}

#[test]
fn failed_alone_does_not_end_the_call() {
    let mut world = in_call();
    world.link_up = false;
    world.tell(ALICE, Event::Connectivity(Connectivity::Failed));
    world.run(1.0);
    assert_eq!(world.state(ALICE), Some(&State::Reconnecting));
    world.set_link(true);
    world.run(5.0);
    world.assert_in_call();
}

#[test]
fn a_connected_call_outlives_the_signaling_of_the_other_side() {
    let mut world = in_call();
    world.tell(ALICE, Event::PeerLeft);
    world.run(600.0);
    world.assert_in_call();
}

#[test]
fn a_path_lost_to_somebody_who_has_left_ends_the_call_soon() {
    let mut world = in_call();
    world.delay[BOB] = Duration::from_secs(3600);
    world.tell(ALICE, Event::PeerLeft);
    world.run(1.0);
    world.link_up = false;
    world.tell(ALICE, Event::Connectivity(Connectivity::Disconnected));
    world.run(ABSENT_GRACE.as_secs_f64() + 0.1);
    assert_eq!(world.ahoy(ALICE).ended, [EndReason::PeerLeft]);

    let mut world = in_call();
    world.delay[BOB] = Duration::from_secs(3600);
    world.set_link(false);
    world.run(6.0);
    world.tell(ALICE, Event::PeerLeft);
    world.run(ABSENT_GRACE.as_secs_f64() - 0.1);
    assert_eq!(world.state(ALICE), Some(&State::Reconnecting), "bob may only be slower to find the server");
    world.run(0.2);
    assert_eq!(world.ahoy(ALICE).ended, [EndReason::PeerLeft]);
}

#[test]
fn a_path_that_comes_back_needs_no_server() {
    let mut world = in_call();
    world.set_link(false);
    world.run(6.0);
    world.tell(ALICE, Event::PeerLeft);
    world.run(2.0);
    world.set_link(true);
    world.run(60.0);
    world.assert_in_call();
}

#[test]
fn somebody_who_left_and_speaks_again_is_back() {
    let mut world = in_call();
    world.tell(ALICE, Event::PeerLeft);
    world.plan(10, BOB, Deed::Tell(Event::NegotiationNeeded { ice_restart: true }));
    world.run(3.0);
    world.set_link(false);
    world.run(5.0 + ABSENT_GRACE.as_secs_f64() * 2.0);
    assert_eq!(world.state(ALICE), Some(&State::Reconnecting));
}

#[test]
fn somebody_who_speaks_again_gets_the_whole_grace() {
    let mut world = in_call();
    world.set_link(false);
    world.run(6.0);
    world.tell(ALICE, Event::PeerLeft);
    world.plan(2000, ALICE, Deed::Tell(Event::Signal(Signal::PathCheck { answer: false })));
    world.run(ABSENT_GRACE.as_secs_f64() * 3.0);
    assert_eq!(world.state(ALICE), Some(&State::Reconnecting));
}

#[test]
fn a_program_that_was_started_again_and_calls_ends_the_old_call_and_rings() {
    // Before alice has noticed anything, and after.
    for after in [0.1, 5.2] {
        let mut world = in_call();
        world.accepts = None;
        world.restart(BOB);
        world.run(after);
        world.plan(0, BOB, Deed::Dial);
        world.run(1.0);
        assert_eq!(world.ahoy(ALICE).ended, [EndReason::PeerLeft]);
        assert_eq!(world.state(ALICE), Some(&State::Ringing), "nobody is let in by name alone");
        world.tell(ALICE, Event::Answer { video: true });
        world.run(3.0);
        world.assert_in_call();
    }
}

#[test]
fn a_program_that_was_started_again_says_that_it_knows_of_no_call() {
    let mut world = in_call();
    world.restart(BOB);
    world.run(8.0);
    assert_eq!(world.ahoy(ALICE).ended, [EndReason::RemoteFailed]);
    world.assert_quiet();
}

#[test]
fn a_connection_closed_by_the_other_end_is_a_hang_up() {
    let mut world = in_call();
    world.tell(ALICE, Event::Connectivity(Connectivity::Closed));
    world.run(1.0);
    assert_eq!(world.ahoy(ALICE).ended, [EndReason::RemoteHangUp]);
    world.assert_quiet();
}
