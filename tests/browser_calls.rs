//! Calls between Ahoy and a real browser, on a page that behaves as the article's sample does.

// `clippy.toml` lets tests unwrap, but not the functions that they share.
#![allow(clippy::unwrap_used)]

mod common;

use common::agent::{Agent, Options};
use common::browser::Browser;
use common::page::{Guest, PageServer};
use common::pair::{SETUP, SOON, connect};
use common::server::Server;
use common::{clip, exclusive, scene};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A browser page named guest and an agent named alice on one server, in two processes and a half.
struct Scene {
    guest: Guest,
    alice: Agent,
    server: Server,
    /// Kept alive for as long as the guest is there.
    _page: PageServer,
    _browser: Browser,
}

impl Scene {
    fn new(options: Options) -> Self {
        let (server, page) = (Server::start(), PageServer::start());
        let mut browser = Browser::start(Some(&clip::path(scene::Scene::Pan)));
        let mut guest = Guest::join(&mut browser, &page, server.port(), "guest");
        let mut alice = Agent::start(&server.url(), "alice", options);
        alice.wait_user("guest");
        guest.wait_user("alice");
        Self { guest, alice, server, _page: page, _browser: browser }
    }

    /// The guest calls, or is called, and both see each other's pictures.
    fn connect(&mut self, guest_calls: bool) {
        self.alice.wait_idle(SOON);
        if guest_calls {
            self.guest.invite("alice")
        } else {
            self.alice.call("guest")
        }
        self.alice.wait_in_call(SETUP, String::new);
        self.guest.wait_pictures(5, SETUP);
    }

    /// Media flows, as pixels and levels at both ends tell.
    fn assert_both_see_and_hear(&mut self) {
        self.assert_guest_sees_counter_move();
        self.assert_alice_sees_counter_move();
        assert!(self.guest.level_heard(Duration::from_secs(1)) > 0.01, "the guest hears nothing");
        self.alice.wait_stats("hears the guest", SOON, |stats| {
            stats["audio_received"]["level"].as_f64().unwrap() > 0.001
                && stats["video_received"]["fps"].as_f64().unwrap() > 10.0
        });
    }

    fn assert_guest_sees_counter_move(&mut self) {
        let started = Instant::now();
        let mut seen = Vec::new();
        while seen.len() < 4 {
            if let Some(counter) = self.guest.squares().and_then(|squares| clip::read_counter(&squares))
                && seen.last() != Some(&counter)
            {
                seen.push(counter);
            }
            assert!(started.elapsed() < SOON, "the guest saw only {seen:?}");
        }
        // It runs forward at 30 a second.
        assert!(seen.is_sorted(), "{seen:?}");
    }

    fn assert_alice_sees_counter_move(&mut self) {
        self.alice.report_frames(true);
        self.alice.skip();
        let mut seen = Vec::new();
        for _ in 0..200 {
            let squares = self.alice.wait_squares("remote", SOON);
            if let Some(counter) = clip::read_counter(&squares)
                && seen.last() != Some(&counter)
            {
                seen.push(counter);
            }
            if seen.len() == 5 {
                self.alice.report_frames(false);
                // The clip is looped, so the counter may start again once.
                let steps_back = seen.windows(2).filter(|pair| pair[1] < pair[0]).count();
                assert!(steps_back <= 1, "{seen:?}");
                return;
            }
        }
        panic!("alice saw only {seen:?}\n{}", self.alice.story());
    }

    fn assert_guest_is_well(&mut self) {
        let errors = self.guest.errors();
        assert!(errors.is_empty(), "{errors:?}");
    }
}

