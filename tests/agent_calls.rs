//! Calls between two agents: real processes on a real server, over loopback.

// `clippy.toml` lets tests unwrap, but not the functions that they share.
#![allow(clippy::unwrap_used)]

mod common;

use common::agent::{Agent, Options};
use common::pair::{SETUP, SOON, connect, hang_up, pair};
use common::process::signal;
use common::server::Server;
use common::turn::Turn;
use common::{clip, exclusive};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Waits until the counter of the remote picture has gone on, as read from pixels.
fn assert_picture_moves(agent: &mut Agent) {
    agent.report_frames(true);
    agent.skip();
    let first = clip::read_counter(&agent.wait_squares("remote", SOON)).unwrap();
    for _ in 0..100 {
        if clip::read_counter(&agent.wait_squares("remote", SOON)).is_some_and(|counter| counter != first) {
            agent.report_frames(false);
            return;
        }
    }
    panic!("{}: the picture stands still at {first}\n{}", agent.name, agent.story());
}

fn is_heard(stats: &Value) -> bool {
    stats["audio_received"]["level"].as_f64().unwrap() > 0.01
}

#[test]
fn both_see_and_hear_each_other() {
    let _turn = exclusive();
    let server = Server::start();
    let (mut alice, mut bob) = pair(&server, Options::lively(), Options::lively());
    connect(&mut alice, &mut bob);
    for agent in [&mut alice, &mut bob] {
        assert_picture_moves(agent);
        let stats = agent.wait_stats("hears", SOON, is_heard);
        assert_eq!(stats["video_received"]["codec"], "H264", "{stats}");
        agent.wait_stats("knows its path", SOON, |stats| {
            stats["route"] == "host" && stats["rtt_ms"].is_number()
        });
    }
    alice.hang_up();
    assert_eq!(alice.wait_ended(SOON), "You ended the call with bob.");
    assert_eq!(bob.wait_ended(SOON), "alice hung up.");
}

#[test]
fn each_side_sends_the_codec_that_it_was_told_to_prefer() {
    let _turn = exclusive();
    let server = Server::start();
    let vp8 = Options::lively().with("--codec", "vp8");
    let (mut alice, mut bob) = pair(&server, Options::lively(), vp8);
    connect(&mut alice, &mut bob);
    for (agent, sent, received) in [(&mut alice, "H264", "VP8"), (&mut bob, "VP8", "H264")] {
        assert_picture_moves(agent);
        agent.wait_stats("names both codecs", SOON, |stats| {
            stats["video_sent"]["codec"] == sent && stats["video_received"]["codec"] == received
        });
    }
}

#[test]
fn a_side_with_few_bits_changes_to_vp8_and_the_picture_goes_on() {
    let _turn = exclusive();
    let server = Server::start();
    let (mut alice, mut bob) =
        pair(&server, Options::lively().with("--max-bitrate", "200000"), Options::lively());
    connect(&mut alice, &mut bob);
    for (agent, sent, received) in [(&mut alice, "VP8", "H264"), (&mut bob, "H264", "VP8")] {
        agent.wait_stats("names both codecs", SETUP, |stats| {
            stats["video_sent"]["codec"] == sent && stats["video_received"]["codec"] == received
        });
        assert_picture_moves(agent);
    }
}

#[test]
fn two_who_prefer_vp8_see_and_hear_each_other() {
    let _turn = exclusive();
    let server = Server::start();
    let vp8 = Options::lively().with("--codec", "vp8");
    let (mut alice, mut bob) = pair(&server, vp8.clone(), vp8);
    connect(&mut alice, &mut bob);
    for agent in [&mut alice, &mut bob] {
        assert_picture_moves(agent);
        let stats = agent.wait_stats("hears", SOON, is_heard);
        assert_eq!(stats["video_received"]["codec"], "VP8", "{stats}");
    }
    alice.hang_up();
    assert_eq!(bob.wait_ended(SOON), "alice hung up.");
}

#[test]
fn a_call_that_is_refused_says_so_and_the_next_one_can_be_answered() {
    let _turn = exclusive();
    let server = Server::start();
    let ask = Options::lively().with("--accept", "ask");
    let (mut alice, mut bob) = pair(&server, Options::lively(), ask);

    alice.call("bob");
    bob.wait_call("ringing", SOON);
    bob.decline();
    assert_eq!(bob.wait_ended(SOON), "You declined the call from alice.");
    assert_eq!(alice.wait_ended(SOON), "bob declined.");

    alice.call("bob");
    bob.wait_call("ringing", SOON);
    // Nothing is sent before both have accepted, however long that takes.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(bob.events("first-frame"), Vec::<Value>::new());
    bob.accept();
    for agent in [&mut alice, &mut bob] {
        agent.wait_first_frame(SETUP);
    }
}

