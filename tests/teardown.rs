//! What a call leaves behind: nothing. Whenever it ends, both sides are idle, and ready for the next one.

// `clippy.toml` lets tests unwrap, but not the functions that they share.
#![allow(clippy::unwrap_used)]

mod common;

use common::agent::{Agent, Options};
use common::pair::{SOON, connect, hang_up, pair};
use common::proc_fs::{Holdings, holdings, thread_names};
use common::server::Server;
use common::{eventually, exclusive};
use std::time::Duration;

/// Calls before the first look: caches and pools fill, and stay.
const WARM_UP: usize = 10;
const CALLS: usize = 50;
/// What the allocator may keep of it all, KiB: less than 50 leaks of a tenth of a 720p picture (1.4 MB).
const MEMORY_SLACK_KIB: u64 = 6 * 1024;

/// A camera, microphone and everything else are released within a second of the call's end; then nothing moves.
fn at_rest(agent: &Agent) -> Holdings {
    std::thread::sleep(Duration::from_millis(1500));
    holdings(agent.id())
}

fn call_and_hang_up(alice: &mut Agent, bob: &mut Agent, round: usize) {
    match round % 4 {
        0 => {
            connect(alice, bob);
            hang_up(alice, bob);
        }
        1 => {
            connect(bob, alice);
            hang_up(alice, bob);
        }
        2 => {
            connect(alice, bob);
            hang_up(bob, alice);
        }
        _ => {
            connect(bob, alice);
            hang_up(bob, alice);
        }
    }
}

#[test]
fn fifty_calls_leave_threads_descriptors_sockets_and_memory_as_they_were() {
    let _turn = exclusive();
    let server = Server::start();
    let (mut alice, mut bob) = pair(&server, Options::lively(), Options::lively());
    for round in 0..WARM_UP {
        call_and_hang_up(&mut alice, &mut bob, round);
    }
    let before = [at_rest(&alice), holdings(bob.id())];
    let threads_before = thread_names(alice.id());
    for round in 0..CALLS {
        call_and_hang_up(&mut alice, &mut bob, round);
    }
    // The runtime's helper threads go when they have had nothing to do for 10 s.
    let patience = Duration::from_secs(15);
    for (agent, before) in [&alice, &bob].into_iter().zip(before) {
        eventually("threads end", patience, || {
            (holdings(agent.id()).threads <= before.threads).then_some(())
        });
    }
    let after = [at_rest(&alice), holdings(bob.id())];
    println!("before: {before:#?}\nafter: {after:#?}");
    for (before, after) in before.iter().zip(after) {
        assert!(after.threads <= before.threads);
        assert_eq!(
            (before.descriptors, before.sockets),
            (after.descriptors, after.sockets),
            "threads before: {threads_before:?}, after: {:?}",
            thread_names(alice.id())
        );
        let grown = after.resident_kib.saturating_sub(before.resident_kib);
        assert!(grown < MEMORY_SLACK_KIB, "{grown} KiB more after {CALLS} calls");
    }
}

#[test]
fn hanging_up_at_any_moment_leaves_both_sides_ready_for_the_next_call() {
    let _turn = exclusive();
    let server = Server::start();
    let (mut alice, mut bob) = pair(&server, Options::lively(), Options::lively());
    // Dialing, ringing, gathering, connecting and connected all lie within the first 150 ms over loopback.
    let moments =
        [0, 1, 2, 4, 6, 8, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100, 120, 150, 200, 300, 500];
    for (round, moment) in moments.into_iter().flat_map(|moment| [moment, moment]).enumerate() {
        alice.skip();
        bob.skip();
        alice.call("bob");
        std::thread::sleep(Duration::from_millis(moment));
        let by_caller = round % 2 == 0;
        if by_caller {
            alice.hang_up()
        } else {
            bob.hang_up()
        }

        let ended = |event: &serde_json::Value| event["event"] == "call" && event["state"] == "ended";
        // The callee may have had nothing to hang up yet; then the call comes up all the same.
        if !by_caller && bob.wait_quietly(Duration::from_millis(700), ended).is_none() {
            bob.wait_call("connected", SOON);
            bob.hang_up();
            bob.wait("ends", SOON, ended);
        }
        alice.wait("ends", SOON, ended);
        if round % 4 < 2 {
            connect(&mut alice, &mut bob)
        } else {
            connect(&mut bob, &mut alice)
        }
        hang_up(&mut alice, &mut bob);
    }
    // Nothing rings on, and nothing comes back.
    std::thread::sleep(Duration::from_secs(1));
    alice.skip();
    bob.skip();
    for agent in [&mut alice, &mut bob] {
        let stray = agent.wait_quietly(Duration::from_secs(2), |event| event["event"] == "call");
        assert_eq!(stray, None, "{}", agent.story());
    }
}

#[test]
fn quitting_in_a_call_ends_it_for_the_other_side_and_leaves_no_process() {
    let _turn = exclusive();
    let server = Server::start();
    let (mut alice, mut bob) = pair(&server, Options::lively(), Options::lively());
    connect(&mut alice, &mut bob);
    assert_eq!(bob.quit(), 0);
    eventually("alice's call ends", SOON, || {
        alice.wait_quietly(Duration::from_millis(100), |event| event["state"] == "ended")
    });
    assert_eq!(alice.quit(), 0);
}
