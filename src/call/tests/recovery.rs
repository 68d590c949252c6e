//! A path that breaks: waited for, repaired, or given up.

use super::world::{Deed, World};
use crate::call::{Connectivity, RESTART_INTERVAL};
use crate::call::{EndReason, Event, GRACE, State};

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
    world.run(6.0);
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
    world.run(2.0);
    assert_eq!(world.offers_received[ALICE], 0, "bob is patient");
    world.run(1.5);
    assert_eq!(world.offers_received[ALICE], 1);
    world.set_link(true);
    world.run(5.0);
    world.assert_in_call();
}

#[test]
fn restarts_repeat_while_the_path_is_down() {
    let mut world = in_call();
    let before = world.offers_received[BOB];
    world.set_link(false);
    world.run(5.0 + RESTART_INTERVAL.as_secs_f64() * 3.5);
    assert_eq!(world.offers_received[BOB] - before, 4);
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
fn a_path_lost_to_somebody_who_has_left_ends_the_call_at_once() {
    let mut world = in_call();
    world.tell(ALICE, Event::PeerLeft);
    world.run(1.0);
    world.tell(ALICE, Event::Connectivity(Connectivity::Disconnected));
    world.run(0.1);
    assert_eq!(world.ahoy(ALICE).ended, [EndReason::PeerLeft]);

    let mut world = in_call();
    world.set_link(false);
    world.run(6.0);
    world.tell(ALICE, Event::PeerLeft);
    world.run(0.1);
    assert_eq!(world.ahoy(ALICE).ended, [EndReason::PeerLeft]);
}

#[test]
fn somebody_who_left_and_speaks_again_is_back() {
    let mut world = in_call();
    world.tell(ALICE, Event::PeerLeft);
    world.plan(10, BOB, Deed::Tell(Event::NegotiationNeeded { ice_restart: true }));
    world.run(3.0);
    world.set_link(false);
    world.run(6.0);
    assert_eq!(world.state(ALICE), Some(&State::Reconnecting));
}

#[test]
fn a_connection_closed_by_the_other_end_is_a_hang_up() {
    let mut world = in_call();
    world.tell(ALICE, Event::Connectivity(Connectivity::Closed));
    world.run(1.0);
    assert_eq!(world.ahoy(ALICE).ended, [EndReason::RemoteHangUp]);
    world.assert_quiet();
}
