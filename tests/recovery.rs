//! Calls whose network breaks: real processes in network namespaces of their own, with a router between that can be cut.
//!
//! Needs root and nftables; says so and does nothing otherwise. How long each return took is printed; only that it came
//! within the grace is asserted, for the machine may be busy.

// `clippy.toml` lets tests unwrap, but not the functions that they share; the figures are for whoever reads.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use common::agent::{Agent, Options};
use common::netns::Network;
use common::pair::{SETUP, SOON, connect};
use common::process::signal;
use common::server::Server;
use common::{exclusive, unix_ms};
use serde_json::Value;
use std::time::Duration;

const SERVER: u8 = 1;
const ALICE: u8 = 2;
const BOB: u8 = 3;
/// Within the grace of 30 s, with room for a busy machine.
const RETURN: Duration = Duration::from_secs(25);

/// How long the former quality is waited for: a figure, and no demand.
const FULL_HEIGHT: Duration = Duration::from_secs(6);

/// alice and bob on machines of their own, in a call over a server on a third.
struct Scene {
    alice: Agent,
    bob: Agent,
    _server: Server,
    network: Network,
}

impl Scene {
    fn new() -> Option<Self> {
        let network = Network::new(3)?;
        let server = Server::start_within(Some(&network.machine(SERVER)), "10.77.1.2:6503".parse().unwrap());
        let options = |machine| {
            Options::lively()
                .within(&network.machine(machine))
                .with("--stats-interval", "0.1")
                .with_env("RUST_LOG", "info,ahoy=debug,rtc=error,webrtc=error")
        };
        let mut alice = Agent::start(&server.url(), "alice", options(ALICE));
        let mut bob = Agent::start(&server.url(), "bob", options(BOB));
        alice.wait_user("bob");
        bob.wait_user("alice");
        connect(&mut alice, &mut bob);
        for agent in [&mut alice, &mut bob] {
            agent.wait_stats("the picture has its size", SETUP, |stats| height(stats) >= 540);
            agent.report_frames(true);
        }
        Some(Self { alice, bob, _server: server, network })
    }

    /// Waits until both see each other again; `since` is when they could (Unix time, ms), and what came before
    /// `connected` is from before the interruption.
    fn assert_both_return(&mut self, what: &str, since: f64, connected: f64) {
        let Self { alice, bob, .. } = self;
        for bobs in [false, true] {
            let (agent, other) = if bobs { (&mut *bob, &*alice) } else { (&mut *alice, &*bob) };
            let later = |event: &Value| event["t"].as_f64().is_some_and(|at| at >= connected);
            let frame = agent.wait_quietly(RETURN, |event| {
                later(event) && event["event"] == "frame" && event["side"] == "remote"
            });
            let Some(frame) = frame else {
                panic!(
                    "{what}: {} sees nothing\n{}\nthe other side:\n{}",
                    agent.name,
                    agent.story(),
                    other.story()
                );
            };
            let full = agent.wait_quietly(FULL_HEIGHT, |event| {
                later(event) && event["event"] == "stats" && height(event) >= 720
            });
            let after = |event: &Value| (event["t"].as_f64().unwrap() - since) / 1000.0;
            eprintln!(
                "{what}: {} sees a picture {:.2} s after the return, 720 lines of it after {:.2?} s",
                agent.name,
                after(&frame),
                full.as_ref().map(after)
            );
        }
    }

    fn assert_never_ended(&self) {
        for agent in [&self.alice, &self.bob] {
            let ended = |event: &&Value| event["state"] == "ended";
            assert_eq!(agent.events("call").iter().find(ended), None, "{}\n{}", agent.name, agent.story());
        }
    }
}

fn height(stats: &Value) -> u64 {
    stats["video_received"]["height"].as_u64().unwrap_or_default()
}

fn blackout(seconds: u64) {
    let _turn = exclusive();
    let Some(mut scene) = Scene::new() else { return };
    scene.alice.skip();
    scene.bob.skip();
    let cut = unix_ms();
    scene.network.cut(true);
    std::thread::sleep(Duration::from_secs(seconds));
    for agent in [&mut scene.alice, &mut scene.bob] {
        let noticed = agent.wait_call("reconnecting", SOON)["t"].as_f64().unwrap();
        eprintln!("{seconds} s blackout: {} notices after {:.2} s", agent.name, (noticed - cut) / 1000.0);
    }
    let back = unix_ms();
    scene.network.cut(false);
    for agent in [&mut scene.alice, &mut scene.bob] {
        agent.wait_call("connected", RETURN);
    }
    scene.assert_both_return(&format!("{seconds} s blackout"), back, back);
    // The server, too, is there again, under the same names.
    scene.alice.message("still there?", Some("bob"));
    scene.bob.wait("a message from alice", RETURN, |event| {
        event["event"] == "message" && event["from"] == "alice"
    });
    scene.assert_never_ended();
}