#[test]
fn an_agent_that_accepts_nothing_declines_at_once() {
    let server = Server::start();
    let never = Options::default().with("--accept", "never");
    let (mut alice, mut bob) = pair(&server, Options::lively(), never);
    alice.call("bob");
    assert_eq!(alice.wait_ended(SOON), "bob declined.");
    assert_eq!(bob.wait_ended(SOON), "You declined the call from alice.");
}

#[test]
fn a_caller_who_gives_up_stops_the_ringing() {
    let server = Server::start();
    let (mut alice, mut bob) = pair(&server, Options::lively(), Options::default());
    alice.call("bob");
    bob.wait_call("ringing", SOON);
    alice.hang_up();
    assert_eq!(alice.wait_ended(SOON), "You cancelled the call with bob.");
    assert_eq!(bob.wait_ended(SOON), "alice gave up.");
}

#[test]
fn a_ring_that_nobody_answers_ends_after_45_seconds_on_both_sides() {
    let server = Server::start();
    let (mut alice, mut bob) = pair(&server, Options::lively(), Options::default());
    let started = Instant::now();
    alice.call("bob");
    bob.wait_call("ringing", SOON);
    assert_eq!(alice.wait_ended(Duration::from_secs(60)), "bob did not answer.");
    // Whichever clock runs out first: both ring for the same time.
    let reason = bob.wait_ended(SOON);
    assert!(["You missed a call from alice.", "alice gave up."].contains(&reason.as_str()), "{reason}");
    let taken = started.elapsed().as_secs_f64();
    assert!((44.0..50.0).contains(&taken), "{taken} s");
}

#[test]
fn whoever_calls_into_a_call_is_told_that_it_is_busy_and_the_call_goes_on() {
    let _turn = exclusive();
    let server = Server::start();
    let (mut alice, mut bob) = pair(&server, Options::lively(), Options::lively());
    let mut carol = Agent::start(&server.url(), "carol", Options::lively());
    connect(&mut alice, &mut bob);
    carol.wait_user("bob");
    carol.call("bob");
    assert_eq!(carol.wait_ended(SOON), "bob is in another call.");
    for agent in [&mut alice, &mut bob] {
        assert_picture_moves(agent);
    }
}

#[test]
fn a_call_comes_up_when_both_call_each_other() {
    let _turn = exclusive();
    let server = Server::start();
    let (mut alice, mut bob) = pair(&server, Options::lively(), Options::lively());
    for _ in 0..5 {
        alice.call("bob");
        bob.call("alice");
        for agent in [&mut alice, &mut bob] {
            agent.wait_call("connected", SETUP);
            agent.wait_first_frame(SETUP);
        }
        hang_up(&mut alice, &mut bob);
    }
}

#[test]
fn chat_reaches_everyone_or_only_the_one_it_is_for() {
    let server = Server::start();
    let (mut alice, mut bob) = pair(&server, Options::default(), Options::default());
    let mut carol = Agent::start(&server.url(), "carol", Options::default());
    alice.wait_user("carol");
    alice.message("psst, it's a <b>secret</b>", Some("bob"));
    alice.message("hello, ہیلو, 你好 👋", None);
    let of_alice = |event: &Value| event["event"] == "message" && event["from"] == "alice";
    let private = bob.wait("hears the secret", SOON, of_alice);
    assert_eq!((&private["text"], &private["to"]), (&"psst, it's a <b>secret</b>".into(), &"bob".into()));
    for agent in [&mut bob, &mut carol] {
        let public = agent.wait("hears the greeting", SOON, of_alice);
        assert_eq!((&public["text"], &public["to"]), (&"hello, ہیلو, 你好 👋".into(), &Value::Null));
    }
}

#[test]
fn what_cannot_be_done_is_answered_in_words_and_changes_nothing() {
    let server = Server::start();
    let (mut alice, mut bob) = pair(&server, Options::lively(), Options::lively());
    for line in [
        "{",
        r#"{"command":"dance"}"#,
        r#"{"command":"call"}"#,
        r#"{"command":"call","peer":"alice"}"#,
        r#"{"command":"call","peer":"nobody of that name"}"#,
        r#"{"command":"accept"}"#,
        r#"{"command":"camera","source":""}"#,
    ] {
        alice.skip();
        alice.send_line(line);
        let error = alice.wait_quietly(SOON, |event| event["event"] == "error" || event["state"] == "ended");
        let Some(error) = error else { panic!("{line} is not answered\n{}", alice.story()) };
        let words = error["message"].as_str().or(error["reason"].as_str()).unwrap();
        assert!(words.len() > 10, "{line}: {error}");
    }
    connect(&mut alice, &mut bob);
}

