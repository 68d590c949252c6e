//! Both call each other.

use super::world::{Deed, World};
use crate::call::{EndReason, Event, State};
use std::time::Duration;

const ALICE: usize = 0;
const BOB: usize = 1;

/// alice dials at 0, bob `later` ms after; the network delays as given. Nobody answers what rings.
fn crossed(later: i64, delay: [u64; 2], candidate_delay: [u64; 2]) -> World {
    let mut world = World::two();
    world.accepts = None;
    world.delay = delay.map(Duration::from_millis);
    world.candidate_delay = candidate_delay.map(Duration::from_millis);
    world.plan(later.min(0).unsigned_abs(), ALICE, Deed::Dial);
    world.plan(later.max(0).unsigned_abs(), BOB, Deed::Dial);
    world
}

/// Ways of crossing: which offers cross, which are still being created, and what overtakes what.
fn interleavings() -> impl Iterator<Item = (i64, [u64; 2], [u64; 2])> {
    let delays = [[30, 30], [5, 60], [60, 5], [1, 1], [12, 9]];
    let candidate_delays = [[30, 30], [1, 1], [90, 3], [3, 90]];
    delays.into_iter().flat_map(move |delay| {
        candidate_delays
            .into_iter()
            .flat_map(move |candidates| (-40..=40).map(move |later| (later, delay, candidates)))
    })
}

#[test]
fn two_calls_that_cross_become_one_without_ringing() {
    let mut crossings = 0;
    for (later, delay, candidate_delay) in interleavings() {
        let mut world = crossed(later, delay, candidate_delay);
        world.run(3.0);
        let rang = world.ahoy(ALICE).rang + world.ahoy(BOB).rang;
        if rang > 0 {
            // No crossing: one's offer was there before the other dialed.
            assert_eq!(rang, 1);
            continue;
        }
        crossings += 1;
        world.assert_in_call();
        assert_eq!((world.ahoy(ALICE).sending, world.ahoy(BOB).sending), (1, 1), "{later} {delay:?}");
        assert_eq!(world.ahoy(ALICE).hang_ups_sent + world.ahoy(BOB).hang_ups_sent, 0);
    }
    assert!(crossings > 900, "only {crossings} crossings");
}

#[test]
fn the_lesser_name_wins_and_the_other_replaces_its_peer_connection() {
    let mut world = crossed(0, [30, 30], [30, 30]);
    world.run(3.0);
    assert_eq!((world.ahoy(ALICE).replaced, world.ahoy(BOB).replaced), (0, 1));
}

#[test]
fn a_hang_up_at_any_step_of_a_crossing_leaves_nothing_behind() {
    for later in [-35, -8, 0, 3, 20] {
        for delay in [[30, 30], [5, 60], [60, 5]] {
            for who in [&[ALICE][..], &[BOB], &[ALICE, BOB]] {
                for steps in 1..60 {
                    let mut world = crossed(later, delay, delay);
                    for _ in 0..steps {
                        world.step();
                    }
                    for who in who {
                        world.plan(0, *who, Deed::HangUp);
                    }
                    world.run(3.0);
                    assert_no_ghost(&world, &format!("{later} {delay:?} {who:?} {steps}"));
                }
            }
        }
    }
}

/// Either both are in the call, or one still dials and the other rings for it, or nothing is left.
fn assert_no_ghost(world: &World, what: &str) {
    world.assert_legal();
    let states = [world.state(ALICE), world.state(BOB)];
    let fine = matches!(
        states,
        [None, None]
            | [Some(State::Connected), Some(State::Connected)]
            | [Some(State::Dialing), Some(State::Ringing)]
            | [Some(State::Ringing), Some(State::Dialing)]
    );
    assert!(fine, "{what}: {states:?}");
}

#[test]
fn a_loser_who_gave_up_too_early_is_rung_by_the_winner() {
    let mut world = crossed(0, [60, 60], [60, 60]);
    world.plan(20, BOB, Deed::HangUp);
    world.run(1.0);
    assert_eq!(world.ahoy(BOB).ended, [EndReason::Cancelled]);
    assert_eq!(world.state(ALICE), Some(&State::Dialing));
    assert_eq!(world.state(BOB), Some(&State::Ringing));
    world.tell(BOB, Event::Answer { video: true });
    world.run(3.0);
    world.assert_in_call();
}

#[test]
fn who_dialed_goes_on_dialing_when_the_offer_that_crossed_is_taken_back() {
    // alice takes her call back before bob's offer reaches her: bob, who answered hers in place of his, still wants
    // to call.
    let mut world = crossed(0, [5, 200], [5, 200]);
    world.plan(40, ALICE, Deed::HangUp);
    world.run(0.15);
    assert_eq!(world.ahoy(ALICE).ended, [EndReason::Cancelled]);
    assert_eq!(world.state(BOB), Some(&State::Dialing));
    world.run(2.0);
    assert_eq!(world.state(ALICE), Some(&State::Ringing));
    world.tell(ALICE, Event::Answer { video: true });
    world.run(3.0);
    world.assert_in_call();
    world.tell(BOB, Event::HangUp);
    world.run(1.0);
    world.assert_quiet();
}

#[test]
fn who_calls_the_one_that_rings_answers_and_dials_if_it_was_taken_back() {
    let ring = |hang_up: bool| {
        let mut world = World::two();
        world.accepts = None;
        world.plan(0, ALICE, Deed::Dial);
        world.run(0.2);
        assert_eq!(world.state(BOB), Some(&State::Ringing));
        if hang_up {
            world.plan(0, ALICE, Deed::HangUp);
        }
        world.plan(10, BOB, Deed::Tell(Event::CallBack { video: true }));
        world.run(1.0);
        world
    };
    let mut world = ring(false);
    world.run(1.0);
    world.assert_in_call();

    let mut world = ring(true);
    assert_eq!(world.state(BOB), Some(&State::Dialing));
    assert_eq!(world.state(ALICE), Some(&State::Ringing));
    world.tell(ALICE, Event::Answer { video: true });
    world.run(3.0);
    world.assert_in_call();
}
