//! Calls with a page written after the article.

use super::world::{Deed, World};
use crate::call::{EndReason, Event, MAX_REDIALS, STOCK_GRACE, State};
use crate::protocol::Signal;
use std::time::Duration;

const AHOY: usize = 0;
const PAGE: usize = 1;

#[test]
fn a_page_that_is_called_answers_and_offers_its_tracks_in_a_second_offer() {
    for offers_first in [false, true] {
        let mut world = World::with_page();
        world.page().offers_first = offers_first;
        world.plan(0, AHOY, Deed::Dial);
        world.run(4.0);
        world.assert_in_call();
        assert_eq!(world.page().peer.as_ref().unwrap().media, 4);
        assert_eq!(world.ahoy(AHOY).replaced, 0, "offers first: {offers_first}");
        assert_eq!(world.ahoy(AHOY).rang, 0);
    }
}

#[test]
fn a_page_that_calls_is_answered() {
    let mut world = World::with_page();
    world.plan(0, PAGE, Deed::Dial);
    world.run(5.0);
    world.assert_in_call();
    assert_eq!(world.ahoy(AHOY).rang, 1);
}

#[test]
fn a_wish_of_our_peer_connection_does_not_cross_the_pages_second_offer() {
    for after in (0..300).step_by(3) {
        let mut world = World::with_page();
        world.page().awaits = Duration::from_millis(60);
        world.plan(0, AHOY, Deed::Dial);
        world.plan(after, AHOY, Deed::Tell(Event::NegotiationNeeded { ice_restart: false }));
        world.run(4.0);
        world.assert_in_call();
        assert_eq!(world.ahoy(AHOY).replaced, 0, "wish after {after} ms");
    }
}

#[test]
fn we_may_renegotiate_with_a_page() {
    for dialer in [AHOY, PAGE] {
        let mut world = World::with_page();
        world.plan(0, dialer, Deed::Dial);
        world.run(5.0);
        for ice_restart in [false, true] {
            world.plan(0, AHOY, Deed::Tell(Event::NegotiationNeeded { ice_restart }));
            world.run(3.0);
            world.assert_in_call();
        }
    }
}

#[test]
fn a_call_that_crosses_a_pages_call_comes_up_in_the_end() {
    let mut stuck = 0;
    for later in -150..=150_i64 {
        for camera_ms in [1, 40, 700] {
            for delay in [[30, 30], [5, 80], [80, 5]] {
                let mut world = World::with_page();
                world.accepts = None;
                world.delay = delay.map(Duration::from_millis);
                // Its candidates lag behind, and so outlive its dead offer. Ours follow what announces them: the
                // page drops a candidate that comes too soon.
                world.candidate_delay = [world.delay[AHOY], Duration::from_millis(120)];
                world.page().camera_delay = Duration::from_millis(camera_ms);
                world.plan(later.min(0).unsigned_abs(), AHOY, Deed::Dial);
                world.plan(later.max(0).unsigned_abs(), PAGE, Deed::Dial);
                world.run(8.0);
                if world.ahoy(AHOY).rang > 0 {
                    continue; // Its offer was there before we dialed.
                }
                world.assert_in_call();
                let redialed = world.ahoy(AHOY).hang_ups_sent;
                assert!(redialed <= 1, "once is enough");
                stuck += redialed;
            }
        }
    }
    assert!(stuck > 100, "only {stuck} offers crossed");
}

#[test]
fn a_hang_up_in_reply_to_ours_does_not_end_the_call_dialed_afresh() {
    let mut world = World::with_page();
    world.page().echoes_hang_up = true;
    world.page().camera_delay = Duration::from_millis(1);
    world.plan(0, AHOY, Deed::Dial);
    world.plan(0, PAGE, Deed::Dial);
    world.run(6.0);
    assert_eq!(world.ahoy(AHOY).replaced, 1, "they crossed");
    world.assert_in_call();
}

#[test]
fn a_page_that_gets_stuck_every_time_is_given_up() {
    let mut world = World::with_page();
    world.accepts = None;
    world.plan(0, AHOY, Deed::Dial);
    // Whatever is dialed, an offer crosses it and no answer comes.
    for _ in 0..=MAX_REDIALS {
        world.run(0.02);
        let description = super::description(crate::protocol::SdpKind::Offer, "dead");
        world.tell(AHOY, Event::Signal(Signal::Offer { description, extended: false }));
        *world.page() = super::page::Page::new("page");
        world.page().camera_delay = Duration::from_secs(100);
        world.run(0.95);
    }
    assert_eq!(world.ahoy(AHOY).ended, [EndReason::GlareLost]);
    assert_eq!(world.ahoy(AHOY).replaced, MAX_REDIALS);
}

#[test]
fn offers_that_cross_inside_a_call_with_a_page_do_not_lose_it() {
    for after in 0..120 {
        let mut world = World::with_page();
        world.plan(0, AHOY, Deed::Dial);
        // An ICE restart waits for nothing, and so may cross the page's second offer.
        world.plan(after, AHOY, Deed::Tell(Event::NegotiationNeeded { ice_restart: true }));
        world.run(8.0);
        world.assert_in_call();
        assert_eq!(world.ahoy(AHOY).ended, []);
    }
}

#[test]
fn the_pages_hang_up_ends_the_call_in_every_state() {
    for dialer in [AHOY, PAGE] {
        for steps in 1..60 {
            let mut world = World::with_page();
            world.accepts = Some(Duration::from_millis(100));
            world.plan(0, dialer, Deed::Dial);
            for _ in 0..steps {
                world.step();
            }
            let known = world.page().peer.is_some();
            world.plan(0, PAGE, Deed::HangUp);
            world.run(6.0);
            if known {
                world.assert_quiet();
            } else {
                world.assert_in_call();
            }
        }
    }
}

#[test]
fn the_pages_hang_up_while_it_is_being_called_is_a_refusal() {
    let mut world = World::with_page();
    world.page().camera_delay = Duration::from_secs(5);
    world.plan(0, AHOY, Deed::Dial);
    world.plan(2000, PAGE, Deed::HangUp);
    world.run(3.0);
    assert_eq!(world.ahoy(AHOY).ended, [EndReason::Declined]);
    world.assert_quiet();
}

#[test]
fn our_hang_up_closes_the_page_at_any_step() {
    for later in [0_u64, 20, 60] {
        for steps in 1..60 {
            let mut world = World::with_page();
            world.accepts = Some(Duration::from_millis(100));
            world.plan(0, AHOY, Deed::Dial);
            world.plan(later, PAGE, Deed::Dial);
            for _ in 0..steps {
                world.step();
            }
            world.plan(0, AHOY, Deed::HangUp);
            world.run(3.0);
            // What the page dials after our hang-up is a call of its own.
            if world.ahoy(AHOY).rang == 0 {
                world.assert_quiet();
            }
        }
    }
}

#[test]
fn a_page_that_closed_on_disconnected_is_not_called_again_behind_its_users_back() {
    let mut world = World::with_page();
    world.plan(0, AHOY, Deed::Dial);
    world.run(4.0);
    let before = world.offers_received[PAGE];
    world.set_link(false);
    world.run(6.0);
    assert_eq!(world.page().closed, 1);
    assert_eq!(world.state(AHOY), Some(&State::Reconnecting));
    world.run(STOCK_GRACE.as_secs_f64());
    world.assert_quiet();
    assert_eq!(world.offers_received[PAGE], before);
    assert_eq!(world.ahoy(AHOY).ended, [EndReason::NetworkFailed]);
}