#[test]
fn a_call_survives_a_blackout_of_five_seconds() {
    blackout(5);
}

#[test]
fn a_call_survives_a_blackout_of_twelve_seconds() {
    blackout(12);
}

#[test]
fn a_call_follows_a_machine_to_another_address() {
    let _turn = exclusive();
    let Some(mut scene) = Scene::new() else { return };
    for machine in [BOB, ALICE] {
        scene.alice.skip();
        scene.bob.skip();
        scene.network.change(machine, &format!("addr del 10.77.{machine}.2/24 dev eth0"));
        scene.network.change(machine, &format!("addr add 10.77.{machine}.7/24 dev eth0"));
        scene.network.change(machine, &format!("route replace default via 10.77.{machine}.1"));
        let there = unix_ms();
        let mover = if machine == ALICE { &mut scene.alice } else { &mut scene.bob };
        mover.wait_call("reconnecting", SOON);
        let connected = mover.wait_call("connected", RETURN)["t"].as_f64().unwrap();
        scene.assert_both_return("another address", there, connected);
    }
    scene.assert_never_ended();
}

#[test]
fn a_call_survives_an_interface_that_goes_down_and_comes_up() {
    let _turn = exclusive();
    let Some(mut scene) = Scene::new() else { return };
    scene.alice.skip();
    scene.bob.skip();
    scene.network.change(BOB, "link set eth0 down");
    scene.bob.wait_call("reconnecting", SOON);
    std::thread::sleep(Duration::from_secs(4));
    scene.network.change(BOB, "link set eth0 up");
    scene.network.change(BOB, "route replace default via 10.77.3.1");
    let back = unix_ms();
    scene.assert_both_return("interface down and up", back, back);
    scene.assert_never_ended();
}

#[test]
fn a_call_survives_the_sleep_of_a_machine() {
    let _turn = exclusive();
    let Some(mut scene) = Scene::new() else { return };
    scene.alice.skip();
    scene.bob.skip();
    signal("-STOP", scene.bob.id());
    scene.alice.wait_call("reconnecting", SOON);
    std::thread::sleep(Duration::from_secs(8));
    let woken = unix_ms();
    signal("-CONT", scene.bob.id());
    scene.assert_both_return("sleep", woken, woken);
    scene.assert_never_ended();
}

#[test]
fn a_program_that_crashed_comes_back_under_its_name_and_the_other_side_is_told() {
    let _turn = exclusive();
    let server = Server::start();
    let mut alice = Agent::start(&server.url(), "alice", Options::lively());
    let mut bob = Agent::start(&server.url(), "bob", Options::lively());
    alice.wait_user("bob");
    bob.wait_user("alice");
    connect(&mut alice, &mut bob);
    bob.crash();
    drop(bob);
    let mut bob = Agent::start(&server.url(), "bob", Options::lively());
    assert_eq!(bob.name, "bob", "the name of a program that is gone is free");
    let reason = alice.wait_ended(RETURN);
    let told = ["bob went offline.", "bob's end could not keep the call going."];
    assert!(told.contains(&reason.as_str()), "{reason}");
    bob.wait_user("alice");
    connect(&mut bob, &mut alice);
}

#[test]
fn a_program_that_crashed_can_call_at_once() {
    let _turn = exclusive();
    let server = Server::start();
    let mut alice = Agent::start(&server.url(), "alice", Options::lively());
    let mut bob = Agent::start(&server.url(), "bob", Options::lively());
    alice.wait_user("bob");
    bob.wait_user("alice");
    connect(&mut alice, &mut bob);
    bob.crash();
    drop(bob);
    let mut bob = Agent::start(&server.url(), "bob", Options::lively());
    bob.wait_user("alice");
    bob.call("alice");
    bob.wait_in_call(SETUP, || alice.story());
    assert_eq!(alice.wait_ended(SOON), "bob went offline.");
    alice.wait_in_call(SETUP, || bob.story());
    alice.report_frames(true);
    alice.skip();
    alice.wait_squares("remote", SETUP);
}