/// Whether both pages show a picture soon after one has called the other.
fn invite_and_see(caller: &mut Guest, callee: &mut Guest) -> bool {
    caller.invite("bob");
    let deadline = Instant::now() + Duration::from_secs(4);
    while Instant::now() < deadline {
        if [&mut *caller, &mut *callee].into_iter().all(|guest| guest.state()["frames"].as_u64() > Some(0)) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// The page and the browser by themselves: what fails here is not Ahoy's participant.
#[test]
fn two_browsers_call_each_other_through_the_server() {
    let _turn = exclusive();
    let (server, page) = (Server::start(), PageServer::start());
    let mut browser = Browser::start(Some(&clip::path(scene::Scene::Pan)));
    let mut alice = Guest::join(&mut browser, &page, server.port(), "alice");
    let mut bob = Guest::join(&mut browser, &page, server.port(), "bob");
    alice.wait_user("bob");

    // Two such pages may both offer anew at once, and then neither answers. That is the sample's own: people call again.
    let deadline = Instant::now() + SETUP;
    while !invite_and_see(&mut alice, &mut bob) {
        assert!(Instant::now() < deadline, "{}\n{}", alice.state(), bob.state());
        alice.hang_up();
        bob.wait_ended(SOON);
    }
    for guest in [&mut alice, &mut bob] {
        guest.wait_pictures(30, SETUP);
        assert!(guest.level_heard(Duration::from_secs(2)) > 0.001);
    }
    alice.hang_up();
    assert_eq!(bob.wait_ended(SOON), "remote hang-up");
}

#[test]
fn a_browser_calls_and_ahoy_hangs_up() {
    let _turn = exclusive();
    let mut scene = Scene::new(Options::lively());
    scene.connect(true);
    scene.assert_both_see_and_hear();
    scene.alice.hang_up();
    assert_eq!(scene.alice.wait_ended(SOON), "You ended the call with guest.");
    assert_eq!(scene.guest.wait_ended(SOON), "remote hang-up");
    scene.assert_guest_is_well();
}

#[test]
fn ahoy_calls_and_the_browser_hangs_up() {
    let _turn = exclusive();
    let mut scene = Scene::new(Options::lively());
    scene.connect(false);
    scene.assert_both_see_and_hear();
    scene.guest.hang_up();
    assert_eq!(scene.alice.wait_ended(SOON), "guest hung up.");
    scene.assert_guest_is_well();
}

#[test]
fn a_browser_with_both_codecs_sends_and_gets_h264_whoever_calls() {
    let _turn = exclusive();
    let mut scene = Scene::new(Options::lively());
    for guest_calls in [true, false] {
        scene.connect(guest_calls);
        assert_eq!(scene.guest.codecs(SOON), ("video/H264".to_owned(), "video/H264".to_owned()));
        scene.guest.hang_up();
        scene.alice.wait_idle(SOON);
    }
}

#[test]
fn a_browser_sees_the_picture_go_on_when_few_bits_make_it_vp8() {
    let _turn = exclusive();
    let mut scene = Scene::new(Options::lively().with("--max-bitrate", "200000"));
    scene.connect(false);
    scene.alice.wait_stats("changes the codec", SETUP, |stats| stats["video_sent"]["codec"] == "VP8");
    scene.assert_both_see_and_hear();
    assert_eq!(scene.guest.codecs(SOON), ("video/VP8".to_owned(), "video/H264".to_owned()));
    scene.assert_guest_is_well();
}

#[test]
fn a_browser_that_has_only_vp8_sees_and_is_seen_whoever_calls() {
    let _turn = exclusive();
    let mut scene = Scene::new(Options::lively());
    scene.guest.use_only("video/VP8");
    for guest_calls in [true, false] {
        scene.connect(guest_calls);
        scene.assert_both_see_and_hear();
        assert_eq!(scene.guest.codecs(SOON), ("video/VP8".to_owned(), "video/VP8".to_owned()));
        scene.alice.wait_stats("names the codec", SOON, |stats| {
            stats["video_received"]["codec"] == "VP8" && stats["video_sent"]["codec"] == "VP8"
        });
        scene.guest.hang_up();
        scene.alice.wait_idle(SOON);
    }
    scene.assert_guest_is_well();
}

#[test]
fn a_hang_up_without_a_target_ends_no_call_but_that_of_its_sender() {
    let _turn = exclusive();
    let mut scene = Scene::new(Options::lively());
    let mut bob = Agent::start(&scene.server.url(), "bob", Options::lively());
    scene.alice.wait_user("bob");
    connect(&mut scene.alice, &mut bob);
    // The page forgets its target before it hangs up, so everyone hears it.
    scene.guest.hang_up();
    let ended = bob.wait_quietly(Duration::from_secs(2), |event| event["state"] == "ended");
    assert_eq!(ended, None, "a stranger's hang-up was taken for alice's");
    scene.alice.wait_stats("still sees bob", SOON, |stats| {
        stats["peer"] == "bob" && stats["video_received"]["fps"].as_f64().unwrap() > 10.0
    });
}

#[test]
fn a_browser_that_calls_into_a_call_or_is_declined_is_told_by_hang_up() {
    let _turn = exclusive();
    let mut scene = Scene::new(Options::lively().with("--accept", "ask"));
    scene.guest.invite("alice");
    scene.alice.wait_call("ringing", SOON);
    scene.alice.decline();
    assert_eq!(scene.guest.wait_ended(SOON), "remote hang-up");

    let mut bob = Agent::start(&scene.server.url(), "bob", Options::lively());
    scene.alice.wait_user("bob");
    connect(&mut scene.alice, &mut bob);
    scene.guest.invite("alice");
    assert_eq!(scene.guest.wait_ended(SOON), "remote hang-up");
    scene.alice.skip();
    scene.alice.wait_stats("still sees bob", SOON, |stats| {
        stats["peer"] == "bob" && stats["video_received"]["fps"].as_f64().unwrap() > 10.0
    });
}

#[test]
fn a_call_comes_up_when_browser_and_ahoy_call_each_other() {
    let _turn = exclusive();
    let mut scene = Scene::new(Options::lively());
    for _ in 0..5 {
        scene.alice.wait_idle(SOON);
        scene.alice.call("guest");
        scene.guest.invite_unless_called("alice");
        scene.alice.wait_in_call(SETUP, String::new);
        scene.guest.wait_pictures(5, SETUP);
        scene.alice.hang_up();
        scene.guest.wait_ended(SOON);
    }
}

#[test]
fn twenty_calls_in_a_row_come_up_both_ways() {
    let _turn = exclusive();
    let mut scene = Scene::new(Options::lively());
    for round in 0..20 {
        scene.connect(round % 2 == 0);
        scene.assert_guest_sees_counter_move();
        if round % 4 < 2 {
            scene.guest.hang_up();
            scene.alice.wait_idle(SOON);
        } else {
            scene.alice.hang_up();
            scene.guest.wait_ended(SOON);
        }
    }
    scene.assert_guest_is_well();
}

#[test]
fn chat_goes_both_ways_between_browser_and_ahoy() {
    let mut scene = Scene::new(Options::default());
    scene.alice.message("salut & <i>bonjour</i>", None);
    scene.guest.wait_state("alice's message", SOON, |state| {
        let of_alice = |m: &Value| m["name"] == "alice" && m["text"] == "salut & <i>bonjour</i>";
        state["messages"].as_array().unwrap().iter().any(of_alice)
    });
    scene.guest.say("for you alone", Some("alice"));
    let of_guest = |event: &Value| event["event"] == "message" && event["from"] == "guest";
    let message = scene.alice.wait("the guest's message", SOON, of_guest);
    assert_eq!((&message["text"], &message["to"]), (&"for you alone".into(), &"alice".into()));
}