#[test]
fn a_muted_microphone_is_silent_and_a_muted_camera_sends_no_pictures() {
    let _turn = exclusive();
    let server = Server::start();
    let (mut alice, mut bob) = pair(&server, Options::lively(), Options::lively());
    connect(&mut alice, &mut bob);
    bob.wait_stats("hears alice", SOON, is_heard);

    alice.mute(true, true);
    bob.wait_stats("hears silence and sees no picture", SOON, |stats| {
        stats["audio_received"]["level"].as_f64().unwrap() < 0.000_1
            && stats["video_received"]["fps"].as_f64().unwrap() < 3.0
    });
    alice.wait_stats("still hears bob", SOON, is_heard);

    alice.mute(false, false);
    bob.wait_stats("hears and sees alice again", SOON, |stats| {
        is_heard(stats) && stats["video_received"]["fps"].as_f64().unwrap() > 10.0
    });
    assert_picture_moves(&mut bob);
}

#[test]
fn media_goes_through_a_relay_when_nothing_else_may_be_used() {
    let _turn = exclusive();
    let server = Server::start();
    let turn = Turn::start();
    let relayed = || Options::lively().with("--ice-server", &turn.ice_server()).with_flag("--relay-only");
    let (mut alice, mut bob) = pair(&server, relayed(), relayed());
    connect(&mut alice, &mut bob);
    for agent in [&mut alice, &mut bob] {
        agent.wait_stats("is relayed", SOON, |stats| stats["route"] == "relay" && is_heard(stats));
        assert_picture_moves(agent);
    }
    assert!(turn.log().contains("ALLOCATE processed, success"), "{}", turn.log());
}

#[test]
fn a_call_outlives_the_server_and_both_sign_in_again() {
    let _turn = exclusive();
    let mut server = Server::start();
    let (mut alice, mut bob) = pair(&server, Options::lively(), Options::lively());
    connect(&mut alice, &mut bob);
    server.crash();
    for agent in [&mut alice, &mut bob] {
        agent.wait("notices", SOON, |event| event["event"] == "disconnected");
    }
    for agent in [&mut alice, &mut bob] {
        assert_picture_moves(agent);
    }
    let server = Server::start_at(server.address());
    for agent in [&mut alice, &mut bob] {
        agent.wait_connected();
        assert_picture_moves(agent);
    }
    alice.wait_user("bob");
    hang_up(&mut alice, &mut bob);
    connect(&mut bob, &mut alice);
    drop(server);
}

#[test]
fn a_peer_that_crashes_ends_the_call_and_can_be_called_again() {
    let _turn = exclusive();
    let server = Server::start();
    let (mut alice, mut bob) = pair(&server, Options::lively(), Options::lively());
    connect(&mut alice, &mut bob);
    bob.crash();
    // Not at once: going offline alone does not end a call, the media path has to fall silent too.
    assert_eq!(alice.wait_ended(Duration::from_secs(20)), "bob went offline.");
    let mut bob = Agent::start(&server.url(), "bob", Options::lively());
    assert_eq!(bob.name, "bob", "the name of a program that is gone is free");
    // The server kept the place of the one that crashed, so alice's list may look the same before and after. But what the
    // server told her of the new one was before this.
    bob.message("back again", Some("alice"));
    alice.wait("hears from bob", SOON, |event| event["event"] == "message" && event["from"] == "bob");
    connect(&mut alice, &mut bob);
}

#[test]
fn a_peer_that_was_away_for_a_while_comes_back() {
    let _turn = exclusive();
    let server = Server::start();
    let (mut alice, mut bob) = pair(&server, Options::lively(), Options::lively());
    connect(&mut alice, &mut bob);
    signal("-STOP", bob.id());
    alice.wait_call("reconnecting", Duration::from_secs(20));
    signal("-CONT", bob.id());
    alice.wait_call("connected", SETUP);
    for agent in [&mut alice, &mut bob] {
        assert_picture_moves(agent);
    }

    // And hanging up while it is away leaves both ready for the next call.
    signal("-STOP", bob.id());
    alice.wait_call("reconnecting", Duration::from_secs(20));
    alice.hang_up();
    alice.wait_ended(SOON);
    signal("-CONT", bob.id());
    bob.wait_ended(SOON);
    connect(&mut alice, &mut bob);
}
